//! A noisy reward, measured several times: the average counts, and the spread is kept beside it.

use std::sync::Arc;

use super::{InvalidRaw, Output, Outside, Reward, RewardError, Role};
use crate::choices;
use crate::environment::Identity;
use crate::log_space::{LogReward, log_sum_exp};
use crate::object::Object;

choices! {
    /// In which space repeated values are averaged.
    pub enum Average {
        /// The mean of the rewards.
        Linear = "linear",
        /// The mean of their logarithms.
        Log = "log",
    }
}

/// How the values of one object become one.
#[derive(Clone, Debug, PartialEq)]
pub struct Averaging {
    repeats: u32,
    average: Average,
    /// Whether values that enter log R are logarithms as they come.
    are_logarithms: bool,
    /// Of each value, whether it enters log R.
    objectives: Vec<bool>,
}

impl Averaging {
    /// How often an object is measured.
    pub fn repeats(&self) -> u32 {
        self.repeats
    }

    /// How many values each measurement has.
    pub fn outputs(&self) -> usize {
        self.objectives.len()
    }

    /// Whether it is logarithms of the values that are averaged and whose spread is kept.
    pub(super) fn takes_logarithms(&self) -> bool {
        !self.are_logarithms && self.average == Average::Log
    }

    /// The averages of all measurements of an object, then the standard deviation of each value: of
    /// the values as they came, or of their logarithms where those are averaged.
    pub fn combine(&self, measured: &[Vec<f64>]) -> Vec<f64> {
        let column = |place: usize| -> Vec<f64> { measured.iter().map(|raw| raw[place]).collect() };
        let each = self.objectives.iter().enumerate();
        let (means, spreads): (Vec<f64>, Vec<f64>) =
            each.map(|(place, &is_objective)| self.one(&column(place), is_objective)).unzip();
        means.into_iter().chain(spreads).collect()
    }

    fn one(&self, values: &[f64], is_objective: bool) -> (f64, f64) {
        match (is_objective, self.are_logarithms, self.average) {
            (true, false, Average::Log) => {
                let positive = values.iter().filter(|value| **value > 0.0 || value.is_nan());
                let logs: Vec<f64> = positive.map(|value| value.ln()).collect();
                let mean = if logs.len() < values.len() { 0.0 } else { mean(&logs).exp() };
                (mean, spread(&logs))
            }
            (true, true, Average::Linear) => {
                let mean = log_sum_exp(values.iter().copied()) - (values.len() as f64).ln();
                (mean, spread(values))
            }
            _ => (mean(values), spread(values)),
        }
    }
}

fn mean(values: &[f64]) -> f64 {
    // Equal values give themselves, to the bit.
    let first = values.first().copied().unwrap_or(f64::NAN);
    first + values.iter().map(|value| value - first).sum::<f64>() / values.len() as f64
}

/// The standard deviation of the distribution that the values are from; 0 of fewer than two.
fn spread(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}

/// Measures each object several times, and is its inner reward in all else.
pub struct Repeated {
    inner: Arc<dyn Reward>,
    averaging: Averaging,
}

impl Repeated {
    /// `inner`, so many times; by default values are averaged as they come.
    pub fn new(inner: Arc<dyn Reward>, repeats: u32, average: Option<Average>) -> Self {
        let are_logarithms = inner.is_logarithmic();
        let usual = if are_logarithms { Average::Log } else { Average::Linear };
        let is_objective = |output: Output| output.role == Role::Objective;
        let objectives = inner.outputs().into_iter().map(is_objective).collect();
        let average = average.unwrap_or(usual);
        Self { averaging: Averaging { repeats, average, are_logarithms, objectives }, inner }
    }
}

impl Reward for Repeated {
    fn is_at_hand(&self) -> bool {
        self.inner.is_at_hand()
    }

    fn identity(&self) -> Identity {
        let Identity { kind, version, configuration } = self.inner.identity();
        let Averaging { repeats, average, .. } = &self.averaging;
        let average = average.name();
        let configuration = format!("{configuration}, the {average} average of {repeats}");
        Identity { kind, version, configuration }
    }

