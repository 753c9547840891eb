//! The task as other programs read it.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use tributary_common::object::Object;
use tributary_common::registry::Task;

use crate::experiment::Experiment;
use crate::report::write;

/// gfnx's definition: 60 modes, log R = -3 d / 120.
pub(crate) const PER_BIT: &str = r#"
[environment]
kind = "sequence"
construction = "any_position"
word_bits = 8
length = 15
[reward]
kind = "bit_sequence"
modes = 60
seed = 0
distance_scale = "per_bit"
exponent = 3.0
"#;

/// log R falls by 2 for each bit: a perfect sampler is some 14 bits away from a mode.
pub(super) const RAW: &str = r#"
[environment]
kind = "sequence"
construction = "any_position"
word_bits = 8
length = 15
[reward]
kind = "bit_sequence"
modes = 60
seed = 0
distance_scale = "raw"
exponent = 2.0
"#;

/// Options of `bitseq task`.
#[derive(Args)]
pub(crate) struct Options {
    /// The file to write
    file: PathBuf,
}

#[derive(Serialize)]
struct Document {
    bits: usize,
    word_bits: usize,
    exponent: f64,
    modes: Vec<Object>,
    test_strings: Vec<Object>,
}

/// Writes it.
pub(crate) fn run(options: &Options) -> Result<()> {
    let experiment = Experiment::read(PER_BIT, &["learner.updates=1".to_owned()], Path::new("."))?;
    export(&experiment.task, &options.file)
}

/// Writes the modes and test strings of this task.
pub(crate) fn export(task: &Task, path: &Path) -> Result<()> {
    let reward = &task.undelayed;
    let (modes, test_strings) = (reward.modes(), reward.test_set());
    let document = Document { bits: 120, word_bits: 8, exponent: 3.0, modes, test_strings };
    write(path, &serde_json::to_string(&document)?)
}
