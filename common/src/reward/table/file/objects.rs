//! Reading lists of objects to start from: tab- or comma-separated text, a header line, then the
//! object in the first column and, where they are known, its raw values in the next ones.

use std::collections::HashMap;
use std::path::Path;

use super::{File, NAMED, TableError, field, open};
use crate::environment::Environment;
use crate::object::Object;
use crate::reward::Reward;

/// An object of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// The object.
    pub object: Object,
    /// What the oracle said of it, one value for each output, if that is known.
    pub raw: Option<Vec<f64>>,
}

/// Reads the objects of a list, each once, in the order of the file.
///
/// # Errors
/// An unreadable file, and wrong lines: an object that the environment cannot build, values that
/// are too few or of which the reward makes no log-reward, an object with two different values.
pub fn read(
    path: &Path,
    environment: &dyn Environment,
    reward: &dyn Reward,
) -> Result<Vec<Listed>, TableError> {
    let File { text, separator, .. } = open(path)?;
    let mut list = List { objects: Vec::new(), places: HashMap::new() };
    let (mut count, mut first) = (0, Vec::new());
    for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        if line.trim().is_empty() {
            continue;
        }
        let listed = listed(line, separator, environment, reward);
        let result = match listed {
            Ok(_) if number == 1 => Err("expected a header, but it is an object".to_owned()),
            Err(_) if number == 1 => Ok(()),
            listed => listed.and_then(|listed| list.add(listed)),
        };
        if let Err(problem) = result {
            count += 1;
            if first.len() < NAMED {
                first.push(format!("line {number}: {problem}"));
            }
        }
    }
    match count {
        0 => Ok(list.objects),
        _ => Err(TableError::Lines { path: path.to_owned(), count, first }),
    }
}

/// The objects so far, and where each is.
struct List {
    objects: Vec<Listed>,
    places: HashMap<Object, usize>,
}

impl List {
    fn add(&mut self, listed: Listed) -> Result<(), String> {
        let Some(&place) = self.places.get(&listed.object) else {
            self.places.insert(listed.object.clone(), self.objects.len());
            self.objects.push(listed);
            return Ok(());
        };
        let above = &mut self.objects[place].raw;
        match (&above, listed.raw) {
            (Some(above), Some(raw)) if *above != raw => Err(format!(
                "object \"{}\" has the values {raw:?} here, and {above:?} above",
                listed.object
            )),
            (None, raw) => {
                *above = raw;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// The object of a line with its raw values.
fn listed(
    line: &str,
    separator: char,
    environment: &dyn Environment,
    reward: &dyn Reward,
) -> Result<Listed, String> {
    let (text, mut rest) = field(line, separator)?;
    let object = environment.parse_object(&text).map_err(|error| error.to_string())?;
    let outputs = reward.outputs().len();
    let mut raw = Vec::new();
    while let Some(columns) = rest.filter(|_| raw.len() < outputs) {
        let (value, behind) = field(columns, separator)?;
        if value.is_empty() && raw.is_empty() {
            break;
        }
        raw.push(value.parse().map_err(|_| format!("the value {value:?} is no number"))?);
        rest = behind;
    }
    if raw.is_empty() {
        return Ok(Listed { object, raw: None });
    }
    if raw.len() < outputs {
        return Err(format!("{} values, the reward has {outputs}", raw.len()));
    }
    reward.transform(&raw).map_err(|error| error.to_string())?;
    Ok(Listed { object, raw: Some(raw) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::environment::Hypergrid;
    use crate::reward::{HypergridReward, Landscape};

    fn read_cells(content: &str) -> Result<Vec<Listed>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cells.csv");
        std::fs::write(&path, content).unwrap();
        let grid = Hypergrid::new(2, 4).unwrap();
        let landscape = Landscape::Original { r0: 0.1, r1: 0.5, r2: 2.0 };
        let reward = HypergridReward::new(landscape, &grid).unwrap();
        read(&path, &grid, &reward).map_err(|error| error.to_string())
    }

    #[test]
    fn values_may_be_missing_and_an_object_counts_once() {
        let list = read_cells("cell,value\n3 0,0.6\n\"[1, 2]\"\n0 0,\n\n3 0\n0 0,0.1\n").unwrap();
        let expected = [([3, 0], Some(0.6)), ([1, 2], None), ([0, 0], Some(0.1))];
        let listed = |(cell, value): ([i64; 2], Option<f64>)| Listed {
            object: Object::Integers(cell.to_vec()),
            raw: value.map(|value| vec![value]),
        };
        assert_eq!(list, expected.map(listed));
    }

    #[test]
    fn wrong_lines_are_named() {
        for (content, expected) in [
            ("3 0,0.6\n", "line 1: expected a header, but it is an object"),
            ("3 0\n1 1\n", "line 1: expected a header, but it is an object"),
            ("cell\n4 0\n", "line 2: object \"4 0\""),
            ("cell,value\n1 0,much\n", "line 2: the value \"much\" is no number"),
            ("cell,value\n1 0,-1\n", "give no log-reward"),
            ("cell,value\n1 0,1\n1 0,2\n", "the values [2.0] here, and [1.0] above"),
        ] {
            let message = read_cells(content).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }
}
