//! The example run files are read, and their targets are those that they promise.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};

use tributary_common::environment::laws::check_laws;
use tributary_common::exact::Target;
use tributary_common::registry::{Registry, Task, data_files};
use tributary_common::run_file::RunFile;

fn examples() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

fn example(name: &str) -> (RunFile, Task) {
    let folder = examples();
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
fn motif() {
    let (_, task) = example("motif.toml");
    let target = target(&task);
    assert_eq!((target.states(), target.log_rewards().len()), (5_461, 5_460));
    assert!((target.log_z() - MOTIF_LOG_Z).abs() < 1e-6, "{}", target.log_z());
}

/// By the transfer matrix of the pairs, in another program.
const MOTIF_LOG_Z: f64 = 11.708204;

#[test]
fn bitseq() {
    let (_, task) = example("bitseq.toml");
    assert_eq!((task.environment.forward_actions(), task.environment.max_steps()), (3_840, 15));
    check_laws(task.environment.as_ref(), 2, 1).unwrap();
    assert_eq!(task.reward.identity().kind, "bit_sequence");
}

/// The run file of the strings of blocks with a table that stands in for the real one: y is the
/// number of the string in the order of the blocks, less 100, over 10,000.
#[test]
fn qm9() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(examples().join("qm9.toml")).unwrap();
    let blocks =
        ["C", "O", "N", "CF", "C=O", "C=C", "C#C", "c1ccccc1", "C1CCCCC1", "C1CCNC1", "CCC"];
    let mut table = "blocks\ty\n".to_owned();
    for number in 0..11u32.pow(5) {
        let digits = (0..5).rev().map(|place| blocks[(number / 11u32.pow(place) % 11) as usize]);
        let y = (f64::from(number) - 100.0) / 10_000.0;
        table += &format!("{}\t{y}\n", digits.collect::<Vec<_>>().join(" "));
    }
    std::fs::write(folder.path().join("qm9.tsv"), table).unwrap();
    let (run_file, task) = Registry::builtin().read(&text, &[], folder.path()).unwrap();
    assert_eq!(data_files(&run_file)[0].name, "qm9.tsv");
    let (forward, backward) =
        (task.environment.forward_actions(), task.environment.backward_actions());
    assert_eq!((forward, backward), (22, 2));
    let target = target(&task);
    let log_rewards = target.log_rewards();
    assert_eq!(log_rewards.len(), 161_051);
    // 100 clip(y, 1e-3)^5 / max: the best string has 100, the first ones that of a y of 1e-3.
    let largest = (161_050.0 - 100.0) / 10_000.0;
    let log_reward = |y: f64| 100f64.ln() + 5.0 * (y.max(1e-3) / largest).ln();
    for (number, y) in [(0, -0.01), (100, 0.0), (105, 0.0005), (50_100, 5.0), (161_050, largest)] {
        assert!((log_rewards[number] - log_reward(y)).abs() < 1e-9, "{number}");
    }
}

#[test]
fn rna() {
    let (_, task) = example("rna.toml");
    let target = "((((..((((....))))..((((....))))..))))";
    let command = std::fs::read_to_string(examples().join("rna.toml")).unwrap();
    assert!(command.contains(&format!("\"{target}\"]")), "the target is another one");
    let environment = task.environment.as_ref();
    assert_eq!((environment.forward_actions(), environment.max_steps()), (4, target.len()));
    check_laws(environment, 20, 1).unwrap();
    assert_eq!(task.reward.identity().kind, "command");
}

#[test]
fn no_example_is_left_out() {
    let mut names: Vec<String> = std::fs::read_dir(examples())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    names.sort();
    let source = include_str!("examples.rs");
    let untested: Vec<_> =
        names.iter().filter(|name| !source.contains(&format!("\"{name}\""))).collect();
    assert!(untested.is_empty(), "examples without a test here: {untested:?}");
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
