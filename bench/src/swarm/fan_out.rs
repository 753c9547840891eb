//! Large weights to many subscribers at once: how long after the first heard of a version each of them
//! can use it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::sleep;
use tributary_common::network::{Network, Weights};
use tributary_proto::convert::chunks::{Manifest, WeightsEvent};
use tributary_proto::credentials::Credentials;
use tributary_proto::v1::WeightsMessage;

use super::learner::Learner;
use super::pool::Pool;
use super::session::{Tally, Work};
use super::{allow_connections, join};
use crate::machine::Machine;
use crate::report::{Outputs, grouped, median};

/// Options of `fan-out`.
#[derive(Args, Serialize)]
pub(crate) struct Options {
    /// Subscribers, each a session of its own
    #[arg(long, default_value_t = 256)]
    subscribers: usize,
    /// Width of the two hidden layers: 1,536 are weights of 10 MB
    #[arg(long, default_value_t = 1_536)]
    width: usize,
    /// Versions that are measured
    #[arg(long, default_value_t = 5)]
    versions: usize,
    /// Seconds between two versions
    #[arg(long, default_value_t = 20)]
    every: u64,
    #[command(flatten)]
    #[serde(skip)]
    outputs: Outputs,
}

/// Trajectories of an update, and updates between two versions.
const BATCH: usize = 16;
const UPDATES: usize = 4;

fn run_file(options: &Options) -> String {
    let Options { width, .. } = options;
    format!(
        r#"[run]
name = "fan-out"
seed = 1
[environment]
kind = "hypergrid"
dimensions = 4
side = 16
[reward]
kind = "original"
r0 = 0.1
[policy]
hidden = [{width}, {width}]
[learner]
time = "2h"
batch = {BATCH}
threads = 1
publish_every = {UPDATES}
checkpoint_every = "1h"
[evaluation]
every = "1h"
max_states = 1
"#
    )
}

/// Of one version: seconds from when anybody heard of it until each could use it.
#[derive(Clone, Debug, Default, Serialize)]
struct Version {
    step: u64,
    seconds: Vec<f64>,
}

/// When anybody heard of a version, and how many seconds later each could use it.
#[derive(Default)]
struct Arrival {
    first: Option<Instant>,
    seconds: Vec<f64>,
}

/// By the step.
#[derive(Default)]
struct Arrivals(Mutex<BTreeMap<u64, Arrival>>);

impl Arrivals {
    fn heard(&self, step: u64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(step).or_default().first.get_or_insert_with(Instant::now);
    }

    fn applied(&self, step: u64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Arrival { first, seconds } = all.entry(step).or_default();
        seconds.extend(first.map(|first| first.elapsed().as_secs_f64()));
    }

    /// Those that so many have, but for the weights that everybody is given at first.
    fn whole(&self, subscribers: usize) -> Vec<Version> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = all.iter().filter(|(step, of)| **step > 0 && of.seconds.len() == subscribers);
        whole.map(|(&step, of)| Version { step, seconds: of.seconds.clone() }).collect()
    }
}

/// Puts the pieces together and makes weights of them, as an actor does.
struct Reader {
    network: Arc<Network>,
    arrivals: Arc<Arrivals>,
    open: Option<(Manifest, Vec<u8>)>,
}

impl Reader {
    fn read(&mut self, message: WeightsMessage) -> Result<()> {
        match WeightsEvent::try_from(message)? {
            WeightsEvent::Manifest(manifest) => {
                self.arrivals.heard(manifest.version.step);
                let bytes = Vec::with_capacity(manifest.total_bytes as usize);
                self.open = Some((manifest, bytes));
            }
            WeightsEvent::Data(piece) => {
                let (manifest, bytes) = self.open.as_mut().context("a piece of nothing")?;
                bytes.extend_from_slice(&piece.data);
                if bytes.len() as u64 == manifest.total_bytes {
                    ensure!(blake3::hash(bytes).as_bytes() == &manifest.blake3, "another hash");
                    Weights::from_bytes(&self.network, bytes)?;
                    self.arrivals.applied(manifest.version.step);
                    self.open = None;
                }
            }
        }
        Ok(())
    }
}

