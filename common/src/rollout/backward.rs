//! Draws paths backward from finished objects with P_B: fresh paths to objects that are known.

use std::sync::Arc;

use super::BrokenEnvironment;
use crate::environment::Environment;
use crate::network::States;
use crate::network::cpu::{Cache, Scratch, Snapshot};
use crate::random::Stream;

/// A path to a state, drawn backward from it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BackwardPath {
    /// Its actions in forward order, without the exit.
    pub actions: Vec<u32>,
    /// The state in which it starts: the initial one unless the number of steps was limited.
    pub start: Vec<u32>,
    /// log P_B of the path given its end, by the policy's own P_B.
    pub log_pb: f64,
    /// log P_F of the path given its start, the exit included.
    pub log_pf: f64,
}

/// Draws batches of paths backward, reusing its memory. No gradient goes through the draw.
///
/// Each step is drawn from `uniform / n + (1 - uniform) P_B` over the n ways back, so that every
/// path keeps a chance whatever P_B has learned. Random numbers belong to the path, and a row of the
/// network's output does not depend on its batch: a path is a function of its stream, the snapshot,
/// the object and `uniform`.
pub struct BackwardRollouts {
    environment: Arc<dyn Environment>,
    asked: States,
    scratch: Scratch,
    cache: Cache,
    probabilities: Vec<f64>,
}

/// One path on its way back.
struct Walk {
    path: BackwardPath,
    /// The action that leads on from the present state; none at the end: the exit.
    next: Option<u32>,
}

impl BackwardRollouts {
    /// Draws in this environment.
    #[must_use]
    pub fn new(environment: Arc<dyn Environment>) -> Self {
        let (asked, scratch, cache) = (States::default(), Scratch::default(), Cache::default());
        Self { environment, asked, scratch, cache, probabilities: Vec::new() }
    }

    /// Draws a path to each of these finished states, undoing at most `most_steps` actions; one
    /// stream for each.
    ///
    /// # Errors
    /// The environment breaks its laws.
    pub fn draw(
        &mut self,
        snapshot: &Snapshot,
        uniform: f64,
        most_steps: usize,
        ends: &[Vec<u32>],
        streams: &mut [Stream],
    ) -> Result<Vec<BackwardPath>, BrokenEnvironment> {
        let start = |end: &Vec<u32>| Walk {
            path: BackwardPath { start: end.clone(), ..BackwardPath::default() },
            next: None,
        };
        let mut walks: Vec<Walk> = ends.iter().map(start).collect();
        let mut active: Vec<usize> = (0..walks.len()).collect();
        self.cache.clear();
        while !active.is_empty() {
            self.asked.clear_for(snapshot.heads());
            for &i in &active {
                self.asked.push(&*self.environment, &walks[i].path.start);
            }
            let (scratch, cache) = (&mut self.scratch, &mut self.cache);
            let rows = snapshot.forward_in_slots(scratch, cache, &active, &self.asked.features);
            let heads = snapshot.heads();
            let mut rows = rows.chunks_exact(heads.width()).enumerate();
            let mut failure = None;
            active.retain(|&i| {
                let Some((row, logits)) = rows.next() else { return false };
                let walk = &mut walks[i];
                let (asked, choices) = (&self.asked, &mut self.probabilities);
                let legal = asked.forward.row(row);
                heads.log_forward(logits, legal, asked.can_stop[row], choices);
                let taken = walk.next.map_or(legal.len(), |a| legal.partition_point(|&b| b < a));
                walk.path.log_pf += choices[taken];
                let ways_back = asked.backward.row(row);
                if ways_back.is_empty() || walk.path.actions.len() == most_steps {
                    return false;
                }
                if walk.path.actions.len() == self.environment.max_steps() {
                    failure = Some(BrokenEnvironment::TooLong(self.environment.max_steps()));
                    return false;
                }
                heads.log_backward(asked, row, logits, choices);
                let choice = draw(choices, uniform, &mut streams[i]);
                walk.path.log_pb += choices[choice];
                walk.undo(&*self.environment, ways_back[choice]);
                true
            });
            if let Some(failure) = failure {
                return Err(failure);
            }
        }
        Ok(walks.into_iter().map(Walk::finish).collect())
    }
}

impl Walk {
    fn undo(&mut self, environment: &dyn Environment, backward: u32) {
        let action = environment.forward_of(&self.path.start, backward);
        environment.undo(&mut self.path.start, backward);
        self.path.actions.push(action);
        self.next = Some(action);
    }

    fn finish(mut self) -> BackwardPath {
        self.path.actions.reverse();
        self.path
    }
}

/// An index drawn from the mixture of the uniform distribution and of these log probabilities.
fn draw(log_probabilities: &[f64], uniform: f64, stream: &mut Stream) -> usize {
    let floor = uniform / log_probabilities.len() as f64;
    let mixed: Vec<f64> =
        log_probabilities.iter().map(|log_p| floor + (1.0 - uniform) * log_p.exp()).collect();
    stream.categorical(&mixed)
}
