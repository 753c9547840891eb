//! What must last before an actor hears of it.

use std::io;

use tributary_common::ids::ActorId;
use tributary_common::session::learner::SavedSession;

/// Makes sessions last. In a durable run a new epoch is on disk before Welcome is sent: a learner
/// that comes back from its disk knows every epoch that it ever issued.
#[tonic::async_trait]
pub trait Keeper: Send + Sync {
    /// Returns when an actor's new session is kept, and those of forgotten actors are not any more.
    ///
    /// # Errors
    /// It is not kept; the session must not go on.
    async fn keep(
        &self,
        actor: ActorId,
        session: SavedSession,
        forgotten: Vec<ActorId>,
    ) -> io::Result<()>;
}

/// Keeps nothing: a run that is not durable finds its sessions in its checkpoints.
#[derive(Clone, Copy, Debug, Default)]
pub struct NothingKept;

#[tonic::async_trait]
impl Keeper for NothingKept {
    async fn keep(&self, _: ActorId, _: SavedSession, _: Vec<ActorId>) -> io::Result<()> {
        Ok(())
    }
}
