//! All objects as a CSV file, written whole or not at all.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
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

/// Writes beside the file and renames.
pub(super) fn write(
    file: &Path,
    task: &Task,
    reader: &LedgerReader,
    condition: Option<&str>,
    count: u64,
) -> Result<(), CommandError> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(format!(".{}.tmp", std::process::id()));
    let beside = Path::new(&beside);
    let written = write_all(beside, task, reader, condition, count);
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
    reader: &LedgerReader,
    condition: Option<&str>,
    count: u64,
) -> Result<(), CommandError> {
    let refused = |error| CommandError::system(format!("write {}", path.display()))(error);
    let mut file = BufWriter::new(File::create(path).map_err(refused)?);
    let names: Vec<String> = names(task).iter().map(|name| quoted(name)).collect();
    let rest = "seconds,actor,policy,time,seen,status,key";
    writeln!(file, "object,log_reward,{},{rest}", names.join(",")).map_err(refused)?;
    let (mut done, mut said) = (0_u64, Instant::now());
    reader.objects(condition, |row| {
        writeln!(file, "{}", csv(&line(task, row)?)).map_err(refused)?;
        done += 1;
        if said.elapsed() >= SAY_EVERY {
            eprintln!("{} of {} objects", grouped(done), grouped(count));
            said = Instant::now();
        }
        Ok::<_, CommandError>(true)
    })?;
    let file = file.into_inner().map_err(|error| refused(error.into_error()))?;
    file.sync_all().map_err(refused)
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
