//! Holds `docs/GUARANTEES.md` to the tests: every promise names tests that exist.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A promise: the section `## G7 ...` of the page.
struct Promise<'a> {
    id: &'a str,
    text: &'a str,
}

fn promises(page: &str) -> Vec<Promise<'_>> {
    let sections = page.split("\n## ").skip(1);
    let of = |section| {
        let (heading, text) = str::split_once(section, '\n')?;
        let id = heading.split_whitespace().next()?;
        is_id(id).then_some(Promise { id, text })
    };
    sections.filter_map(of).collect()
}

fn is_id(word: &str) -> bool {
    word.strip_prefix('G').is_some_and(|number| number.parse::<u32>().is_ok())
}

/// The tests of a promise: `path/of/file.rs::name_of_the_function` in backquotes.
fn tests(text: &str) -> Vec<(&str, &str)> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter_map(|word| word.split_once(".rs::")).collect()
}

#[test]
fn every_promise_has_an_id_of_its_own_and_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = fs::read_to_string(root.join("docs/GUARANTEES.md")).unwrap();
    let promises = promises(&page);
    let ids: BTreeSet<&str> = promises.iter().map(|promise| promise.id).collect();
    assert_eq!(ids.len(), promises.len(), "an id stands twice");
    assert!(ids.len() >= 10, "only {} promises found", ids.len());
    for Promise { id, text } in promises {
        let tests = tests(text);
        assert!(!tests.is_empty(), "{id} names no test");
        for (file, function) in tests {
            let path = root.join(format!("{file}.rs"));
            let source = fs::read_to_string(&path);
            let source = source.unwrap_or_else(|error| panic!("{id} names {path:?}: {error}"));
            let is_there = source.contains(&format!("fn {function}("));
            assert!(is_there, "{id} names {function}, which is not in {file}.rs");
        }
        for part in ["Not promised", "Last figure"] {
            assert!(text.contains(part), "{id} says nothing of \"{part}\"");
        }
    }
}
