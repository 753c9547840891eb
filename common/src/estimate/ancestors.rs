//! The states on all paths to some objects, and the exact probability of these objects by dynamic
//! programming over them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::environment::Environment;
use crate::exact::Policy;
use crate::network::States;

/// States that the policy is asked about at a time.
const BLOCK: usize = 1024;

/// Some objects and all their ancestors, which they may share.
#[derive(Debug, Default)]
pub struct Ancestors {
    states: Vec<Box<[u32]>>,
    places: HashMap<Box<[u32]>, usize>,
    /// The edges between them. Where several join the same two states, each is there.
    edges: Vec<Edge>,
    /// The places of the objects, in the order in which they were added.
    objects: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Edge {
    from: usize,
    to: usize,
    action: u32,
}

impl Ancestors {
    /// Adds an object by its state, if it has at most `most` ancestors, itself included; else leaves
    /// all as it was and says false.
    pub fn add(&mut self, environment: &dyn Environment, state: &[u32], most: usize) -> bool {
        let (states, edges) = (self.states.len(), self.edges.len());
        let place = self.place(state);
        // Ancestors that an earlier object has brought count too.
        let mut seen = HashMap::from([(place, ())]);
        let mut open = vec![place];
        let (mut parent, mut ways) = (state.to_vec(), Vec::new());
        while let Some(to) = open.pop() {
            let is_new = to >= states;
            ways.clear();
            environment.legal_backward(&self.states[to], &mut ways);
            for &way in &ways {
                parent.copy_from_slice(&self.states[to]);
                let action = environment.forward_of(&parent, way);
                environment.undo(&mut parent, way);
                let from = self.place(&parent);
                if is_new {
                    self.edges.push(Edge { from, to, action });
                }
                if let Entry::Vacant(vacant) = seen.entry(from) {
                    vacant.insert(());
                    open.push(from);
                }
            }
            if seen.len() > most {
                self.edges.truncate(edges);
                for state in self.states.drain(states..) {
                    self.places.remove(&state);
                }
                return false;
            }
        }
        self.objects.push(place);
        true
    }

    /// Number of states.
    pub fn states(&self) -> usize {
        self.states.len()
    }

    /// log p of each object under a policy, exact: log of the sum over all paths of the product of
    /// P_F, the exit included.
    pub fn log_probabilities(
        &self,
        environment: &dyn Environment,
        policy: &mut dyn Policy,
    ) -> Vec<f64> {
        let (choices, offsets) = self.choices(environment, policy);
        let mut entering = vec![0usize; self.states.len()];
        let mut leaving: Vec<Vec<Edge>> = vec![Vec::new(); self.states.len()];
        for edge in &self.edges {
            entering[edge.to] += 1;
            leaving[edge.from].push(*edge);
        }
        let mut log_passing = vec![f64::NEG_INFINITY; self.states.len()];
        let mut ready: Vec<usize> = (0..self.states.len()).filter(|&i| entering[i] == 0).collect();
        // Only the initial state has no way back.
        ready.iter().for_each(|&initial| log_passing[initial] = 0.0);
        let mut legal = Vec::new();
        while let Some(from) = ready.pop() {
            legal.clear();
            environment.legal_forward(&self.states[from], &mut legal);
            for &Edge { to, action, .. } in &leaving[from] {
                let position = legal.partition_point(|&other| other < action);
                let log_p = log_passing[from] + choices[offsets[from] + position];
                log_passing[to] = log_add_exp(log_passing[to], log_p);
                entering[to] -= 1;
                if entering[to] == 0 {
                    ready.push(to);
                }
            }
        }
        let exit = |&object: &usize| {
            // The exit is the last choice; a forced one is no choice.
            let choices = &choices[offsets[object]..offsets[object + 1]];
            log_passing[object] + choices.last().copied().unwrap_or(0.0)
        };
        self.objects.iter().map(exit).collect()
    }

    /// The policy's log P_F in all states, and where each begins; none where there is no action.
    fn choices(
        &self,
        environment: &dyn Environment,
        policy: &mut dyn Policy,
    ) -> (Vec<f64>, Vec<usize>) {
        let (mut choices, mut offsets, mut block) = (Vec::new(), vec![0], Vec::new());
        let (mut asked, mut legal, mut end) = (States::default(), Vec::new(), 0);
        for chunk in self.states.chunks(BLOCK) {
            asked.clear();
            for state in chunk {
                legal.clear();
                environment.legal_forward(state, &mut legal);
                if !legal.is_empty() {
                    asked.push(environment, state);
                    end += legal.len() + usize::from(environment.can_stop(state));
                }
                offsets.push(end);
            }
            block.clear();
            if !asked.is_empty() {
                policy.log_forward(&asked, &mut block);
            }
            choices.append(&mut block);
        }
        (choices, offsets)
    }

    fn place(&mut self, state: &[u32]) -> usize {
        if let Some(&place) = self.places.get(state) {
            return place;
        }
        let place = self.states.len();
        self.states.push(state.into());
        self.places.insert(state.into(), place);
        place
    }
}

/// log(e^a + e^b).
fn log_add_exp(a: f64, b: f64) -> f64 {
    let (smaller, larger) = if a < b { (a, b) } else { (b, a) };
    if smaller == f64::NEG_INFINITY { larger } else { larger + (smaller - larger).exp().ln_1p() }
}
