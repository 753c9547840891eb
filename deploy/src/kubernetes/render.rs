//! `tributary kubernetes render`: prints everything that a run needs, but its Secrets.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use clap::Args;
use tributary_common::registry::{Registry, data_files};
use tributary_common::run_file::RunFile;

use crate::error::CommandError;
use crate::run_file::{KEYS, RunFileOptions};
use crate::{check, output};

/// What the chart makes; `deploy/helm/plain.sh` writes it.
const PLAIN: &str = include_str!("plain.yaml");
/// A ConfigMap holds 1 MiB at most, with its names.
const MOST_BYTES: usize = 1_000_000;
/// With a suffix it is a label, which has 63 characters at most.
const LONGEST_NAME: usize = 40;

/// Prints plain YAML for a run: a learner with a volume, actors, their network
///
/// First the run file is checked as `tributary check` does; it goes into the YAML, with its data files if they are
/// small. Secrets do not: the first lines say how to make them.
#[derive(Args)]
#[command(after_help = KEYS)]
pub(super) struct Options {
    #[command(flatten)]
    run_file: RunFileOptions,
    /// Of all that is made: NAME-learner, NAME-actor [default: the run's name]
    #[arg(long, value_parser = name)]
    name: Option<String>,
    /// Where it is made
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = name)]
    namespace: String,
    /// How many actors; `kubectl scale` changes it
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(0..=4096))]
    actors: u16,
    /// The learner's image; `make images` builds both
    #[arg(long, value_name = "IMAGE", value_parser = image,
        default_value = concat!("tributary-learner:", env!("CARGO_PKG_VERSION")))]
    learner_image: String,
    /// The actors' image
    #[arg(long, value_name = "IMAGE", value_parser = image,
        default_value = concat!("tributary-actor:", env!("CARGO_PKG_VERSION")))]
    actor_image: String,
    /// The size of the learner's volume, for example 500Mi or 10Gi
    #[arg(long, default_value = "10Gi", value_parser = size)]
    storage: String,
}

/// Checks and prints.
pub(super) fn run(options: &Options, registry: &Registry) -> Result<(), CommandError> {
    let path = &options.run_file.path;
    let described = options.run_file.read(registry)?;
    described.initial(path)?;
    check::examine(&described.task, check::Thoroughness::Quick)?;
    let text = fs::read_to_string(path)
        .map_err(|source| CommandError::Unreadable { path: path.clone(), source })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let files = read_data(described.run_file.clone(), folder, text.len())?;
    let name = match &options.name {
        Some(name) => name.clone(),
        None => name_of(&described.run_file.run.name)?,
    };
    output::print(&render(options, &name, &text, &files))
}

/// The data files by the names that the run file gives them.
fn read_data(
    mut run_file: RunFile,
    folder: &Path,
    mut bytes: usize,
) -> Result<BTreeMap<String, String>, CommandError> {
    let mut names: Vec<String> = data_files(&run_file).into_iter().map(|file| file.name).collect();
    names.extend(run_file.evaluation.data_files().into_iter().filter_map(|(_, file)| file.take()));
    names.extend(run_file.replay.initial);
    let mut files = BTreeMap::new();
    for name in names {
        let refused = |why: &str| {
            CommandError::Folder(format!(
                "the data file \"{name}\" cannot be part of the YAML: {why}; use the chart \
                 deploy/helm/tributary with learner.volumes and learner.volumeMounts"
            ))
        };
        if name == "run.toml"
            || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        {
            return Err(refused(
                "it must be beside the run file, with a name of letters, digits and -._",
            ));
        }
        let path = folder.join(&name);
        let read = fs::read(&path);
        let content = read.map_err(|source| CommandError::Unreadable { path, source })?;
        bytes += content.len();
        if bytes > MOST_BYTES {
            return Err(refused("Kubernetes keeps 1 MiB at most"));
        }
        let text = String::from_utf8(content).ok();
        let text =
            text.filter(|text| !text.contains(|c: char| c.is_control() && !"\n\r\t".contains(c)));
        files.insert(name.clone(), text.ok_or_else(|| refused("it is not text"))?);
    }
    Ok(files)
}

