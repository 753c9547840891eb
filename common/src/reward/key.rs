//! The name of what was measured: who measured it, and what.

use std::fmt;
use std::sync::Arc;

use super::Reward;
use crate::environment::Identity;
use crate::object::Object;

/// Names a measurement: blake3 of the reward's kind, its version and [`Reward::key`]. Neither the
/// construction nor the transform is in it, so that neither makes anybody pay again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(pub [u8; 32]);

impl ObjectKey {
    /// Its first eight bytes, for sets that may take two keys of many billions for one.
    pub fn short(&self) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.0[..8]);
        u64::from_le_bytes(first)
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectKey({self})")
    }
}

/// Makes the keys of one reward.
#[derive(Clone)]
pub struct KeyMaker {
    reward: Arc<dyn Reward>,
    /// Of the reward: its configuration may be large and is not asked for again.
    start: Vec<u8>,
}

impl KeyMaker {
    /// Of this reward.
    pub fn new(reward: Arc<dyn Reward>) -> Self {
        let Identity { kind, version, .. } = reward.identity();
        let mut start = (kind.len() as u64).to_le_bytes().to_vec();
        start.extend(kind.as_bytes());
        start.extend(version.to_le_bytes());
        Self { reward, start }
    }

    /// The key of an object.
    pub fn key(&self, object: &Object) -> ObjectKey {
        let mut named = Vec::with_capacity(128);
        named.extend(&self.start);
        self.reward.key(object, &mut named);
        ObjectKey(*blake3::hash(&named).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::*;
    use crate::registry::Registry;

    fn keys(reward: &str) -> KeyMaker {
        let text = format!(
            "[environment]\nkind = \"hypergrid\"\ndimensions = 2\nside = 4\n[reward]\n{reward}\n\
             [learner]\nupdates = 1\n"
        );
        let (_, task) = Registry::builtin().read(&text, &[], Path::new("")).unwrap();
        KeyMaker::new(task.reward)
    }

    #[test]
    fn a_key_names_oracle_and_object_and_nothing_else() {
        let cell = |x| Object::Integers(vec![x, 0]);
        let plain = keys("kind = \"original\"");
        assert_eq!(plain.key(&cell(1)), plain.key(&cell(1)));
        assert_ne!(plain.key(&cell(1)), plain.key(&cell(2)));
        let slow = keys("kind = \"original\"\ndelay = \"1s\"");
        assert_eq!(slow.key(&cell(1)), plain.key(&cell(1)));
        assert_ne!(keys("kind = \"cosine\"").key(&cell(1)), plain.key(&cell(1)));
        assert_eq!(plain.key(&cell(1)).to_string().len(), 64);
    }
}
