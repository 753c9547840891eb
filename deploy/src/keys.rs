//! `tributary keys`: every key of the run file, as its declaration describes it.

mod page;
mod text;

use clap::Args;
use tributary_common::registry::{Kind, Registry};
use tributary_common::run_file::{
    Description, Form, KeyDescription, SectionDescription, sections, suggestion,
};

use crate::error::CommandError;
use crate::output;

/// Explains the keys of run files: type, default, range, where they apply
///
/// Without a name it lists all sections and keys in a line each. With a section, a key or a kind of
/// environment or reward it says all that there is to know of it.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// What to explain, for example `replay`, `replay.selector`, `reward.table`
    #[arg(value_name = "SECTION[.KEY]")]
    name: Option<String>,
    /// Prints all as a page in Markdown (docs/run-file.md)
    #[arg(long, conflicts_with = "name")]
    markdown: bool,
}

const EXAMPLES: &str = "\
Examples:
  tributary keys                     all keys, a line each
  tributary keys objective           the section [objective] with its choices, defaults and ranges
  tributary keys learner.batch       one key
  tributary keys reward.table        the kind \"table\" of [reward]";

/// Explains.
pub(crate) fn run(options: &Options, registry: &Registry) -> Result<(), CommandError> {
    let sections = reference(registry);
    let text = match &options.name {
        _ if options.markdown => page::markdown(&sections),
        None => text::overview(&sections),
        Some(name) => explain(&sections, name)?,
    };
    output::print(&text)
}

/// A section with its keys and its kinds.
struct Section {
    name: &'static str,
    about: &'static str,
    description: Description,
    kinds: Vec<Kind>,
}

/// All sections; those that have kinds begin with the key `kind`, which the kinds are the choices
/// of.
fn reference(registry: &Registry) -> Vec<Section> {
    let section = |section: SectionDescription| {
        let SectionDescription { name, about, mut description } = section;
        let kinds = registry.kinds(name);
        if !kinds.is_empty() {
            description.keys.insert(0, kind_key(&kinds));
        }
        Section { name, about, description, kinds }
    };
    sections().into_iter().map(section).collect()
}

fn kind_key(kinds: &[Kind]) -> KeyDescription {
    let choice = |kind: &Kind| (kind.name.clone(), kind.description.about);
    let choices: Vec<(String, &str)> = kinds.iter().map(choice).collect();
    let choices: Vec<(&str, &str)> =
        choices.iter().map(|(name, about)| (name.as_str(), *about)).collect();
    KeyDescription {
        name: "kind".to_owned(),
        meaning: "which one it is; it decides which other keys there are",
        form: Form::one_of(&choices),
        value: None,
        default: None,
        follows: false,
        required: true,
        conditions: Vec::new(),
        only: Vec::new(),
        applies: true,
    }
}

/// A section, the kinds of this name, or the keys of this name, of the section or of its kinds.
fn explain(sections: &[Section], asked: &str) -> Result<String, CommandError> {
    let (name, key) = asked.split_once('.').unwrap_or((asked, ""));
    let Some(section) = sections.iter().find(|section| section.name == name) else {
        let known: Vec<&str> = sections.iter().map(|section| section.name).collect();
        return Err(unknown(name, &known));
    };
    if key.is_empty() {
        return Ok(text::section(section));
    }
    if let Some(kind) = section.kinds.iter().find(|kind| kind.name == key) {
        return Ok(text::kind(section, kind));
    }
    let found = keys(section).filter(|(_, found)| found.name == key);
    let text: String = found.map(|(kind, found)| text::key(section.name, kind, found)).collect();
    if text.is_empty() {
        let kinds = section.kinds.iter().map(|kind| kind.name.as_str());
        let known: Vec<&str> =
            keys(section).map(|(_, key)| key.name.as_str()).chain(kinds).collect();
        return Err(unknown(key, &known));
    }
    Ok(text)
}

/// Each key of a section, with the kind that it belongs to.
fn keys(section: &Section) -> impl Iterator<Item = (Option<&str>, &KeyDescription)> {
    let own = section.description.keys.iter().map(|key| (None, key));
    own.chain(section.kinds.iter().flat_map(keys_of_kind))
}

