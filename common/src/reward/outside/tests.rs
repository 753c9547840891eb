#![allow(clippy::unwrap_used)]
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::registry::Registry;
use crate::reward::KeyMaker;
use crate::run_file::{RunFile, RunFileError};

const START: &str = "[environment]\nkind = 'sequence'\nalphabet = 'ACGT'\nlength = 8\n[learner]\n\
                     updates = 1\n";

fn read(more: &str) -> Result<(RunFile, crate::registry::Task), RunFileError> {
    Registry::builtin().read(&format!("{START}{more}"), &[], Path::new("/data/runs"))
}

fn message(more: &str) -> String {
    read(more).err().unwrap().to_string()
}

fn reward(keys: &str) -> OutsideReward {
    let section =
        Section::from_toml("reward", &format!("kind = 'command'\ncommand = ['./dock']\n{keys}"));
    OutsideReward::command(&section.unwrap(), Path::new("/data")).unwrap()
}

#[test]
fn a_command_makes_a_run_durable_and_runs_beside_the_run_file() {
    let command = "[reward]\nkind = 'command'\ncommand = ['python3', 'reward.py']\nworkers = 3\n";
    let (run_file, task) = read(command).unwrap();
    assert_eq!(run_file.reward.durable, Some(true));
    let Some(Outside::Command(found)) = task.reward.outside() else { unreachable!() };
    assert_eq!(
        (found.workers, &*found.command),
        (Some(3), &["python3", "reward.py"].map(str::to_owned)[..])
    );
    assert_eq!(found.folder, PathBuf::from("/data/runs/."));
    // Actors read what the learner wrote, and have no folder of their own.
    let handed_over = RunFile::parse(&run_file.to_toml(), &[]).unwrap();
    let task = Registry::builtin().task(&handed_over, Path::new("")).unwrap();
    let Some(Outside::Command(found)) = task.reward.outside() else { unreachable!() };
    assert_eq!(found.folder, PathBuf::from("/data/runs"));
    let (run_file, _) = read(&format!("{command}durable = false\n")).unwrap();
    assert_eq!(run_file.reward.durable, Some(false));
}

#[test]
fn services_need_an_address_and_their_file_is_found() {
    let missing = message("[reward]\nkind = 'grpc'\nservice = 'fold'\n");
    assert!(missing.contains("somebody has to be asked: give at least one of"), "{missing}");
    let file = "[reward]\nkind = 'grpc'\nservice = 'fold'\nendpoints_file = '../hosts'\n";
    let (run_file, _) = read(file).unwrap();
    let handed_over = RunFile::parse(&run_file.to_toml(), &[]).unwrap();
    let task = Registry::builtin().task(&handed_over, Path::new("")).unwrap();
    let Some(Outside::Services(found)) = task.reward.outside() else { unreachable!() };
    assert_eq!(found.endpoints_file, Some(PathBuf::from("/data/runs/../hosts")));
    assert_eq!(found.concurrency, 1);
}

#[test]
fn values_are_rewards_or_their_logarithms() {
    let plain = reward("exponent = 2.0\nscale = 3.0\nfloor = 0.5\noutputs = ['energy', 'spread']");
    for (raw, expected) in [(2.0, 12.0), (-1.0, 0.5), (0.1, 0.5)] {
        let found = plain.transform(&[raw, 9.0]).unwrap().get();
        assert!((found - f64::ln(expected)).abs() < 1e-12, "{raw}: {found}");
    }
    let logarithm = reward("values = 'log_reward'\nexponent = 2.0");
    assert_eq!(logarithm.transform(&[-700.0]).unwrap().get(), -1_400.0);
    assert_eq!(reward("").transform(&[0.0]).unwrap().get(), f64::NEG_INFINITY);
    for raw in [&[f64::NAN][..], &[1.0, 2.0], &[], &[f64::INFINITY]] {
        assert!(logarithm.transform(raw).is_err(), "{raw:?}");
    }
}

#[test]
fn what_is_measured_has_a_name_and_how_it_is_asked_does_not_matter() {
    let key = |keys: &str| {
        let object = Object::Text("ACGT".to_owned());
        KeyMaker::new(Arc::new(reward(keys))).key(&object)
    };
    let same =
        ["workers = 9\ntimeout = '1h'\nmemory = '1GiB'", "exponent = 8.0", "oracle = './dock'"];
    for keys in same {
        assert_eq!(key(keys), key(""), "{keys}");
    }
    for keys in ["version = 2", "oracle = 'other'", "outputs = ['a']"] {
        assert_ne!(key(keys), key(""), "{keys}");
    }
    let identity = |keys: &str| reward(keys).identity();
    assert_eq!(identity("workers = 9"), identity(""));
    assert_ne!(identity("exponent = 8.0"), identity(""));
    assert!(reward("").evaluate(&[], &mut Vec::new()).is_err());
}

#[test]
fn how_objects_are_asked_for() {
    let asking = reward("max_batch = 8\ntimeout = '2s'").outside().unwrap().asking().clone();
    assert_eq!((asking.queue(4), asking.limit(8)), (64, Duration::from_secs(16)));
    assert_eq!(Asking { queue: Some(5), ..asking }.queue(4), 5);
}

#[test]
fn wrong_keys_are_named() {
    for (keys, expected) in [
        ("command = []", "must name a program"),
        ("command = 'python3 reward.py'", "expected a list"),
        ("command = ['x']\nworkers = 0", "must be 1 to 4096"),
        ("command = ['x']\nmax_batch = 0", "must be at least 1"),
        ("command = ['x']\noutputs = ['a', 'a']", "must be 1 to 64 different names"),
        ("command = ['x']\nvalues = 'log'", "expected one of \"reward\", \"log_reward\""),
        ("command = ['x']\nworker = 2", "did you mean `workers`?"),
        ("", "is missing"),
    ] {
        let found = message(&format!("[reward]\nkind = 'command'\n{keys}\n"));
        assert!(found.contains(expected), "{keys}: {found}");
    }
}

#[test]
fn what_asks_a_reward_all_the_time_does_not_take_a_program() {
    let grid = "[environment]\nkind = 'hypergrid'\ndimensions = 2\nside = 8\n[learner]\nupdates = 1\n\
                [reward]\nkind = 'command'\ncommand = ['x']\ndurable = false\n";
    let refused = |more: &str| {
        let text = format!("{grid}{more}");
        Registry::builtin().read(&text, &[], Path::new("")).err().unwrap().to_string()
    };
    let objective = refused("[objective]\nkind = 'modified_detailed_balance'\n");
    assert!(objective.contains("needs log R of every state on the way"), "{objective}");
    let samples = refused("[evaluation]\nsamples = 100\n");
    assert!(samples.contains("the learner runs no programs"), "{samples}");
    let lockstep = refused("[run]\nlockstep = true\n");
    assert!(lockstep.contains("`reward.kind` with `run.lockstep` = true"), "{lockstep}");
}
