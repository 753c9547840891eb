//! Data sets to train on: objects with raw reward values that somebody measured before the run.
//!
//! The file has the form of the `table` reward's: TSV or CSV, a header line, the object in the first
//! column and the reward's raw values in the next ones; further columns are ignored.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;

use crate::environment::Environment;
use crate::log_space::LogReward;
use crate::registry::Task;
use crate::reward::Reward;
use crate::reward::table::file::{TableError, each_row, open};
use crate::run_file::{Origin, Problem, RunFile};

/// An object that is known before the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// A path to it, without the exit. It stands for the object; the file says nothing of paths.
    pub actions: Vec<u32>,
    /// By the run's reward.
    pub log_reward: LogReward,
}

/// The objects of `[replay] initial`, none without that key; `files` is the folder where relative
/// names start.
///
/// # Errors
/// The file's problems, as one of the run file.
pub fn initial(run_file: &RunFile, task: &Task, files: &Path) -> Result<Vec<Known>, Vec<Problem>> {
    let Some(name) = &run_file.replay.initial else { return Ok(Vec::new()) };
    let known = read(&files.join(name), &*task.environment, &*task.undelayed);
    known.map_err(|error| {
        let path = "replay.initial".to_owned();
        let message = format!("`{path}` {error}");
        vec![Problem { path, origin: Origin::Absent, message }]
    })
}

/// Reads a data set, in the order of its lines. A line that says the same as one above is one with
/// it.
///
/// # Errors
/// An unreadable file, or wrong lines: no values, an object that the environment cannot build or
/// that has other values above, values that give no log-reward.
pub fn read(
    path: &Path,
    environment: &dyn Environment,
    reward: &dyn Reward,
) -> Result<Vec<Known>, TableError> {
    let file = open(path)?;
    let (mut known, mut seen) = (Vec::new(), HashMap::new());
    let lines = each_row(&file.text, file.separator, reward.outputs().len(), |text, raw| {
        let object = environment.parse_object(text).map_err(|error| error.to_string())?;
        let state = environment.state_of(&object).map_err(|error| error.to_string())?;
        let log_reward = reward.transform(raw).map_err(|error| error.to_string())?;
        match seen.entry(object) {
            Entry::Vacant(entry) => {
                entry.insert(raw.to_vec());
                known.push(Known { actions: any_path(environment, state), log_reward });
                Ok(())
            }
            Entry::Occupied(entry) if entry.get() == raw => Ok(()),
            Entry::Occupied(entry) => {
                Err(format!("object \"{text}\" has {raw:?} here, and {:?} above", entry.get()))
            }
        }
    });
    let path = path.to_owned();
    match lines {
        Err((count, first)) => Err(TableError::Lines { path, count, first }),
        Ok(()) if known.is_empty() => {
            let first = vec!["it has a header only".to_owned()];
            Err(TableError::Lines { path, count: 1, first })
        }
        Ok(()) => Ok(known),
    }
}

/// The actions of one path to a state: its first way back, and so on.
fn any_path(environment: &dyn Environment, mut state: Vec<u32>) -> Vec<u32> {
    let (mut actions, mut ways_back) = (Vec::new(), Vec::new());
    loop {
        ways_back.clear();
        environment.legal_backward(&state, &mut ways_back);
        let Some(&backward) = ways_back.first() else { break };
        actions.push(environment.forward_of(&state, backward));
        environment.undo(&mut state, backward);
    }
    actions.reverse();
    actions
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use super::*;
    use crate::registry::Registry;
    use crate::trajectory::walk;

    const GRID: &str = "[environment]\nkind = 'hypergrid'\ndimensions = 2\nside = 4\n[reward]\n\
                        kind = 'original'\n[learner]\nupdates = 1\n";

    fn read_grid(content: &str) -> Result<Vec<Known>, String> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("data.csv"), content).unwrap();
        let text = format!("{GRID}[replay]\ninitial = 'data.csv'\n");
        let (run_file, task) = Registry::builtin().read(&text, &[], folder.path()).unwrap();
        let known = initial(&run_file, &task, folder.path());
        known.map_err(|problems| problems[0].message.clone())
    }

    #[test]
    fn objects_come_with_their_log_reward_and_a_path_to_them() {
        let content = "cell,value,note\n\"[3, 1]\",2.5,first\n0 0,1,\n\"[3, 1]\",2.5,again\n";
        let known = read_grid(content).unwrap();
        assert_eq!(known.len(), 2);
        let (_, task) = Registry::builtin().read(GRID, &[], Path::new(".")).unwrap();
        let mut state = vec![0; task.environment.state_width()];
        for (known, (end, value)) in known.iter().zip([([3, 1], 2.5f64), ([0, 0], 1.0)]) {
            walk(&*task.environment, &known.actions, &mut state).unwrap();
            assert_eq!(state, end);
            assert!((known.log_reward.get() - value.ln()).abs() < 1e-12, "{known:?}");
        }
    }

    #[test]
    fn wrong_lines_are_named_by_their_number() {
        for (line, expected) in [
            ("\"[4, 0]\",1", "line 3: object \"4 0\": it lies outside"),
            ("0 1,-1", "line 3: raw values [-1.0] give no log-reward"),
            ("0 1,NaN", "line 3: the value of \"0 1\" is NaN, not a finite number"),
            ("0 0,2", "line 3: object \"0 0\" has [2.0] here, and [1.0] above"),
            ("0 1", "line 3: \"0 1\" has one column, expected an object, a comma and a value"),
        ] {
            let message = read_grid(&format!("cell,value\n0 0,1\n{line}\n")).unwrap_err();
            assert!(message.contains(expected), "{message}");
            assert!(message.starts_with("`replay.initial` = "), "{message}");
        }
        assert!(read_grid("cell,value\n").unwrap_err().contains("it has a header only"));
        assert!(read_grid("0 0,1\n").unwrap_err().contains("line 1: expected a header"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let text = format!("{GRID}[replay]\ninitial = 'nowhere.csv'\n");
        let (run_file, task) = Registry::builtin().read(&text, &[], Path::new("x")).unwrap();
        let problems = initial(&run_file, &task, Path::new("x")).unwrap_err();
        assert!(problems[0].message.contains("cannot be read: x/nowhere.csv"));
    }
}
