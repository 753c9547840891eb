//! What was accepted so far, and whether that is enough.

use foldhash::HashSet;
use tributary_common::ledger::{Ledger, LedgerError};
use tributary_common::reward::ObjectKey;

/// When intake is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IntakeGoals {
    /// So many accepted trajectories.
    pub generated: Option<u64>,
    /// So many distinct objects among them.
    pub paid: Option<u64>,
}

/// Accepted trajectories and their objects, counted.
#[derive(Debug, Default)]
pub struct Intake {
    goals: IntakeGoals,
    generated: u64,
    objects: HashSet<u64>,
    /// Those of them whose values came from a file and that nobody has measured.
    unpaid: HashSet<u64>,
    /// Objects that somebody has measured and that no trajectory has ended in yet.
    ahead: HashSet<u64>,
}

impl Intake {
    /// With the objects that the run's ledger knows; behind so many trajectories, or in a durable run
    /// behind all that the ledger accepted.
    ///
    /// # Errors
    /// The ledger's.
    pub fn new(goals: IntakeGoals, ledger: &Ledger, generated: u64) -> Result<Self, LedgerError> {
        let generated = generated.max(ledger.next_ordinal());
        let mut intake = Self { goals, generated, ..Self::default() };
        ledger.for_each_key(|key, is_measured| {
            intake.count_object(key, !is_measured);
        })?;
        Ok(intake)
    }

    /// Counts a trajectory; returns whether its object is new. `is_known`: its values came from a file.
    pub fn accept(&mut self, object: ObjectKey, is_known: bool) -> bool {
        self.generated += 1;
        self.count_object(object, is_known)
    }

    /// An object was measured, whatever becomes of the trajectory for which it was.
    pub fn measured(&mut self, object: ObjectKey) {
        let object = object.short();
        if !self.objects.contains(&object) {
            self.ahead.insert(object);
        }
        self.unpaid.remove(&object);
    }

    fn count_object(&mut self, object: ObjectKey, is_known: bool) -> bool {
        let object = object.short();
        let is_new = self.objects.insert(object);
        let is_known = !self.ahead.remove(&object) && is_known;
        if !is_known {
            self.unpaid.remove(&object);
        } else if is_new {
            self.unpaid.insert(object);
        }
        is_new
    }

    /// Trajectories accepted.
    pub fn generated(&self) -> u64 {
        self.generated
    }

    /// Distinct objects that were measured.
    pub fn paid(&self) -> u64 {
        (self.objects.len() - self.unpaid.len()) as u64
    }

    /// Whether a goal is reached.
    pub fn is_complete(&self) -> bool {
        let reached = |goal: Option<u64>, count| goal.is_some_and(|goal| count >= goal);
        reached(self.goals.generated, self.generated) || reached(self.goals.paid, self.paid())
    }
}
