//! `tributary kubernetes`: a run on Kubernetes for those without Helm.
//!
//! The chart in `deploy/helm/tributary` is the one source: `plain.yaml` is what it makes, with marks for what
//! differs between runs. `make test-cluster` fails if the two are not the same.

mod render;

use clap::{Args, Subcommand};
use tributary_common::registry::Registry;

use crate::error::CommandError;

const EXAMPLES: &str = "\
Examples:
  tributary kubernetes render run.toml > run.yaml
  tributary kubernetes render run.toml --name grid --namespace science --actors 16 | kubectl apply -f -

With Helm use the chart deploy/helm/tributary: it scales, watches and places Pods, too.";

/// Makes what a run on Kubernetes needs
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Render(render::Options),
}

/// Does what the command says.
pub(crate) fn run(options: &Options, registry: &Registry) -> Result<(), CommandError> {
    match &options.command {
        Command::Render(options) => render::run(options, registry),
    }
}
