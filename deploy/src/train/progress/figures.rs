//! The figures of a status as the live display shows them.

use std::collections::BTreeMap;
use std::time::Duration;

use tributary_proto::v1::{ActorState, RunState, Stall, StatusReply};

use crate::display::{clock, count, grouped, short};

/// Texts of one moment.
#[derive(Debug)]
pub(crate) struct Figures {
    /// How much of the run is done, 0 to 1.
    pub(crate) done: f64,
    elapsed: String,
    /// The stop that is nearest, in words.
    pub(crate) goal: String,
    /// When it will be over, or what is still to be done.
    pub(crate) left: Option<String>,
    training: String,
    flow: String,
    /// Who does not get on, and why.
    stalled: Option<String>,
}

impl Figures {
    /// The figures of a status, and of what changed since an earlier one.
    pub(crate) fn of(status: &StatusReply, before: Option<(Duration, &StatusReply)>) -> Self {
        let (done, goal) = nearest_goal(status);
        let left = match status.state() {
            RunState::Stopping => Some("training is over, evaluating once more".to_owned()),
            RunState::Running if done > 0.01 && done < 1.0 => {
                Some(format!("eta {}", clock(status.seconds * (1.0 - done) / done)))
            }
            _ => None,
        };
        Self {
            done,
            elapsed: clock(status.seconds),
            goal,
            left,
            training: training(status),
            flow: flow(status, before),
            stalled: status.stalls.first().map(stalled),
        }
    }

    /// For behind a bar: the goal, and two lines below.
    pub(crate) fn block(&self) -> String {
        let left = self.left.as_ref().map_or_else(String::new, |left| format!("  {left}"));
        let stalled = self.stalled.as_ref().map_or_else(String::new, |of| format!("\n  {of}"));
        format!("{}{left}\n  {}\n  {}{stalled}", self.goal, self.training, self.flow)
    }

    /// All in one line.
    pub(crate) fn line(&self) -> String {
        let left = self.left.as_ref().map_or_else(String::new, |left| format!("  {left}"));
        let stalled = self.stalled.as_ref().map_or_else(String::new, |of| format!("  {of}"));
        format!("{}  {}  {}  {}{left}{stalled}", self.elapsed, self.goal, self.training, self.flow)
    }
}

/// The stop that is nearest: its share that is done, and the words for it.
fn nearest_goal(status: &StatusReply) -> (f64, String) {
    let counters = status.counters.unwrap_or_default();
    let goals = status.goals.unwrap_or_default();
    let counted = |done: u64, goal: Option<u64>, what: &str| {
        let text = |goal: u64| format!("{} of {} {what}", grouped(done), grouped(goal));
        goal.map(|goal| (done as f64 / goal.max(1) as f64, text(goal)))
    };
    let timed = goals.seconds.map(|goal| {
        let text = format!("{} of {}", clock(status.seconds), clock(goal));
        (status.seconds / goal.max(1e-9), text)
    });
    let spending = status.spending.unwrap_or_default();
    let costed = goals.cost.map(|goal| {
        (spending.cost / goal, format!("{} of {} spent", short(spending.cost), short(goal)))
    });
    let all = [
        counted(counters.generated, goals.generated, "trajectories"),
        counted(counters.paid, goals.paid, "objects"),
        counted(counters.updates, goals.updates, "updates"),
        counted(spending.evaluations, goals.evaluations, "evaluations"),
        costed,
        timed,
    ];
    let nearest = all.into_iter().flatten().max_by(|a, b| a.0.total_cmp(&b.0));
    let (done, text) =
        nearest.unwrap_or_else(|| (0.0, format!("{} trajectories", grouped(counters.generated))));
    (done.clamp(0.0, 1.0), text)
}

fn training(status: &StatusReply) -> String {
    let mut parts = vec![format!("step {}", grouped(status.counters.unwrap_or_default().updates))];
    parts.extend(status.loss.map(|loss| format!("loss {}", short(loss))));
    parts.extend(status.log_z.map(|log_z| format!("log Z {log_z:.3}")));
    let figure = |name: &str| status.evaluation.get(name).copied();
    match &status.exact {
        Some(exact) => parts.push(format!("TV {:.4}", exact.total_variation)),
        None => parts.extend(figure("test_set.spearman").map(|of| format!("Spearman {of:.3}"))),
    }
    if let (Some(found), Some(known)) = (figure("modes.found"), figure("modes.known")) {
        parts.push(format!("modes {found}/{known}"));
    }
    parts.join("  ")
}

fn flow(status: &StatusReply, before: Option<(Duration, &StatusReply)>) -> String {
    let is_here = |state| !matches!(state, ActorState::Lost | ActorState::Gone);
    let actors = status.actors.iter().filter(|actor| is_here(actor.state())).count();
    let mut parts = vec![
        format!("{}/s", grouped(status.trajectories_per_second.max(0.0) as u64)),
        count(actors as u64, "actor"),
        format!("lag {} (max {})", short(status.lag_mean), status.lag_max),
    ];
    parts.extend(before.and_then(|(time, before)| who_waits(status, before, time)));
    parts.extend(status.limit.as_ref().map(|limit| format!("limit: {}", limit.by)));
    parts.join("  ")
}

