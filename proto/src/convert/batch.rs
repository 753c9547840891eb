//! Columnar batches of trajectories.

use tributary_common::ids::{Epoch, PolicyVersion, Seq};
use tributary_common::trajectory::{TrajectoryBatch, TrajectoryKind};

use super::{FromWireEnum, Result, WireError, bounded, exactly, positive, required, value_error};
use crate::limits;
use crate::v1;

super::same_words!(TrajectoryKind, v1::TrajectoryKind, "batch.kind":
    Forward, LocalSearch, Backward, Imported);

/// A batch with the epoch in which its records were stamped.
#[derive(Clone, Debug, PartialEq)]
pub struct StampedBatch {
    /// Not the session's own when leftovers are drained.
    pub epoch: Epoch,
    /// What was stamped.
    pub batch: TrajectoryBatch,
}

impl From<StampedBatch> for v1::Batch {
    fn from(StampedBatch { epoch, batch }: StampedBatch) -> Self {
        let mut policies: Vec<PolicyVersion> = Vec::new();
        let index_of = |version: &PolicyVersion| {
            // Versions change rarely: nearly always the last one is it.
            let known = policies.iter().rposition(|known| known == version);
            known.unwrap_or_else(|| {
                policies.push(*version);
                policies.len() - 1
            }) as u32
        };
        let policy = batch.policy.iter().map(index_of).collect();
        let kind = |&kind: &TrajectoryKind| v1::TrajectoryKind::from(kind) as i32;
        Self {
            epoch: Some(epoch.into()),
            first_seq: batch.first_seq.0,
            lengths: batch.lengths,
            actions: batch.actions,
            outputs: batch.outputs as u32,
            raw: batch.raw,
            policies: policies.into_iter().map(Into::into).collect(),
            policy,
            kind: batch.kind.iter().map(kind).collect(),
            setting: batch.setting,
            log_mu: batch.log_mu,
            seconds: batch.seconds,
            round: batch.round,
            index: batch.index,
            ..Self::default()
        }
    }
}

impl TryFrom<v1::Batch> for StampedBatch {
    type Error = WireError;

    fn try_from(wire: v1::Batch) -> Result<Self> {
        check_columns(&wire)?;
        check_not_built(&wire)?;
        let epoch = required(wire.epoch, "batch.epoch")?.try_into()?;
        let policies: Vec<PolicyVersion> =
            wire.policies.into_iter().map(TryInto::try_into).collect::<Result<_>>()?;
        let policy = |index: &u32| {
            let known = policies.get(*index as usize).copied();
            known.ok_or_else(|| value_error("batch.policy", index, "an index into policies"))
        };
        if let Some(seconds) = wire.seconds.iter().find(|s| !(s.is_finite() && **s >= 0.0)) {
            return Err(value_error("batch.seconds", seconds, "finite and not negative"));
        }
        let batch = TrajectoryBatch {
            first_seq: Seq(wire.first_seq),
            policy: wire.policy.iter().map(policy).collect::<Result<_>>()?,
            kind: wire.kind.iter().map(|&k| TrajectoryKind::from_wire(k)).collect::<Result<_>>()?,
            lengths: wire.lengths,
            actions: wire.actions,
            outputs: wire.outputs as usize,
            raw: wire.raw,
            setting: wire.setting,
            log_mu: wire.log_mu,
            seconds: wire.seconds,
            round: wire.round,
            index: wire.index,
        };
        Ok(Self { epoch, batch })
    }
}

fn check_columns(wire: &v1::Batch) -> Result<()> {
    let count = positive(wire.lengths.len(), "batch.lengths")?;
    bounded(count, limits::BATCH_RECORDS, "batch.lengths")?;
    let outputs = positive(wire.outputs, "batch.outputs")? as usize;
    bounded(outputs, limits::OUTPUTS, "batch.outputs")?;
    let actions: u64 = wire.lengths.iter().map(|&length| u64::from(length)).sum();
    if actions != wire.actions.len() as u64 {
        let found = wire.actions.len() as u64;
        return Err(WireError::Length { field: "batch.actions", expected: actions, found });
    }
    if wire.first_seq.checked_add(count as u64).is_none() {
        return Err(value_error("batch.first_seq", wire.first_seq, "a number with room above it"));
    }
    exactly(wire.raw.len(), count * outputs, "batch.raw")?;
    exactly(wire.policy.len(), count, "batch.policy")?;
    exactly(wire.kind.len(), count, "batch.kind")?;
    exactly(wire.setting.len(), count, "batch.setting")?;
    exactly(wire.log_mu.len(), count, "batch.log_mu")?;
    exactly(wire.seconds.len(), count, "batch.seconds")?;
    check_places(wire, count)?;
    bounded(wire.policies.len(), count, "batch.policies")
}

/// Either all of lockstep or nothing of it.
fn check_places(wire: &v1::Batch, count: usize) -> Result<()> {
    if wire.index.is_empty() && wire.round == 0 {
        return Ok(());
    }
    positive(wire.round, "batch.round")?;
    exactly(wire.index.len(), count, "batch.index")
}

fn check_not_built(wire: &v1::Batch) -> Result<()> {
    let measured = v1::EvaluationStatus::Measured as i32;
    for (is_set, field) in [
        (wire.evaluation.iter().any(|&status| status != measured), "batch.evaluation"),
        (!wire.conditions.is_empty(), "batch.conditions"),
        (!wire.condition.is_empty(), "batch.condition"),
    ] {
        if is_set {
            return Err(WireError::NotBuilt { field });
        }
    }
    if !wire.evaluation.is_empty() {
        exactly(wire.evaluation.len(), wire.lengths.len(), "batch.evaluation")?;
    }
    Ok(())
}
