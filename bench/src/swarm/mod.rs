//! What one learner carries: bare sessions with the real protocol, more and more of them, stream
//! trajectories that were drawn before, as fast as credit allows and then at a stated rate.

mod bare_stream;
pub(crate) mod fan_out;
mod learner;
mod pool;
mod session;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use prost::Message as _;
use serde::Serialize;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tributary_proto::credentials::{Credentials, Dialer};
use tributary_proto::v1::WeightsMessage;

use crate::machine::Machine;
use crate::report::{Outputs, Table, grouped};
use learner::{Learner, run_file};
use pool::Pool;
use session::{Session, Tally, Work};

/// Sessions that say hello at the same time.
const JOINING: usize = 64;
/// After a change of what sessions do, before it is measured.
const SETTLES: Duration = Duration::from_secs(3);

#[derive(Args, Serialize)]
pub(crate) struct Options {
    /// Numbers of sessions
    #[arg(long, value_delimiter = ',', default_value = "1,10,100,1000")]
    sessions: Vec<usize>,
    /// Seconds at full speed, and again at the stated rate
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Trajectories of a batch at full speed
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Trajectories of a batch of one more session alone, whose messages are large
    #[arg(long, default_value_t = 8_000)]
    large_batch: usize,
    /// Trajectories per second of all sessions together, where the time to the ack is measured
    #[arg(long, default_value_t = 4_000.0)]
    rate: f64,
    /// Trajectories of a batch at that rate
    #[arg(long, default_value_t = 8)]
    paced_batch: usize,
    /// Whether an ack means that the disk has it
    #[arg(long)]
    durable: bool,
    #[command(flatten)]
    #[serde(skip)]
    outputs: Outputs,
}

/// What so many sessions came to.
#[derive(Serialize)]
struct Row {
    sessions: usize,
    /// Trajectories of a batch, and the mean size of its message.
    batch: usize,
    message_kilobytes: f64,
    join_seconds: f64,
    trajectories_per_second: f64,
    /// Of the same messages to nobody.
    bare_per_second: f64,
    /// Processor time of the learner for each trajectory, training on one in fifty included.
    learner_microseconds: f64,
    /// Of one core.
    learner_share: f64,
    /// Bytes of weights that the learner sent, per second.
    weights_bytes_per_second: f64,
    resident_mebibytes: f64,
    paced_per_second: f64,
    paced_median_milliseconds: f64,
    paced_p99_milliseconds: f64,
    /// Sessions that ended before they should.
    lost: usize,
}

/// Runs all and prints the table.
pub(crate) fn run(options: &Options) -> Result<()> {
    allow_connections(options.sessions.iter().copied().max().unwrap_or(1))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut rows = Vec::new();
    let small = options.sessions.iter().map(|&sessions| (sessions, options.batch));
    for (sessions, batch) in small.chain([(1, options.large_batch)]) {
        let row = runtime.block_on(measure(options, sessions, batch))?;
        eprintln!(
            "{sessions} sessions: {:.0} trajectories/s, bare {:.0}",
            row.trajectories_per_second, row.bare_per_second
        );
        rows.push(row);
    }
    let machine = Machine::this();
    options.outputs.json(&machine, options, &rows)?;
    options.outputs.section("swarm", &text(options, &machine, &rows))?;
    ensure!(rows.iter().all(|row| row.lost == 0), "sessions were lost");
    Ok(())
}

/// Two connections for each session, in this process and, as it inherits the limit, in the learner.
fn allow_connections(sessions: usize) -> Result<()> {
    let wanted = 2 * sessions as u64 + 1_024;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    ensure!(wanted <= hard, "{wanted} open files are needed, and {hard} allowed: see ulimit -n");
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)?;
    }
    Ok(())
}

async fn measure(options: &Options, sessions: usize, batch: usize) -> Result<Row> {
    let learner = Learner::start(run_file(options.durable, batch)).await?;
    let pool = Arc::new(Pool::draw(&learner.run_file())?);
    let dialer = Credentials::default().dialer(&learner.address)?;
    let tally = Arc::new(Tally::default());
    let (orders, work) = watch::channel(Work::Nothing);
    let start = Instant::now();
    let count = || {
        let seen = Arc::clone(&tally);
        move |message: WeightsMessage| {
            seen.weights.fetch_add(message.encoded_len() as u64, Relaxed);
        }
    };
    let mut running = join(sessions, dialer, &pool, &tally, work, count).await?;
    let join_seconds = start.elapsed().as_secs_f64();

    orders.send_replace(Work::Full { batch });
    sleep(SETTLES).await;
    let full = window(&learner, &tally, options.seconds).await?;
    orders.send_replace(Work::Nothing);
    sleep(SETTLES).await;
    let every = options.paced_batch as f64 * sessions as f64 / options.rate;
    let every = Duration::from_secs_f64(every);
    orders.send_replace(Work::Paced { batch: options.paced_batch, every });
    sleep(SETTLES).await;
    let paced = window(&learner, &tally, options.seconds).await?;

    let mut lost = 0;
    while let Some(ended) = running.try_join_next() {
        lost += 1;
        eprintln!("a session ended: {:?}", ended?);
    }
    let at = |share: f64| -> Result<f64> {
        let last = paced.latencies.len().checked_sub(1).context("nothing was acked at the rate")?;
        Ok(1e3 * f64::from(paced.latencies[(last as f64 * share) as usize]))
    };
    drop((running, learner));
    let bare_per_second =
        bare_stream::measure(&pool, sessions, batch, options.seconds.div_ceil(4)).await?;
    Ok(Row {
        sessions,
        batch,
        message_kilobytes: pool.message_bytes(batch) as f64 / 1e3,
        join_seconds,
        bare_per_second,
        trajectories_per_second: full.acked / full.seconds,
        learner_microseconds: 1e6 * full.processor / full.acked.max(1.0),
        learner_share: full.processor / full.seconds,
        weights_bytes_per_second: full.weights / full.seconds,
        resident_mebibytes: full.resident,
        paced_per_second: paced.acked / paced.seconds,
        paced_median_milliseconds: at(0.5)?,
        paced_p99_milliseconds: at(0.99)?,
        lost,
    })
}

