//! Reading tables of measured objects: tab- or comma-separated text, a header line, then the object
//! in the first column and its value in the second. Further columns are ignored.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::environment::Environment;
use crate::object::Object;

pub mod objects;

/// A table that was read.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The value of each object; all finite.
    pub values: HashMap<Object, f64>,
    /// The BLAKE3 hash of the file's bytes, in hexadecimal.
    pub hash: String,
}

/// A table that cannot be used. Follows the key of the run file that names it.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// There is no such file, or it cannot be read.
    #[error("cannot be read: {path}: {error}", path = path.display())]
    Unreadable {
        /// Where it was looked for.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Some of its lines are wrong.
    #[error(
        "= {path}: {count} of its lines are wrong:{list}",
        path = path.display(),
        list = listed(first, *count)
    )]
    Lines {
        /// The file.
        path: PathBuf,
        /// How many.
        count: usize,
        /// The first of them, with their numbers.
        first: Vec<String>,
    },
    /// Objects that the environment can build are not in it.
    #[error(
        "= {path} lacks {count} of the {objects} objects of this environment:{list}",
        path = path.display(),
        list = listed(first, *count)
    )]
    Lacks {
        /// The file.
        path: PathBuf,
        /// How many are missing.
        count: usize,
        /// How many there are.
        objects: usize,
        /// The first missing ones.
        first: Vec<String>,
    },
}

/// At most so many wrong lines or missing objects are named.
const NAMED: usize = 5;

/// Environments with more states than this are not searched for objects that a table lacks; such an
/// object is an error when it is first evaluated.
const MOST_STATES_SEARCHED: u64 = 5_000_000;

fn listed(first: &[String], count: usize) -> String {
    let items: String = first.iter().map(|item| format!("\n  {item}")).collect();
    let more = if count > first.len() {
        format!("\n  ... and {} more", count - first.len())
    } else {
        String::new()
    };
    items + &more
}

/// Reads a table whose objects are those of an environment, with a value for each of them.
///
/// # Errors
/// An unreadable file, wrong lines (no value, a value that is not finite, an object that the
/// environment cannot build or that has two values), objects without a value.
pub fn read(path: &Path, environment: &dyn Environment) -> Result<Measured, TableError> {
    let File { text, separator, hash } = open(path)?;
    let mut values = HashMap::new();
    each_row(&text, separator, 1, |object, raw| insert(&mut values, object, raw, environment))
        .map_err(|(count, first)| TableError::Lines { path: path.to_owned(), count, first })?;
    let Some(Lacking { count, objects, first }) = lacking(&values, environment) else {
        return Ok(Measured { values, hash });
    };
    Err(TableError::Lacks { path: path.to_owned(), count, objects, first })
}

/// A file of measured objects.
pub(crate) struct File {
    pub(crate) text: String,
    pub(crate) separator: char,
    /// The BLAKE3 hash of its bytes, in hexadecimal.
    hash: String,
}

/// Reads a file and finds out what separates its columns.
pub(crate) fn open(path: &Path) -> Result<File, TableError> {
    let unreadable = |error| TableError::Unreadable { path: path.to_owned(), error };
    let bytes = fs::read(path).map_err(unreadable)?;
    let hash = blake3::hash(&bytes).to_hex().to_string();
    let text = String::from_utf8(bytes)
        .map_err(|error| unreadable(io::Error::new(io::ErrorKind::InvalidData, error)))?;
    let separator = match path.extension().and_then(|extension| extension.to_str()) {
        Some("tsv") => '\t',
        Some("csv") => ',',
        _ if text.lines().next().unwrap_or_default().contains('\t') => '\t',
        _ => ',',
    };
    Ok(File { text, separator, hash })
}

