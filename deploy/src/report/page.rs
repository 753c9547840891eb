//! The report of one run.

use serde_json::Value;

use super::best::Best;
use super::charts::{CHARTS, Chart};
use super::html::{escaped, page, pairs, preformatted, section, table};
use super::recorded::Recorded;
use super::svg::{Line, figure};
use crate::display::{clock, grouped, short};

/// The whole page.
pub(super) fn of_run(run: &Recorded, best: &Result<Best, String>) -> String {
    let mut body = head(run);
    let charts: String = CHARTS.iter().filter_map(|chart| drawn(run, chart)).collect();
    if !charts.is_empty() {
        body += &section("Figures", &format!("<div class=\"charts\">\n{charts}</div>\n"));
    }
    let finals = run.finals().into_iter();
    let finals: Vec<_> = finals.map(|(_, name, value)| (name.to_owned(), number(value))).collect();
    if !finals.is_empty() {
        body += &section("Figures of the last record", &pairs(&finals));
    }
    if !run.summary.is_null() {
        body += &section("Books", &books(&run.summary));
    }
    let spending = spending(run);
    if !spending.is_empty() {
        body += &section("Spending", &pairs(&spending));
    }
    if let Ok(best) = best {
        let source = format!("<p class=\"soft\">{}</p>\n", escaped(&best.source));
        body += &section("Best objects", &(source + &table(&best.headings, &best.rows)));
    }
    body += &section("Versions", &pairs(&versions(run)));
    if !run.run_file.is_empty() {
        body += &section("Run file, as in effect", &preformatted(&run.run_file));
    }
    page(&format!("Report of {}", run.name()), &(body_with(missing(run, best), body)))
}

/// What is missing stands below the first lines.
fn body_with(missing: String, body: String) -> String {
    match body.split_once("<section>") {
        Some((head, rest)) => format!("{head}{missing}<section>{rest}"),
        None => body + &missing,
    }
}

fn head(run: &Recorded) -> String {
    let seconds = run.last("training_seconds");
    let seconds = seconds.map(|seconds| format!(", {} of training", clock(seconds)));
    let until = run.until().map(|time| format!(" Last record of {time}.")).unwrap_or_default();
    let warnings = run.summary["warnings"].as_array().into_iter().flatten();
    let warnings = warnings.filter_map(Value::as_str);
    let warnings = warnings.map(|text| format!("<p class=\"missing\">{}</p>\n", escaped(text)));
    format!(
        "<p>{}{}.</p>\n<p class=\"soft\">{}.{until} Report of {}.</p>\n{}",
        escaped(&run.state()),
        seconds.unwrap_or_default(),
        escaped(run.summary["environment"].as_str().unwrap_or("Environment: see the run file")),
        run.today(),
        warnings.collect::<String>()
    )
}

fn missing(run: &Recorded, best: &Result<Best, String>) -> String {
    let mut all = run.missing.clone();
    for chart in CHARTS.iter().filter(|chart| drawn(run, chart).is_none()) {
        all.push(format!("{}: {}", chart.title, chart.without));
    }
    if let Err(reason) = best {
        all.push(format!("Best objects: {reason}"));
    }
    if all.is_empty() {
        return String::new();
    }
    let items: String = all.iter().map(|text| format!("<li>{}</li>\n", escaped(text))).collect();
    format!("<div class=\"missing\">\n<p>Not in this report:</p>\n<ul>\n{items}</ul>\n</div>\n")
}

fn drawn(run: &Recorded, chart: &Chart) -> Option<String> {
    let curves = &run.metrics.curves;
    let known = |(key, name): &(&str, &str)| {
        Some(Line { name: (*name).to_owned(), curve: curves.get(*key)? })
    };
    let lines: Vec<Line> = chart.figures.iter().filter_map(known).collect();
    let figure = || figure(chart.title, &lines, chart.is_logarithmic, chart.over_time);
    (!lines.is_empty()).then(figure)
}

/// Whole numbers whole, others with four digits.
pub(super) fn number(value: f64) -> String {
    match value {
        _ if value.fract() == 0.0 && (1_000.0..1e15).contains(&value) => grouped(value as u64),
        _ if value.fract() == 0.0 && value.abs() < 1_000.0 => format!("{value}"),
        _ => short(value),
    }
}

/// Each sum with whether it holds.
fn books(summary: &Value) -> String {
    let of = |name: &str| summary["books"][name].as_u64();
    let sum = |name: &str, terms: &[&str]| {
        let values: Option<Vec<u64>> = terms.iter().map(|term| of(term)).collect();
        let (Some(whole), Some(values)) = (of(name), values) else {
            return (name.to_owned(), "not recorded".to_owned());
        };
        let words = terms.iter().zip(&values);
        let words =
            words.map(|(term, value)| format!("{} {}", grouped(*value), term.replace('_', " ")));
        let words: Vec<String> = words.collect();
        let verdict = match values.iter().sum::<u64>() == whole {
            true => "balanced",
            false => "NOT BALANCED",
        };
        (name.to_owned(), format!("{} = {}: {verdict}", grouped(whole), words.join(" + ")))
    };
    let mut rows = vec![
        sum("received", &["accepted", "duplicate", "rejected", "pending"]),
        sum("accepted", &["resident", "evicted", "merged", "lost_in_restart", "waiting"]),
    ];
    for (reason, count) in summary["rejected"].as_object().into_iter().flatten() {
        let count = grouped(count.as_u64().unwrap_or(0));
        rows.push((format!("rejected, {}", reason.replace('_', " ")), count));
    }
    let counters = [
        ("skipped_batches", "batches skipped"),
        ("checkpoint_failures", "checkpoints that failed"),
        ("zero_rewards", "trajectories with R = 0"),
        ("clipped_rewards", "trajectories with log R clipped"),
    ];
    for (key, name) in counters {
        if let Some(count) = summary[key].as_u64() {
            rows.push((name.to_owned(), grouped(count)));
        }
    }
    pairs(&rows)
}

