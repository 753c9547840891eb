//! The figures of evaluation besides the exact ones, by their names in `metrics.jsonl`,
//! `summary.json` and on the wire.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use tributary_common::estimate::{SampleFigures, TargetSampleFigures, TestSetFigures};
use tributary_common::exact::Empirical;

use crate::findings::{ModeFigures, TopFigures};
use crate::interference::InterferenceFigures;

/// Estimates of the newest weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct EstimateFigures {
    /// The update of the weights.
    pub step: u64,
    /// Trajectories accepted when they were taken.
    pub generated: u64,
    /// Seconds that the estimates took.
    pub seconds: f64,
    /// From the test set.
    #[serde(skip)]
    pub test_set: Option<TestSetFigures>,
    /// From the policy's own samples.
    #[serde(skip)]
    pub samples: Option<SampleFigures>,
    /// From samples of the target.
    #[serde(skip)]
    pub target_samples: Option<TargetSampleFigures>,
}

/// All of them. A field is the first part of its figures' names, as in `test_set.spearman`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EvaluationFigures {
    /// Seconds of the evaluation's thread, the exact comparisons included.
    pub seconds: f64,
    /// Of the newest weights.
    pub estimates: Option<EstimateFigures>,
    /// Modes found so far.
    pub modes: Option<ModeFigures>,
    /// The best objects so far.
    pub top_k: Option<TopFigures>,
    /// The distance of the last accepted objects from the target.
    pub recent: Option<Empirical>,
    /// How gradients of trajectories agree.
    pub interference: Option<InterferenceFigures>,
    /// Seconds of the trainer's thread that measuring this took.
    pub interference_seconds: f64,
}

impl EvaluationFigures {
    /// The figures that are known, by their names; `wall_seconds` is the time of training.
    pub fn values(&self, wall_seconds: f64) -> BTreeMap<String, f64> {
        let mut values = BTreeMap::from([("evaluation.seconds".to_owned(), self.seconds)]);
        if wall_seconds > 0.0 {
            values.insert("evaluation.share".to_owned(), self.seconds / wall_seconds);
        }
        let estimates = self.estimates.as_ref();
        add(&mut values, "estimate", &estimates);
        add(&mut values, "test_set", &estimates.map(|of| of.test_set));
        add(&mut values, "samples", &estimates.map(|of| of.samples));
        add(&mut values, "target_samples", &estimates.map(|of| of.target_samples));
        add(&mut values, "modes", &self.modes);
        add(&mut values, "top_k", &self.top_k);
        add(&mut values, "recent", &self.recent);
        if let Some(interference) = &self.interference {
            values.insert("interference.step".to_owned(), interference.step as f64);
            values.insert("interference.seconds".to_owned(), self.interference_seconds);
            for (class, pairs) in interference.classes() {
                add(&mut values, class, &pairs);
            }
        }
        values
    }
}

/// Adds the numbers of a group as `group.field`.
fn add(values: &mut BTreeMap<String, f64>, group: &str, figures: &impl Serialize) {
    let Ok(Value::Object(fields)) = serde_json::to_value(figures) else { return };
    let number =
        |(field, value): (String, Value)| Some((format!("{group}.{field}"), value.as_f64()?));
    values.extend(fields.into_iter().filter_map(number));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::interference::PairFigures;

    fn all() -> EvaluationFigures {
        let some = Some(0.5);
        let test_set = TestSetFigures {
            objects: 9,
            exact_objects: 3,
            spearman: some,
            spearman_low: some,
            spearman_high: some,
            pearson: some,
            pearson_low: some,
            pearson_high: some,
            mean_log_p: some,
            mean_log_p_low: some,
            mean_log_p_high: some,
        };
        let samples = SampleFigures {
            count: 7,
            elbo: some,
            elbo_error: some,
            effective_log_z: some,
            mean_log_reward: some,
            ..SampleFigures::default()
        };
        let target_samples = TargetSampleFigures { count: 5, eubo: some, eubo_error: some };
        let estimates = EstimateFigures {
            step: 4,
            generated: 64,
            seconds: 0.25,
            test_set: Some(test_set),
            samples: Some(samples),
            target_samples: Some(target_samples),
        };
        let top = TopFigures {
            count: 2,
            mean_log_reward: some,
            lowest_log_reward: some,
            highest_log_reward: some,
            diversity: some,
            novelty: some,
        };
        EvaluationFigures {
            seconds: 2.0,
            estimates: Some(estimates),
            modes: Some(ModeFigures { known: 60, found: 3 }),
            top_k: Some(top),
            interference_seconds: 0.5,
            interference: Some(InterferenceFigures {
                step: 3,
                all: PairFigures { pairs: 1, inner_product: some, cosine: some },
                ..InterferenceFigures::default()
            }),
            recent: Some(Empirical { objects: 8, total_variation: 0.5, noise_floor: 0.25 }),
        }
    }

    #[test]
    fn every_figure_has_a_name_and_what_is_not_known_has_none() {
        let values = all().values(20.0);
        for (name, value) in [
            ("evaluation.seconds", 2.0),
            ("evaluation.share", 0.1),
            ("estimate.step", 4.0),
            ("test_set.objects", 9.0),
            ("test_set.spearman_low", 0.5),
            ("samples.elbo", 0.5),
            ("target_samples.eubo", 0.5),
            ("modes.found", 3.0),
            ("top_k.novelty", 0.5),
            ("recent.noise_floor", 0.25),
            ("interference.all.cosine", 0.5),
            ("interference.lag_100.pairs", 0.0),
        ] {
            assert_eq!(values.get(name), Some(&value), "{name}");
        }
        let none = EvaluationFigures::default().values(0.0);
        assert_eq!(none.into_keys().collect::<Vec<_>>(), ["evaluation.seconds"]);
    }

    #[test]
    fn every_figure_is_explained() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/evaluation.md");
        let page = std::fs::read_to_string(path).unwrap();
        for name in all().values(20.0).into_keys() {
            // An interval's ends share the line of their figure.
            let of_interval = ["_low", "_high"].iter().find_map(|end| name.strip_suffix(end));
            let name = of_interval.unwrap_or(&name);
            // Every class of pairs has the same figures.
            let mut parts: Vec<&str> = name.split('.').collect();
            if parts.len() == 3 {
                parts[1] = "CLASS";
            }
            let name = parts.join(".");
            assert!(page.contains(&format!("`{name}`")), "{name} is not in docs/evaluation.md");
        }
    }
}
