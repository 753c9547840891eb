//! The command line.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tributary_common::registry::Registry;

use crate::error::{CommandError, USAGE};
use crate::ledger::candidates;
use crate::report::compare;
use crate::{
    actor, certs, check, child, dashboard, evaluate, guard, keys, kubernetes, ledger, metrics,
    quarantine, report, sample, scale, slurm, status, top, train, watch,
};

const EXAMPLES: &str = "\
Examples:
  tributary check examples/hypergrid.toml       what would be trained, and is it well?
  tributary train examples/hypergrid.toml       one learner and an actor per core, on this machine
  tributary train run.toml --actors 8 --set learner.batch=128 --set reward.exponent=4
  tributary train --resume runs/hypergrid-1 --set learner.generated=900000
  tributary keys replay.selector                what may be written in a run file, and what it means
  tributary evaluate runs/hypergrid-1           the exact distance to the target
  tributary sample runs/hypergrid-1 --count 5   objects, with their log-reward
  tributary ledger runs/hypergrid-1 --top 100   what was measured, the best first
  tributary candidates runs/tfbind8-1           the best of it that differ from each other
  tributary status runs/hypergrid-1             a running learner
  tributary top runs/hypergrid-1                the same live, in the terminal
  tributary scale runs/hypergrid-1 --actors 8   more or fewer actors, while it trains
  tributary quarantine runs/dock-1 1000000002   refuse what an actor sends
  tributary metrics runs/hypergrid-1 --follow   its metrics as JSON, from the first to the last
  tributary dashboard runs/hypergrid-1          the address of its page for the browser
  tributary report runs/hypergrid-1             all about a run, as one HTML file
  tributary compare runs/a runs/b               the last figures of runs, and what differs
  tributary certs certs --host 10.0.0.7         what a run on several machines needs
  tributary slurm launch run.toml --actors 64   a run on a cluster with Slurm
  tributary kubernetes render run.toml          a run on Kubernetes, as YAML

Exit codes: 0 done, 64 usage, 70 a bug, 75 try again later, 78 configuration, 130 interrupted";

/// Trains GFlowNets: samplers that draw an object with probability proportional to its reward
///
/// Many actors draw objects and pay for their rewards, one learner trains on them. Everything about
/// a run is in one TOML file; `tributary check` explains what is wrong with it, `tributary keys` what
/// may be in it.
#[derive(Parser)]
#[command(name = "tributary", version, after_help = EXAMPLES, max_term_width = 100, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What the command can do.
#[derive(Subcommand)]
pub(crate) enum Command {
    Train(train::Options),
    Actor(actor::Options),
    Check(check::Options),
    Keys(keys::Options),
    Evaluate(evaluate::Options),
    Sample(sample::Options),
    Ledger(ledger::Options),
    Candidates(candidates::Options),
    Status(status::Options),
    Top(top::Options),
    Scale(scale::Options),
    Quarantine(quarantine::Options),
    Watch(watch::Options),
    Metrics(metrics::Options),
    Dashboard(dashboard::Options),
    Report(report::Options),
    Compare(compare::Options),
    Certs(certs::Options),
    Slurm(slurm::Options),
    Kubernetes(kubernetes::Options),
    Child(child::Options),
    Guard(guard::Options),
}

impl Command {
    /// Does it.
    pub(crate) fn run(self, registry: Registry) -> Result<(), CommandError> {
        match self {
            Self::Train(options) => train::run(&options, &registry),
            Self::Actor(options) => actor::run(options, registry),
            Self::Check(options) => check::run(&options, &registry),
            Self::Keys(options) => keys::run(&options, &registry),
            Self::Evaluate(options) => evaluate::run(&options, &registry),
            Self::Sample(options) => sample::run(&options, &registry),
            Self::Ledger(options) => ledger::run(&options, &registry),
            Self::Candidates(options) => candidates::run(&options, &registry),
            Self::Status(options) => status::run(&options),
            Self::Scale(options) => scale::run(&options),
            Self::Top(options) => top::run(options),
            Self::Quarantine(options) => quarantine::run(&options),
            Self::Watch(options) => watch::run(options),
            Self::Metrics(options) => metrics::run(&options),
            Self::Dashboard(options) => dashboard::run(&options),
            Self::Report(options) => report::run(&options, &registry),
            Self::Compare(options) => compare::run(&options),
            Self::Certs(options) => certs::run(&options),
            Self::Slurm(options) => slurm::run(options, registry),
            Self::Kubernetes(options) => kubernetes::run(&options, &registry),
            Self::Child(options) => child::run(&options),
            Self::Guard(options) => guard::run(&options),
        }
    }
}

/// The command that the arguments name, or the exit code of a usage error, `--help` or `--version`
/// after saying so.
pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Command, ExitCode> {
    Cli::try_parse_from(arguments).map(|cli| cli.command).map_err(|error| {
        // Nobody may be left to read it.
        let _ = error.print();
        if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound_and_teaches() {
        Cli::command().debug_assert();
        let help = Cli::command().render_long_help().to_string();
        let commands = [
            "train",
            "actor",
            "check",
            "keys",
            "evaluate",
            "sample",
            "status",
            "top",
            "scale",
            "watch",
            "metrics",
            "certs",
            "slurm",
            "dashboard",
            "kubernetes",
            "quarantine",
            "report",
            "compare",
        ];
        for word in commands.into_iter().chain(["ledger", "candidates", "78"]) {
            assert!(help.contains(word), "{word} is not in\n{help}");
        }
        assert!(!help.contains("child"), "{help}");
    }

    #[test]
    fn commands_that_read_a_run_file_say_where_its_keys_are_explained() {
        for name in ["train", "check"] {
            let mut cli = Cli::command();
            let help = cli.find_subcommand_mut(name).unwrap().render_long_help().to_string();
            for words in ["tributary keys objective", "--set replay.selector=prioritized"] {
                assert!(help.contains(words), "{words} is not in\n{help}");
            }
        }
    }

    #[test]
    fn overrides_are_read_as_pairs() {
        let arguments = ["tributary", "check", "a.toml", "--set", "learner.batch=8"];
        let Ok(Command::Check(options)) = parse(arguments.iter().map(OsString::from)) else {
            unreachable!("not read as a check");
        };
        assert_eq!(options.run_file.overrides, [("learner.batch".to_owned(), "8".to_owned())]);
    }
}