fn spending(run: &Recorded) -> Vec<(String, String)> {
    let spending = &run.summary["spending"];
    let unit = if spending["is_cost_stated"].as_bool() == Some(true) { "" } else { " s" };
    let mut rows = Vec::new();
    let mut row = |name: &str, value: Option<String>| {
        rows.extend(value.map(|value| (name.to_owned(), value)));
    };
    let cost = |value: f64| format!("{}{unit}", short(value));
    row("evaluations", run.last("evaluations").map(number));
    row("saved by the ledger", run.last("evaluations_saved").map(number));
    row("seconds that they took", run.last("evaluation_seconds").map(short));
    row("their cost", spending["cost"].as_f64().map(cost));
    row("cost for an object", spending["cost_per_object"].as_f64().map(cost));
    let best = &spending["best"];
    let parts = (best["objects"].as_u64(), best["evaluations"].as_u64(), best["cost"].as_f64());
    if let (Some(objects), Some(evaluations), Some(spent)) = parts {
        let name = format!("the {} best", grouped(objects));
        row(&name, Some(format!("after {} evaluations, {}", grouped(evaluations), cost(spent))));
    }
    rows
}

fn versions(run: &Recorded) -> Vec<(String, String)> {
    let unknown = || "not recorded in the run directory".to_owned();
    let text = |value: &Value| value.as_str().map_or_else(unknown, str::to_owned);
    let software = Some(run.software.join(", ")).filter(|names| !names.is_empty());
    let incarnation = run.identity["incarnation"].as_u64();
    [
        ("run", text(&run.identity["run_id"])),
        ("starts of the learner", incarnation.map_or_else(unknown, grouped)),
        ("weights, blake3", text(&run.summary["weights_blake3"])),
        ("actors, by the log", software.unwrap_or_else(unknown)),
        ("commit, libtorch", unknown()),
        ("this report", format!("tributary {}", env!("CARGO_PKG_VERSION"))),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::path::Path;

    use super::*;

    const HOSTILE: &str = "</td><script>alert(1)</script><img src=x onerror=alert(1)>";

    fn golden() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/run")
    }

    #[test]
    fn a_kept_run_is_reported_with_its_figures_books_and_run_file() {
        let run = Recorded::read(&golden()).unwrap();
        let best =
            super::super::best::of_run(&golden(), &tributary_common::registry::Registry::builtin());
        let page = of_run(&run, &best);
        for expected in [
            "<title>Report of grid</title>",
            "<figcaption>Loss</figcaption>",
            "<th scope=\"row\">total variation</th><td>0.4212</td>",
            "384 = 200 accepted + 0 duplicate + 184 rejected + 0 pending: balanced",
            "200 = 200 resident + 0 evicted + 0 merged + 0 lost in restart + 0 waiting: balanced",
            "rejected, run complete",
            "samples_per_insert = 1.0",
            "5e6159d208a6db48fc201910ea00fa65",
            "Modes found: the run names no modes",
            "of the checkpoint 000001-000000000006",
            "<td>-0.5108</td>",
        ] {
            assert!(page.contains(expected), "{expected} is not in\n{page}");
        }
    }

    #[test]
    fn objects_and_names_are_inert() {
        let folder = tempfile::tempdir().unwrap();
        let identity = serde_json::json!({"name": HOSTILE, "run_id": HOSTILE});
        let summary = serde_json::json!({"steps": 1, "interrupted": false, "stopped_by": HOSTILE,
            "environment": HOSTILE, "warnings": [HOSTILE], "rejected": {HOSTILE: 1},
            "books": {"received": 3, "accepted": 1, "duplicate": 1, "rejected": 0, "pending": 0}});
        fs::write(folder.path().join("run.json"), identity.to_string()).unwrap();
        fs::write(folder.path().join("summary.json"), summary.to_string()).unwrap();
        fs::write(folder.path().join("run.toml"), HOSTILE).unwrap();
        let run = Recorded::read(folder.path()).unwrap();
        let texts = vec![HOSTILE.to_owned()];
        let best = Best { source: HOSTILE.to_owned(), headings: texts.clone(), rows: vec![texts] };
        for page in [of_run(&run, &Ok(best)), of_run(&run, &Err(HOSTILE.to_owned()))] {
            assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
            assert!(page.matches("&lt;script&gt;").count() >= 8, "{page}");
            assert!(page.contains("3 = 1 accepted + 1 duplicate + 0 rejected + 0 pending: NOT"));
        }
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([450_000.0, 9.0, 0.161_234, -1.0].map(number), ["450,000", "9", "0.1612", "-1"]);
    }
}
