//! `RUN_DIR/slurm/metrics`: where the pages of metrics of learner and actors are, each in a file of the form that
//! Prometheus reads with `file_sd_configs`. They go from node to node; Prometheus follows.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::folder::Folder;
use super::scheduler::Task;
use crate::error::CommandError;

const PREFIX: &str = "actor-";
/// What was listed so lately may be of a task that began after the look at the queue.
const NEW: Duration = Duration::from_secs(60);

/// A page that is listed until this is dropped. What a killed process leaves behind is removed by
/// [`keep_those_of`], or replaced by its next life.
#[derive(Debug)]
pub(super) struct Listed {
    path: PathBuf,
    text: String,
}

impl Listed {
    /// Of the learner, at this address of its pages.
    pub(super) fn learner(folder: &Folder, http: &str) -> Result<Self, CommandError> {
        let target = http.split_once("://").map_or(http, |(_, target)| target);
        Self::new(folder, "learner", target.trim_end_matches('/'))
    }

    /// Of the actor of this task, such as "18_3".
    pub(super) fn actor(folder: &Folder, task: &str, target: &str) -> Result<Self, CommandError> {
        Self::new(folder, &format!("{PREFIX}{task}"), target)
    }

    fn new(folder: &Folder, name: &str, target: &str) -> Result<Self, CommandError> {
        let text = json!([{ "targets": [target], "labels": { "run": folder.launched.name } }]);
        let text = format!("{text}\n");
        let name = format!("metrics/{name}.json");
        folder.write(&name, &text)?;
        Ok(Self { path: folder.file(&name), text })
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        // A requeued task may have listed itself anew.
        if fs::read_to_string(&self.path).is_ok_and(|text| text == self.text) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Takes the actors from the list that are none of these tasks.
pub(super) fn keep_those_of(folder: &Folder, tasks: &[Task]) {
    for entry in fs::read_dir(folder.file("metrics")).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(".json"));
        let is_gone = |id| !tasks.iter().any(|task| task.id == id && task.is_running());
        if id.is_some_and(is_gone) && !is_new(&entry.path()) {
            // It may just have gone by itself.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn is_new(path: &Path) -> bool {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|modified| modified.elapsed().unwrap_or_default() < NEW)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::time::SystemTime;

    use super::super::folder::Launched;
    use super::*;

    #[test]
    fn pages_are_listed_while_there_is_somebody_behind_them() {
        let directory = tempfile::tempdir().expect("a directory");
        let launched = Launched { name: "grid".to_owned(), ..Launched::example() };
        let folder = Folder::create(directory.path(), launched).expect("made");
        let listed = || {
            let files = fs::read_dir(folder.file("metrics")).expect("read").flatten();
            let mut names: Vec<String> =
                files.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
            names.sort();
            names
        };
        let learner = Listed::learner(&folder, "https://n1:4180").expect("written");
        let text = fs::read_to_string(folder.file("metrics/learner.json")).expect("read");
        assert_eq!(text, "[{\"labels\":{\"run\":\"grid\"},\"targets\":[\"n1:4180\"]}]\n");
        let actors = ["7_0", "7_1", "7_2"].map(|task| Listed::actor(&folder, task, "n2:1"));
        for old in ["7_0", "7_1"] {
            let file = fs::File::options()
                .write(true)
                .open(folder.file(&format!("metrics/actor-{old}.json")));
            file.and_then(|file| file.set_modified(SystemTime::now() - 2 * NEW)).expect("set");
        }
        keep_those_of(&folder, &[Task::example("7_0", "RUNNING"), Task::example("7_1", "PENDING")]);
        assert_eq!(listed(), ["actor-7_0.json", "actor-7_2.json", "learner.json"], "7_2 is new");
        let again = Listed::actor(&folder, "7_0", "n3:1").expect("written");
        drop(actors);
        assert_eq!(listed(), ["actor-7_0.json", "learner.json"], "its next life is listed");
        drop((again, learner));
        assert!(listed().is_empty());
    }
}
