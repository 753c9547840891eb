//! A run whose actors explore in different ways, from its run file to its summary.

use std::fs;

use serde_json::Value;

use crate::programs::{Training, grid};

#[test]
fn proposals_and_backward_trajectories_are_trained_on_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let initial = folder.path().join("start.csv");
    // The value of one is known: outside of the corners it is r0.
    fs::write(&initial, "cell,value\n3 3,0.1\n6 6\n").unwrap();
    let exploration = format!(
        "[exploration]\nepsilon = [0.0, 0.05]\nbackward = [0.0, 0.1]\ninitial = '{}'\n\
         local_search = {{ rounds = [0, 3], steps = 4, accept = 'metropolis_hastings' }}\n",
        initial.display()
    );
    let run_file = format!("{}{exploration}", grid(20_000));
    let mut training = Training::start(&run_file, &["--actors", "2"]);
    training.end_well();
    let summary = training.summary();
    assert_eq!(summary["trajectories"], 20_000, "{summary}");
    let distance = summary["total_variation"].as_f64().unwrap();
    assert!(distance < 0.15, "total variation {distance}\n{}", training.words());
    let of = |row: &Value, name: &str| row[name].as_u64().unwrap_or_default();
    let rows = summary["yields"].as_array().unwrap();
    for row in rows {
        let kinds: u64 = ["forward", "local_search", "backward"]
            .map(|kind| of(&row["kinds"][kind], "generated"))
            .iter()
            .sum();
        assert_eq!(kinds, of(row, "generated"), "{row}");
    }
    let [plain, searching] = &rows[..] else { panic!("{summary}") };
    assert_eq!(of(plain, "generated") + of(searching, "generated"), 20_000);
    assert_eq!(of(&plain["kinds"]["backward"], "generated"), 2, "the initial objects: {plain}");
    assert_eq!(of(&plain["kinds"]["local_search"], "generated"), 0, "{plain}");
    let kinds = &searching["kinds"];
    let proposals = of(&kinds["local_search"], "generated");
    let starts = of(&kinds["forward"], "generated") + of(&kinds["backward"], "generated");
    assert!(proposals.abs_diff(3 * starts) <= 3 * 3 * 32, "{kinds}");
    assert!(of(&kinds["backward"], "generated") > starts / 20, "{kinds}");
    let found = searching["exploration"].as_str().unwrap();
    assert!(found.contains("local search of 3 rounds x 4 steps (metropolis-hastings)"), "{found}");
    training.nothing_is_left();
}
