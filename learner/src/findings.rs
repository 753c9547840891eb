//! What the accepted objects of a run are: modes found, the best, the most recent. Bounded memory:
//! the modes that are left, k best objects, and one number for each recent one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use tributary_common::environment::Environment;
use tributary_common::estimate::{EvaluationData, ModeSearch, Top};
use tributary_common::exact::{Empirical, Target};
use tributary_common::object::Object;
use tributary_common::plain_text::plain_up_to;
use tributary_common::run_file;
use tributary_common::statistics::mean;

use crate::locks::lock;

/// Modes among the accepted objects so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ModeFigures {
    /// Modes that are known of.
    pub known: u64,
    /// Those that an accepted object has found.
    pub found: u64,
}

/// The best among the accepted objects so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct TopFigures {
    /// How many there are: k, or fewer at first.
    pub count: u64,
    /// The mean of their log-rewards; none while one of them has R = 0.
    pub mean_log_reward: Option<f64>,
    /// The lowest of their log-rewards.
    pub lowest_log_reward: Option<f64>,
    /// The highest.
    pub highest_log_reward: Option<f64>,
    /// The mean distance of all pairs of them.
    pub diversity: Option<f64>,
    /// Their mean distance to the nearest object of the reference.
    pub novelty: Option<f64>,
}

/// Characters that are shown of an object.
const MOST_SHOWN: usize = 512;

/// One of the best objects.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BestObject {
    /// As people write it, without what could forge a line.
    pub object: String,
    /// None for R = 0.
    pub log_reward: Option<f64>,
    /// The distance to the nearest object that is better; none for the best, and without distances.
    pub nearest: Option<f64>,
}

/// What a checkpoint keeps of what was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SavedFindings {
    /// Modes found.
    modes: Vec<Object>,
    /// The best objects, ascending; JSON has no log-reward of R = 0.
    top: Vec<(Object, Option<f64>)>,
    /// The places of the last objects.
    recent: Vec<u64>,
}

/// Looks at accepted objects as they come, on behalf of the evaluation.
pub struct Findings {
    environment: Arc<dyn Environment>,
    reference: Vec<Object>,
    found: Mutex<Found>,
}

struct Found {
    modes: ModeSearch,
    top: Top,
    /// The places in the enumeration of the last objects, the oldest in front.
    recent: VecDeque<u64>,
    most_recent: usize,
}

impl Findings {
    /// Nothing has been found. Recent objects are kept where the environment can list its states and
    /// has at most `max_states`.
    pub fn new(
        config: &run_file::Evaluation,
        environment: &Arc<dyn Environment>,
        data: &EvaluationData,
    ) -> Self {
        let environment = Arc::clone(environment);
        let is_listed =
            environment.enumeration().is_some_and(|list| list.states() <= config.max_states);
        let modes = data.modes.clone();
        let found = Found {
            modes: ModeSearch::new(Arc::clone(&environment), modes, config.mode_distance),
            top: Top::new(config.top_k),
            recent: VecDeque::new(),
            most_recent: if is_listed { config.recent_objects } else { 0 },
        };
        Self { environment, reference: data.reference.clone(), found: Mutex::new(found) }
    }

    /// For a checkpoint.
    pub fn save(&self) -> SavedFindings {
        let found = lock(&self.found);
        let best = found.top.objects().iter();
        let finite = |value: f64| Some(value).filter(|value| value.is_finite());
        SavedFindings {
            modes: found.modes.found_modes().to_vec(),
            top: best.map(|(log_reward, object)| (object.clone(), finite(*log_reward))).collect(),
            recent: found.recent.iter().copied().collect(),
        }
    }

    /// Goes on from a checkpoint; nothing was found before.
    pub fn restore(&self, saved: &SavedFindings) {
        let mut found = lock(&self.found);
        found.modes.restore(&saved.modes);
        let best = saved.top.iter().cloned();
        let log_reward = |value: Option<f64>| value.unwrap_or(f64::NEG_INFINITY);
        found.top.restore(best.map(|(object, value)| (log_reward(value), object)));
        let skipped = saved.recent.len().saturating_sub(found.most_recent);
        found.recent.extend(&saved.recent[skipped..]);
    }

