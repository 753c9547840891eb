//! From a batch's logits to the terms of an objective, and from the gradient with respect to the
//! terms back to the gradient with respect to the logits.
//!
//! In float64 and in Rust, by the same softmax over legal entries alone that rollouts and exact
//! evaluation use; `docs/adr/0001-log-softmax-in-rust.md` says why.

use tributary_common::network::Heads;
use tributary_common::network::heads::log_softmax_and_softmax;

use crate::batch::Batch;
use crate::edge_flows;
use crate::objective::{Gradients, Terms};

/// log P_F and log P_B of all legal entries of a batch's states, ragged.
pub struct Probabilities {
    heads: Heads,
    forward: Ragged,
    backward: Ragged,
    row: Vec<f64>,
    gradient: Vec<f64>,
    /// Sum of the gradients of a row's chosen forward and backward entries.
    chosen: Vec<[f64; 2]>,
}

#[derive(Default)]
struct Ragged {
    /// Their logarithms.
    values: Vec<f64>,
    /// Themselves, where the gradient needs them.
    probabilities: Vec<f64>,
    starts: Vec<usize>,
}

impl Ragged {
    fn clear(&mut self) {
        self.values.clear();
        self.probabilities.clear();
        self.starts.clear();
    }

    fn push(&mut self, row: &[f64]) {
        self.starts.push(self.values.len());
        self.values.extend(row);
    }

    fn push_softmax(&mut self, logits: &mut [f64]) {
        log_softmax_and_softmax(logits, &mut self.probabilities);
        self.push(logits);
    }

    fn from(&self, row: usize) -> &[f64] {
        &self.values[self.starts[row]..]
    }

    fn probabilities_from(&self, row: usize) -> &[f64] {
        &self.probabilities[self.starts[row]..]
    }
}

impl Probabilities {
    /// For networks with these heads.
    pub fn new(heads: Heads) -> Self {
        Self {
            heads,
            forward: Ragged::default(),
            backward: Ragged::default(),
            row: Vec::new(),
            gradient: Vec::new(),
            chosen: Vec::new(),
        }
    }

    /// Writes the terms of a batch, but for log Z. `logits` is
    /// `[batch.states.len(), heads.width()]`.
    pub fn terms(&mut self, batch: &Batch, logits: &[f32], terms: &mut Terms) {
        let Batch { states, rows, .. } = batch;
        self.forward.clear();
        self.backward.clear();
        for (i, logits) in logits.chunks_exact(self.heads.width()).enumerate() {
            let legal = states.forward.row(i);
            self.heads.forward_logits(logits, legal, states.can_stop[i], &mut self.row);
            self.forward.push_softmax(&mut self.row);
            if self.heads.backward > 0 {
                self.heads.backward_logits(logits, states.backward.row(i), &mut self.row);
                self.backward.push_softmax(&mut self.row);
            } else {
                self.heads.log_backward(states, i, logits, &mut self.row);
                self.backward.push(&self.row);
            }
        }
        terms.offsets.clone_from(&batch.offsets);
        terms.log_reward.clone_from(&batch.log_rewards);
        terms.log_pf.clear();
        terms.log_pb.clear();
        terms.log_flow.clear();
        for (t, &row) in rows.iter().enumerate() {
            let forward = self.forward.from(row as usize);
            terms.log_pf.push(forward[batch.forward[t] as usize]);
            terms.log_pb.push(0.0);
        }
        for (t, next) in undoable(batch) {
            terms.log_pb[t] = self.backward.from(next)[batch.backward[t] as usize];
        }
        if let Some(column) = self.heads.flow_column() {
            let width = self.heads.width();
            let flow = |&row: &u32| f64::from(logits[row as usize * width + column]);
            terms.log_flow.extend(rows.iter().map(flow));
        }
        self.state_terms(batch, terms);
        if let Some(incoming) = &batch.incoming {
            edge_flows::terms(batch, incoming, self.heads, logits, terms);
        }
    }

    /// Writes the targets of terms that [`terms`](Self::terms) has written, from the logits of the
    /// target weights.
    pub fn targets(&mut self, batch: &Batch, logits: &[f32], terms: &mut Terms) {
        terms.target_log_flow.clear();
        terms.target_log_stop.clear();
        let width = self.heads.width();
        if let Some(column) = self.heads.flow_column() {
            let flow = |&row: &u32| f64::from(logits[row as usize * width + column]);
            terms.target_log_flow.extend(batch.rows.iter().map(flow));
        }
        if batch.incoming.is_some() {
            edge_flows::gather(batch, self.heads, logits, &mut terms.edges.target);
        }
        if !terms.log_stop.is_empty() {
            for &row in &batch.rows {
                let row = row as usize;
                let (logits, legal) = (&logits[row * width..], batch.states.forward.row(row));
                self.heads.log_forward(logits, legal, true, &mut self.row);
                terms.target_log_stop.push(self.row[legal.len()]);
            }
        }
    }

