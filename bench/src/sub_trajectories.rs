//! What the loss of sub-trajectory balance costs by the length of the trajectories: its linear
//! recurrence against going through all parts.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use tributary_common::random::{Purpose, Stream};
use tributary_common::run_file::Weighting;
use tributary_learner::objective::{
    Flow, Gradients, Objective, ResidualLoss, SubTrajectoryBalance, Terms,
};

const LENGTHS: [usize; 4] = [16, 64, 256, 1_000];
/// Transitions of a batch, about.
const BATCH: usize = 4_096;
/// So wide a parabola that it is a square everywhere, but goes through all parts.
const WIDE: ResidualLoss = ResidualLoss::Huber(1e9);

/// Options of `sub-trajectories`.
#[derive(Args)]
pub(crate) struct Options {
    /// Milliseconds for each measurement
    #[arg(long, default_value_t = 200)]
    milliseconds: u64,
    /// Measurements of each case; the fastest is printed
    #[arg(long, default_value_t = 5)]
    repeats: usize,
}

/// Measures and prints.
pub(crate) fn run(options: &Options) -> Result<()> {
    println!(
        "Loss and gradient of sub-trajectory balance, ns per transition (and over that of the \
         recurrence at the same length).\n\n\
         | transitions | recurrence | all parts | all parts, log_cosh | all parts, geometric |\n\
         |---|---|---|---|---|"
    );
    for length in LENGTHS {
        let terms = terms(length);
        let squared = objective(Weighting::GeometricWithin, ResidualLoss::Squared);
        let all_parts = objective(Weighting::GeometricWithin, WIDE);
        let (ours, theirs) = (loss(&squared, &terms), loss(&all_parts, &terms));
        ensure!((ours - theirs).abs() <= 1e-10 * theirs, "{length}: {ours} is not {theirs}");
        let cases = [
            squared,
            all_parts,
            objective(Weighting::GeometricWithin, ResidualLoss::LogCosh),
            objective(Weighting::Geometric, ResidualLoss::Squared),
        ];
        let times = cases.map(|case| options.nanoseconds(&case, &terms));
        let cells = times.map(|time| format!("{time:.1} ({:.1})", time / times[0]));
        println!("| {length} | {} |", cells.join(" | "));
    }
    Ok(())
}

impl Options {
    /// Nanoseconds per transition in the fastest of the measurements.
    fn nanoseconds(&self, objective: &SubTrajectoryBalance, terms: &Terms) -> f64 {
        let mut gradients = Gradients::default();
        let mut fastest = f64::INFINITY;
        for _ in 0..self.repeats.max(1) {
            let (start, mut calls) = (Instant::now(), 0);
            while calls == 0 || start.elapsed() < Duration::from_millis(self.milliseconds) {
                std::hint::black_box(objective.loss(terms, &mut gradients));
                calls += 1;
            }
            let transitions = f64::from(calls) * terms.log_pf.len() as f64;
            fastest = fastest.min(start.elapsed().as_nanos() as f64 / transitions);
        }
        fastest
    }
}

fn objective(weighting: Weighting, residual: ResidualLoss) -> SubTrajectoryBalance {
    SubTrajectoryBalance { weighting, lambda: 0.9, residual, flow: Flow::default() }
}

fn loss(objective: &SubTrajectoryBalance, terms: &Terms) -> f64 {
    objective.loss(terms, &mut Gradients::default())
}

/// A batch of trajectories of one length.
fn terms(length: usize) -> Terms {
    let mut stream = Stream::new(1, Purpose::Walk, 0, length as u64);
    let trajectories = BATCH.div_ceil(length);
    let mut draw = |count: usize, scale: f64| -> Vec<f64> {
        (0..count).map(|_| scale * (2.0 * stream.uniform() - 1.0)).collect()
    };
    let transitions = trajectories * length;
    Terms {
        offsets: (0..=trajectories).map(|i| (i * length) as u32).collect(),
        log_pf: draw(transitions, 3.0),
        log_pb: draw(transitions, 3.0),
        log_flow: draw(transitions, 30.0),
        log_reward: draw(trajectories, 3.0),
        log_z: 0.3,
        ..Terms::default()
    }
}
