//! `tributary compare`: runs side by side, and the keys of their run files that differ.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::charts::{CHARTS, Chart, FINAL};
use super::html::{escaped, page, section, table};
use super::page::number;
use super::recorded::Recorded;
use super::svg::{Line, figure};
use super::write;
use crate::display::{short, shown};
use crate::error::CommandError;
use crate::output;

/// Shows the last figures of runs side by side, with ratios, and where their run files differ
///
/// Ratios are to the first run. Works while runs go on; figures are then those of their last record.
#[derive(Args)]
pub(crate) struct Options {
    /// The run directories
    #[arg(value_name = "RUN_DIR", required = true, num_args = 2..)]
    directories: Vec<PathBuf>,
    /// Write an HTML file with the table and the curves, too
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

/// What is printed as JSON. Lists have one element for each run.
#[derive(Debug, Serialize)]
struct Comparison {
    schema: u32,
    runs: Vec<Run>,
    /// By the names of `metrics.jsonl`.
    figures: Vec<Figure>,
    /// Keys of the run files that differ; null where a run has none.
    run_file: BTreeMap<String, Vec<Option<String>>>,
}

#[derive(Debug, Serialize)]
struct Run {
    directory: PathBuf,
    name: String,
    state: String,
    missing: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Figure {
    key: &'static str,
    name: &'static str,
    values: Vec<Option<f64>>,
    /// Of the value to the first run's, where both are positive.
    ratios: Vec<Option<f64>>,
}

/// Reads, prints and draws.
pub(crate) fn run(options: &Options) -> Result<(), CommandError> {
    let runs = options.directories.iter().map(|directory| Recorded::read(directory));
    let runs: Vec<Recorded> = runs.collect::<Result<_, _>>()?;
    let comparison = Comparison::of(&runs);
    if options.json {
        let text = serde_json::to_string(&comparison).map_err(std::io::Error::from);
        return output::print(&format!("{}\n", text.map_err(CommandError::Output)?));
    }
    output::print(&comparison.text())?;
    match &options.output {
        Some(file) => write(file, &comparison.page(&runs)),
        None => Ok(()),
    }
}

impl Comparison {
    fn of(runs: &[Recorded]) -> Self {
        let figures = FINAL.iter().map(|(key, name)| {
            let values: Vec<Option<f64>> = runs.iter().map(|run| run.last(key)).collect();
            let first = values[0];
            let ratios = values.iter().map(|value| ratio(first, *value)).collect();
            Figure { key, name, values, ratios }
        });
        let files: Vec<_> = runs.iter().map(|run| keys(&run.run_file)).collect();
        Self {
            schema: 1,
            runs: runs
                .iter()
                .map(|run| Run {
                    directory: run.directory.clone(),
                    name: run.name(),
                    state: run.state(),
                    missing: run.missing.clone(),
                })
                .collect(),
            figures: figures.filter(|figure| figure.values.iter().any(Option::is_some)).collect(),
            run_file: differing(&files),
        }
    }

    /// "A", "B" and so on: names may be long, and the same.
    fn letters(&self) -> Vec<String> {
        (0..self.runs.len()).map(letter).collect()
    }

    fn figure_rows(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let letters = self.letters();
        let mut headings = vec!["figure".to_owned()];
        headings.extend(letters.iter().cloned());
        headings.extend(letters[1..].iter().map(|letter| format!("{letter}/{}", letters[0])));
        let optional = |value: &Option<f64>, text: fn(f64) -> String| {
            value.map_or_else(|| "-".to_owned(), text)
        };
        let row = |figure: &Figure| {
            let values = figure.values.iter().map(|value| optional(value, number));
            let ratios = figure.ratios[1..].iter().map(|ratio| optional(ratio, short));
            [figure.name.to_owned()].into_iter().chain(values).chain(ratios).collect()
        };
        (headings, self.figures.iter().map(row).collect())
    }

    fn key_rows(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let headings = ["key".to_owned()].into_iter().chain(self.letters()).collect();
        let row = |(key, values): (&String, &Vec<Option<String>>)| {
            let values = values.iter().map(|value| value.clone().unwrap_or_else(|| "-".to_owned()));
            [key.clone()].into_iter().chain(values).collect()
        };
        (headings, self.run_file.iter().map(row).collect())
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (letter, run) in self.letters().iter().zip(&self.runs) {
            let directory = run.directory.display().to_string();
            text +=
                &format!("{letter}  {} ({}): {}\n", shown(&run.name), shown(&directory), run.state);
        }
        let (headings, rows) = self.figure_rows();
        text += &format!("\n{}", columns(headings, rows));
        let (headings, rows) = self.key_rows();
        match rows.is_empty() {
            true => text + "\nthe run files are the same\n",
            false => format!("{text}\n{}", columns(headings, rows)),
        }
    }

