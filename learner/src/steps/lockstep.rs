//! The trainer of a lockstep run: it trains on a round until replay has given it its uses, publishes,
//! and opens the next round.

use std::time::{Duration, Instant};

use super::Steps;
use crate::edges::Edge;
use crate::hand_over::{Draw, Round};
use crate::lockstep::Lockstep;
use crate::replay::Samples;
use crate::training::TrainError;

/// How often a trainer that waits for a round looks who holds it up.
const LOOK: Duration = Duration::from_millis(100);

impl Steps {
    /// The next batch, and how long training waited for it; none when no more will ever be drawn.
    pub(super) fn draw_in_lockstep(
        &mut self,
        lockstep: &Lockstep,
        samples: &mut Samples,
    ) -> Result<Option<Duration>, TrainError> {
        let start = Instant::now();
        loop {
            // A draw that gives nothing takes no random numbers.
            let mut stream = self.stream_of_draw(self.draws + 1);
            match self.deps.hand_over.try_draw(self.training.step(), &mut stream, samples) {
                Draw::Batch => {
                    self.draws += 1;
                    return Ok(Some(start.elapsed()));
                }
                Draw::Over => return Ok(None),
                Draw::Empty => {}
            }
            if !self.next_round(lockstep)? {
                return Ok(None);
            }
        }
    }

    /// Between two rounds: publishes, keeps a checkpoint if it is time, and waits for the next one;
    /// false if none will come.
    fn next_round(&mut self, lockstep: &Lockstep) -> Result<bool, TrainError> {
        self.publish()?;
        self.checkpoint_if_due()?;
        let (policy, generated) =
            self.deps.board.update(|figures| (figures.policy, figures.generated));
        let Some(policy) = policy else { return Ok(false) };
        if !lockstep.begin(policy, generated) {
            return Ok(false);
        }
        let _waiting = self.deps.board.wait(Edge::TrainerData);
        loop {
            match self.deps.hand_over.await_round(LOOK) {
                Round::Inserted => return Ok(true),
                Round::Over => return Ok(false),
                Round::Missing => lockstep.look()?,
            }
        }
    }
}

#[cfg(test)]
mod tests;
