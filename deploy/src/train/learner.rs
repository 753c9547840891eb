//! The learner's process.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::time::{Instant, interval};

use super::plan::Plan;
use super::process::{Launch, Process, ending};
use crate::credentials::Address;
use crate::error::{BUG, CONFIGURATION, CommandError, TRY_AGAIN, USAGE};

/// How long a learner may take to listen: it loads libtorch and reads the data files.
const START: Duration = Duration::from_secs(120);

/// The learner of a run.
pub(super) struct Learner {
    process: Process,
    address: PathBuf,
}

impl Learner {
    /// Starts it.
    pub(super) fn start(plan: &Plan) -> Result<Self, CommandError> {
        Self::launch(plan, plan.learner.clone())
    }

    /// Starts one that goes on with the run.
    pub(super) fn start_again(plan: &Plan) -> Result<Self, CommandError> {
        Self::launch(plan, plan.learner_again.clone())
    }

    fn launch(plan: &Plan, command: Vec<OsString>) -> Result<Self, CommandError> {
        let program = plan.program.clone();
        let launch = Launch { program, command, log: plan.log("learner") };
        let process = launch.start().map_err(CommandError::system("start the learner"))?;
        Ok(Self { process, address: plan.directory.join("address.json") })
    }

    /// Waits until it listens; its address for actors.
    pub(super) async fn address(&mut self) -> Result<String, CommandError> {
        let deadline = Instant::now() + START;
        let mut looks = interval(Duration::from_millis(20));
        loop {
            tokio::select! {
                biased;
                status = self.process.ended() => return Err(self.failed(self.seen(status)?)),
                _ = looks.tick() => {}
            }
            let text = fs::read_to_string(&self.address).unwrap_or_default();
            let address: Option<Address> = serde_json::from_str(&text).ok();
            if let Some(address) = address.filter(|a| Some(a.pid) == self.process.id()) {
                return Ok(address.grpc);
            }
            if Instant::now() > deadline {
                let seconds = START.as_secs();
                let words = self.process.last_words();
                let reason = format!("the learner does not listen after {seconds} s; {words}");
                self.process.kill().await;
                return Err(CommandError::Training { reason, exit_code: TRY_AGAIN });
            }
        }
    }

    /// Waits for its end.
    pub(super) async fn ended(&mut self) -> Result<ExitStatus, CommandError> {
        let status = self.process.ended().await;
        self.seen(status)
    }

    /// Asks it to drain, save and end.
    pub(super) fn terminate(&self) {
        self.process.terminate();
    }

    /// Ends it at once.
    pub(super) async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// The error of a learner that ended like this, with its last words.
    pub(super) fn failed(&self, status: ExitStatus) -> CommandError {
        let words = self.process.last_words();
        let reason = format!("the learner {}; {words}", ending(status));
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        let exit_code = match code {
            // The arguments are ours: a usage error is a bug of this program.
            Some(USAGE) | None => BUG,
            Some(code) if [BUG, TRY_AGAIN, CONFIGURATION].contains(&code) => code,
            Some(_) => BUG,
        };
        CommandError::Training { reason, exit_code }
    }

    /// The error of a learner that died too often.
    pub(super) fn given_up(&self, status: ExitStatus, deaths: usize) -> CommandError {
        let (words, ending) = (self.process.last_words(), ending(status));
        let reason = format!(
            "the learner died {deaths} times within a minute and is given up: it {ending}; {words}"
        );
        CommandError::Training { reason, exit_code: BUG }
    }

    fn seen(&self, status: io::Result<ExitStatus>) -> Result<ExitStatus, CommandError> {
        status.map_err(CommandError::system("wait for the learner"))
    }
}
