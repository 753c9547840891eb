//! Replay as a checkpoint keeps it: whole, so that one that comes back draws what it would have
//! drawn.

use tributary_common::environment::Environment;
use tributary_common::ids::{Incarnation, PolicyVersion};
use tributary_common::object::Object;
use tributary_common::trajectory::{TrajectoryKind, walk};

use super::columns::{BadColumns, Columns, index};
use super::packed::Packed;
use super::residents::{Resident, Residents};
use super::{Counters, Replay};

impl Replay {
    /// A copy of everything that is not of the run file.
    pub fn save(&self) -> Columns {
        let mut columns = Columns::default();
        self.counters.save(&mut columns);
        self.limiter.save(&mut columns);
        self.residents.save(&mut columns);
        self.selector.save(&mut columns);
        if let Some(diversity) = &self.diversity {
            diversity.save(&mut columns);
        }
        if let Some(staleness) = &self.staleness {
            staleness.save(&mut columns);
        }
        columns
    }

    /// Goes on from what was saved by a replay of the same run file; this one must be empty.
    ///
    /// # Errors
    /// Columns of another replay; this one is not to be used then.
    pub fn restore(
        &mut self,
        columns: &Columns,
        environment: &dyn Environment,
    ) -> Result<(), BadColumns> {
        let imported = self.counters.imported;
        self.counters = Counters { imported, ..Counters::restore(columns)? };
        self.limiter.restore(columns)?;
        self.residents.restore(columns)?;
        if self.residents.len() > self.capacity {
            return Err(BadColumns::Unfit("resident.slot"));
        }
        self.selector.restore(columns)?;
        for (slot, resident) in self.residents.iter() {
            if resident.kind == TrajectoryKind::Forward && resident.used == 0 && !resident.is_stale
            {
                self.fresh.inserted(resident.ordinal, slot);
            }
            if let Some(staleness) = &mut self.staleness {
                staleness.take_up(slot, resident);
            }
        }
        if let Some(staleness) = &mut self.staleness {
            staleness.restore(columns)?;
        }
        if let Some(diversity) = &mut self.diversity {
            diversity.restore(columns, |slot| {
                let resident = self.residents.get(slot)?;
                Some((object(environment, &resident.actions.to_vec())?, resident.log_reward))
            })?;
        }
        Ok(())
    }
}

/// What these actions build.
fn object(environment: &dyn Environment, actions: &[u32]) -> Option<Object> {
    let mut state = vec![0; environment.state_width()];
    walk(environment, actions, &mut state).ok()?;
    Some(environment.object(&state))
}

impl Counters {
    fn save(self, columns: &mut Columns) {
        let Self { inserted, evicted, merged, sampled, forfeited, .. } = self;
        let Self { zero_rewards, clipped_rewards, redrawn, imported_sampled, .. } = self;
        let counts = [inserted, evicted, merged, sampled, forfeited];
        let more = [zero_rewards, clipped_rewards, redrawn, imported_sampled];
        columns.put("counters", counts.into_iter().chain(more));
    }

    fn restore(columns: &Columns) -> Result<Self, BadColumns> {
        let &[
            inserted,
            evicted,
            merged,
            sampled,
            forfeited,
            zero_rewards,
            clipped_rewards,
            redrawn,
            imported_sampled,
        ] = columns.whole("counters")?
        else {
            return Err(BadColumns::Unfit("counters"));
        };
        Ok(Self {
            inserted,
            evicted,
            merged,
            sampled,
            forfeited,
            zero_rewards,
            clipped_rewards,
            redrawn,
            imported: 0,
            imported_sampled,
        })
    }
}

/// Columns with a number for each resident.
const WHOLE: [&str; 10] = [
    "resident.slot",
    "resident.ordinal",
    "resident.incarnation",
    "resident.step",
    "resident.object",
    "resident.kind",
    "resident.uses",
    "resident.used",
    "resident.is_stale",
    "resident.length",
];
const REAL: [&str; 2] = ["resident.log_reward", "resident.seconds"];

