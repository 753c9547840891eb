//! The reward of a table of measured objects: R = max(floor, scale (y / normalizer)^exponent), where
//! a value y below `least` counts as that.

use std::collections::HashMap;
use std::path::Path;

use serde::Serialize;

use super::{InvalidRaw, Output, Reward, RewardError, Role, single};
use crate::environment::{Environment, Identity};
use crate::log_space::{LogReward, log_of_power};
use crate::object::Object;
use crate::run_file::{Config, Keys, Problem, Section, Toml, Value};

pub mod file;

use file::{Measured, TableError};

/// From a measured value y to R = max(floor, scale (max(y, least) / normalizer)^exponent).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Transform {
    /// Above 0.
    pub normalizer: f64,
    /// Above 0.
    pub exponent: f64,
    /// Above 0.
    pub scale: f64,
    /// 0 or more: the smallest R.
    pub floor: f64,
    /// 0 or more: what smaller values count as.
    #[serde(skip_serializing_if = "is_zero")]
    pub least: f64,
}

/// Tables without `least` keep the identity that they had before there was one.
fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

impl Transform {
    /// log R of a finite y; minus infinity for R = 0.
    pub fn log_reward(&self, y: f64) -> f64 {
        let log_ratio = (y.max(self.least) / self.normalizer).ln();
        log_of_power(log_ratio, self.exponent, self.scale, self.floor)
    }
}

/// A table of measured objects. Its one raw value is the measured y.
pub struct Table {
    measured: Measured,
    transform: Transform,
}

/// What the table is divided by.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Normalizer {
    Max,
    Number(f64),
}

impl Value for Normalizer {
    fn read(value: &Toml) -> Result<Self, String> {
        if value.as_str() == Some("max") {
            return Ok(Self::Max);
        }
        let number = f64::read(value).ok().filter(|&number| number > 0.0);
        number.map(Self::Number).ok_or_else(|| "expected a number above 0, or \"max\"".to_owned())
    }

    fn write(&self) -> Option<Toml> {
        match self {
            Self::Max => Some(Toml::String("max".to_owned())),
            Self::Number(number) => number.write(),
        }
    }
}

/// Its keys in the run file.
#[derive(Clone)]
struct Written {
    file: String,
    normalizer: Normalizer,
    exponent: f64,
    scale: f64,
    floor: f64,
    least: f64,
}

impl Default for Written {
    fn default() -> Self {
        let normalizer = Normalizer::Number(1.0);
        Self { file: String::new(), normalizer, exponent: 1.0, scale: 1.0, floor: 0.0, least: 0.0 }
    }
}

impl Config for Written {
    fn about() -> &'static str {
        "objects that were measured: R = max(floor, scale (value / normalizer)^exponent)"
    }

    fn declare(&mut self, keys: &mut Keys<'_>) {
        keys.key("file", &mut self.file, "the table: TSV or CSV, a header line, object and value")
            .required();
        let normalizer = "what values are divided by: a number, or \"max\" for the largest";
        keys.key("normalizer", &mut self.normalizer, normalizer);
        keys.key("exponent", &mut self.exponent, "the power of the divided value").above(0.0);
        keys.key("scale", &mut self.scale, "the factor of the power").above(0.0);
        keys.key("floor", &mut self.floor, "the smallest reward").at_least(0.0);
        keys.key("least", &mut self.least, "what smaller values count as").at_least(0.0);
    }
}

impl Table {
    /// Its `kind` in the run file.
    pub const KIND: &str = "table";

    /// The table that `[reward]` of a run file describes; its file is looked for in `files`.
    ///
    /// # Errors
    /// Every problem with its keys, or with its file.
    pub fn from_section(
        section: &Section,
        environment: &dyn Environment,
        files: &Path,
    ) -> Result<Self, Vec<Problem>> {
        let written: Written = section.parse()?;
        let measured = file::read(&files.join(&written.file), environment)
            .map_err(|error: TableError| vec![section.problem("file", &error.to_string())])?;
        let normalizer = match written.normalizer {
            Normalizer::Number(number) => number,
            Normalizer::Max => {
                let largest = measured.values.values().copied().fold(f64::NEG_INFINITY, f64::max);
                if largest <= 0.0 {
                    let message = format!("= \"max\": the largest value is {largest}, not above 0");
                    return Err(vec![section.problem("normalizer", &message)]);
                }
                largest
            }
        };
        let Written { exponent, scale, floor, least, .. } = written;
        Ok(Self::new(measured, Transform { normalizer, exponent, scale, floor, least }))
    }

    /// A table that was read, with the transform of its values.
    pub fn new(measured: Measured, transform: Transform) -> Self {
        Self { measured, transform }
    }

    /// The measured values.
    pub fn values(&self) -> &HashMap<Object, f64> {
        &self.measured.values
    }
}

#[derive(Serialize)]
struct Canonical<'a> {
    content: &'a str,
    #[serde(flatten)]
    transform: Transform,
}

impl Reward for Table {
    fn is_at_hand(&self) -> bool {
        true
    }

    fn identity(&self) -> Identity {
        let canonical = Canonical { content: &self.measured.hash, transform: self.transform };
        // Texts and numbers always have a JSON form.
        let configuration = serde_json::to_string(&canonical).unwrap_or_default();
        Identity { kind: Self::KIND.to_owned(), version: 1, configuration }
    }

    fn outputs(&self) -> Vec<Output> {
        vec![Output { name: "value".to_owned(), role: Role::Objective }]
    }

