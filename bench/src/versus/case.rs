//! What is measured: the work, and who does it.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};
use tributary_common::network::Network;

use super::roofline::Work;
use crate::bitseq::task::PER_BIT;
use crate::experiment::{Experiment, measure};
use crate::quality::landscape::Landscape;
use crate::tasks::TFBIND8;

/// A piece of work.
pub(crate) struct Case {
    /// For example "4D H16".
    pub(crate) name: &'static str,
    /// Trajectories of an update.
    pub(crate) batch: u64,
    /// Of the whole run; to a distance, at most.
    pub(crate) updates: u64,
    work: Kind,
    /// To which exact distance it is trained, where that is asked; else its speed is.
    pub(crate) quality: Option<Quality>,
}

/// Exploration falls in a line over the first half of the updates, learning rates as a half cosine over
/// all of them.
pub(crate) struct Quality {
    pub(crate) total_variation: f64,
    /// Updates between two looks at a peer.
    pub(crate) every: u64,
    /// Time between two looks at ours.
    look: &'static str,
}

const EPSILON: f64 = 0.1;
const EMA: f64 = 0.998;

#[derive(Clone, Copy)]
enum Kind {
    Hypergrid { dimensions: usize, side: usize, r0: f64 },
    Tfbind8,
    Bitseq,
}

/// A program that does the work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Program {
    /// As a user runs it: a learner and its actors, asynchronous.
    Ours,
    /// The same in lockstep.
    Lockstep,
    Gfnx,
    Torchgfn,
}

impl Program {
    pub(crate) const ALL: [Self; 4] = [Self::Ours, Self::Gfnx, Self::Torchgfn, Self::Lockstep];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "tributary",
            Self::Lockstep => "tributary, lockstep",
            Self::Gfnx => "gfnx",
            Self::Torchgfn => "torchgfn",
        }
    }

    pub(crate) fn is_peer(self) -> bool {
        matches!(self, Self::Gfnx | Self::Torchgfn)
    }
}

const fn speed(name: &'static str, work: Kind, batch: u64, updates: u64) -> Case {
    Case { name, batch, updates, work, quality: None }
}

const fn grid(dimensions: usize, side: usize, r0: f64) -> Kind {
    Kind::Hypergrid { dimensions, side, r0 }
}

/// All of them; whoever measures goes through them in this order.
pub(crate) static CASES: [Case; 11] = [
    speed("2D H8", grid(2, 8, 0.1), 16, 4_000),
    speed("2D H8", grid(2, 8, 0.1), 128, 2_000),
    speed("4D H16", grid(4, 16, 0.1), 16, 2_000),
    speed("4D H16", grid(4, 16, 0.1), 128, 500),
    speed("4D H32", grid(4, 32, 0.1), 16, 2_000),
    speed("4D H32", grid(4, 32, 0.1), 128, 500),
    speed("TFBind8", Kind::Tfbind8, 64, 2_000),
    speed("bit sequence n = 120, k = 8, transformer", Kind::Bitseq, 16, 200),
    Case {
        name: "4D H8 to TV 0.035",
        batch: 16,
        updates: 4_000,
        work: grid(4, 8, 0.001),
        quality: Some(Quality { total_variation: 0.035, every: 50, look: "200ms" }),
    },
    Case {
        name: "4D H16 to TV 0.1",
        batch: 16,
        updates: 10_000,
        work: grid(4, 16, 0.001),
        quality: Some(Quality { total_variation: 0.1, every: 250, look: "2s" }),
    },
    Case {
        name: "4D H20 to TV 0.2",
        batch: 16,
        updates: 10_000,
        work: grid(4, 20, 0.001),
        quality: Some(Quality { total_variation: 0.2, every: 250, look: "4s" }),
    },
];

impl Case {
    /// Whether this program can do it with its own public pieces.
    pub(crate) fn suits(&self, program: Program) -> bool {
        // torchgfn has no benchmark of bit sequences with a transformer.
        !(matches!(self.work, Kind::Bitseq) && program == Program::Torchgfn)
    }

