//! Locks whose owner may have died.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes the lock. A panic anywhere ends the process with its cause, so a thread that finds the
/// lock poisoned must not add a second panic to the first.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
