//! `tributary sample`: objects drawn from a trained policy.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;
use tributary_common::object::Object;
use tributary_common::registry::Registry;

use crate::error::CommandError;
use crate::output::Output;
use crate::run_directory::{Trained, WeightSet};
use crate::snapshot::{Drawing, Worth, measure};

/// Objects drawn, measured and printed at a time.
const BATCH: usize = 256;

/// Draws objects from a run's newest checkpoint, with their log-reward
///
/// One object a line on standard output and nothing else there. A reward that is a program is not
/// asked: `tributary ledger` knows what was measured. Objects come as often as the policy
/// draws them, the same ones for the same seed and checkpoint.
#[derive(Args)]
pub(crate) struct Options {
    /// The run directory
    #[arg(value_name = "RUN_DIR")]
    directory: PathBuf,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 10)]
    count: usize,
    /// The form of a line
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    /// Other seeds draw other objects
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Which of the two sets of weights
    #[arg(long, value_enum, default_value_t = WeightSet::Ema)]
    weights: WeightSet,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// {"object": ..., "log_reward": ..., "raw": [...]}; log_reward is null where R = 0
    Jsonl,
    /// Columns object, log_reward and the reward's raw values, after a header line
    Csv,
}

/// Draws and prints.
pub(crate) fn run(options: &Options, registry: &Registry) -> Result<(), CommandError> {
    let trained = Trained::open(&options.directory, options.weights, registry)?;
    let reward = trained.task.reward.as_ref();
    let mut drawing = Drawing::new(&trained.task.environment, &trained.snapshot, options.seed);
    let mut output = Output::new();
    if matches!(options.format, Format::Csv) {
        let raw = reward.outputs().into_iter().map(|output| quoted(&output.name));
        let values = std::iter::once("log_reward".to_owned()).chain(raw);
        let values = values.filter(|_| reward.outside().is_none());
        let columns: Vec<String> = std::iter::once("object".to_owned()).chain(values).collect();
        output.line(columns.join(","))?;
    }
    let mut left = options.count;
    while left > 0 {
        let drawn = drawing.next(left.min(BATCH))?;
        left -= drawn.len();
        let objects: Vec<Object> = drawn.into_iter().map(|(object, _)| object).collect();
        let worth: Vec<Option<Worth>> = match reward.outside() {
            None => measure(reward, &objects)?.into_iter().map(Some).collect(),
            Some(_) => objects.iter().map(|_| None).collect(),
        };
        for (object, worth) in objects.iter().zip(worth) {
            output.line(match options.format {
                Format::Jsonl => json_line(object, worth.as_ref()),
                Format::Csv => csv_line(object, worth.as_ref()),
            })?;
        }
        output.flush()?;
    }
    output.flush()
}

/// A line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    object: &'a Object,
    /// JSON has no infinities: null where R = 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    log_reward: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<&'a [f64]>,
}

fn json_line(object: &Object, worth: Option<&Worth>) -> String {
    let log_reward = worth.map(|worth| worth.log_reward.get());
    let line = Line { object, log_reward, raw: worth.map(|worth| worth.raw.as_slice()) };
    // Texts and numbers always have a JSON form.
    serde_json::to_string(&line).unwrap_or_default()
}

fn csv_line(object: &Object, worth: Option<&Worth>) -> String {
    let cells = std::iter::once(quoted(&object.to_string()));
    let log_reward = worth.map(|worth| worth.log_reward.to_string());
    let raw = worth.iter().flat_map(|worth| &worth.raw).map(ToString::to_string);
    cells.chain(log_reward).chain(raw).collect::<Vec<_>>().join(",")
}

/// A cell, in quotes where RFC 4180 wants them.
pub(crate) fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tributary_common::log_space::LogReward;

    fn worth(reward: f64) -> Worth {
        Worth { raw: vec![reward], log_reward: LogReward::from_reward(reward).unwrap() }
    }

    #[test]
    fn lines_are_readable_by_machines() {
        let cell = Object::Integers(vec![3, 0]);
        let expected = r#"{"object":[3,0],"log_reward":0.0,"raw":[1.0]}"#;
        assert_eq!(json_line(&cell, Some(&worth(1.0))), expected);
        assert!(json_line(&cell, Some(&worth(0.0))).contains(r#""log_reward":null"#));
        let words = Object::Words(vec!["a,b".into(), "say \"c\"".into()]);
        assert_eq!(csv_line(&words, Some(&worth(1.0))), r#""a,b say ""c""",0,1"#);
        assert_eq!(csv_line(&cell, Some(&worth(0.0))), "3 0,-inf,0");
    }
}