impl Residents {
    fn save(&self, columns: &mut Columns) {
        columns.put("slots", [self.slots() as u64]);
        columns.put("free", self.free().iter().map(|&slot| slot as u64));
        // One pass: training waits for it, and a resident is far away in memory.
        let mut whole = WHOLE.map(|_| Vec::with_capacity(self.len()));
        let mut real = REAL.map(|_| Vec::with_capacity(self.len()));
        let mut actions = Vec::with_capacity(self.iter().map(|(_, r)| r.actions.len()).sum());
        for (slot, resident) in self.iter() {
            let Resident { ordinal, policy, object, kind, uses, used, is_stale, .. } = *resident;
            let numbers = [
                slot as u64,
                ordinal,
                u64::from(policy.incarnation.0),
                policy.step,
                object,
                place_of_kind(kind),
                uses,
                used,
                u64::from(is_stale),
                resident.actions.len() as u64,
            ];
            whole.iter_mut().zip(numbers).for_each(|(column, number)| column.push(number));
            let numbers = [resident.log_reward, f64::from(resident.seconds)];
            real.iter_mut().zip(numbers).for_each(|(column, number)| column.push(number));
            actions.extend(resident.actions.to_vec().into_iter().map(u64::from));
        }
        WHOLE.into_iter().zip(whole).for_each(|(name, column)| columns.put(name, column));
        REAL.into_iter().zip(real).for_each(|(name, column)| columns.put_real(name, column));
        columns.put("actions", actions);
    }

    fn restore(&mut self, columns: &Columns) -> Result<(), BadColumns> {
        let whole = |name| columns.whole(name);
        let places = whole("resident.slot")?;
        let (ordinals, incarnations) = (whole("resident.ordinal")?, whole("resident.incarnation")?);
        let (steps, objects) = (whole("resident.step")?, whole("resident.object")?);
        let (kinds, lengths) = (whole("resident.kind")?, whole("resident.length")?);
        let (uses, used) = (whole("resident.uses")?, whole("resident.used")?);
        let stale = whole("resident.is_stale")?;
        let log_rewards = columns.real("resident.log_reward")?;
        let seconds = columns.real("resident.seconds")?;
        let mut actions = whole("actions")?.iter();
        let count = places.len();
        let sizes = [ordinals, incarnations, steps, objects, kinds, lengths, uses, used, stale];
        let is_square = sizes.iter().all(|column| column.len() == count)
            && log_rewards.len() == count
            && seconds.len() == count;
        let slots = usize::try_from(columns.one("slots")?).ok();
        let slots = slots
            .filter(|&slots| is_square && slots <= count + whole("free").map_or(0, <[u64]>::len));
        let slots = slots.ok_or(BadColumns::Unfit("slots"))?;
        let mut residents = Vec::with_capacity(count);
        for i in 0..count {
            let path = actions.by_ref().take(usize::try_from(lengths[i]).unwrap_or(0));
            let path: Result<Vec<u32>, _> = path.map(|&a| u32::try_from(a)).collect();
            let path = path.map_err(|_| BadColumns::Unfit("actions"))?;
            if path.len() as u64 != lengths[i] {
                return Err(BadColumns::Unfit("actions"));
            }
            let incarnation = u32::try_from(incarnations[i]);
            let incarnation = incarnation.map_err(|_| BadColumns::Unfit("resident.incarnation"))?;
            let kind = index("resident.kind", kinds[i], TrajectoryKind::ALL.len())?;
            let resident = Resident {
                ordinal: ordinals[i],
                actions: Packed::new(&path),
                log_reward: log_rewards[i],
                policy: PolicyVersion { incarnation: Incarnation(incarnation), step: steps[i] },
                object: objects[i],
                kind: TrajectoryKind::ALL[kind],
                seconds: seconds[i] as f32,
                uses: uses[i],
                used: used[i],
                is_stale: stale[i] == 1,
            };
            residents.push((index("resident.slot", places[i], slots)?, resident));
        }
        let free: Result<Vec<usize>, _> =
            whole("free")?.iter().map(|&slot| index("free", slot, slots)).collect();
        match self.take_up(slots, free?, residents) {
            true => Ok(()),
            false => Err(BadColumns::Unfit("resident.slot")),
        }
    }
}

fn place_of_kind(kind: TrajectoryKind) -> u64 {
    TrajectoryKind::ALL.iter().position(|&other| other == kind).unwrap_or(0) as u64
}

#[cfg(test)]
mod tests;
