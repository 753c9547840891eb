//! The thread that writes a spool: whatever is queued when the last sync ends is the next commit.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{io, thread};

use tokio::sync::watch;
use tributary_common::ids::{Epoch, Seq};
use tributary_common::session::Acked;

use super::store::{Entry, Store};

/// Between two attempts to write to a disk that is full or fails; an ack, which may make room, ends
/// the wait.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// How the spool stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// Records on disk since the start.
    pub(super) kept_records: u64,
    /// Bytes of their frames.
    pub(super) written_bytes: u64,
    /// Bytes of all files.
    pub(super) disk_bytes: u64,
    /// The last commit failed; it is tried again.
    pub(super) fails: bool,
}

/// What the thread is to do. Its size is bounded by whoever fills it: nothing is measured while the
/// spool is full or fails.
#[derive(Debug, Default)]
pub(super) struct Queue {
    work: Mutex<Work>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Work {
    entries: Vec<Entry>,
    /// The newest of each epoch.
    acked: BTreeMap<Epoch, Seq>,
    end: Option<End>,
    is_over: bool,
}

/// What becomes of the spool at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Keep,
    Remove,
}

impl Queue {
    pub(super) fn push(&self, entries: impl IntoIterator<Item = Entry>) {
        self.change(|work| work.entries.extend(entries));
    }

    pub(super) fn acked(&self, Acked { epoch, below }: Acked) {
        self.change(|work| {
            let newest = work.acked.entry(epoch).or_default();
            *newest = below.max(*newest);
        });
    }

    /// Ends the thread behind one more attempt to write what is queued.
    pub(super) fn end(&self, remove: bool) {
        let end = if remove { End::Remove } else { End::Keep };
        self.change(|work| work.end = work.end.or(Some(end)));
    }

    pub(super) fn wait_for_the_end(&self) {
        let work = self.lock();
        let over = self.changed.wait_while(work, |work| !work.is_over);
        drop(over.unwrap_or_else(PoisonError::into_inner));
    }

    fn change(&self, change: impl FnOnce(&mut Work)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to do.
    fn wait(&self) -> (Vec<Entry>, BTreeMap<Epoch, Seq>, Option<End>) {
        let idle = |work: &mut Work| {
            work.entries.is_empty() && work.acked.is_empty() && work.end.is_none()
        };
        let work = self.changed.wait_while(self.lock(), idle);
        take(&mut work.unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits before the next attempt.
    fn wait_to_retry(&self) -> (Vec<Entry>, BTreeMap<Epoch, Seq>, Option<End>) {
        let idle = |work: &mut Work| work.acked.is_empty() && work.end.is_none();
        let work = self.changed.wait_timeout_while(self.lock(), RETRY_EVERY, idle);
        take(&mut work.unwrap_or_else(PoisonError::into_inner).0)
    }
}

fn take(work: &mut Work) -> (Vec<Entry>, BTreeMap<Epoch, Seq>, Option<End>) {
    (std::mem::take(&mut work.entries), std::mem::take(&mut work.acked), work.end)
}

/// Starts the thread; what it says comes from the receiver.
pub(super) fn start(store: Store, queue: &Arc<Queue>) -> io::Result<watch::Receiver<News>> {
    let news = News { disk_bytes: store.bytes(), ..News::default() };
    let (sender, receiver) = watch::channel(news);
    let queue = Arc::clone(queue);
    let body = move || {
        let over = Over(&queue);
        let (store, end) = write(store, &queue, &sender);
        if end == End::Remove {
            let removed = store.remove();
            let _ = removed.inspect_err(|error| tracing::warn!(%error, "the spool is not removed"));
        }
        drop(over);
    };
    thread::Builder::new().name("spool".to_owned()).spawn(body)?;
    Ok(receiver)
}

/// Whoever waits for the end learns of it, also behind a panic.
struct Over<'a>(&'a Queue);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.change(|work| work.is_over = true);
    }
}

fn write(mut store: Store, queue: &Queue, news: &watch::Sender<News>) -> (Store, End) {
    let mut failed = None;
    loop {
        let is_retry = failed.is_some();
        let (entries, acked, end) = if is_retry { queue.wait_to_retry() } else { queue.wait() };
        for (epoch, below) in acked {
            store.acked(Acked { epoch, below });
        }
        store.push(entries);
        let (records, bytes) = store.queued();
        // Room first: it may be what the commit needs.
        remove_acked(&mut store);
        let result = store.commit();
        remove_acked(&mut store);
        say(&mut failed, &result, &store);
        news.send_modify(|news| {
            if result.is_ok() {
                news.kept_records += records;
                news.written_bytes += bytes;
            }
            news.fails = result.is_err();
            news.disk_bytes = store.bytes();
        });
        if let Some(end) = end {
            return (store, if result.is_ok() { end } else { End::Keep });
        }
    }
}

fn remove_acked(store: &mut Store) {
    if let Err(error) = store.remove_acked() {
        tracing::warn!(%error, "a file of the spool cannot be removed; trying again later");
    }
}

/// One line when it begins to fail, one when that is over.
fn say(failed: &mut Option<()>, result: &io::Result<()>, store: &Store) {
    let path = store.path().display();
    match (result, &failed) {
        (Err(error), None) => {
            tracing::error!(%path, %error, "the spool cannot be written; the actor pauses until it can");
            *failed = Some(());
        }
        (Ok(()), Some(())) => {
            tracing::info!(%path, "the spool can be written again; the actor goes on");
            *failed = None;
        }
        _ => {}
    }
}