    /// Writes the terms of the states as objects of their own, where the batch has their rewards.
    fn state_terms(&self, batch: &Batch, terms: &mut Terms) {
        terms.log_stop.clear();
        terms.state_log_reward.clear();
        if batch.state_log_rewards.is_empty() {
            return;
        }
        for &row in &batch.rows {
            let exit = batch.states.forward.row(row as usize).len();
            terms.log_stop.push(self.forward.from(row as usize)[exit]);
            terms.state_log_reward.push(batch.state_log_rewards[row as usize]);
        }
        // What the trajectory ends in: its log-reward is known, and its row may be shared.
        for (end, log_reward) in batch.offsets[1..].iter().zip(&batch.log_rewards) {
            terms.state_log_reward[*end as usize - 1] = *log_reward;
        }
    }

    /// Writes the gradient with respect to the logits of the last [`terms`](Self::terms), in their
    /// shape; 0 at illegal entries.
    pub fn logit_gradient(&mut self, batch: &Batch, terms: &Gradients, logits: &mut Vec<f32>) {
        let width = self.heads.width();
        let first_backward = self.heads.backward_column();
        self.gradient.clear();
        self.gradient.resize(batch.states.len() * width, 0.0);
        self.chosen.clear();
        self.chosen.resize(batch.states.len(), [0.0; 2]);
        for (t, &row) in batch.rows.iter().enumerate() {
            let legal = batch.states.forward.row(row as usize);
            let chosen = legal.get(batch.forward[t] as usize).copied();
            let column = chosen.map_or(self.heads.exit_column(), |action| action as usize);
            self.gradient[row as usize * width + column] += terms.log_pf[t];
            self.chosen[row as usize][0] += terms.log_pf[t];
            if let (Some(column), Some(flow)) = (self.heads.flow_column(), terms.log_flow.get(t)) {
                self.gradient[row as usize * width + column] += flow;
            }
            if let Some(stop) = terms.log_stop.get(t) {
                self.gradient[row as usize * width + self.heads.exit_column()] += stop;
                self.chosen[row as usize][0] += stop;
            }
        }
        if self.heads.backward > 0 {
            for (t, next) in undoable(batch) {
                let action = batch.states.backward.row(next)[batch.backward[t] as usize];
                self.gradient[next * width + first_backward + action as usize] += terms.log_pb[t];
                self.chosen[next][1] += terms.log_pb[t];
            }
        }
        self.subtract_expectations(batch);
        edge_flows::add_gradient(batch, self.heads, &terms.edges, &mut self.gradient);
        logits.clear();
        logits.extend(self.gradient.iter().map(|&g| g as f32));
    }

    /// d log p_i / d logit_j = [i = j] - p_j: the second part, for all chosen entries of a row at
    /// once.
    fn subtract_expectations(&mut self, batch: &Batch) {
        let (exit, backward) = (self.heads.exit_column(), self.heads.backward_column());
        for (i, gradient) in self.gradient.chunks_exact_mut(self.heads.width()).enumerate() {
            let legal = batch.states.forward.row(i).iter().map(|&action| action as usize);
            let columns = legal.chain(batch.states.can_stop[i].then_some(exit));
            for (column, p) in columns.zip(self.forward.probabilities_from(i)) {
                gradient[column] -= self.chosen[i][0] * p;
            }
            if self.heads.backward > 0 {
                let legal = batch.states.backward.row(i).iter();
                for (&action, p) in legal.zip(self.backward.probabilities_from(i)) {
                    gradient[backward + action as usize] -= self.chosen[i][1] * p;
                }
            }
        }
    }
}

