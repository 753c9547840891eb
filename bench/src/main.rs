//! Tributary's benchmarks.
//!
//! `make bench` asks how fast the product trains as a user runs it (`tributary train`, one learner
//! and its actors over gRPC), `make bench-learning` how well. The others are experiments in one
//! process ([`experiment`]), whose results do not depend on time. Absolute times on a shared machine
//! mean little; compare figures of one run only.

mod atlas;
mod bare;
mod bitseq;
mod connections;
mod corrected_momentum;
mod crowd;
mod curves;
mod experiment;
mod figure;
mod kept;
mod lag;
mod learning;
mod lockstep;
mod machine;
mod objectives;
mod overhead;
mod parallel;
mod parts;
mod peers;
mod quality;
mod report;
mod rewards;
mod run;
mod scene;
mod soak;
mod speed;
mod sub_trajectories;
mod swarm;
mod tasks;
mod usage;
mod versus;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Measures how fast and how well Tributary trains
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
    /// Times the hot parts, each against what the machine allows
    Parts(parts::Options),
    /// Compares the exact distance to the target with and without an injected lag of the weights
    Lag(lag::Options),
    /// Trains every objective on every environment
    Objectives(objectives::Options),
    /// Draws how sub-trajectory balance and trajectory balance learn long trajectories
    Curves(curves::Options),
    /// Holds every combination to its exact distribution, and shows that mistakes are seen
    Atlas(atlas::Options),
    /// Times how soon a run and an actor are at work, and weighs an actor
    Start(soak::start::Options),
    /// Stops, kills, starves and slows down real processes, and measures what becomes of the run
    #[command(subcommand)]
    Soak(soak::Command),
    /// Trains one lockstep run again and again, with other actors, and compares the weights
    Lockstep(lockstep::Options),
    /// Connects many actors with mutual TLS, in quiet and among connections that only take up room
    Connections(connections::Options),
    /// Counts what rewards that sleep bring, with more and more actors and workers
    Rewards(rewards::Options),
    /// Draws how good samplers and searches are for what they have paid
    Quality(quality::Options),
    /// Measures what it costs a run to be watched
    Overhead(overhead::Options),
    /// Streams from more and more sessions at once, and counts what one learner takes
    Swarm(swarm::Options),
    /// Times large weights on their way to many subscribers
    FanOut(swarm::fan_out::Options),
    /// Counts what is paid for until a run is good, with more and more actors
    Crowd(crowd::Options),
    /// Times the product beside gfnx and torchgfn on the same work, and the machine's multiply-adds
    Peers(versus::Options),
    /// Trains on bit sequences of 120 bits
    #[command(subcommand)]
    Bitseq(bitseq::Command),
}

fn main() -> Result<()> {
    match Options::parse().benchmark {
        Benchmark::Speed(options) => speed::run(&options),
        Benchmark::Learning(options) => learning::run(&options),
        Benchmark::SubTrajectories(options) => sub_trajectories::run(&options),
        Benchmark::CorrectedMomentum(options) => corrected_momentum::run(&options),
        Benchmark::Parts(options) => parts::run(&options),
        Benchmark::Lag(options) => lag::run(&options),
        Benchmark::Objectives(options) => objectives::run(&options),
        Benchmark::Curves(options) => curves::run(&options),
        Benchmark::Atlas(options) => atlas::run(&options),
        Benchmark::Start(options) => soak::start::run(&options),
        Benchmark::Soak(command) => soak::run(&command),
        Benchmark::Lockstep(options) => lockstep::run(&options),
        Benchmark::Connections(options) => connections::run(&options),
        Benchmark::Rewards(options) => rewards::run(&options),
        Benchmark::Quality(options) => quality::run(&options),
        Benchmark::Overhead(options) => overhead::run(&options),
        Benchmark::Swarm(options) => swarm::run(&options),
        Benchmark::FanOut(options) => swarm::fan_out::run(&options),
        Benchmark::Crowd(options) => crowd::run(&options),
        Benchmark::Peers(options) => versus::run(&options),
        Benchmark::Bitseq(command) => bitseq::run(&command),
    }
}
