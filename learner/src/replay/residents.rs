//! The trajectories that replay holds, each in a slot of its own.

use std::collections::VecDeque;

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
    count: usize,
    /// Ordinal and slot of each, the oldest first; also of some who have left, but never in front.
    by_age: VecDeque<(u64, usize)>,
    /// The slot of the newest with each object, where that is asked for.
    by_object: Option<HashMap<u64, usize>>,
}

impl Residents {
    /// None yet; `finds_objects` if [`with_object`](Self::with_object) is to find any.
    pub(super) fn new(finds_objects: bool) -> Self {
        Self { by_object: finds_objects.then(HashMap::new), ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Its ordinal is larger than any before.
    pub(super) fn insert(&mut self, resident: Resident) -> usize {
        let slot = self.free.pop().unwrap_or(self.slots.len());
        if slot == self.slots.len() {
            self.slots.push(None);
        }
        self.forget_who_left();
        self.by_age.push_back((resident.ordinal, slot));
        self.count += 1;
        if let Some(by_object) = &mut self.by_object {
            by_object.insert(resident.object, slot);
        }
        self.slots[slot] = Some(resident);
        slot
    }

    pub(super) fn remove(&mut self, slot: usize) -> Option<Resident> {
        let resident = self.slots.get_mut(slot)?.take()?;
        self.free.push(slot);
        self.count -= 1;
        while self.by_age.front().is_some_and(|&of| !self.is_here(of)) {
            self.by_age.pop_front();
        }
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
        self.by_age.front().map(|&(_, slot)| slot)
    }

    /// The newest first.
    pub(super) fn newest(&self) -> impl Iterator<Item = usize> {
        let here = self.by_age.iter().rev().filter(|&&of| self.is_here(of));
        here.map(|&(_, slot)| slot)
    }

    pub(super) fn with_ordinal(&self, ordinal: u64) -> Option<usize> {
        let place = self.by_age.binary_search_by_key(&ordinal, |&(ordinal, _)| ordinal).ok()?;
        let of = self.by_age[place];
        self.is_here(of).then_some(of.1)
    }

    fn is_here(&self, (ordinal, slot): (u64, usize)) -> bool {
        self.get(slot).is_some_and(|resident| resident.ordinal == ordinal)
    }

    /// Keeps those who have left fewer than those who are here.
    fn forget_who_left(&mut self) {
        if self.by_age.len() > 2 * self.count + 64 {
            let mut by_age = std::mem::take(&mut self.by_age);
            by_age.retain(|&of| self.is_here(of));
            self.by_age = by_age;
        }
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
            let is_twice = self.by_age.back().is_some_and(|last| last.0 == resident.ordinal);
            self.by_age.push_back((resident.ordinal, slot));
            self.count += 1;
            if is_twice || self.slots[slot].replace(resident).is_some() {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use tributary_common::random::{Purpose, Stream};

    fn resident(ordinal: u64) -> Resident {
        Resident {
            ordinal,
            actions: Packed::new(&[]),
            log_reward: 0.0,
            policy: PolicyVersion::default(),
            object: 0,
            kind: TrajectoryKind::Forward,
            seconds: 0.0,
            uses: 1,
            used: 0,
            is_stale: false,
        }
    }

    #[test]
    fn they_are_found_by_age_whoever_left() {
        let (mut residents, mut model) = (Residents::new(false), BTreeMap::new());
        let mut random = Stream::new(1, Purpose::Walk, 0, 0);
        for ordinal in 0..3_000 {
            model.insert(ordinal, residents.insert(resident(ordinal)));
            // Up to two leave, mostly not the oldest: few are left for long, one for ever.
            for _ in 0..random.below(3) {
                let place = 1 + random.below(model.len());
                let Some((&gone, &slot)) = model.iter().nth(place) else { continue };
                model.remove(&gone);
                assert_eq!(residents.remove(slot).map(|resident| resident.ordinal), Some(gone));
                assert_eq!(residents.with_ordinal(gone), None);
            }
            assert_eq!(residents.len(), model.len());
            assert_eq!(residents.oldest(), model.first_key_value().map(|(_, &slot)| slot));
            assert!(residents.newest().eq(model.values().rev().copied()));
            assert!(model.iter().all(|(&of, &slot)| residents.with_ordinal(of) == Some(slot)));
        }
        assert!(model.len() < 200, "{} are left: none of them is between many", model.len());
        assert!(residents.by_age.len() <= 2 * residents.len() + 65, "{}", residents.by_age.len());
        while let Some(oldest) = residents.oldest() {
            residents.remove(oldest);
        }
        assert_eq!((residents.len(), residents.by_age.len()), (0, 0));
    }
}