    /// Those of the inner reward, then "NAME_std" of each.
    fn outputs(&self) -> Vec<Output> {
        let inner = self.inner.outputs();
        let spread = |of: &Output| Output { name: format!("{}_std", of.name), role: Role::Std };
        let spreads: Vec<Output> = inner.iter().map(spread).collect();
        inner.into_iter().chain(spreads).collect()
    }

    fn evaluate(&self, objects: &[Object], raw: &mut Vec<f64>) -> Result<(), RewardError> {
        let outputs = self.averaging.outputs();
        let mut measured: Vec<Vec<Vec<f64>>> = vec![Vec::new(); objects.len()];
        for repeat in 1..=self.averaging.repeats {
            let mut once = Vec::with_capacity(objects.len() * outputs);
            self.inner.evaluate(objects, &mut once)?;
            if once.len() != objects.len() * outputs {
                let kind = self.inner.identity().kind;
                let (found, objects) = (once.len(), objects.len());
                let reason = format!(
                    "it gave {found} raw values for {objects} objects, not {outputs} for each, at \
                     repeat {repeat}"
                );
                return Err(RewardError::Failed { kind, reason });
            }
            for (all, raw) in measured.iter_mut().zip(once.chunks_exact(outputs)) {
                all.push(raw.to_vec());
            }
        }
        raw.extend(measured.iter().flat_map(|all| self.averaging.combine(all)));
        Ok(())
    }

    fn transform(&self, raw: &[f64]) -> Result<LogReward, InvalidRaw> {
        let outputs = self.averaging.outputs();
        if raw.len() != 2 * outputs {
            let reason = format!(
                "{} values, expected {outputs} averages and their {outputs} standard deviations",
                raw.len()
            );
            return Err(InvalidRaw { raw: raw.to_vec(), reason });
        }
        if raw[outputs..].iter().any(|spread| spread.is_nan() || *spread < 0.0) {
            let reason = "a standard deviation is at least 0".to_owned();
            return Err(InvalidRaw { raw: raw.to_vec(), reason });
        }
        self.inner.transform(&raw[..outputs])
    }

    fn key(&self, object: &Object, key: &mut Vec<u8>) {
        self.inner.key(object, key);
    }

    fn test_set(&self) -> Vec<Object> {
        self.inner.test_set()
    }

    fn modes(&self) -> Vec<Object> {
        self.inner.modes()
    }

    fn outside(&self) -> Option<&Outside> {
        self.inner.outside()
    }

    fn is_logarithmic(&self) -> bool {
        self.inner.is_logarithmic()
    }

    fn averaging(&self) -> Option<&Averaging> {
        Some(&self.averaging)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::Mutex;

    /// Says these values one after the other, twice of each: y and 10 y.
    struct Scripted {
        values: Mutex<Vec<f64>>,
        are_logarithms: bool,
    }

    impl Reward for Scripted {
        fn identity(&self) -> Identity {
            let (kind, configuration) = ("scripted".to_owned(), String::new());
            Identity { kind, version: 1, configuration }
        }

        fn outputs(&self) -> Vec<Output> {
            let output = |name: &str, role| Output { name: name.to_owned(), role };
            vec![output("y", Role::Objective), output("ten", Role::Info)]
        }

        fn evaluate(&self, objects: &[Object], raw: &mut Vec<f64>) -> Result<(), RewardError> {
            let mut values = self.values.lock().unwrap();
            for object in objects {
                if values.is_empty() {
                    let (kind, object) = ("scripted".to_owned(), object.to_string());
                    return Err(RewardError::UnknownObject { kind, object });
                }
                let value = values.remove(0);
                raw.extend([value, 10.0 * value]);
            }
            Ok(())
        }

        fn transform(&self, raw: &[f64]) -> Result<LogReward, InvalidRaw> {
            assert_eq!(raw.len(), 2, "the inner reward sees its own values only");
            let log = if self.are_logarithms { raw[0] } else { raw[0].ln() };
            LogReward::try_from(log)
                .map_err(|_| InvalidRaw { raw: raw.to_vec(), reason: "NaN".into() })
        }

        fn is_logarithmic(&self) -> bool {
            self.are_logarithms
        }
    }

    fn repeated(values: &[f64], repeats: u32, average: Option<Average>, logs: bool) -> Repeated {
        let inner = Scripted { values: Mutex::new(values.to_vec()), are_logarithms: logs };
        Repeated::new(Arc::new(inner), repeats, average)
    }

    fn evaluated(reward: &Repeated, objects: i64) -> Vec<f64> {
        let objects: Vec<Object> = (0..objects).map(|n| Object::Integers(vec![n])).collect();
        let mut raw = Vec::new();
        reward.evaluate(&objects, &mut raw).unwrap();
        raw
    }

    fn near(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        let near =
            found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12 * b.abs().max(1.0));
        assert!(near, "{found:?}, expected {expected:?}");
    }

