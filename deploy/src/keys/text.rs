//! The reference of keys as plain text, for terminals.

use std::fmt::Write as _;

use tributary_common::registry::Kind;
use tributary_common::run_file::KeyDescription;

use super::{Section, conditions, default_of};

/// Columns of a line.
const WIDTH: usize = 100;

/// All sections and their keys, a line each.
pub(super) fn overview(sections: &[Section]) -> String {
    let mut text = String::new();
    for section in sections {
        let _ = writeln!(text, "\n[{}]  {}", section.name, section.about);
        lines(&mut text, "  ", &section.description.keys);
        for kind in &section.kinds {
            let _ = writeln!(text, "  kind = {:?}", kind.name);
            lines(&mut text, "    ", &kind.description.keys);
        }
    }
    text + "\n`tributary keys SECTION` and `tributary keys SECTION.KEY` say more.\n"
}

fn lines(text: &mut String, indent: &str, keys: &[KeyDescription]) {
    let width = keys.iter().map(|key| key.name.chars().count()).max().unwrap_or(0);
    for key in keys {
        let _ = writeln!(text, "{indent}{:width$}  {}", key.name, shortened(key.meaning));
    }
}

/// The sentence up to its first explanation, if it is too long for a line.
fn shortened(meaning: &str) -> String {
    const LONGEST: usize = 90;
    if meaning.chars().count() <= LONGEST {
        return meaning.to_owned();
    }
    let main = meaning.split([';', ':']).next().unwrap_or(meaning);
    if main.chars().count() <= LONGEST {
        return main.to_owned();
    }
    main.chars().take(LONGEST - 3).chain("...".chars()).collect()
}

/// All that there is to know of a section.
pub(super) fn section(section: &Section) -> String {
    let mut text = format!("[{}]  {}\n", section.name, section.about);
    for note in &section.description.notes {
        let _ = writeln!(text, "  {note}");
    }
    for described in &section.description.keys {
        text = text + "\n" + &key(section.name, None, described);
    }
    for described in &section.kinds {
        text = text + "\n" + &kind(section, described);
    }
    text
}

/// All that there is to know of a kind.
pub(super) fn kind(section: &Section, kind: &Kind) -> String {
    let mut text = format!("[{}] kind = {:?}\n", section.name, kind.name);
    paragraph(&mut text, "  ", "", kind.description.about);
    if kind.description.keys.is_empty() {
        paragraph(&mut text, "  ", "", "no keys of its own");
    }
    for note in &kind.description.notes {
        paragraph(&mut text, "  ", "", note);
    }
    for described in &kind.description.keys {
        text = text + "\n" + &key(section.name, Some(&kind.name), described);
    }
    text
}

/// All that there is to know of a key.
pub(super) fn key(section: &str, kind: Option<&str>, key: &KeyDescription) -> String {
    let of_kind = kind.map(|kind| format!("kind = {kind:?}: ")).unwrap_or_default();
    let mut text = format!("[{section}] {of_kind}{}\n", key.name);
    paragraph(&mut text, "  ", "", key.meaning);
    paragraph(&mut text, "  ", "value    ", &key.form.words);
    let (default, is_value) = default_of(key);
    let follows = if key.follows && is_value { ", unless other keys make it another" } else { "" };
    paragraph(&mut text, "  ", "default  ", &format!("{default}{follows}"));
    for condition in conditions(key) {
        paragraph(&mut text, "  ", "", &condition);
    }
    let width = key.form.choices.iter().map(|choice| choice.word.chars().count()).max();
    for choice in &key.form.choices {
        let label = format!("{:1$}  ", choice.word, width.unwrap_or(0));
        paragraph(&mut text, "    ", &label, &choice.meaning);
    }
    text
}

/// Words in lines of at most [`WIDTH`], the first after a label, the others below its words.
fn paragraph(text: &mut String, indent: &str, label: &str, words: &str) {
    let start = format!("{indent}{label}");
    let next = " ".repeat(start.chars().count());
    let (mut line, mut is_empty) = (start, true);
    for word in words.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(text, "{}", line.trim_end());
            (line, is_empty) = (next.clone(), true);
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    let _ = writeln!(text, "{}", line.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_hang_below_their_label() {
        let mut text = String::new();
        paragraph(&mut text, "  ", "value    ", &"four ".repeat(30));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("  value    four") && lines[0].len() <= WIDTH);
        assert!(lines[1].starts_with("           four"));
        assert_eq!(text.matches("four").count(), 30);
    }

    #[test]
    fn long_meanings_end_before_their_explanation() {
        assert_eq!(shortened("short; whole"), "short; whole");
        let long = format!("what it is; {}", "and why ".repeat(12));
        assert_eq!(shortened(&long), "what it is");
        assert_eq!(shortened(&"x".repeat(100)).chars().count(), 90);
    }
}
