//! `tributary guard` (not for people): runs a command within limits, and leaves none of its processes
//! behind, however it, or the actor that started it, ends.
//!
//! The guard is the *subreaper* of whatever the command starts: processes that are left by their
//! parents, or that went into a session of their own, become its children, and it ends them all. It
//! gets SIGTERM when the actor dies, and the command gets SIGKILL when the guard does.

mod descendants;

use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{self, Child, Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{Pid, getppid};
use tributary_actor::Commands;

use crate::error::CommandError;

/// How often a command that was asked to end is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// The exit code of a shell for a command that cannot be started.
const NOT_STARTED: i32 = 127;

/// Runs a command within limits and leaves none of its processes behind
#[derive(Args)]
#[command(hide = true)]
pub(crate) struct Options {
    /// The process that this one may not survive
    #[arg(long)]
    parent: i32,
    /// Milliseconds between SIGTERM and SIGKILL
    #[arg(long, default_value_t = 2_000)]
    grace: u64,
    /// Bytes of data that each process may hold
    #[arg(long)]
    memory: Option<u64>,
    /// Files that each process may have open
    #[arg(long)]
    open_files: Option<u64>,
    /// Becomes the command: the second step, within the limits
    #[arg(long)]
    becomes: bool,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// How an actor of this program runs commands.
///
/// # Errors
/// The path of this program is not known.
pub(crate) fn commands() -> Result<Commands, CommandError> {
    let program =
        std::env::current_exe().map_err(CommandError::system("find the path of this program"))?;
    Ok(Commands { guard: vec![program.into(), "guard".into()] })
}

/// Runs the command; ends with its exit code, or as a shell does after a signal.
pub(crate) fn run(options: &Options) -> Result<(), CommandError> {
    let signal = if options.becomes { Signal::SIGKILL } else { Signal::SIGTERM };
    let awaited: SigSet =
        [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD].into_iter().collect();
    let system =
        |what: &'static str| move |error: Errno| CommandError::system(what)(io::Error::from(error));
    if !options.becomes {
        // Before anything can be missed.
        awaited.thread_block().map_err(system("block signals"))?;
    }
    prctl::set_pdeathsig(signal).map_err(system("follow the parent process"))?;
    // The parent may have ended before the kernel knew.
    if getppid() != Pid::from_raw(options.parent) {
        return Err(CommandError::Interrupted);
    }
    if options.becomes {
        return Err(become_command(options));
    }
    prctl::set_child_subreaper(true).map_err(system("adopt what the command starts"))?;
    let child = start(options).map_err(CommandError::system("start the command"))?;
    let status = watch(child, &awaited, Duration::from_millis(options.grace));
    process::exit(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()))
}

/// Starts this program again, in a process group of its own, to become the command.
fn start(options: &Options) -> io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("guard").arg("--becomes").arg(format!("--parent={}", process::id()));
    command.args(options.memory.map(|bytes| format!("--memory={bytes}")));
    command.args(options.open_files.map(|files| format!("--open-files={files}")));
    command.arg("--").args(&options.command).process_group(0).spawn()
}

/// Sets the limits and becomes the command; returns only when that fails.
fn become_command(options: &Options) -> CommandError {
    let limit = |resource, bound: Option<u64>| {
        bound.map_or(Ok(()), |bound| setrlimit(resource, bound, bound))
    };
    let limited = limit(Resource::RLIMIT_DATA, options.memory)
        .and_then(|()| limit(Resource::RLIMIT_NOFILE, options.open_files))
        .and_then(|()| limit(Resource::RLIMIT_CORE, Some(0)))
        .and_then(|()| SigSet::all().thread_unblock());
    if let Err(error) = limited {
        return CommandError::system("limit the command")(error.into());
    }
    let Some((program, arguments)) = options.command.split_first() else {
        return CommandError::Interrupted;
    };
    let error = Command::new(program).args(arguments).exec();
    eprintln!("cannot start {}: {error}", program.display());
    process::exit(NOT_STARTED)
}

/// Waits for the end of the command, or for a signal to end it; then ends all that is left of it.
fn watch(mut child: Child, awaited: &SigSet, grace: Duration) -> ExitStatus {
    let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or_default());
    loop {
        let ended = matches!(child.try_wait(), Ok(Some(_)) | Err(_));
        if ended {
            break;
        }
        adopt(group);
        match awaited.wait() {
            Ok(Signal::SIGCHLD) | Err(_) => {}
            Ok(_) => {
                end(&mut child, group, grace);
                break;
            }
        }
    }
    // Those that it started and that are still in its group, then those that left it.
    let _ = killpg(group, Signal::SIGKILL);
    let status = child.wait().unwrap_or_default();
    descendants::end_all();
    status
}

/// Asks the command to end, and ends it when it has not.
fn end(child: &mut Child, group: Pid, grace: Duration) {
    let _ = killpg(group, Signal::SIGTERM);
    let start = Instant::now();
    while start.elapsed() < grace {
        if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
            return;
        }
        adopt(group);
        sleep(LOOK);
    }
    let _ = kill(group, Signal::SIGKILL);
}

/// Buries processes that became this one's children; the command itself is waited for by whoever
/// wants to know how it ended.
fn adopt(command: Pid) {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    while let Ok(status) = waitid(Id::All, flags) {
        match status {
            WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _) if pid != command => {
                let _ = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG);
            }
            _ => return,
        }
    }
}
