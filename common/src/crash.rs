//! Named points between the steps that must survive a crash. A test names one in the environment
//! variable `TRIBUTARY_CRASH=NAME:NTH[:kill|eio|enospc]`: the process that passes it for the NTH time
//! (from 1) dies as by `kill -9`, or is told once that its disk fails or is full. In release
//! builds the points do nothing.

/// The ledger has written what a commit holds.
pub const LEDGER_BEFORE_COMMIT: &str = "ledger.before_commit";
/// The disk has it.
pub const LEDGER_AFTER_COMMIT: &str = "ledger.after_commit";
/// What is on disk is about to be acked.
pub const LEDGER_BEFORE_ACK: &str = "ledger.before_ack";
/// It is acked, and about to go into replay.
pub const LEDGER_AFTER_ACK: &str = "ledger.after_ack";
/// Rows that a checkpoint covers are about to be deleted.
pub const LEDGER_BEFORE_FORGET: &str = "ledger.before_forget";

/// Records are about to be written to an actor's spool.
pub const SPOOL_BEFORE_WRITE: &str = "spool.before_write";
/// They are written, and not synced.
pub const SPOOL_BEFORE_SYNC: &str = "spool.before_sync";
/// They are on disk, and nobody has heard of it.
pub const SPOOL_AFTER_SYNC: &str = "spool.after_sync";
/// A new file of a spool is about to be made.
pub const SPOOL_BEFORE_CREATE: &str = "spool.before_create";
/// It is there and empty.
pub const SPOOL_AFTER_CREATE: &str = "spool.after_create";
/// A file of which everything is acked is about to be removed.
pub const SPOOL_BEFORE_REMOVE: &str = "spool.before_remove";
/// It is gone.
pub const SPOOL_AFTER_REMOVE: &str = "spool.after_remove";

/// A file of a checkpoint is about to be written.
pub const CHECKPOINT_BEFORE_WRITE: &str = "checkpoint.before_write";
/// It is written and not synced.
pub const CHECKPOINT_BEFORE_SYNC: &str = "checkpoint.before_sync";
/// The disk has it.
pub const CHECKPOINT_AFTER_SYNC: &str = "checkpoint.after_sync";
/// The disk has the names of all files in the temporary folder, which is about to get its name.
pub const CHECKPOINT_BEFORE_RENAME: &str = "checkpoint.before_rename";
/// It has its name, and the disk may not know.
pub const CHECKPOINT_AFTER_RENAME: &str = "checkpoint.after_rename";
/// The disk knows.
pub const CHECKPOINT_AFTER_RENAME_SYNC: &str = "checkpoint.after_rename_sync";
/// An old checkpoint is about to be removed.
pub const CHECKPOINT_BEFORE_REMOVE: &str = "checkpoint.before_remove";

/// All of them, those of a file in the order in which one passes them.
pub const POINTS: [&str; 19] = [
    LEDGER_BEFORE_COMMIT,
    LEDGER_AFTER_COMMIT,
    LEDGER_BEFORE_ACK,
    LEDGER_AFTER_ACK,
    LEDGER_BEFORE_FORGET,
    SPOOL_BEFORE_WRITE,
    SPOOL_BEFORE_SYNC,
    SPOOL_AFTER_SYNC,
    SPOOL_BEFORE_CREATE,
    SPOOL_AFTER_CREATE,
    SPOOL_BEFORE_REMOVE,
    SPOOL_AFTER_REMOVE,
    CHECKPOINT_BEFORE_WRITE,
    CHECKPOINT_BEFORE_SYNC,
    CHECKPOINT_AFTER_SYNC,
    CHECKPOINT_BEFORE_RENAME,
    CHECKPOINT_AFTER_RENAME,
    CHECKPOINT_AFTER_RENAME_SYNC,
    CHECKPOINT_BEFORE_REMOVE,
];

/// Those of "ledger", "spool" or "checkpoint".
pub fn points_of(what: &str) -> Vec<&'static str> {
    let is_of = |name: &&str| name.split_once('.').is_some_and(|(of, _)| of == what);
    POINTS.into_iter().filter(is_of).collect()
}

/// Passes a point.
///
/// # Errors
/// The error that a test wants here: EIO or ENOSPC.
#[cfg(not(debug_assertions))]
#[inline]
pub fn point(_: &'static str) -> std::io::Result<()> {
    Ok(())
}

