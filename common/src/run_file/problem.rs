//! What is wrong with a run file: every problem at once, each with its place.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of the run file, counted from 1.
    Line(usize),
    /// An override from the command line.
    Override,
    /// Nowhere: something that should be there is not.
    Absent,
}

/// One thing that is wrong with a run file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key, `section.key`, or the section; empty when the text is no TOML.
    pub path: String,
    /// Where the value came from.
    pub origin: Origin,
    /// What is wrong and what is expected; names the key.
    pub message: String,
}

impl Problem {
    fn write(&self, out: &mut fmt::Formatter<'_>, file: Option<&Path>) -> fmt::Result {
        match (self.origin, file) {
            (Origin::Line(line), Some(file)) => write!(out, "{}:{line}: ", file.display())?,
            (Origin::Line(line), None) => write!(out, "line {line}: ")?,
            (Origin::Override, _) => out.write_str("--set: ")?,
            (Origin::Absent, Some(file)) => write!(out, "{}: ", file.display())?,
            (Origin::Absent, None) => {}
        }
        out.write_str(&self.message)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(out, None)
    }
}

/// All problems of a run file, one per line when displayed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct RunFileError {
    /// The run file, when it is known.
    pub file: Option<PathBuf>,
    /// At least one problem, in the order of the sections.
    pub problems: Vec<Problem>,
}

impl RunFileError {
    /// The same problems, with the name of the file they are in.
    #[must_use]
    pub fn in_file(self, file: &Path) -> Self {
        Self { file: Some(file.to_owned()), ..self }
    }
}

impl From<Vec<Problem>> for RunFileError {
    fn from(problems: Vec<Problem>) -> Self {
        Self { file: None, problems }
    }
}

impl fmt::Display for RunFileError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                out.write_str("\n")?;
            }
            problem.write(out, self.file.as_deref())?;
        }
        Ok(())
    }
}

/// The name nearest to `wrong`: "; did you mean `batch`?", or all of them when none is near.
#[must_use]
pub fn suggestion(wrong: &str, known: &[&str]) -> String {
    let similarity = |name: &str| strsim::jaro_winkler(&wrong.to_lowercase(), name);
    let nearest = known.iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    match nearest {
        Some(name) if similarity(name) >= 0.7 => format!("; did you mean `{name}`?"),
        Some(_) => {
            let names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
            format!("; known: {}", names.join(", "))
        }
        None => String::new(),
    }
}
