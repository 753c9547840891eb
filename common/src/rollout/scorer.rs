//! log P_F and log P_B of given paths under a snapshot of weights.

use std::sync::Arc;

use crate::environment::Environment;
use crate::network::States;
use crate::network::cpu::{Scratch, Snapshot};
use crate::trajectory::{IllegalTrajectory, replay};

/// States that the network is asked about at a time.
const BLOCK: usize = 1024;

/// The log probabilities of one trajectory's transitions: one for each action, then its exit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Score {
    /// log P_F of each transition; 0 for a forced exit.
    pub log_pf: Vec<f64>,
    /// log P_B of undoing each transition; 0 for the exit.
    pub log_pb: Vec<f64>,
}

impl Score {
    /// log P_F of the transitions from this one on.
    #[must_use]
    pub fn log_pf_from(&self, step: usize) -> f64 {
        self.log_pf[step..].iter().sum()
    }

    /// log P_B of the transitions from this one on.
    #[must_use]
    pub fn log_pb_from(&self, step: usize) -> f64 {
        self.log_pb[step..].iter().sum()
    }
}

/// Scores trajectories, reusing its memory.
pub struct Scorer {
    environment: Arc<dyn Environment>,
    asked: States,
    /// For each state asked about: its trajectory, the action taken there, and the backward action
    /// that undoes the transition into it.
    places: Vec<Place>,
    scratch: Scratch,
    state: Vec<u32>,
}

struct Place {
    trajectory: usize,
    action: Option<u32>,
    undone_by: Option<u32>,
}

impl Scorer {
    /// Scores trajectories of this environment.
    #[must_use]
    pub fn new(environment: Arc<dyn Environment>) -> Self {
        let state = vec![0; environment.state_width()];
        let (asked, places, scratch) = (States::default(), Vec::new(), Scratch::default());
        Self { environment, asked, places, scratch, state }
    }

    /// The scores of these trajectories, each given by its actions without the exit.
    ///
    /// # Errors
    /// The first trajectory that cannot have happened.
    pub fn score<'a>(
        &mut self,
        snapshot: &Snapshot,
        trajectories: impl IntoIterator<Item = &'a [u32]>,
    ) -> Result<Vec<Score>, IllegalTrajectory> {
        self.asked.clear_for(snapshot.heads());
        self.places.clear();
        let mut scores = Vec::new();
        for (trajectory, actions) in trajectories.into_iter().enumerate() {
            let (asked, places) = (&mut self.asked, &mut self.places);
            let environment = &*self.environment;
            let mut undone_by = None;
            replay(environment, actions, &mut self.state, |state, action| {
                asked.push(environment, state);
                places.push(Place { trajectory, action, undone_by });
                undone_by = action.map(|action| environment.inverse(state, action));
            })?;
            scores.push(Score::default());
            if self.places.len() >= BLOCK {
                self.settle(snapshot, &mut scores);
            }
        }
        self.settle(snapshot, &mut scores);
        Ok(scores)
    }

    /// Asks the network about the states gathered so far.
    fn settle(&mut self, snapshot: &Snapshot, scores: &mut [Score]) {
        if self.places.is_empty() {
            return;
        }
        let heads = snapshot.heads();
        let rows = snapshot.forward(&mut self.scratch, &self.asked.features);
        let position = |legal: &[u32], action: u32| legal.partition_point(|&other| other < action);
        let mut choices = Vec::new();
        for (i, (logits, place)) in rows.chunks_exact(heads.width()).zip(&self.places).enumerate() {
            let score = &mut scores[place.trajectory];
            let legal = self.asked.forward.row(i);
            heads.log_forward(logits, legal, self.asked.can_stop[i], &mut choices);
            let taken = place.action.map_or(legal.len(), |action| position(legal, action));
            score.log_pf.push(choices[taken]);
            // The way back from here belongs to the transition before.
            if let Some(undone_by) = place.undone_by {
                let ways_back = self.asked.backward.row(i);
                heads.log_backward(&self.asked, i, logits, &mut choices);
                score.log_pb.push(choices[position(ways_back, undone_by)]);
            }
            if place.action.is_none() {
                score.log_pb.push(0.0);
            }
        }
        self.asked.clear();
        self.places.clear();
    }
}
