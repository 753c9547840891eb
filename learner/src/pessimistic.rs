//! The pessimistic backward policy (Jang, Jang, Kim, Park, Ahn: "Pessimistic backward policy for
//! GFlowNets", 2024): P_B fitted by likelihood to the trajectories seen.

use crate::objective::{Gradients, Terms};
use crate::replay::Source;

/// Puts the gradient of `-1/N Σ_τ Σ_t log P_B(s_t | s_t+1)` over the N trajectories of a batch that
/// were drawn forward in the place of the objective's gradient with respect to log P_B, which
/// therefore does not reach P_B. Paths that came from P_B would draw it towards itself.
///
/// With P_F held fixed and trajectories drawn by it, the minimum is the posterior of the paths:
/// P_B(τ | x) = P_F(τ) / Σ P_F(τ') over all paths τ' to x.
pub fn fit_backward(terms: &Terms, sources: &[Source], gradients: &mut Gradients) {
    let seen = sources.iter().filter(|source| !source.is_of_backward_policy()).count();
    gradients.log_pb.fill(0.0);
    for ((transitions, _), source) in terms.trajectories().zip(sources) {
        if !source.is_of_backward_policy() {
            // Undoing the exit, the last transition, has probability 1.
            gradients.log_pb[transitions.start..transitions.end - 1].fill(-1.0 / seen as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::collections::HashMap;

    use tributary_common::environment::sequence::{Construction, Length};
    use tributary_common::environment::{Environment, Hypergrid, Sequence};
    use tributary_common::ids::PolicyVersion;
    use tributary_common::network::Heads;

    use super::*;
    use crate::batch::Batch;
    use crate::probabilities::Probabilities;
    use crate::replay::Samples;

    /// Twice the weight for each action further down the list, and 1 for the exit: P_F is the share.
    fn weights(environment: &dyn Environment, state: &[u32]) -> Vec<(Option<u32>, u32)> {
        let mut legal = Vec::new();
        environment.legal_forward(state, &mut legal);
        let weighted = legal.into_iter().zip(0..).map(|(action, i)| (Some(action), 1 << (i % 3)));
        weighted.chain(environment.can_stop(state).then_some((None, 1))).collect()
    }

    /// Every path from `state` on, with its probability.
    fn paths(
        environment: &dyn Environment,
        state: &[u32],
        (actions, probability): (Vec<u32>, f64),
        out: &mut Vec<(Vec<u32>, f64)>,
    ) {
        let weights = weights(environment, state);
        let sum: u32 = weights.iter().map(|(_, weight)| weight).sum();
        for (action, weight) in weights {
            let probability = probability * f64::from(weight) / f64::from(sum);
            let Some(action) = action else {
                out.push((actions.clone(), probability));
                continue;
            };
            let mut next = state.to_vec();
            environment.step(&mut next, action);
            let longer = actions.iter().copied().chain([action]).collect();
            paths(environment, &next, (longer, probability), out);
        }
    }

    fn end(environment: &dyn Environment, actions: &[u32]) -> Vec<u32> {
        let mut state = vec![0; environment.state_width()];
        environment.reset(&mut state);
        actions.iter().for_each(|&action| environment.step(&mut state, action));
        state
    }

    /// With P_F held fixed, one logit for each backward edge of each state, and the exact expected
    /// gradient (every path, weighted with its probability), P_B becomes the posterior of the paths.
    fn fit(environment: &dyn Environment) {
        let (mut all, mut samples) = (Vec::new(), Samples::default());
        paths(environment, &end(environment, &[]), (Vec::new(), 1.0), &mut all);
        for (i, (actions, _)) in (0..).zip(&all) {
            samples.push(i, actions.iter().copied(), 0.0, PolicyVersion::default());
        }
        let (forward, backward) = (environment.forward_actions(), environment.backward_actions());
        let heads = Heads { forward, backward, ..Heads::default() };
        let (mut batch, mut probabilities) = (Batch::new(heads), Probabilities::new(heads));
        batch.build(environment, &samples).unwrap();
        let mut logits = vec![0.0; batch.states.len() * heads.width()];
        let (mut terms, mut gradients) = (Terms::default(), Gradients::default());
        let mut gradient = Vec::new();
        for _ in 0..2_000 {
            probabilities.terms(&batch, &logits, &mut terms);
            gradients.reset(&terms);
            fit_backward(&terms, &samples.sources, &mut gradients);
            for (window, (_, probability)) in batch.offsets.windows(2).zip(&all) {
                let transitions = window[0] as usize..window[1] as usize;
                let share = probability * all.len() as f64;
                gradients.log_pb[transitions].iter_mut().for_each(|g| *g *= share);
            }
            probabilities.logit_gradient(&batch, &gradients, &mut gradient);
            logits.iter_mut().zip(&gradient).for_each(|(logit, g)| *logit -= 5.0 * g);
        }
        let mut reached: HashMap<Vec<u32>, f64> = HashMap::new();
        for (actions, probability) in &all {
            *reached.entry(end(environment, actions)).or_default() += probability;
        }
        assert!(reached.len() < all.len(), "some object has more than one path");
        for ((transitions, _), (actions, probability)) in terms.trajectories().zip(&all) {
            let posterior = probability / reached[&end(environment, actions)];
            let ours = terms.log_pb[transitions].iter().sum::<f64>().exp();
            assert!((ours - posterior).abs() < 1e-2, "{actions:?}: {ours} is not {posterior}");
        }
    }

    #[test]
    fn it_becomes_the_posterior_of_the_paths() {
        fit(&Hypergrid::new(2, 3).unwrap());
        let words = Sequence::over_alphabet("AC", Length::Length(3)).unwrap();
        fit(&words.built_by(Construction::PrependAppend).unwrap());
    }

    #[test]
    fn the_gradient_is_that_of_the_likelihood_of_what_actors_drew() {
        let terms = Terms {
            offsets: vec![0, 1, 4, 6],
            log_pf: vec![-0.5; 6],
            log_pb: vec![0.0, -0.3, -0.7, 0.0, -0.2, 0.0],
            log_reward: vec![0.0; 3],
            ..Terms::default()
        };
        let mut gradients = Gradients::default();
        gradients.reset(&terms);
        gradients.log_pf.fill(3.0);
        gradients.log_pb.fill(7.0);
        for (last, expected) in [
            (Source::Redrawn, [0.0, -0.5, -0.5, 0.0, 0.0, 0.0]),
            (Source::Backward, [0.0, -0.5, -0.5, 0.0, 0.0, 0.0]),
            (Source::Initial, [0.0, -0.5, -0.5, 0.0, 0.0, 0.0]),
            (Source::Replayed, [0.0, -1.0 / 3.0, -1.0 / 3.0, 0.0, -1.0 / 3.0, 0.0]),
        ] {
            fit_backward(&terms, &[Source::Fresh, Source::Fresh, last], &mut gradients);
            assert_eq!(gradients.log_pb, expected, "{last:?}");
            assert_eq!(gradients.log_pf, [3.0; 6]);
        }
        fit_backward(&terms, &[Source::Redrawn; 3], &mut gradients);
        assert_eq!(gradients.log_pb, [0.0; 6]);
    }
}
