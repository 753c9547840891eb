//! A bound on how deep a text nests, held before the TOML parser sees it. The parser allows 80
//! brackets inside one another and 80 dots in each key between them: their product, built and
//! dropped by recursion, overflows the stack.

/// The most brackets inside one another, and the most dots in one key.
pub(super) const DEEPEST: usize = 16;

/// Whether brackets or dotted keys, outside strings and comments, nest deeper than [`DEEPEST`].
pub(super) fn is_too_deep(text: &str) -> bool {
    let mut rest = text.as_bytes();
    let (mut brackets, mut dots) = (0_usize, 0_usize);
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'"' | b'\'' => rest = after_string(*first, tail),
            b'#' => rest = tail.iter().position(|byte| *byte == b'\n').map_or(&[], |i| &tail[i..]),
            b'[' | b'{' => (brackets, dots) = (brackets + 1, 0),
            b']' | b'}' => brackets = brackets.saturating_sub(1),
            b'=' | b',' | b'\n' => dots = 0,
            b'.' => dots += 1,
            _ => {}
        }
        if brackets > DEEPEST || dots > DEEPEST {
            return true;
        }
    }
    false
}

/// What follows a string whose opening quote has just been passed: one ends at its quote or at the
/// end of the line, one of three quotes at three of them.
fn after_string(quote: u8, text: &[u8]) -> &[u8] {
    let multi_line = text.starts_with(&[quote, quote]);
    let closing: &[u8] = if multi_line { &[quote; 3] } else { &[quote] };
    let mut rest = if multi_line { &text[2..] } else { text };
    while let Some((first, tail)) = rest.split_first() {
        if rest.starts_with(closing) {
            return &rest[closing.len()..];
        }
        match first {
            b'\\' if quote == b'"' && tail.first() != Some(&b'\n') => {
                rest = tail.get(1..).unwrap_or_default();
            }
            b'\n' if !multi_line => return rest,
            _ => rest = tail,
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_keys_and_brackets_are_found_outside_strings_only() {
        let dots = "a.".repeat(DEEPEST + 1);
        let brackets = "[{x=".repeat(DEEPEST);
        for deep in [&dots, &brackets] {
            assert!(is_too_deep(deep));
            assert!(is_too_deep(&format!("x = '''\n\\''', \"\\\"\", '\\' # '\n {deep}")));
            for quoted in ["'_'", "\"\\\"_\"", "\"\"\"\n\"_\n\"\"\"", "'''\n''_\n'''", "1 # '\"_"] {
                let text = format!("x = {}\n", quoted.replace('_', deep));
                assert!(!is_too_deep(&text), "{text}");
            }
        }
    }

    #[test]
    fn long_lists_are_not_deep() {
        let list = format!("x = [{}]\n", "0.5, [1.5], ".repeat(1_000));
        assert!(!is_too_deep(&list.repeat(3)));
        assert!(!is_too_deep(&"[a.b]\nc.d = { e = 1.5 }\n".repeat(1_000)));
    }
}
