//! What a benchmark leaves behind: a Markdown table, JSON, a figure, a section of a page.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use tributary_common::statistics;

use crate::machine::Machine;

/// Where the results go besides standard output.
#[derive(Args)]
pub(crate) struct Outputs {
    /// Also write the figures here, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Also put the table into this page, between its markers
    #[arg(long)]
    page: Option<PathBuf>,
    /// Runs at the same time, one thread each
    #[arg(long, default_value_t = 2)]
    pub(crate) threads: usize,
}

/// Rows below a header.
#[derive(Clone, Default)]
pub(crate) struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(header: &[&'static str]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "| {} |", self.header.join(" | "))?;
        writeln!(f, "|{}", "---|".repeat(self.header.len()))?;
        for row in &self.rows {
            writeln!(f, "| {} |", row.join(" | "))?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Document<'a, T> {
    schema: u32,
    machine: &'a Machine,
    settings: &'a T,
    rows: &'a [serde_json::Value],
}

impl Outputs {
    /// Prints a section of Markdown and writes it where it is wanted: `name` is that of the markers
    /// `<!-- name -->` and `<!-- /name -->` in the page.
    pub(crate) fn section(&self, name: &str, text: &str) -> Result<()> {
        println!("{text}");
        match &self.page {
            Some(page) => write_section(page, name, text),
            None => Ok(()),
        }
    }

    /// Writes what was measured, on what, with which settings.
    pub(crate) fn json<S: Serialize, R: Serialize>(
        &self,
        machine: &Machine,
        settings: &S,
        rows: &[R],
    ) -> Result<()> {
        let Some(path) = &self.json else { return Ok(()) };
        let rows: Result<Vec<_>, _> = rows.iter().map(serde_json::to_value).collect();
        let document = Document { schema: 1, machine, settings, rows: &rows? };
        write(path, &(serde_json::to_string_pretty(&document)? + "\n"))
    }
}

/// Writes a file, its folder made if there is none.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Replaces what stands between the markers of a page.
fn write_section(page: &Path, name: &str, text: &str) -> Result<()> {
    let old =
        std::fs::read_to_string(page).with_context(|| format!("cannot read {}", page.display()))?;
    let new = with_section(&old, name, text).with_context(|| {
        format!("{} has no <!-- {name} --> ... <!-- /{name} -->", page.display())
    })?;
    write(page, &new)
}

fn with_section(page: &str, name: &str, text: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {name} -->"), format!("<!-- /{name} -->"));
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n\n{}\n\n{end}{after}", text.trim()))
}

/// The mean; not a number without values.
pub(crate) fn mean(values: &[f64]) -> f64 {
    statistics::mean(values).unwrap_or(f64::NAN)
}

/// The median; not a number without values.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match (values.len(), values.len() / 2) {
        (0, _) => f64::NAN,
        (count, half) if count.is_multiple_of(2) => (values[half - 1] + values[half]) / 2.0,
        (_, half) => values[half],
    }
}

/// "0.0123 ± 0.0004", or the value alone.
pub(crate) fn with_error(values: &[f64], digits: usize) -> String {
    let mean = mean(values);
    match statistics::standard_error(values) {
        Some(error) => format!("{mean:.digits$} ± {error:.digits$}"),
        None => format!("{mean:.digits$}"),
    }
}

/// 128000 as "128,000".
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// "Seed 1" or "Seeds 1 to 5".
pub(crate) fn seeds(count: u64) -> String {
    if count == 1 { "Seed 1".to_owned() } else { format!("Seeds 1 to {count}") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_section_is_replaced_between_its_markers() {
        let page = "# Lag\n<!-- lag -->\nold\n<!-- /lag -->\nend\n";
        let new = with_section(page, "lag", "| a |\n").unwrap();
        assert_eq!(new, "# Lag\n<!-- lag -->\n\n| a |\n\n<!-- /lag -->\nend\n");
        assert_eq!(with_section(&new, "lag", "| a |").unwrap(), new);
        assert_eq!(with_section(page, "other", ""), None);
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let groups = [0, 12, 999, 1_000, 128_000, 1_234_567].map(grouped);
        assert_eq!(groups, ["0", "12", "999", "1,000", "128,000", "1,234,567"]);
    }

    #[test]
    fn of_nothing_there_is_no_median() {
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn one_value_has_no_error() {
        assert_eq!(with_error(&[0.5], 2), "0.50");
        // Variance 1 over 3 values.
        assert_eq!(with_error(&[1.0, 2.0, 3.0], 3), "2.000 ± 0.577");
    }
}
