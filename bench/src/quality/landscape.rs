//! All words with their log-rewards.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result, ensure};
use tributary_common::exact::Target;
use tributary_common::object::Object;
use tributary_common::registry::Task;

/// The letters of a word.
const LETTERS: [char; 4] = ['A', 'C', 'G', 'T'];

/// Words over four letters, of one length, in the order of their letters.
pub(crate) struct Landscape {
    log_rewards: Vec<f64>,
    objects: Vec<Object>,
    best: HashSet<Object>,
    length: usize,
}

impl Landscape {
    /// Of a task whose objects are all words over ACGT of one length.
    pub(crate) fn new(task: &Task, target: &Target) -> Result<Self> {
        let list = task.environment.enumeration().context("objects that cannot be listed")?;
        let mut state = vec![0; task.environment.state_width()];
        let mut finished = Vec::new();
        for index in 0..list.states() {
            list.state(index, &mut state);
            if task.environment.can_stop(&state) {
                finished.push(task.environment.object(&state));
            }
        }
        let values: HashMap<Object, f64> =
            finished.into_iter().zip(target.log_rewards().iter().copied()).collect();
        let length = values.len().ilog(LETTERS.len()) as usize;
        ensure!(LETTERS.len().pow(length as u32) == values.len(), "not all words of one length");
        let words = (0..values.len()).map(|index| word(index, length));
        let log_rewards: Option<Vec<f64>> = words.map(|word| values.get(&word).copied()).collect();
        Ok(Self::of(log_rewards.context("a word is missing")?, length))
    }

    fn of(log_rewards: Vec<f64>, length: usize) -> Self {
        let objects: Vec<Object> =
            (0..log_rewards.len()).map(|index| word(index, length)).collect();
        let mut order: Vec<usize> = (0..objects.len()).collect();
        order.sort_by(|&a, &b| log_rewards[b].total_cmp(&log_rewards[a]));
        let count = objects.len() / 100;
        let best = order[..count].iter().map(|&index| objects[index].clone()).collect();
        Self { log_rewards, objects, best, length }
    }

    /// The first words of so many letters, with these log-rewards.
    #[cfg(test)]
    pub(super) fn of_test(log_rewards: Vec<f64>, length: usize) -> Self {
        Self::of(log_rewards, length)
    }

    /// Words.
    pub(crate) fn len(&self) -> usize {
        self.objects.len()
    }

    /// Letters of a word.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    pub(super) fn object(&self, index: usize) -> &Object {
        &self.objects[index]
    }

    pub(crate) fn log_reward(&self, index: usize) -> f64 {
        self.log_rewards[index]
    }

    /// How many are the best hundredth.
    pub(super) fn best(&self) -> usize {
        self.best.len()
    }

    pub(super) fn is_best(&self, object: &Object) -> bool {
        self.best.contains(object)
    }
}

/// The word whose letters are the digits of its index, the last letter first.
fn word(index: usize, length: usize) -> Object {
    let letter = |place: usize| LETTERS[index / LETTERS.len().pow(place as u32) % LETTERS.len()];
    Object::Text((0..length).map(letter).collect())
}
