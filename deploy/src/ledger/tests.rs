#![allow(clippy::unwrap_used)]

use std::fs;

use tributary_common::ids::{ActorId, Incarnation, PolicyVersion, RunId};
use tributary_common::ledger::{Ledger, Observation};
use tributary_common::reward::KeyMaker;

use super::*;

const WORDS: &str = "[environment]\nkind = \"sequence\"\nconstruction = \"append\"\nalphabet = \"AB\"\n\
                     length = 2\n[reward]\nkind = \"table\"\nfile = \"words.tsv\"\n[learner]\n\
                     updates = 1\n";

/// A run whose ledger holds AA = 1, AB = 2 and BA = 0.
pub(super) fn run_directory(folder: &Path) -> Ledger {
    fs::write(folder.join("words.tsv"), "w\tvalue\nAA\t1\nAB\t2\nBA\t0\nBB\t4\n").unwrap();
    fs::write(folder.join("run.toml"), WORDS).unwrap();
    let registry = Registry::builtin();
    let Described { task, .. } = run_file::read(&folder.join("run.toml"), &[], &registry).unwrap();
    let keys = KeyMaker::new(task.undelayed);
    let path = folder.join(FILE);
    let mut ledger = Ledger::open(&path, RunId([1; 16]), Incarnation(1)).unwrap();
    let observation = |word: &str, value| {
        let object = Object::Text(word.to_owned());
        Observation {
            key: keys.key(&object),
            object,
            raw: vec![value],
            seconds: 2.5,
            actor: ActorId(7),
            policy: PolicyVersion { incarnation: Incarnation(1), step: 40 },
            is_measured: true,
            seen: 3,
            time: 1e9,
        }
    };
    let words = [("AA", 1.0), ("AB", 2.0), ("BA", 0.0)];
    ledger.observe(&words.map(|(word, value)| observation(word, value))).unwrap();
    ledger
}

fn report(folder: &Path, condition: Option<&str>, top: usize) -> Report {
    let (task, reader) = open(folder, &Registry::builtin()).unwrap();
    let objects = best(&task, &reader, condition, top).unwrap();
    let matching = reader.count(condition).unwrap();
    Report { schema: 1, matching, outputs: names(&task), objects }
}

#[test]
fn the_best_come_first_while_the_learner_has_the_ledger_open() {
    let folder = tempfile::tempdir().unwrap();
    let _open = run_directory(folder.path());
    let all = report(folder.path(), None, 2);
    let words: Vec<String> = all.objects.iter().map(|line| line.object.to_string()).collect();
    assert_eq!((all.matching, words), (3, vec!["AB".to_owned(), "AA".to_owned()]));
    let text = page::page(&all);
    assert!(text.starts_with("3 objects, the best 2 by log-reward\n"), "{text}");
    assert!(text.contains("cost (s)") && text.contains("0.6931"), "{text}");
    let json = serde_json::to_value(&all).unwrap();
    assert_eq!(
        (&json["objects"][0]["object"], &json["objects"][0]["raw"][0]),
        (&"AB".into(), &2.0.into())
    );

    let zero = report(folder.path(), Some("value < 0.5"), 9);
    assert_eq!((zero.matching, zero.objects[0].log_reward), (1, None));
    assert!(page::page(&zero).contains("    -  "));
}

#[test]
fn a_changed_exponent_reads_the_same_raw_values() {
    let folder = tempfile::tempdir().unwrap();
    run_directory(folder.path()).close().unwrap();
    let before = report(folder.path(), None, 1).objects;
    let changed = WORDS.replace("[learner]", "exponent = 3.0\n[learner]");
    fs::write(folder.path().join("run.toml"), changed).unwrap();
    let after = report(folder.path(), None, 1).objects;
    assert_eq!((&before[0].raw, &before[0].key), (&after[0].raw, &after[0].key));
    assert_eq!(after[0].log_reward, Some(3.0 * 2f64.ln()));
}

#[test]
fn an_export_is_whole_or_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let _open = run_directory(folder.path());
    let options = |condition: &str| Options {
        action: None,
        directory: Some(folder.path().to_owned()),
        top: 1,
        condition: Some(condition.to_owned()),
        export: Some(folder.path().join("out.csv")),
        json: false,
    };
    run(&options("seen = 3"), &Registry::builtin()).unwrap();
    let text = fs::read_to_string(folder.path().join("out.csv")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4);
    assert!(lines[0].starts_with("object,log_reward,"), "{text}");
    assert!(lines[1].starts_with("AA,0,1,2.5,7,1.40,1000000000,3,measured,"), "{text}");
    assert!(lines[3].starts_with("BA,,0,"), "{text}");

    let error = run(&options("sen = 3"), &Registry::builtin()).unwrap_err();
    assert!(error.to_string().contains("no such column: sen"), "{error}");
    assert!(run(&options("1) ; DELETE FROM objects; --"), &Registry::builtin()).is_err());
    assert_eq!(report(folder.path(), None, 9).matching, 3);
    let empty = tempfile::tempdir().unwrap();
    let error = open(empty.path(), &Registry::builtin()).err().unwrap();
    assert!(error.to_string().contains("there is no ledger.sqlite"), "{error}");
}

#[test]
fn what_another_run_or_a_file_knows_becomes_known_while_a_learner_writes() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run_directory(old.path()).close().unwrap();
    let _open = run_directory(new.path());
    let options = |from: &Path| Options {
        action: Some(Action::Import(import::Options {
            directory: new.path().to_owned(),
            from: from.to_owned(),
        })),
        directory: None,
        top: 1,
        condition: None,
        export: None,
        json: false,
    };
    let registry = Registry::builtin();
    run(&options(old.path()), &registry).unwrap();
    assert_eq!(report(new.path(), Some("status = 'measured'"), 9).matching, 3, "nothing changed");
    let csv = old.path().join("more.csv");
    fs::write(&csv, "word,value\nAA,1\nBB,4\n").unwrap();
    run(&options(&csv), &registry).unwrap();
    let known = report(new.path(), Some("status = 'known'"), 9);
    assert_eq!((known.matching, known.objects[0].raw[0]), (1, 4.0));
    fs::write(&csv, "word,value\nABB,1\n").unwrap();
    assert!(run(&options(&csv), &registry).unwrap_err().to_string().contains("ABB"));
    // Of another reward.
    let motif = "kind = \"motif\"\nmotifs = [\"AA\"]";
    let text = WORDS.replace("kind = \"table\"\nfile = \"words.tsv\"", motif);
    fs::write(new.path().join("run.toml"), text).unwrap();
    let error = run(&options(old.path()), &registry).unwrap_err();
    assert!(error.to_string().contains("cannot become known"), "{error}");
}
