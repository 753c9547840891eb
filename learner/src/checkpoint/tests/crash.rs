//! A learner that dies, or whose disk fails or is full, at each named point of writing a checkpoint.

use std::cell::Cell;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tributary_common::crash::{CHECKPOINT_BEFORE_REMOVE, points_of};

use super::*;

thread_local! {
    static ARMED: Cell<Option<(&'static str, u64, Option<Errno>)>> = const { Cell::new(None) };
}

/// Fails when the armed point is passed for the last time; without an error the process dies.
fn pass(name: &'static str) -> io::Result<()> {
    let Some((armed, left, errno)) = ARMED.get().filter(|(armed, ..)| *armed == name) else {
        return Ok(());
    };
    if left > 1 {
        ARMED.set(Some((armed, left - 1, errno)));
        return Ok(());
    }
    ARMED.set(None);
    match errno {
        Some(errno) => Err(errno.into()),
        None => Err(kill(Pid::this(), Signal::SIGKILL).unwrap_err().into()),
    }
}

/// Writes a fourth checkpoint, whose target is 4, with a point armed.
fn write(run: &Path, point: &'static str, nth: u64, errno: Option<Errno>) -> bool {
    ARMED.set(Some((point, nth, errno)));
    let written = writer(run).passing(pass).write(&contents(40)).is_ok();
    let is_hit = ARMED.take().is_none();
    assert!(is_hit || written, "{point}: what else was wrong?");
    is_hit
}

fn three() -> tempfile::TempDir {
    let run = tempfile::tempdir().unwrap();
    [10, 20, 30].iter().for_each(|&step| drop(writer(run.path()).write(&contents(step)).unwrap()));
    run
}

/// All three that were there, or with the new one the newest two at least, and nothing that is not
/// whole; the newest is what was written, and writing goes on.
fn assert_survived(run: &Path, what: &str) {
    let found: Vec<u64> = checkpoint::list(run)
        .unwrap()
        .iter()
        .map(|path| Checkpoint::read(path).unwrap().manifest.version.step)
        .collect();
    let expected = [&[10, 20, 30][..], &[10, 20, 30, 40], &[20, 30, 40]];
    assert!(expected.contains(&found.as_slice()), "{what}: {found:?}");
    let newest = Checkpoint::newest(run).unwrap();
    let read = Contents::read(&newest, &network("8")).unwrap();
    assert!(same(&read, &contents(*found.last().unwrap())), "{what}");
    writer(run).write(&contents(50)).unwrap();
    let after = steps(run);
    assert_eq!((after.len(), after[2]), (3, 50), "{what}: {after:?}");
}

#[test]
fn a_disk_that_fails_or_is_full_at_any_point_leaves_whole_checkpoints() {
    let mut hits = 0;
    for point in points_of("checkpoint") {
        for errno in [Errno::EIO, Errno::ENOSPC] {
            let mut nth = 1;
            loop {
                let run = three();
                if !write(run.path(), point, nth, Some(errno)) {
                    break;
                }
                let entries = fs::read_dir(run.path().join(checkpoint::FOLDER)).unwrap();
                let names = entries.map(|entry| entry.unwrap().file_name());
                let is_temporary = |name: &str| name.starts_with(".tmp-");
                let left = names.filter(|name| name.to_str().is_some_and(is_temporary)).count();
                assert_eq!(left, 0, "{point}, {nth}: the temporary folder is removed");
                assert_survived(run.path(), &format!("{point}, {nth}, {errno}"));
                nth += 1;
                hits += 1;
            }
            assert!(nth > 1, "{point} is never passed");
        }
    }
    println!("{hits} errors at {} points survived", points_of("checkpoint").len());
}

const RUN_OF_CHILD: &str = "TRIBUTARY_TEST_CHECKPOINT_RUN";
const POINT_OF_CHILD: &str = "TRIBUTARY_TEST_CHECKPOINT_POINT";

/// The process that dies in the test below.
#[test]
#[ignore = "a child of another test"]
fn child() {
    let run = PathBuf::from(std::env::var_os(RUN_OF_CHILD).unwrap());
    let text = std::env::var(POINT_OF_CHILD).unwrap();
    let (name, nth) = text.split_once(':').unwrap();
    let point = points_of("checkpoint").into_iter().find(|point| *point == name).unwrap();
    write(&run, point, nth.parse().unwrap(), None);
}

#[test]
fn a_learner_that_dies_at_any_point_leaves_whole_checkpoints() {
    let mut hits = 0;
    for point in points_of("checkpoint") {
        for nth in 1.. {
            let run = three();
            let status = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "checkpoint::tests::crash::child", "--ignored"])
                .env(RUN_OF_CHILD, run.path())
                .env(POINT_OF_CHILD, format!("{point}:{nth}"))
                .stdout(Stdio::null())
                .status()
                .unwrap();
            if status.success() {
                assert!(nth > 1, "{point} is never passed");
                break;
            }
            assert_eq!(status.signal(), Some(Signal::SIGKILL as i32), "{point}, {nth}: {status}");
            assert_survived(run.path(), &format!("{point}, {nth}, killed"));
            hits += 1;
            if point == CHECKPOINT_BEFORE_REMOVE {
                break;
            }
        }
    }
    println!("{hits} deaths at {} points survived", points_of("checkpoint").len());
}
