//! Slurm's commands: `sbatch`, `squeue`, `scancel`, `scontrol`.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::folder::is_missing;
use crate::error::CommandError;

/// A controller that is busy or restarts is waited for by the commands themselves, for less than this.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between what `squeue` is asked for: id, name, state, reason, node, time left.
const FORMAT: &str = "%i|%j|%T|%r|%N|%L";
/// Tasks of one array: below what Slurm allows where nobody changed it (MaxArraySize).
pub(super) const MOST_TASKS: usize = 500;

/// A job, or a task of an array, that Slurm knows and that has not ended for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    /// "17" or "18_3".
    pub(super) id: String,
    /// The job's name.
    pub(super) name: String,
    /// In Slurm's words: PENDING, RUNNING, COMPLETING, ...
    pub(super) state: String,
    /// Why it waits, in Slurm's words.
    pub(super) reason: String,
    /// Where it runs.
    pub(super) node: String,
    /// Until its time limit.
    pub(super) left: String,
}

impl Task {
    /// It waits for its turn.
    pub(super) fn is_pending(&self) -> bool {
        self.state == "PENDING"
    }

    /// Its processes are being ended; it may come back if it was requeued.
    pub(super) fn is_ending(&self) -> bool {
        self.state == "COMPLETING"
    }

    /// Its processes run.
    pub(super) fn is_running(&self) -> bool {
        self.state == "RUNNING"
    }

    /// For tests.
    #[cfg(test)]
    pub(super) fn example(id: &str, state: &str) -> Self {
        Self {
            id: id.to_owned(),
            name: "grid-actor-1".to_owned(),
            state: state.to_owned(),
            reason: String::new(),
            node: String::new(),
            left: String::new(),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split('|').map(|field| field.trim().to_owned());
        let mut next = || fields.next();
        Some(Self {
            id: next()?,
            name: next()?,
            state: next()?,
            reason: next()?,
            node: next()?,
            left: next()?,
        })
    }
}

/// The tasks of jobs of these names.
pub(super) async fn tasks(names: &[String]) -> Result<Vec<Task>, CommandError> {
    let names = format!("--name={}", names.join(","));
    let text = run("squeue", &["--noheader", "--array", &names, "--format", FORMAT]).await?;
    Ok(text.lines().filter_map(Task::parse).collect())
}

/// Submits a script; the job's id.
pub(super) async fn submit(script: &Path, options: &[String]) -> Result<String, CommandError> {
    let script = script.display().to_string();
    let options = options.iter().map(String::as_str);
    let arguments: Vec<&str> =
        ["--parsable"].into_iter().chain(options).chain([&*script]).collect();
    let text = run("sbatch", &arguments).await?;
    // "id;cluster" where there are several.
    Ok(text.trim().split(';').next().unwrap_or_default().to_owned())
}

/// Submits arrays with so many tasks in all; their ids.
pub(super) async fn submit_tasks(
    script: &Path,
    mut tasks: usize,
    options: &[String],
) -> Result<Vec<String>, CommandError> {
    let mut ids = Vec::new();
    while tasks > 0 {
        let now = tasks.min(MOST_TASKS);
        let array = format!("--array=0-{}", now - 1);
        let options: Vec<String> = [array].into_iter().chain(options.iter().cloned()).collect();
        ids.push(submit(script, &options).await?);
        tasks -= now;
    }
    Ok(ids)
}

/// Cancels tasks: SIGTERM, and SIGKILL after the cluster's KillWait (30 s where nobody changed it).
pub(super) async fn cancel(ids: &[String]) -> Result<(), CommandError> {
    if ids.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let quietly: Vec<&str> = ["--quiet"].into_iter().chain(ids).collect();
    run("scancel", &quietly).await.map(drop)
}

/// Puts a job that runs back into the queue: its processes are ended, it starts again.
pub(super) async fn requeue(id: &str) -> Result<(), CommandError> {
    run("scontrol", &["requeue", id]).await.map(drop)
}

/// The name or address by which other nodes reach a node.
pub(super) async fn address_of_node(node: &str) -> Result<Option<String>, CommandError> {
    let text = run("scontrol", &["show", "node", node]).await?;
    let address = text.split_whitespace().find_map(|word| word.strip_prefix("NodeAddr="));
    Ok(address.map(str::to_owned))
}

/// Whether jobs can be submitted from here.
pub(super) async fn is_there() -> Result<(), CommandError> {
    run("sbatch", &["--version"]).await.map(drop)
}

/// Runs one of Slurm's commands; what it printed.
async fn run(program: &str, arguments: &[&str]) -> Result<String, CommandError> {
    let failed = |reason: String| CommandError::Slurm { program: program.to_owned(), reason };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    // Inside a job they describe this job, and would describe those that it submits.
    let inherited = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
    for name in inherited.filter(|name| describes_a_job(name)) {
        command.env_remove(name);
    }
    let output = timeout(PATIENCE, command.output()).await;
    let output = output.map_err(|_| failed(format!("no answer for {} s", PATIENCE.as_secs())))?;
    let output = output.map_err(|error| failed(not_started(program, &error)))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(failed(if words.is_empty() { output.status.to_string() } else { words }));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn describes_a_job(name: &str) -> bool {
    let kept = ["SLURM_CONF", "SLURM_CLUSTERS"];
    (name.starts_with("SLURM_") || name.starts_with("SQUEUE_")) && !kept.contains(&name)
}

fn not_started(program: &str, error: &io::Error) -> String {
    if is_missing(error) {
        format!("there is no program {program}: do this on a machine of the cluster")
    } else {
        error.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_queue_become_tasks() {
        let task = Task::parse("2_16|grid-actor-1|PENDING|Resources||12:00:00");
        let task = task.map(|task| (task.is_pending(), task.id, task.node, task.left));
        assert_eq!(task, Some((true, "2_16".into(), String::new(), "12:00:00".into())));
        assert_eq!(Task::parse("slurm_load_jobs error"), None);
    }

    #[test]
    fn a_job_that_submits_does_not_describe_itself_to_its_children() {
        for name in ["SLURM_CPUS_PER_TASK", "SLURM_JOB_ID", "SQUEUE_FORMAT"] {
            assert!(describes_a_job(name), "{name}");
        }
        for name in ["SLURM_CONF", "SBATCH_ACCOUNT", "PATH"] {
            assert!(!describes_a_job(name), "{name}");
        }
    }
}
