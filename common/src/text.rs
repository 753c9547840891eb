//! Texts that somebody else chose, made fit for terminals, logs and pages.

/// The text without what could forge a line, hide something or drive a terminal: control characters
/// and those that reorder, join or hide what stands around them become `\u{..}`. It ends with "…"
/// after `most` characters.
#[must_use]
pub fn printable(text: &str, most: usize) -> String {
    let mut shown = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == most {
            shown.push('…');
            break;
        }
        if character.is_control() || is_invisible(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Line separators, and characters that reorder, join or hide.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_drive_a_terminal_is_escaped_and_the_rest_kept() {
        assert_eq!(printable("actor-1 é 分子", 99), "actor-1 é 分子");
        assert_eq!(printable("a\nerror: b\r\t", 99), "a\\u{a}error: b\\u{d}\\u{9}");
        assert_eq!(printable("\u{1b}[2J\u{9b}1A\u{7f}", 99), "\\u{1b}[2J\\u{9b}1A\\u{7f}");
        assert_eq!(printable("\u{202e}x\u{0}\u{2028}", 99), "\\u{202e}x\\u{0}\\u{2028}");
    }

    #[test]
    fn a_long_text_is_cut_and_short_ones_are_not() {
        let long = printable(&"x".repeat(1 << 20), 128);
        assert_eq!((long.chars().count(), long.ends_with('…')), (129, true));
        let escapes = printable(&"\u{1b}".repeat(1 << 20), 128);
        assert_eq!(escapes.chars().count(), 128 * "\\u{1b}".len() + 1);
        assert_eq!(printable("éé", 2), "éé");
        assert_eq!(printable("", 0), "");
    }
}
