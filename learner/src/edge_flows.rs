//! From a batch's logits to log F of its edges, and back with the gradient: where the forward logits
//! are log flows and their softmax, over all edges out of a state, is P_F.

use tributary_common::network::Heads;

use crate::batch::Batch;
use crate::incoming::Incoming;
use crate::objective::Terms;

/// The columns of the logits of a state's edges: its legal actions, then the exit where it can stop.
fn columns(batch: &Batch, heads: Heads, row: usize) -> impl Iterator<Item = usize> {
    let legal = batch.states.forward.row(row).iter().map(|&action| action as usize);
    legal.chain(batch.states.can_stop[row].then_some(heads.exit_column()))
}

/// Writes log F of every edge out of every state, state after state.
pub(crate) fn gather(batch: &Batch, heads: Heads, logits: &[f32], out: &mut Vec<f64>) {
    out.clear();
    for (row, logits) in logits.chunks_exact(heads.width()).enumerate() {
        out.extend(columns(batch, heads, row).map(|column| f64::from(logits[column])));
    }
}

/// Writes the edges' terms, and as log P_B the flow of each edge over all that flows into the next
/// state.
pub(crate) fn terms(
    batch: &Batch,
    incoming: &Incoming,
    heads: Heads,
    logits: &[f32],
    terms: &mut Terms,
) {
    let edges = &mut terms.edges;
    gather(batch, heads, logits, &mut edges.log_flow);
    edges.can_stop.clone_from(&batch.states.can_stop);
    edges.states.clone_from(&batch.rows);
    edges.outgoing.clear();
    edges.outgoing.push(0);
    let mut end = 0;
    for row in 0..batch.states.len() {
        end += columns(batch, heads, row).count();
        edges.outgoing.push(end);
    }
    edges.incoming.clone_from(&incoming.parents);
    for (edge, forward) in edges.incoming.values.iter_mut().zip(&incoming.forward) {
        *edge = edges.outgoing[*edge as usize] as u32 + forward;
    }
    let log_in: Vec<f64> = (0..edges.incoming.rows()).map(|state| edges.log_in(state)).collect();
    for bounds in batch.offsets.windows(2) {
        for t in bounds[0] as usize..bounds[1] as usize - 1 {
            let edge = edges.outgoing[batch.rows[t] as usize] + batch.forward[t] as usize;
            terms.log_pb[t] = edges.log_flow[edge] - log_in[batch.rows[t + 1] as usize];
        }
    }
}

/// Adds the gradient with respect to the edges to that with respect to the logits.
pub(crate) fn add_gradient(batch: &Batch, heads: Heads, edges: &[f64], logits: &mut [f64]) {
    let mut edges = edges.iter();
    for (row, logits) in logits.chunks_exact_mut(heads.width()).enumerate() {
        for (column, gradient) in columns(batch, heads, row).zip(&mut edges) {
            logits[column] += gradient;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use tributary_common::environment::sequence::{Construction, Length, Sequence};
    use tributary_common::environment::{Environment, Hypergrid};
    use tributary_common::random::{Purpose, Stream};

    use crate::batch::Batch;
    use crate::fakes;
    use crate::objective::{FlowMatching, Gradients, Objective, ResidualLoss, Terms};
    use crate::probabilities::Probabilities;
    use tributary_common::network::Heads;

    #[test]
    fn the_gradient_of_the_logits_is_the_finite_difference_of_the_loss() {
        let words = Sequence::over_alphabet("AB", Length::MaxLength(3)).unwrap();
        let words = words.built_by(Construction::PrependAppend).unwrap();
        let grid = Hypergrid::new(2, 3).unwrap();
        let environments: [&dyn Environment; 2] = [&words, &grid];
        for (seed, environment) in environments.into_iter().enumerate() {
            let heads = Heads { forward: environment.forward_actions(), ..Heads::default() };
            let mut stream = Stream::new(seed as u64, Purpose::Walk, 2, 0);
            let mut batch = Batch::new(heads).with_incoming_edges();
            let samples = fakes::random_trajectories(environment, 4, &mut stream);
            batch.build(environment, &samples).unwrap();
            let size = batch.states.len() * heads.width();
            let mut logits: Vec<f32> =
                (0..size).map(|_| (4.0 * stream.uniform() - 2.0) as f32).collect();
            let objective = FlowMatching { residual: ResidualLoss::Squared, alpha: 0.7 };
            let mut probabilities = Probabilities::new(heads);
            let (mut terms, mut gradient) = (Terms::default(), Vec::new());
            let mut gradients = Gradients::default();
            probabilities.terms(&batch, &logits, &mut terms);
            objective.loss(&terms, &mut gradients);
            probabilities.logit_gradient(&batch, &gradients, &mut gradient);
            for i in 0..size {
                let mut loss_at = |shift: f32| {
                    // A power of two, so that the shifted logit is exact in f32 but for the last bits.
                    let before = logits[i];
                    logits[i] += shift;
                    let at = f64::from(logits[i]);
                    probabilities.terms(&batch, &logits, &mut terms);
                    logits[i] = before;
                    (objective.loss(&terms, &mut Gradients::default()), at)
                };
                let ((up, above), (down, below)) = (loss_at(0.001), loss_at(-0.001));
                let difference = (up - down) / (above - below);
                assert!(
                    (difference - f64::from(gradient[i])).abs() < 1e-4 * difference.abs().max(1.0),
                    "seed {seed}, logit {i}: {difference} is not {}",
                    gradient[i]
                );
            }
        }
    }

    #[test]
    fn forward_and_backward_probabilities_are_shares_of_the_same_flow() {
        let words = Sequence::over_alphabet("AB", Length::Length(2)).unwrap();
        let words = words.built_by(Construction::PrependAppend).unwrap();
        let heads = Heads { forward: 4, ..Heads::default() };
        let mut batch = Batch::new(heads).with_incoming_edges();
        let mut stream = Stream::new(3, Purpose::Walk, 2, 0);
        batch.build(&words, &fakes::random_trajectories(&words, 8, &mut stream)).unwrap();
        let logits = vec![0.5; batch.states.len() * heads.width()];
        let mut terms = Terms::default();
        Probabilities::new(heads).terms(&batch, &logits, &mut terms);
        for bounds in batch.offsets.windows(2) {
            let (start, exit) = (bounds[0] as usize, bounds[1] as usize - 1);
            // Four edges out of every state, two into it, all with the same flow.
            for t in start..exit {
                assert!((terms.log_pf[t] - 0.25f64.ln()).abs() < 1e-12);
                assert!((terms.log_pb[t] - 0.5f64.ln()).abs() < 1e-12);
            }
            assert_eq!((terms.log_pf[exit], terms.log_pb[exit]), (0.0, 0.0));
        }
    }
}
