//! `tributary train`: a learner and its actors on this machine, from start to the final table.

mod cores;
mod crew;
pub(crate) mod deaths;
mod learner;
mod plan;
pub(crate) mod process;
pub(crate) mod progress;
mod report;
pub(crate) mod signals;
mod start;
pub(crate) mod wishes;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Instant;

use clap::Args;
use tokio::sync::watch;
use tokio::time::sleep;
use tributary_common::registry::Registry;
use tributary_common::run_file::parse_override;
use tributary_proto::v1::{RunState, StatusReply};

use crate::check;
use crate::control;
use crate::display::count;
use crate::error::{BUG, CommandError};
use crate::output;
use crate::run_file::KEYS;
use crew::{Crew, Event};
use deaths::{Deaths, MOST_DEATHS};
use learner::Learner;
use plan::Plan;
pub(crate) use plan::{claim, learner_program, next_free};
use process::ending;
use progress::Progress;
use signals::Signals;
use start::Start;
use wishes::Wishes;

/// Trains on this machine: one learner and some actors, as processes of their own
///
/// First the run file is checked as `tributary check` does. Then the run directory is made, the
/// learner and the actors are started on a free loopback port, an actor or a learner that dies is
/// started again, and the progress is shown until the run reaches one of its stops. At the end the
/// exact distance to the target is printed, where the environment is small enough to be walked state by
/// state.
///
/// With --resume RUN_DIR a run that was stopped, or whose goal is raised with --set, goes on from its
/// newest checkpoint and its ledger.
///
/// The cores are divided so that nobody waits for a core that another holds: a quarter of them (at
/// most 8) goes to the learner's tensor operations, each of the others to an actor with one rollout
/// thread; there are at least two actors, since actors wait while the learner is busy. With
/// --actors the learner gets what is left, from 1 to 8; `learner.threads` and `actor.threads` of
/// the run file win.
///
/// Ctrl-C (or SIGTERM) asks for an orderly end: a checkpoint and a summary are written and the exit
/// code is 130; a second one ends everything at once.
#[derive(Args)]
#[command(after_help = KEYS)]
pub(crate) struct Options {
    /// The run file (TOML)
    #[arg(value_name = "RUN.toml", required_unless_present = "resume")]
    run_file: Option<PathBuf>,
    /// Changes a value of the run file, for example --set learner.batch=128
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE", value_parser = parse_override)]
    overrides: Vec<(String, String)>,
    /// Goes on with the run in this directory; --set may change its goals and a few other keys
    #[arg(long, value_name = "RUN_DIR", conflicts_with_all = ["run_file", "run_dir", "seed"])]
    resume: Option<PathBuf>,
    /// Number of actors [default: the cores that the learner leaves, at least 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    actors: Option<u32>,
    /// Threads of the learner's tensor operations [default: see above]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
    /// Where the run will live; may not hold another run [default: runs/NAME-1, -2, ...]
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// The seed of every random stream, the same as --set run.seed=S
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Where the learner listens, so that actors on other machines can join; beyond this machine with
    /// --certs [default: a free port of 127.0.0.1]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<SocketAddr>,
    /// Where the learner serves /metrics; likewise
    #[arg(long, value_name = "HOST:PORT")]
    http: Option<SocketAddr>,
    /// A directory made by `tributary certs`: everybody speaks TLS and shows a certificate and a token
    #[arg(long, value_name = "DIR")]
    certs: Option<PathBuf>,
}

/// Trains, and prints the final table.
pub(crate) fn run(options: &Options, registry: &Registry) -> Result<(), CommandError> {
    let start = Start::read(options, registry)?;
    start.described.initial(&start.path)?;
    check::examine(&start.described.task, check::Thoroughness::Quick)?;
    let plan = Plan::make(options, &start)?;
    let ending = control::block_on(train(&plan))?;
    output::print(&report::of_run(&plan, ending)?)?;
    if ending.interrupted { Err(CommandError::Interrupted) } else { Ok(()) }
}

/// How a run came to a good end.
#[derive(Clone, Copy, Default)]
struct Ending {
    /// The user wanted it to stop.
    interrupted: bool,
    /// How often an actor that died was started again.
    restarts: u64,
    /// How often the learner was.
    learners: u64,
}

/// Runs the learner and its actors to the end.
async fn train(plan: &Plan) -> Result<Ending, CommandError> {
    let mut signals = Signals::new()?;
    let wishes = Wishes::open(&plan.directory)?;
    let mut learner = Learner::start(plan)?;
    let progress = Progress::new(plan);
    let address = tokio::select! {
        biased;
        () = signals.next() => {
            learner.kill().await;
            return Err(CommandError::Interrupted);
        }
        address = learner.address() => address?,
    };
    progress.dashboard(plan);
    let (latest, statuses) = watch::channel(None);
    let _polling = progress::poll(plan.target()?, latest);
    let crew = Crew::start(plan, &address, plan.division.actors)?;
    wishes.answer(crew.count(), None)?;
    let (ending, failure, deaths) = (Ending::default(), None, Deaths::default());
    let training = Training {
        plan,
        address,
        learner,
        crew,
        wishes,
        statuses,
        progress,
        signals,
        deaths,
        ending,
        failure,
    };
    training.until_the_end().await
}

