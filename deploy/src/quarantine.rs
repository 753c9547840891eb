//! `tributary quarantine`: an actor whose values are not believed.

use clap::Args;
use tributary_proto::v1::{QuarantineReply, QuarantineRequest};

use crate::control::{self, Control};
use crate::credentials::LearnerOptions;
use crate::display::count;
use crate::error::CommandError;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  tributary quarantine runs/dock-1 1000000002             nothing of it counts from now on
  tributary quarantine runs/dock-1 1000000002 --strike    nor does what it has measured
  tributary quarantine runs/dock-1 1000000002 --release   it may take part again

`tributary status` shows the actors with their numbers, and whose values differ from others'.";

/// Refuses what an actor sends, until it is released
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    #[command(flatten)]
    learner: LearnerOptions,
    /// The actor's number
    #[arg(value_name = "ACTOR")]
    actor: u64,
    /// Void the values that it was the first to measure, too: another actor's count where there are some,
    /// the other objects are measured again when somebody finds them
    #[arg(long, conflicts_with = "release")]
    strike: bool,
    /// Take what it sends again
    #[arg(long)]
    release: bool,
}

/// Asks the learner.
pub(crate) fn run(options: &Options) -> Result<(), CommandError> {
    let target = options.learner.target()?;
    let &Options { actor: actor_id, release, strike, .. } = options;
    let request = QuarantineRequest { actor_id, release, strike };
    let reply =
        control::block_on(async { Control::connect(&target).await?.quarantine(request).await })?;
    output::print(&said(options, reply))
}

fn said(options: &Options, reply: QuarantineReply) -> String {
    let &Options { actor, release, strike, .. } = options;
    let already = if reply.changed { "" } else { " already" };
    let state = if release { "takes part" } else { "is quarantined" };
    let struck = count(reply.struck, "value");
    let struck = if strike { format!("; {struck} struck") } else { String::new() };
    format!("actor {actor} {state}{already}{struck}\n")
}
