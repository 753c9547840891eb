//! `/api/v1/events`: what happens to the run, as server-sent events.
//!
//! - `hello`: the run and the incarnation of its learner, first on every connection.
//! - `record`: one record, with the figures of which a history is kept. Its id, `INCARNATION-NUMBER`, is
//!   what a client that comes again sends as `Last-Event-ID`: it is told of every record since.
//! - `history`: the client lacks records that are not told one by one; it should load the history anew.
//! - `snapshot`: everything else, after each record.
//! - `end`: the learner ends in good order.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::{Dashboard, is_charted};
use crate::locks::lock;
use crate::record::Record;

/// A connection on which nothing is sent for so long gets a line, so that a dead one is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The stream of one client.
pub(super) type Events = Sse<axum::response::sse::KeepAliveStream<Told>>;
type Told = ReceiverStream<Result<Event, Infallible>>;

/// Tells a client until it leaves or the learner ends.
pub(super) fn stream(
    dashboard: Arc<Dashboard>,
    headers: &HeaderMap,
    stop: CancellationToken,
) -> Events {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let incarnation = dashboard.deps.facts.incarnation.0;
    let teller = Teller { told: Since::of(last, incarnation), incarnation, dashboard };
    let (sender, told) = mpsc::channel(1);
    tokio::spawn(async move {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            left = teller.tell(&sender) => if left.is_none() { return },
        }
        // It may have left.
        let _ = sender.send(Ok(Event::default().event("end").data("{}"))).await;
    });
    Sse::new(ReceiverStream::new(told)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

/// What a client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    /// Nothing: it loads the history when it has heard `hello`.
    New,
    /// Records of another learner, or of what it does not say well.
    Elsewhere,
    /// All records up to this one.
    Number(u64),
}

impl Since {
    fn of(last: Option<&str>, incarnation: u32) -> Self {
        let Some(last) = last else { return Self::New };
        let (of, number) = last.split_once('-').unwrap_or_default();
        match number.parse() {
            Ok(number) if of.parse() == Ok(incarnation) => Self::Number(number),
            _ => Self::Elsewhere,
        }
    }

    /// Which of the last records are told, and whether others are missing before them.
    fn missing(self, recent: &[Arc<Record>]) -> (&[Arc<Record>], bool) {
        match self {
            // What was recorded up to now is in the history.
            Self::New => (&[], false),
            Self::Elsewhere => (&[], true),
            Self::Number(number) => {
                let start = recent.partition_point(|record| record.number <= number);
                let first = recent.first().map_or(number + 1, |record| record.number);
                let is_beyond = recent.last().is_some_and(|record| record.number < number);
                let is_gap = first > number + 1 || is_beyond;
                (recent.get(start..).unwrap_or_default(), is_gap)
            }
        }
    }
}

struct Teller {
    dashboard: Arc<Dashboard>,
    incarnation: u32,
    told: Since,
}

impl Teller {
    /// `None`: the client left.
    async fn tell(mut self, to: &mpsc::Sender<Result<Event, Infallible>>) -> Option<()> {
        let mut moments = self.dashboard.moment.subscribe();
        let mut histories = moments.borrow_and_update().histories;
        let facts = &self.dashboard.deps.facts;
        let hello = json!({ "run_id": facts.run_id.to_string(), "incarnation": self.incarnation });
        to.send(Ok(event("hello", &hello.to_string()))).await.ok()?;
        loop {
            let recent: Vec<Arc<Record>> = lock(&self.dashboard.recent).iter().cloned().collect();
            let moment = moments.borrow_and_update().clone();
            let (records, is_gap) = self.told.missing(&recent);
            if is_gap || moment.histories != histories {
                histories = moment.histories;
                to.send(Ok(event("history", "{}"))).await.ok()?;
            }
            for record in records {
                let id = format!("{}-{}", self.incarnation, record.number);
                to.send(Ok(event("record", &charted(record)).id(id))).await.ok()?;
            }
            let newest = recent.last().map(|record| record.number);
            self.told = Since::Number(newest.unwrap_or_default());
            let snapshot = moment.snapshot.unwrap_or_else(|| self.dashboard.snapshot_text());
            to.send(Ok(event("snapshot", &snapshot))).await.ok()?;
            tokio::select! {
                changed = moments.changed() => changed.ok()?,
                () = to.closed() => return None,
            }
        }
    }
}

fn event(name: &str, data: &str) -> Event {
    Event::default().event(name).data(data)
}

/// A record's charted figures, flat.
fn charted(record: &Record) -> String {
    let values = record.values.iter().filter(|(name, _)| is_charted(name));
    let values: Map<String, Value> =
        values.map(|(name, value)| (name.clone(), (*value).into())).collect();
    let Record { number, step, seconds, time, .. } = record;
    json!({ "number": number, "step": step, "seconds": seconds, "time": time, "values": values })
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(numbers: std::ops::RangeInclusive<u64>) -> Vec<Arc<Record>> {
        let record = |number| Record {
            number,
            step: 0,
            seconds: 0.0,
            time: 0.0,
            values: [("loss", 0.5), ("stale.0.seconds", 1.0)]
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
            stalled_edge: None,
        };
        numbers.map(|number| Arc::new(record(number))).collect()
    }

    #[test]
    fn who_comes_again_is_told_what_it_missed_or_to_load_everything() {
        let recent = records(5..=8);
        let missing = |since: Since| {
            let (records, is_gap) = since.missing(&recent);
            (records.iter().map(|record| record.number).collect::<Vec<_>>(), is_gap)
        };
        assert_eq!(missing(Since::of(None, 3)), (vec![], false));
        assert_eq!(missing(Since::of(Some("3-6"), 3)), (vec![7, 8], false));
        assert_eq!(missing(Since::of(Some("3-8"), 3)), (vec![], false));
        assert_eq!(missing(Since::of(Some("3-4"), 3)), (vec![5, 6, 7, 8], false));
        assert_eq!(missing(Since::of(Some("3-3"), 3)), (vec![5, 6, 7, 8], true));
        assert!(missing(Since::of(Some("3-99"), 3)).1, "of a future that did not come");
        for other in ["2-6", "", "3", "3-", "x-y", "3-6-7"] {
            assert_eq!(missing(Since::of(Some(other), 3)), (vec![], true), "{other}");
        }
        assert!(!Since::Number(0).missing(&[]).1, "nothing was recorded yet");
    }

    #[test]
    fn a_record_is_told_by_its_charted_figures() {
        let text = charted(&records(1..=1)[0]);
        assert!(text.contains("\"loss\":0.5") && !text.contains("stale"), "{text}");
    }
}
