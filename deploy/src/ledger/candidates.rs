//! `tributary candidates`: the best objects of a run that differ from each other.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use tributary_common::environment::Environment;
use tributary_common::registry::Registry;

use super::{Line, best, export, names, open, page};
use crate::display::{count, short};
use crate::error::CommandError;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  tributary candidates runs/rna-1 --top 100 --min-distance 5
  tributary candidates runs/rna-1 --top 20 --min-distance 8 --export candidates.csv";

/// The best objects of a run that differ from each other, the best first
///
/// Takes the object with the highest log-reward, then the best that is at least so far from all that were
/// taken, and so on. Sequences of one length differ by the positions that differ (Hamming), of several
/// lengths by insertions, deletions and substitutions (edit distance), cells of a grid by steps. Works
/// while the run goes on.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// The run directory
    #[arg(value_name = "RUN_DIR")]
    directory: PathBuf,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 100)]
    top: usize,
    /// How far apart they are at least
    #[arg(long, value_name = "D", default_value_t = 1.0, value_parser = distance)]
    min_distance: f64,
    /// Only objects for which this holds: a condition in SQL on the columns of `tributary ledger`
    #[arg(long = "where", value_name = "SQL")]
    condition: Option<String>,
    /// Write them to this CSV file instead
    #[arg(long, value_name = "FILE.csv")]
    export: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long, conflicts_with = "export")]
    json: bool,
}

fn distance(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(distance) if distance >= 0.0 => Ok(distance),
        _ => Err("it is a number, 0 or more".to_owned()),
    }
}

