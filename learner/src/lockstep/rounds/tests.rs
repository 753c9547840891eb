#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;
use tributary_common::ids::{ActorId, Epoch, Incarnation};
use tributary_common::random::{Purpose, Stream};

const PATIENCE: Duration = Duration::from_secs(10);
const POLICY: PolicyVersion = PolicyVersion { incarnation: Incarnation(1), step: 4 };

fn session(actor: u64) -> SessionKey {
    let epoch = Epoch { incarnation: Incarnation(1), counter: actor };
    SessionKey { actor: ActorId(actor), epoch }
}

fn rounds(most: u64) -> Rounds<u64> {
    Rounds::new(most, PATIENCE, SavedRounds::default())
}

/// Who was told to draw which indices.
fn given(rounds: &mut Rounds<u64>, now: Instant) -> Vec<(u64, Range<u64>)> {
    let orders = rounds.hand_out(now).into_iter();
    orders.map(|(session, order)| (session.actor.0, order.indices())).collect()
}

fn answer(rounds: &mut Rounds<u64>, actor: u64, indices: Range<u64>) {
    indices.for_each(|index| rounds.answer(session(actor), index, Some(index)));
}

#[test]
fn a_round_is_divided_among_those_who_are_there_and_taken_in_order() {
    let (mut rounds, now) = (rounds(4), Instant::now());
    rounds.begin(POLICY, 20, now);
    assert!(given(&mut rounds, now).is_empty(), "nobody is there");
    rounds.join(session(1), 1);
    rounds.join(session(2), 2);
    // Two orders for each thread, of `most` trajectories; nobody was there to divide by.
    let orders = given(&mut rounds, now);
    let expected = [(1, 0..4), (2, 4..8), (2, 8..12), (1, 12..16), (2, 16..20)];
    assert_eq!(orders, expected);
    for (actor, indices) in expected.into_iter().rev() {
        assert_eq!(rounds.take(), None);
        answer(&mut rounds, actor, indices);
    }
    assert_eq!(rounds.take(), Some((0..20).collect()));
    assert_eq!(rounds.saved(), SavedRounds { round: 1, next: 20 });
    // A small round goes to all threads.
    rounds.begin(POLICY, 6, now);
    assert_eq!(given(&mut rounds, now), [(1, 20..22), (2, 22..24), (2, 24..26)]);
    assert_eq!(rounds.saved(), SavedRounds { round: 1, next: 20 }, "it is not over");
}

#[test]
fn what_a_session_leaves_undone_is_given_out_again() {
    let (mut rounds, now) = (rounds(8), Instant::now());
    rounds.join(session(1), 1);
    rounds.begin(POLICY, 8, now);
    assert_eq!(given(&mut rounds, now), [(1, 0..8)]);
    answer(&mut rounds, 1, 2..4);
    answer(&mut rounds, 1, 7..8);
    rounds.leave(session(1), now);
    assert!(given(&mut rounds, now).is_empty());
    rounds.join(session(2), 1);
    assert_eq!(given(&mut rounds, now), [(2, 0..2), (2, 4..7)]);
    answer(&mut rounds, 2, 0..2);
    // The first one comes back and sends what it had drawn: each index counts once.
    answer(&mut rounds, 1, 4..6);
    answer(&mut rounds, 2, 4..7);
    assert_eq!(rounds.take(), Some((0..8).collect()));
}

#[test]
fn each_trajectory_is_told_from_those_that_do_not_belong() {
    let (mut rounds, now) = (rounds(8), Instant::now());
    rounds.join(session(1), 1);
    let standing = |rounds: &Rounds<u64>, round, index, policy| {
        rounds.standing(Place { round, index }, policy)
    };
    assert!(matches!(standing(&rounds, 1, 0, POLICY), Standing::Foreign(_)));
    rounds.begin(POLICY, 4, now);
    answer(&mut rounds, 1, 0..4);
    rounds.take().unwrap();
    let next = PolicyVersion { step: 8, ..POLICY };
    rounds.begin(next, 4, now);
    answer(&mut rounds, 1, 5..6);
    for (round, index, policy, expected) in [
        (1, 3, POLICY, Standing::Duplicate),
        (2, 5, next, Standing::Duplicate),
        (2, 4, next, Standing::New),
    ] {
        assert_eq!(standing(&rounds, round, index, policy), expected, "{index}");
    }
    let older = PolicyVersion { incarnation: Incarnation(0), ..next };
    for (round, index, policy, why) in [
        (2, 8, next, "trajectory 8 is none of 4..8"),
        (1, 4, next, "for round 1, asked for is"),
        (2, 4, POLICY, "drawn with 1.4 for round 2"),
        (2, 4, older, "drawn with 0.8 for round 2"),
    ] {
        let Standing::Foreign(said) = standing(&rounds, round, index, policy) else {
            panic!("{index} of {round} with {policy} was taken");
        };
        assert!(said.contains(why), "{said}");
    }
    rounds.close();
    assert_eq!(standing(&rounds, 2, 4, next), Standing::Closed);
    assert_eq!(standing(&rounds, 1, 2, POLICY), Standing::Duplicate);
    assert_eq!(rounds.saved(), SavedRounds { round: 1, next: 4 }, "the open round is drawn again");
    let rejected = {
        let mut rounds = Rounds::new(8, PATIENCE, rounds.saved());
        rounds.begin(next, 2, now);
        rounds.answer(session(1), 4, None);
        assert_eq!(standing(&rounds, 2, 4, next), Standing::Duplicate, "its actor was told why");
        rounds.answer(session(1), 5, Some(5));
        rounds.take()
    };
    assert_eq!(rejected, Some(vec![5]));
}