fn stalled(stall: &Stall) -> String {
    format!("stalled: {} for {}: {}", stall.edge, clock(stall.seconds), stall.reason)
}

/// Who waited most since an earlier status, for what, and for which share of the time.
fn who_waits(status: &StatusReply, before: &StatusReply, time: Duration) -> Option<String> {
    let (now, then) = (waits(status), waits(before));
    let share = |edge: &str, seconds: f64| {
        (seconds - then.get(edge).copied().unwrap_or(0.0)) / time.as_secs_f64().max(1e-3)
    };
    let waits = now.iter().map(|(edge, seconds)| (edge, share(edge, *seconds)));
    let (edge, share) = waits.max_by(|a, b| a.1.total_cmp(&b.1))?;
    (share >= 0.05).then(|| format!("waiting: {edge} {:.0} %", 100.0 * share.min(1.0)))
}

/// Seconds waited so far: the learner's by "who for what", the actors' as their mean.
fn waits(status: &StatusReply) -> BTreeMap<String, f64> {
    // The learner adds up what actors report; here their mean is wanted.
    let own = status.waited_seconds.iter().filter(|(edge, _)| !edge.starts_with("actors."));
    let mut waits: BTreeMap<String, f64> =
        own.map(|(edge, seconds)| (edge.replace('.', " for "), *seconds)).collect();
    let reporting: Vec<_> =
        status.actors.iter().filter(|actor| !actor.waited_seconds.is_empty()).collect();
    for actor in &reporting {
        for (what, seconds) in &actor.waited_seconds {
            let mean = seconds / reporting.len() as f64;
            *waits.entry(format!("actors for {what}")).or_default() += mean;
        }
    }
    waits
}

#[cfg(test)]
mod tests {
    use super::*;
    use tributary_proto::v1::{ActorRow, Counters, ExactEvaluation, Goals, Limit};

    fn status(generated: u64, trainer: f64, credit: f64) -> StatusReply {
        let actor = |id| ActorRow {
            id,
            state: ActorState::Streaming.into(),
            waited_seconds: [("credit".to_owned(), credit)].into(),
            ..ActorRow::default()
        };
        StatusReply {
            state: RunState::Running.into(),
            seconds: 30.0,
            counters: Some(Counters { generated, updates: 3_797, ..Counters::default() }),
            goals: Some(Goals { generated: Some(450_000), ..Goals::default() }),
            loss: Some(0.41234),
            log_z: Some(11.38),
            exact: Some(ExactEvaluation { total_variation: 0.231, ..ExactEvaluation::default() }),
            lag_mean: 5.125,
            lag_max: 12,
            trajectories_per_second: 2950.7,
            waited_seconds: [("trainer.data".to_owned(), trainer)].into(),
            actors: vec![actor(1), actor(2)],
            ..StatusReply::default()
        }
    }

    #[test]
    fn a_line_says_everything() {
        let before = status(100_000, 1.0, 3.0);
        let now = status(150_000, 1.5, 7.0);
        let figures = Figures::of(&now, Some((Duration::from_secs(5), &before)));
        assert_eq!(
            figures.line(),
            "0:30  150,000 of 450,000 trajectories  step 3,797  loss 0.4123  log Z 11.380  \
             TV 0.2310  2,950/s  2 actors  lag 5.125 (max 12)  waiting: actors for credit 80 %  \
             eta 1:00"
        );
        assert!((figures.done - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(figures.block().lines().count(), 3);
    }

    #[test]
    fn without_an_exact_distance_a_line_says_what_is_known() {
        let mut now = status(150_000, 1.5, 7.0);
        let figures = [("test_set.spearman", 0.38254), ("modes.found", 3.0), ("modes.known", 60.0)];
        now.evaluation = figures.map(|(name, value)| (name.to_owned(), value)).into();
        assert!(Figures::of(&now, None).line().contains("log Z 11.380  TV 0.2310  modes 3/60  "));
        let by = "rewards".to_owned();
        now.limit = Some(Limit { by, ..Limit::default() });
        now.exact = None;
        let line = Figures::of(&now, None).line();
        assert!(line.contains("log Z 11.380  Spearman 0.383  modes 3/60  "), "{line}");
        assert!(line.contains("  limit: rewards  "), "{line}");
    }

    #[test]
    fn after_training_it_says_what_is_still_done() {
        let mut now = status(450_000, 1.5, 7.0);
        now.state = RunState::Stopping.into();
        let line = Figures::of(&now, None).line();
        assert!(line.ends_with("  training is over, evaluating once more"), "{line}");
    }

    #[test]
    fn the_nearest_stop_counts_and_an_empty_status_is_fine() {
        let mut now = status(150_000, 0.0, 0.0);
        now.goals = Some(Goals {
            generated: Some(450_000),
            updates: Some(4_000),
            seconds: Some(600.0),
            ..Goals::default()
        });
        assert_eq!(Figures::of(&now, None).goal, "3,797 of 4,000 updates");
        let empty = Figures::of(&StatusReply::default(), None);
        assert_eq!((empty.done, empty.goal.as_str()), (0.0, "0 trajectories"));
    }
}
