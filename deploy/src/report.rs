//! `tributary report`: a run as one page that can be kept, sent and printed.

mod axis;
mod best;
mod charts;
mod curves;
mod html;
mod page;
mod recorded;
mod svg;

pub(crate) mod compare;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use tributary_common::registry::Registry;

use crate::error::CommandError;
use crate::output;
use recorded::Recorded;

/// Writes a report of a run: one HTML file with its figures, books, spending, best objects, run file
///
/// The file loads nothing from elsewhere and runs no program; it reads in light, dark and on paper.
/// Works for a run that is over, that goes on or that was interrupted, and says what is missing. The run
/// file is in it, so look through it before you hand it on.
#[derive(Args)]
pub(crate) struct Options {
    /// The run directory
    #[arg(value_name = "RUN_DIR")]
    directory: PathBuf,
    /// Where to write it [default: RUN_DIR/report.html]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Reads, writes, and says where.
pub(crate) fn run(options: &Options, registry: &Registry) -> Result<(), CommandError> {
    let run = Recorded::read(&options.directory)?;
    let best = best::of_run(&options.directory, registry);
    let file = options.output.clone().unwrap_or_else(|| options.directory.join("report.html"));
    write(&file, &page::of_run(&run, &best))
}

fn write(file: &Path, page: &str) -> Result<(), CommandError> {
    let action = format!("write {}", file.display());
    fs::write(file, page).map_err(CommandError::system(action))?;
    output::print(&format!("{}\n", file.display()))
}
