//! A process that `train` starts: its log, its end.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::child;

/// Bytes at the end of a log in which its last lines are looked for.
const TAIL_BYTES: u64 = 16 * 1024;
/// Lines of a log that are shown.
const TAIL_LINES: usize = 12;

/// How a program is started so that it does not survive this one.
#[derive(Clone)]
pub(crate) struct Launch {
    /// This program.
    pub(crate) program: PathBuf,
    /// The program to start and its arguments.
    pub(crate) command: Vec<OsString>,
    /// Where its output goes.
    pub(crate) log: PathBuf,
}

/// A running process.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Launch {
    /// Starts it in a process group of its own, so that a terminal's ctrl-C reaches this program
    /// alone and the end stays orderly.
    pub(crate) fn start(&self) -> io::Result<Process> {
        let log = fs::OpenOptions::new().create(true).append(true).open(&self.log)?;
        let child = Command::new(&self.program)
            .args(child::arguments(self.command.clone()))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Process { child, log: self.log.clone() })
    }
}

impl Process {
    /// Its number, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id {
            // It may have ended by itself just now.
            let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
        }
    }

    /// Ends it at once.
    pub(crate) async fn kill(&mut self) {
        // Fails only for a process that has ended.
        let _ = self.child.kill().await;
    }

    /// Waits, then asks it to end and waits again, then ends it.
    pub(crate) async fn end(&mut self, patience: Duration) {
        if timeout(patience, self.ended()).await.is_ok() {
            return;
        }
        self.terminate();
        if timeout(Duration::from_secs(2), self.ended()).await.is_err() {
            self.kill().await;
        }
    }

    /// The last lines of its log, indented, each on its own line.
    pub(crate) fn last_words(&self) -> String {
        let text = tail(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        let shown: String = last.iter().map(|line| format!("\n  {line}")).collect();
        format!("the end of {}:{shown}", self.log.display())
    }
}

fn tail(log: &Path) -> io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// How a process ended, for people: "was killed by signal 9", "ended with exit code 70".
pub(crate) fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}
