//! Drawing in a lockstep run: what work orders ask for, with exactly their weights.
//!
//! A trajectory's exploration setting and its random numbers follow from its place alone, so it does
//! not matter which actor or thread draws it, and with which others.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crossbeam_channel::Sender;
use tributary_common::network::cpu::Snapshot;
use tributary_common::random::{Purpose, Stream};
use tributary_common::rollout::Exploration;
use tributary_common::session::work::{Place, WorkOrder};
use tributary_common::trajectory::TrajectoryKind;

use super::Drawing;
use crate::error::ActorError;
use crate::orders::Orders;
use crate::pipeline::LOOK;
use crate::progress::Edge;
use crate::scoring::{Candidate, Drawn};

impl Drawing {
    /// Draws order after order until it is told to stop or nobody takes any more.
    ///
    /// # Errors
    /// The environment breaks its laws.
    pub(super) fn follow(
        mut self,
        orders: &Orders,
        drawn: &Sender<Drawn>,
    ) -> Result<(), ActorError> {
        while !self.stop.is_cancelled() {
            let order = self.progress.waiting(Edge::Weights, || orders.take(LOOK));
            let Some(order) = order else { continue };
            let Some(snapshot) = self.snapshot_of(&order) else { continue };
            if !self.carry_out(&order, &snapshot, drawn)? {
                break;
            }
        }
        Ok(())
    }

    /// The weights of an order, when they are here; none when there are newer ones already (others
    /// have drawn what this order asks for) or the thread is to end.
    fn snapshot_of(&self, order: &WorkOrder) -> Option<Arc<Snapshot>> {
        while !self.stop.is_cancelled() {
            let wait = || self.newest.wait_for(order.policy, LOOK);
            let Some(snapshot) = self.progress.waiting(Edge::Weights, wait) else { continue };
            return Some(snapshot).filter(|held| held.weights().version == order.policy);
        }
        None
    }

    /// Draws an order, a batch of each exploration setting at a time; false when nobody takes any
    /// more.
    fn carry_out(
        &mut self,
        order: &WorkOrder,
        snapshot: &Snapshot,
        drawn: &Sender<Drawn>,
    ) -> Result<bool, ActorError> {
        // At most `Exploration::MOST_SETTINGS`.
        let settings = self.order.exploration.settings() as u64;
        let Range { mut start, end } = order.indices();
        while start < end {
            let next = end.min(start + self.order.batch as u64);
            for setting in 0..settings {
                let of_setting = (start..next).filter(|index| index % settings == setting);
                let of_setting: Vec<u64> = of_setting.collect();
                if of_setting.is_empty() {
                    continue;
                }
                if self.stop.is_cancelled() {
                    return Ok(false);
                }
                let batch = self.draw_places(order.round, &of_setting, setting as u32, snapshot)?;
                if !self.hand_over(drawn, batch) {
                    return Ok(false);
                }
            }
            start = next;
        }
        Ok(true)
    }

    fn draw_places(
        &mut self,
        round: u64,
        indices: &[u64],
        setting: u32,
        snapshot: &Snapshot,
    ) -> Result<Drawn, ActorError> {
        let weights = snapshot.weights();
        let exploration = Exploration::at(&self.order.exploration, setting, weights.generated);
        let stream = |&index| Stream::new(self.order.seed, Purpose::Rollout, round, index);
        let mut streams: Vec<Stream> = indices.iter().map(stream).collect();
        let mut trajectories = Vec::with_capacity(indices.len());
        self.rollouts.draw(snapshot, exploration, &mut streams, &mut trajectories)?;
        self.progress.trajectories.fetch_add(indices.len() as u64, Relaxed);
        let candidates = trajectories.into_iter().zip(indices).map(|(trajectory, &index)| {
            let (kind, place) = (TrajectoryKind::Forward, Some(Place { round, index }));
            Candidate { trajectory, kind, known: None, place }
        });
        let (policy, candidates) = (weights.version, candidates.collect());
        Ok(Drawn { policy, setting, candidates, answer: None })
    }
}

#[cfg(test)]
mod tests;