    fn evaluate(&self, objects: &[Object], raw: &mut Vec<f64>) -> Result<(), RewardError> {
        for object in objects {
            let value = self.measured.values.get(object).ok_or_else(|| {
                let (kind, object) = (Self::KIND.to_owned(), object.to_string());
                RewardError::UnknownObject { kind, object }
            })?;
            raw.push(*value);
        }
        Ok(())
    }

    fn transform(&self, raw: &[f64]) -> Result<LogReward, InvalidRaw> {
        let log_reward = self.transform.log_reward(single(raw)?);
        LogReward::try_from(log_reward)
            .map_err(|error| InvalidRaw { raw: raw.to_vec(), reason: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use super::*;
    use crate::environment::Sequence;
    use crate::environment::sequence::{Construction, Length};
    use crate::exact::Target;

    fn table(keys: &str) -> Result<Table, String> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("t.tsv"), "word\tscore\nA\t0.5\nC\t2\nG\t-1\nT\t0\n").unwrap();
        let keys = format!("kind = 'table'\nfile = 't.tsv'\n{keys}");
        let section = Section::from_toml("reward", &keys).unwrap();
        let dna = Sequence::over_alphabet("ACGT", Length::Length(1)).unwrap();
        Table::from_section(&section, &dna, folder.path()).map_err(|p| p[0].message.clone())
    }

    #[test]
    fn raw_values_are_what_was_measured_and_log_r_their_transform() {
        let reward =
            table("normalizer = 'max'\nexponent = 3.0\nscale = 10.0\nfloor = 0.001").unwrap();
        let objects: Vec<_> = ["A", "C", "G", "T"].map(|s| Object::Text(s.to_owned())).into();
        let mut raw = Vec::new();
        reward.evaluate(&objects, &mut raw).unwrap();
        assert_eq!(raw, [0.5, 2.0, -1.0, 0.0]);
        for (y, expected) in raw.iter().zip([10.0 / 64.0, 10.0, 0.001, 0.001]) {
            let log_reward = reward.transform(&[*y]).unwrap().get();
            assert!((log_reward - f64::ln(expected)).abs() < 1e-14, "{y}: {log_reward}");
        }
        assert!(reward.transform(&[f64::NAN]).is_err());
        assert!(reward.evaluate(&[Object::Text("N".to_owned())], &mut raw).is_err());
    }

    #[test]
    fn values_below_the_least_count_as_it() {
        // 100 clip(y, 1e-3)^5 / max, of a largest y of 2.
        let reward =
            table("normalizer = 'max'\nexponent = 5.0\nscale = 100.0\nleast = 0.001").unwrap();
        for (y, expected) in
            [(2.0, 100.0), (0.5, 100.0 / 1024.0), (-1.0, 100.0 * 0.0005f64.powi(5))]
        {
            let log_reward = reward.transform(&[y]).unwrap().get();
            assert!((log_reward - f64::ln(expected)).abs() < 1e-12, "{y}: {log_reward}");
        }
        let identity = reward.identity().configuration;
        assert!(identity.ends_with(",\"floor\":0.0,\"least\":0.001}"), "{identity}");
        assert!(table("").unwrap().identity().configuration.ends_with(",\"floor\":0.0}"));
    }

    #[test]
    fn without_a_floor_what_measured_nothing_has_no_reward() {
        let reward = table("").unwrap();
        assert_eq!(reward.transform(&[-1.0]).unwrap().get(), f64::NEG_INFINITY);
        assert_eq!(reward.transform(&[1.0]).unwrap().get(), 0.0);
    }

    #[test]
    fn the_identity_holds_the_content_and_the_transform() {
        let one = table("").unwrap().identity();
        assert_eq!(one, table("normalizer = 1").unwrap().identity());
        assert_ne!(one, table("normalizer = 2").unwrap().identity());
        assert!(one.configuration.contains("content"));
    }

    #[test]
    fn wrong_keys_are_named() {
        for (keys, expected) in [
            ("normalizer = 'min'", "expected a number above 0, or \"max\""),
            ("normalizer = 0", "expected a number above 0"),
            ("exponent = 0", "must be greater than 0"),
            ("floor = -1", "must be at least 0"),
            ("flor = 1", "did you mean `floor`?"),
        ] {
            let message = table(keys).err().unwrap();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_table_of_words_gives_strings_of_blocks_their_target() {
        let folder = tempfile::tempdir().unwrap();
        let rows = "Br Br\t1\nBr C1CC1\t2\nC1CC1 Br\t4\n[\"C1CC1\", \"C1CC1\"]\t8\n";
        fs::write(folder.path().join("t.tsv"), format!("blocks\tvalue\n{rows}")).unwrap();
        let blocks = ["Br", "C1CC1"].map(str::to_owned).into();
        let strings = Sequence::over_vocabulary(blocks, Length::Length(2)).unwrap();
        let strings = strings.built_by(Construction::PrependAppend).unwrap();
        let section = Section::from_toml("reward", "kind = 'table'\nfile = 't.tsv'").unwrap();
        let reward = Table::from_section(&section, &strings, folder.path()).unwrap();
        let target = Target::new(&strings, &reward, 7, &mut || true).unwrap();
        let expected = [1.0, 2.0, 4.0, 8.0f64].map(f64::ln);
        assert_eq!(target.log_rewards(), expected);
        assert!((target.log_z() - 15f64.ln()).abs() < 1e-12);
    }
}
