//! Independent runs side by side, one thread each.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use tributary_learner::torch;

/// Does each item's work on `threads` threads, in order of the items; the results in the same order.
/// libtorch computes in the thread that calls it. Progress goes to standard error.
///
/// # Errors
/// The first failure, when what was begun has ended.
pub(crate) fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    name: impl Fn(&T) -> String + Sync,
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<Result<R>>>> = Mutex::new(items.iter().map(|_| None).collect());
    let start = Instant::now();
    let take = || {
        torch::set_threads(1);
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return };
            let began = Instant::now();
            let result = work(item).with_context(|| name(item));
            let failed = result.is_err();
            let mut results = results.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            results[index] = Some(result);
            let done = results.iter().filter(|result| result.is_some()).count();
            let (took, so_far) = (began.elapsed().as_secs_f64(), start.elapsed().as_secs_f64());
            let count = items.len();
            eprintln!("{done}/{count} after {so_far:.0} s: {} ({took:.1} s)", name(item));
            if failed {
                next.store(items.len(), Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, items.len().max(1)) {
            scope.spawn(take);
        }
    });
    let results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (mut done, mut failure) = (Vec::with_capacity(items.len()), None);
    for result in results.into_iter().flatten() {
        match result {
            Ok(result) => done.push(result),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    failure.map_or(Ok(done), Err)
}
