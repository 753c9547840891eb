//! What goes wrong in a simulation, and when: all of it follows from the seed.

use std::time::Duration;

use tributary_common::random::Stream;
use turmoil::Sim;

use crate::actor;
use crate::network::LEARNER;
use crate::world::World;

/// Faults begin and end within this time.
pub(crate) const TROUBLE: Duration = Duration::from_secs(40);
/// Nothing goes wrong before.
const QUIET: Duration = Duration::from_secs(1);
/// Longest latency of a healthy link, and of one that is delayed.
pub(crate) const LATENCY: Duration = Duration::from_millis(60);
const LONG_LATENCY: Duration = Duration::from_secs(4);

/// What happens to one link or one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Partition(usize),
    /// Nothing goes from the actor to the learner.
    Mute(usize),
    /// Nothing goes from the learner to the actor.
    Deaf(usize),
    Hold(usize),
    Delay(usize),
    /// The connections of an actor are reset, at once.
    Cut(usize),
    ActorCrash(usize),
    LearnerCrash,
}

/// A fault begins or ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Happening {
    pub(crate) at: Duration,
    pub(crate) fault: Fault,
    pub(crate) begins: bool,
}

/// The faults of a seed, in the order of their times.
pub(crate) fn plan(world: &World) -> Vec<Happening> {
    let mut plan = Vec::new();
    for i in 0..world.setting.actors {
        let mut link = world.stream(6, i as u64);
        let kinds = [Fault::Partition, Fault::Mute, Fault::Deaf, Fault::Hold, Fault::Delay];
        let fault = |stream: &mut Stream| kinds[stream.below(kinds.len())](i);
        add(&mut plan, &mut link, Duration::from_secs(9), fault);
        let mut cuts = world.stream(9, i as u64);
        add(&mut plan, &mut cuts, Duration::from_secs(6), |_| Fault::Cut(i));
        let mut host = world.stream(7, i as u64);
        add(&mut plan, &mut host, Duration::from_secs(25), |_| Fault::ActorCrash(i));
    }
    let mut learner = world.stream(8, 0);
    add(&mut plan, &mut learner, Duration::from_secs(12), |_| Fault::LearnerCrash);
    plan.sort_by_key(|happening| happening.at);
    plan
}

/// Faults of one link or host, one after the other, with pauses of this mean.
fn add(
    plan: &mut Vec<Happening>,
    stream: &mut Stream,
    pause: Duration,
    mut fault: impl FnMut(&mut Stream) -> Fault,
) {
    let mut at = QUIET;
    loop {
        at += pause.mul_f64(-(1.0 - stream.uniform()).ln());
        if at >= TROUBLE {
            return;
        }
        // Most are short; some outlast the keep-alive.
        let mean = if stream.below(4) == 0 { 20.0 } else { 1.0 };
        let end = (at + Duration::from_secs_f64(mean * 2.0 * stream.uniform())).min(TROUBLE);
        let fault = fault(stream);
        plan.push(Happening { at, fault, begins: true });
        plan.push(Happening { at: end, fault, begins: false });
        at = end;
    }
}

impl Happening {
    /// Lets it happen.
    pub(crate) fn happen(&self, world: &World, simulation: &mut Sim<'_>) {
        match (self.fault, self.begins) {
            (Fault::Partition(i), true) => simulation.partition(actor::name(i), LEARNER),
            (Fault::Partition(i), false) => simulation.repair(actor::name(i), LEARNER),
            (Fault::Mute(i), true) => simulation.partition_oneway(actor::name(i), LEARNER),
            (Fault::Mute(i), false) => simulation.repair_oneway(actor::name(i), LEARNER),
            (Fault::Deaf(i), true) => simulation.partition_oneway(LEARNER, actor::name(i)),
            (Fault::Deaf(i), false) => simulation.repair_oneway(LEARNER, actor::name(i)),
            (Fault::Hold(i), true) => simulation.hold(actor::name(i), LEARNER),
            (Fault::Hold(i), false) => simulation.release(actor::name(i), LEARNER),
            (Fault::Delay(i), begins) => {
                let latency = if begins { LONG_LATENCY } else { LATENCY };
                simulation.set_link_max_message_latency(actor::name(i), LEARNER, latency);
            }
            (Fault::Cut(i), true) => world.cutters[i].cut(),
            (Fault::Cut(_), false) => {}
            (Fault::ActorCrash(i), true) => simulation.crash(actor::name(i)),
            (Fault::ActorCrash(i), false) => simulation.bounce(actor::name(i)),
            (Fault::LearnerCrash, true) => simulation.crash(LEARNER),
            (Fault::LearnerCrash, false) => simulation.bounce(LEARNER),
        }
    }
}
