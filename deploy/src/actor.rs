//! `tributary actor`: draws trajectories for a learner, anywhere.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::{env, fs};

use clap::Args;
use tributary_actor::{ActorConfig, SpoolConfig, run_until_signal, stay_until_signal};
use tributary_common::registry::Registry;
use tributary_common::run_file::ByteSize;

use crate::credentials::CredentialOptions;
use crate::error::CommandError;
use crate::{guard, log};

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
    /// In a durable run: the folder of what is not acked yet, for the next actor if this one dies;
    /// actors on one machine may share it [default: in the user's folder of states]
    #[arg(long, value_name = "DIR")]
    spool: Option<PathBuf>,
    /// With so much in its spool the actor pauses
    #[arg(long, value_name = "SIZE", default_value = "256MiB")]
    spool_limit: ByteSize,
    /// Runs the command that the run file names as its reward: whoever can start that learner can
    /// then run anything here
    #[arg(long)]
    allow_commands: bool,
    /// When the run is over, or no learner is there, waits for the next one until a signal: for a place that would
    /// start an ended process again
    #[arg(long)]
    stay: bool,
    /// Shows /metrics for Prometheus at this address, to whoever reaches it; port 0: any, told in the log
    #[arg(long, value_name = "HOST:PORT")]
    metrics: Option<SocketAddr>,
    #[command(flatten)]
    credentials: CredentialOptions,
}

/// Works until the run ends.
pub(crate) fn run(options: Options, registry: Registry) -> Result<(), CommandError> {
    log::to_stderr("info");
    let Options {
        learner,
        name,
        threads,
        spool,
        spool_limit,
        allow_commands,
        stay,
        metrics,
        credentials,
    } = options;
    let credentials = credentials.read()?;
    let name = name.unwrap_or_else(|| format!("actor-{}", std::process::id()));
    let threads = threads.map(usize::from);
    let folder = spool.unwrap_or_else(spool_folder);
    let spool = Some(SpoolConfig { folder, limit_bytes: spool_limit.0 });
    let commands = allow_commands.then(guard::commands).transpose()?;
    let cache = cache();
    let config = ActorConfig { learner, credentials, name, threads, cache, spool, commands };
    let work = if stay { stay_until_signal } else { run_until_signal };
    let outcome = work(config, registry, metrics)?;
    tracing::info!(acked = outcome.acked, unacked = outcome.unacked, "{}", outcome.reason);
    Ok(())
}

/// Where data files of runs are kept: `actor` in the folder TRIBUTARY_CACHE, by default
/// `tributary` in the user's cache folder, without one in the folder of temporary files.
pub(crate) fn cache() -> PathBuf {
    let folder = set("TRIBUTARY_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|folder| folder.join("tributary")))
        .or_else(|| set("HOME").map(|folder| folder.join(".cache/tributary")))
        .unwrap_or_else(|| env::temp_dir().join("tributary"));
    folder.join("actor")
}

/// Where spools are kept, by default `tributary/spool` in the user's folder of states, without one in the
/// folder of temporary files. Home folders may be shared by machines: each has its own folder in it.
pub(crate) fn spool_folder() -> PathBuf {
    let folder = set("XDG_STATE_HOME")
        .or_else(|| set("HOME").map(|folder| folder.join(".local/state")))
        .unwrap_or_else(env::temp_dir);
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    folder.join("tributary/spool").join(if host.is_empty() { "this-machine" } else { host })
}

fn set(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
