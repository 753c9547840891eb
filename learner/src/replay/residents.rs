//! The trajectories that replay holds, each in a slot of its own.

use std::collections::BTreeMap;

use foldhash::{HashMap, HashMapExt};
use tributary_common::ids::PolicyVersion;
use tributary_common::trajectory::TrajectoryKind;

use super::packed::Packed;

/// A trajectory that is kept.
pub(super) struct Resident {
    /// Its place among all that were ever inserted.
    pub(super) ordinal: u64,
    /// Its path, without the exit; where paths are drawn anew, a name of its object.
    pub(super) actions: Packed,
    /// Finite.
    pub(super) log_reward: f64,
    /// The weights that drew it.
    pub(super) policy: PolicyVersion,
    /// A hash of its object.
    pub(super) object: u64,
    /// How its path came about.
    pub(super) kind: TrajectoryKind,
    /// Seconds that measuring its object took.
    pub(super) seconds: f32,
    /// Uses that it should have.
    pub(super) uses: u64,
    /// Uses that it has had.
    pub(super) used: u64,
    /// Whether its path was discarded for its age.
    pub(super) is_stale: bool,
}

/// Residents by slot, by age and by object.
#[derive(Default)]
pub(super) struct Residents {
    slots: Vec<Option<Resident>>,
    free: Vec<usize>,
    /// Slots by ordinal.
    by_age: BTreeMap<u64, usize>,
    /// The slot of the newest with each object, where that is asked for.
    by_object: Option<HashMap<u64, usize>>,
}

impl Residents {
    /// None yet; `finds_objects` if [`with_object`](Self::with_object) is to find any.
    pub(super) fn new(finds_objects: bool) -> Self {
        Self { by_object: finds_objects.then(HashMap::new), ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.by_age.len()
    }

    pub(super) fn insert(&mut self, resident: Resident) -> usize {
        let slot = self.free.pop().unwrap_or(self.slots.len());
        if slot == self.slots.len() {
            self.slots.push(None);
        }
        self.by_age.insert(resident.ordinal, slot);
        if let Some(by_object) = &mut self.by_object {
            by_object.insert(resident.object, slot);
        }
        self.slots[slot] = Some(resident);
        slot
    }

    pub(super) fn remove(&mut self, slot: usize) -> Option<Resident> {
        let resident = self.slots.get_mut(slot)?.take()?;
        self.free.push(slot);
        self.by_age.remove(&resident.ordinal);
        if let Some(by_object) = &mut self.by_object
            && by_object.get(&resident.object) == Some(&slot)
        {
            by_object.remove(&resident.object);
        }
        Some(resident)
    }

    pub(super) fn get(&self, slot: usize) -> Option<&Resident> {
        self.slots.get(slot)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut Resident> {
        self.slots.get_mut(slot)?.as_mut()
    }

    pub(super) fn oldest(&self) -> Option<usize> {
        self.by_age.first_key_value().map(|(_, &slot)| slot)
    }

    /// The newest first.
    pub(super) fn newest(&self) -> impl Iterator<Item = usize> {
        self.by_age.values().rev().copied()
    }

    pub(super) fn with_ordinal(&self, ordinal: u64) -> Option<usize> {
        self.by_age.get(&ordinal).copied()
    }

    /// All with their slots, by slot.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Resident)> {
        let all = self.slots.iter().enumerate();
        all.filter_map(|(slot, resident)| Some((slot, resident.as_ref()?)))
    }

    /// Slots, the free ones among them.
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Free slots, in the order in which they will be taken from the end.
    pub(super) fn free(&self) -> &[usize] {
        &self.free
    }

    /// Takes these in, where nobody is yet, in so many slots of which these are free. Not so, and not
    /// to be used any more, if a slot or an ordinal is taken twice or a slot is neither.
    pub(super) fn take_up(
        &mut self,
        slots: usize,
        free: Vec<usize>,
        mut residents: Vec<(usize, Resident)>,
    ) -> bool {
        if slots != free.len() + residents.len() {
            return false;
        }
        residents.sort_by_key(|(_, resident)| resident.ordinal);
        self.free = free;
        self.slots.resize_with(slots, || None);
        for (slot, resident) in residents {
            if let Some(by_object) = &mut self.by_object {
                by_object.insert(resident.object, slot);
            }
            let older = self.by_age.insert(resident.ordinal, slot);
            if older.is_some() || self.slots[slot].replace(resident).is_some() {
                return false;
            }
        }
        let is_free = |slot: &usize| self.slots.get(*slot).is_some_and(Option::is_none);
        let mut distinct = self.free.clone();
        distinct.sort_unstable();
        distinct.dedup();
        distinct.len() == self.free.len() && self.free.iter().all(is_free)
    }

    /// The newest with this object; none unless they are to be found.
    pub(super) fn with_object(&self, object: u64) -> Option<usize> {
        self.by_object.as_ref()?.get(&object).copied()
    }
}
