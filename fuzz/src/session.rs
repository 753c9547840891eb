//! The session machines under arbitrary events: a learner with peers that claim anything, and an
//! actor whose learner says anything. Neither may panic, overflow, or hold more than its bound, and
//! the books must balance after every event.

mod actor;
mod learner;

/// One life; the first byte says whose.
pub fn run(data: &[u8]) {
    let Some((&choice, events)) = data.split_first() else { return };
    match choice % 4 {
        0 => actor::run(events),
        other => learner::run(events, other == 1),
    }
}
