//! How much memory the learner takes at most, besides libtorch: the sum of all its queues, each with
//! the bound that its own code holds. `docs/memory.md` explains the rows.

use tributary_common::session::sessions::SessionsConfig;
use tributary_proto::limits;

use crate::dashboard::history;

/// Bytes of a record in memory for each byte of its credit: columns grow by doubling.
const BYTES_PER_CREDIT: u64 = 2;
/// Ready messages of one session with their rejections, its news, its row and its last report.
const SESSION_BOOKS: u64 = 512 << 10;
/// The learner's own threads and tables that grow with nothing.
const FIXED: u64 = 32 << 20;
/// Records that a watcher may be behind, each with all its figures.
const RECORDS: u64 = 64 * (64 << 10);
/// The dashboard's history, twice while that of earlier learners is read, and the last records.
const HISTORY: u64 = 2 * history::MOST_BYTES + 128 * (64 << 10);
/// f32 values for each weight: a state is weights, average, target and two moments. One is written,
/// one waits, one is gone back to; the one that is written also as bytes.
const STATES: u64 = 4 * 5 * 4;
/// Copies of replay for checkpoints: one waits, one is written, also as columns of bytes and as a file.
const REPLAY_COPIES: u64 = 4;
/// Two generations of values that were asked for lately.
const VALUES: u64 = 32 << 20;
/// Objects that an actor holds or awaits, answers to one question, results that wait for the disk.
const CLAIMS: u64 = 6 << 20;
/// Sets that were published and may be read still, and the bytes of the newest two.
const PUBLISHED: u64 = 10 * 4;

/// What one thing may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// What it is.
    pub what: &'static str,
    /// Of the learner, however many actors there are.
    pub fixed: u64,
    /// For each session that is open.
    pub per_session: u64,
}

/// The bound of a run's learner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryBound {
    /// Its parts.
    pub rows: Vec<Row>,
    most_sessions: u64,
    replay: u64,
}

/// What decides the bound.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Parameters of the policy.
    pub parameters: u64,
    /// Trajectories in replay.
    pub capacity: u64,
    /// Actions of the longest.
    pub max_steps: u64,
    /// Data files that actors fetch.
    pub assets: u64,
    /// Whether actors ask before they measure.
    pub is_shared: bool,
}

impl MemoryBound {
    /// Of a learner with these sessions and sizes.
    pub fn new(sessions: &SessionsConfig, sizes: &Sizes) -> Self {
        let Sizes { parameters, capacity, max_steps, assets, is_shared } = *sizes;
        let row = |what, fixed, per_session| Row { what, fixed, per_session };
        let message = limits::SESSION_MESSAGE_BYTES as u64;
        let windows = 2 * u64::from(limits::WINDOW_BYTES);
        let mut rows = vec![
            row(
                "records received and not settled",
                BYTES_PER_CREDIT * sessions.budget_bytes,
                BYTES_PER_CREDIT * sessions.record_bytes,
            ),
            row("a message as it is decoded", 0, 2 * message),
            row("windows of an actor's two connections", 0, windows),
            row("news, rejections, books and reports", 0, SESSION_BOOKS),
            row(
                "weights being sent",
                PUBLISHED * parameters,
                4 * parameters + limits::CHUNK_BYTES as u64,
            ),
            row("checkpoints", STATES * parameters, 0),
            row("metrics for watchers", RECORDS, 0),
            row("history for the dashboard", HISTORY, 0),
            row("data files", assets, 0),
            row("threads and tables", FIXED, 0),
        ];
        if is_shared {
            rows.push(row("claims", VALUES, CLAIMS));
        }
        let copy = 140 + 8 * max_steps;
        let replay = capacity.saturating_mul(300 + 4 * max_steps + REPLAY_COPIES * copy);
        Self { rows, most_sessions: sessions.most_sessions as u64, replay }
    }

    /// With so many sessions open.
    pub fn with_sessions(&self, sessions: u64) -> u64 {
        self.rows.iter().map(|row| row.fixed + sessions * row.per_session).sum()
    }

    /// What replay may take beside it.
    pub fn replay(&self) -> u64 {
        self.replay
    }

    /// Says it in the log.
    pub fn announce(&self) {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let (fixed, one) = (self.with_sessions(0), self.with_sessions(1));
        tracing::info!(
            "memory: at most {} MiB and {} MiB for each actor (of at most {}), besides libtorch, \
             replay (at most {} MiB), evaluation and the names of the objects found",
            mib(fixed),
            mib(one - fixed),
            self.most_sessions,
            mib(self.replay)
        );
    }
}

/// Memory of this process that is resident, where the system tells.
pub fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tributary_common::ids::Incarnation;

    #[test]
    fn the_bound_is_the_sum_of_its_rows() {
        let sessions = SessionsConfig {
            incarnation: Incarnation(1),
            durable: false,
            most_sessions: 2_048,
            most_remembered: 8_192,
            budget_bytes: 64 << 20,
            window_bytes: 1 << 20,
            record_bytes: 200,
        };
        let (is_shared, assets) = (false, 7);
        let sizes = Sizes { parameters: 1_000, capacity: 10, max_steps: 25, assets, is_shared };
        let bound = MemoryBound::new(&sessions, &sizes);
        let sharing = MemoryBound::new(&sessions, &Sizes { is_shared: true, ..sizes });
        assert_eq!(sharing.with_sessions(2), bound.with_sessions(2) + VALUES + 2 * CLAIMS);
        assert_eq!(bound.replay(), 10 * (300 + 100 + 4 * 340));
        let fixed = (128 << 20) + 40_000 + 80_000 + (4 << 20) + HISTORY + 7 + (32 << 20);
        assert_eq!(bound.with_sessions(0), fixed);
        let one = 400 + (1 << 20) + (512 << 10) + (512 << 10) + 4_000 + (1 << 20);
        assert_eq!(bound.with_sessions(3), fixed + 3 * one);
    }

    #[test]
    fn the_system_tells_how_much_is_resident() {
        assert!(resident_bytes().unwrap() > 1 << 20);
    }
}
