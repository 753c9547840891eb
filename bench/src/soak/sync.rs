//! Every system call of a learner is looked at (strace): the ledger must be synced before what it holds is
//! acked.

mod order;
mod trace;
mod wire;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

use super::crowd::listening;
use super::process::Process;
use crate::machine::Machine;
use crate::run::Tributary;

/// How long the run may take under strace.
const PATIENCE: Duration = Duration::from_secs(240);

/// Options of `soak sync`.
#[derive(Args)]
pub(crate) struct Options {
    /// Trajectories of the run
    #[arg(long, default_value_t = 400)]
    generated: u64,
    /// Seed of the run
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The time ends a learner whose actor is gone.
fn run_file(options: &Options) -> String {
    let Options { generated, seed } = options;
    format!(
        r#"[run]
name = "sync"
seed = {seed}
[environment]
kind = "hypergrid"
dimensions = 2
side = 8
[reward]
kind = "original"
durable = true
delay = "5ms"
[policy]
hidden = [4]
[learner]
generated = {generated}
time = "3m"
batch = 16
threads = 1
[actor]
batch = 4
"#
    )
}

pub(super) fn run(options: &Options) -> Result<()> {
    if !Command::new("strace").arg("--version").output().is_ok_and(|out| out.status.success()) {
        println!("SKIPPED: there is no strace here, so nobody saw whether the sync comes first");
        return Ok(());
    }
    println!(
        "a durable run of {} trajectories under strace; {}",
        options.generated,
        Machine::this()
    );
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("trace");
    record(options, folder.path(), &path)?;
    let calls = trace::read(&fs::read_to_string(path)?)?;
    let found = order::check(&calls)?;
    println!(
        "{} acks of {} records, {} writes and {} syncs of the ledger",
        found.acks, found.records, found.writes, found.syncs
    );
    ensure!(found.records >= options.generated, "records are missing in what strace wrote");
    ensure!(found.faults.is_empty(), "acked before the sync: {:#?}", found.faults);
    // What cannot find fault proves nothing.
    let blind: Vec<_> = calls.into_iter().filter(|call| !call.is_sync()).collect();
    let faults = order::check(&blind)?.faults.len();
    ensure!(faults == found.acks, "without the syncs only {faults} acks are found fault with");
    println!(
        "each behind the sync of what it acks; without the syncs {faults} would be found fault with"
    );
    Ok(())
}

fn record(options: &Options, folder: &Path, trace: &Path) -> Result<()> {
    let tributary = Tributary::find()?;
    fs::write(folder.join("run.toml"), run_file(options))?;
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-xx", "--seccomp-bpf", "-s", "1048576"]);
    command.args(["-e", &format!("trace={}", trace::CALLS.join(",")), "-o"]);
    command.arg(trace).arg(tributary.path().with_file_name("tributary-learner"));
    command.arg("--run-file").arg(folder.join("run.toml"));
    command.arg("--run-dir").arg(folder.join("run"));
    let mut learner = Process::start(command, &folder.join("learner.log"))?;
    let address = listening(&mut learner, folder)?;
    let mut command = Command::new(tributary.path());
    command.args(["actor", "--learner", &address, "--threads", "1"]);
    command.env("TRIBUTARY_CACHE", folder).env("XDG_STATE_HOME", folder);
    let mut actor = Process::start(command, &folder.join("actor.log"))?;
    let status = learner.end(PATIENCE)?;
    ensure!(status.success(), "the learner ended with {status}:\n{}", learner.last_words());
    let status = actor.end(PATIENCE)?;
    ensure!(status.success(), "the actor ended with {status}:\n{}", actor.last_words());
    Ok(())
}
