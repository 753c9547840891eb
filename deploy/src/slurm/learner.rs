//! `tributary slurm learner RUN_DIR` (not for people): what the learner's job does.
//!
//! It gives the learner a certificate for the machine that it runs on, starts it, starts it again when it dies,
//! lets it save and go back into the queue when Slurm says that its time is up, and looks after the actors.

use std::env;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::folder::Folder;
use super::place::Place;
use super::signals::{Asked, Signals};
use super::supervise::Supervisor;
use super::{scheduler, stop};
use crate::error::{BUG, CONFIGURATION, CommandError, TRY_AGAIN, USAGE};
use crate::train::deaths::{Deaths, MOST_DEATHS};
use crate::train::process::{Launch, Process, ending};
use crate::{certs, log};

/// The pause before a learner that is to be tried again is tried again.
const WAIT: Duration = Duration::from_secs(5);
/// The learner may end by the signal that this process is about to see.
const SAME_SIGNAL: Duration = Duration::from_secs(2);
/// For actors, after the end of the run, to leave by themselves.
const LEAVE: Duration = Duration::from_secs(20);

/// Keeps a learner running as a job
#[derive(Args)]
#[command(hide = true)]
pub(super) struct Options {
    /// The run directory
    #[arg(value_name = "RUN_DIR")]
    run: PathBuf,
}

/// Works until the run is over or the place is wanted.
pub(super) async fn run(options: &Options) -> Result<(), CommandError> {
    log::to_stderr("info");
    let folder = Folder::open(&options.run)?;
    if let Some(reason) = folder.over() {
        tracing::info!("the run is over: {reason}");
        return Ok(());
    }
    let signals = Signals::new()?;
    let place = Place::here().await?;
    let supervisor = tokio::spawn(Supervisor::new(folder.clone()).keep());
    let _supervisor = AbortOnDropHandle::new(supervisor);
    let (end, mut job) = Job { folder, place, signals, asked: None, deaths: Deaths::default() }
        .until_the_end()
        .await?;
    job.leave(end).await
}

/// How the learner's stay here ended.
enum End {
    /// The run reached its goal or was stopped.
    Over(String),
    /// It wants to go on in another job.
    Return,
    /// Slurm wanted the place.
    Leave,
    /// It cannot go on.
    Failed { reason: String, exit_code: u8 },
    /// The job goes on at another place, or Slurm holds it for dead.
    Elsewhere,
}

struct Job {
    folder: Folder,
    place: Place,
    signals: Signals,
    asked: Option<Asked>,
    deaths: Deaths,
}

impl Job {
    /// Keeps a learner running.
    async fn until_the_end(mut self) -> Result<(End, Self), CommandError> {
        loop {
            let command = self.command()?;
            let launch = Launch {
                program: self.folder.launched.program.clone(),
                command,
                log: self.folder.run.join("logs/learner.log"),
            };
            let mut process = launch.start().map_err(CommandError::system("start the learner"))?;
            tracing::info!(node = self.place.node, log = %launch.log.display(), "the learner starts");
            let status = self.watch(&mut process).await?;
            let name = self.folder.launched.learner_job();
            if self.asked.is_none() && status.code() != Some(0) && !self.place.is_of(&name).await {
                return Ok((End::Elsewhere, self));
            }
            if let Some(end) = self.judge(status, || process.last_words()) {
                return Ok((end, self));
            }
            tracing::warn!("the learner {}; {}", ending(status), process.last_words());
            // One that waits for something, as for the end of an older learner, is not ill.
            let tries_again = status.code() == Some(i32::from(TRY_AGAIN));
            let pause = if tries_again { Some(WAIT) } else { self.deaths.add(Instant::now()) };
            let Some(pause) = pause else {
                let reason = format!("the learner died {MOST_DEATHS} times within a minute");
                return Ok((End::Failed { reason, exit_code: BUG }, self));
            };
            tokio::select! {
                biased;
                asked = self.signals.next() => {
                    let end = if asked == Asked::Leave { End::Leave } else { End::Return };
                    return Ok((end, self));
                }
                () = sleep(pause) => {}
            }
        }
    }

    /// The learner's program with its arguments; a certificate for this machine is made for it.
    fn command(&self) -> Result<Vec<OsString>, CommandError> {
        let Self { folder: Folder { run, launched }, place, .. } = self;
        let hosts = [place.host.clone(), place.node.clone()];
        certs::make_for_learner(&run.join("certs"), &hosts)?;
        let mut command: Vec<OsString> = vec![launched.learner_program.clone().into()];
        // A run that has begun is known by its directory.
        if !run.join("run.toml").exists() {
            command.extend(["--run-file".into(), launched.run_file.clone().into()]);
            for (key, value) in &launched.overrides {
                command.extend(["--set".into(), format!("{key}={value}").into()]);
            }
        }
        let http = SocketAddr::new(launched.listen.ip(), 0);
        command.extend(["--run-dir".into(), run.clone().into()]);
        command.extend(["--listen".into(), launched.listen.to_string().into()]);
        command.extend(["--http".into(), http.to_string().into()]);
        command.extend(["--advertise".into(), place.host.clone().into()]);
        command.extend(["--credentials".into(), self.folder.credentials("learner").into()]);
        if let (false, Ok(cpus)) = (launched.own_threads, env::var("SLURM_CPUS_PER_TASK")) {
            command.extend(["--threads".into(), cpus.into()]);
        }
        Ok(command)
    }

