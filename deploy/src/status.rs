//! `tributary status`: a running learner on one page.

pub(crate) mod sections;

use clap::Args;
use tributary_proto::v1::{RunState, StatusReply};

use crate::control::{self, Control};
use crate::credentials::LearnerOptions;
use crate::display::{Table, clock, shown};
use crate::error::CommandError;
use crate::output;

/// Shows what a running learner is doing: figures, actors, books
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    learner: LearnerOptions,
}

/// The best objects that are shown.
const BEST: usize = 5;

/// Asks and prints.
pub(crate) fn run(options: &Options) -> Result<(), CommandError> {
    let target = options.learner.target()?;
    let status = control::block_on(async { Control::connect(&target).await?.status().await })?;
    output::print(&page(&status))
}

/// The page.
pub(crate) fn page(status: &StatusReply) -> String {
    let mut table = Table::default();
    let all: [fn(&mut Table, &StatusReply); 12] = [
        sections::stalls,
        sections::limit,
        sections::training,
        sections::spending,
        sections::yields,
        sections::evaluation,
        |table, status| sections::best(table, status, BEST),
        sections::books,
        sections::ledger,
        sections::trust,
        sections::waits,
        sections::actors,
    ];
    for section in all {
        section(&mut table, status);
    }
    format!(
        "{}: {}, {} of training ({}, incarnation {})\n{}",
        shown(&status.run_name),
        state(status),
        clock(status.seconds),
        shown(&status.software),
        status.incarnation,
        table.text()
    )
}

/// What the run is doing, in words.
pub(crate) fn state(status: &StatusReply) -> &'static str {
    match status.state() {
        RunState::Unspecified => "in an unknown state",
        RunState::Recovering => "recovering",
        RunState::Running => "running",
        RunState::Degraded => "degraded: not acking",
        RunState::Stopping => "stopping",
    }
}

#[cfg(test)]
mod tests {
    use super::sections::{actor, straggling};
    use super::*;
    use tributary_proto::v1::{ActorRow, ActorState, Goals, Limit, Spending, Stall};

    fn row(id: u64, state: ActorState, trajectories_per_second: f64) -> ActorRow {
        ActorRow { id, state: state.into(), trajectories_per_second, ..ActorRow::default() }
    }

    #[test]
    fn stalls_and_stragglers_are_on_the_page() {
        let stall = Stall {
            edge: "trainer.data".to_owned(),
            seconds: 95.0,
            reason: "no actor has come yet".to_owned(),
            blocking: true,
        };
        let streaming = ActorState::Streaming;
        let actors =
            vec![row(1, streaming, 40.0), row(2, streaming, 0.4), row(3, ActorState::Lost, 0.0)];
        assert_eq!(straggling(&actors), [2]);
        assert_eq!(straggling(&[]), [0; 0]);
        let page = page(&StatusReply { stalls: vec![stall], actors, ..StatusReply::default() });
        let stalled = page.lines().find(|line| line.contains("trainer for data"));
        assert!(
            stalled.is_some_and(|line| line.ends_with("1:35: no actor has come yet")),
            "{page}"
        );
        let lines: Vec<&str> = page.lines().filter(|line| line.contains("a straggler")).collect();
        assert_eq!(lines.len(), 1, "{page}");
        assert!(lines[0].trim().starts_with('2'), "{page}");
    }

    #[test]
    fn a_reward_that_does_not_work_is_on_the_page() {
        let mut row = row(1, ActorState::Streaming, 0.0);
        assert!(!actor(&row).contains("rewards"));
        row.reward_failures = [("crash".to_owned(), 6), ("time-out".to_owned(), 1)].into();
        row.reward_trouble = "the reward's command does not work: crash".to_owned();
        let expected = "; failed requests for rewards: 6 crash, 1 time-out; NO REWARDS: the reward's \
                        command does not work: crash";
        assert!(actor(&row).ends_with(expected), "{}", actor(&row));
    }

    #[test]
    fn what_was_spent_is_on_the_page() {
        let spending = Spending {
            evaluations: 200,
            cost: 50.0,
            saved: 1_234,
            under_way: 3,
            exhausted: true,
            ..Spending::default()
        };
        let goals = Goals { evaluations: Some(200), ..Goals::default() };
        let text = "rewards: add about 12 actors".to_owned();
        let limit = Some(Limit { by: "rewards".to_owned(), text, actors_wanted: 16 });
        let (spending, goals) = (Some(spending), Some(goals));
        let page = page(&StatusReply { spending, goals, limit, ..StatusReply::default() });
        for expected in [
            "  rewards: add about 12 actors",
            "200 of 200, 3 under way",
            "50.00 s, 0.2500 s each",
            "1,234",
            "is spent",
        ] {
            assert!(page.contains(expected), "{expected} is not in\n{page}");
        }
    }
}
