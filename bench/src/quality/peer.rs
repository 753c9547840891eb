//! torchgfn on the same words, in a process and an environment of its own.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::landscape::Landscape;
use super::{BATCH, Options, POINTS, Point};
use crate::peers::python;

/// Trains it, each trajectory used so often; where it stands at each of the points.
pub(super) fn run(
    options: &Options,
    landscape: &Landscape,
    uses: u32,
    seed: u64,
) -> Result<Vec<Point>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("task.json");
    let words = 0..landscape.len();
    let task = json!({
        "length": landscape.length(),
        "log_rewards": words.clone().map(|word| landscape.log_reward(word)).collect::<Vec<_>>(),
        "best": words.filter(|&word| landscape.is_best(landscape.object(word))).collect::<Vec<_>>(),
        "points": POINTS.iter().filter(|point| **point <= options.most).collect::<Vec<_>>(),
        "most_drawn": options.most_drawn(uses),
        "batch": BATCH,
        "uses": uses,
        "seed": seed,
    });
    std::fs::write(&file, serde_json::to_string(&task)?)?;
    let mut child = Command::new(python(&options.peers, "torchgfn")?)
        .arg(options.peers.join("torchgfn_words.py"))
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().context("no output of torchgfn")?;
    let mut points = Vec::new();
    for line in BufReader::new(output).lines() {
        points.push(serde_json::from_str(&line?)?);
    }
    ensure!(child.wait()?.success(), "torchgfn failed");
    Ok(points)
}
