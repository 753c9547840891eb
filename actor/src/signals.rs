//! SIGTERM and SIGINT.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tributary_proto::limits;

use crate::Shutdown;

/// A shutdown that the first signal starts and the second one makes immediate.
pub(crate) fn shutdown() -> io::Result<Shutdown> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown = Shutdown::default();
    let tokens = shutdown.clone();
    tokio::spawn(async move {
        either(&mut terminate, &mut interrupt).await;
        tokens.drain.cancel();
        let first = Instant::now();
        either(&mut terminate, &mut interrupt).await;
        while first.elapsed() < limits::SAME_SIGNAL {
            either(&mut terminate, &mut interrupt).await;
        }
        tokens.now.cancel();
    });
    Ok(shutdown)
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
