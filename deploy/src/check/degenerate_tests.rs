//! The smallest sizes either pass `tributary check` and can be compared with their target, or are
//! refused with what to do.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use tributary_common::exact::{Comparison, SnapshotPolicy, Target, terminating_distribution};
use tributary_common::registry::Registry;

use super::{Thoroughness, examine};
use crate::snapshot::{Drawing, untrained};

const SEED: u64 = 20_261_125;

fn run_file(environment: &str, reward: &str) -> String {
    format!(
        "[run]\nseed = {SEED}\n[environment]\n{environment}\n[reward]\n{reward}\n[policy]\n\
         hidden = [8]\n[learner]\nupdates = 1\n"
    )
}

/// Reads, checks laws and rewards, compares exactly, and draws.
fn works(environment: &str, reward: &str) {
    let text = run_file(environment, reward);
    let (run_file, task) = Registry::builtin()
        .read(&text, &[], Path::new("."))
        .unwrap_or_else(|problems| unreachable!("{text}\n{problems}"));
    examine(&task, Thoroughness::Full).unwrap();
    let environment = task.environment.as_ref();
    let target = Target::new(environment, task.reward.as_ref(), 1_000, &mut || true).unwrap();
    let snapshot = untrained(&run_file, environment);
    let mut policy = SnapshotPolicy::new(&snapshot);
    let found = terminating_distribution(environment, &mut policy, &mut || true).unwrap();
    let comparison = Comparison::new(&target, &found);
    assert!((0.0..=1.0).contains(&comparison.total_variation), "{text}{comparison:?}");
    if target.log_rewards().len() == 1 {
        assert!(comparison.total_variation < 1e-12, "{text}{comparison:?}");
        assert_eq!((comparison.pearson, comparison.spearman), (None, None));
    }
    let drawn = Drawing::new(&task.environment, &snapshot, SEED).next(64).unwrap();
    assert_eq!(drawn.len(), 64);
    for (object, steps) in drawn {
        assert!(steps <= environment.max_steps(), "{text}{object} in {steps} steps");
        environment.state_of(&object).unwrap();
    }
}

fn refused(environment: &str, reward: &str) -> String {
    let result =
        Registry::builtin().read(&run_file(environment, reward), &[], Path::new(".")).map(|_| ());
    result.unwrap_err().to_string()
}

#[test]
fn the_smallest_grids_work_with_every_reward() {
    for (dimensions, side) in [(1, 2), (1, 3), (2, 2), (3, 2), (1, 50)] {
        for reward in ["original", "cosine", "sparse", "deceptive"] {
            works(
                &format!("kind = 'hypergrid'\ndimensions = {dimensions}\nside = {side}"),
                &format!("kind = '{reward}'"),
            );
        }
    }
}

#[test]
fn the_smallest_sequences_work_in_every_construction() {
    let tokens = [
        ("alphabet = 'A'", "A"),
        ("alphabet = 'AC'", "A"),
        ("vocabulary = ['Br']", "Br"),
        ("vocabulary = ['Br', '1']", "1"),
        ("word_bits = 1", "1"),
        ("word_bits = 2", "01"),
    ];
    for construction in ["append", "prepend_append", "insert", "any_position"] {
        for (tokens, motif) in tokens {
            for length in ["length = 1", "length = 2", "max_length = 1", "max_length = 2"] {
                if construction == "any_position" && length.starts_with("max") {
                    continue;
                }
                let construction = format!("construction = '{construction}'");
                works(
                    &format!("kind = 'sequence'\n{construction}\n{tokens}\n{length}"),
                    &format!("kind = 'motif'\nmotifs = ['{motif}']"),
                );
            }
        }
        if construction != "append" {
            continue;
        }
        let strings = "kind = 'sequence'\nword_bits = 8\nlength = 1";
        let scale = "distance_scale = 'raw'\nexponent = 1.0";
        works(strings, &format!("kind = 'bit_sequence'\nmodes = 1\n{scale}"));
    }
}

#[test]
fn sizes_that_cannot_work_are_refused_with_what_to_do() {
    let grid = |keys: &str| refused(&format!("kind = 'hypergrid'\n{keys}"), "kind = 'original'");
    let motif = "kind = 'motif'\nmotifs = ['A']";
    let words = |keys: &str| refused(&format!("kind = 'sequence'\n{keys}"), motif);
    for (message, expected) in [
        (grid("dimensions = 0\nside = 8"), "`environment.dimensions` = 0: must be at least 1"),
        (grid("dimensions = 1\nside = 1"), "`environment.side` = 1: must be at least 2"),
        (grid("dimensions = 1\nside = 0"), "must be at least 2"),
        (words("alphabet = 'A'\nlength = 0"), "`environment.length` = 0: must be at least 1"),
        (words("alphabet = 'A'\nmax_length = 0"), "must be at least 1"),
        (words("alphabet = ''\nlength = 1"), "must have at least one token"),
        (words("vocabulary = []\nlength = 1"), "must have at least one token"),
        (words("vocabulary = ['']\nlength = 1"), "must have no empty token"),
        (words("word_bits = 0\nlength = 1"), "must be from 1 to 16"),
        (words("word_bits = 8\nbits = 0"), "must be at least 1"),
        (words("word_bits = 8\nbits = 12"), "must be a multiple of `word_bits`"),
        (
            words("alphabet = 'A'\nmax_length = 1\nconstruction = 'any_position'"),
            "give `length`, not `max_length`",
        ),
    ] {
        assert!(message.contains(expected), "{expected}: {message}");
    }
}
