//! `tributary top`: a running learner, live in the terminal.
//!
//! `feed` asks the learner, `state` is what is known and chosen, `view` draws it, `screen` holds the
//! terminal; `plain` prints lines instead. All figures are those of `tributary status`.

mod changes;
mod feed;
mod plain;
mod screen;
mod state;
mod tail;
mod view;

use std::env;
use std::io::{self, IsTerminal};
use std::time::Duration;

use clap::Args;

use crate::control;
use crate::credentials::LearnerOptions;
use crate::error::CommandError;
use feed::Feed;

/// Between two looks on a terminal, and between two lines elsewhere.
const LOOK: u64 = 1;
const LINE: u64 = 5;

/// Shows a running learner live in the terminal: figures, actors, rewards, a log
///
/// It stays when the learner is started again or cannot be reached for a while. Where the output is no
/// terminal it prints a line now and then, what happens to actors and to the learner, and ends with
/// the run.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    learner: LearnerOptions,
    /// Lines of text instead of a screen
    #[arg(long)]
    plain: bool,
    /// Seconds between two looks [default: 1, between two lines 5]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: Option<u64>,
}

/// Shows it until the user leaves.
pub(crate) fn run(options: Options) -> Result<(), CommandError> {
    let is_dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
    let is_screen = io::stdin().is_terminal() && io::stdout().is_terminal() && !is_dumb;
    let plain = options.plain || !is_screen;
    let every = Duration::from_secs(options.every.unwrap_or(if plain { LINE } else { LOOK }));
    control::block_on(async {
        let feed = Feed::open(options.learner, every).await?;
        if plain { plain::show(feed).await } else { screen::show(feed).await }
    })
}
