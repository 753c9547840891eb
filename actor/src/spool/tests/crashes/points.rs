//! A process that dies, or whose disk fails, at each named point.

use std::process::{Command, Stdio};

use tributary_common::crash;

use super::*;

/// Names the folder of the child process.
const FOLDER: &str = "TRIBUTARY_TEST_SPOOL";
/// Commits of a child that lives to its end.
const COMMITS: u64 = 60;

pub(super) fn all() -> Vec<&'static str> {
    crash::points_of("spool")
}

/// The number behind the last line that starts with this word.
fn last(lines: &str, word: &str) -> u64 {
    let number = |line: &str| line.strip_prefix(word)?.trim().parse().ok();
    lines.lines().filter_map(number).next_back().unwrap_or(0)
}

#[test]
fn nothing_is_lost_or_twice_behind_a_crash_at_any_point() {
    let (mut hits, mut deaths) = (0, 0);
    for point in all() {
        for (nth, how) in [(1, "kill"), (3, "kill"), (2, "eio"), (3, "enospc")] {
            let root = tempfile::tempdir().unwrap();
            let child = Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "spool::tests::crashes::points::child",
                    "--ignored",
                    "--nocapture",
                ])
                .env(FOLDER, root.path())
                .env("TRIBUTARY_CRASH", format!("{point}:{nth}:{how}"))
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let at = format!("{point}:{nth}:{how}");
            let (said, errors) = (
                String::from_utf8_lossy(&child.stdout).into_owned(),
                String::from_utf8_lossy(&child.stderr).into_owned(),
            );
            assert!(errors.contains(&format!("{point} is hit")), "{at} was not hit: {errors}");
            hits += 1;
            let died = !child.status.success();
            assert_eq!(died, how == "kill", "{at}: {errors}");
            deaths += u32::from(died);
            let (kept, acked) = (last(&said, "kept"), last(&said, "acked"));
            assert!(died || kept == 2 * COMMITS, "{at}: {kept} were kept");
            let there: BTreeSet<u64> = match read(&folder(root.path())) {
                Ok(found) => {
                    assert_eq!(found.damage, [], "{at}");
                    let there = keys(&found.kept().unwrap());
                    let unique: BTreeSet<u64> = there.iter().map(|key| key.seq.0).collect();
                    assert_eq!(unique.len(), there.len(), "{at}: a record is there twice");
                    unique
                }
                Err(error) => {
                    assert_eq!(kept, 0, "{at}: {error}");
                    continue;
                }
            };
            let lost: Vec<u64> = (acked..kept).filter(|seq| !there.contains(seq)).collect();
            assert_eq!(lost, [] as [u64; 0], "{at}: lost of {acked} to {kept}");
        }
    }
    println!("{hits} of {} crashes and errors were hit, {deaths} processes died", 4 * all().len());
}

/// Keeps and acks records as fast as it can, and says so.
#[test]
#[ignore = "a child process of another test"]
fn child() {
    let Some(root) = std::env::var_os(FOLDER) else { return };
    let mut store = create(Path::new(&root));
    store.push([Entry::Welcomed(epoch(1))]);
    for turn in 0..COMMITS {
        store.push([entry(1, 2 * turn, 2 * turn + 2)]);
        while store.commit().is_err() {}
        println!("kept {}", 2 * turn + 2);
        let below = (2 * turn).saturating_sub(20);
        println!("acked {below}");
        store.acked(acked(1, below));
        let _ = store.remove_acked();
    }
}
