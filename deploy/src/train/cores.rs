//! How the cores of one machine are divided between a learner and its actors.

use std::thread;

/// More threads than this make small networks slower.
const MOST_LEARNER_THREADS: usize = 8;

/// Who gets how many cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Division {
    /// Threads of the learner's tensor operations.
    pub(super) learner_threads: usize,
    /// Actors.
    pub(super) actors: usize,
}

/// Cores that this process may use.
pub(super) fn available() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Divides `cores` among a learner and actors of `actor_threads` rollout threads each, respecting
/// what is given: a quarter of the cores to the learner and the rest to actors, of which there are
/// at least two, since actors wait while the learner is busy.
pub(super) fn divide(
    cores: usize,
    actor_threads: usize,
    actors: Option<usize>,
    learner_threads: Option<usize>,
) -> Division {
    let share = match actors {
        Some(actors) => cores.saturating_sub(actors * actor_threads),
        None => cores / 4,
    };
    let learner_threads = learner_threads.unwrap_or(share.clamp(1, MOST_LEARNER_THREADS));
    let left = cores.saturating_sub(learner_threads) / actor_threads.max(1);
    Division { learner_threads, actors: actors.unwrap_or(left.max(2)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divided(cores: usize, actors: Option<usize>, learner: Option<usize>) -> (usize, usize) {
        let division = divide(cores, 1, actors, learner);
        (division.learner_threads, division.actors)
    }

    #[test]
    fn no_core_is_asked_for_twice_where_there_are_enough() {
        assert_eq!(divided(1, None, None), (1, 2));
        assert_eq!(divided(2, None, None), (1, 2));
        assert_eq!(divided(4, None, None), (1, 3));
        assert_eq!(divided(8, None, None), (2, 6));
        assert_eq!(divided(64, None, None), (8, 56));
        assert_eq!(divided(8, Some(5), None), (3, 5));
        assert_eq!(divided(8, Some(20), None), (1, 20));
        assert_eq!(divided(8, None, Some(4)), (4, 4));
        assert_eq!(divide(16, 4, None, None), Division { learner_threads: 4, actors: 3 });
    }
}
