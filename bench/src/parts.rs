//! The hot parts, one thread each, against what the machine allows: products of matrices at the speed
//! that was measured a moment before, what an update spends outside its network, trajectories a second.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use tributary_common::run_file::Selector;

use crate::machine::Machine;
use crate::report::{Outputs, Table, grouped, median};
use crate::scene::{Drawing, Forward, Receiving, Replaying, Scene, Shape, Training};

/// Options of `parts`.
#[derive(Args, Serialize)]
pub(crate) struct Options {
    /// Milliseconds of each measurement
    #[arg(long, default_value_t = 500)]
    milliseconds: u64,
    /// Measurements of each part, taken in turns; the medians are printed
    #[arg(long, default_value_t = 5)]
    repeats: usize,
    /// Trajectories in the replay that is drawn from
    #[arg(long, default_value_t = 10_000_000)]
    residents: usize,
    /// Only the parts whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    #[command(flatten)]
    #[serde(skip)]
    outputs: Outputs,
}

/// Rows of a product, as the rollouts have them.
const ROWS: usize = 128;
/// Width of the hidden layers.
const WIDTH: f64 = 256.0;
/// Of 4D H16 with a learned P_B: four steps and the exit, four steps back.
const OUTPUTS: f64 = 9.0;
/// Inputs that are 1.
const FEATURES: f64 = 4.0;

/// For what is computed and not wanted.
fn keep<T>(value: T) {
    let _ = black_box(value);
}

/// A part, and whether it is good enough.
#[derive(Serialize)]
struct Row {
    part: &'static str,
    measured: String,
    /// What is compared with the bar.
    value: f64,
    bar: f64,
    /// Whether `value` has to be at least the bar, not at most.
    at_least: bool,
    unit: &'static str,
}

impl Row {
    fn is_met(&self) -> bool {
        if self.at_least { self.value >= self.bar } else { self.value <= self.bar }
    }

    fn cells(&self) -> [String; 4] {
        let number = |value: f64| match value < 1e3 {
            true => format!("{value:.2}"),
            false => grouped(value.round() as u64),
        };
        let bound = if self.at_least { "≥" } else { "≤" };
        let met = if self.is_met() { "met" } else { "not met" };
        let Self { part, measured, value, bar, unit, .. } = self;
        let value = format!("{}{unit}", number(*value));
        [
            (*part).to_owned(),
            format!("{value} ({measured})"),
            format!("{bound} {}{unit}", number(*bar)),
            met.to_owned(),
        ]
    }
}

/// Seconds of a call of each of these: medians of measurements that take turns.
struct Clock {
    time: Duration,
    repeats: usize,
}

impl Clock {
    fn time<const N: usize>(&self, mut parts: [&mut dyn FnMut(); N]) -> [f64; N] {
        let mut all = [const { Vec::new() }; N];
        for _ in 0..self.repeats {
            for (part, all) in parts.iter_mut().zip(&mut all) {
                let (start, mut calls) = (Instant::now(), 0);
                while start.elapsed() < self.time {
                    part();
                    calls += 1;
                }
                all.push(start.elapsed().as_secs_f64() / f64::from(calls));
            }
        }
        all.map(median)
    }
}

/// Measures all parts and prints the table.
pub(crate) fn run(options: &Options) -> Result<()> {
    tributary_learner::torch::set_threads(1);
    let time = Duration::from_millis(options.milliseconds);
    let clock = Clock { time, repeats: options.repeats };
    let parts: [(&str, &dyn Fn() -> Row); 8] = [
        ("rollouts", &|| rollouts(&clock)),
        ("update", &|| update(&clock, 16)),
        ("update", &|| update(&clock, 128)),
        ("subtb", &|| long_trajectories(&clock)),
        ("publish", &|| publish(&clock)),
        ("ingest", &|| ingest(&clock)),
        ("replay uniform", &|| draws(&clock, options.residents, Selector::Uniform)),
        ("replay prioritized", &|| draws(&clock, options.residents, Selector::Prioritized)),
    ];
    let chosen = parts.iter().filter(|(name, _)| name.contains(&options.only));
    let rows: Vec<Row> = chosen.map(|(_, measure)| measure()).collect();
    let mut table = Table::new(&["part", "measured", "bar", ""]);
    rows.iter().for_each(|row| table.row(row.cells()));
    let machine = Machine::this();
    let Options { repeats, milliseconds, .. } = options;
    let text = format!(
        "{table}\nOne thread each; medians of {repeats} x {milliseconds} ms, seed 1. ({machine})"
    );
    options.outputs.section("parts", &text)?;
    options.outputs.json(&machine, options, &rows)
}

