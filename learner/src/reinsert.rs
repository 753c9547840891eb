//! A restarted learner of a durable run: what the ledger accepted past the checkpoint goes into replay
//! again, examined as if it had just come.

use tributary_common::ledger::{Ledger, LedgerError};

use crate::examine::{Examiner, Sound};

/// Gives every trajectory from this ordinal on to `insert`, in order, with its exploration setting;
/// returns how many. The ordinal is that of the checkpoint: what it had accepted when it was taken.
///
/// # Errors
/// The ledger's; a hole in the ordinals; or a trajectory that was accepted and is no longer sound,
/// because the environment or the reward has changed.
pub fn reinsert(
    ledger: &Ledger,
    from: u64,
    examiner: &mut Examiner,
    mut insert: impl FnMut(u32, &Sound),
) -> Result<u64, LedgerError> {
    let mut next = from;
    for row in ledger.accepted_from(from) {
        let row = row?;
        let ordinal = row.accepted.ordinal;
        if ordinal != next {
            let what = format!("accepted trajectory {next} is missing: the next one is {ordinal}");
            return Err(LedgerError::Damaged(what));
        }
        let sound = examiner.examine(&row.view()).map_err(|unsound| {
            let (detail, reason) = (unsound.detail, unsound.reason);
            LedgerError::Damaged(format!("accepted trajectory {ordinal} is {reason} now: {detail}"))
        })?;
        insert(row.accepted.setting, &sound);
        next += 1;
    }
    match ledger.next_ordinal() {
        end if end == next => Ok(next - from),
        end => Err(LedgerError::Damaged(format!(
            "accepted trajectories {next} to {end} are missing: no checkpoint from {from} on is there"
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::intake::{Intake, IntakeGoals};
    use crate::ledger_writer::Sources;
    use std::path::Path;
    use tributary_common::ids::{ActorId, Epoch, Incarnation, PolicyVersion, RunId, Seq};
    use tributary_common::ledger::{Accepted, Decided, Entry, FILE, Opened, Record, Verdict};
    use tributary_common::registry::Registry;
    use tributary_common::session::Secret;
    use tributary_common::session::learner::LearnerSession;
    use tributary_common::trajectory::{TrajectoryKind, TrajectoryView};

    fn examiner(side: usize) -> Examiner {
        let text = format!(
            "[environment]\nkind = \"hypergrid\"\ndimensions = 2\nside = {side}\n[reward]\n\
             kind = \"original\"\n[learner]\nupdates = 1\n"
        );
        let (_, task) = Registry::builtin().read(&text, &[], Path::new("")).unwrap();
        Examiner::new(task.environment, task.undelayed)
    }

    #[test]
    fn what_was_accepted_past_a_checkpoint_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let mut ledger = Ledger::open(&path, RunId([1; 16]), Incarnation(1)).unwrap();
        let mut examiner = examiner(4);
        let epoch = Epoch { incarnation: Incarnation(1), counter: 1 };
        let actor = ActorId(7);
        let session = LearnerSession::new(Secret([1; 16]), epoch).save();
        let (mut sounds, mut records) = (Vec::new(), Vec::new());
        for (ordinal, actions) in [[0, 1], [1, 1], [0, 0], [0, 1]].iter().enumerate() {
            let (kind, setting, log_mu) = (TrajectoryKind::Forward, 0, -1.0);
            let policy = PolicyVersion { incarnation: Incarnation(1), step: 5 };
            let (seq, raw, seconds) = (Seq(ordinal as u64), &[0.5][..], 0.25);
            let view = TrajectoryView { seq, actions, raw, policy, kind, setting, log_mu, seconds };
            let sound = examiner.examine(&view).unwrap();
            let (ordinal, actions) = (ordinal as u64, actions.to_vec());
            let accepted = Accepted { ordinal, actions, kind, setting, log_mu };
            let seen = Some(Sources::default().observation(&sound, &view, actor));
            records.push(Record { verdict: Verdict::Accepted(accepted), observation: seen });
            sounds.push(sound);
        }
        let opened = Opened { actor, session, forgotten: vec![], time: 0.0 };
        let decided = Decided { actor, epoch, first: Seq(0), duplicates: 0, records };
        ledger.commit(&[Entry::Opened(opened), Entry::Decided(decided)]).unwrap();
        drop(ledger);

        let mut ledger = Ledger::open(&path, RunId([1; 16]), Incarnation(2)).unwrap();
        let mut back = Vec::new();
        let count = reinsert(&ledger, 1, &mut examiner, |_, sound| back.push(sound.clone()));
        assert_eq!((count.unwrap(), back.as_slice()), (3, &sounds[1..]));
        let new = ledger.first_seen_from(1).unwrap();
        assert_eq!(new, sounds[1..3].iter().map(|sound| sound.key).collect());
        let intake = Intake::new(IntakeGoals::default(), &ledger, 0).unwrap();
        assert_eq!((intake.generated(), intake.paid()), (4, 3));

        let smaller = reinsert(&ledger, 0, &mut self::examiner(2), |_, _| {}).unwrap_err();
        assert!(smaller.to_string().contains("trajectory 1 is illegal_action now"), "{smaller}");
        ledger.forget_below(2).unwrap();
        let hole = reinsert(&ledger, 1, &mut examiner, |_, _| {}).unwrap_err();
        assert!(hole.to_string().contains("trajectory 1 is missing"), "{hole}");
        assert_eq!(reinsert(&ledger, 4, &mut examiner, |_, _| {}).unwrap(), 0);
        assert!(reinsert(&ledger, 3, &mut examiner, |_, _| {}).is_ok());
        ledger.forget_below(9).unwrap();
        assert!(reinsert(&ledger, 3, &mut examiner, |_, _| {}).is_err());
    }
}