/// Starts so many sessions, and waits until all have credit. Each tells what it hears of weights to a
/// reader of its own.
async fn join<Reader: FnMut(WeightsMessage) + Send + 'static>(
    sessions: usize,
    dialer: Dialer,
    pool: &Arc<Pool>,
    tally: &Arc<Tally>,
    work: watch::Receiver<Work>,
    reader: impl Fn() -> Reader,
) -> Result<JoinSet<Result<()>>> {
    let doors = Arc::new(Semaphore::new(JOINING));
    let mut joining = JoinSet::new();
    for number in 0..sessions {
        let (dialer, doors, reader) = (dialer.clone(), Arc::clone(&doors), reader());
        let (pool, tally) = (Arc::clone(pool), Arc::clone(tally));
        joining.spawn(async move {
            let _door = doors.acquire().await?;
            Session::join(dialer, number, pool, tally, reader).await
        });
    }
    let mut running = JoinSet::new();
    while let Some(joined) = joining.join_next().await {
        running.spawn(joined??.work(work.clone()));
    }
    Ok(running)
}

/// What was counted for a while.
struct Window {
    seconds: f64,
    acked: f64,
    weights: f64,
    /// Seconds that the learner computed.
    processor: f64,
    /// MiB of the learner at the end.
    resident: f64,
    /// Seconds to the ack, ascending.
    latencies: Vec<f32>,
}

async fn window(learner: &Learner, tally: &Tally, seconds: u64) -> Result<Window> {
    let counts = || (tally.acked.load(Relaxed), tally.weights.load(Relaxed));
    tally.take_latencies();
    let (start, before, processor) = (Instant::now(), counts(), learner.usage()?.processor);
    sleep(Duration::from_secs(seconds)).await;
    let (after, usage) = (counts(), learner.usage()?);
    let mut latencies = tally.take_latencies();
    latencies.sort_by(f32::total_cmp);
    Ok(Window {
        seconds: start.elapsed().as_secs_f64(),
        acked: (after.0 - before.0) as f64,
        weights: (after.1 - before.1) as f64,
        processor: usage.processor - processor,
        resident: usage.mebibytes(),
        latencies,
    })
}

fn text(options: &Options, machine: &Machine, rows: &[Row]) -> String {
    let mut table = Table::new(&[
        "sessions",
        "batch",
        "message, kB",
        "trajectories/s",
        "to nobody, trajectories/s",
        "ours over that",
        "learner, µs each",
        "learner, cores",
        "weights, MB/s",
        "learner, MiB",
        "at the rate: median ms to the ack",
        "99 % ms",
        "all there after s",
    ]);
    for row in rows {
        table.row([
            grouped(row.sessions as u64),
            grouped(row.batch as u64),
            format!("{:.1}", row.message_kilobytes),
            grouped(row.trajectories_per_second as u64),
            grouped(row.bare_per_second as u64),
            format!("{:.2}", row.trajectories_per_second / row.bare_per_second),
            format!("{:.1}", row.learner_microseconds),
            format!("{:.2}", row.learner_share),
            format!("{:.2}", row.weights_bytes_per_second / 1e6),
            format!("{:.0}", row.resident_mebibytes),
            format!("{:.1}", row.paced_median_milliseconds),
            format!("{:.1}", row.paced_p99_milliseconds),
            format!("{:.1}", row.join_seconds),
        ]);
    }
    let slowest = rows.iter().map(|row| row.paced_per_second).fold(f64::INFINITY, f64::min);
    format!(
        "{table}\n{} s each, first as fast as credit allows, then {} trajectories/s of all together \
         in batches of {} ({} or more were acked); then the same streams to nobody, for a quarter of that. The sessions are in one process on the same {} cores; the learner is \
         the real program, {}, on the 4D hypergrid of side 8, and trains on one trajectory in fifty. \
         ({machine}; `make bench-swarm`)",
        options.seconds,
        grouped(options.rate as u64),
        options.paced_batch,
        grouped(slowest as u64),
        machine.cores,
        if options.durable { "durable" } else { "not durable" },
    )
}
