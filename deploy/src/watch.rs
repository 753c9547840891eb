//! `tributary watch`: the metrics of a running learner, a line at a time.

use clap::{Args, ValueEnum};
use tributary_proto::v1::MetricsRecord;

use crate::control::{self, Control};
use crate::credentials::LearnerOptions;
use crate::display::{clock, short, shown};
use crate::error::CommandError;
use crate::output::Output;

/// Prints the metrics of a running learner as they are made, until the run ends
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    learner: LearnerOptions,
    /// Only metrics whose name starts with this; may be repeated
    #[arg(long = "only", value_name = "PREFIX")]
    prefixes: Vec<String>,
    /// One line of text, or one JSON object, for each record
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Jsonl,
}

/// Prints records until the learner ends the stream.
pub(crate) fn run(options: Options) -> Result<(), CommandError> {
    let target = options.learner.target()?;
    control::block_on(async {
        let mut records = Control::connect(&target).await?.watch(options.prefixes).await?;
        let mut output = Output::new();
        while let Some(record) = records.next().await? {
            output.line(match options.format {
                Format::Text => text(&record),
                Format::Jsonl => json(&record),
            })?;
            output.flush()?;
        }
        Ok(())
    })
}

fn text(record: &MetricsRecord) -> String {
    let values =
        record.values.iter().map(|(name, value)| format!("{}={}", shown(name), short(*value)));
    let values: Vec<String> = values.collect();
    format!("{} step={} {}", clock(record.seconds), record.step, values.join(" "))
}

/// The form of `metrics.jsonl`.
pub(crate) fn json(record: &MetricsRecord) -> String {
    let mut line = serde_json::json!({
        "schema": 1,
        "number": record.number,
        "step": record.step,
        "seconds": record.seconds,
        "time": record.time,
    });
    for (name, value) in &record.values {
        line[name] = (*value).into();
    }
    if let Some(edge) = &record.stalled_edge {
        line["stalled_edge"] = edge.as_str().into();
    }
    line.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_drives_terminals_stays_a_name() {
        let values = [("a\n\u{1b}[31m".to_owned(), 1.0)].into();
        let record =
            MetricsRecord { number: 3, step: 40, seconds: 61.0, values, ..Default::default() };
        assert_eq!(text(&record), "1:01 step=40 a\\u{a}\\u{1b}[31m=1.000");
    }

    #[test]
    fn records_become_lines() {
        let values = [("loss", 0.25), ("log_z", 11.4), ("kl", f64::INFINITY)];
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let stalled_edge = Some("trainer.data".to_owned());
        let (number, step, seconds, time) = (3, 40, 61.0, 0.0);
        let record = MetricsRecord { number, step, seconds, time, values, stalled_edge };
        assert_eq!(text(&record), "1:01 step=40 kl=inf log_z=11.40 loss=0.2500");
        let json: serde_json::Value = serde_json::from_str(&json(&record)).unwrap_or_default();
        let expected = serde_json::json!({
            "schema": 1, "number": 3, "step": 40, "seconds": 61.0, "time": 0.0,
            "loss": 0.25, "log_z": 11.4, "kl": null, "stalled_edge": "trainer.data",
        });
        assert_eq!(json, expected);
    }
}
