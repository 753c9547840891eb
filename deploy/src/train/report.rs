//! The final table: what the run reached, what it did, where things are.

use std::fs;

use serde_json::Value;

use super::Ending;
use super::plan::Plan;
use crate::display::{Table, clock, grouped, short};
use crate::error::CommandError;

/// The table of a run that is over, from its `summary.json`.
pub(super) fn of_run(plan: &Plan, ending: Ending) -> Result<String, CommandError> {
    let path = plan.directory.join("summary.json");
    let text = fs::read_to_string(&path)
        .map_err(|source| CommandError::Unreadable { path: path.clone(), source })?;
    let summary: Value = serde_json::from_str(&text)
        .map_err(|error| CommandError::Unreadable { path, source: error.into() })?;
    let directory = plan.directory.display();
    let mut table = Table::default();
    distance(&mut table, &summary);
    work(&mut table, &summary);
    for (name, deaths) in [("actors", ending.restarts), ("learners", ending.learners)] {
        if deaths > 0 {
            table.row(&format!("{name} that died"), format!("{}, started again", grouped(deaths)));
        }
    }
    books(&mut table, &summary);
    table.section("files");
    table.row("figures", format!("{directory}/summary.json, {directory}/metrics.jsonl"));
    table.row("weights", format!("{directory}/checkpoints"));
    table.row("logs", format!("{directory}/logs"));
    table.section("next");
    table.row("objects", format!("tributary sample {directory} --count 10"));
    table.row("distance", format!("tributary evaluate {directory}"));
    let interrupted = summary["interrupted"].as_bool().unwrap_or(false);
    if interrupted {
        table.row("going on", format!("tributary train --resume {directory}"));
    }
    let end = match summary["stopped_by"].as_str() {
        _ if interrupted => "stopped before its goal".to_owned(),
        Some(key) => format!("done, {key} is reached"),
        None => "done".to_owned(),
    };
    let seconds = summary["seconds"].as_f64().unwrap_or(0.0);
    Ok(format!("\n{}: {end}, {} of training\n{}", plan.name, clock(seconds), table.text()))
}

fn distance(table: &mut Table, summary: &Value) {
    table.section("distance to the target, exact, of the averaged weights");
    let mut figure = |name: &str, key: &str, decimals: usize| {
        if let Some(value) = summary[key].as_f64() {
            table.row(name, format!("{value:.decimals$}"));
        }
    };
    figure("total variation", "total_variation", 4);
    figure("Jensen-Shannon", "jensen_shannon", 5);
    figure("KL(target, policy)", "kl_target_policy", 5);
    figure("KL(policy, target)", "kl_policy_target", 5);
    figure("Pearson (log p, log R)", "pearson", 4);
    figure("Spearman", "spearman", 4);
    figure("log Z of the target", "log_z_target", 6);
    evaluation(table, summary);
    table.section("training");
    row(table, summary, "log Z", "log_z", |value| format!("{value:.4}"));
    let mean = |value: f64| format!("{value:.4}");
    row(table, summary, "log Z, mean of 1,000 updates", "log_z_mean_1000", mean);
    row(table, summary, "loss", "loss", short);
    if let Some(hash) = summary["weights_blake3"].as_str() {
        table.row("weights, blake3", hash.to_owned());
    }
}

fn evaluation(table: &mut Table, summary: &Value) {
    table.section("evaluation");
    let figure = |name: &str| summary["evaluation"][name].as_f64();
    let mut row = |name: &str, text: Option<String>| {
        if let Some(text) = text {
            table.row(name, text);
        }
    };
    let ends = figure("test_set.spearman_low").zip(figure("test_set.spearman_high"));
    let ends = ends.map(|(low, high)| format!(" ({low:.4} to {high:.4})")).unwrap_or_default();
    row("Spearman, test set", figure("test_set.spearman").map(|of| format!("{of:.4}{ends}")));
    row("ELBO", figure("samples.elbo").map(|elbo| format!("{elbo:.4}")));
    row("effective log Z", figure("samples.effective_log_z").map(|z| format!("{z:.4}")));
    let modes = figure("modes.found").zip(figure("modes.known"));
    row("modes found", modes.map(|(found, known)| format!("{found} of {known}")));
    row("best objects, mean log R", figure("top_k.mean_log_reward").map(short));
    let recent = figure("recent.total_variation").zip(figure("recent.noise_floor"));
    let recent = recent.map(|(far, floor)| format!("{far:.4}, perfect samples {floor:.4}"));
    row("total variation, recent objects", recent);
    let cost = figure("evaluation.seconds").zip(figure("evaluation.share"));
    let cost = cost.map(|(time, of)| format!("{} s, {:.1} % of the time", short(time), 100.0 * of));
    row("cost", cost);
}

