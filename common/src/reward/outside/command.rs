//! `kind = "command"`: processes that each actor starts.

use std::path::PathBuf;
use std::time::Duration;

use super::{Asking, Worth};
use crate::run_file::{ByteSize, Config, Keys};

/// A program that measures, started as often as there are workers.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Where it runs.
    pub folder: PathBuf,
    /// Processes of each actor; one for each core when left out.
    pub workers: Option<usize>,
    /// What a process may take, beyond the time of its first request, until its first answer.
    pub start_timeout: Duration,
    /// How long a process that is to end may take until it is killed.
    pub grace: Duration,
    /// Memory of a process.
    pub memory: Option<ByteSize>,
    /// Files that a process may have open.
    pub open_files: Option<u64>,
    /// How it is asked.
    pub asking: Asking,
}

impl Default for Command {
    fn default() -> Self {
        Self {
            command: Vec::new(),
            folder: ".".into(),
            workers: None,
            start_timeout: Duration::from_secs(60),
            grace: Duration::from_secs(2),
            memory: None,
            open_files: None,
            asking: Asking::default(),
        }
    }
}

/// Its keys in the run file, paths as they stand there.
#[derive(Clone)]
pub(super) struct Written {
    pub(super) command: Command,
    pub(super) oracle: Option<String>,
    pub(super) version: u32,
    pub(super) worth: Worth,
}

impl Default for Written {
    fn default() -> Self {
        let (command, worth) = (Command::default(), Worth::default());
        Self { command, oracle: None, version: 1, worth }
    }
}

impl Config for Written {
    fn about() -> &'static str {
        "any program: workers that read objects and write their values, a line of JSON each"
    }

    fn declare(&mut self, keys: &mut Keys<'_>) {
        keys.key("command", &mut self.command.command, "the program and its arguments")
            .required()
            .must("name a program", |command| command.first().is_some_and(|name| !name.is_empty()));
        let folder =
            "where it runs, relative to the run file: relative paths in `command` start here";
        keys.key("folder", &mut self.command.folder, folder);
        let oracle = "names in the ledger what is measured; the command when left out";
        keys.key("oracle", &mut self.oracle, oracle);
        keys.key("version", &mut self.version, "of the program: another one measures anew");
        let workers = "processes of each actor; one for each core when left out";
        keys.key("workers", &mut self.command.workers, workers).must("be 1 to 4096", |workers| {
            workers.is_none_or(|workers| (1..=4_096).contains(&workers))
        });
        self.command.asking.declare(keys);
        let start = "what a worker may take until its first answer, beyond the time of the request";
        keys.key("start_timeout", &mut self.command.start_timeout, start);
        keys.key(
            "grace",
            &mut self.command.grace,
            "time between SIGTERM and SIGKILL for a worker to end",
        );
        let memory = "data that each process of a worker may hold; no limit when left out";
        keys.key("memory", &mut self.command.memory, memory);
        let files = "files that a worker may have open; the system's limit when left out";
        keys.key("open_files", &mut self.command.open_files, files)
            .must("be at least 16", |files| files.is_none_or(|files| files >= 16));
        self.worth.declare(keys);
    }
}
