//! How many files may be open: each connection is one.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tributary_proto::limits;

/// Asks for as many as all connections need, and returns what there may be.
pub fn most_open() -> u64 {
    let wanted = (limits::CONNECTIONS + limits::HTTP_CONNECTIONS) as u64 + limits::FILE_HEADROOM;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return wanted };
    if soft >= wanted {
        return soft;
    }
    let raised = wanted.min(hard);
    match setrlimit(Resource::RLIMIT_NOFILE, raised, hard) {
        Ok(()) if raised == wanted => raised,
        Ok(()) => {
            tracing::warn!(
                open = raised,
                wanted,
                "few files may be open: fewer actors can connect (ulimit -Hn)"
            );
            raised
        }
        Err(error) => {
            tracing::warn!(%error, open = soft, wanted, "the number of open files cannot be raised");
            soft
        }
    }
}
