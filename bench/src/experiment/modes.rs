//! Which modes were found among the objects drawn in training.

use std::collections::HashSet;

use anyhow::{Result, bail};
use tributary_common::exact::Target;
use tributary_common::object::Object;
use tributary_common::reward::BitSequence;

use super::{Drawn, Experiment};

/// The modes of a task, and those found so far.
pub(crate) enum Modes {
    /// Objects of at least this log-reward.
    Best { least: f64, of: usize, found: HashSet<Object> },
    /// Balls around hidden strings of bits, by index.
    Balls { strings: Vec<String>, radius: f64, found: HashSet<usize> },
}

impl Modes {
    /// The best objects of a target: the given fraction of all, at least one, and those that are
    /// worth as much as the last of them.
    pub(crate) fn best(target: &Target, fraction: f64) -> Self {
        let mut log_rewards = target.log_rewards().to_vec();
        log_rewards.sort_unstable_by(|a, b| b.total_cmp(a));
        let last = ((fraction * log_rewards.len() as f64) as usize).max(1) - 1;
        // Sums in another order differ in the last digits.
        let least = log_rewards[last] - 1e-9;
        let of = log_rewards.partition_point(|&log_reward| log_reward >= least);
        Self::Best { least, of, found: HashSet::new() }
    }

    /// The hidden modes of a bit sequence, each found within this many bits of it.
    pub(crate) fn balls(experiment: &Experiment, radius: f64) -> Result<Self> {
        let mut strings = Vec::new();
        for mode in bit_sequence(experiment)?.modes() {
            match mode {
                Object::Text(text) if !strings.contains(&text) => strings.push(text),
                Object::Text(_) => {}
                other => bail!("{other} is no string of bits"),
            }
        }
        Ok(Self::Balls { strings, radius, found: HashSet::new() })
    }

    /// Counts an object; the raw value of a bit sequence is its distance to the nearest mode.
    pub(crate) fn drawn(&mut self, drawn: &Drawn<'_>) {
        match self {
            Self::Best { least, found, .. } => {
                if drawn.log_reward >= *least && !found.contains(drawn.object) {
                    found.insert(drawn.object.clone());
                }
            }
            Self::Balls { strings, radius, found } => {
                let Object::Text(text) = drawn.object else { return };
                if drawn.raw.first().is_none_or(|nearest| nearest > radius) {
                    return;
                }
                let near = |(i, mode): (usize, &String)| {
                    let pairs = mode.bytes().zip(text.bytes());
                    let distance = pairs.filter(|(a, b)| a != b).count();
                    (distance as f64 <= *radius).then_some(i)
                };
                found.extend(strings.iter().enumerate().filter_map(near));
            }
        }
    }

    /// Modes found.
    pub(crate) fn found(&self) -> usize {
        match self {
            Self::Best { found, .. } => found.len(),
            Self::Balls { found, .. } => found.len(),
        }
    }

    /// Modes there are.
    pub(crate) fn of(&self) -> usize {
        match self {
            Self::Best { of, .. } => *of,
            Self::Balls { strings, .. } => strings.len(),
        }
    }
}

/// The reward of an experiment on strings of bits.
pub(crate) fn bit_sequence(experiment: &Experiment) -> Result<BitSequence> {
    let Experiment { run_file, task, .. } = experiment;
    let reward = BitSequence::from_section(&run_file.reward.section, task.environment.as_ref());
    reward.map_err(|problems| match problems.first() {
        Some(problem) => anyhow::anyhow!("{problem}"),
        None => anyhow::anyhow!("no reward of bits"),
    })
}
