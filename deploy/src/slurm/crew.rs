//! The actors that there are, compared with those that are wanted.

use super::folder::Folder;
use super::scheduler::{self, Task};
use crate::error::CommandError;

/// What brings the actors to the number that is wanted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// There are as many as are wanted.
    None,
    /// So many more are needed.
    Submit(usize),
    /// These are too many.
    Cancel(Vec<String>),
}

/// Compares. A task whose processes are being ended may come back, if it was requeued, or be on its way out, if
/// it was cancelled: it counts when more are asked for, and not when there are too many.
pub(super) fn change(wanted: usize, tasks: &[Task]) -> Change {
    if tasks.len() < wanted {
        return Change::Submit(wanted - tasks.len());
    }
    let mut staying: Vec<&Task> = tasks.iter().filter(|task| !task.is_ending()).collect();
    let Some(too_many) = staying.len().checked_sub(wanted).filter(|many| *many > 0) else {
        return Change::None;
    };
    // Those that have not started cost nothing; of the others the youngest has the least to lose.
    staying.sort_by_key(|task| (!task.is_pending(), std::cmp::Reverse(age(&task.id))));
    Change::Cancel(staying[..too_many].iter().map(|task| task.id.clone()).collect())
}

/// Jobs and the tasks of an array are numbered in the order in which they came.
fn age(id: &str) -> (u64, u64) {
    let (job, task) = id.split_once('_').unwrap_or((id, "0"));
    (job.parse().unwrap_or(0), task.parse().unwrap_or(0))
}

/// Makes the change; says what was done, if anything.
pub(super) async fn make(change: &Change, folder: &Folder) -> Result<Option<String>, CommandError> {
    match change {
        Change::None => Ok(None),
        Change::Submit(tasks) => {
            let ids = scheduler::submit_tasks(&folder.file("actor.sh"), *tasks, &[]).await?;
            Ok(Some(format!("submitted {tasks} actors as job {}", ids.join(", "))))
        }
        Change::Cancel(ids) => {
            scheduler::cancel(ids).await?;
            Ok(Some(format!("cancelled {} actors: {}", ids.len(), ids.join(" "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks(all: &[(&str, &str)]) -> Vec<Task> {
        let task = |(id, state): &(&str, &str)| Task::example(id, state);
        all.iter().map(task).collect()
    }

    #[test]
    fn as_many_are_submitted_as_are_missing() {
        assert_eq!(change(3, &[]), Change::Submit(3));
        let some = tasks(&[("7_0", "RUNNING"), ("7_1", "COMPLETING")]);
        assert_eq!(change(2, &some), Change::None);
        assert_eq!(change(6, &some), Change::Submit(4));
    }

    #[test]
    fn those_that_wait_and_the_youngest_are_cancelled_first() {
        let some = tasks(&[
            ("9_0", "PENDING"),
            ("7_2", "RUNNING"),
            ("7_10", "RUNNING"),
            ("10_1", "PENDING"),
            ("8_0", "COMPLETING"),
        ]);
        assert_eq!(change(4, &some), Change::None, "one is on its way out");
        let cancelled = |wanted| match change(wanted, &some) {
            Change::Cancel(ids) => ids,
            other => vec![format!("{other:?}")],
        };
        assert_eq!(cancelled(3), ["10_1"]);
        assert_eq!(cancelled(1), ["10_1", "9_0", "7_10"]);
        assert_eq!(cancelled(0).len(), 4);
    }
}
