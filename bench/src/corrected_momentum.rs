//! Momentum on bootstrapped objectives drifts from what it stands for; the first-order correction
//! takes the drift away (Bengio, Pineau, Precup: "Correcting momentum in temporal difference
//! learning", 2021). `docs/objectives/corrected_momentum.md` explains it.

mod chain;
mod momentum;

use anyhow::{Result, ensure};
use clap::Args;
use tributary_common::random::{Purpose, Stream};

use self::chain::Chain;
use self::momentum::{Correction, Momentum, distance, norm};

const BETAS: [f64; 3] = [0.5, 0.9, 0.99];
const CORRECTIONS: [(Correction, &str); 3] = [
    (Correction::None, "none"),
    (Correction::Parameters, "without the target's part"),
    (Correction::Whole, "whole"),
];

/// Options of `corrected-momentum`.
#[derive(Args)]
pub(crate) struct Options {
    /// States of the chain
    #[arg(long, default_value_t = 8)]
    states: usize,
    /// log R at its end; all log flows start at 0
    #[arg(long, default_value_t = 3.0)]
    log_reward: f64,
    /// Updates, each on one transition
    #[arg(long, default_value_t = 1_200)]
    updates: usize,
    /// The learning rate
    #[arg(long, default_value_t = 0.3)]
    learning_rate: f64,
    /// Seeds 1 to this; means over them are printed
    #[arg(long, default_value_t = 5)]
    seeds: u64,
}

/// What one run of updates showed.
#[derive(Default)]
struct Figures {
    /// Size of momentum's distance from the recomputed one over the size of that, both summed over
    /// the updates.
    drift: f64,
    /// Root mean square error of log F over the states: mean over the updates, and after the last.
    mean_error: f64,
    last_error: f64,
}

/// Runs the experiment and prints its table.
pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(options.states >= 2 && options.seeds > 0 && options.updates > 0, "nothing to be run");
    println!(
        "Detailed balance with a stopped gradient on a chain of {} states, log R = {}; {} updates \
         with learning rate {}; means over {} seeds.\n\n\
         | log F | momentum | correction | drift | error, mean over updates | error at the end |\n\
         |---|---|---|---|---|---|",
        options.states, options.log_reward, options.updates, options.learning_rate, options.seeds
    );
    for (name, features) in
        [("a number for each state", None), ("linear", Some(options.states / 2))]
    {
        for beta in BETAS {
            for (correction, words) in CORRECTIONS {
                let Figures { drift, mean_error, last_error } =
                    options.mean(features, beta, correction);
                println!(
                    "| {name} | {beta} | {words} | {drift:.4} | {mean_error:.3} | {last_error:.4} |"
                );
            }
        }
    }
    Ok(())
}

impl Options {
    fn mean(&self, features: Option<usize>, beta: f64, correction: Correction) -> Figures {
        let mut mean = Figures::default();
        let share = 1.0 / self.seeds as f64;
        for seed in 1..=self.seeds {
            let chain = match features {
                None => Chain::tabular(self.states, self.log_reward),
                Some(features) => Chain::linear(self.states, features, self.log_reward, seed),
            };
            let figures = self.one(&chain, beta, correction, seed);
            mean.drift += share * figures.drift;
            mean.mean_error += share * figures.mean_error;
            mean.last_error += share * figures.last_error;
        }
        mean
    }

    fn one(&self, chain: &Chain, beta: f64, correction: Correction, seed: u64) -> Figures {
        let mut stream = Stream::new(seed, Purpose::Walk, 1, 0);
        let mut weights = vec![0.0; chain.features()];
        let mut momentum = Momentum::new(beta, self.learning_rate, correction, weights.len());
        let mut history = Vec::with_capacity(self.updates);
        let (mut apart, mut size, mut error) = (0.0, 0.0, 0.0);
        for _ in 0..self.updates {
            history.push(stream.below(self.states));
            let recomputed = momentum::recomputed(chain, &history, beta, &weights);
            momentum.step(chain, history[history.len() - 1], &mut weights);
            apart += distance(momentum.corrected(), &recomputed);
            size += norm(&recomputed);
            error += chain.error(&weights);
        }
        Figures {
            drift: apart / size,
            mean_error: error / self.updates as f64,
            last_error: chain.error(&weights),
        }
    }
}
