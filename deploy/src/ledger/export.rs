//! All objects as a CSV file, written whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use tributary_common::ledger::LedgerReader;
use tributary_common::registry::Task;

use super::{Line, line, names};
use crate::display::grouped;
use crate::error::CommandError;
use crate::sample::quoted;

/// An export says how far it is as often as this.
const SAY_EVERY: Duration = Duration::from_secs(2);

/// Writes all of which the condition holds.
pub(super) fn write(
    file: &Path,
    task: &Task,
    reader: &LedgerReader,
    condition: Option<&str>,
    count: u64,
) -> Result<(), CommandError> {
    whole(file, task, |rows| {
        let (mut done, mut said) = (0_u64, Instant::now());
        reader.objects(condition, |row| {
            rows.write(&line(task, row)?)?;
            done += 1;
            if said.elapsed() >= SAY_EVERY {
                eprintln!("{} of {} objects", grouped(done), grouped(count));
                said = Instant::now();
            }
            Ok::<_, CommandError>(true)
        })?;
        Ok(())
    })
}

/// The rows of a file.
pub(super) struct Rows<'a> {
    path: &'a Path,
    file: BufWriter<File>,
}

impl Rows<'_> {
    /// Adds one.
    pub(super) fn write(&mut self, line: &Line) -> Result<(), CommandError> {
        writeln!(self.file, "{}", csv(line)).map_err(|error| refused(self.path, error))
    }
}

/// Writes beside the file and renames.
pub(super) fn whole(
    file: &Path,
    task: &Task,
    write: impl FnOnce(&mut Rows<'_>) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(format!(".{}.tmp", std::process::id()));
    let beside = Path::new(&beside);
    let written = write_all(beside, task, write);
    let renamed = written.and_then(|()| {
        fs::rename(beside, file).map_err(CommandError::system(format!("write {}", file.display())))
    });
    if renamed.is_err() {
        // It may not be there.
        let _ = fs::remove_file(beside);
    }
    renamed
}

fn write_all(
    path: &Path,
    task: &Task,
    write: impl FnOnce(&mut Rows<'_>) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    let refused = |error| refused(path, error);
    let file = BufWriter::new(File::create(path).map_err(refused)?);
    let mut rows = Rows { path, file };
    let names: Vec<String> = names(task).iter().map(|name| quoted(name)).collect();
    let rest = "seconds,actor,policy,time,seen,status,key";
    writeln!(rows.file, "object,log_reward,{},{rest}", names.join(",")).map_err(refused)?;
    write(&mut rows)?;
    let file = rows.file.into_inner().map_err(|error| refused(error.into_error()))?;
    file.sync_all().map_err(refused)
}

fn refused(path: &Path, error: io::Error) -> CommandError {
    CommandError::system(format!("write {}", path.display()))(error)
}

fn csv(line: &Line) -> String {
    let log_reward = line.log_reward.map(|log_reward| log_reward.to_string());
    let cells = [quoted(&line.object.to_string()), log_reward.unwrap_or_default()];
    let raw = line.raw.iter().map(ToString::to_string);
    let rest = [
        line.seconds.to_string(),
        line.actor.to_string(),
        line.policy.clone(),
        line.time.to_string(),
        line.seen.to_string(),
        line.status.clone(),
        line.key.clone(),
    ];
    cells.into_iter().chain(raw).chain(rest).collect::<Vec<_>>().join(",")
}