fn render(options: &Options, name: &str, text: &str, files: &BTreeMap<String, String>) -> String {
    let data: String =
        files.iter().map(|(name, text)| format!("  {name}: |2-\n{}", block(text))).collect();
    let mut hasher = blake3::Hasher::new();
    hasher.update(text.as_bytes()).update(data.as_bytes());
    let overrides = options.run_file.overrides.iter();
    let overrides: String = overrides
        .map(|(key, value)| {
            format!("            - {}\n", serde_json::Value::from(format!("--set={key}={value}")))
        })
        .collect();
    let values = BTreeMap::from([
        ("name", name.to_owned()),
        ("namespace", options.namespace.clone()),
        ("actors", options.actors.to_string()),
        ("learner_image", options.learner_image.clone()),
        ("actor_image", options.actor_image.clone()),
        ("storage", options.storage.clone()),
        ("run_file", block(text)),
        ("run_file_hash", hasher.finalize().to_hex().chars().take(32).collect()),
        ("data_files", data),
        ("overrides", overrides),
    ]);
    secrets(name, &options.namespace) + &fill(PLAIN, &values)
}

/// Puts values at their marks; whatever looks like a mark in a value stays as it is.
fn fill(plain: &str, values: &BTreeMap<&str, String>) -> String {
    let mut filled = String::with_capacity(plain.len());
    for line in plain.split_inclusive('\n') {
        let mut rest = line;
        let mut is_block = false;
        while let Some((before, (mark, after))) =
            rest.split_once("{{").and_then(|(before, rest)| Some((before, rest.split_once("}}")?)))
        {
            filled += before;
            filled += values.get(mark).map_or("", String::as_str);
            is_block |= before.is_empty() && after == "\n";
            rest = after;
        }
        // A block brings its own lines, or none.
        filled += if is_block { "" } else { rest };
    }
    filled
}

/// The lines of a text within the ConfigMap.
fn block(text: &str) -> String {
    text.trim_end().lines().map(|line| format!("    {line}\n")).collect()
}

fn secrets(name: &str, namespace: &str) -> String {
    let mut text = format!("# First, once:\n#   tributary certs certs --host {name}-learner\n");
    for (secret, folder) in [("learner", "learner"), ("actor", "actor-1")] {
        text += &format!(
            "#   kubectl -n {namespace} create secret generic {name}-{secret} --from-file=certs/{folder}\n"
        );
    }
    text
}

/// A name that Kubernetes takes, of the run's.
fn name_of(run: &str) -> Result<String, CommandError> {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let made: String = run.chars().map(plain).collect();
    name(made.trim_matches('-')).map_err(|reason| {
        CommandError::Folder(format!(
            "the run's name \"{run}\" cannot serve ({reason}); give --name"
        ))
    })
}

fn name(text: &str) -> Result<String, String> {
    let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let is_name = text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(is_inner)
        && !text.ends_with('-')
        && text.len() <= LONGEST_NAME;
    is_name.then(|| text.to_owned()).ok_or_else(|| {
        format!(
            "a letter first, then small letters, digits and -, {LONGEST_NAME} characters at most"
        )
    })
}

fn image(text: &str) -> Result<String, String> {
    let is_image = text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._/:@".contains(&b))
        && !text.ends_with(':');
    is_image.then(|| text.to_owned()).ok_or_else(|| "it is no name of an image".to_owned())
}

