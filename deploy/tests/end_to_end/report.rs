//! Reports of a real run, and the run beside what is left of one that was killed.

use std::fs;

use serde_json::Value;

use crate::programs::{Training, grid, stdout, tributary};

#[test]
fn a_run_is_reported_and_compared_with_an_interrupted_one() {
    let mut training = Training::start(&grid(2_000), &["--actors", "2"]);
    training.end_well();
    let summary = training.summary();
    let run = training.run();
    let said = stdout(&tributary(["report", &run]));
    let page = fs::read_to_string(said.trim()).expect("the file that it names");
    let distance = format!("{:.4}", summary["total_variation"].as_f64().expect("a distance"));
    for expected in [
        "<title>Report of grid</title>",
        "<p>done",
        "<figcaption>Distance to the target</figcaption>",
        "2,000 accepted",
        &format!("<th scope=\"row\">total variation</th><td>{distance}"),
        summary["weights_blake3"].as_str().expect("a hash"),
        "<h2>Best objects</h2>",
        "ema = 0.99",
        "actors, by the log</th><td>tributary ",
    ] {
        assert!(page.contains(expected), "{expected} is not in\n{page}");
    }
    assert_eq!(page.matches(": balanced").count(), 2, "{page}");
    assert!(!page.contains("://") && !page.contains("<script"), "{page}");

    let killed = tempfile::tempdir().expect("a folder");
    let killed_run = killed.path().to_str().expect("UTF-8");
    let metrics = fs::read_to_string(training.run_directory().join("metrics.jsonl")).expect("read");
    let metrics = format!("{metrics}{{\"schema\":1,\"number\":9");
    let time = metrics.replace("\"time\":", "\"time\":1e9,\"then\":");
    fs::write(killed.path().join("metrics.jsonl"), time).expect("written");
    let run_file = fs::read_to_string(training.run_directory().join("run.toml")).expect("read");
    let run_file = run_file.replace("ema = 0.99", "ema = 0.5");
    fs::write(killed.path().join("run.toml"), run_file).expect("written");
    let file = killed.path().join("other.html");
    stdout(&tributary(["report", killed_run, "--output", file.to_str().expect("UTF-8")]));
    let page = fs::read_to_string(file).expect("read");
    for expected in
        ["interrupted: no end is recorded", "which is cut", "summary.json", "Best objects: "]
    {
        assert!(page.contains(expected), "{expected} is not in\n{page}");
    }

    let both: Value =
        serde_json::from_str(&stdout(&tributary(["compare", &run, killed_run, "--json"])))
            .expect("JSON");
    assert_eq!(both["run_file"]["learner.ema"], serde_json::json!(["0.99", "0.5"]), "{both}");
    let table = stdout(&tributary(["compare", &run, killed_run]));
    assert!(table.contains("learner.ema") && table.contains("B/A"), "{table}");
    let refused = tributary(["report", "/proc/self/none"]);
    assert_eq!(refused.status.code(), Some(78), "{:?}", refused);
}
