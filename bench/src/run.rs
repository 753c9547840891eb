//! One run of `tributary train` in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// `tributary`, which was built beside this program.
#[derive(Clone)]
pub(crate) struct Tributary(PathBuf);

/// The `summary.json` of a run.
pub(crate) struct Summary(Value);

impl Tributary {
    /// Finds it.
    pub(crate) fn find() -> Result<Self> {
        let own = std::env::current_exe()?;
        let folder = own.parent().context("this program lies in no folder")?;
        for name in ["tributary", "tributary-learner"] {
            ensure!(
                folder.join(name).exists(),
                "there is no {name} beside {}; run `make bench`, which builds it",
                own.display()
            );
        }
        Ok(Self(folder.join("tributary")))
    }

    /// Its path; the learner's program lies beside it.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Trains to the end; `changes` are `--set`s.
    pub(crate) fn train(
        &self,
        run_file: &Path,
        actors: usize,
        seed: u64,
        changes: &[&str],
    ) -> Result<Summary> {
        let folder = tempfile::tempdir()?;
        let directory = folder.path().join("run");
        let mut command = Command::new(&self.0);
        command.arg("train").arg(run_file).arg("--run-dir").arg(&directory);
        command.args(["--actors", &actors.to_string(), "--seed", &seed.to_string()]);
        for change in changes {
            command.args(["--set", change]);
        }
        end_well(&mut command)?;
        let text = std::fs::read_to_string(directory.join("summary.json"))?;
        Ok(Summary(serde_json::from_str(&text)?))
    }
}

/// Runs `tributary train` to its end.
pub(crate) fn end_well(train: &mut Command) -> Result<()> {
    let output = train.stdin(Stdio::null()).output()?;
    ensure!(
        output.status.success(),
        "tributary train ended with {}:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

impl Summary {
    /// A number of it.
    pub(crate) fn number(&self, key: &str) -> Result<f64> {
        self.0[key].as_f64().with_context(|| format!("summary.json has no number \"{key}\""))
    }
}
