#![allow(clippy::unwrap_used)]
use super::*;
use crate::figures::RunState;
use crate::watchdog::Readiness;

/// A run with two actors that are at work, at this second.
fn at(second: u64) -> Look {
    Look { now: Duration::from_secs(second), connected: 2, known: 2, ..Look::default() }
}

fn waiting(second: u64, edge: Edge) -> Look {
    Look { waits: vec![(edge, 7)], ..at(second) }
}

/// Looks each second from `from` to `to`; what was said, with its second.
fn looks(rule: &mut Rule, from: u64, to: u64, look: impl Fn(u64) -> Look) -> Vec<(u64, Line)> {
    let said = |second| rule.look(&look(second)).into_iter().map(move |line| (second, line));
    (from..=to).flat_map(said).collect()
}

fn stalled(lines: &[(u64, Line)]) -> Vec<u64> {
    lines.iter().filter(|(_, l)| matches!(l, Line::Stalled(_))).map(|(second, _)| *second).collect()
}

fn the_reason(look: impl Fn(u64) -> Look) -> String {
    let mut rule = Rule::default();
    looks(&mut rule, 0, 31, look);
    rule.stalls().first().unwrap().reason.clone()
}

#[test]
fn a_wait_is_a_stall_after_30_seconds_and_is_repeated_less_and_less_often() {
    let mut rule = Rule::default();
    let lines = looks(&mut rule, 0, 300, |second| waiting(second, Edge::TrainerData));
    assert_eq!(stalled(&lines), [30, 60, 120, 240]);
    assert_eq!(rule.stalls()[0].waited, Duration::from_secs(300));
    let over = rule.look(&at(301));
    assert_eq!(over, [Line::Over(Edge::TrainerData, Duration::from_secs(300))]);
    assert_eq!(rule.stalls(), []);
}

#[test]
fn waits_that_end_are_no_stall_however_many_there_are() {
    let mut rule = Rule::default();
    let busy = |second| Look { waits: vec![(Edge::IngestReplay, second)], ..at(second) };
    assert_eq!(looks(&mut rule, 0, 500, busy), []);
    let slow = |second| Look { waits: vec![(Edge::IngestReplay, second / 29)], ..at(second) };
    assert_eq!(looks(&mut rule, 501, 900, slow), []);
}

#[test]
fn a_learner_that_was_stopped_stood_still_and_nobody_stalled() {
    let mut rule = Rule::default();
    looks(&mut rule, 0, 10, |second| waiting(second, Edge::TrainerData));
    let back =
        Look { silent: (2, Duration::from_secs(60), Vec::new()), ..waiting(70, Edge::TrainerData) };
    assert_eq!(rule.look(&back), [Line::StoodStill(Duration::from_secs(60))]);
    assert_eq!(looks(&mut rule, 71, 80, |second| waiting(second, Edge::TrainerData)), []);
}

#[test]
fn silent_actors_are_named_and_stop_nothing() {
    let mut rule = Rule::default();
    let names = || vec!["4 far on n7".to_owned()];
    let silent =
        |second: u64| Look { silent: (1, Duration::from_secs(second), names()), ..at(second) };
    let lines = looks(&mut rule, 31, 200, silent);
    assert_eq!(stalled(&lines), [31, 62, 124]);
    let stalls = rule.stalls();
    assert!(stalls[0].reason.contains("1 of 2 connected actors are silent: 4 far on n7;"));
    assert_eq!(Readiness::of(RunState::Running, &stalls), Readiness::Ready);
}

#[test]
fn the_reason_of_missing_data_is_looked_for_in_the_actors() {
    let wait = |second| waiting(second, Edge::TrainerData);
    let reason = the_reason(|second| Look { connected: 0, known: 0, ..wait(second) });
    assert!(reason.ends_with("no actor has come yet"), "{reason}");
    let reason = the_reason(|second| Look { connected: 0, ..wait(second) });
    assert!(reason.ends_with("no actor is connected any more, of 2 that were"), "{reason}");
    let waits = |second: u64, edge: &str| {
        let waited = [("credit", 4.0), (edge, 4.0 + second as f64)];
        let waited = waited.map(|(edge, seconds)| (edge.to_owned(), seconds)).into();
        Look { actors_waited: waited, ..wait(second) }
    };
    let reason = the_reason(|second| waits(second, "reward"));
    assert!(reason.ends_with("the 2 actors wait for their reward, which is slow"), "{reason}");
    let reason = the_reason(|second| waits(second, "weights"));
    assert!(reason.ends_with("wait for the first weights"), "{reason}");
    let reason = the_reason(|second| Look { accepted: second / 10, ..wait(second) });
    assert!(reason.contains("only 3 trajectories were accepted"), "{reason}");
    let reason = the_reason(|second| Look { received: second, ..wait(second) });
    assert!(reason.contains("of 31 received meanwhile none was accepted"), "{reason}");
    let reason = the_reason(wait);
    assert!(reason.ends_with("send nothing and do not say why"), "{reason}");
}

#[test]
fn a_full_replay_is_blamed_on_what_the_trainer_does() {
    let look = |second, edge| {
        let waits = vec![(edge, 3), (Edge::IngestReplay, 9)];
        Look { waits, without_credit: 2, ..at(second) }
    };
    let mut rule = Rule::default();
    let lines = looks(&mut rule, 0, 30, |second| look(second, Edge::TrainerUpdate));
    assert_eq!(stalled(&lines), [30, 30], "both edges, once: {lines:?}");
    let stalls = rule.stalls();
    let replay = stalls.iter().find(|stall| stall.edge == Edge::IngestReplay).unwrap();
    assert!(replay.reason.contains("the trainer is busy with one update; 2 of 2 actors wait"));
    let Readiness::NotReady(text) = Readiness::of(RunState::Running, &stalls) else {
        unreachable!("a stalled run is not ready")
    };
    assert!(text.starts_with("stalled: trainer.update for 30 s: "), "{text}");
}

#[test]
fn credit_that_nobody_gets_is_a_stall_of_its_own() {
    let mut rule = Rule::default();
    let look = |second| Look { without_credit: 2, received: 50, pending: 8, ..at(second) };
    assert_eq!(stalled(&looks(&mut rule, 0, 31, look)), [30]);
    assert!(rule.stalls()[0].reason.contains("8 records are received and not decided"));
    let settling = |second| Look { pending: 50 - second, ..look(second) };
    let mut rule = Rule::default();
    assert_eq!(looks(&mut rule, 0, 45, settling), [], "what is settled is progress");
}

#[test]
fn a_run_is_ready_only_while_it_runs() {
    for state in [RunState::Recovering, RunState::Degraded, RunState::Stopping] {
        assert!(matches!(Readiness::of(state, &[]), Readiness::NotReady(_)), "{state:?}");
    }
    assert_eq!(Readiness::of(RunState::Running, &[]), Readiness::Ready);
}
