//! Sequences worth the more the more often they hold given motifs: a target with a formula for
//! sequences of any length, after the toy task that counts the pairs aa, bb and cc in words (the
//! `toy_seq` task of recursionpharma/gflownet), with R log-linear in the counts instead of linear,
//! so that every sequence has some reward.

use serde::Serialize;

use super::{InvalidRaw, Output, Reward, RewardError, Role};
use crate::environment::{Environment, Identity, InvalidConfiguration, Sequence};
use crate::log_space::LogReward;
use crate::object::Object;
use crate::run_file::{Config, Keys, Problem, Section};

/// The most motifs, each an output of its own.
const MOST_MOTIFS: usize = 1_024;

/// Its keys in the run file.
#[derive(Clone, Debug, Default)]
struct Written {
    motifs: Vec<String>,
    weights: Option<Vec<f64>>,
}

impl Config for Written {
    fn about() -> &'static str {
        "sequences are worth the more the more often they hold given motifs: log R = the sum of \
         weight times count"
    }

    fn declare(&mut self, keys: &mut Keys<'_>) {
        let motifs = "sequences of tokens that are counted wherever they begin, also where they \
                      overlap: \"AA\" is in \"AAA\" twice";
        keys.key("motifs", &mut self.motifs, motifs)
            .required()
            .must("have from 1 to 1024 entries", |all| (1..=MOST_MOTIFS).contains(&all.len()));
        let weights = "what each motif adds to log R each time, in the order of `motifs`; 1 for \
                       all when left out";
        keys.key("weights", &mut self.weights, weights);
    }
}

/// log R(x) = the sum over motifs m of w_m n_m(x), where n_m(x) is the number of positions at which
/// m begins in x. The raw values are the counts, one for each motif, so that other weights void
/// nothing that was measured.
#[derive(Clone, Debug)]
pub struct Motif {
    sequence: Sequence,
    names: Vec<String>,
    /// The tokens of each motif, by number.
    motifs: Vec<Vec<u32>>,
    weights: Vec<f64>,
}

#[derive(Serialize)]
struct Canonical<'a> {
    motifs: &'a [String],
    weights: &'a [f64],
}

impl Motif {
    /// Its `kind` in the run file.
    pub const KIND: &str = "motif";

    /// The reward that `[reward]` of a run file describes.
    ///
    /// # Errors
    /// Every problem with its keys, and an environment that builds no sequences.
    pub fn from_section(
        section: &Section,
        environment: &dyn Environment,
    ) -> Result<Self, Vec<Problem>> {
        let Written { motifs, weights } = section.parse()?;
        let weights = weights.unwrap_or_else(|| vec![1.0; motifs.len()]);
        Self::new(motifs, weights, environment).map_err(|invalid| vec![invalid.in_section(section)])
    }

    /// The reward of an environment's sequences: motifs with their weights in log R. A motif is
    /// written like an object, as "AA" or as "Br C1CC1".
    ///
    /// # Errors
    /// An environment that is no `sequence`; a motif twice, of no token or of other tokens; not as
    /// many weights as motifs, or one that is not finite.
    pub fn new(
        names: Vec<String>,
        weights: Vec<f64>,
        environment: &dyn Environment,
    ) -> Result<Self, InvalidConfiguration> {
        let sequence = Sequence::of(environment).ok_or_else(|| {
            let reason = "= \"motif\" is a reward of sequences: the environment must be a \
                          \"sequence\"";
            InvalidConfiguration::new("kind", reason)
        })?;
        let refuse = |reason: String| Err(InvalidConfiguration::new("motifs", reason));
        let mut motifs: Vec<Vec<u32>> = Vec::with_capacity(names.len());
        for name in &names {
            let motif = tokens(&sequence, name)
                .map_err(|why| InvalidConfiguration::new("motifs", format!("{name:?}: {why}")))?;
            if motif.is_empty() {
                return refuse("must have no empty motif".to_owned());
            }
            if motifs.contains(&motif) {
                return refuse(format!("has {name:?} twice"));
            }
            motifs.push(motif);
        }
        if weights.len() != motifs.len() || weights.iter().any(|weight| !weight.is_finite()) {
            let (given, expected) = (weights.len(), motifs.len());
            let reason = format!("gives {given} numbers for {expected} motifs");
            return Err(InvalidConfiguration::new("weights", reason));
        }
        Ok(Self { sequence, names, motifs, weights })
    }
}

/// The tokens that a text names: of its readings the first whose words are all tokens.
fn tokens(sequence: &Sequence, text: &str) -> Result<Vec<u32>, String> {
    let (likeliest, others) = Object::readings(text);
    let refusal = match sequence.tokens_of(&likeliest) {
        Ok(tokens) => return Ok(tokens),
        Err(refusal) => refusal,
    };
    let found = others.iter().find_map(|reading| sequence.tokens_of(reading).ok());
    found.ok_or(refusal)
}

impl Reward for Motif {
    fn identity(&self) -> Identity {
        let canonical = Canonical { motifs: &self.names, weights: &self.weights };
        // Texts and numbers always have a JSON form.
        let configuration = serde_json::to_string(&canonical).unwrap_or_default();
        Identity { kind: Self::KIND.to_owned(), version: 1, configuration }
    }

    fn outputs(&self) -> Vec<Output> {
        let output = |name: &String| Output { name: name.clone(), role: Role::Objective };
        self.names.iter().map(output).collect()
    }

    fn evaluate(&self, objects: &[Object], raw: &mut Vec<f64>) -> Result<(), RewardError> {
        for object in objects {
            let tokens = self.sequence.tokens_of(object).map_err(|_| {
                let (kind, object) = (Self::KIND.to_owned(), object.to_string());
                RewardError::UnknownObject { kind, object }
            })?;
            let count =
                |motif: &Vec<u32>| tokens.windows(motif.len()).filter(|at| at == motif).count();
            raw.extend(self.motifs.iter().map(|motif| count(motif) as f64));
        }
        Ok(())
    }

    fn transform(&self, raw: &[f64]) -> Result<LogReward, InvalidRaw> {
        let invalid = |reason: String| InvalidRaw { raw: raw.to_vec(), reason };
        if raw.len() != self.weights.len() {
            return Err(invalid(format!("expected {} counts", self.weights.len())));
        }
        for (count, motif) in raw.iter().zip(&self.motifs) {
            let most = (self.sequence.max_steps() + 1).saturating_sub(motif.len());
            if count.fract() != 0.0 || !(0.0..=most as f64).contains(count) {
                return Err(invalid(format!("{count} is no count of a motif, 0 to {most} are")));
            }
        }
        let terms = raw.iter().zip(&self.weights).map(|(count, weight)| count * weight);
        LogReward::try_from(terms.sum::<f64>()).map_err(|error| invalid(error.to_string()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
