//! Tributary's benchmarks, with the product as a user runs it: `tributary train`, one learner and
//! its actors over gRPC on this machine's cores.
//!
//! `make bench` asks how fast it trains, `make bench-learning` how well; `sub-trajectories` and
//! `corrected-momentum` look at one computation each. Absolute times on a shared
//! machine mean little; compare figures of one run only.

mod corrected_momentum;
mod learning;
mod machine;
mod run;
mod speed;
mod sub_trajectories;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Measures Tributary as a user runs it
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Subcommand)]
enum Benchmark {
    /// Times trajectory balance on three hypergrids (MLP 256x2, learned P_B)
    Speed(speed::Options),
    /// Trains the examples and compares what they learned with the bars
    Learning(learning::Options),
    /// Times the loss of sub-trajectory balance by the length of the trajectories
    SubTrajectories(sub_trajectories::Options),
    /// Shows on a small chain how momentum drifts under bootstrapping, and corrects it
    CorrectedMomentum(corrected_momentum::Options),
}

fn main() -> Result<()> {
    match Options::parse().benchmark {
        Benchmark::Speed(options) => speed::run(&options),
        Benchmark::Learning(options) => learning::run(&options),
        Benchmark::SubTrajectories(options) => sub_trajectories::run(&options),
        Benchmark::CorrectedMomentum(options) => corrected_momentum::run(&options),
    }
}
