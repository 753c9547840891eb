//! The work orders of a lockstep run, from the session to the rollout threads.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tributary_common::session::work::WorkOrder;

/// No learner gives out more at a time.
const MOST: usize = 8_192;

/// Orders that no thread has begun.
#[derive(Debug, Default)]
pub struct Orders {
    waiting: Mutex<VecDeque<WorkOrder>>,
    arrived: Condvar,
}

impl Orders {
    /// Adds one; false if there are more than anybody gives out.
    pub fn push(&self, order: WorkOrder) -> bool {
        let mut waiting = self.waiting();
        if waiting.len() == MOST {
            return false;
        }
        waiting.push_back(order);
        self.arrived.notify_one();
        true
    }

    /// The oldest; waits so long for one.
    #[must_use]
    pub fn take(&self, limit: Duration) -> Option<WorkOrder> {
        self.arrived
            .wait_timeout_while(self.waiting(), limit, |waiting| waiting.is_empty())
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .pop_front()
    }

    /// Forgets what nobody has begun.
    pub fn clear(&self) {
        self.waiting().clear();
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<WorkOrder>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tributary_common::ids::PolicyVersion;

    #[test]
    fn orders_are_taken_in_turn_and_bounded() {
        let order =
            |round| WorkOrder { round, first_index: 7, count: 2, policy: PolicyVersion::default() };
        let orders = Orders::default();
        assert_eq!(orders.take(Duration::ZERO), None);
        let taken = (1..).take_while(|&round| orders.push(order(round))).count();
        assert_eq!(taken, MOST);
        assert_eq!(orders.take(Duration::ZERO), Some(order(1)));
        assert_eq!(orders.take(Duration::ZERO), Some(order(2)));
        orders.clear();
        assert_eq!(orders.take(Duration::ZERO), None);
    }
}
