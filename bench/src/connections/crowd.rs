//! Connections that only take up room.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// One that was closed comes back after this time.
const PAUSE: Duration = Duration::from_secs(5);
/// The crowd is there.
const GATHERED: Duration = Duration::from_secs(20);
/// The start of a handshake whose rest never comes: a record of 512 bytes is announced.
const HALF_A_HELLO: [u8; 11] = [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];

#[derive(Default)]
struct Counts {
    connected: AtomicU64,
    closed: AtomicU64,
}

/// All of them; they leave when this is dropped.
pub(super) struct Crowd {
    _members: JoinSet<()>,
    counts: Arc<Counts>,
}

impl Crowd {
    /// Waits until each has been connected once.
    pub(super) async fn gather(address: &str, idle: usize, half_open: usize) -> Result<Self> {
        let counts = Arc::new(Counts::default());
        let mut members = JoinSet::new();
        for i in 0..idle + half_open {
            let says: &[u8] = if i < half_open { &HALF_A_HELLO } else { &[] };
            members.spawn(stay(address.to_owned(), says, Arc::clone(&counts)));
        }
        let wanted = (idle + half_open) as u64;
        let all = async {
            while counts.connected.load(Relaxed) < wanted {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(GATHERED, all).await?;
        Ok(Self { _members: members, counts })
    }

    /// How often they connected, and were closed by the learner.
    pub(super) fn leave(self) -> (u64, u64) {
        (self.counts.connected.load(Relaxed), self.counts.closed.load(Relaxed))
    }
}

async fn stay(address: String, says: &[u8], counts: Arc<Counts>) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(&address).await {
            counts.connected.fetch_add(1, Relaxed);
            // It may be closed before this arrives.
            let _ = stream.write_all(says).await;
            let mut nothing = [0; 64];
            while matches!(stream.read(&mut nothing).await, Ok(1..)) {}
            counts.closed.fetch_add(1, Relaxed);
        }
        sleep(PAUSE).await;
    }
}
