//! The objects as a table.

use std::fmt::Write as _;

use super::{Line, Report};
use crate::display::{count, short};

/// The table: a line of headings with units, then one line for each object.
pub(super) fn page(report: &Report) -> String {
    let shown = report.objects.len() as u64;
    let objects = count(report.matching, "object");
    let rows = report.objects.iter().map(cells).collect();
    format!(
        "{objects}, the best {shown} by log-reward\n\n{}",
        table(headings(&report.outputs), rows)
    )
}

/// What is above the [`cells`] of an object, which comes last.
pub(super) fn headings(outputs: &[String]) -> Vec<String> {
    let names = outputs.iter().map(String::as_str);
    let headings = ["log R"].into_iter().chain(names);
    let headings = headings.chain(["cost (s)", "seen", "actor", "policy", "status", "object"]);
    headings.map(str::to_owned).collect()
}

/// Columns aligned to the right, but for the last.
pub(super) fn table(headings: Vec<String>, mut rows: Vec<Vec<String>>) -> String {
    rows.insert(0, headings);
    let columns = rows[0].len();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let numbers = row[..columns - 1].iter().zip(&widths);
        for (cell, width) in numbers {
            // Writing to a String cannot fail.
            let _ = write!(text, "{cell:>width$}  ");
        }
        let _ = writeln!(text, "{}", row[columns - 1]);
    }
    text
}

/// An object's row.
pub(super) fn cells(line: &Line) -> Vec<String> {
    let log_reward =
        line.log_reward.map_or("-".to_owned(), |log_reward| format!("{log_reward:.4}"));
    let raw = line.raw.iter().map(|&value| short(value));
    let rest = [
        short(line.seconds),
        line.seen.to_string(),
        line.actor.to_string(),
        line.policy.clone(),
        line.status.clone(),
        line.object.to_string(),
    ];
    [log_reward].into_iter().chain(raw).chain(rest).collect()
}
