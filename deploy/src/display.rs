//! Numbers and tables as people read them.

use std::fmt::Write as _;

use tributary_common::text::printable;

/// Characters of a text that is shown in a table; longer ones come from nobody who means well.
const MOST_SHOWN: usize = 512;

/// A text of another program, fit for a terminal.
pub(crate) fn shown(text: &str) -> String {
    printable(text, MOST_SHOWN)
}

/// 450000 as "450,000".
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Seconds as "0:07", "12:30" or "3:00:00".
pub(crate) fn clock(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

/// Four significant digits: "0.0001234", "12.35", "1234", "1.235e9".
pub(crate) fn short(number: f64) -> String {
    let size = number.abs();
    if number == 0.0 || !number.is_finite() {
        return number.to_string();
    }
    if !(1e-4..1e7).contains(&size) {
        return format!("{number:.3e}");
    }
    let decimals = (3 - size.log10().floor() as i32).max(0) as usize;
    format!("{number:.decimals$}")
}

/// Bytes as "812 B", "1.5 KiB" or "3.2 MiB".
pub(crate) fn bytes(count: u64) -> String {
    let kibibytes = count as f64 / 1024.0;
    match kibibytes {
        k if k < 1.0 => format!("{count} B"),
        k if k < 1024.0 => format!("{k:.1} KiB"),
        k => format!("{:.1} MiB", k / 1024.0),
    }
}

/// "1 actor", "2 actors".
pub(crate) fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number))
}

/// Sections of names and values: a heading, then its rows with the values in one column.
#[derive(Default)]
pub(crate) struct Table {
    sections: Vec<(String, Vec<(String, String)>)>,
}

impl Table {
    /// Starts a section.
    pub(crate) fn section(&mut self, heading: &str) {
        self.sections.push((heading.to_owned(), Vec::new()));
    }

    /// Adds a row to the last section. What other programs chose is made fit for a terminal.
    pub(crate) fn row(&mut self, name: &str, value: impl std::fmt::Display) {
        if let Some((_, rows)) = self.sections.last_mut() {
            rows.push((shown(name), shown(&value.to_string())));
        }
    }

    /// The text, one line a row; sections without rows are left out.
    pub(crate) fn text(&self) -> String {
        let rows = self.sections.iter().flat_map(|(_, rows)| rows);
        let width = rows.map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        for (heading, rows) in self.sections.iter().filter(|(_, rows)| !rows.is_empty()) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "\n{heading}");
            for (name, value) in rows {
                let _ = writeln!(text, "  {name:width$}  {value}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [0, 999, 1_000, 450_000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "450,000", "1,234,567"]
        );
        assert_eq!([0.4, 7.0, 750.0, 10_800.0].map(clock), ["0:00", "0:07", "12:30", "3:00:00"]);
        let numbers = [0.0, 0.000_123_44, 0.161_21, 11.462_147, 1234.5, 1.5e-7, 2.0e9];
        let texts = ["0", "0.0001234", "0.1612", "11.46", "1234", "1.500e-7", "2.000e9"];
        assert_eq!(numbers.map(short), texts);
        assert_eq!([12, 2_048, 3 << 20].map(bytes), ["12 B", "2.0 KiB", "3.0 MiB"]);
        assert_eq!(count(1, "actor") + &count(2, "actor"), "1 actor2 actors");
    }

    #[test]
    fn names_that_others_chose_break_no_table() {
        let mut table = Table::default();
        table.section("actors");
        let name = format!("7 \u{1b}[2J\nerror: {}", "x".repeat(1 << 20));
        table.row(&name, "on \r\u{202e}host");
        let text = table.text();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text}");
        assert!(text.contains("\\u{1b}[2J\\u{a}error") && text.len() < 2_000, "{text}");
    }

    #[test]
    fn tables_align_their_values() {
        let mut table = Table::default();
        table.section("work");
        table.row("updates", 7);
        table.row("log Z", "11.46");
        table.section("empty");
        assert_eq!(table.text(), "\nwork\n  updates  7\n  log Z    11.46\n");
    }
}
