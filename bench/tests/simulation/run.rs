//! One seed, from its first step to the last check.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, UNIX_EPOCH};

use tributary_common::session::books::Books;
use turmoil::{Builder, Sim};

use crate::actor;
use crate::checks;
use crate::faults::{self, Fault, Happening};
use crate::learner;
use crate::network::LEARNER;
use crate::trace::{Digest, Trace};
use crate::world::{Setting, World, held};

const TICK: Duration = Duration::from_millis(10);
/// After the last fault everybody is at work again within this time: keep-alive finds a dead
/// connection in 30 s, one more attempt may fail in 10 s, back-off is 5 s.
pub(crate) const RECOVERY: Duration = Duration::from_secs(60);
/// From the drain to the last goodbye.
const DRAIN: Duration = Duration::from_secs(10);

/// What a simulation came to.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) digest: Digest,
    pub(crate) plan: Vec<Happening>,
    /// From the last fault until everybody was at work.
    pub(crate) recovery: Duration,
    pub(crate) books: Books,
    /// Processes of actors.
    pub(crate) lives: u64,
    pub(crate) incarnations: u64,
    pub(crate) simulated: Duration,
}

/// Figures of many simulations.
#[derive(Default)]
pub(crate) struct Totals {
    runs: u64,
    events: u64,
    dropped: u64,
    link_faults: u64,
    lives: u64,
    incarnations: u64,
    books: Books,
    slowest: Duration,
    simulated: Duration,
}

impl Totals {
    pub(crate) fn add(&mut self, report: &Report) {
        self.runs += 1;
        self.events += report.digest.events;
        self.dropped += report.digest.dropped;
        for happening in report.plan.iter().filter(|happening| happening.begins) {
            let is_crash = matches!(happening.fault, Fault::ActorCrash(_) | Fault::LearnerCrash);
            self.link_faults += u64::from(!is_crash);
        }
        self.lives += report.lives;
        self.incarnations += report.incarnations;
        self.books.add(&report.books);
        self.slowest = self.slowest.max(report.recovery);
        self.simulated += report.simulated;
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { books, .. } = self;
        write!(
            f,
            "{} simulations, {} s, {} events: {} faults of links, {} segments dropped, \
             {} processes of actors, {} of the learner; received {} = accepted {} + duplicate {} + \
             rejected {}; lost in restart {}; slowest recovery {:.2} s",
            self.runs,
            self.simulated.as_secs(),
            self.events,
            self.link_faults,
            self.dropped,
            self.lives,
            self.incarnations,
            books.received,
            books.accepted,
            books.duplicate,
            books.rejected_total(),
            books.lost_in_restart,
            self.slowest.as_secs_f64(),
        )
    }
}

/// A network of one learner and the world's actors.
pub(crate) fn simulation(world: &Arc<World>) -> Sim<'static> {
    let mut simulation = Builder::new()
        .rng_seed(world.setting.seed)
        .epoch(UNIX_EPOCH)
        .tick_duration(TICK)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(faults::LATENCY)
        .simulation_duration(Duration::from_secs(3_600))
        .tcp_capacity(256)
        .enable_random_order()
        .build();
    let of_learner = Arc::clone(world);
    simulation.host(LEARNER, move || learner::run(Arc::clone(&of_learner)));
    for i in 0..world.setting.actors {
        let of_actor = Arc::clone(world);
        simulation.host(actor::name(i), move || actor::run(Arc::clone(&of_actor), i));
    }
    simulation
}

/// Steps until `over`, or for so long; whether it came to that. Books are looked at all the time.
pub(crate) fn step_until(
    simulation: &mut Sim<'_>,
    world: &World,
    limit: Duration,
    over: impl Fn() -> bool,
) -> Result<bool, String> {
    let end = simulation.elapsed() + limit;
    while simulation.elapsed() < end {
        simulation.step().map_err(|error| error.to_string())?;
        checks::books_balance(world)?;
        if over() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Runs a seed; what is wrong, if something is.
pub(crate) fn run(setting: Setting, trace: &Trace) -> Result<Report, String> {
    tracing::subscriber::with_default(trace.clone(), || in_trace(setting, trace))
}

fn in_trace(setting: Setting, trace: &Trace) -> Result<Report, String> {
    let world = World::new(setting);
    let plan = faults::plan(&world);
    let mut simulation = simulation(&world);
    for happening in &plan {
        let wait = happening.at.saturating_sub(simulation.elapsed());
        step_until(&mut simulation, &world, wait, || false)?;
        trace.note(&format!("{happening:?}"));
        happening.happen(&world, &mut simulation);
    }
    let recovery = recover(&mut simulation, &world)?;
    drain(&mut simulation, &world)?;
    checks::at_the_end(&world)?;
    let digest = trace.digest();
    if !digest.errors.is_empty() {
        return Err(format!("errors were logged: {:?}", digest.errors));
    }
    let running = held(&world.running);
    let books = running.as_ref().map(|running| running.roster.books()).unwrap_or_default();
    Ok(Report {
        digest,
        plan,
        recovery,
        books,
        lives: held(&world.lives).len() as u64,
        incarnations: u64::from(held(&world.disk).incarnation),
        simulated: simulation.elapsed(),
    })
}

/// No state without progress: after the last fault everybody works again in time.
fn recover(simulation: &mut Sim<'_>, world: &World) -> Result<Duration, String> {
    let healed = simulation.elapsed();
    world.trouble.store(false, Relaxed);
    let before: Vec<usize> = world.current().iter().map(|life| life.stamped()).collect();
    let at_work = || -> Vec<bool> {
        let lives = world.current();
        let pairs = lives.iter().zip(&before);
        pairs.map(|(life, made)| checks::is_at_work(world, life, *made)).collect()
    };
    let everybody = || at_work().into_iter().all(|works| works);
    match step_until(simulation, world, RECOVERY, everybody)? {
        true => Ok(simulation.elapsed() - healed),
        false => Err(format!("{RECOVERY:?} after the last fault at work: {:?}", at_work())),
    }
}

fn drain(simulation: &mut Sim<'_>, world: &World) -> Result<(), String> {
    if let Some(running) = &*held(&world.running) {
        running.roster.drain("the simulation is over", DRAIN);
    }
    let left = || world.current().iter().all(|life| held(&life.outcome).is_some());
    match step_until(simulation, world, DRAIN, left)? {
        true => Ok(()),
        false => Err("the actors did not drain".to_owned()),
    }
}
