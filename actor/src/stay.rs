//! For a place that keeps its processes running, like Kubernetes: when its run is over, or no learner is there, an
//! actor waits for the next instead of ending.

use std::time::Duration;

use tributary_common::registry::Registry;

use crate::surroundings::Surroundings;
use crate::{ActorConfig, ActorError, Outcome, Shutdown, run_in};

/// Between two lives, so that a learner which says that it is done is not asked all the time.
const PAUSE: Duration = Duration::from_secs(2);
/// The exit code of what another try may mend.
const TRY_AGAIN: u8 = 75;

/// One actor after the other, until `shutdown` or an error that the next one would meet too.
pub(crate) async fn stay(
    config: ActorConfig,
    registry: Registry,
    shutdown: Shutdown,
    surroundings: impl Fn() -> Surroundings,
) -> Result<Outcome, ActorError> {
    let (mut acked, mut unacked) = (0, 0);
    loop {
        let (config, registry) = (config.clone(), registry.clone());
        let ended = run_in(config, registry, shutdown.clone(), surroundings()).await;
        match ended {
            Ok(outcome) => {
                acked += outcome.acked;
                unacked += outcome.unacked;
                if shutdown.drain.is_cancelled() {
                    return Ok(Outcome { acked, unacked, ..outcome });
                }
                tracing::info!(reason = outcome.reason, "staying for the next learner");
            }
            Err(error) if [0, TRY_AGAIN].contains(&error.exit_code()) => {
                tracing::warn!(%error, "staying for the next learner");
            }
            Err(error) => return Err(error),
        }
        tokio::select! {
            biased;
            () = shutdown.drain.cancelled() => {
                let reason = "stopped between two learners".to_owned();
                return Ok(Outcome { reason, acked, unacked });
            }
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}
