//! What a run has paid for evaluations, and why it ended.

use serde::Serialize;
use tributary_common::claims::desk::Spent;
use tributary_common::run_file;

use crate::claims::Spending;
use crate::figures::Figures;

/// What evaluations have cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Costs {
    /// Failed and repeated ones too.
    pub evaluations: u64,
    /// What they took.
    pub seconds: f64,
    /// Their seconds, or what the run file states for each.
    pub cost: f64,
    /// Whether the run file states it.
    pub is_cost_stated: bool,
    /// Of each object that was paid for.
    pub cost_per_object: f64,
    /// Values that an actor got and nobody paid for again.
    pub saved: u64,
    /// What had been spent when the last of the best objects was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<BestCost>,
}

/// What the best objects have cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BestCost {
    /// So many best objects.
    pub objects: u64,
    /// Evaluations until the last of them was measured.
    pub evaluations: u64,
    /// What those cost.
    pub cost: f64,
}

impl Costs {
    /// Of a run that has paid for so many objects.
    pub fn new(spending: &Spending, paid: u64, best: Option<(u64, Spent)>) -> Self {
        let Spending { spent, saved, is_stated, .. } = *spending;
        let best = best.map(|(objects, spent)| {
            let Spent { evaluations, cost, .. } = spent;
            BestCost { objects, evaluations, cost }
        });
        Self {
            evaluations: spent.evaluations,
            seconds: spent.seconds,
            cost: spent.cost,
            is_cost_stated: is_stated,
            cost_per_object: spent.cost / paid.max(1) as f64,
            saved,
            best,
        }
    }
}

/// The key of `[learner]` whose goal a run has reached.
pub fn stopped_by(goals: &run_file::Learner, figures: &Figures) -> Option<&'static str> {
    let counted = |key, goal: Option<u64>, count| goal.filter(|goal| count >= *goal).map(|_| key);
    let evaluations = figures.spending.map_or(0, |spending| spending.spent.evaluations);
    let seconds = goals.time.filter(|goal| figures.training_time() >= *goal);
    let budget = figures.is_budget_spent.then(|| {
        counted("max_evaluations", goals.max_evaluations, evaluations).unwrap_or("max_cost")
    });
    budget
        .or(counted("generated", goals.generated, figures.generated))
        .or(counted("paid", goals.paid, figures.paid))
        .or(counted("updates", goals.updates, figures.updates))
        .or(seconds.map(|_| "time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_says_which_goal_ended_it() {
        let goals = run_file::Learner {
            generated: Some(100),
            updates: Some(50),
            max_evaluations: Some(30),
            max_cost: Some(8.0),
            ..run_file::Learner::default()
        };
        let spent = |evaluations| Spent { evaluations, ..Spent::default() };
        let spending = |evaluations| Spending { spent: spent(evaluations), ..Spending::default() };
        let mut figures = Figures::default();
        (figures.generated, figures.updates) = (99, 49);
        figures.spending = Some(spending(30));
        assert_eq!(stopped_by(&goals, &figures), None, "something is still under way");
        figures.is_budget_spent = true;
        assert_eq!(stopped_by(&goals, &figures), Some("max_evaluations"));
        figures.spending = Some(spending(29));
        assert_eq!(stopped_by(&goals, &figures), Some("max_cost"));
        figures.is_budget_spent = false;
        figures.updates = 50;
        assert_eq!(stopped_by(&goals, &figures), Some("updates"));
    }
}
