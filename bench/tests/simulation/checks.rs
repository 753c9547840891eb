//! What must hold in every simulation, whatever went wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tributary_learner::roster::{ActorRow, ActorState};

use crate::actor;
use crate::world::{Decided, Life, World, held};

/// The books of the running learner balance, at any time.
pub(crate) fn books_balance(world: &World) -> Result<(), String> {
    let Some(running) = &*held(&world.running) else { return Ok(()) };
    let books = running.roster.books();
    let counted = books.accepted + books.duplicate + books.rejected_total() + books.pending();
    match books.received == counted {
        true => Ok(()),
        false => Err(format!("the books do not balance: {books:?}")),
    }
}

/// Whether an actor is at work again: it streams, everything of before `healed` is acked and
/// something since, and its weights are of the learner that runs.
pub(crate) fn is_at_work(world: &World, life: &Life, healed: usize) -> bool {
    let Some(running) = &*held(&world.running) else { return false };
    let policy = *held(&life.policy);
    let streams = |row: &ActorRow| {
        row.card.name == actor::name(life.actor)
            && matches!(row.state, ActorState::Streaming | ActorState::Backpressured)
    };
    life.acked() > healed
        && policy.is_some_and(|policy| policy.incarnation.0 == running.incarnation)
        && running.roster.rows().iter().any(streams)
}

/// Everything, when all actors have left.
pub(crate) fn at_the_end(world: &World) -> Result<(), String> {
    let running = held(&world.running);
    let running = running.as_ref().ok_or("no learner ever ran")?;
    let decided = held(&running.decided).clone();
    let everything = counted_once(&decided)?;
    let lives = held(&world.lives).clone();
    let handed: BTreeSet<u32> = lives.iter().flat_map(|life| held(&life.handed).clone()).collect();
    if let Some(invented) = everything.iter().find(|id| !handed.contains(id)) {
        return Err(format!("record {invented} was accepted and never made"));
    }
    let missing = |life: &Arc<Life>| -> u64 {
        let acked = held(&life.handed)[..life.acked()].to_vec();
        acked.iter().filter(|id| !everything.contains(id)).count() as u64
    };
    if world.setting.durable
        && let Some(life) = lives.iter().find(|life| missing(life) > 0)
    {
        let (lost, actor) = (missing(life), actor::name(life.actor));
        return Err(format!("{lost} acked records of {actor} are lost in a durable run"));
    }
    let lost = lost_in_restart(&running.roster.rows());
    for life in world.current() {
        all_acked(&life)?;
        let name = actor::name(life.actor);
        let (missing, booked) = (missing(&life), lost.get(&name).copied().unwrap_or(0));
        if missing != booked {
            return Err(format!("{missing} records of {name} are lost, {booked} are booked"));
        }
    }
    let books = running.roster.books();
    let decided = (decided.accepted.len() + decided.rejected.len()) as u64;
    if books.pending() > 0 {
        return Err(format!("records are pending at the end: {books:?}"));
    }
    if books.accepted + books.rejected_total() != decided + books.lost_in_restart {
        return Err(format!("{decided} records were decided, the books say {books:?}"));
    }
    match world.wrong().is_empty() {
        true => Ok(()),
        false => Err(world.wrong().join("; ")),
    }
}

/// The set of all records decided, each of them once.
fn counted_once(decided: &Decided) -> Result<BTreeSet<u32>, String> {
    let mut once = BTreeSet::new();
    let all = decided.accepted.iter().chain(&decided.rejected);
    match all.copied().find(|id| !once.insert(*id)) {
        Some(twice) => Err(format!("record {twice} was counted twice")),
        None => Ok(once),
    }
}

/// An actor that drained has everything acked: stamped = acked + unacked, unacked = 0.
fn all_acked(life: &Life) -> Result<(), String> {
    let name = actor::name(life.actor);
    let outcome = held(&life.outcome).clone().ok_or(format!("{name} did not drain"))?;
    let (stamped, handed) = (life.stamped() as u64, held(&life.handed).len() as u64);
    match outcome.unacked == 0 && outcome.acked == stamped && stamped == handed {
        true => Ok(()),
        false => Err(format!("{name} made {handed} records, stamped {stamped}: {outcome:?}")),
    }
}

/// What the newest life of each actor lost, by its name. Ids grow: the last row of a name is it.
fn lost_in_restart(rows: &[ActorRow]) -> BTreeMap<String, u64> {
    rows.iter().map(|row| (row.card.name.clone(), row.books.lost_in_restart)).collect()
}