fn row(table: &mut Table, summary: &Value, name: &str, key: &str, text: impl Fn(f64) -> String) {
    if let Some(value) = summary.pointer(&format!("/{}", key)).and_then(Value::as_f64) {
        table.row(name, text(value));
    }
}

/// What evaluations cost, where rewards are shared.
fn spending(table: &mut Table, summary: &Value) {
    let spending = &summary["spending"];
    let figure = |name: &str| spending[name].as_f64().unwrap_or(0.0);
    let Some(evaluations) = spending["evaluations"].as_u64() else { return };
    let saved = grouped(figure("saved") as u64);
    table.row("evaluations", format!("{}, {saved} saved by the ledger", grouped(evaluations)));
    let unit = if spending["is_cost_stated"].as_bool() == Some(true) { "" } else { " s" };
    let (cost, each) = (short(figure("cost")), short(figure("cost_per_object")));
    table.row("their cost", format!("{cost}{unit}, {each}{unit} for an object"));
    let best = &spending["best"];
    let best_count = best["objects"].as_u64().zip(best["evaluations"].as_u64());
    if let (Some((objects, evaluations)), Some(cost)) = (best_count, best["cost"].as_f64()) {
        let (name, evaluations) = (format!("the {} best", grouped(objects)), grouped(evaluations));
        table.row(&name, format!("after {evaluations} evaluations, {}{unit}", short(cost)));
    }
}

fn work(table: &mut Table, summary: &Value) {
    let whole = |value: f64| grouped(value as u64);
    row(table, summary, "trajectories", "trajectories", whole);
    row(table, summary, "objects paid for", "counters/paid", whole);
    spending(table, summary);
    row(table, summary, "updates", "steps", whole);
    row(table, summary, "samples trained on", "counters/samples", whole);
    row(table, summary, "trajectories/s", "trajectories_per_second", whole);
    let (mean, max) = (summary["lag_mean"].as_f64(), summary["lag_max"].as_u64());
    if let (Some(mean), Some(max)) = (mean, max) {
        table.row("lag", format!("{} updates on average, {max} at most", short(mean)));
    }
    let skipped = summary["skipped_batches"].as_u64().unwrap_or(0);
    if skipped > 0 {
        table.row("batches skipped", grouped(skipped));
    }
    let clipped = summary["clipped_rewards"].as_u64().unwrap_or(0);
    if clipped > 0 {
        table.row("log R clipped", format!("{} trajectories", grouped(clipped)));
    }
    if let Some(limits) = limits(&summary["limited_seconds"]) {
        table.row("what limited it", limits);
    }
    if let Some(waits) = longest_waits(&summary["waited_seconds"]) {
        table.row("who waited", waits);
    }
}

