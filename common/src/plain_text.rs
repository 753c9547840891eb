//! Texts that a peer chose, made fit for logs, pages and records.

/// Characters of a text that a peer chose; more is cut.
const MOST_CHARACTERS: usize = 128;

/// The text without what could forge a line, hide something or drive a terminal: control and
/// formatting characters become `\u{..}`, and it ends after 128 characters.
pub fn plain(text: &str) -> String {
    let mut shown = String::new();
    for (i, character) in text.chars().enumerate() {
        if i == MOST_CHARACTERS {
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
}
