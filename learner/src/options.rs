//! The command line of `tributary-learner`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use tributary_common::run_file::parse_override;

use crate::security::SecurityOptions;

/// Trains one run: takes trajectories from actors, sends them weights, ends when the run file says.
///
/// People start it with `tributary train RUN.toml`, which starts actors too. Started alone it waits
/// for actors: `tributary actor --learner http://HOST:PORT`, with the address that it writes to
/// RUN_DIR/address.json.
///
/// Started on the directory of a run, it goes on with it: from the newest checkpoint and the ledger,
/// with the run's own run file, where the run's learner listened before.
#[derive(Clone, Debug, Parser)]
#[command(name = "tributary-learner", version)]
pub struct Options {
    /// The run file (TOML) [default: the one of the run in DIR].
    #[arg(long, value_name = "RUN.toml")]
    pub run_file: Option<PathBuf>,
    /// The directory of the run; made if need be. A run that it holds goes on.
    #[arg(long, value_name = "DIR")]
    pub run_dir: PathBuf,
    /// Where actors connect; port 0: a free one, written to DIR/address.json. Beyond loopback only with
    /// TLS and a token [default: as before, or a free port of 127.0.0.1].
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<SocketAddr>,
    /// Where /metrics (Prometheus) and /healthz are served; likewise. They ask for the control token.
    #[arg(long, value_name = "HOST:PORT")]
    pub http: Option<SocketAddr>,
    /// Where /healthz, /readyz and gRPC's health service answer with one word, without TLS and token, for probes
    /// of Kubernetes.
    #[arg(long, value_name = "HOST:PORT")]
    pub probes: Option<SocketAddr>,
    /// When the run is over, stays until a signal: for a place that would start an ended process again.
    #[arg(long)]
    pub stay: bool,
    /// The name or address by which other machines reach this one, for DIR/address.json [default: the
    /// address listened on].
    #[arg(long, value_name = "HOST")]
    pub advertise: Option<String>,
    /// Overrides a key of the run file; may be given again.
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE", value_parser = parse_override)]
    pub overrides: Vec<(String, String)>,
    /// Overrides run.seed.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Overrides learner.threads: threads of an update.
    #[arg(long)]
    pub threads: Option<usize>,
    /// TLS and tokens.
    #[command(flatten)]
    pub security: SecurityOptions,
}

impl Options {
    /// All overrides of the run file, in the order in which they count.
    pub fn all_overrides(&self) -> Vec<(String, String)> {
        let mut overrides = self.overrides.clone();
        let mut add = |key: &str, value: String| overrides.push((key.to_owned(), value));
        if let Some(seed) = self.seed {
            add("run.seed", seed.to_string());
        }
        if let Some(threads) = self.threads {
            add("learner.threads", threads.to_string());
        }
        overrides
    }
}
