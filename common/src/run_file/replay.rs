//! The section about the replay: what is kept, what a batch is made of, how old a path may be.

use super::keys::{Config, Keys};
use crate::choices;

choices! {
    /// How replay picks the trajectories of a batch.
    pub enum Selector {
        /// In order of arrival.
        Fifo = "fifo",
        /// Any that is kept, each with the same probability.
        Uniform = "uniform",
        /// In proportion to a power of the reward or of the loss.
        Prioritized = "prioritized",
        /// A share of each batch from those with the best rewards, the others from the rest.
        TopFraction = "top_fraction",
    }
}

choices! {
    /// What prioritized replay prefers.
    pub enum Priority {
        /// High rewards: probability in proportion to R^exponent.
        LogReward = "log_reward",
        /// High losses: probability in proportion to loss^exponent, where the loss is the squared
        /// residual of trajectory balance when the trajectory was last trained on.
        Loss = "loss",
    }
}

choices! {
    /// What is kept of a trajectory after it was trained on once.
    pub enum Keep {
        /// All of it: it is trained on again as it was drawn.
        Trajectories = "trajectories",
        /// Its object and log-reward: each further use draws a path to the object with P_B.
        Objects = "objects",
    }
}

choices! {
    /// What becomes of a trajectory whose path is older than `max_lag`.
    pub enum Stale {
        /// The path is discarded and another one drawn to the object.
        Redraw = "redraw",
        /// The trajectory is discarded.
        Reject = "reject",
    }
}

choices! {
    /// What becomes of an object that is found again.
    pub enum Duplicates {
        /// Each of its trajectories is kept.
        Keep = "keep",
        /// The newest of its trajectories is kept.
        Merge = "merge",
    }
}

/// `[replay]`
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// How the trajectories of a batch are picked.
    pub selector: Selector,
    /// What `prioritized` prefers.
    pub priority: Priority,
    /// How strongly: the power of R or of the loss. 1 for the reward and 0.6 for the loss unless it
    /// is given.
    pub exponent: f64,
    /// Of `top_fraction`: the part of the kept trajectories that counts as best.
    pub top_fraction: f64,
    /// Of `top_fraction`: the share of the draws that goes to the best.
    pub top_share: f64,
    /// Of `top_fraction`: a trajectory whose object is nearer than this to that of one that is no
    /// worse does not count as one of the best. In the environment's own unit.
    pub diversity_distance: Option<f64>,
    /// The best that are diverse, with which new objects are compared; at most so many.
    pub diversity_among: usize,
    /// The objects of a file, trained on beside those that actors find: its name, absolute or
    /// relative to the run file's folder.
    pub initial: Option<String>,
    /// Their share of every batch; 0 without them.
    pub initial_fraction: f64,
    /// The share of every batch that is the newest forward trajectories not yet trained on. Where it
    /// is not given: 0.25, or as much as arrives if that is less. Not of `fifo`: 0 there.
    pub online_fraction: f64,
    /// The probability with which each further draw is one of the newest that are kept.
    pub online_probability: f64,
    /// What is kept of a trajectory after it was trained on once.
    pub keep: Keep,
    /// Weight of the uniform distribution, in [0, 1], in each step of a path that is drawn anew.
    pub redraw_uniform: f64,
    /// The largest lag, in updates, of a path that is trained on; without it there is no bound.
    pub max_lag: Option<u64>,
    /// What becomes of a trajectory whose path is older.
    pub stale: Stale,
    /// What becomes of an object that is found again.
    pub duplicates: Duplicates,
    /// Trajectories kept; the oldest leave first.
    pub capacity: usize,
    /// Mean number of times each trajectory is trained on.
    pub samples_per_insert: f64,
}

impl Default for Replay {
    fn default() -> Self {
        Self {
            selector: Selector::Fifo,
            priority: Priority::LogReward,
            exponent: 1.0,
            top_fraction: 0.1,
            top_share: 0.5,
            diversity_distance: None,
            diversity_among: 100,
            initial: None,
            initial_fraction: 0.0,
            online_fraction: 0.0,
            online_probability: 0.0,
            keep: Keep::Trajectories,
            redraw_uniform: 0.1,
            max_lag: None,
            stale: Stale::Redraw,
            duplicates: Duplicates::Keep,
            capacity: 100_000,
            samples_per_insert: 1.0,
        }
    }
}

impl Config for Replay {
    fn declare(&mut self, keys: &mut Keys<'_>) {
        keys.key("selector", &mut self.selector, "how the trajectories of a batch are picked");
        self.declare_preference(keys);
        self.declare_diversity(keys);
        keys.key("capacity", &mut self.capacity, "trajectories kept; the oldest leave first")
            .at_least(1);
        let uses = "mean number of times each trajectory is trained on";
        keys.key("samples_per_insert", &mut self.samples_per_insert, uses).above(0.0);
        self.declare_initial(keys);
        self.declare_online(keys);
        self.declare_paths(keys);
        let duplicates = "what becomes of an object that is found again";
        keys.key("duplicates", &mut self.duplicates, duplicates);
    }
}

