//! What happened between two looks at a run, in sentences.

use std::collections::{BTreeMap, BTreeSet};

use tributary_proto::v1::{ActorRow, ActorState, StatusReply};

use crate::status;

/// What is new in `now`. Every sentence holds texts as others chose them.
pub(super) fn between(before: &StatusReply, now: &StatusReply) -> Vec<String> {
    let mut said = Vec::new();
    if before.incarnation != now.incarnation {
        said.push(format!("the learner was started again: incarnation {}", now.incarnation));
    }
    if before.state != now.state {
        said.push(format!("the run is {}", status::state(now)));
    }
    said.extend(stalls(before, now));
    said.extend(actors(before, now));
    let trouble = |status: &StatusReply| status.ledger.as_ref().and_then(|of| of.trouble.clone());
    match (trouble(before), trouble(now)) {
        (None, Some(why)) => said.push(format!("the ledger cannot be written: {why}")),
        (Some(_), None) => said.push("the ledger is written again".to_owned()),
        _ => {}
    }
    let is_new = |warning: &&String| !before.warnings.contains(warning);
    said.extend(now.warnings.iter().filter(is_new).map(|warning| format!("warning: {warning}")));
    let alarms = |status: &StatusReply| status.trust.as_ref().map_or(0, |trust| trust.alarms);
    if alarms(now) > alarms(before) {
        let last = now.trust.as_ref().and_then(|trust| trust.recent.last());
        said.push(format!("values differ: {}", last.map_or("", String::as_str)));
    }
    said
}

fn stalls(before: &StatusReply, now: &StatusReply) -> Vec<String> {
    let edges = |status: &StatusReply| -> BTreeSet<String> {
        status.stalls.iter().map(|stall| stall.edge.clone()).collect()
    };
    let (old, new) = (edges(before), edges(now));
    let begun = now.stalls.iter().filter(|stall| !old.contains(&stall.edge));
    let begun = begun.map(|stall| format!("stalled: {}: {}", stall.edge, stall.reason));
    begun.chain(old.difference(&new).map(|edge| format!("no longer stalled: {edge}"))).collect()
}

fn actors(before: &StatusReply, now: &StatusReply) -> Vec<String> {
    let old: BTreeMap<u64, &ActorRow> = before.actors.iter().map(|row| (row.id, row)).collect();
    now.actors.iter().flat_map(|row| changes(old.get(&row.id).copied(), row)).collect()
}

fn changes(old: Option<&ActorRow>, row: &ActorRow) -> Vec<String> {
    let mut said = Vec::new();
    let (name, state) = (&row.name, row.state());
    let Some(old) = old else {
        if is_here(state) {
            said.push(format!("{name} is here, on {} (process {})", row.host, row.process));
        }
        return said;
    };
    match (old.state(), state) {
        (then, now) if then == now => {}
        (_, ActorState::Draining) => said.push(format!("{name} drains")),
        (_, ActorState::Suspect) => said.push(format!("{name} is silent")),
        (_, ActorState::Lost) => said.push(format!("{name} is lost")),
        (_, ActorState::Gone) => said.push(format!("{name} has left")),
        (then, now) if !is_well(then) && is_well(now) => said.push(format!("{name} is back")),
        _ => {}
    }
    if old.quarantined != row.quarantined {
        let how = if row.quarantined { "is quarantined" } else { "is released" };
        said.push(format!("{name} {how}"));
    }
    match (old.reward_trouble.as_str(), row.reward_trouble.as_str()) {
        ("", "") => {}
        ("", why) => said.push(format!("{name} gets no rewards: {why}")),
        (_, "") => said.push(format!("{name} gets rewards again")),
        _ => {}
    }
    said
}

fn is_here(state: ActorState) -> bool {
    !matches!(state, ActorState::Lost | ActorState::Gone)
}

fn is_well(state: ActorState) -> bool {
    matches!(state, ActorState::Streaming | ActorState::Backpressured | ActorState::Connecting)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tributary_proto::v1::{RunState, Stall};

    fn actor(id: u64, state: ActorState) -> ActorRow {
        let (name, host) = (format!("actor-{id}"), "here".to_owned());
        ActorRow { id, name, host, process: 7, state: state.into(), ..ActorRow::default() }
    }

    fn status(actors: Vec<ActorRow>) -> StatusReply {
        let state = RunState::Running.into();
        StatusReply { state, incarnation: 1, actors, ..StatusReply::default() }
    }

    #[test]
    fn what_happens_to_actors_is_said_once() {
        let before = status(vec![
            actor(1, ActorState::Streaming),
            actor(2, ActorState::Streaming),
            actor(3, ActorState::Lost),
            actor(4, ActorState::Streaming),
        ]);
        let mut now = status(vec![
            actor(1, ActorState::Lost),
            actor(2, ActorState::Backpressured),
            actor(3, ActorState::Streaming),
            actor(4, ActorState::Gone),
            actor(5, ActorState::Connecting),
            actor(6, ActorState::Gone),
        ]);
        now.actors[1].reward_trouble = "crash".to_owned();
        let expected = [
            "actor-1 is lost",
            "actor-2 gets no rewards: crash",
            "actor-3 is back",
            "actor-4 has left",
            "actor-5 is here, on here (process 7)",
        ];
        assert_eq!(between(&before, &now), expected);
        assert_eq!(between(&now, &now), [""; 0]);
    }

    #[test]
    fn what_happens_to_the_learner_is_said() {
        let before = status(Vec::new());
        let mut now = status(Vec::new());
        now.incarnation = 2;
        now.state = RunState::Stopping.into();
        let (edge, reason) = ("trainer.data".to_owned(), "no actor has come yet".to_owned());
        now.stalls = vec![Stall { edge, reason, seconds: 31.0, blocking: true }];
        let said = between(&before, &now);
        let expected = [
            "the learner was started again: incarnation 2",
            "the run is stopping",
            "stalled: trainer.data: no actor has come yet",
        ];
        assert_eq!(said, expected);
        assert!(between(&now, &before).contains(&"no longer stalled: trainer.data".to_owned()));
    }
}