/// Calls `visit` with the object and the `outputs` finite values of each line below the header. What
/// it or the form of a line says against a line is counted, and the first of it told with its number.
pub(crate) fn each_row(
    text: &str,
    separator: char,
    outputs: usize,
    mut visit: impl FnMut(&str, &[f64]) -> Result<(), String>,
) -> Result<(), (usize, Vec<String>)> {
    let (mut wrong, mut first) = (0, Vec::new());
    let mut lines = (1..).zip(text.trim_start_matches('\u{feff}').lines());
    let header = lines.next().ok_or_else(|| (1, vec!["line 1: the file is empty".to_owned()]))?;
    let checked_header = match row(header.1, separator, outputs) {
        Ok((_, values)) if values.iter().all(|value| value.parse::<f64>().is_ok()) => {
            Err("expected a header such as object and value, but it holds a number".to_owned())
        }
        Ok(_) => Ok(()),
        Err(problem) => Err(problem),
    };
    let mut read = |line: &str| {
        let (object, values) = row(line, separator, outputs)?;
        visit(&object, &numbers(&object, &values)?)
    };
    let rows = lines.filter(|(_, line)| !line.trim().is_empty());
    let rows = rows.map(|(number, line)| (number, read(line)));
    for (number, result) in std::iter::once((header.0, checked_header)).chain(rows) {
        if let Err(problem) = result {
            wrong += 1;
            if first.len() < NAMED {
                first.push(format!("line {number}: {problem}"));
            }
        }
    }
    if wrong == 0 { Ok(()) } else { Err((wrong, first)) }
}

fn numbers(object: &str, values: &[String]) -> Result<Vec<f64>, String> {
    let number = |text: &String| {
        let value: f64 = text.parse().map_err(|_| format!("the value {text:?} is no number"))?;
        if value.is_finite() {
            return Ok(value);
        }
        Err(format!("the value of \"{object}\" is {text}, not a finite number"))
    };
    values.iter().map(number).collect()
}

/// Adds one row to the values.
fn insert(
    values: &mut HashMap<Object, f64>,
    object_text: &str,
    raw: &[f64],
    environment: &dyn Environment,
) -> Result<(), String> {
    let object = environment.parse_object(object_text).map_err(|error| error.to_string())?;
    let value = raw.first().copied().unwrap_or_default();
    match values.entry(object) {
        Entry::Vacant(entry) => {
            entry.insert(value);
            Ok(())
        }
        Entry::Occupied(entry) if *entry.get() == value => Ok(()),
        Entry::Occupied(entry) => Err(format!(
            "object \"{object_text}\" has the value {value} here, and {} above",
            entry.get()
        )),
    }
}

/// The object of a line and the texts of its values. A field may be in double quotes, which stand
/// twice within.
fn row(line: &str, separator: char, outputs: usize) -> Result<(String, Vec<String>), String> {
    let (object, mut rest) = field(line, separator)?;
    let mut values = Vec::new();
    while values.len() < outputs {
        let Some(text) = rest else { break };
        let (value, behind) = field(text, separator)?;
        values.push(value);
        rest = behind;
    }
    if values.len() == outputs {
        return Ok((object, values));
    }
    let name = if separator == '\t' { "tab" } else { "comma" };
    Err(match (values.len(), outputs) {
        (_, 1) => format!("{line:?} has one column, expected an object, a {name} and a value"),
        (found, _) => format!(
            "{line:?} has {} columns, expected an object and {outputs} values, a {name} between \
             each two",
            found + 1
        ),
    })
}

/// The first field of a line, and what is behind its separator.
pub(crate) fn field(line: &str, separator: char) -> Result<(String, Option<&str>), String> {
    let Some(mut quoted) = line.trim_start_matches(' ').strip_prefix('"') else {
        return Ok(match line.split_once(separator) {
            Some((field, rest)) => (field.trim().to_owned(), Some(rest)),
            None => (line.trim().to_owned(), None),
        });
    };
    let mut content = String::new();
    loop {
        let (text, rest) = quoted.split_once('"').ok_or("a quote is not closed")?;
        content.push_str(text);
        match rest.strip_prefix('"') {
            Some(rest) => {
                content.push('"');
                quoted = rest;
            }
            None if rest.trim().is_empty() => return Ok((content, None)),
            None => {
                let rest = rest.trim_start_matches(' ').strip_prefix(separator);
                let rest = rest.ok_or("text follows a closing quote")?;
                return Ok((content, Some(rest)));
            }
        }
    }
}

struct Lacking {
    count: usize,
    objects: usize,
    first: Vec<String>,
}