/// Measures and prints.
pub(crate) fn run(options: &Options) -> Result<()> {
    let Options { subscribers, width, versions, every, .. } = *options;
    let is_none = subscribers == 0 || width == 0 || versions == 0 || every == 0;
    ensure!(!is_none, "subscribers, width, versions and seconds are at least 1");
    allow_connections(subscribers)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(options))
}

async fn measure(options: &Options) -> Result<()> {
    let Options { subscribers, versions, every, .. } = *options;
    let learner = Learner::start(run_file(options)).await?;
    let pool = Arc::new(Pool::draw(&learner.run_file())?);
    let network = Arc::clone(pool.network());
    let bytes = 4 * network.parameter_count();
    let dialer = Credentials::default().dialer(&learner.address)?;
    let (arrivals, tally) = (Arc::new(Arrivals::default()), Arc::new(Tally::default()));
    let (orders, work) = watch::channel(Work::Nothing);
    let reader = || {
        let (network, arrivals) = (Arc::clone(&network), Arc::clone(&arrivals));
        let mut reader = Reader { network, arrivals, open: None };
        move |message| reader.read(message).unwrap_or_else(|error| eprintln!("{error:#}"))
    };
    let mut running = join(subscribers, dialer, &pool, &tally, work, reader).await?;
    let processor = learner.usage()?.processor;
    // All of them together send what training needs.
    let share = subscribers as f64 / (BATCH * UPDATES) as f64;
    let every = Duration::from_secs(every).mul_f64(share);
    orders.send_replace(Work::Paced { batch: 1, every });
    let whole = loop {
        sleep(Duration::from_millis(100)).await;
        let whole = arrivals.whole(subscribers);
        if whole.len() >= versions {
            break whole;
        }
        if let Some(ended) = running.try_join_next() {
            ended?.context("a session ended")?;
        }
    };
    let processor = (learner.usage()?.processor - processor) / whole.len() as f64;
    let machine = Machine::this();
    options.outputs.json(&machine, options, &whole)?;
    options.outputs.section("fan-out", &text(options, &machine, &whole, bytes, processor))
}

fn text(
    options: &Options,
    machine: &Machine,
    whole: &[Version],
    bytes: usize,
    processor: f64,
) -> String {
    let at = |share: f64| {
        let of = |version: &Version| {
            let mut seconds = version.seconds.clone();
            seconds.sort_by(f64::total_cmp);
            seconds[((seconds.len() - 1) as f64 * share) as usize]
        };
        median(whole.iter().map(of).collect())
    };
    let Options { subscribers, every, .. } = options;
    let megabytes = bytes as f64 / 1e6;
    format!(
        "Weights of {megabytes:.1} MB to {subscribers} subscribers, each a session that puts them together, checks their hash and \
         makes weights of them: half have them {:.2} s after the first heard of them, 99 % after {:.2} s, all after {:.2} s: {:.0} MB/s \
         in all. The learner computes {processor:.2} s for a version, its updates included. Medians of {} versions, one every {every} s; subscribers and \
         learner share {} cores. ({machine}; `make bench-fan-out`, {} deliveries)",
        at(0.5),
        at(0.99),
        at(1.0),
        megabytes * *subscribers as f64 / at(1.0),
        whole.len(),
        machine.cores,
        grouped((whole.len() * subscribers) as u64),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_version_counts_when_everybody_has_it() {
        let arrivals = Arrivals::default();
        for step in [0, 4, 8] {
            arrivals.heard(step);
            arrivals.applied(step);
        }
        arrivals.applied(8);
        let whole = arrivals.whole(2);
        assert_eq!(whole.iter().map(|version| version.step).collect::<Vec<_>>(), [8]);
        assert!(whole[0].seconds[0] <= whole[0].seconds[1]);
    }
}
