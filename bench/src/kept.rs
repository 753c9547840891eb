//! Rows that an interrupted benchmark had measured.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A file with a line for each row, below the settings.
pub(crate) struct Kept<R> {
    rows: Mutex<Vec<R>>,
    file: Option<Mutex<File>>,
}

impl<R: Clone + Serialize + DeserializeOwned> Kept<R> {
    /// What is there, if it was measured with these settings; a line.
    pub(crate) fn read(path: Option<&Path>, settings: &str) -> Result<Self> {
        let Some(path) = path else { return Ok(Self { rows: Mutex::default(), file: None }) };
        let text = if path.exists() { fs::read_to_string(path)? } else { String::new() };
        let mut lines = text.lines();
        let first = lines.next();
        ensure!(
            first.is_none_or(|first| first == settings),
            "{} was measured with other settings: remove it",
            path.display()
        );
        let rows: Result<Vec<R>, _> = lines.map(serde_json::from_str).collect();
        let rows = rows.with_context(|| format!("{} is damaged: remove it", path.display()))?;
        let mut file = File::options().create(true).append(true).open(path)?;
        if first.is_none() {
            writeln!(file, "{settings}")?;
        }
        Ok(Self { rows: Mutex::new(rows), file: Some(Mutex::new(file)) })
    }

    /// A row that is there.
    pub(crate) fn find(&self, is_it: impl Fn(&R) -> bool) -> Option<R> {
        lock(&self.rows).iter().find(|row| is_it(row)).cloned()
    }

    /// The row that is kept, or what is measured, which is kept then.
    pub(crate) fn or_measured(
        &self,
        is_it: impl Fn(&R) -> bool,
        measure: impl FnOnce() -> Result<R>,
    ) -> Result<R> {
        if let Some(row) = self.find(is_it) {
            return Ok(row);
        }
        let row = measure()?;
        if let Some(file) = &self.file {
            writeln!(lock(file), "{}", serde_json::to_string(&row)?)?;
        }
        lock(&self.rows).push(row.clone());
        Ok(row)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_was_measured_is_not_measured_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept.jsonl");
        let kept = Kept::<u32>::read(Some(&path), "seeds 5").unwrap();
        assert_eq!(kept.or_measured(|&row| row == 7, || Ok(7)).unwrap(), 7);
        drop(kept);
        let kept = Kept::<u32>::read(Some(&path), "seeds 5").unwrap();
        let again = kept.or_measured(|&row| row == 7, || anyhow::bail!("it was kept"));
        assert_eq!(again.unwrap(), 7);
        assert!(Kept::<u32>::read(Some(&path), "seeds 6").is_err());
    }
}