/// The transitions that are no exit, each with the row of the state that it leads to.
fn undoable(batch: &Batch) -> impl Iterator<Item = (usize, usize)> {
    batch.offsets.windows(2).flat_map(|bounds| {
        (bounds[0] as usize..bounds[1] as usize - 1).map(|t| (t, batch.rows[t + 1] as usize))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use tributary_common::environment::{Environment, Hypergrid};
    use tributary_common::random::{Purpose, Stream};

    use super::*;
    use crate::fakes;
    use crate::objective::{Objective, TrajectoryBalance};

    fn batch(stream: &mut Stream) -> Batch {
        let environment = Hypergrid::new(3, 3).unwrap();
        let mut batch = Batch::default();
        let samples = fakes::random_trajectories(&environment, 8, stream);
        batch.build(&environment, &samples).unwrap();
        batch
    }

    /// The loss, plus something in log F and in the exits where there are such terms, so that their
    /// gradient is not zero.
    fn loss(terms: &Terms, gradients: &mut Gradients) -> f64 {
        let loss = TrajectoryBalance::default().loss(terms, gradients);
        gradients.log_flow.iter_mut().zip(&terms.log_flow).for_each(|(g, f)| *g = 0.2 * f);
        gradients.log_stop.iter_mut().zip(&terms.log_stop).for_each(|(g, f)| *g = 0.2 * f);
        let others = terms.log_flow.iter().chain(&terms.log_stop);
        loss + others.map(|f| 0.1 * f * f).sum::<f64>()
    }

    #[test]
    fn the_gradient_of_the_logits_is_the_finite_difference_of_the_loss() {
        for (seed, backward, flow) in [(1, 0, false), (2, 3, false), (3, 3, true), (4, 0, true)] {
            let heads = Heads { forward: 3, backward, flow, ..Heads::default() };
            let mut stream = Stream::new(seed, Purpose::Walk, 1, 0);
            let mut batch = batch(&mut stream);
            if backward == 0 {
                batch.state_log_rewards = vec![0.5; batch.states.len()];
            }
            let size = batch.states.len() * heads.width();
            let logits: Vec<f32> =
                (0..size).map(|_| (4.0 * stream.uniform() - 2.0) as f32).collect();
            let mut probabilities = Probabilities::new(heads);
            let mut terms = Terms { log_z: 0.3, ..Terms::default() };
            let (mut gradients, mut gradient) = (Gradients::default(), Vec::new());
            probabilities.terms(&batch, &logits, &mut terms);
            loss(&terms, &mut gradients);
            probabilities.logit_gradient(&batch, &gradients, &mut gradient);
            for i in 0..size {
                // A power of two, so that the shifted logit is exact in f32.
                let step = 1.0 / 1024.0;
                let mut loss_at = |shift: f32| {
                    let mut shifted = logits.clone();
                    shifted[i] += shift;
                    let width = f64::from(shifted[i]) - f64::from(logits[i]);
                    probabilities.terms(&batch, &shifted, &mut terms);
                    (loss(&terms, &mut Gradients::default()), width)
                };
                let ((up, above), (down, below)) = (loss_at(step), loss_at(-step));
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
    fn by_path_counts_a_path_has_the_same_share_as_all_others_to_its_end() {
        let environment = Hypergrid::new(3, 3).unwrap();
        let mut stream = Stream::new(6, Purpose::Walk, 1, 0);
        let samples = fakes::random_trajectories(&environment, 20, &mut stream);
        let heads = Heads { forward: 3, path_counts: true, ..Heads::default() };
        let (mut batch, mut terms) = (Batch::new(heads), Terms::default());
        for _ in 0..2 {
            batch.build(&environment, &samples).unwrap();
            let logits = vec![0.0; batch.states.len() * heads.width()];
            Probabilities::new(heads).terms(&batch, &logits, &mut terms);
            for ((transitions, _), actions) in terms.trajectories().zip(samples.iter_actions()) {
                let mut end = [0; 3];
                actions.iter().for_each(|&action| end[action as usize] += 1);
                let paths = environment.log_path_count(&end).unwrap();
                let log_pb: f64 = terms.log_pb[transitions].iter().sum();
                assert!((log_pb + paths).abs() < 1e-9, "{end:?}: {log_pb} is not -{paths}");
            }
        }
    }

    #[test]
    fn uniform_backward_probabilities_count_the_ways_back() {
        let batch = batch(&mut Stream::new(5, Purpose::Walk, 1, 0));
        let heads = Heads { forward: 3, ..Heads::default() };
        let mut terms = Terms::default();
        let logits = vec![0.0; batch.states.len() * heads.width()];
        Probabilities::new(heads).terms(&batch, &logits, &mut terms);
        for (t, next) in undoable(&batch) {
            let ways = batch.states.backward.row(next).len() as f64;
            assert!((terms.log_pb[t] + ways.ln()).abs() < 1e-12);
        }
        for &end in &batch.offsets[1..] {
            assert_eq!(terms.log_pb[end as usize - 1], 0.0);
        }
    }
}