#[cfg(debug_assertions)]
pub use armed::{Armed, arm, point};

#[cfg(debug_assertions)]
mod armed {
    use std::cell::RefCell;
    use std::io;
    use std::sync::{Mutex, OnceLock, PoisonError};

    use nix::errno::Errno;
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use super::POINTS;

    const VARIABLE: &str = "TRIBUTARY_CRASH";

    /// What happens at a point.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Armed {
        /// One of [`POINTS`].
        pub name: String,
        /// How often it is still to be passed, this time included.
        pub left: u64,
        /// The error; none: the process dies.
        pub errno: Option<Errno>,
    }

    thread_local! {
        static OF_THREAD: RefCell<Option<Armed>> = const { RefCell::new(None) };
    }

    /// Arms a point for this thread only, or none.
    pub fn arm(armed: Option<Armed>) {
        OF_THREAD.set(armed);
    }

    /// Passes a point.
    ///
    /// # Errors
    /// The error that a test wants here: EIO or ENOSPC.
    pub fn point(name: &'static str) -> io::Result<()> {
        debug_assert!(POINTS.contains(&name), "{name} is not among the points");
        OF_THREAD.with_borrow_mut(|armed| pass(armed, name))?;
        static OF_PROCESS: OnceLock<Mutex<Option<Armed>>> = OnceLock::new();
        let of_process = OF_PROCESS.get_or_init(|| {
            Mutex::new(std::env::var(VARIABLE).ok().and_then(|text| Armed::read(&text)))
        });
        pass(&mut of_process.lock().unwrap_or_else(PoisonError::into_inner), name)
    }

    fn pass(armed: &mut Option<Armed>, name: &str) -> io::Result<()> {
        let Some(of) = armed.as_mut().filter(|armed| armed.name == name) else { return Ok(()) };
        of.left = of.left.saturating_sub(1);
        if of.left > 0 {
            return Ok(());
        }
        eprintln!("{VARIABLE}: {name} is hit");
        let errno = armed.take().and_then(|armed| armed.errno);
        match errno {
            Some(errno) => Err(errno.into()),
            // Nothing is flushed and nothing dropped.
            None => Err(kill(Pid::this(), Signal::SIGKILL)
                .map_or_else(Into::into, |()| io::Error::from(Errno::EINTR))),
        }
    }

    impl Armed {
        /// "NAME:NTH[:kill|eio|enospc]"; none if it is written otherwise, which is said.
        pub fn read(text: &str) -> Option<Self> {
            let mut parts = text.split(':');
            let (name, left) = (parts.next()?, parts.next().and_then(|nth| nth.parse().ok()));
            let errno = match parts.next() {
                None | Some("kill") => Some(None),
                Some("eio") => Some(Some(Errno::EIO)),
                Some("enospc") => Some(Some(Errno::ENOSPC)),
                Some(_) => None,
            };
            match (POINTS.contains(&name), left, errno) {
                (true, Some(left), Some(errno)) => {
                    Some(Self { name: name.to_owned(), left, errno })
                }
                _ => {
                    eprintln!(
                        "{VARIABLE}={text} is not NAME:NTH[:kill|eio|enospc]; see {POINTS:?}"
                    );
                    None
                }
            }
        }
    }

    #[cfg(test)]
    mod tests {
        #![allow(clippy::unwrap_used)]
        use super::*;
        use crate::crash;

        #[test]
        fn a_point_is_hit_once_when_it_is_passed_for_the_nth_time() {
            arm(Armed::read("ledger.before_commit:2:enospc"));
            assert!(point(crash::LEDGER_AFTER_COMMIT).is_ok());
            assert!(point(crash::LEDGER_BEFORE_COMMIT).is_ok());
            let error = point(crash::LEDGER_BEFORE_COMMIT).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(Errno::ENOSPC as i32));
            assert!(point(crash::LEDGER_BEFORE_COMMIT).is_ok());
        }

        #[test]
        fn what_names_no_point_arms_nothing() {
            assert_eq!(Armed::read("ledger.before_commit:1").unwrap().errno, None);
            for text in ["", "nowhere:1", "ledger.before_commit", "ledger.before_commit:1:fire"] {
                assert_eq!(Armed::read(text), None, "{text}");
            }
        }
    }
}
