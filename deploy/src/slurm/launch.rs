//! `tributary slurm launch`: from a run file to jobs in the queue.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use tributary_common::registry::Registry;
use tributary_common::run_file::RunFile;

use super::folder::{self, Folder, Launched};
use super::{scheduler, script};
use crate::error::CommandError;
use crate::run_file::{KEYS, RunFileOptions};
use crate::{certs, check, control, output, train};

/// Submits a learner and actors to Slurm
///
/// First the run file is checked as `tributary check` does. Then the run directory gets certificates and
/// tokens for this run, the batch scripts of the learner and the actors, and the jobs are submitted. The
/// actors find the learner by the run directory, wherever it runs. The learner's job saves a checkpoint when
/// its time is up and puts itself back into the queue; it also submits actors again that Slurm does not
/// bring back.
#[derive(Args)]
#[command(after_help = KEYS)]
pub(super) struct Options {
    #[command(flatten)]
    run_file: RunFileOptions,
    /// Options of sbatch for the learner's job, for example "--gres=gpu:1 -c 8 -t 2-0"
    #[arg(long, value_name = "SBATCH OPTIONS", default_value = "", allow_hyphen_values = true,
        value_parser = one_line)]
    learner: String,
    /// How many actors; `tributary slurm scale` changes it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=4096))]
    actors: u16,
    /// Options of sbatch for each actor, for example "-c 1 -p spot -t 12:00:00"; with -c N an actor has N
    /// rollout threads
    #[arg(long, value_name = "SBATCH OPTIONS", default_value = "", allow_hyphen_values = true,
        value_parser = one_line)]
    actor: String,
    /// Where the run will live, on a file system that all machines see; may not hold another run
    /// [default: runs/NAME-1, -2, ...]
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// Where the learner listens on its machine; port 0: a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "0.0.0.0:0")]
    listen: SocketAddr,
    /// Each actor shows /metrics at a free port of its machine, to whoever reaches it, and the pages of actors and
    /// learner are listed in RUN_DIR/slurm/metrics, for Prometheus
    #[arg(long)]
    metrics: bool,
    /// Prints the scripts, and neither writes nor submits anything
    #[arg(long)]
    dry_run: bool,
}

/// The options are a line of a script.
fn one_line(text: &str) -> Result<String, String> {
    if text.chars().any(char::is_control) {
        return Err("options of sbatch are one line, without control characters".to_owned());
    }
    Ok(text.to_owned())
}

/// Checks, writes and submits.
pub(super) fn run(options: Options, registry: &Registry) -> Result<(), CommandError> {
    let described = options.run_file.read(registry)?;
    described.initial(&options.run_file.path)?;
    check::examine(&described.task, check::Thoroughness::Quick)?;
    let launched = launched(&options, &described.run_file)?;
    if options.dry_run {
        return output::print(&dry(&options, launched)?);
    }
    control::block_on(scheduler::is_there())?;
    let run = match &options.run_dir {
        Some(path) => train::claim(path)?,
        None => train::next_free(&launched.name)?,
    };
    let folder = write(&options, &run, launched)?;
    match control::block_on(submit(options.actors.into(), &folder)) {
        Ok(jobs) => output::print(&page(options.actors.into(), &run, &jobs)),
        Err(error) => {
            undo(&folder);
            Err(error)
        }
    }
}

fn launched(options: &Options, run_file: &RunFile) -> Result<Launched, CommandError> {
    let program =
        env::current_exe().map_err(CommandError::system("find the path of this program"))?;
    let path = &options.run_file.path;
    Ok(Launched {
        schema: folder::schema(),
        name: run_file.run.name.clone(),
        id: folder::new_id()?,
        learner_program: train::learner_program(&program)?,
        program,
        run_file: fs::canonicalize(path)
            .map_err(|source| CommandError::Unreadable { path: path.clone(), source })?,
        overrides: options.run_file.overrides.clone(),
        listen: options.listen,
        own_threads: run_file.run.lockstep || run_file.learner.threads.is_some(),
        metrics: options.metrics,
    })
}

/// The scripts, as they would be written.
fn dry(options: &Options, launched: Launched) -> Result<String, CommandError> {
    let name = format!("runs/{}-1", launched.name);
    let run = options.run_dir.clone().unwrap_or_else(|| name.into());
    let run = std::path::absolute(run).map_err(CommandError::system("find this directory"))?;
    let folder = Folder { run, launched };
    let mut text = String::new();
    let scripts = [
        ("learner.sh", script::learner(&folder, &options.learner), "sbatch".to_owned()),
        ("actor.sh", script::actor(&folder, &options.actor), array(options.actors)),
    ];
    for (name, script, command) in scripts {
        let path = folder.file(name);
        text += &format!("# {command} {}\n{script}\n", path.display());
    }
    Ok(text)
}

fn array(actors: u16) -> String {
    match actors {
        0 => "later: sbatch".to_owned(),
        some => format!("sbatch --dependency=after:LEARNER --array=0-{}", some - 1),
    }
}

/// Everything that the jobs need.
fn write(options: &Options, run: &Path, launched: Launched) -> Result<Folder, CommandError> {
    let name = launched.name.clone();
    let folder = Folder::create(run, launched)?;
    certs::make_for_run(&folder.run.join("certs"), &name)?;
    folder.want(options.actors.into())?;
    folder.write("learner.sh", &script::learner(&folder, &options.learner))?;
    folder.write("actor.sh", &script::actor(&folder, &options.actor))?;
    Ok(folder)
}

/// Jobs that were submitted.
pub(super) struct Jobs {
    learner: String,
    actors: Vec<String>,
}

/// Submits a learner and so many actors that start behind it, or nothing.
pub(super) async fn submit(actors: usize, folder: &Folder) -> Result<Jobs, CommandError> {
    let learner = scheduler::submit(&folder.file("learner.sh"), &[]).await?;
    let dependency = [format!("--dependency=after:{learner}")];
    match scheduler::submit_tasks(&folder.file("actor.sh"), actors, &dependency).await {
        Ok(actors) => Ok(Jobs { learner, actors }),
        Err(error) => {
            let names = [folder.launched.learner_job(), folder.launched.actor_job()];
            let tasks = scheduler::tasks(&names).await.unwrap_or_default();
            let ids: Vec<String> = tasks.into_iter().map(|task| task.id).collect();
            if let Err(error) = scheduler::cancel(&ids).await {
                eprintln!("warning: job {learner} is still there: {error}");
            }
            Err(error)
        }
    }
}

/// Makes the directory free again.
fn undo(folder: &Folder) {
    let files: [OsString; 3] = ["slurm".into(), "certs".into(), "logs".into()];
    for file in files {
        // What is left behind is in nobody's way.
        let _ = fs::remove_dir_all(folder.run.join(file));
    }
    let _ = fs::remove_dir(&folder.run);
}

/// What was submitted, and what may be done next.
pub(super) fn page(number: usize, run: &Path, jobs: &Jobs) -> String {
    let run = run.display();
    let actors = match jobs.actors.as_slice() {
        [] => "no actors yet".to_owned(),
        ids => format!("{number} actors are job {}", ids.join(", ")),
    };
    format!(
        "the learner is job {}, {actors}, in {run}

  tributary slurm status {run}
  tributary slurm scale {run} --actors {}
  tributary slurm stop {run}
",
        jobs.learner,
        2 * number.max(1),
    )
}