#[test]
fn a_straggler_is_helped_and_named_if_that_is_in_vain() {
    let (mut rounds, now) = (rounds(4), Instant::now());
    rounds.join(session(1), 1);
    rounds.join(session(2), 1);
    rounds.begin(POLICY, 8, now);
    assert_eq!(given(&mut rounds, now), [(1, 0..4), (2, 4..8)]);
    answer(&mut rounds, 2, 4..8);
    answer(&mut rounds, 1, 0..1);
    assert_eq!(rounds.look(now + PATIENCE / 2), Ok(()));
    let later = now + PATIENCE;
    assert_eq!(rounds.look(later), Ok(()));
    assert_eq!(given(&mut rounds, later), [(2, 1..4)], "not to the one that is late");
    let overdue = rounds.look(later + PATIENCE).unwrap_err();
    assert_eq!(overdue, Overdue { round: 1, missing: 3, sessions: vec![session(1), session(2)] });

    // Late, but before the end: it counts, and the actor is as good as any other again.
    let mut rounds = super::Rounds::new(4, PATIENCE, SavedRounds::default());
    rounds.join(session(1), 1);
    rounds.join(session(2), 1);
    rounds.begin(POLICY, 4, now);
    assert_eq!(given(&mut rounds, now), [(1, 0..2), (2, 2..4)]);
    answer(&mut rounds, 2, 2..4);
    assert_eq!(rounds.look(later), Ok(()));
    answer(&mut rounds, 1, 0..2);
    assert_eq!(rounds.take(), Some((0..4).collect()));
    rounds.begin(POLICY, 2, later);
    assert_eq!(given(&mut rounds, later), [(1, 4..5), (2, 5..6)]);
}

#[test]
fn the_only_actor_is_asked_twice() {
    let (mut rounds, now) = (rounds(4), Instant::now());
    rounds.join(session(1), 1);
    rounds.begin(POLICY, 4, now);
    assert_eq!(given(&mut rounds, now), [(1, 0..4)]);
    assert_eq!(rounds.look(now + PATIENCE), Ok(()));
    assert_eq!(given(&mut rounds, now + PATIENCE), [(1, 0..4)]);
    rounds.leave(session(1), now + PATIENCE);
    assert_eq!(rounds.look(now + PATIENCE * 3 / 2), Ok(()));
    let overdue = rounds.look(now + PATIENCE * 2).unwrap_err();
    assert_eq!(overdue.sessions, [session(1)]);
}

/// Actors join, leave, answer in parts and twice; every round comes out whole and in order.
#[test]
fn whoever_comes_and_goes_rounds_are_whole() {
    for seed in 0..200 {
        let mut stream = Stream::new(seed, Purpose::Walk, 0, 0);
        let (mut rounds, now) = (rounds(1 + stream.below(6) as u64), Instant::now());
        let mut held: Vec<(SessionKey, WorkOrder)> = Vec::new();
        let (mut actors, mut next) = (Vec::new(), 0);
        for _ in 0..5 {
            let count = 1 + stream.below(40) as u64;
            rounds.begin(POLICY, count, now);
            let whole = loop {
                held.extend(rounds.hand_out(now));
                match stream.below(8) {
                    0 => {
                        actors.push(session(stream.bits() >> 32));
                        rounds.join(*actors.last().unwrap(), 1 + stream.below(3));
                    }
                    1 if !actors.is_empty() => {
                        let gone = actors.swap_remove(stream.below(actors.len()));
                        rounds.leave(gone, now);
                    }
                    2 => rounds.look(now + PATIENCE / 2).unwrap(),
                    _ if !held.is_empty() => {
                        // Also orders of sessions that are over; some are answered twice.
                        let place = stream.below(held.len());
                        let (session, order) = held[place];
                        for index in order.indices().filter(|_| stream.below(4) > 0) {
                            let place = Place { round: order.round, index };
                            if rounds.standing(place, order.policy) == Standing::New {
                                rounds.answer(session, index, Some(index));
                            }
                        }
                        if stream.below(2) == 0 && order.round < rounds.saved().round {
                            held.swap_remove(place);
                        }
                    }
                    _ => {}
                }
                if let Some(whole) = rounds.take() {
                    break whole;
                }
            };
            assert_eq!(whole, (next..next + count).collect::<Vec<_>>(), "seed {seed}");
            next += count;
        }
    }
}
