//! `tributary scale`: more or fewer actors of a run on this machine, while it goes on.

use std::path::PathBuf;

use clap::Args;

use crate::display::count;
use crate::error::CommandError;
use crate::output;
use crate::train::wishes::{self, Answer};

/// Changes the number of actors of a run that `tributary train` holds on this machine
///
/// New actors are started at once. Of too many those with the highest numbers are asked to leave: they send what
/// they have finished and wait for its acks, so nothing is lost. For a run on Slurm there is
/// `tributary slurm scale`; actors elsewhere come and go as they are started and stopped.
#[derive(Args)]
pub(crate) struct Options {
    /// The run directory
    #[arg(value_name = "RUN_DIR")]
    run_dir: PathBuf,
    /// How many there should be; with 0 the run waits
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=4096))]
    actors: u16,
}

/// Asks the trainer, and says what it does.
pub(crate) fn run(options: &Options) -> Result<(), CommandError> {
    let Options { run_dir, actors } = options;
    if run_dir.join("slurm/launch.json").exists() {
        let reason = format!(
            "was launched on Slurm: tributary slurm scale {} --actors {actors}",
            run_dir.display()
        );
        return Err(CommandError::RunDirectory { path: run_dir.clone(), reason });
    }
    let answer = wishes::wish(run_dir, usize::from(*actors))?;
    output::print(&format!("{}\n", told(answer)))?;
    match answer.now == usize::from(*actors) {
        true => Ok(()),
        false => Err(CommandError::RunDirectory {
            path: run_dir.clone(),
            reason: "is about to end, or an actor cannot be started: see what tributary train says"
                .to_owned(),
        }),
    }
}

fn told(answer: Answer) -> String {
    let Answer { before, now } = answer;
    let (more, fewer) = (now.saturating_sub(before) as u64, before.saturating_sub(now) as u64);
    let change = match (more, fewer) {
        (0, 0) => "as before".to_owned(),
        (_, 0) => format!("{more} more than before"),
        (_, 1) => "1 leaves, and sends what it has finished".to_owned(),
        (..) => format!("{fewer} leave, and send what they have finished"),
    };
    format!("{}: {change}", count(now as u64, "actor"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_is_told() {
        let of = |before, now| told(Answer { before, now });
        assert_eq!(of(1, 3), "3 actors: 2 more than before");
        assert_eq!(of(3, 1), "1 actor: 2 leave, and send what they have finished");
        assert_eq!(of(1, 0), "0 actors: 1 leaves, and sends what it has finished");
        assert_eq!(of(2, 2), "2 actors: as before");
    }
}
