//! A worker: a process of the command, behind its guard.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, sleep, timeout};
use tributary_common::object::Object;
use tributary_common::plain_text::plain_up_to;
use tributary_common::reward::outside::{self, Asking};

use super::Commands;
use super::lines::{self, Line};
use super::reply::{self, Reply};
use super::seat::{Opens, Seated, slow};
use crate::oracle::{Failure, FailureKind};

/// A reply may have so many bytes, and as many more for each object.
const REPLY_BYTES: usize = 64 << 10;
/// A line of stderr is cut here.
const WORDS_BYTES: usize = 4_096;
/// Lines of stderr that are kept for the reason of a failure.
const LAST_WORDS: usize = 3;
/// Lines of stderr that a worker may have logged in a second.
const WORDS_A_SECOND: u32 = 20;
/// Beyond its grace, a worker that was killed is gone within this time; else it is left to itself.
const REAPED_WITHIN: Duration = Duration::from_secs(10);

/// How workers of one seat are started.
#[derive(Clone)]
pub(super) struct Start {
    /// For logs.
    name: String,
    /// The guard and what it is told.
    program: Vec<OsString>,
    folder: PathBuf,
    start_timeout: Duration,
    grace: Duration,
    asking: Asking,
    outputs: usize,
}

impl Start {
    pub(super) fn new(command: &outside::Command, commands: &Commands, outputs: usize) -> Self {
        let mut program = commands.guard.clone();
        let mut option = |name: &str, value: u64| program.push(format!("--{name}={value}").into());
        option("parent", u64::from(std::process::id()));
        option("grace", u64::try_from(command.grace.as_millis()).unwrap_or(u64::MAX));
        command.memory.into_iter().for_each(|bytes| option("memory", bytes.0));
        command.open_files.into_iter().for_each(|files| option("open-files", files));
        program.push("--".into());
        program.extend(command.command.iter().map(OsString::from));
        Self {
            name: String::new(),
            program,
            folder: command.folder.clone(),
            start_timeout: command.start_timeout,
            grace: command.grace,
            asking: command.asking.clone(),
            outputs,
        }
    }

    /// The same for the seat with this number.
    pub(super) fn of_seat(&self, number: usize) -> Self {
        Self { name: format!("worker-{number}"), ..self.clone() }
    }

    fn spawn(&self) -> io::Result<Child> {
        let number = self.name.rsplit('-').next().unwrap_or_default();
        Command::new(&self.program[0])
            .args(&self.program[1..])
            .current_dir(&self.folder)
            .env("TRIBUTARY_WORKER", number)
            // Else Python keeps replies to itself until there are many.
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A terminal's ctrl-C is for the actor, which ends its workers in order.
            .process_group(0)
            .spawn()
    }
}

impl Opens for Start {
    type Seated = Process;

    async fn open(&mut self) -> Result<Process, Failure> {
        let unavailable = |error: io::Error| {
            let reason = format!("cannot start a worker in {}: {error}", self.folder.display());
            Failure::new(FailureKind::Unavailable, reason)
        };
        let mut child = self.spawn().map_err(unavailable)?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let words = Rc::new(RefCell::new(VecDeque::new()));
        if let Some(stderr) = child.stderr.take() {
            tokio::task::spawn_local(log(self.name.clone(), stderr, Rc::clone(&words)));
        }
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
            return Err(unavailable(io::Error::other("it has no pipes")));
        };
        let output = BufReader::new(stdout);
        Ok(Process { start: self.clone(), child, stdin: Some(stdin), output, words, requests: 0 })
    }
}

/// A running worker.
pub(super) struct Process {
    start: Start,
    /// The guard.
    child: Child,
    stdin: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    words: Rc<RefCell<VecDeque<String>>>,
    /// Answered.
    requests: u64,
}