    /// Waits for the learner's end, and passes on what is asked of it.
    async fn watch(&mut self, process: &mut Process) -> Result<ExitStatus, CommandError> {
        let seen = CommandError::system("wait for the learner");
        let status = loop {
            tokio::select! {
                biased;
                status = process.ended() => break status.map_err(seen)?,
                asked = self.signals.next() => self.pass_on(asked, process).await,
            }
        };
        if self.asked.is_none() && status.code() != Some(0) {
            self.asked = timeout(SAME_SIGNAL, self.signals.next()).await.ok();
        }
        Ok(status)
    }

    async fn pass_on(&mut self, asked: Asked, process: &Process) {
        match (asked, self.asked) {
            (Asked::Return, None) => {
                tracing::info!("time is nearly up: the learner saves a checkpoint and comes back");
                process.terminate();
            }
            (Asked::Leave, None) => {
                tracing::info!("asked to leave: the learner saves a checkpoint");
                // Slurm tells all processes of a job, and a second signal would end the learner at once.
                // Asking twice by its own means does no harm.
                if let Err(error) = stop::ask(&self.folder).await {
                    tracing::info!("the learner is not asked again: {error}");
                }
            }
            _ => {}
        }
        self.asked = Some(asked);
    }

    /// What a learner's end means; `None`: that it is started again.
    fn judge(&self, status: ExitStatus, words: impl Fn() -> String) -> Option<End> {
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        match (code, self.asked) {
            (Some(0), _) => Some(End::Over("the run is complete".to_owned())),
            (_, Some(Asked::Leave)) => Some(End::Leave),
            (_, Some(Asked::Return)) => Some(End::Return),
            _ if self.folder.over().is_some() => Some(End::Over(String::new())),
            (Some(130), None) => Some(End::Over("its learner was stopped".to_owned())),
            (Some(code @ (USAGE | CONFIGURATION)), None) => {
                let reason = format!("the learner {}; {}", ending(status), words());
                Some(End::Failed { reason, exit_code: code })
            }
            _ => None,
        }
    }

    /// Does what is left to do.
    async fn leave(&mut self, end: End) -> Result<(), CommandError> {
        match end {
            End::Over(reason) => {
                self.folder.end(&reason)?;
                tracing::info!("over: {}", self.folder.over().unwrap_or_default());
                self.send_actors_home().await
            }
            End::Failed { reason, exit_code } => {
                self.folder.end(&format!("it failed: {reason}"))?;
                if let Err(error) = self.send_actors_home().await {
                    tracing::warn!("actors may be left: {error}");
                }
                Err(CommandError::Training { reason, exit_code })
            }
            End::Return => self.come_back().await,
            End::Leave => Err(CommandError::Interrupted),
            End::Elsewhere => {
                let reason = "the job goes on elsewhere".to_owned();
                Err(CommandError::Training { reason, exit_code: TRY_AGAIN })
            }
        }
    }

    /// Puts this job back into the queue, or another one like it if that is not allowed.
    async fn come_back(&mut self) -> Result<(), CommandError> {
        let job = &self.place.job;
        match scheduler::requeue(job).await {
            Ok(()) => {
                tracing::info!(job, "requeued");
                // Slurm ends what is left of this life; ending by oneself would look like the job's end.
                let _ = timeout(Duration::from_secs(120), self.signals.end()).await;
                Ok(())
            }
            Err(error) => {
                tracing::warn!("the job cannot be requeued ({error}); another one goes on");
                let after = [format!("--dependency=afterany:{job}")];
                let next = scheduler::submit(&self.folder.file("learner.sh"), &after).await?;
                tracing::info!(job = next, "submitted");
                Ok(())
            }
        }
    }

    /// Cancels actors that wait, and after a while those that do not leave.
    async fn send_actors_home(&self) -> Result<(), CommandError> {
        let names = [self.folder.launched.actor_job()];
        let deadline = Instant::now() + LEAVE;
        loop {
            let tasks = scheduler::tasks(&names).await?;
            let is_late = Instant::now() > deadline;
            let leaving = tasks.iter().filter(|task| task.is_pending() || is_late);
            let ids: Vec<String> = leaving.map(|task| task.id.clone()).collect();
            scheduler::cancel(&ids).await?;
            if tasks.len() == ids.len() {
                return Ok(());
            }
            sleep(Duration::from_secs(2)).await;
        }
    }
}
