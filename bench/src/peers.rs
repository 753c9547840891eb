//! Peers that are measured beside us, each in a Python environment of its own.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// The Python of a peer, installed if it is not; `peers` is `bench/peers`.
pub(crate) fn python(peers: &Path, peer: &str) -> Result<String> {
    let setup = Command::new(peers.join("setup.sh"))
        .arg(peer)
        .stderr(Stdio::inherit())
        .output()
        .context("bench/peers/setup.sh; is this the root of the sources?")?;
    ensure!(setup.status.success(), "{peer} could not be installed");
    Ok(String::from_utf8(setup.stdout)?.trim().to_owned())
}