impl Seated for Process {
    fn is_there(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    async fn ask(&mut self, objects: &[&Object]) -> Result<Vec<Reply>, Failure> {
        let id = self.requests;
        let request = reply::request(id, objects);
        let asking = &self.start.asking;
        let mut limit = asking.limit(objects.len());
        if id == 0 {
            limit = limit.saturating_add(self.start.start_timeout);
        }
        let slow = slow(&self.start.name, asking, objects);
        let most = REPLY_BYTES.saturating_mul(1 + objects.len());
        let Self { stdin, output, .. } = self;
        // A worker may begin to answer before it has read all.
        let exchange = async {
            let write = async {
                if let Some(stdin) = stdin {
                    // A broken pipe is known by the end of the output.
                    let _ = stdin.write_all(&request).await;
                    let _ = stdin.flush().await;
                }
            };
            tokio::join!(write, lines::next(output, most)).1
        };
        let line = tokio::select! {
            biased;
            line = exchange => line,
            () = sleep(limit) => {
                let (objects, seconds) = (objects.len(), limit.as_secs_f64());
                let reason = format!("no answer for {objects} objects within {seconds} s");
                return Err(self.failure(FailureKind::TimeOut, reason));
            }
            never = slow => match never {},
        };
        let garbage = |reason: String| Failure::new(FailureKind::Garbage, reason);
        match line {
            Ok(Line::Whole(line)) => {
                let read = reply::read(&line, id, objects.len(), self.start.outputs);
                let replies = read.map_err(garbage)?;
                self.requests += 1;
                Ok(replies)
            }
            Ok(Line::TooLong(_)) => {
                Err(garbage(format!("it wrote a line of more than {most} bytes")))
            }
            Ok(Line::End(rest)) => {
                let half = if rest.is_empty() { "" } else { ", in the middle of a line" };
                let ending = self.ending().await;
                Err(self.failure(FailureKind::Crash, format!("it {ending}{half}")))
            }
            Err(error) => Err(self.failure(FailureKind::Crash, error.to_string())),
        }
    }

    fn has_answered(&self) -> bool {
        self.requests > 0
    }

    /// Lets it end by itself, when it sees that there is no more to read.
    async fn end(mut self) {
        drop(self.stdin.take());
        if timeout(self.start.grace, self.child.wait()).await.is_err() {
            self.kill().await;
        }
    }

    async fn kill(mut self) {
        self.terminate();
        let limit = self.start.grace.saturating_add(REAPED_WITHIN);
        if !matches!(timeout(limit, self.child.wait()).await, Ok(Ok(_))) {
            tracing::error!(worker = self.start.name, "the worker cannot be killed");
        }
    }
}

impl Process {
    /// Asks the guard to end it, with all that it started.
    fn terminate(&self) {
        if let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok()) {
            // It may have ended just now.
            let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
        }
    }

    /// How it ended. Whoever closes its output without ending is no worker any more.
    async fn ending(&mut self) -> String {
        match timeout(Duration::from_secs(1), self.child.wait()).await {
            Ok(Ok(status)) => described(status),
            Ok(Err(error)) => format!("cannot be waited for: {error}"),
            Err(_) => "closed its output".to_owned(),
        }
    }

    /// A failure with the last words of the program.
    fn failure(&self, kind: FailureKind, mut reason: String) -> Failure {
        let words = self.words.borrow();
        if !words.is_empty() {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            reason = format!("{reason}; its last words: {}", words.join(" | "));
        }
        Failure::new(kind, reason)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.terminate();
    }
}

/// For people. The guard ends as a shell does: 128 and the number of the signal.
fn described(status: ExitStatus) -> String {
    match status.code() {
        Some(code @ 129..=192) => format!("was killed by signal {}", code - 128),
        Some(code) => format!("ended with exit code {code}"),
        None => "was killed with its guard".to_owned(),
    }
}

/// Logs what a worker says, and keeps its last words.
async fn log(worker: String, stderr: ChildStderr, words: Rc<RefCell<VecDeque<String>>>) {
    let mut source = BufReader::new(stderr);
    let (mut second, mut said, mut unsaid) = (Instant::now(), 0, 0_u64);
    while let Ok(line) = lines::next(&mut source, WORDS_BYTES).await {
        let (bytes, is_end) = match line {
            Line::Whole(bytes) | Line::TooLong(bytes) => (bytes, false),
            Line::End(bytes) => (bytes, true),
        };
        if second.elapsed() >= Duration::from_secs(1) {
            if unsaid > 0 {
                tracing::info!(worker, "... and {unsaid} lines more");
            }
            (second, said, unsaid) = (Instant::now(), 0, 0);
        }
        if !bytes.is_empty() {
            let text = plain_up_to(&String::from_utf8_lossy(&bytes), 500);
            if said < WORDS_A_SECOND {
                tracing::info!(worker, "{text}");
                said += 1;
            } else {
                unsaid += 1;
            }
            let mut words = words.borrow_mut();
            words.push_back(text);
            if words.len() > LAST_WORDS {
                words.pop_front();
            }
        }
        if is_end {
            return;
        }
    }
}