    /// The run file of ours, data files in `examples`.
    pub(crate) fn run_file(&self, updates: u64, examples: &Path) -> Result<String> {
        let Self { batch, .. } = self;
        let task = match self.work {
            Kind::Hypergrid { dimensions, side, r0 } => format!(
                "[environment]\nkind = 'hypergrid'\ndimensions = {dimensions}\nside = {side}\n\
                 [reward]\nkind = 'original'\nr0 = {r0}\nr1 = 0.5\nr2 = 2.0\n"
            ),
            Kind::Tfbind8 => {
                let table = std::path::absolute(examples.join("tfbind8.tsv"))?;
                TFBIND8.replace("\"tfbind8.tsv\"", &format!("{:?}", table.display().to_string()))
            }
            Kind::Bitseq => PER_BIT.to_owned(),
        };
        let network = match self.work {
            Kind::Bitseq => {
                "network = 'transformer'\nlayers = 3\nwidth = 64\nheads = 8\nfeed_forward = 64\n"
            }
            Kind::Hypergrid { .. } | Kind::Tfbind8 => "hidden = [256, 256]\n",
        };
        let more = match &self.quality {
            None => "[evaluation]\nevery = '1h'\nmax_states = 1\n".to_owned(),
            Some(Quality { look, .. }) => format!(
                "ema = {EMA}\nschedule = 'cosine'\ndecay_over = {updates}\n\
                 [evaluation]\nevery = '{look}'\n\
                 [exploration]\nepsilon = {{ start = {EPSILON}, end = 0.0, over = {} }}\n",
                updates / 2 * batch
            ),
        };
        // gfnx's own settings of bit sequences.
        let optimizer = match self.work {
            Kind::Bitseq => {
                "log_z_learning_rate = 0.05\noptimizer = 'adamw'\nweight_decay = 1e-5\n"
            }
            Kind::Hypergrid { .. } | Kind::Tfbind8 => "log_z_learning_rate = 0.1\n",
        };
        Ok(format!(
            "[run]\nname = 'peers'\n{task}[policy]\n{network}backward = 'learned'\n\
             [objective]\nkind = 'trajectory_balance'\n\
             [learner]\nupdates = {updates}\nbatch = {batch}\nlearning_rate = 1e-3\n{optimizer}\
             checkpoint_every = '1h'\n{more}"
        ))
    }

    /// As our own programs read it.
    pub(crate) fn experiment(&self, examples: &Path) -> Result<Experiment> {
        Ok(Experiment::read(&self.run_file(self.updates, examples)?, &[], Path::new("."))?)
    }

    /// The environment as the peers' runners read it; none where they have their own file.
    pub(crate) fn environment(&self, examples: &Path) -> Result<Option<Value>> {
        Ok(match self.work {
            Kind::Hypergrid { dimensions, side, r0 } => Some(json!({
                "kind": "hypergrid", "dimensions": dimensions, "side": side,
                "r0": r0, "r1": 0.5, "r2": 2.0,
            })),
            Kind::Tfbind8 => {
                let task = self.experiment(examples)?.task;
                let words = Landscape::new(&task, &measure::target(&task)?)?;
                let log_rewards: Vec<f64> =
                    (0..words.len()).map(|word| words.log_reward(word)).collect();
                Some(json!({
                    "kind": "words", "length": words.length(), "log_rewards": log_rewards,
                }))
            }
            Kind::Bitseq => None,
        })
    }

    /// How it is trained to a distance, as the peers' runners read it.
    pub(crate) fn quality_of_peers(&self, updates: u64) -> Option<Value> {
        let Quality { total_variation, every, .. } = self.quality.as_ref()?;
        Some(json!({
            "total_variation": total_variation, "every": every, "ema": EMA,
            "epsilon": EPSILON, "epsilon_over": updates / 2,
        }))
    }

    /// Multiply-adds for a state.
    pub(crate) fn work(&self, examples: &Path) -> Result<Work> {
        let experiment = self.experiment(examples)?;
        let network = Network::of_run(&experiment.run_file, experiment.task.environment.as_ref());
        Ok(match self.work {
            Kind::Hypergrid { dimensions, .. } => Work::of_mlp(network.layers(), dimensions as f64),
            // From no letter to seven.
            Kind::Tfbind8 => Work::of_mlp(network.layers(), 3.5),
            Kind::Bitseq => Work::of_transformer(15, 3, 64, 64, network.heads.width()),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_product_takes_every_run_file() {
        for case in &CASES {
            let read = case.experiment(Path::new("../examples")).map_err(|e| e.to_string());
            let updates = read.map(|experiment| experiment.updates().unwrap());
            assert_eq!(updates, Ok(case.updates), "{}", case.name);
        }
    }
}