    /// Looks at an accepted object; `is_new` if it was not accepted before, `is_forward` if the policy
    /// drew it from the initial state on.
    pub fn see(&self, object: &Object, log_reward: f64, is_new: bool, is_forward: bool) {
        let mut found = lock(&self.found);
        if is_new {
            found.modes.see(object);
            found.top.see(object, log_reward);
        }
        if is_forward && found.most_recent > 0 {
            let list = self.environment.enumeration();
            let place = list.zip(self.environment.state_of(object).ok());
            if found.recent.len() == found.most_recent {
                found.recent.pop_front();
            }
            found.recent.extend(place.map(|(list, state)| list.index(&state)));
        }
    }

    /// The modes found so far; none where none is known of.
    pub fn modes(&self) -> Option<ModeFigures> {
        let found = lock(&self.found);
        let (known, found) = (found.modes.known() as u64, found.modes.found() as u64);
        (known > 0).then_some(ModeFigures { known, found })
    }

    /// The best objects so far.
    pub fn best_objects(&self) -> Vec<Object> {
        lock(&self.found).top.objects().iter().map(|(_, object)| object.clone()).collect()
    }

    /// Figures of the best objects so far; none before the first.
    pub fn top(&self) -> Option<TopFigures> {
        let top = lock(&self.found).top.clone();
        let log_rewards: Vec<f64> = top.log_rewards().collect();
        let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
        (!top.is_empty()).then(|| TopFigures {
            count: top.len() as u64,
            mean_log_reward: finite(mean(&log_rewards)),
            lowest_log_reward: finite(log_rewards.first().copied()),
            highest_log_reward: finite(log_rewards.last().copied()),
            diversity: top.diversity(&*self.environment),
            novelty: top.novelty(&*self.environment, &self.reference),
        })
    }

    /// The best objects so far, the best first, at most so many: each with its log-reward and the
    /// distance to the nearest better one.
    pub fn best(&self, most: usize) -> Vec<BestObject> {
        let top = lock(&self.found).top.clone();
        let best: Vec<&(f64, Object)> = top.objects().iter().rev().take(most).collect();
        let distance = |one: &Object, other: &Object| self.environment.distance(one, other);
        let row = |(place, (log_reward, object)): (usize, &&(f64, Object))| {
            let better = best.iter().take(place).filter_map(|(_, other)| distance(object, other));
            BestObject {
                object: plain_up_to(&object.to_string(), MOST_SHOWN),
                log_reward: Some(*log_reward).filter(|value| value.is_finite()),
                nearest: better.min_by(f64::total_cmp),
            }
        };
        best.iter().enumerate().map(row).collect()
    }

