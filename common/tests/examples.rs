//! The example run files are read, and their targets are those that they promise.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};

use tributary_common::environment::laws::check_laws;
use tributary_common::exact::Target;
use tributary_common::registry::{Registry, Task, data_files};
use tributary_common::run_file::RunFile;

fn example(name: &str) -> (RunFile, Task) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    Registry::builtin().read(&text, &[], &folder).unwrap_or_else(|error| panic!("{error}"))
}

fn target(task: &Task) -> Target {
    check_laws(task.environment.as_ref(), 100, 1).unwrap();
    let undelayed = task.undelayed.as_ref();
    Target::new(task.environment.as_ref(), undelayed, 2_000_000, &mut || true).unwrap()
}

#[test]
fn tfbind8() {
    let (run_file, task) = example("tfbind8.toml");
    assert_eq!(data_files(&run_file)[0].name, "tfbind8.tsv");
    let target = target(&task);
    assert_eq!((target.states(), target.log_rewards().len()), (87_381, 65_536));
    assert!((target.log_z() - 11.462147).abs() < 1e-6, "{}", target.log_z());
}

#[test]
fn hypergrid() {
    let (run_file, task) = example("hypergrid.toml");
    assert!(data_files(&run_file).is_empty());
    assert!((target(&task).log_z() - 5.100452).abs() < 1e-6);
}

#[test]
fn the_bit_sequences_of_the_documentation() {
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/environments/sequence.md");
    let page = std::fs::read_to_string(page).unwrap();
    let text = page.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let (_, task) = Registry::builtin().read(text, &[], Path::new(".")).unwrap();
    assert_eq!((task.environment.forward_actions(), task.environment.max_steps()), (3_840, 15));
    check_laws(task.environment.as_ref(), 2, 1).unwrap();
    assert_eq!(task.reward.identity().kind, "bit_sequence");
}
