//! Programs that measure objects: workers of a command, services behind addresses.
//!
//! One thread looks after all of them. Questions wait on a board; each *seat* (a worker process,
//! a stream to a service) takes some when it is free. A failed request is tried again elsewhere, by
//! the rules of `health`.

mod addresses;
mod board;
mod health;
mod lines;
mod process;
mod reply;
mod seat;
mod service;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::num::NonZero;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Sender, bounded};
use tokio::runtime;
use tokio::task::LocalSet;
use tributary_common::ids::PolicyVersion;
use tributary_common::object::Object;
use tributary_common::reward::outside::Command;
use tributary_common::reward::{Averaging, ObjectKey, Outside, Reward};

use crate::error::ActorError;
use crate::oracle::{Failure, Finding, Oracle, Question};
use crate::pipeline::LOOK;
use crate::progress::Progress;
use board::Board;
use process::Start;

/// That this actor may run the commands of run files, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commands {
    /// A program with arguments that runs the command behind them, within limits, and leaves none of
    /// its processes behind: `tributary guard`.
    pub guard: Vec<OsString>,
}

/// What programs outside say of an object, and what is made of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Values {
    /// Raw values of one measurement.
    pub outputs: usize,
    /// Where there are several of an object: how they become one.
    pub averaging: Option<Averaging>,
}

impl Values {
    /// Of this reward.
    #[must_use]
    pub fn of(reward: &dyn Reward) -> Self {
        let averaging = reward.averaging().cloned();
        let outputs = averaging.as_ref().map(Averaging::outputs);
        Self { outputs: outputs.unwrap_or_else(|| reward.outputs().len()), averaging }
    }
}

/// The programs of a run, at work for this actor.
pub struct Pool {
    board: Arc<Board>,
    thread: Option<thread::JoinHandle<()>>,
}

/// Requests that can be under way at a time.
#[must_use]
pub fn at_a_time(outside: &Outside) -> usize {
    match outside {
        Outside::Command(command) => workers(command),
        Outside::Services(services) => services.concurrency * services.endpoints.len().max(16),
    }
}

fn workers(command: &Command) -> usize {
    let cores = || thread::available_parallelism().map_or(1, NonZero::get);
    command.workers.unwrap_or_else(cores)
}

impl Pool {
    /// Opens seats for whoever measures.
    ///
    /// # Errors
    /// Commands that this actor may not run; a system without threads.
    pub fn start(
        outside: &Outside,
        values: Values,
        commands: Option<&Commands>,
        progress: &Arc<Progress>,
        findings: Sender<Finding>,
    ) -> Result<Self, ActorError> {
        let board = Board::new(outside.asking().clone(), Arc::clone(progress), findings);
        Self::of_board(board, outside, values, commands)
    }

    /// While no program works, what was asked for and is not begun is found to be unavailable, but for
    /// one object when it is time to try again.
    pub fn hand_back(&self) {
        self.board.hand_back();
    }

    fn of_board(
        board: Board,
        outside: &Outside,
        values: Values,
        commands: Option<&Commands>,
    ) -> Result<Self, ActorError> {
        let Values { outputs, averaging } = values;
        let board = Arc::new(board.averaging(averaging));
        let open: Box<dyn FnOnce(&LocalSet) + Send> = match outside {
            Outside::Command(command) => {
                let Some(commands) = commands else {
                    let command = command.command.join(" ");
                    return Err(ActorError::CommandsNotAllowed { command });
                };
                let start = Start::new(command, commands, outputs);
                let (seats, board) = (workers(command), Arc::clone(&board));
                Box::new(move |tasks| seat::open_workers(tasks, &board, &start, seats))
            }
            Outside::Services(services) => {
                let (services, board) = (services.clone(), Arc::clone(&board));
                Box::new(move |tasks| {
                    tasks.spawn_local(addresses::follow(board, services));
                })
            }
        };
        let system = |source| ActorError::System { action: "start the rewards' thread", source };
        let io = runtime::Builder::new_current_thread().enable_all().build().map_err(system)?;
        // Processes that it starts end with this thread: it lives as long as the pool.
        let body = move || {
            let tasks = LocalSet::new();
            open(&tasks);
            io.block_on(tasks);
        };
        let thread = thread::Builder::new().name("rewards".to_owned()).spawn(body);
        Ok(Self { board, thread: Some(thread.map_err(system)?) })
    }
}

/// Measures objects now; a failure that is not about one of them ends that.
///
/// # Errors
/// A program that does not work, commands that may not be run.
pub fn measure(
    outside: &Outside,
    values: Values,
    commands: Option<&Commands>,
    objects: &[Object],
) -> Result<Vec<Result<Vec<f64>, Failure>>, ActorError> {
    let (progress, (found, findings)) = (Arc::<Progress>::default(), bounded(objects.len()));
    let board = Board::new(outside.asking().clone(), Arc::clone(&progress), found).strict();
    let mut pool = Pool::of_board(board, outside, values, commands)?;
    let question = |(ticket, object): (usize, &Object)| Question {
        ticket: ticket as u64,
        key: ObjectKey([0; 32]),
        object: object.clone(),
        policy: PolicyVersion::default(),
    };
    pool.ask(objects.iter().enumerate().map(question).collect());
    let mut outcomes = BTreeMap::new();
    while outcomes.len() < objects.len() {
        match findings.recv_timeout(LOOK) {
            Ok(Finding { ticket, outcome }) => drop(outcomes.insert(ticket, outcome)),
            Err(_) => {
                if let Some(trouble) = progress.reward_trouble() {
                    return Err(ActorError::Program { trouble });
                }
            }
        }
    }
    Ok(outcomes.into_values().map(|outcome| outcome.map(|measured| measured.raw)).collect())
}

impl Oracle for Pool {
    fn ask(&mut self, questions: Vec<Question>) {
        self.board.ask(questions);
    }

    fn stop(&mut self) {
        self.board.stop();
    }
}

impl Drop for Pool {
    /// Ends all seats: whatever they still measure is lost.
    fn drop(&mut self) {
        self.board.close();
        if let Some(thread) = self.thread.take() {
            // A panic of its was said where it happened.
            let _ = thread.join();
        }
    }
}