/// The objects that have no value, if there are any and the environment can list its objects.
fn lacking(values: &HashMap<Object, f64>, environment: &dyn Environment) -> Option<Lacking> {
    let list = environment.enumeration()?;
    if list.states() > MOST_STATES_SEARCHED {
        return None;
    }
    let mut lacking = Lacking { count: 0, objects: 0, first: Vec::new() };
    let mut state = vec![0; environment.state_width()];
    for index in 0..list.states() {
        list.state(index, &mut state);
        if !environment.can_stop(&state) {
            continue;
        }
        lacking.objects += 1;
        let object = environment.object(&state);
        if !values.contains_key(&object) {
            lacking.count += 1;
            if lacking.first.len() < NAMED {
                lacking.first.push(object.to_string());
            }
        }
    }
    (lacking.count > 0).then_some(lacking)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::environment::{Hypergrid, Sequence, sequence::Length};

    fn read_as(
        name: &str,
        content: &str,
        environment: &dyn Environment,
    ) -> Result<Measured, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        read(&path, environment).map_err(|error| error.to_string())
    }

    fn read_words(name: &str, content: &str) -> Result<Measured, String> {
        read_as(name, content, &Sequence::over_alphabet("AC", Length::Length(1)).unwrap())
    }

    #[test]
    fn separators_line_ends_and_quotes_are_understood() {
        for (name, content) in [
            ("t.tsv", "word\tvalue\nA\t1\nC\t2\n"),
            ("t.tsv", "\u{feff}word\tvalue\r\nA\t1\r\nC\t2"),
            ("t.csv", "word,value,note\nA, 1 ,x\n\"C\",2,\n\n"),
            ("t.txt", "word\tvalue\nA\t1\nC\t2\nA\t1.0\n"),
            ("t", "word,value\nA,1\nC,2\n"),
        ] {
            let measured = read_words(name, content).unwrap();
            assert_eq!(measured.values[&Object::Text("C".to_owned())], 2.0, "{content:?}");
            assert_eq!(measured.values.len(), 2);
        }
        let grid = Hypergrid::new(2, 2).unwrap();
        let content = "cell,value\n\"[0, 0]\",1\n\"1 0\",2\n0 1,3\n1 1,4\n";
        let cells = read_as("t.csv", content, &grid).unwrap();
        assert_eq!(cells.values[&Object::Integers(vec![1, 0])], 2.0);
    }

    #[test]
    fn wrong_lines_are_all_counted_and_the_first_named() {
        for (line, expected) in [
            ("A\tNaN", "line 3: the value of \"A\" is NaN, not a finite number"),
            ("A\tinf", "not a finite number"),
            ("A\tmuch", "the value \"much\" is no number"),
            ("A", "expected an object, a tab and a value"),
            ("G\t1", "line 3: object \"G\": \"G\" is not in the vocabulary"),
            ("C\t3", "object \"C\" has the value 3 here, and 2 above"),
            ("\"A\t3", "a quote is not closed"),
        ] {
            let message = read_words("t.tsv", &format!("w\tv\nC\t2\n{line}\n")).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
        let message = read_words("t.tsv", &format!("w\tv\n{}", "A\tx\n".repeat(9))).unwrap_err();
        assert!(message.contains("9 of its lines are wrong"), "{message}");
        assert!(message.contains("... and 4 more"), "{message}");
    }

    #[test]
    fn a_missing_header_is_noticed() {
        let message = read_words("t.tsv", "A\t1\nC\t2\n").unwrap_err();
        assert!(message.contains("line 1: expected a header"), "{message}");
        assert!(read_words("t.tsv", "").unwrap_err().contains("the file is empty"));
    }

    #[test]
    fn a_missing_file_is_named_with_its_path() {
        let dna = Sequence::over_alphabet("AC", Length::Length(1)).unwrap();
        let message = read(Path::new("no/where.tsv"), &dna).unwrap_err().to_string();
        assert!(message.contains("cannot be read: no/where.tsv: No such file"), "{message}");
    }

    #[test]
    fn objects_without_a_value_are_counted_and_the_first_named() {
        let message = read_words("t.tsv", "w\tv\nA\t1\n").unwrap_err();
        assert!(
            message.contains("lacks 1 of the 2 objects of this environment:\n  C"),
            "{message}"
        );
        let dna = Sequence::over_alphabet("ACGT", Length::Length(8)).unwrap();
        let message = read_as("t.tsv", "w\tv\nAAAAAAAA\t1\n", &dna).unwrap_err();
        assert!(message.contains("lacks 65535 of the 65536 objects"), "{message}");
        assert!(message.contains("\n  AAAAAAAC\n"), "{message}");
        assert!(message.contains("... and 65530 more"), "{message}");
    }
}