    fn page(&self, runs: &[Recorded]) -> String {
        let letters = self.letters();
        let rows = self.runs.iter().zip(&letters).map(|(run, letter)| {
            let directory = run.directory.display().to_string();
            vec![
                letter.clone(),
                run.name.clone(),
                directory,
                run.state.clone(),
                run.missing.join("; "),
            ]
        });
        let headings = ["", "run", "directory", "state", "not there"].map(str::to_owned);
        let mut body = table(&headings, &rows.collect::<Vec<_>>());
        let named: Vec<String> = letters
            .iter()
            .zip(&self.runs)
            .map(|(letter, run)| format!("{letter} {}", run.name))
            .collect();
        let charts: String =
            CHARTS.iter().filter_map(|chart| overlaid(chart, runs, &named)).collect();
        body += &section("Figures", &format!("<div class=\"charts\">\n{charts}</div>\n"));
        let (headings, rows) = self.figure_rows();
        body += &section("Figures of the last record", &table(&headings, &rows));
        let (headings, rows) = self.key_rows();
        let same = || format!("<p>{}</p>\n", escaped("The run files are the same."));
        let keys = if rows.is_empty() { same() } else { table(&headings, &rows) };
        body += &section("Where the run files differ", &keys);
        page(&format!("Comparison of {}", named.join(", ")), &body)
    }
}

/// The first figure of a chart, of every run that has it.
fn overlaid(chart: &Chart, runs: &[Recorded], names: &[String]) -> Option<String> {
    let key = |key: &str| runs.iter().any(|run| run.metrics.curves.contains_key(key));
    let (key, figure_name) = chart.figures.iter().find(|(name, _)| key(name))?;
    let lines: Vec<Line> = runs
        .iter()
        .zip(names)
        .filter_map(|(run, name)| {
            Some(Line { name: name.clone(), curve: run.metrics.curves.get(*key)? })
        })
        .collect();
    let title = match chart.figures {
        [_] => chart.title.to_owned(),
        _ => format!("{}: {figure_name}", chart.title),
    };
    Some(figure(&title, &lines, chart.is_logarithmic, chart.over_time))
}

fn ratio(first: Option<f64>, value: Option<f64>) -> Option<f64> {
    let (first, value) = first.zip(value)?;
    (first > 0.0 && value > 0.0).then(|| value / first)
}

fn letter(i: usize) -> String {
    match u8::try_from(i) {
        Ok(i) if i < 26 => char::from(b'A' + i).to_string(),
        _ => format!("R{}", i + 1),
    }
}

/// A run file as keys with their values; nothing of one that is no TOML.
fn keys(text: &str) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    for (section, values) in text.parse::<toml::Table>().unwrap_or_default() {
        match values {
            toml::Value::Table(values) => {
                keys.extend(
                    values
                        .iter()
                        .map(|(key, value)| (format!("{section}.{key}"), value.to_string())),
                );
            }
            value => {
                keys.insert(section, value.to_string());
            }
        }
    }
    keys
}

fn differing(files: &[BTreeMap<String, String>]) -> BTreeMap<String, Vec<Option<String>>> {
    let names: BTreeSet<&String> = files.iter().flat_map(BTreeMap::keys).collect();
    let values = |name: &String| files.iter().map(|keys| keys.get(name).cloned()).collect();
    let all = names.into_iter().map(|name| (name.clone(), values(name)));
    all.filter(|(_, values): &(_, Vec<_>)| values.iter().any(|value| *value != values[0])).collect()
}

/// Columns under their headings; the first to the left, the others to the right.
fn columns(headings: Vec<String>, rows: Vec<Vec<String>>) -> String {
    let rows: Vec<Vec<String>> = [headings].into_iter().chain(rows).collect();
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| shown(cell)).collect()).collect();
    let width = |i: usize| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(i, (cell, &width))| match i {
            0 => format!("{cell:width$}"),
            _ => format!("{cell:>width$}"),
        });
        text += &format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use super::*;

    const HOSTILE: &str = "\"</td><script>alert(1)</script>\"";

    fn run(loss: f64, run_file: &str) -> Recorded {
        let folder = tempfile::tempdir().unwrap();
        let record = serde_json::json!({"step": 7, "seconds": 2, "generated": 3000, "loss": loss,
            "log_z": -1.5, "lag_mean": 0});
        fs::write(folder.path().join("metrics.jsonl"), format!("{record}\n")).unwrap();
        fs::write(folder.path().join("run.toml"), run_file).unwrap();
        Recorded::read(folder.path()).unwrap()
    }

    #[test]
    fn runs_stand_side_by_side_with_what_differs() {
        let common = "[run]\nname = \"a\"\n[learner]\nbatch = ";
        let runs = [run(0.5, &format!("{common}32")), run(0.25, &format!("{common}64\nema = 0.9"))];
        let comparison = Comparison::of(&runs);
        let json = serde_json::to_value(&comparison).unwrap();
        let loss = json["figures"].as_array().unwrap().iter().find(|f| f["key"] == "loss").unwrap();
        assert_eq!((&loss["values"][1], &loss["ratios"][1]), (&0.25.into(), &0.5.into()));
        let expected =
            serde_json::json!({"learner.batch": ["32", "64"], "learner.ema": [null, "0.9"]});
        assert_eq!(json["run_file"], expected, "the name is the same");
        let text = comparison.text();
        let line = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(line("figure"), "figure A B B/A");
        assert_eq!(line("trajectories  "), "trajectories 3,000 3,000 1.000");
        assert_eq!(line("log Z"), "log Z -1.500 -1.500 -", "no ratio below 0");
        assert_eq!(line("learner.ema"), "learner.ema - 0.9");
        let page = comparison.page(&runs);
        let curves = page.matches("s1\" d=\"M").count();
        assert!(page.contains("<figcaption>Loss</figcaption>") && curves >= 2, "{page}");
    }

    #[test]
    fn values_of_others_are_inert_and_any_run_file_is_read() {
        let runs = [run(1.0, &format!("[a]\nb = {HOSTILE}\nc.d = 1")), run(1.0, "no TOML [")];
        let comparison = Comparison::of(&runs);
        assert_eq!(comparison.run_file["a.c"], [Some("{ d = 1 }".to_owned()), None]);
        let page = comparison.page(&runs);
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "{page}");
        let same = Comparison::of(&[run(1.0, ""), run(1.0, "")]);
        assert!(same.text().ends_with("the run files are the same\n"), "{}", same.text());
    }
}
