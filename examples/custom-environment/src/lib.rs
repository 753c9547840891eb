//! A user's own environment and reward: what to take in a backpack that carries only so much.
//!
//! [`backpack`] says how objects are built, [`worth`] what they are worth, [`registry`] gives both
//! a `kind` for run files. The two programs, `src/bin/`, are Tributary's own with this registry.

pub mod backpack;
pub mod worth;

use std::sync::Arc;

use backpack::Backpack;
use tributary_common::registry::Registry;
use worth::Worth;

/// Everything that comes with Tributary, and the backpack.
pub fn registry() -> Registry {
    Registry::builtin()
        .with_environment(Backpack::KIND, |section| Ok(Arc::new(Backpack::from_section(section)?)))
        .with_reward(Worth::KIND, |section, context| {
            Ok(Arc::new(Worth::from_section(section, context.environment)?))
        })
}
