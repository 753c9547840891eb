//! Asking the learner how the run is.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::runtime::Runtime;
use tributary_common::token::Token;
use tributary_proto::credentials::{Credentials, Dialer};
use tributary_proto::limits;
use tributary_proto::v1::{ActorRow, ActorState, StatusReply, StatusRequest};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(20);

/// Asks one learner, over a new connection each time, as it may have been restarted.
pub(crate) struct Control {
    runtime: Runtime,
    dialer: Dialer,
}

impl Control {
    /// With the token of the learner's run directory.
    pub(crate) fn new(address: &str, run_directory: &Path) -> Result<Self> {
        let token = Token::read(&run_directory.join("token"))?;
        let dialer = Credentials::default().or_token(Some(token)).dialer(address)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, dialer })
    }

    /// The status now.
    pub(crate) fn status(&self) -> Result<StatusReply> {
        let ask = async {
            let mut control = limits::control_client(self.dialer.connect().await?);
            Ok::<_, anyhow::Error>(control.status(StatusRequest {}).await?.into_inner())
        };
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, ask).await })?
    }

    /// Asks until the answer is as it should be; the answer and how long it took.
    pub(crate) fn until(
        &self,
        what: &str,
        patience: Duration,
        mut is_it: impl FnMut(&StatusReply) -> bool,
    ) -> Result<(StatusReply, Duration)> {
        let start = Instant::now();
        let mut last = None;
        while start.elapsed() < patience {
            match self.status() {
                Ok(status) if is_it(&status) => return Ok((status, start.elapsed())),
                Ok(status) => last = Some(status),
                // A learner that is stopped or starts answers nothing.
                Err(_) => {}
            }
            std::thread::sleep(PAUSE);
        }
        let last = last.map(|status| status.actors).unwrap_or_default();
        let rows: Vec<String> = last.iter().map(|row| format!("{row:?}")).collect();
        bail!("waited {patience:?} for {what}; actors at last:\n{}", rows.join("\n"))
    }
}

/// Whether an actor's stream is up and it may send.
fn is_at_work(row: &ActorRow) -> bool {
    matches!(row.state(), ActorState::Streaming | ActorState::Backpressured)
}

/// Says of each status whether all of so many actors have been heard to send since the first that it
/// was asked of.
#[derive(Default)]
pub(super) struct Streaming {
    first: BTreeMap<u64, u64>,
}

impl Streaming {
    pub(super) fn all(&mut self, status: &StatusReply, actors: usize) -> bool {
        let mut sending = 0;
        for row in status.actors.iter().filter(|row| is_at_work(row)) {
            let first = *self.first.entry(row.id).or_insert(row.received);
            sending += usize::from(row.received > first);
        }
        sending >= actors
    }
}

/// The epoch of each actor at work, by its id: a new link has a new one.
pub(super) fn epochs(status: &StatusReply) -> Result<BTreeMap<u64, u64>> {
    let epoch = |row: &ActorRow| {
        let epoch = row.epoch.context("an actor without an epoch")?;
        Ok((row.id, epoch.counter))
    };
    status.actors.iter().filter(|row| is_at_work(row)).map(epoch).collect()
}