    /// How far the recent objects are from the target; none before the first.
    pub fn recent(&self, target: &Target) -> Option<Empirical> {
        let list = self.environment.enumeration()?;
        let mut places: Vec<u64> = lock(&self.found).recent.iter().copied().collect();
        places.sort_unstable();
        let mut left = places.into_iter().peekable();
        let mut state = vec![0; self.environment.state_width()];
        let mut counts = Vec::with_capacity(target.log_rewards().len());
        for index in 0..list.states() {
            list.state(index, &mut state);
            if self.environment.can_stop(&state) {
                let mut count = 0;
                while left.next_if_eq(&index).is_some() {
                    count += 1;
                }
                counts.push(count);
            }
        }
        Empirical::new(target, &counts)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tributary_common::environment::Hypergrid;
    use tributary_common::reward::{HypergridReward, Landscape};

    use super::*;

    fn cell(x: i64, y: i64) -> Object {
        Object::Integers(vec![x, y])
    }

    fn findings(config: &run_file::Evaluation) -> (Findings, Target) {
        let grid = Hypergrid::new(2, 4).unwrap();
        let reward = HypergridReward::new(Landscape::USUAL[0], &grid).unwrap();
        let target = Target::new(&grid, &reward, 100, &mut || true).unwrap();
        let data = EvaluationData {
            modes: vec![cell(0, 0), cell(3, 3)],
            reference: vec![cell(0, 0)],
            ..EvaluationData::default()
        };
        let environment: Arc<dyn Environment> = Arc::new(grid);
        (Findings::new(config, &environment, &data), target)
    }

    #[test]
    fn new_objects_find_modes_and_are_ranked() {
        let config = run_file::Evaluation { mode_distance: 1.0, top_k: 2, ..Default::default() };
        let (findings, _) = findings(&config);
        assert_eq!(findings.modes(), Some(ModeFigures { known: 2, found: 0 }));
        assert_eq!(findings.top(), None);
        findings.see(&cell(2, 2), -1.0, true, true);
        findings.see(&cell(3, 2), -0.5, true, true);
        findings.see(&cell(3, 2), -0.5, false, true);
        findings.see(&cell(1, 1), -2.0, true, true);
        assert_eq!(findings.modes(), Some(ModeFigures { known: 2, found: 1 }));
        let expected = TopFigures {
            count: 2,
            mean_log_reward: Some(-0.75),
            lowest_log_reward: Some(-1.0),
            highest_log_reward: Some(-0.5),
            diversity: Some(1.0),
            novelty: Some(4.5),
        };
        assert_eq!(findings.top(), Some(expected));
        let best = |x, log_reward, nearest| BestObject {
            object: format!("{x} 2"),
            log_reward: Some(log_reward),
            nearest,
        };
        assert_eq!(findings.best(9), [best(3, -0.5, None), best(2, -1.0, Some(1.0))]);
        assert_eq!(findings.best(1).len(), 1);
    }

    #[test]
    fn a_run_that_goes_on_has_found_what_it_had_found() {
        let config = run_file::Evaluation { top_k: 2, recent_objects: 3, ..Default::default() };
        let (before, target) = findings(&config);
        for (x, log_reward) in [(0, f64::NEG_INFINITY), (1, -0.1), (2, f64::NEG_INFINITY), (3, 0.5)]
        {
            before.see(&cell(x, 0), log_reward, true, true);
        }
        let text = serde_json::to_vec(&before.save()).unwrap();
        let (after, _) = findings(&config);
        after.restore(&serde_json::from_slice(&text).unwrap());
        assert_eq!(after.save(), before.save());
        assert_eq!((after.modes(), after.top()), (before.modes(), before.top()));
        assert_eq!(after.recent(&target), before.recent(&target));
        for findings in [&before, &after] {
            findings.see(&cell(3, 3), 0.7, true, true);
        }
        assert_eq!(after.save(), before.save());
        let none = run_file::Evaluation { max_states: 10, ..config };
        let (unlisted, _) = findings(&none);
        unlisted.restore(&before.save());
        assert!(unlisted.save().recent.is_empty());
    }

    #[test]
    fn the_last_forward_objects_are_compared_with_the_target() {
        let config = run_file::Evaluation { recent_objects: 4, ..Default::default() };
        let (recent, target) = findings(&config);
        assert_eq!(recent.recent(&target), None);
        recent.see(&cell(1, 1), 0.0, true, true);
        for (x, is_forward) in [(0, true), (3, true), (3, false), (3, true), (0, true)] {
            recent.see(&cell(x, 0), 0.0, false, is_forward);
        }
        let found = recent.recent(&target).unwrap();
        let p = |cell: usize| (target.log_rewards()[cell] - target.log_z()).exp();
        // Half of the four are in one corner, half in the other; the first has been forgotten. In the
        // order of the enumeration these are the first cell and, whichever coordinate is first, one
        // with the same reward.
        let expected = 0.5 * (2.0 * (0.5 - p(0)) + 1.0 - 2.0 * p(0));
        assert_eq!(found.objects, 4);
        assert!((found.total_variation - expected).abs() < 1e-12, "{found:?}, not {expected}");
        let none = run_file::Evaluation { max_states: 10, ..Default::default() };
        let (unlisted, target) = findings(&none);
        unlisted.see(&cell(1, 1), 0.0, true, true);
        assert_eq!(unlisted.recent(&target), None);
    }
}
