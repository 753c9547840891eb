//! A seat: takes questions, asks whoever sits there, and fills the place again when it is empty.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::LocalSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tributary_common::object::Object;
use tributary_common::reward::outside::Asking;

use super::board::{Board, Circuit};
use super::process::Start;
use super::reply::Reply;
use crate::oracle::Failure;

/// Whoever was opened and failed before its first answer makes the next one wait; doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest such wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Opens what sits at a seat.
pub(super) trait Opens {
    /// What it opens.
    type Seated: Seated;

    /// Opens it.
    async fn open(&mut self) -> Result<Self::Seated, Failure>;
}

/// Somebody who answers one request at a time.
pub(super) trait Seated {
    /// Whether it could be asked.
    fn is_there(&mut self) -> bool;

    /// Whether it ever answered.
    fn has_answered(&self) -> bool;

    /// Asks for objects: a reply for each. Nobody may be asked again that failed.
    async fn ask(&mut self, objects: &[&Object]) -> Result<Vec<Reply>, Failure>;

    /// Lets it finish, and waits until it is gone.
    async fn end(self);

    /// Ends it now, and waits until it is gone.
    async fn kill(self);
}

/// The seats of a command's workers.
pub(super) fn open_workers(tasks: &LocalSet, board: &Arc<Board>, start: &Start, seats: usize) {
    let circuit = board.circuit("the reward's command".to_owned(), seats);
    for number in 1..=seats {
        let (board, leave) = (Arc::clone(board), CancellationToken::new());
        tasks.spawn_local(keep(board, circuit, start.of_seat(number), leave));
    }
}

/// Says, once, that a request takes longer than it should.
pub(super) fn slow(
    seat: &str,
    asking: &Asking,
    objects: &[&Object],
) -> impl Future<Output = Infallible> + use<> {
    let (seat, count) = (seat.to_owned(), objects.len());
    let first = objects.first().map(ToString::to_string);
    let soft = asking.soft_timeout.map(|soft| soft.saturating_mul(count as u32));
    async move {
        if let Some(soft) = soft {
            sleep(soft).await;
            let seconds = soft.as_secs_f64();
            tracing::warn!(seat, objects = count, first, seconds, "a request takes long");
        }
        std::future::pending().await
    }
}

/// Keeps a seat until nothing will be asked any more, or it is to leave.
pub(super) async fn keep<O: Opens>(
    board: Arc<Board>,
    circuit: Circuit,
    mut opens: O,
    leave: CancellationToken,
) {
    let mut seated: Option<O::Seated> = None;
    let mut pause = FIRST_PAUSE;
    loop {
        let batch = tokio::select! {
            biased;
            batch = board.next(circuit) => batch,
            () = leave.cancelled() => None,
        };
        let Some(batch) = batch else { break };
        let start = Instant::now();
        // One that ended while it had nothing to do is nobody's fault.
        if let Some(gone) = seated.take_if(|sits| !sits.is_there()) {
            gone.kill().await;
        }
        let opened = match seated.take() {
            Some(sits) => Ok(sits),
            None => opens.open().await,
        };
        let mut sits = match opened {
            Ok(sits) => sits,
            Err(failure) => {
                board.failed(circuit, batch, &failure, start.elapsed());
                wait(&board, &mut pause).await;
                continue;
            }
        };
        let objects: Vec<&Object> = batch.iter().map(|asked| &asked.question.object).collect();
        let asked = tokio::select! {
            biased;
            asked = sits.ask(&objects) => asked,
            () = board.closed() => return sits.kill().await,
        };
        match asked {
            Ok(replies) => {
                pause = FIRST_PAUSE;
                board.answered(circuit, batch, replies, start.elapsed());
                seated = Some(sits);
            }
            Err(failure) => {
                let is_new = !sits.has_answered();
                tracing::warn!(objects = batch.len(), %failure, "a request failed");
                board.failed(circuit, batch, &failure, start.elapsed());
                sits.kill().await;
                if is_new {
                    wait(&board, &mut pause).await;
                }
            }
        }
    }
    board.leave(circuit);
    if let Some(sits) = seated {
        sits.end().await;
    }
}

async fn wait(board: &Board, pause: &mut Duration) {
    tokio::select! {
        () = sleep(*pause) => {}
        () = board.closed() => {}
    }
    *pause = (2 * *pause).min(LONGEST_PAUSE);
}
