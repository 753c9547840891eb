//! Reading lists of objects: tab- or comma-separated text with the object in the first column.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::environment::Environment;
use crate::object::Object;
use crate::reward::table::file::field;

/// At most so many wrong lines are named.
const NAMED: usize = 5;

/// A line of a list of objects.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The object.
    pub object: Object,
    /// The number in the second column, if there is one: what a reward of one output measures.
    pub raw: Option<f64>,
}

/// A list that cannot be used. Follows the key of the run file that names it.
#[derive(Debug, thiserror::Error)]
pub enum ObjectFileError {
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
        list = first.iter().map(|line| format!("\n  {line}")).collect::<String>()
    )]
    Lines {
        /// The file.
        path: PathBuf,
        /// How many.
        count: usize,
        /// The first of them, with their numbers.
        first: Vec<String>,
    },
    /// It holds no object.
    #[error("= {path} holds no object", path = path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// Reads a list of an environment's objects. The first line may be a header: it is one where it is no
/// object.
///
/// # Errors
/// An unreadable file, one without objects, and lines whose first column is no object.
pub fn read_objects(
    path: &Path,
    environment: &dyn Environment,
) -> Result<Vec<Row>, ObjectFileError> {
    let text = fs::read_to_string(path)
        .map_err(|error| ObjectFileError::Unreadable { path: path.to_owned(), error })?;
    let separator = match path.extension().and_then(|extension| extension.to_str()) {
        Some("csv") => ',',
        _ if text.contains('\t') => '\t',
        _ => ',',
    };
    let (mut rows, mut count, mut first) = (Vec::new(), 0, Vec::new());
    for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        if line.trim().is_empty() {
            continue;
        }
        match row(line, separator, environment) {
            Ok(row) => rows.push(row),
            Err(_) if number == 1 => {}
            Err(problem) => {
                count += 1;
                if first.len() < NAMED {
                    first.push(format!("line {number}: {problem}"));
                }
            }
        }
    }
    if count > 0 {
        return Err(ObjectFileError::Lines { path: path.to_owned(), count, first });
    }
    if rows.is_empty() {
        return Err(ObjectFileError::Empty { path: path.to_owned() });
    }
    Ok(rows)
}

fn row(line: &str, separator: char, environment: &dyn Environment) -> Result<Row, String> {
    let (text, rest) = field(line, separator)?;
    let object = environment.parse_object(&text).map_err(|error| error.to_string())?;
    let second = rest.map(|rest| field(rest, separator)).transpose()?;
    let raw = second.and_then(|(value, _)| value.parse().ok()).filter(|raw: &f64| raw.is_finite());
    Ok(Row { object, raw })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::environment::{Hypergrid, Sequence, sequence::Length};

    fn read(name: &str, text: &str, environment: &dyn Environment) -> Result<Vec<Row>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        read_objects(&path, environment).map_err(|error| error.to_string())
    }

    #[test]
    fn a_list_has_objects_and_perhaps_what_they_measure() {
        let words = Sequence::over_alphabet("ACGT", Length::MaxLength(3)).unwrap();
        let row = |text: &str, raw| Row { object: Object::Text(text.to_owned()), raw };
        let rows = read("a.csv", "object,value\nACG,0.5\n\nT,x\n", &words).unwrap();
        assert_eq!(rows, [row("ACG", Some(0.5)), row("T", None)]);
        let rows = read("a.txt", "A\nC\n", &words).unwrap();
        assert_eq!(rows, [row("A", None), row("C", None)]);
        let grid = Hypergrid::new(2, 4).unwrap();
        let rows = read("a.csv", "\"[1, 2]\",0.25\n", &grid).unwrap();
        assert_eq!(rows, [Row { object: Object::Integers(vec![1, 2]), raw: Some(0.25) }]);
    }

    #[test]
    fn what_is_no_object_is_named_with_its_line() {
        let words = Sequence::over_alphabet("ACGT", Length::MaxLength(3)).unwrap();
        let error = read("a.csv", "object\nACG\nACGTA\nXX\n", &words).unwrap_err();
        assert!(error.contains("2 of its lines") && error.contains("line 3: "), "{error}");
        assert!(read("a.csv", "object\n", &words).unwrap_err().contains("holds no object"));
        let missing = read_objects(Path::new("/nowhere/a.csv"), &words).unwrap_err().to_string();
        assert!(missing.contains("/nowhere/a.csv"), "{missing}");
    }
}
