//! `RUN_DIR/slurm`: what was launched and what is wanted, for whoever works for the run on any machine.

use std::env;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::CommandError;

const SCHEMA: u32 = 1;

/// What was launched; it never changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Launched {
    /// Of this file.
    pub(super) schema: u32,
    /// The run's name.
    pub(super) name: String,
    /// Tells its jobs from those of other runs of this name.
    pub(super) id: String,
    /// The program `tributary`.
    pub(super) program: PathBuf,
    /// The program `tributary-learner`.
    pub(super) learner_program: PathBuf,
    /// The run file as the user named it, absolute.
    pub(super) run_file: PathBuf,
    /// What was given with --set.
    pub(super) overrides: Vec<(String, String)>,
    /// Where the learner listens.
    pub(super) listen: SocketAddr,
    /// Whether the run file or --set says how many threads the learner takes.
    pub(super) own_threads: bool,
    /// Whether the pages of metrics are shown and listed for Prometheus.
    #[serde(default)]
    pub(super) metrics: bool,
}

/// The folder of a run that was launched.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    /// The run directory, absolute.
    pub(super) run: PathBuf,
    /// What was launched.
    pub(super) launched: Launched,
}

impl Launched {
    /// The name that the learner's jobs have in Slurm.
    pub(super) fn learner_job(&self) -> String {
        self.job("learner")
    }

    /// The name that the actors' jobs have in Slurm.
    pub(super) fn actor_job(&self) -> String {
        self.job("actor")
    }

    /// For tests.
    #[cfg(test)]
    pub(super) fn example() -> Self {
        Self {
            schema: SCHEMA,
            name: "my grid".to_owned(),
            id: "00c0ffee".to_owned(),
            program: "/opt/tributary's/tributary".into(),
            learner_program: "/opt/tributary-learner".into(),
            run_file: "/home/a/grid.toml".into(),
            overrides: Vec::new(),
            listen: ([0, 0, 0, 0], 0).into(),
            own_threads: false,
            metrics: false,
        }
    }

    fn job(&self, role: &str) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
        let name: String = self.name.chars().take(64).map(plain).collect();
        format!("{name}-{role}-{}", self.id)
    }
}

impl Folder {
    /// The folder of this run directory, which exists.
    pub(super) fn create(run: &Path, launched: Launched) -> Result<Self, CommandError> {
        let run = fs::canonicalize(run).map_err(CommandError::system("find the run directory"))?;
        let folder = Self { run, launched };
        for directory in [folder.logs(), folder.file("metrics")] {
            let action = format!("make the directory {}", directory.display());
            fs::create_dir_all(directory).map_err(CommandError::system(action))?;
        }
        let text = serde_json::to_string_pretty(&folder.launched).map_err(io::Error::from);
        let text = text.map_err(CommandError::system("write launch.json"))?;
        folder.write("launch.json", &text)?;
        Ok(folder)
    }

    /// The folder of a run that was launched.
    pub(super) fn open(run: &Path) -> Result<Self, CommandError> {
        let wrong = |reason: String| CommandError::RunDirectory { path: run.to_owned(), reason };
        let text = fs::read_to_string(run.join("slurm/launch.json")).map_err(|_| {
            wrong(
                "was not launched: it has no slurm/launch.json; see tributary slurm launch".into(),
            )
        })?;
        let launched: Launched = serde_json::from_str(&text)
            .map_err(|error| wrong(format!("has a slurm/launch.json of another form: {error}")))?;
        if launched.schema != SCHEMA {
            let theirs = launched.schema;
            return Err(wrong(format!("has a slurm/launch.json of form {theirs}, not {SCHEMA}")));
        }
        let run = fs::canonicalize(run).map_err(CommandError::system("find the run directory"))?;
        Ok(Self { run, launched })
    }