    #[test]
    fn averages_and_spreads_of_each_object_in_either_space() {
        // Two objects, three times: 1, 2, 3 and 4, 4, 4.
        let reward = repeated(&[1.0, 4.0, 2.0, 4.0, 3.0, 4.0], 3, None, false);
        near(&evaluated(&reward, 2), &[2.0, 20.0, 1.0, 10.0, 4.0, 40.0, 0.0, 0.0]);
        let names: Vec<String> = reward.outputs().into_iter().map(|output| output.name).collect();
        assert_eq!(names, ["y", "ten", "y_std", "ten_std"]);
        // The geometric mean of 1 and 4; what is only recorded is averaged as it is.
        let log = repeated(&[1.0, 4.0], 2, Some(Average::Log), false);
        let spread = 4f64.ln() / 2f64.sqrt();
        near(&evaluated(&log, 1), &[2.0, 25.0, spread, 30.0 / 2f64.sqrt()]);
        let logs = [1f64.ln(), 4f64.ln()];
        let log = repeated(&logs, 2, None, true);
        near(&evaluated(&log, 1)[..1], &[2f64.ln()]);
        let linear = repeated(&logs, 2, Some(Average::Linear), true);
        near(&evaluated(&linear, 1)[..1], &[2.5f64.ln()]);
    }

    #[test]
    fn a_reward_of_nothing_has_no_logarithm_and_makes_the_average_nothing() {
        let log = repeated(&[0.0, 4.0, 4.0], 3, Some(Average::Log), false);
        let raw = evaluated(&log, 1);
        assert_eq!((raw[0], raw[2]), (0.0, 0.0));
        let nan = repeated(&[f64::NAN, 4.0], 2, Some(Average::Log), false);
        assert!(evaluated(&nan, 1)[0].is_nan(), "what is no number stays none");
        let equal = repeated(&[0.1, 0.1, 0.1], 3, None, false);
        assert_eq!(evaluated(&equal, 1)[0].to_bits(), 0.1f64.to_bits());
    }

    #[test]
    fn a_repeat_that_fails_fails_the_object() {
        let reward = repeated(&[1.0, 2.0], 3, None, false);
        let error = reward.evaluate(&[Object::Integers(vec![7])], &mut Vec::new()).unwrap_err();
        assert!(matches!(error, RewardError::UnknownObject { .. }), "{error}");
    }

    #[test]
    fn log_r_is_made_of_the_average() {
        let reward = repeated(&[], 2, None, false);
        assert_eq!(reward.transform(&[2.0, 20.0, 0.5, 5.0]).unwrap().get(), 2f64.ln());
        for raw in [&[2.0, 20.0][..], &[2.0, 20.0, f64::NAN, 0.0], &[2.0, 20.0, -1.0, 0.0]] {
            assert!(reward.transform(raw).is_err(), "{raw:?}");
        }
        let other = repeated(&[], 3, None, false);
        assert_ne!(reward.identity(), other.identity(), "actors must agree on it");
        assert_eq!(reward.identity().version, other.identity().version);
    }
}