/// What limited the run for at least a twentieth of the time, the longest first.
fn limits(limited: &Value) -> Option<String> {
    let seconds = limited.as_object().into_iter().flatten();
    let mut seconds: Vec<(f64, &String)> =
        seconds.filter_map(|(by, seconds)| Some((seconds.as_f64()?, by))).collect();
    let all: f64 = seconds.iter().map(|(seconds, _)| seconds).sum();
    seconds.sort_by(|a, b| b.0.total_cmp(&a.0));
    let shares = seconds.iter().map(|(seconds, by)| (100.0 * seconds / all, by));
    let shares = shares.filter(|(share, _)| *share >= 5.0);
    let texts: Vec<String> = shares.map(|(share, by)| format!("{by} {share:.0} %")).collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

/// The three edges with the most seconds; `None` if nobody waited.
fn longest_waits(waited: &Value) -> Option<String> {
    let edges = waited.as_object().into_iter().flatten();
    let mut waits: Vec<(f64, &String)> = edges
        .filter_map(|(edge, seconds)| Some((seconds.as_f64()?, edge)))
        .filter(|(seconds, _)| *seconds >= 0.05)
        .collect();
    waits.sort_by(|a, b| b.0.total_cmp(&a.0));
    let longest = waits.iter().take(3);
    let texts: Vec<String> = longest
        .map(|(seconds, edge)| format!("{} {seconds:.1} s", edge.replace('.', " for ")))
        .collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

fn books(table: &mut Table, summary: &Value) {
    table.section("books");
    let number = |name: &str| grouped(summary["books"][name].as_u64().unwrap_or(0));
    let sum = |names: &[&str]| {
        let terms = names.iter().map(|name| format!("{} {}", number(name), name.replace('_', " ")));
        terms.collect::<Vec<_>>().join(" + ")
    };
    let received = sum(&["accepted", "duplicate", "rejected", "pending"]);
    table.row("received", format!("{} = {received}", number("received")));
    let accepted = sum(&["resident", "evicted", "merged", "lost_in_restart", "waiting"]);
    table.row("accepted", format!("{} = {accepted}", number("accepted")));
    for (reason, count) in summary["rejected"].as_object().into_iter().flatten() {
        if let Some(count) = count.as_u64().filter(|count| *count > 0) {
            table.row(&format!("rejected, {}", reason.replace('_', " ")), grouped(count));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::cores::Division;
    use super::*;

    #[test]
    fn the_table_names_figures_books_and_files() {
        let folder = tempfile::tempdir().unwrap();
        let plan = Plan {
            name: "grid".to_owned(),
            directory: folder.path().to_owned(),
            program: "tributary".into(),
            learner: Vec::new(),
            learner_again: Vec::new(),
            certs: None,
            division: Division { learner_threads: 1, actors: 2 },
            lockstep: true,
        };
        assert!(of_run(&plan, Ending::default()).unwrap_err().to_string().contains("summary.json"));
        let summary = serde_json::json!({
            "schema": 1, "interrupted": false, "stopped_by": "max_evaluations", "seconds": 151.2,
            "spending": {"evaluations": 61_000, "cost": 1_220.0, "is_cost_stated": true,
                "cost_per_object": 0.0203, "saved": 400_000,
                "best": {"objects": 100, "evaluations": 42_000, "cost": 840.0}}, "trajectories": 450_000,
            "steps": 7_031, "weights_blake3": "639bf244", "total_variation": 0.1612, "log_z": 11.4601, "log_z_target": 11.462147,
            "limited_seconds": {"learner": 30.0, "network": 2.0, "rewards": 68.0},
            "lag_mean": 5.1, "lag_max": 12, "waited_seconds":
                {"actors.credit": 2, "actors.queue": 1, "ingest.replay": 7, "trainer.data": 3.25},
            "counters": {"paid": 60_000, "samples": 450_000}, "rejected": {"run_complete": 128},
            "evaluation": {"test_set.spearman": 0.41732, "test_set.spearman_low": 0.2,
                "test_set.spearman_high": 0.5, "modes.found": 3.0, "modes.known": 60.0,
                "evaluation.seconds": 15.12, "evaluation.share": 0.1},
            "books": {"received": 450_128, "accepted": 450_000, "rejected": 128},
        });
        fs::write(folder.path().join("summary.json"), summary.to_string()).unwrap();
        let table = of_run(&plan, Ending { restarts: 1, ..Ending::default() }).unwrap();
        for expected in [
            "grid: done, max_evaluations is reached, 2:31 of training",
            "61,000, 400,000 saved by the ledger",
            "1220, 0.02030 for an object",
            "the 100 best            after 42,000 evaluations, 840.0\n",
            "total variation         0.1612",
            "log Z of the target     11.462147",
            "0.4173 (0.2000 to 0.5000)",
            "3 of 60",
            "15.12 s, 10.0 % of the time",
            "450,128 = 450,000 accepted + 0 duplicate + 128 rejected + 0 pending",
            "what limited it         rewards 68 %, learner 30 %\n",
            "rejected, run complete  128",
            "ingest for replay 7.0 s, trainer for data 3.2 s, actors for credit 2.0 s\n",
            "actors that died        1, started again",
            "tributary sample",
            "weights, blake3         639bf244",
        ] {
            assert!(table.contains(expected), "{expected} is not in\n{table}");
        }
    }
}
