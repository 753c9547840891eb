//! `tributary actor`: draws trajectories for a learner, anywhere.

use std::env;
use std::path::PathBuf;

use clap::Args;
use tributary_actor::{ActorConfig, run_until_signal};
use tributary_common::registry::Registry;

use crate::credentials::CredentialOptions;
use crate::error::CommandError;
use crate::log;

/// Draws trajectories for a learner until its run ends
///
/// An actor needs nothing but the learner's address, and beyond one machine its credentials: the run
/// file and the data files come from there. It may join and leave at any time. SIGTERM (or ctrl-C) ends it in good order: what is
/// finished is sent first; a second one ends it at once. It exits 78 when the learner refuses it,
/// for example because its program has another version of the environment.
#[derive(Args)]
pub(crate) struct Options {
    /// The learner's address: http://HOST:PORT, on another machine https://HOST:PORT
    #[arg(long, value_name = "URL")]
    learner: String,
    /// A name for people, in logs and status [default: made of host and process]
    #[arg(long)]
    name: Option<String>,
    /// Rollout threads [default: the run file's actor.threads]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    #[command(flatten)]
    credentials: CredentialOptions,
}

/// Works until the run ends.
pub(crate) fn run(options: Options, registry: Registry) -> Result<(), CommandError> {
    log::to_stderr("info");
    let Options { learner, name, threads, credentials } = options;
    let credentials = credentials.read()?;
    let name = name.unwrap_or_else(|| format!("actor-{}", std::process::id()));
    let threads = threads.map(usize::from);
    let config = ActorConfig { learner, credentials, name, threads, cache: cache() };
    let outcome = run_until_signal(config, registry)?;
    tracing::info!(acked = outcome.acked, unacked = outcome.unacked, "{}", outcome.reason);
    Ok(())
}

/// Where data files of runs are kept: `actor` in the folder TRIBUTARY_CACHE, by default
/// `tributary` in the user's cache folder, without one in the folder of temporary files.
fn cache() -> PathBuf {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("TRIBUTARY_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|folder| folder.join("tributary")))
        .or_else(|| set("HOME").map(|folder| folder.join(".cache/tributary")))
        .unwrap_or_else(|| env::temp_dir().join("tributary"));
    folder.join("actor")
}
