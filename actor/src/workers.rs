//! The actor's own threads: named, and none of them dies unnoticed.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use tokio::sync::mpsc;

use crate::error::ActorError;

/// Threads that report their end.
pub(crate) struct Workers {
    ends: mpsc::Receiver<Result<(), ActorError>>,
    report: mpsc::Sender<Result<(), ActorError>>,
    running: usize,
}

impl Workers {
    /// Room for so many threads.
    pub(crate) fn new(most: usize) -> Self {
        let (report, ends) = mpsc::channel(most.max(1));
        Self { ends, report, running: 0 }
    }

    /// Starts a thread; its error, or its panic with its name and cause, reaches
    /// [`ended`](Self::ended).
    pub(crate) fn spawn(
        &mut self,
        name: String,
        body: impl FnOnce() -> Result<(), ActorError> + Send + 'static,
    ) -> Result<(), ActorError> {
        let report = self.report.clone();
        let thread = name.clone();
        let body = move || {
            let end = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
                Err(ActorError::Panicked { thread, cause: cause(&*payload) })
            });
            // The channel has room for every thread, unless nobody listens any more.
            let _ = report.try_send(end);
        };
        thread::Builder::new()
            .name(name.clone())
            .spawn(body)
            .map_err(|source| ActorError::Thread { thread: name, source })?;
        self.running += 1;
        Ok(())
    }

    /// Waits until all threads have ended well, or the first one has not.
    pub(crate) async fn ended(&mut self) -> Result<(), ActorError> {
        while self.running > 0 {
            let end = self.ends.recv().await;
            self.running -= 1;
            end.unwrap_or(Ok(()))?;
        }
        Ok(())
    }
}

/// What a panic said.
pub(crate) fn cause(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_panic_is_named_with_its_cause() {
        let mut workers = Workers::new(2);
        workers.spawn("calm".into(), || Ok(())).unwrap();
        workers.spawn("rollout-7".into(), || panic!("out of {}", "luck")).unwrap();
        let limit = Duration::from_secs(20);
        let error = tokio::time::timeout(limit, workers.ended()).await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "thread rollout-7 panicked: out of luck");
        assert_eq!(error.exit_code(), 70);
    }
}