/// One that was taken.
#[derive(Serialize)]
struct Candidate {
    #[serde(flatten)]
    line: Line,
    /// Its distance from the nearest other one; null where there is no other.
    nearest: Option<f64>,
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Report {
    schema: u32,
    /// Objects of which the condition holds.
    matching: u64,
    min_distance: f64,
    /// The names of the raw values.
    outputs: Vec<String>,
    candidates: Vec<Candidate>,
}

/// Chooses and prints.
pub(crate) fn run(options: &Options, registry: &Registry) -> Result<(), CommandError> {
    let (task, reader) = open(&options.directory, registry)?;
    let condition = options.condition.as_deref();
    let matching = reader.count(condition)?;
    let environment = task.environment.as_ref();
    // Objects near the best are often good: look at more of them until enough differ.
    let mut looked_at = options.top.saturating_mul(16);
    let taken = loop {
        let lines = best(&task, &reader, condition, looked_at)?;
        let seen_all = lines.len() < looked_at;
        let taken = choose(environment, lines, options.top, options.min_distance)?;
        if seen_all || taken.len() == options.top {
            break taken;
        }
        looked_at = looked_at.saturating_mul(8);
    };
    if let Some(file) = &options.export {
        export::whole(file, &task, |rows| taken.iter().try_for_each(|line| rows.write(line)))?;
        let candidates = count(taken.len() as u64, "candidate");
        return output::print(&format!("{candidates} in {}\n", file.display()));
    }
    let report = Report {
        schema: 1,
        matching,
        min_distance: options.min_distance,
        outputs: names(&task),
        candidates: with_nearest(environment, taken)?,
    };
    if options.json {
        let text = serde_json::to_string(&report).map_err(std::io::Error::from);
        return output::print(&format!("{}\n", text.map_err(CommandError::Output)?));
    }
    output::print(&text(&report))
}

/// The first lines that are at least so far from all that were taken before them.
fn choose(
    environment: &dyn Environment,
    lines: Vec<Line>,
    top: usize,
    min_distance: f64,
) -> Result<Vec<Line>, CommandError> {
    let mut taken: Vec<Line> = Vec::new();
    for line in lines {
        if taken.len() == top {
            break;
        }
        let mut differs = true;
        for other in taken.iter().filter(|_| min_distance > 0.0) {
            differs = between(environment, &line, other)? >= min_distance;
            if !differs {
                break;
            }
        }
        if differs {
            taken.push(line);
        }
    }
    Ok(taken)
}

fn between(environment: &dyn Environment, a: &Line, b: &Line) -> Result<f64, CommandError> {
    environment.distance(&a.object, &b.object).ok_or_else(|| CommandError::Environment {
        kind: environment.identity().kind,
        reason: "it does not say how far objects are from each other; use --min-distance 0"
            .to_owned(),
    })
}

fn with_nearest(
    environment: &dyn Environment,
    taken: Vec<Line>,
) -> Result<Vec<Candidate>, CommandError> {
    let nearest = |i: usize| {
        let others = taken.iter().enumerate().filter(|&(j, _)| j != i);
        let distances =
            others.map(|(_, other)| environment.distance(&taken[i].object, &other.object));
        distances.flatten().min_by(f64::total_cmp)
    };
    let nearest: Vec<Option<f64>> = (0..taken.len()).map(nearest).collect();
    let candidates = taken.into_iter().zip(nearest);
    Ok(candidates.map(|(line, nearest)| Candidate { line, nearest }).collect())
}

fn text(report: &Report) -> String {
    let Report { candidates, matching, min_distance, outputs, .. } = report;
    let mut headings = page::headings(outputs);
    headings.insert(0, "nearest".to_owned());
    let row = |candidate: &Candidate| {
        let mut cells = page::cells(&candidate.line);
        cells.insert(0, candidate.nearest.map_or("-".to_owned(), short));
        cells
    };
    let rows = candidates.iter().map(row).collect();
    let of = count(*matching, "object");
    let found = count(candidates.len() as u64, "candidate");
    let apart = short(*min_distance);
    format!(
        "{found} of {of}, each at least {apart} from the others\n\n{}",
        page::table(headings, rows)
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ledger::tests::run_directory;

    fn words(folder: &std::path::Path, top: usize, min_distance: f64) -> Vec<String> {
        let (task, reader) = open(folder, &Registry::builtin()).unwrap();
        let lines = best(&task, &reader, None, 9).unwrap();
        let taken = choose(task.environment.as_ref(), lines, top, min_distance).unwrap();
        taken.iter().map(|line| line.object.to_string()).collect()
    }

    #[test]
    fn the_best_are_taken_that_are_far_enough_apart() {
        let folder = tempfile::tempdir().unwrap();
        let _open = run_directory(folder.path());
        // By reward AB = 2, AA = 1, BA = 0; AA is one letter from both.
        assert_eq!(words(folder.path(), 9, 0.0), ["AB", "AA", "BA"]);
        assert_eq!(words(folder.path(), 9, 2.0), ["AB", "BA"]);
        assert_eq!(words(folder.path(), 1, 2.0), ["AB"]);
        assert_eq!(words(folder.path(), 9, 3.0), ["AB"]);
    }

    #[test]
    fn the_distance_to_the_nearest_other_one_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let _open = run_directory(folder.path());
        let (task, reader) = open(folder.path(), &Registry::builtin()).unwrap();
        let lines = best(&task, &reader, None, 9).unwrap();
        let candidates = with_nearest(task.environment.as_ref(), lines).unwrap();
        assert_eq!(candidates[1].nearest, Some(1.0));
        let report =
            Report { schema: 1, matching: 3, min_distance: 1.0, outputs: names(&task), candidates };
        let text = text(&report);
        assert!(text.starts_with("3 candidates of 3 objects, each at least 1"), "{text}");
        assert!(text.contains("nearest"), "{text}");
    }

    #[test]
    fn an_export_holds_the_chosen_ones() {
        let folder = tempfile::tempdir().unwrap();
        let _open = run_directory(folder.path());
        let file = folder.path().join("out.csv");
        let options = Options {
            directory: folder.path().to_owned(),
            top: 5,
            min_distance: 2.0,
            condition: None,
            export: Some(file.clone()),
            json: false,
        };
        run(&options, &Registry::builtin()).unwrap();
        let text = std::fs::read_to_string(file).unwrap();
        let objects: Vec<&str> = text.lines().filter_map(|line| line.split(',').next()).collect();
        assert_eq!(objects, ["object", "AB", "BA"]);
    }
}
