//! Whether two measurements of an object by different actors agree.

use super::{Reward, Role};
use crate::claims::Outcome;

/// Standard errors by which two averages of a noisy reward may differ besides.
const STANDARD_ERRORS: f64 = 6.0;
/// Of values near 0: so much of the tolerance is absolute.
const NEAR_ZERO: f64 = 1e-6;

/// What is compared of two measurements, and by how much they may differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Agreement {
    tolerance: f64,
    /// Of each raw value of an object, whether it is compared.
    compared: Vec<bool>,
    /// Of averages: how many measurements they are of, and whether their logarithms are compared.
    averages: Option<(u32, bool)>,
}

impl Agreement {
    /// Values that enter log R or bound what is acceptable may differ by this share of the larger one.
    pub fn new(reward: &dyn Reward, tolerance: f64) -> Self {
        let is_compared = |role| matches!(role, Role::Objective | Role::Constraint);
        let compared = reward.outputs().iter().map(|output| is_compared(output.role)).collect();
        let averages = reward.averaging();
        let averages =
            averages.map(|averaging| (averaging.repeats(), averaging.takes_logarithms()));
        Self { tolerance, compared, averages }
    }

    /// Whether the outcomes say the same; a failure and a value never do, two failures always.
    pub fn holds(&self, first: &Outcome, second: &Outcome) -> bool {
        match (first, second) {
            (Outcome::Measured(first), Outcome::Measured(second)) => self.values(first, second),
            (Outcome::Failed(_), Outcome::Failed(_)) => true,
            _ => false,
        }
    }

    fn values(&self, first: &[f64], second: &[f64]) -> bool {
        let outputs = self.compared.len();
        if first.len() != outputs || second.len() != outputs {
            return false;
        }
        let mut places = (0..outputs).filter(|place| self.compared[*place]);
        places.all(|place| self.one(place, first, second))
    }

    fn one(&self, place: usize, first: &[f64], second: &[f64]) -> bool {
        let (mut a, mut b) = (first[place], second[place]);
        if a == b || !a.is_finite() || !b.is_finite() {
            return a == b;
        }
        let mut noise = 0.0;
        if let Some((repeats, takes_logarithms)) = self.averages {
            // The spreads stand behind the averages.
            let spread = |raw: &[f64]| raw.get(self.compared.len() / 2 + place).copied();
            let variance = |raw: &[f64]| spread(raw).unwrap_or(0.0).powi(2) / f64::from(repeats);
            noise = STANDARD_ERRORS * (variance(first) + variance(second)).sqrt();
            if takes_logarithms && a > 0.0 && b > 0.0 {
                (a, b) = (a.ln(), b.ln());
            }
        }
        let allowed = self.tolerance * a.abs().max(b.abs()).max(NEAR_ZERO);
        (a - b).abs() <= allowed + noise
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::environment::Identity;
    use crate::log_space::LogReward;
    use crate::object::Object;
    use crate::reward::{Average, InvalidRaw, Output, Repeated, RewardError};

    /// A score, and what is only recorded.
    struct Scored;

    impl Reward for Scored {
        fn identity(&self) -> Identity {
            Identity { kind: "scored".to_owned(), version: 1, configuration: String::new() }
        }

        fn outputs(&self) -> Vec<Output> {
            let output = |name: &str, role| Output { name: name.to_owned(), role };
            vec![output("score", Role::Objective), output("host", Role::Info)]
        }

        fn evaluate(&self, _: &[Object], _: &mut Vec<f64>) -> Result<(), RewardError> {
            Ok(())
        }

        fn transform(&self, raw: &[f64]) -> Result<LogReward, InvalidRaw> {
            Err(InvalidRaw { raw: raw.to_vec(), reason: "nothing is worth anything".to_owned() })
        }
    }

    fn agree(agreement: &Agreement, first: &[f64], second: &[f64]) -> bool {
        agreement.holds(&Outcome::Measured(first.to_vec()), &Outcome::Measured(second.to_vec()))
    }

    #[test]
    fn values_may_differ_by_a_share_and_what_is_only_recorded_by_anything() {
        let exact = Agreement::new(&Scored, 1e-6);
        assert!(agree(&exact, &[2.0, 7.0], &[2.0 + 1e-6, 9.0]));
        assert!(!agree(&exact, &[2.0, 7.0], &[2.0001, 7.0]));
        assert!(!agree(&exact, &[1e-12 * 1e9, 0.0], &[2e-12 * 1e9, 0.0]));
        assert!(agree(&exact, &[0.0, 0.0], &[1e-13, 0.0]), "what a subtraction leaves");
        assert!(!agree(&exact, &[0.0, 0.0], &[f64::NAN, 0.0]));
        assert!(!agree(&exact, &[0.0], &[0.0, 0.0]));
        assert!(agree(&Agreement::new(&Scored, 0.5), &[1.0, 0.0], &[2.0, 0.0]));
        let infinite = [f64::NEG_INFINITY, 0.0];
        assert!(agree(&exact, &infinite, &infinite) && !agree(&exact, &infinite, &[0.0, 0.0]));
    }

    #[test]
    fn a_failure_agrees_with_failures_only() {
        let exact = Agreement::new(&Scored, 0.0);
        let failed = |why: &str| Outcome::Failed(why.to_owned());
        assert!(exact.holds(&failed("a"), &failed("b")));
        assert!(!exact.holds(&failed("a"), &Outcome::Measured(vec![1.0, 0.0])));
    }

    #[test]
    fn averages_may_differ_by_their_noise_besides() {
        let repeated = |average| Repeated::new(Arc::new(Scored), 4, Some(average));
        let linear = Agreement::new(&repeated(Average::Linear), 1e-6);
        // Each average is known to 0.1 / 2, their difference to 0.07.
        assert!(agree(&linear, &[2.0, 0.0, 0.1, 0.0], &[2.4, 0.0, 0.1, 0.0]));
        assert!(!agree(&linear, &[2.0, 0.0, 0.1, 0.0], &[2.5, 0.0, 0.1, 0.0]));
        let log = Agreement::new(&repeated(Average::Log), 1e-6);
        assert!(agree(&log, &[2.0, 0.0, 0.1, 0.0], &[3.0, 0.0, 0.1, 0.0]));
        assert!(!agree(&log, &[2.0, 0.0, 0.1, 0.0], &[3.2, 0.0, 0.1, 0.0]));
    }
}
