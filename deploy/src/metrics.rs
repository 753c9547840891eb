//! `tributary metrics`: all metrics of a run as JSON, the first record to the last.

use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, thread};

use clap::Args;
use serde_json::{Map, Value};
use tributary_common::metrics_file::MetricsFile;
use tributary_proto::v1::{MetricsRecord, StreamMetricsRequest};

use crate::control::{self, Control};
use crate::credentials::{LearnerOptions, Target};
use crate::error::CommandError;
use crate::output::Output;
use crate::watch;

/// How often a run directory is looked into.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long a learner that was there may be away: it may be being started again.
const AWAY: Duration = Duration::from_secs(60);
/// Between two attempts to reach it.
const ATTEMPT_EVERY: Duration = Duration::from_secs(1);

/// Prints all metrics of a run, one JSON object a line as in metrics.jsonl, in order and each once
///
/// With a run directory it reads metrics.jsonl there, whether a learner lives or not; with an address it
/// asks the learner. --follow goes on until the run is over, through restarts of its learner. To go on
/// later: --from N with the last `number` that was seen, plus one.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    learner: LearnerOptions,
    /// Begin with the record of this number
    #[arg(long, value_name = "N", default_value_t = 1)]
    from: u64,
    /// Go on with what is recorded from now on, until the run is over
    #[arg(long)]
    follow: bool,
    /// Only metrics whose name starts with this; may be repeated
    #[arg(long = "only", value_name = "PREFIX")]
    prefixes: Vec<String>,
}

/// Prints them.
pub(crate) fn run(options: &Options) -> Result<(), CommandError> {
    match options.learner.run_directory() {
        Some(run) => of_directory(run, options),
        None => {
            let target = options.learner.target()?;
            control::block_on(of_learner(&target, options))
        }
    }
}

fn of_directory(run: &Path, options: &Options) -> Result<(), CommandError> {
    let path = run.join("metrics.jsonl");
    let unreadable = |source| CommandError::Unreadable { path: path.clone(), source };
    let mut file = MetricsFile::open(&path, options.from).map_err(unreadable)?;
    let mut output = Output::new();
    loop {
        // Before the file is read: its last record is older than its summary.
        let is_over = !options.follow || is_over(run);
        while let Some(record) = file.read().map_err(unreadable)? {
            output.line(chosen(record.text, &options.prefixes))?;
        }
        output.flush()?;
        if is_over {
            return Ok(());
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Whether the last learner that began has ended the run.
fn is_over(run: &Path) -> bool {
    let written = |name: &str| fs::metadata(run.join(name)).and_then(|file| file.modified());
    written("summary.json").is_ok_and(|end| {
        // A run may go on behind its end: then its learner has told its address since.
        written("address.json").is_ok_and(|start| start <= end)
    })
}

/// The line with those metrics only, and what places them.
fn chosen(line: String, prefixes: &[String]) -> String {
    if prefixes.is_empty() {
        return line;
    }
    let Ok(mut record) = serde_json::from_str::<Map<String, Value>>(&line) else { return line };
    record.retain(|name, _| {
        ["schema", "number", "step", "seconds", "time", "stalled_edge"].contains(&name.as_str())
            || prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()))
    });
    Value::Object(record).to_string()
}

async fn of_learner(target: &Target, options: &Options) -> Result<(), CommandError> {
    let mut output = Output::new();
    let mut request = StreamMetricsRequest {
        from_number: options.from,
        follow: options.follow,
        prefixes: options.prefixes.clone(),
    };
    let mut seen = None;
    loop {
        let mut next = request.from_number;
        let mut take = |record: MetricsRecord| {
            next = record.number + 1;
            output.line(watch::json(&record))?;
            output.flush()
        };
        let ended = all(target, request.clone(), &mut take).await;
        if next != request.from_number {
            (request.from_number, seen) = (next, Some(Instant::now()));
        }
        match ended {
            Err(CommandError::Unreachable { .. }) if seen.is_some_and(|at| at.elapsed() < AWAY) => {
                tokio::time::sleep(ATTEMPT_EVERY).await;
            }
            ended => return ended,
        }
    }
}

/// All that one connection brings; well: the learner says that this was all.
async fn all(
    target: &Target,
    request: StreamMetricsRequest,
    take: &mut impl FnMut(MetricsRecord) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    let mut records = Control::connect(target).await?.stream_metrics(request).await?;
    while let Some(record) = records.next().await? {
        take(record)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_run_is_over_when_its_last_learner_has_summed_up() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path();
        let write = |name: &str| {
            // File times are coarse.
            let before =
                |other| fs::metadata(run.join(other)).and_then(|file| file.modified()).ok();
            let others = ["address.json", "summary.json"].map(before);
            loop {
                fs::write(run.join(name), "{}").unwrap();
                let now = fs::metadata(run.join(name)).unwrap().modified().unwrap();
                if others.iter().flatten().all(|other| *other < now) {
                    return;
                }
            }
        };
        assert!(!is_over(run));
        write("address.json");
        assert!(!is_over(run), "its learner is at work");
        write("summary.json");
        assert!(is_over(run));
        write("address.json");
        assert!(!is_over(run), "it goes on");
    }

    #[test]
    fn only_what_is_asked_for_is_left_of_a_line() {
        let line = "{\"log_z\":1.5,\"loss\":null,\"loss.online\":0.25,\"number\":3,\"schema\":1}";
        assert_eq!(chosen(line.to_owned(), &[]), line);
        let left = chosen(line.to_owned(), &["loss".to_owned()]);
        assert_eq!(left, "{\"loss\":null,\"loss.online\":0.25,\"number\":3,\"schema\":1}");
    }
}
