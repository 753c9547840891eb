//! Everything that can be seen of a run at one moment: for status, records, metrics and summary.

use std::collections::BTreeMap;
use std::sync::Arc;

use tributary_common::session::books::Books;

use crate::figures::{Board, Figures};
use crate::hand_over::HandOver;
use crate::replay::{Counters, Decile};
use crate::roster::{ActorRow, Roster};

/// A run at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// What was counted and measured.
    pub figures: Figures,
    /// What went through replay.
    pub replay: Counters,
    /// What became of paths that were too old; none where no path is.
    pub deciles: Option<[Decile; 10]>,
    /// Where all records went.
    pub books: Books,
    /// Who took part.
    pub actors: Vec<ActorRow>,
}

/// Looks at a run.
#[derive(Clone)]
pub struct Observer {
    /// The figures.
    pub board: Arc<Board>,
    /// The actors.
    pub roster: Arc<Roster>,
    /// Replay.
    pub hand_over: Arc<HandOver>,
}

impl Observer {
    /// The run now.
    pub fn look(&self) -> View {
        // Replay first: the books know by then of everything that is in it.
        let (replay, deciles) = (self.hand_over.counters(), self.hand_over.deciles());
        let books = with_replay(self.roster.books(), &replay);
        let actors = self.roster.rows();
        View { books, actors, figures: self.board.figures(), replay, deciles }
    }
}

/// The books of this moment: what is in replay is accepted, though its ack may still be on its way.
fn with_replay(books: Books, replay: &Counters) -> Books {
    let ahead = (replay.inserted + books.lost_in_restart).saturating_sub(books.accepted);
    Books { accepted: books.accepted + ahead.min(books.pending()), ..books }
}

impl View {
    /// Actors whose stream is up.
    pub fn connected(&self) -> usize {
        self.actors.iter().filter(|actor| actor.is_connected()).count()
    }

    /// Trajectories in replay.
    pub fn resident(&self) -> u64 {
        self.replay.inserted - self.replay.evicted - self.replay.merged
    }

    /// Accepted, on their way into replay.
    pub fn waiting(&self) -> u64 {
        self.books.accepted.saturating_sub(self.replay.inserted + self.books.lost_in_restart)
    }

    /// Rejected records by the name of their reason.
    pub fn rejected(&self) -> BTreeMap<&'static str, u64> {
        self.books.rejected.iter().map(|(reason, count)| (reason.name(), *count)).collect()
    }

    /// received = accepted + duplicate + rejected + pending, and
    /// accepted = resident + evicted + merged + lost in restart + waiting.
    pub fn balance(&self) -> BTreeMap<&'static str, u64> {
        let Self { books, replay, .. } = self;
        BTreeMap::from([
            ("received", books.received),
            ("accepted", books.accepted),
            ("duplicate", books.duplicate),
            ("rejected", books.rejected_total()),
            ("pending", books.pending()),
            ("resident", self.resident()),
            ("evicted", replay.evicted),
            ("merged", replay.merged),
            ("lost_in_restart", books.lost_in_restart),
            ("waiting", self.waiting()),
        ])
    }

    /// Seconds waited on each edge: the learner's own, and those that actors report, summed as
    /// "actors.for_what".
    pub fn waited_seconds(&self) -> BTreeMap<String, f64> {
        let own = self.figures.waited_seconds.iter();
        let mut waited: BTreeMap<String, f64> =
            own.map(|(edge, seconds)| (edge.to_string(), *seconds)).collect();
        for (edge, seconds) in self.actors.iter().flat_map(|actor| &actor.report.waited_seconds) {
            *waited.entry(format!("actors.{edge}")).or_default() += seconds;
        }
        waited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_replay_and_not_acked_yet_is_accepted_and_no_longer_pending() {
        let of = |inserted| {
            let books = Books { received: 10, accepted: 4, lost_in_restart: 1, ..Books::default() };
            let books = with_replay(books, &Counters { inserted, ..Counters::default() });
            (books.accepted, books.pending())
        };
        assert_eq!((of(3), of(5)), ((4, 6), (6, 4)));
        // What never came stays an error that can be seen.
        assert_eq!(of(20), (10, 0));
        assert_eq!(of(0), (4, 6));
    }
}
