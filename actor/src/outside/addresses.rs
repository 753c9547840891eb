//! The addresses of services: those of the run file, and those of a file that is read again and
//! again, so that services can come and go while the run goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tributary_common::reward::outside::Services;

use super::board::Board;
use super::seat::keep;
use super::service::Dial;

/// How often the file of addresses is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Keeps seats at all addresses until nothing will be asked any more.
pub(super) async fn follow(board: Arc<Board>, services: Services) {
    let services = Rc::new(services);
    let mut seats: BTreeMap<String, CancellationToken> = BTreeMap::new();
    let mut of_file = BTreeSet::new();
    while !board.is_over() {
        if let Some(path) = &services.endpoints_file {
            match read(path).await {
                Ok(addresses) => of_file = addresses,
                // The last ones are kept: an editor may be at work.
                Err(error) => {
                    let path = path.display();
                    tracing::warn!(%path, %error, "the file of the reward's services is unreadable");
                }
            }
        }
        let wanted: BTreeSet<String> =
            services.endpoints.iter().cloned().chain(of_file.iter().cloned()).collect();
        seats.retain(|address, leave| {
            let stays = wanted.contains(address);
            if !stays {
                tracing::info!(address, "a reward service is asked no more");
                leave.cancel();
            }
            stays
        });
        for address in &wanted {
            if !seats.contains_key(address) {
                seats.insert(address.clone(), open(&board, address, &services));
            }
        }
        tokio::select! {
            () = sleep(LOOK) => {}
            () = board.over() => {}
        }
    }
}

fn open(board: &Arc<Board>, address: &str, services: &Services) -> CancellationToken {
    tracing::info!(address, "a reward service is asked");
    let circuit = board.circuit(format!("the reward service at {address}"), services.concurrency);
    let leave = CancellationToken::new();
    for _ in 0..services.concurrency {
        let (board, dial) = (Arc::clone(board), Dial::new(address, services));
        tokio::task::spawn_local(keep(board, circuit, dial, leave.clone()));
    }
    leave
}

async fn read(path: &Path) -> std::io::Result<BTreeSet<String>> {
    let text = tokio::fs::read_to_string(path).await?;
    let lines = text.lines().map(str::trim);
    Ok(lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect())
}
