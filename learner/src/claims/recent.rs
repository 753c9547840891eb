//! Values that were asked for or told lately, so that the disk is not asked for them each time.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use tributary_common::claims::{Finding, Outcome};
use tributary_common::reward::ObjectKey;

/// Bytes of each of the two generations.
const GENERATION_BYTES: usize = 16 << 20;
/// What a value takes besides its numbers: key, pointers, counts, its place in the table.
const OVERHEAD: usize = 160;

/// Two generations: when the younger is full, it becomes the older one, which is forgotten.
#[derive(Debug, Default)]
pub(super) struct Recent {
    young: HashMap<ObjectKey, Arc<Finding>>,
    old: HashMap<ObjectKey, Arc<Finding>>,
    bytes: usize,
}

impl Recent {
    pub(super) fn get(&mut self, key: ObjectKey) -> Option<Arc<Finding>> {
        if let Some(finding) = self.young.get(&key) {
            return Some(Arc::clone(finding));
        }
        let finding = self.old.remove(&key)?;
        self.insert(key, Arc::clone(&finding));
        Some(finding)
    }

    pub(super) fn insert(&mut self, key: ObjectKey, finding: Arc<Finding>) {
        let values = match &finding.outcome {
            Outcome::Measured(raw) => 8 * raw.len(),
            Outcome::Failed(why) => why.len(),
        };
        if self.young.insert(key, finding).is_none() {
            self.bytes += OVERHEAD + values;
        }
        if self.bytes > GENERATION_BYTES {
            self.old = mem::take(&mut self.young);
            self.bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tributary_common::ids::ActorId;

    use super::*;

    fn key(n: usize) -> ObjectKey {
        ObjectKey(*blake3::hash(&n.to_le_bytes()).as_bytes())
    }

    #[test]
    fn what_is_asked_for_stays_and_the_whole_is_bounded() {
        let mut recent = Recent::default();
        let outcome = Outcome::Measured(vec![0.5; 1_000]);
        let finding = Arc::new(Finding { outcome, seconds: 1.0, actor: ActorId(1) });
        let most = 2 * GENERATION_BYTES / 8_000;
        for n in 0..3 * most {
            recent.insert(key(n), Arc::clone(&finding));
            assert!(recent.get(key(0)).is_some(), "{n}");
            assert!(recent.young.len() + recent.old.len() <= most, "{n}");
        }
        assert!(recent.get(key(1)).is_none() && recent.get(key(3 * most - 1)).is_some());
    }
}
