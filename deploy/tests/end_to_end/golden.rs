//! The files of a run as an earlier release wrote them: today's programs must read them.
//!
//! `deploy/tests/golden/run` is a whole small run. To write it anew after a form has grown:
//! `TRIBUTARY_BLESS=1 cargo test -p tributary-deploy --test end_to_end golden`; see
//! `docs/compatibility.md` for what may change.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::LazyLock;

use serde_json::Value;
use tempfile::TempDir;
use tributary_common::checkpoint::{MANIFEST, SEAL, seal};

use crate::programs::{Training, assert_balance, grid, stdout, tributary};

const DOCUMENTS: [&str; 4] = ["run.json", "address.json", "summary.json", "metrics.jsonl"];
/// Objects in documents whose keys depend on what happened.
const OPEN: [&str; 2] = ["rejected", "waited_seconds"];

/// A run of today's programs; with `TRIBUTARY_BLESS=1` it becomes the golden one.
static TODAY: LazyLock<Training> = LazyLock::new(|| {
    let text = grid(200).replace("side = 8", "side = 3").replace("[32, 32]", "[4]");
    let mut training = Training::start(&text, &["--actors", "1"]);
    training.end_well();
    if std::env::var_os("TRIBUTARY_BLESS").is_some_and(|value| value == "1") {
        bless(&training.run_directory());
    }
    training
});

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/run")
}

fn bless(run: &Path) {
    let _ = fs::remove_dir_all(golden());
    let newest = checkpoints(run).pop().expect("a checkpoint");
    copy(&newest, &golden().join("checkpoints").join(newest.file_name().unwrap()));
    for name in DOCUMENTS.into_iter().chain(["run.toml"]) {
        let text = fs::read_to_string(run.join(name)).unwrap();
        let last = text.lines().last().unwrap_or_default();
        let kept = if name == "metrics.jsonl" { format!("{last}\n") } else { text };
        fs::write(golden().join(name), kept).unwrap();
    }
}

fn checkpoints(run: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(run.join("checkpoints")).unwrap();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.join("manifest.json").is_file());
    folders.sort();
    folders
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// A copy of the golden run, to be changed.
fn copied() -> TempDir {
    LazyLock::force(&TODAY);
    let folder = tempfile::tempdir().unwrap();
    copy(&golden(), folder.path());
    folder
}

fn command(name: &str, run: &Path) -> Output {
    tributary([name, run.to_str().unwrap()])
}

/// Changes a checkpoint's manifest as somebody does who may.
fn change_manifest(checkpoint: &Path, key: &str, value: Value) {
    let path = checkpoint.join(MANIFEST);
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    manifest[key] = value;
    let text = manifest.to_string();
    fs::write(&path, &text).unwrap();
    fs::write(checkpoint.join(SEAL), seal(text.as_bytes())).unwrap();
}

#[test]
fn the_golden_run_is_evaluated_and_sampled() {
    let run = copied();
    let page = stdout(&command("evaluate", run.path()));
    assert!(page.contains("total variation"), "{page}");
    let objects = stdout(&command("sample", run.path()));
    assert!(objects.lines().count() > 0, "{objects}");
}

#[test]
fn the_golden_run_goes_on_when_its_goal_is_raised() {
    let run = copied();
    let path = run.path().to_str().unwrap();
    let raised = ["--set", "learner.generated=400", "--actors", "1"];
    stdout(&tributary(["train", "--resume", path].into_iter().chain(raised)));
    let summary = fs::read_to_string(run.path().join("summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["trajectories"], 400, "{summary:#}");
    assert_balance(&summary);
}

#[test]
fn its_run_file_is_checked_and_means_the_same() {
    let run = copied();
    let text = fs::read_to_string(run.path().join("run.toml")).unwrap();
    let read = tributary_common::run_file::RunFile::parse(&text, &[]).unwrap();
    let (environment, policy) = (&read.environment, &read.policy);
    assert_eq!(
        (environment.kind.as_str(), policy.architecture.hidden.as_slice()),
        ("hypergrid", &[4][..])
    );
    assert_eq!((read.learner.generated, read.run.seed), (Some(200), 1));
}

#[test]
fn what_a_later_release_adds_is_ignored() {
    let run = copied();
    for path in checkpoints(run.path()) {
        change_manifest(&path, "later", serde_json::json!({ "a": [1] }));
    }
    stdout(&command("evaluate", run.path()));
}

#[test]
fn a_newer_form_is_refused_by_name() {
    let run = copied();
    change_manifest(&checkpoints(run.path()).pop().unwrap(), "schema", 99.into());
    let output = command("evaluate", run.path());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{stderr}");
    for part in ["manifest.json", "has schema 99", "schemas up to", "a newer one"] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
}

/// The type of each value of a document by its place.
fn shape(value: &Value, place: &str, types: &mut BTreeMap<String, &'static str>) {
    let name = match value {
        Value::Null => return,
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(entries) => {
            for (key, value) in entries {
                let within = format!("{place}.{key}");
                // In metrics.jsonl they are one key each, as in `rejected.stale`.
                if !OPEN.iter().any(|open| within.contains(&format!(".{open}."))) {
                    shape(value, &within, types);
                }
            }
            "object"
        }
    };
    types.insert(place.to_owned(), name);
}

#[test]
fn documents_grow_and_keep_what_they_had() {
    let today = TODAY.run_directory();
    for name in DOCUMENTS {
        let types = |folder: &Path| {
            let text = fs::read_to_string(folder.join(name)).unwrap();
            let json = if name == "metrics.jsonl" { text.lines().last().unwrap() } else { &text };
            let mut types = BTreeMap::new();
            shape(&serde_json::from_str(json).unwrap(), name, &mut types);
            types
        };
        let (before, now) = (types(&golden()), types(&today));
        assert!(before.contains_key(&format!("{name}.schema")), "{name} carries no schema");
        for (place, kind) in before {
            assert_eq!(now.get(&place), Some(&kind), "{place} was a {kind} in an earlier release");
        }
    }
}
