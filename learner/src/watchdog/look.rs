//! What the watchdog sees at one moment.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::edges::Edge;
use crate::figures::RunState;
use crate::roster::{ActorRow, ActorState};
use crate::view::{Observer, View};

/// Silent actors that a line names.
const NAMED: usize = 3;

/// A run as the watchdog sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// Since the learner's start, by a clock that never goes back.
    pub now: Duration,
    /// What the learner is doing.
    pub state: RunState,
    /// Edges at which somebody waits, each with the number of waits that are over there.
    pub waits: Vec<(Edge, u64)>,
    /// Records received.
    pub received: u64,
    /// Records accepted.
    pub accepted: u64,
    /// Records received and not settled.
    pub pending: u64,
    /// Actors whose stream is up.
    pub connected: usize,
    /// Actors that ever took part, as far as they are remembered.
    pub known: usize,
    /// Those that have no credit left.
    pub without_credit: usize,
    /// Those that are not heard of: how many, for how long, the names of some.
    pub silent: (usize, Duration, Vec<String>),
    /// Seconds that actors waited, by edge, as they report.
    pub actors_waited: BTreeMap<String, f64>,
}

impl Look {
    /// Looks.
    pub fn at(now: Duration, observer: &Observer) -> Self {
        let waits = observer.board.vitals().edges.now();
        Self { waits, ..Self::of(now, &observer.look()) }
    }

    fn of(now: Duration, view: &View) -> Self {
        let in_state = |state| view.actors.iter().filter(move |actor| actor.state == state);
        let mut silent: Vec<&ActorRow> = in_state(ActorState::Suspect).collect();
        silent.sort_by_key(|actor| std::cmp::Reverse(actor.silent));
        let longest = silent.first().map_or(Duration::ZERO, |actor| actor.silent);
        let name =
            |actor: &&ActorRow| format!("{} {} on {}", actor.id, actor.card.name, actor.card.host);
        let names = silent.iter().take(NAMED).map(name).collect();
        let of_actors = |(edge, seconds): (String, f64)| {
            edge.strip_prefix("actors.").map(|edge| (edge.to_owned(), seconds))
        };
        Self {
            now,
            state: view.figures.state,
            waits: Vec::new(),
            received: view.books.received,
            accepted: view.books.accepted,
            pending: view.books.pending(),
            connected: view.connected(),
            known: view.actors.len(),
            without_credit: in_state(ActorState::Backpressured).count(),
            silent: (silent.len(), longest, names),
            actors_waited: view.waited_seconds().into_iter().filter_map(of_actors).collect(),
        }
    }

    /// Whether somebody waits at an edge.
    pub fn waits_at(&self, edge: Edge) -> bool {
        self.waits.iter().any(|(waiting, _)| *waiting == edge)
    }
}