/// A run under way.
struct Training<'a> {
    plan: &'a Plan,
    /// The learner's, for actors.
    address: String,
    learner: Learner,
    crew: Crew<'a>,
    wishes: Wishes,
    statuses: watch::Receiver<Option<StatusReply>>,
    progress: Progress,
    signals: Signals,
    deaths: Deaths,
    ending: Ending,
    /// Why it must stop.
    failure: Option<CommandError>,
}

impl Training<'_> {
    /// Watches over everything until the learner has ended.
    async fn until_the_end(mut self) -> Result<Ending, CommandError> {
        let status = loop {
            tokio::select! {
                biased;
                () = self.signals.next() => {
                    if self.ending.interrupted {
                        self.learner.kill().await;
                        self.crew.kill().await;
                        return Err(CommandError::Interrupted);
                    }
                    self.ending.interrupted = true;
                    self.stop("stopping: the learner saves a checkpoint; again to end at once");
                }
                status = self.learner.ended() => {
                    let status = status?;
                    let is_over = self.ending.interrupted || self.failure.is_some();
                    if is_over || !deaths::is_death(status, self.plan.lockstep) {
                        break status;
                    }
                    self.start_the_learner_again(status).await?;
                }
                Some(event) = self.crew.next() => self.hear(event),
                wanted = self.wishes.next() => self.scale(wanted),
                Ok(()) = self.statuses.changed() => self.look(),
            }
        };
        self.crew.end(status.code() == Some(0)).await;
        self.ending.learners = self.deaths.count;
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        match status.code() {
            Some(0) => Ok(self.ending),
            Some(130) if self.ending.interrupted => Ok(self.ending),
            _ => Err(self.learner.failed(status)),
        }
    }

    /// The learner died: another one goes on with its run. Actors stay, and find it where it was.
    async fn start_the_learner_again(&mut self, status: ExitStatus) -> Result<(), CommandError> {
        let Some(pause) = self.deaths.add(Instant::now().into()) else {
            self.crew.end(false).await;
            return Err(self.learner.given_up(status, MOST_DEATHS));
        };
        let (ended, seconds) = (ending(status), pause.as_secs_f64());
        self.progress.say(&format!("the learner {ended}; it is started again in {seconds} s"));
        tokio::select! {
            biased;
            () = self.signals.next() => {
                self.crew.kill().await;
                return Err(CommandError::Interrupted);
            }
            () = sleep(pause) => {}
        }
        self.learner = Learner::start_again(self.plan)?;
        if self.crew.is_draining() {
            // They left because the run was about to end; the learner may not have come so far yet.
            self.crew.end(true).await;
            self.crew = Crew::start(self.plan, &self.address, self.crew.count())?;
        }
        Ok(())
    }

    fn look(&mut self) {
        let status = self.statuses.borrow_and_update();
        let Some(status) = status.as_ref() else { return };
        let is_spent = status.spending.as_ref().is_some_and(|spending| spending.exhausted);
        if is_spent || status.state() == RunState::Stopping {
            self.crew.drain();
        }
        self.progress.show(status, Instant::now());
    }

    fn hear(&mut self, event: Event) {
        self.progress.say(&event.to_string());
        match event {
            Event::Restarting { .. } => self.ending.restarts += 1,
            Event::Left { .. } | Event::GivenUp { left: 1.., .. } => {}
            Event::GivenUp { .. } => {
                let reason = "no actor stays alive; see their logs".to_owned();
                self.fail(CommandError::Training { reason, exit_code: BUG });
            }
            Event::Refused { actor, words, exit_code } => {
                let reason = format!("{actor} cannot take part; {words}");
                self.fail(CommandError::Training { reason, exit_code });
            }
        }
    }

    /// Somebody wants so many actors. A run that ends keeps those that it has.
    fn scale(&mut self, wanted: usize) {
        let is_over = self.ending.interrupted || self.failure.is_some() || self.crew.is_draining();
        if !is_over {
            let before = self.crew.count();
            self.progress
                .say(&format!("{} wanted, {before} so far", count(wanted as u64, "actor")));
            if let Err(error) = self.crew.want(wanted) {
                self.progress.say(&format!("warning: {error}"));
            }
        }
        if let Err(error) = self.wishes.answer(self.crew.count(), Some(wanted)) {
            self.progress.say(&format!("warning: {error}"));
        }
    }

    fn fail(&mut self, failure: CommandError) {
        if self.failure.is_none() {
            self.failure = Some(failure);
            self.stop("stopping");
        }
    }

    /// Asks the learner to end in good order.
    fn stop(&mut self, why: &str) {
        self.progress.say(why);
        self.crew.drain();
        self.learner.terminate();
    }
}
