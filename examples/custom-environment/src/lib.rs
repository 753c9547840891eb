//! A user's own environment and reward: what to take in a backpack that carries only so much.
//!
//! [`backpack`] says how objects are built, [`worth`] what they are worth, [`registry`] gives both
//! a `kind` for run files; [`diary`] is a slow reward that shows what is paid for. The two programs, `src/bin/`, are Tributary's own with this registry.

pub mod backpack;
pub mod diary;
pub mod worth;

use std::sync::Arc;

use backpack::Backpack;
use diary::Diary;
use tributary_common::registry::Registry;
use worth::Worth;

/// Everything that comes with Tributary, and the backpack.
pub fn registry() -> Registry {
    Registry::builtin()
        .with_environment(Backpack::KIND, |section| Ok(Arc::new(Backpack::from_section(section)?)))
        .with_reward(Diary::KIND, |section, context| {
            Ok(Arc::new(Diary::from_section(section, context.environment)?))
        })
        .with_reward(Worth::KIND, |section, context| {
            Ok(Arc::new(Worth::from_section(section, context.environment)?))
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    #[test]
    fn a_backward_policy_by_path_counts_needs_them() {
        let read = |backward: &str| {
            let change = ("policy.backward".to_owned(), backward.to_owned());
            super::registry().read(include_str!("../backpack.toml"), &[change], Path::new(""))
        };
        assert!(read("pessimistic").is_ok());
        let error = read("maxent").err().unwrap().to_string();
        assert!(error.contains("\"backpack\" does not count the paths to a state"), "{error}");
    }
}