/// Rollouts of 4D H16, 128 at a time, against the multiply-adds of their network at the speed of a
/// product of `[128, 256]` with `[256, 256]`; the first layer's are sums of rows.
fn rollouts(clock: &Clock) -> Row {
    let mut drawing = Drawing::new(&Scene::new(Shape::grid(4, 16, ROWS)));
    let states = drawing.draw() as f64;
    let (mut two, mut twelve) = (Forward::new(ROWS, 2), Forward::new(ROWS, 12));
    let [draw, network, deep] =
        clock.time([&mut || keep(drawing.draw()), &mut || keep(two.run()), &mut || {
            keep(twelve.run())
        }]);
    let product = (deep - network) / 10.0 / ROWS as f64;
    let multiply_adds = WIDTH * (FEATURES + WIDTH + OUTPUTS);
    let limit = product * multiply_adds / (WIDTH * WIDTH);
    let gflops = 2.0 * WIDTH * WIDTH / product / 1e9;
    Row {
        part: "rollouts, 4D H16, 128 at a time: over the products alone",
        measured: format!(
            "{:.2} µs a state, products {:.2} µs at {gflops:.0} GFLOP/s, the network alone {:.2} µs",
            1e6 * draw / states,
            1e6 * limit,
            1e6 * network / ROWS as f64
        ),
        value: draw / states / limit,
        bar: 1.5,
        at_least: false,
        unit: "x",
    }
}

/// An update from a full replay: the share of the network's passes and its optimizer.
fn update(clock: &Clock, batch: usize) -> Row {
    let scene = Scene::new(Shape::grid(4, 16, batch));
    let (mut whole, mut parts) = (Training::new(&scene), Training::new(&scene));
    let mut building = Training::new(&scene);
    parts.build();
    let [update, compute, build] = clock.time([
        &mut || keep(whole.update()),
        &mut || {
            // As the updates do, each on another batch.
            parts.build();
            keep(parts.compute());
        },
        &mut || keep(building.build()),
    ]);
    let compute = compute - build;
    Row {
        part: match batch {
            16 => "update, 4D H16, batch 16: the network's share",
            _ => "update, 4D H16, batch 128: the network's share",
        },
        measured: format!(
            "{:.2} ms, passes and optimizer {:.2} ms, the batch from actions {:.2} ms",
            1e3 * update,
            1e3 * compute,
            1e3 * build
        ),
        value: 100.0 * compute / update,
        bar: 90.0,
        at_least: true,
        unit: " %",
    }
}

/// Trajectories of 64 steps: SubTB against TB.
fn long_trajectories(clock: &Clock) -> Row {
    let training = |objective| Training::new(&Scene::new(Shape::bits(objective)));
    let mut tb = training("trajectory_balance");
    let mut subtb = training("sub_trajectory_balance");
    let [tb, subtb] = clock.time([&mut || keep(tb.update()), &mut || keep(subtb.update())]);
    Row {
        part: "update, 64 steps: SubTB over TB",
        measured: format!("{:.2} ms and {:.2} ms", 1e3 * subtb, 1e3 * tb),
        value: subtb / tb,
        bar: 1.3,
        at_least: false,
        unit: "x",
    }
}

/// Weights of 10 MB: what training waits for when it publishes them.
fn publish(clock: &Clock) -> Row {
    let mut training = Training::new(&Scene::new(Shape::LARGE));
    let mut bytes = 0;
    let [seconds] = clock.time([&mut || bytes = 4 * training.publish()]);
    Row {
        part: "publish: training's pause",
        measured: format!("weights of {:.1} MB", bytes as f64 / 1e6),
        value: 1e3 * seconds,
        bar: 5.0,
        at_least: false,
        unit: " ms",
    }
}

/// Trajectories of 32 steps into replay, the ledger written by another thread.
fn ingest(clock: &Clock) -> Row {
    let scene = Scene::new(Shape::tokens());
    let (mut taking, mut examining) = (Receiving::new(&scene), Receiving::new(&scene));
    let batch = taking.batch() as f64;
    let [take, examine] = clock.time([&mut || taking.take(), &mut || keep(examining.examine())]);
    Row {
        part: "ingest, 32 steps: trajectories a second",
        measured: format!(
            "{:.2} µs each, of which the examination {:.2} µs",
            1e6 * take / batch,
            1e6 * examine / batch
        ),
        value: batch / take,
        bar: 1e6,
        at_least: true,
        unit: "/s",
    }
}

/// Draws of a batch from a full replay.
fn draws(clock: &Clock, residents: usize, selector: Selector) -> Row {
    let mut replaying = Replaying::new(selector, residents);
    let [seconds] = clock.time([&mut || keep(replaying.draw())]);
    let (part, bar) = match selector {
        Selector::Prioritized => ("replay, prioritized", 5e5),
        _ => ("replay, uniform", 2e6),
    };
    Row {
        part,
        measured: format!("from {} trajectories of 8 steps", grouped(residents as u64)),
        value: replaying.batch() as f64 / seconds,
        bar,
        at_least: true,
        unit: " draws/s",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_met_from_the_right_side() {
        let row = |value, at_least| Row {
            part: "part",
            measured: "measured".to_owned(),
            value,
            bar: 1_500.0,
            at_least,
            unit: "/s",
        };
        let expected = ["part", "1,400/s (measured)", "≥ 1,500/s", "not met"];
        assert_eq!(row(1_400.0, true).cells(), expected);
        let expected = ["part", "1,400/s (measured)", "≤ 1,500/s", "met"];
        assert_eq!(row(1_400.0, false).cells(), expected);
    }
}
