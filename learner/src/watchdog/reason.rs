//! Why somebody probably waits, in a sentence.

use super::look::Look;
use crate::edges::Edge;

/// Who waits at an edge and probably why, from the run now and as the wait began.
pub(super) fn reason(edge: Edge, now: &Look, before: &Look) -> String {
    match edge {
        Edge::TrainerData => format!("the trainer waits for a batch: {}", no_data(now, before)),
        Edge::TrainerRedraw => {
            "the trainer draws the paths of one batch anew: the network is large, \
                                or the machine overloaded"
                .to_owned()
        }
        Edge::TrainerUpdate => {
            "one update takes this long: learner.batch and the network are large, \
                                or the machine is overloaded"
                .to_owned()
        }
        Edge::TrainerCheckpoint => {
            "the trainer has ended and waits for the checkpoint before the last to be written: the \
             disk is slow or full"
                .to_owned()
        }
        Edge::IngestReplay => {
            let (waiting, connected) = (now.without_credit, now.connected);
            format!(
                "ingest waits for room in replay: {}; {waiting} of {connected} actors wait for credit",
                no_room(now)
            )
        }
        Edge::IngestLedger => {
            "ingest waits for the ledger, which takes nothing: see its own waits".to_owned()
        }
        Edge::LedgerDisk => {
            "the ledger waits for the disk, which is slow or full; nothing is lost, and what is not \
             written is not acked in a durable run"
                .to_owned()
        }
        Edge::SessionsIngest => {
            "sessions wait for ingest, which takes nothing: see its own waits".to_owned()
        }
        Edge::CheckpointsDisk => {
            "a checkpoint is being written for this long: the disk is slow or full".to_owned()
        }
        Edge::ActorsCredit => format!(
            "all {} actors wait for credit and nothing is settled; {} records are received and not \
             decided",
            now.connected, now.pending
        ),
        Edge::ActorsSilent => {
            let (count, _, names) = &now.silent;
            let more = count.saturating_sub(names.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!(
                "{count} of {} connected actors are silent: {}{more}; stopped, starved, or cut off",
                now.connected,
                names.join(", ")
            )
        }
    }
}

fn no_data(now: &Look, before: &Look) -> String {
    let (received, accepted) = (now.received - before.received, now.accepted - before.accepted);
    match now.connected {
        0 if now.known == 0 => return "no actor has come yet".to_owned(),
        0 => return format!("no actor is connected any more, of {} that were", now.known),
        connected if connected == now.silent.0 => {
            return format!("all {connected} actors are silent");
        }
        _ => {}
    }
    if accepted > 0 {
        return format!(
            "only {accepted} trajectories were accepted meanwhile, too few for a batch"
        );
    }
    if received > 0 && now.pending == 0 {
        return format!("of {received} received meanwhile none was accepted; see rejected.jsonl");
    }
    let actors = now.connected;
    match busiest(now, before) {
        Some("credit") => format!("the {actors} actors wait for credit"),
        Some("weights") => format!("the {actors} actors wait for the first weights"),
        Some("reward" | "queue") => {
            format!("the {actors} actors wait for their reward, which is slow")
        }
        Some("spool") => format!("the {actors} actors wait for the disk of their spool"),
        _ => format!("the {actors} actors send nothing and do not say why"),
    }
}

/// The edge at which actors waited most meanwhile.
fn busiest<'a>(now: &'a Look, before: &Look) -> Option<&'a str> {
    let grown =
        |edge: &str, seconds: f64| seconds - before.actors_waited.get(edge).copied().unwrap_or(0.0);
    let grown = now.actors_waited.iter().map(|(edge, &seconds)| (edge, grown(edge, seconds)));
    let (edge, most) = grown.max_by(|a, b| a.1.total_cmp(&b.1))?;
    (most > 0.0).then_some(edge)
}

fn no_room(now: &Look) -> &'static str {
    if now.waits_at(Edge::TrainerUpdate) {
        "the trainer is busy with one update"
    } else if now.waits_at(Edge::TrainerRedraw) {
        "the trainer draws paths anew"
    } else if now.waits_at(Edge::TrainerCheckpoint) {
        "the trainer waits for the writer of checkpoints"
    } else if now.waits_at(Edge::TrainerData) {
        "the trainer waits, too: replay holds too little for a batch and takes no more"
    } else {
        "the trainer draws nothing"
    }
}
