//! What must last before an actor hears of it.

use std::io;

/// Makes sessions last. In a durable run a new epoch is on disk before Welcome is sent: a learner
/// that comes back from its disk knows every epoch that it ever issued.
#[tonic::async_trait]
pub trait Keeper: Send + Sync {
    /// Returns when the sessions as they are now, or newer, are kept.
    ///
    /// # Errors
    /// They are not kept; the session must not go on.
    async fn keep_sessions(&self) -> io::Result<()>;
}

/// Keeps nothing: a run that is not durable finds its sessions in its checkpoints.
#[derive(Clone, Copy, Debug, Default)]
pub struct NothingKept;

#[tonic::async_trait]
impl Keeper for NothingKept {
    async fn keep_sessions(&self) -> io::Result<()> {
        Ok(())
    }
}
