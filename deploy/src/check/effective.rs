//! What a run file comes to: the values in effect, and which of them are not the defaults.

use tributary_common::registry::Registry;
use tributary_common::run_file::{Effective, RunFile};

use crate::display::Table;

/// Sections that say what is learned: all of their keys are shown.
const IN_FULL: [&str; 6] =
    ["environment", "reward", "policy", "objective", "exploration", "replay"];

/// A section of the table for each of the run file; of those that say how the work is done only the
/// choices, and what differs from its default.
pub(super) fn effective(table: &mut Table, run_file: &RunFile, registry: &Registry) {
    let environment = registry.describe_environment(&run_file.environment);
    let reward = registry.describe_reward(&run_file.reward.section);
    for (name, keys) in run_file.effective(environment, reward) {
        table.section(&format!("[{name}]"));
        let is_shown = |key: &Effective| IN_FULL.contains(&name) || key.is_choice || key.differs();
        let shown = keys.iter().filter(|key| is_shown(key));
        shown.clone().for_each(|key| table.row(&key.name, value(key)));
        let hidden = keys.len() - shown.count();
        if hidden > 0 {
            table.row("others", format!("{hidden} at their defaults"));
        }
    }
}

fn value(key: &Effective) -> String {
    match &key.default {
        Some(default) if key.differs() => format!("{}  (default {default})", key.value),
        _ => key.value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn choices_and_differences_are_shown() {
        let text = "[environment]\nkind = 'hypergrid'\nside = 3\n[reward]\nkind = 'original'\nr0 = 0.5\n\
                    [learner]\nupdates = 10\nbatch = 16\n";
        let mut table = Table::default();
        effective(&mut table, &RunFile::parse(text, &[]).unwrap(), &Registry::builtin());
        let text = table.text();
        let rows: Vec<Vec<&str>> =
            text.lines().map(|line| line.split_whitespace().collect()).collect();
        for expected in [
            &["[environment]"][..],
            &["kind", "\"hypergrid\""],
            &["side", "3"],
            &["r0", "0.5", "(default", "0.1)"],
            &["r2", "2.0"],
            &["backward", "\"learned\""],
            &["residual", "\"squared\""],
            &["epsilon", "0.0"],
            &["selector", "\"fifo\""],
            &["updates", "10"],
            &["batch", "16", "(default", "64)"],
            &["device", "\"auto\""],
        ] {
            assert!(rows.iter().any(|row| row == expected), "{expected:?} is not in\n{text}");
        }
        assert!(!text.contains("adam_beta1") && text.contains("at their defaults"), "{text}");
    }
}
