//! Two actors of which one lies: seen, quarantined by the command, and the run goes on.

use std::fs;
use std::process::{Child, Command, Stdio};

use super::programs::{ENDLESS, TRIBUTARY, Training, stdout, tributary, wait_for};

/// Says one more than there is, where it is told to lie.
const WORKER: &str = r#"
import json, os, sys
for line in sys.stdin:
    request = json.loads(line)
    values = [1.0 + word.count("A") + (os.environ.get("LIE") == "1") for word in request["objects"]]
    print(json.dumps({"id": request["id"], "rewards": values}), flush=True)
"#;

struct Actor(Child);

impl Drop for Actor {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The figure behind a name on the page of the status.
fn figure(page: &str, name: &str) -> Option<u64> {
    let line = page.lines().find(|line| line.trim_start().starts_with(name))?;
    line.split_whitespace().last()?.replace(',', "").parse().ok()
}

#[test]
fn an_actor_that_lies_is_seen_and_quarantined_and_the_run_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let worker = folder.path().join("worker.py");
    fs::write(&worker, WORKER).expect("written");
    let run_file = format!(
        "[environment]\nkind = \"sequence\"\nconstruction = \"append\"\nalphabet = \"ACGT\"\nlength = 5\n\
         [reward]\nkind = \"command\"\ncommand = [\"python3\", {worker:?}]\nworkers = 1\nmax_batch = 16\n\
         audit = 1.0\n[policy]\nhidden = [8]\n[exploration]\nepsilon = 1.0\n[learner]\ngenerated = {ENDLESS}\n\
         batch = 32\n[actor]\nbatch = 32\n"
    );
    let mut training = Training::start(&run_file, &["--actors", "1"]);
    let address = training.address();
    let run = training.run();
    let liar = Command::new(TRIBUTARY)
        .args(["actor", "--learner", &address, "--name", "liar", "--allow-commands"])
        .env("LIE", "1")
        .current_dir(&folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _liar = Actor(liar.expect("it starts"));
    let status = || String::from_utf8_lossy(&tributary(["status", &run]).stdout).into_owned();
    let page = wait_for("an alarm in the status", || {
        let page = status();
        figure(&page, "ALARM: values that differ").is_some_and(|alarms| alarms > 3).then_some(page)
    });
    assert!(page.contains("measured ["), "both values are shown\n{page}");
    assert!(figure(&page, "measured again on purpose").is_some_and(|audits| audits > 3), "{page}");
    let row = page.lines().find(|line| line.contains(" liar "));
    let row = row.unwrap_or_else(|| panic!("no liar in\n{page}"));
    assert!(row.contains("differs from others in"), "{page}");
    let number = row.split_whitespace().next().expect("a number");

    let said = stdout(&tributary(["quarantine", &run, number, "--strike"]));
    assert!(said.starts_with(&format!("actor {number} is quarantined; ")), "{said}");
    let accepted = figure(&status(), "= accepted").expect("books");
    wait_for("the run to go on without it", || {
        figure(&status(), "= accepted").is_some_and(|now| now > accepted + 100).then_some(())
    });
    let page = status();
    assert!(page.contains("QUARANTINED"), "{page}");
    let of_liar = format!("actor = {number} AND status <> 'struck'");
    let left = stdout(&tributary(["ledger", &run, "--where", &of_liar]));
    assert!(left.starts_with("0 objects"), "{left}");

    let said = stdout(&tributary(["quarantine", &run, number, "--release"]));
    assert_eq!(said, format!("actor {number} takes part\n"));
    assert!(!status().contains("QUARANTINED"), "{}", status());
    let nobody = tributary(["quarantine", &run, "7"]);
    assert_eq!(nobody.status.code(), Some(64), "{nobody:?}");
}
