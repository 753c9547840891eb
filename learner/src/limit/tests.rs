#![allow(clippy::unwrap_used)]
use super::*;

const SECONDS: u64 = 20;

/// Shares of the time of each of so many actors, with one rollout thread each.
#[derive(Clone, Copy, Default)]
struct Case {
    actors: u64,
    trainer: f64,
    credit: f64,
    network: f64,
    queue: f64,
    ledger: f64,
    measuring: f64,
    is_intake_behind: bool,
}

/// The run in which these shares stay the same, second after second.
fn limit(case: Case) -> Limit {
    let mut watch = Watch::new(1);
    let mut said = None;
    for second in 0..=SECONDS {
        let at = second as f64;
        let work = Work {
            credit: at * case.credit,
            network: at * case.network,
            queue: at * case.queue,
            ledger: at * case.ledger,
            evaluations: 4 * second,
            evaluation_seconds: at * case.measuring,
        };
        let moment = Moment {
            at: Duration::from_secs(1_000 + second),
            trainer_waited: at * case.trainer,
            is_intake_behind: case.is_intake_behind,
            generated: 100 * second,
            actors: (1..=case.actors).map(|id| (ActorId(id), work)).collect(),
        };
        said = watch.see(moment);
        assert_eq!(said.is_some(), second >= 5, "after {second} s: {said:?}");
    }
    said.unwrap()
}

#[test]
fn each_of_the_four_is_found_and_how_many_actors_would_do() {
    use Bound::{Learner, Network, Rewards, Rollouts};
    let none = Case { actors: 4, ..Case::default() };
    let cases = [
        // Training never waits; actors do, for credit.
        (Case { credit: 0.75, ..none }, Learner, 1),
        (Case { trainer: 0.1, queue: 1.0, measuring: 8.0, ..none }, Learner, 4),
        // Training waits for what programs measure; rollouts wait for a place.
        (Case { trainer: 0.75, queue: 0.97, measuring: 8.0, ..none }, Rewards, 16),
        (Case { trainer: 0.5, queue: 0.2, measuring: 0.95, ..none }, Rewards, 8),
        // Others measure what these wait for.
        (Case { trainer: 0.9, ledger: 0.8, measuring: 0.2, ..none }, Rewards, 40),
        // The rewards cost nothing, or less than the drawing.
        (Case { trainer: 0.75, ..none }, Rollouts, 16),
        (Case { trainer: 0.5, queue: 0.03, measuring: 0.4, ..none }, Rollouts, 8),
        (Case { trainer: 1.0, ..none }, Rollouts, 400),
        // What is ready does not come through.
        (Case { trainer: 0.6, credit: 0.9, ..none }, Network, 4),
        (Case { trainer: 0.6, network: 0.8, queue: 1.0, ..none }, Network, 4),
        // Nobody is told what to measure.
        (Case { trainer: 0.9, ledger: 0.95, measuring: 0.01, queue: 0.9, ..none }, Network, 4),
        // The disk of the learner holds up what comes.
        (Case { trainer: 0.6, credit: 0.9, is_intake_behind: true, ..none }, Learner, 4),
    ];
    for (i, (case, bound, wanted)) in cases.into_iter().enumerate() {
        let limit = limit(case);
        assert_eq!((limit.bound, limit.wanted), (bound, wanted), "case {i}: {limit}");
        assert!(limit.to_string().starts_with(bound.name()), "{limit}");
    }
}

#[test]
fn the_line_has_the_numbers_and_what_would_help() {
    let slow = Case { actors: 4, trainer: 0.75, queue: 0.97, measuring: 8.0, ..Case::default() };
    assert_eq!(
        limit(slow).to_string(),
        "rewards: 16 objects/s by 4 actors, 2.00 s for each; rollouts wait 97 % of the time \
         and training 75 %; add about 12 actors, or workers that measure"
    );
    let alone = Case { actors: 1, trainer: 0.4, ..Case::default() };
    assert_eq!(
        limit(alone).to_string(),
        "rollouts: 100 trajectories/s by 1 actor without much waiting; training waits 40 % of the \
         time; add about 1 actor, or threads to each"
    );
    let busy = Case { actors: 8, credit: 0.5, ..Case::default() };
    let said = limit(busy).to_string();
    assert!(said.ends_with("more actors would not: about 4 would do"), "{said}");
}

#[test]
fn a_wait_that_lasts_counts_and_who_comes_anew_does_not() {
    let mut watch = Watch::new(1);
    let moment = |second: u64, actors: &[(u64, f64)]| Moment {
        at: Duration::from_secs(second),
        trainer_waited: second as f64,
        actors: actors
            .iter()
            .map(|(id, queue)| (ActorId(*id), Work { queue: *queue, ..Work::default() }))
            .collect(),
        ..Moment::default()
    };
    assert_eq!(watch.see(moment(0, &[])), None);
    assert_eq!(watch.see(moment(1, &[(1, 100.0), (2, 0.0)])), None);
    // Actor 1 was started again and counts from zero; actor 3 has just come.
    let limit = watch.see(moment(11, &[(1, 2.0), (2, 9.0), (3, 50.0)])).unwrap();
    assert_eq!((limit.bound, limit.actors), (Bound::Rewards, 1));
    // Nobody is left.
    assert_eq!(watch.see(moment(20, &[])), None);
    // What is long ago is forgotten.
    let limits: Vec<_> = (21..80).map(|second| watch.see(moment(second, &[(2, 9.0)]))).collect();
    assert_eq!(limits.last().unwrap().unwrap().bound, Bound::Rollouts);
}
