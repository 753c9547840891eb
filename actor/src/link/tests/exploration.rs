//! Local search and backward trajectories through a whole actor.

use tributary_common::trajectory::TrajectoryKind::{self, Backward, Forward, LocalSearch};

use super::*;
use crate::fakes::learner::Accepted;

fn count(accepted: &[Accepted], kind: TrajectoryKind) -> usize {
    accepted.iter().filter(|one| one.kind == kind).count()
}

/// Every trajectory is legal and has the value of its object.
fn check_values(accepted: &[Accepted]) {
    let (_, task) = Registry::builtin().read(GRID, &[], Path::new("")).unwrap();
    let mut state = vec![0; task.environment.state_width()];
    for one in accepted {
        trajectory::replay(&*task.environment, &one.actions, &mut state, |_, _| ()).unwrap();
        let mut raw = Vec::new();
        task.reward.evaluate(&[task.environment.object(&state)], &mut raw).unwrap();
        assert_eq!(one.raw, raw, "{one:?}");
    }
}

#[tokio::test]
async fn each_trajectory_is_searched_around_in_so_many_rounds() {
    for accept in ["greedy", "metropolis_hastings"] {
        let keys = format!("local_search = {{ rounds = 3, steps = 2, accept = '{accept}' }}");
        let pair = Pair::start(setting(&format!("{GRID}[exploration]\n{keys}"))).await;
        pair.accepts(1_000).await;
        pair.shutdown.drain.cancel();
        let (outcome, learner) = pair.end().await;
        check_books(&learner, &outcome.unwrap());
        let accepted = learner.accepted();
        check_values(&accepted);
        let (forward, proposals) = (count(&accepted, Forward), count(&accepted, LocalSearch));
        assert_eq!(forward + proposals, accepted.len());
        assert!(forward % 16 == 0 && proposals % 16 == 0, "{forward} and {proposals}");
        // Up to two batches of 16 were not searched around to the end.
        let missing = 3 * forward - proposals;
        assert!(missing <= 2 * 3 * 16, "{proposals} proposals for {forward} trajectories");
        // Only a proposal of the object where the search stands costs nothing.
        let paid = accepted.iter().filter(|one| one.kind == LocalSearch && one.seconds > 0.0);
        assert!(paid.count() > proposals / 2);
    }
}

#[tokio::test]
async fn a_search_survives_missing_credit_and_a_cut() {
    let keys = "[exploration]\nlocal_search = { rounds = 5, steps = 2 }\nbackward = 0.25\n";
    let pair = Pair::start(setting(&format!("{GRID}{keys}"))).await;
    pair.accepts(50).await;
    pair.learner.acks(Acks::Hold);
    let waits = |edge: &str| pair.learner.progress().waited_seconds.get(edge).copied();
    until("the actor waits for credit", || waits("credit") > Some(0.2)).await;
    pair.learner.acks(Acks::Send);
    let before = pair.learner.accepted().len();
    pair.accepts(before + 500).await;
    pair.learner.cut();
    until("a new session", || pair.learner.hellos() > 1).await;
    let before = pair.learner.accepted().len();
    pair.accepts(before + 500).await;
    pair.learner.drain();
    let (outcome, learner) = pair.end().await;
    check_books(&learner, &outcome.unwrap());
    check_values(&learner.accepted());
}

#[tokio::test]
async fn a_share_is_drawn_backward_from_known_objects_without_paying_again() {
    let pair = Pair::start(setting(&format!("{GRID}[exploration]\nbackward = 0.25\n"))).await;
    pair.accepts(3_000).await;
    pair.shutdown.drain.cancel();
    let (outcome, learner) = pair.end().await;
    check_books(&learner, &outcome.unwrap());
    let accepted = learner.accepted();
    check_values(&accepted);
    let (all, backward) = (accepted.len() as f64, count(&accepted, Backward) as f64);
    // The first batches have nothing to go back from.
    assert!((backward / all - 0.25).abs() < 0.05, "{backward} of {all}");
    let paid = |one: &Accepted| one.seconds > 0.0;
    assert!(accepted.iter().all(|one| paid(one) == (one.kind == Forward)));
}

#[tokio::test]
async fn every_initial_object_is_started_from_once() {
    let run_file =
        format!("{WORDS}[exploration]\ninitial = 'start.csv'\nlocal_search = {{ rounds = 1 }}\n");
    let start = ("start.csv".to_owned(), b"word,value\nC,1.0\nA\n".to_vec());
    let mut setting = Setting { run_file, ..words() };
    setting.files.push(start);
    let pair = Pair::start(setting).await;
    pair.accepts(60).await;
    pair.shutdown.drain.cancel();
    let (outcome, learner) = pair.end().await;
    check_books(&learner, &outcome.unwrap());
    let accepted = learner.accepted();
    let mut backward: Vec<_> = accepted.iter().filter(|one| one.kind == Backward).collect();
    backward.sort_by_key(|one| one.actions.clone());
    let told: Vec<_> = backward.iter().map(|one| (one.raw[0], one.seconds > 0.0)).collect();
    assert_eq!(told, [(0.25, true), (1.0, false)], "A was measured, C was not");
    assert!(count(&accepted, LocalSearch) > 0 && count(&accepted, Forward) > 0);
}
