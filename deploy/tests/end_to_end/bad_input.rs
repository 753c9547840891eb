//! What users get wrong, and what they are told.

use std::fs;
use std::process::Command;

use crate::programs::{TRIBUTARY, grid, tributary};

/// Run files with a mistake: what is replaced by what, and words of the answer.
const MISTAKES: &[(&str, &str, &[&str])] = &[
    (
        "batch = 32\n        learning",
        "bach = 32\n learning",
        &["`learner.bach`", "`batch`", ":16:"],
    ),
    ("side = 8", "side = \"eight\"", &["`environment.side`", "expected a whole number"]),
    ("kind = \"hypergrid\"", "kind = \"hypergird\"", &["did you mean `hypergrid`?"]),
    ("kind = \"original\"", "kind = \"orginal\"", &["did you mean `original`?"]),
    ("generated = 10", "", &["the run has no end", "`learner.generated`"]),
    ("[run]", "[run", &["not TOML", ":2:"]),
    ("r0 = 0.1", "r0 = -1", &["r0"]),
    ("ema = 0.99", "ema = 1.0", &["`learner.ema`", "less than 1"]),
    ("every = \"1s\"", "every = 1", &["`evaluation.every`"]),
    ("side = 8", "side = 1\n wrong = 3", &["`environment.wrong`"]),
];

#[test]
fn mistakes_in_a_run_file_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grid.toml");
    for (right, wrong, expected) in MISTAKES {
        let text = grid(10);
        assert!(text.contains(right), "{right}");
        fs::write(&path, text.replace(right, wrong)).unwrap();
        for command in ["check", "train"] {
            let output = tributary([command, path.to_str().unwrap()]);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(78), "{command}, {wrong}: {stderr}");
            assert!(stderr.contains("grid.toml"), "{stderr}");
            for words in *expected {
                assert!(stderr.contains(words), "{wrong}: {words} is not in: {stderr}");
            }
        }
    }
}

#[test]
fn all_mistakes_are_named_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grid.toml");
    fs::write(&path, grid(10).replace("batch = 32\n        learning", "bach = 1\n learning"))
        .unwrap();
    let output = tributary([
        "check",
        path.to_str().unwrap(),
        "--set",
        "run.sed=1",
        "--set",
        "actor.batch=0",
    ]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    for expected in ["3 problems", "`run.sed`", "`learner.bach`", "`actor.batch`", "--set"] {
        assert!(stderr.contains(expected), "{expected} is not in: {stderr}");
    }
}

#[test]
fn a_table_that_is_wrong_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("words.toml");
    let text = "[environment]\nkind = 'sequence'\nalphabet = 'AC'\nlength = 2\n\
                [reward]\nkind = 'table'\nfile = 'words.tsv'\n[learner]\nupdates = 1\n";
    fs::write(&path, text).unwrap();
    let rows = "word\tvalue\nAA\t1\nAC\t2\nCA\t3\nCC\t4\n";
    let tables: [(Option<String>, &[&str]); 5] = [
        (None, &["`reward.file`", "words.tsv"]),
        (Some(rows.replace("CA\t3\n", "").replace("CC\t4\n", "")), &["2", "CA"]),
        (Some(rows.replace("AC\t2", "AC\tNaN")), &["line 3"]),
        (Some(rows.replace("AC\t2", "AG\t2")), &["AG", "line 3"]),
        (Some(rows.replace("AC\t2", "AC 2")), &["line 3"]),
    ];
    for (table, expected) in tables {
        if let Some(table) = &table {
            fs::write(folder.path().join("words.tsv"), table).unwrap();
        }
        let output = tributary(["check", path.to_str().unwrap()]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{table:?}: {stderr}");
        for words in expected {
            assert!(stderr.contains(words), "{table:?}: {words} is not in: {stderr}");
        }
    }
}

#[test]
fn commands_that_make_no_sense_are_explained() {
    let empty = tempfile::tempdir().unwrap();
    let empty = empty.path().to_str().unwrap();
    let cases: &[(&[&str], i32, &[&str])] = &[
        (&[], 64, &["Usage"]),
        (&["tran"], 64, &["train"]),
        (&["train"], 64, &["RUN.toml"]),
        (&["train", "x.toml", "--actors", "0"], 64, &["--actors"]),
        (&["check", "x.toml", "--set", "batch"], 64, &["section.key=value"]),
        (&["check", "nowhere.toml"], 78, &["nowhere.toml", "No such file"]),
        (&["evaluate", "nowhere"], 78, &["nowhere", "does not exist"]),
        (&["sample", empty], 78, &["holds no run"]),
        (&["sample", empty, "--format", "xml"], 64, &["jsonl", "csv"]),
        (&["status", "localhost"], 78, &["address.json", "http://HOST:PORT"]),
        (&["status", "ftp://localhost:1"], 64, &["https://HOST:PORT"]),
        (&["status", "https://localhost:1"], 78, &["--ca"]),
        (&["watch", "http://127.0.0.1:1"], 75, &["http://127.0.0.1:1", "refused"]),
        (&["actor"], 64, &["--learner"]),
        (&["actor", "--learner", "nonsense"], 64, &["nonsense", "http://HOST:PORT"]),
    ];
    for (arguments, code, expected) in cases {
        let output = tributary(arguments.iter().copied());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(*code), "{arguments:?}: {stderr}");
        for words in *expected {
            assert!(stderr.contains(words), "{arguments:?}: {words} is not in: {stderr}");
        }
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

const UNREACHABLE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/end_to_end/fixtures/unreachable-learner");

#[test]
fn a_learner_that_does_not_start_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("grid.toml"), grid(10)).unwrap();
    let cases = [
        ("/nowhere/learner", 78, "no learner program /nowhere/learner"),
        ("/bin/false", 70, "the learner ended with exit code 1"),
        (UNREACHABLE, 70, "\"nonsense\" is not a learner's address"),
    ];
    for (learner, code, expected) in cases {
        let output = Command::new(TRIBUTARY)
            .args(["train", "grid.toml"])
            .current_dir(&folder)
            .env("TRIBUTARY_LEARNER", learner)
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains(expected), "{stderr}");
    }
}
