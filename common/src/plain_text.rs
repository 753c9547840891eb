//! Texts that a peer chose, made fit for logs, pages and records.

/// Characters that are shown of a text which a peer chose; more is cut.
const MOST_CHARACTERS: usize = 128;

/// The text without what could forge a line, hide something or drive a terminal: control and
/// formatting characters become `\u{..}`, and it ends after 128 characters, escapes counted as they
/// are shown. A text that is plain stays as it is, so that everybody who passes it on says the same.
pub fn plain(text: &str) -> String {
    plain_up_to(text, MOST_CHARACTERS)
}

/// As [`plain`], with another number of characters after which it ends.
pub fn plain_up_to(text: &str, most: usize) -> String {
    let mut shown = String::new();
    let mut room = most;
    for character in text.chars() {
        let escape = character.is_control() || is_invisible(character);
        let width = if escape { character.escape_unicode().len() } else { 1 };
        let Some(left) = room.checked_sub(width) else {
            shown.push('…');
            break;
        };
        room = left;
        match escape {
            true => shown.extend(character.escape_unicode()),
            false => shown.push(character),
        }
    }
    shown
}

/// Line separators, and characters that reorder or join what stands around them.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_forge_a_line_is_escaped_and_the_rest_kept() {
        assert_eq!(plain("actor-1 é 分子"), "actor-1 é 分子");
        assert_eq!(plain("a\nERROR b\r\t"), "a\\u{a}ERROR b\\u{d}\\u{9}");
        assert_eq!(plain("\u{1b}[2J\u{202e}x\u{0}\u{2028}"), "\\u{1b}[2J\\u{202e}x\\u{0}\\u{2028}");
        let long = plain(&"x".repeat(10_000));
        assert_eq!((long.chars().count(), long.ends_with('…')), (129, true));
    }

    #[test]
    fn escapes_count_as_they_are_shown_and_none_is_cut() {
        assert_eq!(plain(&"\u{1}".repeat(26)), "\\u{1}".repeat(25) + "…");
        assert_eq!(plain(&("x".repeat(124) + "\u{1}")), "x".repeat(124) + "…");
        assert_eq!(plain(&("x".repeat(123) + "\u{1}")), "x".repeat(123) + "\\u{1}");
    }

    #[test]
    fn a_plain_text_stays_as_it_is() {
        for length in 0..200 {
            for part in ["x", "\u{1}", "é", "\u{feff}", "x\u{0}", "\u{206f}…y"] {
                let once = plain(&part.repeat(length));
                assert_eq!(plain(&once), once, "{part:?} {length} times");
                assert!(once.chars().count() <= MOST_CHARACTERS + 1, "{part:?} {length} times");
            }
        }
    }
}
