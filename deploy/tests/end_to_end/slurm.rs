//! `tributary slurm` with stand-ins for Slurm's programs, which write down what they are asked. The real ones
//! are in the test `cluster`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::programs::{ENDLESS, TRIBUTARY, grid, stdout};

/// Numbers jobs from 17 on, and refuses arrays in a partition that is not there.
const SBATCH: &str = r#"
echo "sbatch $*" >> "$FOLDER/asked"
case "$*" in *--array*) if grep -q nowhere "${@: -1}"; then echo "invalid partition" >&2; exit 1; fi;; esac
number=$(cat "$FOLDER/number" 2>/dev/null || echo 17)
echo $((number + 1)) > "$FOLDER/number"
echo "$number"
"#;
/// What a test says is in the queue.
const SQUEUE: &str = r#"cat "$FOLDER/queue" 2>/dev/null || true"#;
const SCANCEL: &str = r#"echo "scancel $*" >> "$FOLDER/asked""#;

struct Cluster(TempDir);

impl Cluster {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("sbatch", SBATCH), ("squeue", SQUEUE), ("scancel", SCANCEL)] {
            let path = folder.path().join(name);
            fs::write(&path, format!("#!/bin/bash\n{text}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(folder.path().join("grid.toml"), grid(ENDLESS)).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn slurm(&self, arguments: &[&str]) -> Output {
        let path = std::env::var("PATH").unwrap();
        Command::new(TRIBUTARY)
            .arg("slurm")
            .args(arguments)
            .env("PATH", format!("{}:{path}", self.0.path().display()))
            .env("FOLDER", self.0.path())
            .env("TRIBUTARY_LEARNER", TRIBUTARY)
            .env("SLURM_CPUS_PER_TASK", "64")
            .current_dir(&self.0)
            .output()
            .unwrap()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// What was asked of Slurm since the last time.
    fn asked(&self) -> Vec<String> {
        let text = self.read("asked");
        let _ = fs::remove_file(self.path("asked"));
        text.lines().map(str::to_owned).collect()
    }

    /// The name of the actors' jobs.
    fn actors(&self) -> String {
        let script = self.read("runs/grid-1/slurm/actor.sh");
        let name = script.lines().find_map(|line| line.strip_prefix("#SBATCH --job-name="));
        name.expect("a name").to_owned()
    }
}

#[test]
fn a_launch_submits_a_learner_and_actors_that_wait_for_it() {
    let cluster = Cluster::new();
    let arguments =
        ["launch", "grid.toml", "--learner", "-c 8 -t 2-0", "--actors", "3", "--actor", "-p spot"];
    let text = stdout(&cluster.slurm(&[&arguments[..], &["--dry-run"]].concat()));
    assert!(text.contains("#SBATCH -c 8 -t 2-0\n") && text.contains("#SBATCH -p spot\n"), "{text}");
    assert!(!cluster.path("runs").exists() && cluster.asked() == ["sbatch --version"; 0]);

    let page = stdout(&cluster.slurm(&arguments));
    assert!(page.contains("job 18") && page.contains("3 actors are job 19"), "{page}");
    let run = fs::canonicalize(cluster.path("runs/grid-1")).unwrap();
    let script = |name: &str| run.join("slurm").join(name).display().to_string();
    assert_eq!(
        cluster.asked(),
        [
            "sbatch --version".to_owned(),
            format!("sbatch --parsable {}", script("learner.sh")),
            format!("sbatch --parsable --array=0-2 --dependency=after:18 {}", script("actor.sh")),
        ]
    );
    secrets_are_ones_own(&run);
    let again =
        cluster.slurm(&["launch", "grid.toml", "--actors", "1", "--run-dir", "runs/grid-1"]);
    assert_eq!(again.status.code(), Some(78), "{again:?}");
}

fn secrets_are_ones_own(run: &Path) {
    for name in
        ["ca-key.pem", "learner/key.pem", "learner/actor.token", "control/token", "actor-1/token"]
    {
        let mode = fs::metadata(run.join("certs").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let token = fs::read_to_string(run.join("certs/actor-1/token")).unwrap();
    for name in ["learner.sh", "actor.sh", "launch.json"] {
        let text = fs::read_to_string(run.join("slurm").join(name)).unwrap();
        assert!(!text.contains(token.trim()), "{name} shows the token");
    }
}

#[test]
fn a_launch_that_slurm_refuses_leaves_nothing() {
    let cluster = Cluster::new();
    fs::write(cluster.path("queue"), "18|grid-learner-1|PENDING|Priority||2-00:00:00\n").unwrap();
    let refused = cluster.slurm(&["launch", "grid.toml", "--actors", "3", "--actor", "-p nowhere"]);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(75), "{error}");
    assert!(error.contains("invalid partition"), "{error}");
    assert_eq!(cluster.asked().last().unwrap(), "scancel --quiet 18");
    assert!(!cluster.path("runs/grid-1").exists());
}

#[test]
fn scaling_submits_and_cancels_what_is_missing_and_too_many() {
    let cluster = Cluster::new();
    stdout(&cluster.slurm(&["launch", "grid.toml", "--actors", "2"]));
    let name = cluster.actors();
    fs::write(
        cluster.path("queue"),
        format!("19_0|{name}|RUNNING|None|n1|1:00\n19_1|{name}|PENDING|Resources||1:00\n"),
    )
    .unwrap();
    cluster.asked();

    let page = stdout(&cluster.slurm(&["scale", "--actors", "1200"]));
    assert!(page.contains("submitted 1198 actors as job"), "{page}");
    let arrays: Vec<String> =
        cluster.asked().iter().map(|line| line.split(' ').nth(2).unwrap().to_owned()).collect();
    assert_eq!(arrays, ["--array=0-499", "--array=0-499", "--array=0-197"]);
    stdout(&cluster.slurm(&["scale", "--actors", "1"]));
    assert_eq!(cluster.asked(), ["scancel --quiet 19_1"]);

    let page = stdout(&cluster.slurm(&["status"]));
    for expected in ["1 pending (Resources), 1 running; 1 wanted", "not in the queue"] {
        assert!(page.contains(expected), "{expected} is not in\n{page}");
    }
    fs::write(cluster.path("queue"), "").unwrap();
    stdout(&cluster.slurm(&["stop"]));
    let late = cluster.slurm(&["scale", "--actors", "2"]);
    assert_eq!(late.status.code(), Some(78), "{late:?}");
}

#[test]
fn a_run_that_was_stopped_goes_on_and_one_in_the_queue_does_not_start_twice() {
    let cluster = Cluster::new();
    stdout(&cluster.slurm(&["launch", "grid.toml", "--actors", "2"]));
    stdout(&cluster.slurm(&["stop"]));
    cluster.asked();
    let page = stdout(&cluster.slurm(&["resume"]));
    assert!(page.contains("2 actors are job 21"), "{page}");
    let asked = cluster.asked();
    assert!(asked[0].ends_with("/learner.sh"), "{asked:?}");
    assert!(asked[1].contains("--array=0-1 --dependency=after:20 "), "{asked:?}");
    stdout(&cluster.slurm(&["scale", "--actors", "2"]));

    let name = cluster.actors().replace("actor", "learner");
    fs::write(cluster.path("queue"), format!("20|{name}|RUNNING|None|n1|1:00\n")).unwrap();
    cluster.asked();
    let twice = cluster.slurm(&["resume"]);
    assert_eq!(twice.status.code(), Some(78), "{twice:?}");
    assert_eq!(cluster.asked(), [""; 0]);
}

#[test]
fn without_slurm_the_missing_program_is_named() {
    let cluster = Cluster::new();
    fs::remove_file(cluster.path("sbatch")).unwrap();
    let output = Command::new(TRIBUTARY)
        .args(["slurm", "launch", "grid.toml", "--actors", "1"])
        .env("PATH", cluster.0.path())
        .env("TRIBUTARY_LEARNER", TRIBUTARY)
        .current_dir(&cluster.0)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("no program sbatch"), "{error}");
    assert!(!cluster.path("runs").exists());
}