impl Replay {
    /// The largest share of a batch that can be new: what arrives while a batch is due.
    #[must_use]
    pub fn arriving_fraction(&self) -> f64 {
        (1.0 - self.initial_fraction) / self.samples_per_insert.max(1.0)
    }

    /// Whether paths are drawn anew with P_B.
    #[must_use]
    pub fn redraws(&self) -> bool {
        let by_age = self.max_lag.is_some() && self.stale == Stale::Redraw;
        self.keep == Keep::Objects || self.initial.is_some() || by_age
    }

    /// What a user should know of these values before trusting the run, in sentences.
    #[must_use]
    pub fn warnings(&self) -> Vec<&'static str> {
        let is_offline = self.selector != Selector::Fifo && self.online_fraction == 0.0;
        let text = "replay.online_fraction = 0: no batch needs to hold trajectories of the current \
                    policy, and log Z is not identified offline";
        is_offline.then_some(text).into_iter().collect()
    }

    fn declare_preference(&mut self, keys: &mut Keys<'_>) {
        let prioritized = self.selector == Selector::Prioritized;
        let with_prioritized = "with selector = \"prioritized\"";
        keys.key("priority", &mut self.priority, "what prioritized replay prefers")
            .only(prioritized, with_prioritized);
        let exponent = "power of R or of the loss that probabilities are in proportion to";
        keys.key("exponent", &mut self.exponent, exponent)
            .or(if self.priority == Priority::Loss { 0.6 } else { 1.0 })
            .only(prioritized, with_prioritized)
            .at_least(0.0)
            .at_most(1_000.0);
        let top = self.selector == Selector::TopFraction;
        let fraction = "part of the kept trajectories that counts as best";
        keys.key("top_fraction", &mut self.top_fraction, fraction)
            .only(top, WITH_TOP_FRACTION)
            .above(0.0)
            .below(1.0);
        keys.key("top_share", &mut self.top_share, "share of the draws that goes to the best")
            .only(top, WITH_TOP_FRACTION)
            .at_least(0.0)
            .at_most(1.0);
    }

    fn declare_diversity(&mut self, keys: &mut Keys<'_>) {
        let top = self.selector == Selector::TopFraction;
        let distance = "an object nearer than this to one that is no worse is not one of the best";
        keys.key("diversity_distance", &mut self.diversity_distance, distance)
            .only(top, WITH_TOP_FRACTION)
            .above(Some(0.0));
        let among = "new objects are compared with so many of the best";
        keys.key("diversity_among", &mut self.diversity_among, among)
            .only(self.diversity_distance.is_some(), "with diversity_distance")
            .at_least(1)
            .at_most(10_000);
    }

    fn declare_initial(&mut self, keys: &mut Keys<'_>) {
        let initial =
            "a file of objects with raw reward values to train on, TSV or CSV with a header";
        keys.key("initial", &mut self.initial, initial)
            .must("name a file", |name| name.as_ref().is_none_or(|name| !name.is_empty()));
        let fraction = "share of every batch that is objects of that file";
        let has_initial = self.initial.is_some();
        keys.key("initial_fraction", &mut self.initial_fraction, fraction)
            .or(if has_initial { 0.5 } else { 0.0 })
            .only(has_initial, "with initial")
            .above(0.0)
            .at_most(1.0);
    }

    fn declare_online(&mut self, keys: &mut Keys<'_>) {
        let arriving = self.arriving_fraction();
        let prefers = self.selector != Selector::Fifo;
        let with_others = "with selector = \"uniform\", \"prioritized\" or \"top_fraction\"";
        let online = "share of every batch that is the newest trajectories not yet trained on";
        let limit = if self.initial.is_some() {
            "be at most (1 - initial_fraction) / samples_per_insert: no more is new"
        } else {
            "be at most 1 / samples_per_insert: no more is new"
        };
        // Zero must be asked for: where nothing new has room, the default stays and is refused.
        let default = if arriving > 0.0 { arriving.min(0.25) } else { 0.25 };
        keys.key("online_fraction", &mut self.online_fraction, online)
            .or(if prefers { default } else { 0.0 })
            .only(prefers, with_others)
            .at_least(0.0)
            .must(limit, |&share| share <= arriving);
        let recent = "probability with which a further draw is one of the newest that are kept";
        keys.key("online_probability", &mut self.online_probability, recent)
            .only(prefers, with_others)
            .at_least(0.0)
            .at_most(1.0);
    }

    fn declare_paths(&mut self, keys: &mut Keys<'_>) {
        keys.key("keep", &mut self.keep, "what is kept of a trajectory that was trained on");
        keys.key("max_lag", &mut self.max_lag, "the largest lag of a path in updates");
        keys.key("stale", &mut self.stale, "what becomes of a trajectory with an older path")
            .only(self.max_lag.is_some(), "with max_lag");
        let redraws = self.redraws();
        let uniform = "weight of the uniform distribution in each step of a path drawn anew";
        keys.key("redraw_uniform", &mut self.redraw_uniform, uniform)
            .only(redraws, "where paths are drawn anew: keep = \"objects\", max_lag or initial")
            .at_least(0.0)
            .at_most(1.0);
    }
}

const WITH_TOP_FRACTION: &str = "with selector = \"top_fraction\"";
