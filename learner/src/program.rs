//! The program around a learner: command line, logs, signals, exit codes.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use clap::error::ErrorKind;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use tributary_common::registry::Registry;
use tributary_proto::limits;

use crate::app::{self, Outcome};
use crate::error::LearnerError;
use crate::options::Options;
use crate::panics;
use crate::prepare::Prepared;
use crate::torch;
use crate::train::Trainer;
use crate::training::{TrainError, Training};

const USAGE: u8 = 64;
const INTERRUPTED: u8 = 130;
/// Threads for the network, at most; training, ingest and evaluation have their own. On two cores one is enough,
/// which need not be woken by the other.
const IO_THREADS: usize = 2;

/// The whole program `tributary-learner`, for environments and rewards of this registry. A user's
/// crate with its own calls it as `tributary_learner::main(registry())`.
pub fn main(registry: Registry) -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            let is_asked_for =
                matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // Nothing can be done if the terminal is gone.
            let _ = error.print();
            return ExitCode::from(if is_asked_for { 0 } else { USAGE });
        }
    };
    log_to_stderr();
    panics::end_the_process();
    match run(&options, &registry) {
        Ok(Outcome::Complete) => ExitCode::SUCCESS,
        Ok(Outcome::Interrupted) => ExitCode::from(INTERRUPTED),
        Err(error) => {
            eprintln!("tributary-learner: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // Below that they show frames and headers, and with them tokens.
    let quiet = ["h2=info", "hyper=info", "rustls=info"];
    let quiet = quiet.into_iter().filter_map(|directive| directive.parse().ok());
    let filter = quiet.fold(filter, EnvFilter::add_directive);
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

fn run(options: &Options, registry: &Registry) -> Result<Outcome, LearnerError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(IO_THREADS.min(cores.div_ceil(2)))
        .thread_name("io")
        .enable_all()
        .build()
        .map_err(|source| LearnerError::System { what: "no runtime", source })?;
    let outcome = runtime.block_on(async {
        let interrupt = CancellationToken::new();
        listen_to_signals(interrupt.clone())?;
        app::run(options, registry, libtorch, interrupt).await
    });
    // What is still open after the learner's own deadlines is cut.
    runtime.shutdown_background();
    outcome
}

/// Training with libtorch. By default on one thread for each core.
fn libtorch(prepared: &Prepared) -> Result<Box<dyn Training>, TrainError> {
    let run_file = &prepared.facts.run_file;
    // Sums of several threads depend on how they are divided.
    let threads = if run_file.run.lockstep { Some(1) } else { run_file.learner.threads };
    if let Some(threads) = threads {
        torch::set_threads(threads);
    }
    Ok(Box::new(Trainer::new(run_file, &prepared.task, prepared.facts.incarnation)?))
}

/// The first SIGINT or SIGTERM ends the run in order, the second ends the program at once.
fn listen_to_signals(interrupt: CancellationToken) -> Result<(), LearnerError> {
    let no_signals = |source| LearnerError::System { what: "no signals", source };
    let mut interrupts = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let mut terminations = signal(SignalKind::terminate()).map_err(no_signals)?;
    tokio::spawn(async move {
        let mut last: Option<Instant> = None;
        loop {
            tokio::select! {
                _ = interrupts.recv() => {}
                _ = terminations.recv() => {}
            }
            if last.is_some_and(|last| last.elapsed() < limits::SAME_SIGNAL) {
                continue;
            }
            last = Some(Instant::now());
            if interrupt.is_cancelled() {
                eprintln!("tributary-learner: a second signal; leaving at once");
                std::process::exit(INTERRUPTED.into());
            }
            interrupt.cancel();
        }
    });
    Ok(())
}
