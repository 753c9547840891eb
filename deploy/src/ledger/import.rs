//! `tributary ledger import`: what an earlier run or a file knows need not be paid for again.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use tributary_common::ids::{ActorId, PolicyVersion};
use tributary_common::ledger::{self, FILE, LedgerReader, ObjectRow, Observation};
use tributary_common::registry::{Registry, Task};
use tributary_common::reward::KeyMaker;
use tributary_common::reward::table::file::objects;

use super::open;
use crate::display::count;
use crate::error::CommandError;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  tributary ledger import runs/new --from runs/old
  tributary ledger import runs/new --from measured.csv

The CSV (or TSV) file has a header; then the object, and its raw values in the next columns.";

/// Makes values known to a run that an earlier run or a file holds
///
/// Also while the run goes on: from then on its actors pay for none of these objects. The values are raw
/// ones, of the same reward. What the run knows already stays as it is.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// The run directory
    #[arg(value_name = "RUN_DIR")]
    pub(super) directory: PathBuf,
    /// Another run directory, or a file
    #[arg(long, value_name = "RUN_DIR|FILE.csv")]
    pub(super) from: PathBuf,
}

/// Reads, checks, writes.
pub(crate) fn run(options: &Options, registry: &Registry) -> Result<(), CommandError> {
    let (task, reader) = open(&options.directory, registry)?;
    drop(reader);
    let from = &options.from;
    let known = if from.is_dir() { of_run(&task, from)? } else { of_file(&task, from)? };
    let new = ledger::import(&options.directory.join(FILE), &known)?;
    let all = count(known.len() as u64, "object");
    output::print(&format!("{all} in {}, {new} of them new\n", from.display()))
}

fn of_run(task: &Task, directory: &Path) -> Result<Vec<Observation>, CommandError> {
    let reader = LedgerReader::open(&directory.join(FILE))?;
    let keys = KeyMaker::new(task.undelayed.clone());
    let mut known = Vec::new();
    reader.objects(Some("status NOT IN ('failed', 'struck')"), |row| {
        known.push(of_row(task, &keys, row)?);
        Ok::<_, CommandError>(true)
    })?;
    Ok(known)
}

fn of_row(task: &Task, keys: &KeyMaker, row: ObjectRow) -> Result<Observation, CommandError> {
    let refused = |reason: String| CommandError::Import { object: row.object.clone(), reason };
    let object = task.environment.parse_object(&row.object);
    let object = object.map_err(|error| refused(error.to_string()))?;
    let key = keys.key(&object);
    if key != row.key {
        let reason = "it was measured by another reward, or another version of it".to_owned();
        return Err(refused(reason));
    }
    task.undelayed.transform(&row.raw).map_err(|error| refused(error.to_string()))?;
    Ok(Observation { seconds: row.seconds as f32, ..observation(keys, object, row.raw) })
}

fn of_file(task: &Task, file: &Path) -> Result<Vec<Observation>, CommandError> {
    let listed = objects::read(file, task.environment.as_ref(), task.undelayed.as_ref())?;
    let keys = KeyMaker::new(task.undelayed.clone());
    let known = listed.into_iter().filter_map(|one| {
        let raw = one.raw?;
        Some(observation(&keys, one.object, raw))
    });
    Ok(known.collect())
}

fn observation(
    keys: &KeyMaker,
    object: tributary_common::object::Object,
    raw: Vec<f64>,
) -> Observation {
    // A clock before 1970 is recorded as that.
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    Observation {
        key: keys.key(&object),
        object,
        raw,
        seconds: 0.0,
        actor: ActorId::default(),
        policy: PolicyVersion::default(),
        is_measured: false,
        seen: 0,
        time,
    }
}
