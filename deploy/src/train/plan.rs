//! What will be started, where, and with what arguments.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Options;
use super::cores::{self, Division};
use super::start::Start;
use crate::credentials::{CredentialOptions, Target};
use crate::error::CommandError;

/// Everything decided before the first process starts.
pub(super) struct Plan {
    /// The run's name.
    pub(super) name: String,
    /// The run directory; it exists and holds no other run.
    pub(super) directory: PathBuf,
    /// This program.
    pub(super) program: PathBuf,
    /// The learner's program and its arguments.
    pub(super) learner: Vec<OsString>,
    /// The same for one that goes on with the run: the run directory has all that it needs.
    pub(super) learner_again: Vec<OsString>,
    /// Made by `tributary certs`.
    pub(super) certs: Option<PathBuf>,
    /// Who gets which cores.
    pub(super) division: Division,
    /// Whether the weights are the same for any number of actors.
    pub(super) lockstep: bool,
}

impl Plan {
    /// Decides, and makes the run directory.
    pub(super) fn make(options: &Options, start: &Start) -> Result<Self, CommandError> {
        let run_file = &start.described.run_file;
        let program =
            env::current_exe().map_err(CommandError::system("find the path of this program"))?;
        let learner_program = learner_program(&program)?;
        let division = cores::divide(
            cores::available(),
            run_file.actor.threads,
            options.actors.map(|actors| actors as usize),
            options
                .threads
                .map(|threads| threads as usize)
                .or(run_file.run.lockstep.then_some(1))
                .or(run_file.learner.threads),
        );
        let directory = match (&start.resumed, &options.run_dir) {
            (Some(path), _) => {
                make_logs(path)?;
                path.clone()
            }
            (None, Some(path)) => claim(path)?,
            (None, None) => next_free(&run_file.run.name)?,
        };
        let mut learner_again: Vec<OsString> = vec![learner_program.into()];
        learner_again.extend(["--run-dir".into(), directory.clone().into()]);
        learner_again.extend(["--threads".into(), division.learner_threads.to_string().into()]);
        let certs = options.certs.clone();
        if let Some(certs) = &certs {
            learner_again.extend(["--credentials".into(), certs.join("learner").into()]);
        }
        let mut learner = learner_again.clone();
        if start.resumed.is_none() {
            learner.extend(["--run-file".into(), start.path.clone().into()]);
        }
        for (key, value) in &start.overrides {
            learner.extend(["--set".into(), format!("{key}={value}").into()]);
        }
        let addresses = [("--listen", options.listen), ("--http", options.http)];
        for (option, address) in addresses {
            learner.extend(address.into_iter().flat_map(|a| [option.into(), a.to_string().into()]));
        }
        let name = run_file.run.name.clone();
        let lockstep = run_file.run.lockstep;
        let plan =
            Self { name, directory, program, learner, learner_again, certs, division, lockstep };
        Ok(plan)
    }

    /// Where a process writes what it has to say.
    pub(super) fn log(&self, process: &str) -> PathBuf {
        self.directory.join("logs").join(format!("{process}.log"))
    }

    /// The command of an actor.
    pub(super) fn actor(&self, name: &str, address: &str) -> Vec<OsString> {
        let program = self.program.clone().into_os_string();
        // This user's own run file, on this machine.
        let arguments = ["actor", "--learner", address, "--name", name, "--allow-commands"];
        let arguments = arguments.map(OsString::from);
        let credentials = self
            .certs
            .iter()
            .flat_map(|certs| ["--credentials".into(), certs.join("actor-1").into_os_string()]);
        let spool = ["--spool".into(), self.directory.join("spool").into_os_string()];
        [program].into_iter().chain(arguments).chain(spool).chain(credentials).collect()
    }

    /// The learner, once it listens, for questions about the run.
    pub(super) fn target(&self) -> Result<Target, CommandError> {
        let control = self.certs.as_ref().map(|certs| certs.join("control"));
        let options = control.map(|folder| CredentialOptions::of_folder(&folder));
        Target::of_run(&self.directory, options.unwrap_or_default().read()?)
    }
}

/// The learner's program: what TRIBUTARY_LEARNER names, or else the one beside this program that is
/// called as this one with "-learner" behind.
pub(crate) fn learner_program(program: &Path) -> Result<PathBuf, CommandError> {
    let path = env::var_os("TRIBUTARY_LEARNER").map_or_else(
        || {
            let mut name = program.file_name().unwrap_or_default().to_os_string();
            name.push("-learner");
            program.with_file_name(name)
        },
        PathBuf::from,
    );
    if path.is_file() { Ok(path) } else { Err(CommandError::NoLearnerProgram { path }) }
}

/// Takes the directory that the user named, unless a run lives there.
pub(crate) fn claim(path: &Path) -> Result<PathBuf, CommandError> {
    let occupied = ["run.json", "run.toml", "address.json", "slurm/launch.json"]
        .iter()
        .find(|f| path.join(f).exists());
    if let Some(file) = occupied {
        let reason = format!(
            "holds a run already ({file}): go on with it by --resume {}, or give another --run-dir",
            path.display()
        );
        return Err(CommandError::RunDirectory { path: path.to_owned(), reason });
    }
    make_logs(path)?;
    Ok(path.to_owned())
}

/// Makes the first of runs/NAME-1, runs/NAME-2, ... that does not exist.
pub(crate) fn next_free(name: &str) -> Result<PathBuf, CommandError> {
    let runs = Path::new("runs");
    fs::create_dir_all(runs).map_err(CommandError::system("make the directory runs"))?;
    for number in 1_u32.. {
        let path = runs.join(format!("{name}-{number}"));
        match fs::create_dir(&path) {
            Ok(()) => {
                make_logs(&path)?;
                return Ok(path);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(CommandError::system(format!("make {}", path.display()))(error));
            }
        }
    }
    let reason = "cannot be named: too many runs".to_owned();
    Err(CommandError::RunDirectory { path: runs.to_owned(), reason })
}

fn make_logs(path: &Path) -> Result<(), CommandError> {
    let action = format!("make the directory {}", path.join("logs").display());
    fs::create_dir_all(path.join("logs")).map_err(CommandError::system(action))
}
