//! Whether every record is where the books say.

use anyhow::{Result, ensure};
use serde_json::Value;

/// Checks the books of a run that ended in order: nothing is pending, and what actors say was acked
/// is what the learner says it accepted, rejected or lost; returns the sentence to print.
pub(super) fn check(summary: &Value, acked: u64, unacked: u64) -> Result<String> {
    let of = |name: &str| summary["books"][name].as_u64().unwrap_or(u64::MAX);
    let (accepted, rejected, pending) = (of("accepted"), of("rejected"), of("pending"));
    let decided = accepted + rejected + of("duplicate") + pending;
    ensure!(of("received") == decided, "the books do not balance: {summary:#}");
    let kept = of("resident") + of("evicted") + of("merged") + of("lost_in_restart");
    ensure!(accepted == kept + of("waiting"), "the books do not balance: {summary:#}");
    ensure!(
        acked == accepted + rejected && unacked == 0 && pending == 0,
        "records are missing: actors say {acked} acked and {unacked} not, the learner {summary:#}"
    );
    Ok(format!("books balance: {acked} records acked = {accepted} accepted + {rejected} rejected"))
}
