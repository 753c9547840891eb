//! The reference of keys as a page in Markdown: `docs/run-file.md`.

use std::fmt::Write as _;

use tributary_common::run_file::{Description, KeyDescription};

use super::{Section, conditions, default_of};

const HEAD: &str = "\
# The run file

<!-- Made from the code by `make docs`; `deploy/tests/run_file_page.rs` holds it to the code. -->

A run is one TOML file. Its sections and their keys are below; only `[environment]`, `[reward]` and one of the stops
of `[learner]` must be given. Unknown keys are refused, and everything that is wrong with a file is said at once
(`tributary check RUN.toml`). `--set section.key=value` changes a value for one run. `tributary keys` prints this
reference, with the kinds of environments and rewards of your own programs, too.

Durations and sizes are texts with their unit (`\"10s\"`, `\"64MiB\"`). A default with an asterisk depends on other keys.
";

/// The whole page.
pub(super) fn markdown(sections: &[Section]) -> String {
    let mut page = HEAD.to_owned();
    for section in sections {
        let _ = writeln!(page, "\n## `[{}]`\n\n{}.", section.name, capitalised(section.about));
        description(&mut page, &section.description);
        for kind in &section.kinds {
            let _ = writeln!(page, "\n### `[{}] kind = {:?}`\n", section.name, kind.name);
            let _ = writeln!(page, "{}.", capitalised(kind.description.about));
            description(&mut page, &kind.description);
        }
    }
    page
}

/// A table of the keys, then a list of the words that each of them may be.
fn description(page: &mut String, description: &Description) {
    for note in &description.notes {
        let _ = writeln!(page, "\n{}.", capitalised(note));
    }
    if description.keys.is_empty() {
        return;
    }
    page.push_str("\n| key | value | default | meaning |\n|---|---|---|---|\n");
    for key in &description.keys {
        row(page, key);
    }
    let with_choices = description.keys.iter().filter(|key| !key.form.choices.is_empty());
    for key in with_choices {
        let _ = writeln!(page, "\n`{}`:\n", key.name);
        for choice in &key.form.choices {
            let _ = writeln!(page, "- `{}`: {}", choice.word, sentence(&choice.meaning));
        }
    }
}

fn row(page: &mut String, key: &KeyDescription) {
    let (default, is_value) = default_of(key);
    let asterisk = if key.follows { "*" } else { "" };
    let default = if is_value { format!("`{default}`{asterisk}") } else { default + asterisk };
    let value = if key.form.choices.is_empty() { &key.form.words } else { "one of those below" };
    let meaning: Vec<String> =
        std::iter::once(key.meaning.to_owned()).chain(conditions(key)).collect();
    let cells = [format!("`{}`", key.name), value.to_owned(), default, meaning.join("; ")];
    let cells = cells.map(|cell| cell.replace('|', "\\|"));
    let _ = writeln!(page, "| {} |", cells.join(" | "));
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + characters.as_str()
}

fn sentence(text: &str) -> String {
    let stop = if text.ends_with('.') || text.is_empty() { "" } else { "." };
    capitalised(text) + stop
}