fn keys_of_kind(kind: &Kind) -> impl Iterator<Item = (Option<&str>, &KeyDescription)> {
    kind.description.keys.iter().map(|key| (Some(kind.name.as_str()), key))
}

fn unknown(name: &str, known: &[&str]) -> CommandError {
    CommandError::NoSuchKey { name: name.to_owned(), hint: suggestion(name, known) }
}

/// The default in words, and whether it is a value.
fn default_of(key: &KeyDescription) -> (String, bool) {
    match (&key.default, key.required) {
        (_, true) => ("required".to_owned(), false),
        (Some(value), _) => (value.to_string(), true),
        (None, _) => ("none".to_owned(), false),
    }
}

/// What a value must satisfy and where the key may be given; each in words.
fn conditions(key: &KeyDescription) -> Vec<String> {
    let mut must = String::new();
    for condition in &key.conditions {
        match condition.strip_prefix("be ") {
            _ if must.is_empty() => must = format!("must {condition}"),
            // "must be at least 0 and below 1"
            Some(rest) if must.starts_with("must be ") => must += &format!(" and {rest}"),
            _ => must += &format!(" and {condition}"),
        }
    }
    let must = (!must.is_empty()).then_some(must);
    must.into_iter().chain(key.only.iter().map(|place| format!("only {place}"))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn explained(name: &str) -> String {
        explain(&reference(&Registry::builtin()), name).unwrap()
    }

    fn refused(name: &str) -> String {
        explain(&reference(&Registry::builtin()), name).unwrap_err().to_string()
    }

    #[test]
    fn a_key_is_explained_with_all_that_its_declaration_says() {
        let text = explained("replay.selector");
        for expected in [
            "[replay] selector\n",
            "how the trajectories of a batch are picked",
            "\"fifo\"",
            "In order of arrival.",
        ] {
            assert!(text.contains(expected), "{expected:?} is not in\n{text}");
        }
        let text = explained("replay.top_share");
        assert!(text.contains("must be at least 0.0 and at most 1.0"), "{text}");
        assert!(text.contains("only with selector = \"top_fraction\""), "{text}");
        assert!(explained("learner.log_z_learning_rate").contains("0.1, unless other keys"));
        assert!(explained("actor.on_learner_loss.wait").contains("\"10m\""));
    }

    #[test]
    fn kinds_are_explained_with_their_keys() {
        let text = explained("reward");
        for expected in ["[reward] delay", "[reward] kind = \"table\"", "normalizer", "\"cosine\""]
        {
            assert!(text.contains(expected), "{expected:?} is not in\n{text}");
        }
        let table = explained("reward.table");
        assert!(table.contains("exponent") && !table.contains("distance_scale"), "{table}");
        // Of several kinds at once.
        let exponent = explained("reward.exponent");
        for kind in ["bit_sequence", "command", "grpc", "table"] {
            let heading = format!("[reward] kind = \"{kind}\": exponent\n");
            assert_eq!(exponent.matches(&heading).count(), 1, "{exponent}");
        }
    }

    #[test]
    fn unknown_names_are_answered_with_the_nearest() {
        let expected = "there is no `lerner` in run files; did you mean `learner`?";
        assert_eq!(refused("lerner"), expected);
        assert!(refused("learner.bach").ends_with("did you mean `batch`?"));
        assert!(refused("reward.tabel").ends_with("did you mean `table`?"));
    }

    #[test]
    fn every_key_has_its_line_in_the_overview_and_in_the_page() {
        let sections = reference(&Registry::builtin());
        let (overview, page) = (text::overview(&sections), page::markdown(&sections));
        for section in &sections {
            assert!(overview.contains(&format!("\n[{}]  ", section.name)));
            assert!(page.contains(&format!("\n## `[{}]`\n", section.name)));
            for (_, key) in keys(section) {
                assert!(overview.contains(&format!("  {} ", key.name)), "{}", key.name);
                assert!(page.contains(&format!("\n| `{}` | ", key.name)), "{}", key.name);
            }
        }
        assert!(overview.lines().all(|line| line.chars().count() <= 130), "{overview}");
    }
}