    /// The folder of the run in ./runs that was launched last.
    pub(super) fn newest() -> Result<Self, CommandError> {
        let runs = env::current_dir().unwrap_or_default().join("runs");
        let launched = |run: &Path| fs::metadata(run.join("slurm/launch.json"))?.modified();
        let entries = fs::read_dir(&runs).into_iter().flatten().flatten();
        let newest = entries
            .filter_map(|entry| Some((launched(&entry.path()).ok()?, entry.path())))
            .max_by_key(|(when, _)| *when);
        match newest {
            Some((_, run)) => Self::open(&run),
            None => {
                let reason = "has no run that was launched on Slurm; name the run directory".into();
                Err(CommandError::RunDirectory { path: runs, reason })
            }
        }
    }

    /// One of its files.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.run.join("slurm").join(name)
    }

    /// Where the jobs' output goes.
    pub(super) fn logs(&self) -> PathBuf {
        self.run.join("slurm/logs")
    }

    /// The certificates and tokens of a role.
    pub(super) fn credentials(&self, role: &str) -> PathBuf {
        self.run.join("certs").join(role)
    }

    /// How many actors are wanted.
    pub(super) fn wanted(&self) -> Result<usize, CommandError> {
        let path = self.file("actors");
        let read = fs::read_to_string(&path);
        let number = read.and_then(|text| text.trim().parse().map_err(io::Error::other));
        number.map_err(|source| CommandError::Unreadable { path, source })
    }

    /// Says how many actors are wanted.
    pub(super) fn want(&self, actors: usize) -> Result<(), CommandError> {
        self.write("actors", &format!("{actors}\n"))
    }

    /// Why nothing is to run any more, if that is so.
    pub(super) fn over(&self) -> Option<String> {
        self.note("over")
    }

    /// Says that nothing is to run any more; the first reason stays.
    pub(super) fn end(&self, reason: &str) -> Result<(), CommandError> {
        match self.over() {
            Some(_) => Ok(()),
            None => self.write("over", &format!("{reason}\n")),
        }
    }

    /// Lets what was over go on.
    pub(super) fn reopen(&self) -> Result<(), CommandError> {
        match fs::remove_file(self.file("over")) {
            Err(error) if !is_missing(&error) => {
                Err(CommandError::system("remove slurm/over")(error))
            }
            _ => Ok(()),
        }
    }

    /// Why the learner does not take actors of this kind, if one was told so.
    pub(super) fn refused(&self) -> Option<String> {
        self.note("refused")
    }

    /// Says that actors of this kind cannot take part.
    pub(super) fn refuse(&self, reason: &str) -> Result<(), CommandError> {
        self.write("refused", &format!("{reason}\n"))
    }

    /// Lets actors be tried again.
    pub(super) fn forgive(&self) {
        // It is rarely there.
        let _ = fs::remove_file(self.file("refused"));
    }

    fn note(&self, name: &str) -> Option<String> {
        let text = fs::read_to_string(self.file(name)).ok()?;
        Some(text.trim().to_owned())
    }

    /// Replaces a file: who reads it sees the old or the new text.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), CommandError> {
        let path = self.file(name);
        // Not only processes of this machine may write at the same time.
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let beside = path.with_extension(format!("{}.{}.tmp", host.trim(), std::process::id()));
        let written = || {
            let mut file = fs::File::create(&beside)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&beside, &path)
        };
        written().map_err(CommandError::system(format!("write {}", path.display())))
    }
}

/// Eight letters that tell the jobs of this run from others.
pub(super) fn new_id() -> Result<String, CommandError> {
    let mut bytes = [0; 4];
    let read = fs::File::open("/dev/urandom").and_then(|mut file| {
        use std::io::Read as _;
        file.read_exact(&mut bytes)
    });
    read.map_err(CommandError::system("read random numbers"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The form of what is launched now.
pub(super) const fn schema() -> u32 {
    SCHEMA
}

/// Whether a failure means that a file is not there.
pub(super) fn is_missing(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound
}