fn size(text: &str) -> Result<String, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let is_number = digits.parse::<u32>().is_ok_and(|number| number > 0);
    let is_size = is_number && ["Mi", "Gi", "Ti", "M", "G", "T"].contains(&&text[digits.len()..]);
    is_size.then(|| text.to_owned()).ok_or_else(|| "a number with Mi, Gi or Ti".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    const GRID: &str = "# {{name}}\n[run]\nname = \"My grid\"\n";

    fn rendered(arguments: &[&str], files: &BTreeMap<String, String>) -> String {
        let all = ["render", "run.toml"].iter().chain(arguments);
        let options = Line::try_parse_from(all).unwrap().options;
        render(&options, "grid", GRID, files)
    }

    #[test]
    fn every_mark_is_filled_and_a_run_file_stays_as_it_is() {
        let text = rendered(&["--actors", "7", "--namespace", "science"], &BTreeMap::new());
        assert_eq!(text.matches("{{").count(), 1, "{text}");
        for expected in [
            "data:\n  run.toml: |2-\n    # {{name}}\n    [run]\n    name = \"My grid\"\n---\n",
            "  replicas: 7\n",
            "  namespace: science\n",
            "kubectl -n science create secret generic grid-actor --from-file=certs/actor-1",
            "tributary certs certs --host grid-learner\n",
            "            - --stay\n          ports:\n",
            concat!("image: tributary-actor:", env!("CARGO_PKG_VERSION"), "\n"),
            "            storage: 10Gi\n",
        ] {
            assert!(text.contains(expected), "{expected:?} is not in\n{text}");
        }
        let other = rendered(&["--set", "learner.batch=8"], &BTreeMap::new());
        assert!(other.contains("- --stay\n            - \"--set=learner.batch=8\"\n"), "{other}");
        let files = BTreeMap::from([("a.tsv".to_owned(), "x\t1\n".to_owned())]);
        let with_data = rendered(&[], &files);
        assert!(with_data.contains("\n  a.tsv: |2-\n    x\t1\n---\n"), "{with_data}");
        let hash =
            |text: &str| text.lines().find(|line| line.contains("run-file: \"")).map(str::to_owned);
        assert!(hash(&text).is_some());
        assert_ne!(hash(&text), hash(&with_data), "other data start the learner again");
    }

    #[test]
    fn names_are_made_or_refused() {
        assert_eq!(name_of("My grid!").unwrap(), "my-grid");
        for run in ["", "7", &"x".repeat(41)] {
            assert!(name_of(run).unwrap_err().to_string().contains("--name"), "{run}");
        }
        let line = |arguments: &[&str]| {
            Line::try_parse_from(["render", "run.toml"].iter().chain(arguments)).is_ok()
        };
        assert!(line(&["--name", "a-1", "--storage", "5Gi", "--actor-image", "a.b/c@sha256:0"]));
        for bad in [
            ["--name", "A"],
            ["--name", "a-"],
            ["--namespace", "a\nb"],
            ["--storage", "5"],
            ["--storage", "0Gi"],
            ["--learner-image", "a b"],
            ["--learner-image", ""],
            ["--actors", "-1"],
        ] {
            assert!(!line(&bad), "{bad:?}");
        }
    }

    #[test]
    fn data_files_are_text_beside_the_run_file_and_small() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str| {
            let text = format!(
                "[environment]\nkind = 'hypergrid'\n[reward]\nkind = 'table'\nfile = '{name}'\n\
                 [learner]\nupdates = 1\n"
            );
            read_data(RunFile::parse(&text, &[]).unwrap(), folder.path(), 10)
        };
        fs::write(folder.path().join("a.tsv"), "x\t1\n").unwrap();
        fs::write(folder.path().join("b.tsv"), [0xff]).unwrap();
        fs::write(folder.path().join("c.tsv"), vec![b'x'; MOST_BYTES]).unwrap();
        assert_eq!(read("a.tsv").unwrap()["a.tsv"], "x\t1\n");
        for (name, why) in [("b.tsv", "not text"), ("c.tsv", "1 MiB"), ("d/a.tsv", "beside")] {
            let text = read(name).unwrap_err().to_string();
            assert!(text.contains(name) && text.contains(why), "{text}");
        }
    }
}
