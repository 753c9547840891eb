//! Which job a process belongs to, and on which node.

use std::env;
use std::time::Duration;

use tokio::time::sleep;

use super::scheduler;
use crate::error::CommandError;

/// Which job this is, and where.
pub(super) struct Place {
    /// Its number.
    pub(super) job: String,
    /// The node, as Slurm calls it.
    pub(super) node: String,
    /// By which others reach it.
    pub(super) host: String,
}

impl Place {
    /// From what Slurm says to the processes of a job.
    pub(super) async fn here() -> Result<Self, CommandError> {
        let variable = |name: &str| {
            let missing = || CommandError::Slurm {
                program: "slurm".to_owned(),
                reason: format!("{name} is not set: this is for jobs of tributary slurm launch"),
            };
            env::var(name).map_err(|_| missing())
        };
        let (job, node) = (variable("SLURM_JOB_ID")?, variable("SLURMD_NODENAME")?);
        let host = match scheduler::address_of_node(&node).await {
            Ok(address) => address.unwrap_or_else(|| node.clone()),
            Err(error) => {
                tracing::warn!(%error, "taking the node's name for its address");
                node.clone()
            }
        };
        Ok(Self { job, node, host })
    }

    /// Whether Slurm still holds this to be the place of the job. A node that was lost for a while may have
    /// lost its job to another one, with a learner of its own.
    pub(super) async fn is_of(&self, name: &str) -> bool {
        loop {
            match scheduler::tasks(&[name.to_owned()]).await {
                Ok(tasks) => {
                    let Self { job, node, .. } = self;
                    return tasks
                        .iter()
                        .any(|task| task.id == *job && task.node == *node && task.is_running());
                }
                Err(error) => tracing::warn!("the queue is not to be seen: {error}"),
            }
            sleep(Duration::from_secs(5)).await;
        }
    }
}
