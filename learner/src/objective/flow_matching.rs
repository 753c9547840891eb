//! Flow matching (Bengio, Jain, Korablyov, Precup, Bengio: "Flow network based generative models for
//! non-iterative diverse candidate generation", 2021).

use std::ops::Range;

use tributary_common::log_space::log_sum_exp;
use tributary_common::network::Ragged;

use super::{Gradients, Objective, ResidualLoss, Terms};

/// log F of the edges around the states that a batch visits: flow matching's own input. Edges, not
/// neighbours: several between the same two states are several.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EdgeFlows {
    /// log F of every edge out of every state, the exit's last where the construction can stop.
    pub log_flow: Vec<f64>,
    /// The same under the target weights, for what flows out; empty where `log_flow` itself is it.
    pub target: Vec<f64>,
    /// Where the edges out of each state start in `log_flow`, and the end of the last. First come
    /// the states that are visited, then those that are only parents of them.
    pub outgoing: Vec<usize>,
    /// Whether the construction can stop in each state.
    pub can_stop: Vec<bool>,
    /// The edges into each visited state, by their places in `log_flow`; none into the initial one.
    pub incoming: Ragged,
    /// The state in which each transition starts.
    pub states: Vec<u32>,
}

impl EdgeFlows {
    /// log of what flows into a visited state; minus infinity for the initial state.
    pub fn log_in(&self, state: usize) -> f64 {
        log_sum_exp(self.incoming.row(state).iter().map(|&edge| self.log_flow[edge as usize]))
    }

    /// log of what flows out of a state.
    fn log_out(&self, state: usize) -> f64 {
        log_sum_exp(self.log_flow[self.out(state)].iter().copied())
    }

    fn out(&self, state: usize) -> Range<usize> {
        self.outgoing[state]..self.outgoing[state + 1]
    }

    /// The exit's edge, where it is one among others; a forced exit carries R and is not learned.
    fn exit(&self, state: usize) -> Option<usize> {
        let out = self.out(state);
        (self.can_stop[state] && out.len() > 1).then(|| out.end - 1)
    }

    fn is_forced(&self, state: usize) -> bool {
        self.can_stop[state] && self.out(state).len() == 1
    }
}

/// The mean over the states s on the way of a batch, the initial one not among them, of
/// `(log Σ F(edge into s) - log Σ F(edge out of s))²`, and `alpha` times the mean over the
/// trajectories of `(log F(exit of x) - log R(x))²`.
///
/// The edges out of s contain the exit's, learned as all others and held to R by the second mean;
/// where the exit is forced it is not learned, and what flows out is R itself. P_F is the flow of an
/// edge over all that flows out; P_B, where anybody asks, its flow over all that flows in.
///
/// log Z is what flows out of the initial state; the parameter's gradient here is that of the square
/// of its distance to that, held fixed.
#[derive(Clone, Copy, Debug)]
pub struct FlowMatching {
    /// In the place of the squares.
    pub residual: ResidualLoss,
    /// The weight of the exits.
    pub alpha: f64,
}

impl Objective for FlowMatching {
    fn loss(&self, terms: &Terms, gradients: &mut Gradients) -> f64 {
        gradients.reset(terms);
        let edges = &terms.edges;
        let flows = StateFlows::new(edges);
        let mut slopes = vec![Slopes::default(); flows.log_in.len()];
        let trajectories = terms.log_reward.len();
        // Without this a batch of empty trajectories, which have nothing to match, gives 0 / 0.
        let share = 1.0 / (edges.states.len() - trajectories).max(1) as f64;
        let exit_share = self.alpha / trajectories as f64;
        let mut loss = 0.0;
        for (transitions, log_reward) in terms.trajectories() {
            for &state in &edges.states[transitions.start + 1..transitions.end] {
                let state = state as usize;
                let is_forced = edges.is_forced(state);
                let log_out = if is_forced { log_reward } else { flows.log_out[state] };
                let (value, slope) = self.residual.at(flows.log_in[state] - log_out);
                loss += share * value;
                slopes[state].incoming += share * slope;
                slopes[state].outgoing -= if is_forced { 0.0 } else { share * slope };
            }
            if let Some(exit) = edges.exit(edges.states[transitions.end - 1] as usize) {
                let (value, slope) = self.residual.at(edges.log_flow[exit] - log_reward);
                loss += exit_share * value;
                gradients.edges[exit] += exit_share * slope;
            }
        }
        flows.take_back(&slopes, edges, &mut gradients.edges);
        let initial = edges.states.first().map_or(0, |&state| state as usize);
        gradients.log_z = 2.0 * (terms.log_z - edges.log_out(initial));
        loss
    }
}

/// What flows into and out of each visited state, in logarithms.
struct StateFlows {
    log_in: Vec<f64>,
    /// Under the target weights, where there are any.
    log_out: Vec<f64>,
}

/// The gradient with respect to the [`StateFlows`] of one state.
#[derive(Clone, Copy, Default)]
struct Slopes {
    incoming: f64,
    outgoing: f64,
}

impl StateFlows {
    fn new(edges: &EdgeFlows) -> Self {
        let outflows = if edges.target.is_empty() { &edges.log_flow } else { &edges.target };
        let visited = 0..edges.incoming.rows();
        let log_out = |state| log_sum_exp(outflows[edges.out(state)].iter().copied());
        Self {
            log_in: visited.clone().map(|state| edges.log_in(state)).collect(),
            log_out: visited.map(log_out).collect(),
        }
    }

    /// Adds to the gradient with respect to the edges: d log Σ F / d log F(edge) is the edge's part of
    /// the flow. A target has none.
    fn take_back(&self, slopes: &[Slopes], edges: &EdgeFlows, gradient: &mut [f64]) {
        for (state, Slopes { incoming, outgoing }) in slopes.iter().enumerate() {
            for &edge in edges.incoming.row(state) {
                let edge = edge as usize;
                gradient[edge] += incoming * (edges.log_flow[edge] - self.log_in[state]).exp();
            }
            if edges.target.is_empty() {
                for edge in edges.out(state) {
                    gradient[edge] += outgoing * (edges.log_flow[edge] - self.log_out[state]).exp();
                }
            }
        }
    }
}
