//! Named threads that async code can wait for, and work that is done side by side.

use std::thread;

use tokio::sync::oneshot;

use crate::error::LearnerError;

/// A thread that was started.
pub(crate) struct Thread<T> {
    name: &'static str,
    result: oneshot::Receiver<T>,
}

/// Starts a thread.
pub(crate) fn spawn<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Thread<T>, LearnerError> {
    let (sender, result) = oneshot::channel();
    let run = move || {
        // Nobody waits for it when the program is already on its way out.
        let _ = sender.send(work());
    };
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(run);
    spawned.map_err(|source| LearnerError::System { what: "no thread", source })?;
    Ok(Thread { name, result })
}

/// Does both at the same time, the first on this thread. A panic of either goes on here.
pub(crate) fn side_by_side<A, B: Send>(
    first: impl FnOnce() -> A,
    second: impl FnOnce() -> B + Send,
) -> (A, B) {
    thread::scope(|scope| {
        let second = scope.spawn(second);
        let first = first();
        (first, second.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause)))
    })
}

impl<T> Thread<T> {
    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Waits for its result; may be waited for again if the wait is dropped before it is over.
    pub(crate) async fn join(&mut self) -> Result<T, LearnerError> {
        (&mut self.result).await.map_err(|_| LearnerError::Panicked(self.name))
    }
}
