//! A page in one file: nothing is loaded, nothing is run.

use std::fmt::Write as _;

use tributary_common::text::printable;

/// Characters of a line that are shown.
const MOST_SHOWN: usize = 4_096;

/// A line of anybody's text, as text of the page or a value in double quotes.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in printable(text, MOST_SHOWN).chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Lines as they stand.
pub(super) fn preformatted(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(escaped).collect();
    format!("<pre>{}</pre>\n", lines.join("\n"))
}

/// A table; the first column names the row.
pub(super) fn table(headings: &[String], rows: &[Vec<String>]) -> String {
    let mut text = "<div class=\"wide\"><table>\n".to_owned();
    if !headings.is_empty() {
        let cells = headings.iter().map(|cell| format!("<th scope=\"col\">{}</th>", escaped(cell)));
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(text, "<thead><tr>{}</tr></thead>", cells.collect::<String>());
    }
    text.push_str("<tbody>\n");
    for row in rows {
        let cells = row.iter().enumerate().map(|(i, cell)| match i {
            0 => format!("<th scope=\"row\">{}</th>", escaped(cell)),
            _ => format!("<td>{}</td>", escaped(cell)),
        });
        let _ = writeln!(text, "<tr>{}</tr>", cells.collect::<String>());
    }
    text + "</tbody></table></div>\n"
}

/// Names and values.
pub(super) fn pairs(rows: &[(String, String)]) -> String {
    let rows: Vec<_> = rows.iter().map(|(name, value)| vec![name.clone(), value.clone()]).collect();
    table(&[], &rows)
}

/// A heading with what is below it.
pub(super) fn section(heading: &str, body: &str) -> String {
    format!("<section>\n<h2>{}</h2>\n{body}</section>\n", escaped(heading))
}

/// The whole page.
pub(super) fn page(title: &str, body: &str) -> String {
    let title = escaped(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src \
         'unsafe-inline'\">\n<meta name=\"viewport\" content=\"width=device-width, \
         initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n\
         {body}</main>\n</body>\n</html>\n",
        include_str!("page.css")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str =
        "</pre><script>alert('x')</script>\" onmouseover=\"y & \u{202e}z\u{1b}[2J";

    #[test]
    fn texts_of_others_stay_text() {
        let texts = [
            escaped(HOSTILE),
            preformatted(HOSTILE),
            section(HOSTILE, ""),
            pairs(&[(HOSTILE.to_owned(), HOSTILE.to_owned())]),
            table(&[HOSTILE.to_owned()], &[vec![HOSTILE.to_owned(); 2]]),
            page(HOSTILE, ""),
        ];
        for text in texts {
            assert!(!text.contains("<script") && !text.contains("\" onmouseover"), "{text}");
            assert!(!text.contains(['\u{202e}', '\u{1b}']), "{text}");
            assert!(text.contains("&lt;script&gt;alert(&#39;x&#39;)") && text.contains("y &amp; "));
        }
        assert!(escaped(&"x".repeat(1 << 20)).len() < 5_000);
    }

    #[test]
    fn a_page_loads_and_runs_nothing() {
        let page = page("a", "b");
        assert!(page.contains("default-src 'none'"));
        for word in ["http://", "https://", "url(", "@import", "<link", "<script", "src="] {
            assert!(!page.contains(word), "{word} is in\n{page}");
        }
    }
}
