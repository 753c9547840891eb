//! `tributary ledger`: what a run has measured, with the log-reward of its run file.

mod export;
mod import;
mod page;

pub(crate) mod candidates;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;
use tributary_common::ledger::{FILE, Journal, LedgerReader, ObjectRow};
use tributary_common::object::Object;
use tributary_common::registry::{Registry, Task};

use crate::error::CommandError;
use crate::output::{self, Output};
use crate::run_file::{self, Described};

const EXAMPLES: &str = "\
Examples:
  tributary ledger runs/tfbind8-1 --top 100
  tributary ledger runs/tfbind8-1 --where \"value > 0.9 AND seconds > 60\"
  tributary ledger runs/tfbind8-1 --where \"object LIKE 'ACG%'\" --export acg.csv
  tributary ledger import runs/new --from runs/tfbind8-1
  sqlite3 -readonly runs/tfbind8-1/ledger.sqlite \"SELECT count(*) FROM evaluations\"

Columns: key, object, value (the first raw value), raw (JSON), seconds (what measuring took), actor,
policy_incarnation, policy_step, time (seconds since 1970), seen, status ('measured', 'known', 'failed' or 'struck').";

/// Shows the objects that a run has measured, the best first
///
/// The raw values are those that were measured; the log-reward is made of them by RUN_DIR/run.toml as it
/// is now, so a changed exponent is enough to rank them anew. Works while the run goes on.
#[derive(Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
#[command(subcommand_negates_reqs = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Option<Action>,
    /// The run directory
    #[arg(value_name = "RUN_DIR", required = true)]
    directory: Option<PathBuf>,
    /// How many of the objects with the highest log-reward
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,
    /// Only objects for which this holds: a condition in SQL on the columns below
    #[arg(long = "where", value_name = "SQL")]
    condition: Option<String>,
    /// Write all of them to this CSV file instead, in the order in which they were first seen
    #[arg(long, value_name = "FILE.csv")]
    export: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long, conflicts_with = "export")]
    json: bool,
}

/// What else can be done with a ledger.
#[derive(Subcommand)]
enum Action {
    Import(import::Options),
}

/// An object as it is printed.
#[derive(Clone, Serialize)]
struct Line {
    object: Object,
    /// Null where R = 0, or where the run file makes no log-reward of the values.
    log_reward: Option<f64>,
    raw: Vec<f64>,
    seconds: f64,
    actor: u64,
    policy: String,
    time: f64,
    seen: u64,
    status: String,
    key: String,
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Report {
    schema: u32,
    /// Objects of which the condition holds.
    matching: u64,
    /// The names of the raw values.
    outputs: Vec<String>,
    /// The best of them.
    objects: Vec<Line>,
}

/// Reads and prints.
pub(crate) fn run(options: &Options, registry: &Registry) -> Result<(), CommandError> {
    if let Some(Action::Import(options)) = &options.action {
        return import::run(options, registry);
    }
    // Clap asks for it.
    let directory = options.directory.clone().unwrap_or_default();
    let (task, reader) = open(&directory, registry)?;
    let condition = options.condition.as_deref();
    let matching = reader.count(condition)?;
    if let Some(file) = &options.export {
        export::write(file, &task, &reader, condition, matching)?;
        let mut output = Output::new();
        output.line(format!(
            "{} in {}",
            crate::display::count(matching, "object"),
            file.display()
        ))?;
        return output.flush();
    }
    let objects = best(&task, &reader, condition, options.top)?;
    let outputs = names(&task);
    let report = Report { schema: 1, matching, outputs, objects };
    if options.json {
        let text = serde_json::to_string(&report).map_err(std::io::Error::from);
        return output::print(&format!("{}\n", text.map_err(CommandError::Output)?));
    }
    output::print(&page::page(&report))
}

fn open(directory: &Path, registry: &Registry) -> Result<(Task, LedgerReader), CommandError> {
    let path = directory.join(FILE);
    if !path.is_file() {
        let reason = if directory.is_dir() {
            format!("has no ledger: there is no {FILE} in it")
        } else {
            "does not exist".to_owned()
        };
        return Err(CommandError::RunDirectory { path: directory.to_owned(), reason });
    }
    if let Ok(Journal::Rollback { on }) = Journal::of_folder(directory) {
        eprintln!("note: on {on} the learner waits while this reads; ask for little while it runs");
    }
    let Described { task, .. } = run_file::read(&directory.join("run.toml"), &[], registry)?;
    Ok((task, LedgerReader::open(&path)?))
}

/// The best objects of a ledger as cells, the object last.
pub(crate) struct BestRows {
    /// Objects in the ledger.
    pub(crate) objects: u64,
    pub(crate) headings: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// The objects of a run with the highest log-reward.
pub(crate) fn best_rows(
    directory: &Path,
    top: usize,
    registry: &Registry,
) -> Result<BestRows, CommandError> {
    let (task, reader) = open(directory, registry)?;
    let rows = best(&task, &reader, None, top)?.iter().map(page::cells).collect();
    let headings = page::headings(&names(&task));
    Ok(BestRows { objects: reader.count(None)?, headings, rows })
}

fn names(task: &Task) -> Vec<String> {
    task.undelayed.outputs().into_iter().map(|output| output.name).collect()
}

/// The objects with the highest log-reward, the highest first, the first seen first.
fn best(
    task: &Task,
    reader: &LedgerReader,
    condition: Option<&str>,
    count: usize,
) -> Result<Vec<Line>, CommandError> {
    let mut lines: Vec<Line> = Vec::new();
    let rank = |line: &Line| line.log_reward.unwrap_or(f64::NEG_INFINITY);
    let keep_best = |lines: &mut Vec<Line>| {
        lines.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
        lines.truncate(count);
    };
    reader.objects(condition, |row| {
        lines.push(line(task, row)?);
        if lines.len() >= 2 * count.max(1_000) {
            keep_best(&mut lines);
        }
        Ok::<_, CommandError>(true)
    })?;
    keep_best(&mut lines);
    Ok(lines)
}

fn line(task: &Task, row: ObjectRow) -> Result<Line, CommandError> {
    let object = task.environment.parse_object(&row.object);
    let object = object.map_err(|error| CommandError::Environment {
        kind: task.environment.identity().kind,
        reason: format!("the ledger's object \"{}\": {error}", row.object),
    })?;
    let log_reward = task.undelayed.transform(&row.raw).ok().map(f64::from);
    Ok(Line {
        object,
        log_reward: log_reward.filter(|log_reward| log_reward.is_finite()),
        raw: row.raw,
        seconds: row.seconds,
        actor: row.actor.0,
        policy: row.policy.to_string(),
        time: row.time,
        seen: row.seen,
        status: row.status,
        key: row.key.to_string(),
    })
}

#[cfg(test)]
mod tests;
