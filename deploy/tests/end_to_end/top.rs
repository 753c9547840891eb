//! `tributary top` beside a run: as lines, and on a terminal.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::programs::{ENDLESS, TRIBUTARY, Training, grid, kill_now, wait_for};

#[test]
fn lines_go_on_over_the_death_of_a_learner_and_end_with_the_run() {
    let mut training = Training::start(&grid(ENDLESS), &["--actors", "1"]);
    training.is_training();
    let mut top = Command::new(TRIBUTARY)
        .args(["top", &training.run(), "--every", "1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(top.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut heard = Vec::new();
    let mut until = |words: &str| loop {
        let line = lines.next().unwrap_or_else(|| panic!("no {words} in\n{}", heard.join("\n")));
        let is_it = line.contains(words);
        heard.push(line);
        if is_it {
            return heard.clone();
        }
    };
    let first = until("trajectories");
    assert!(first[0].starts_with("grid: running, ") && first[0].contains("(incarnation 1)"));
    assert!(first[1].contains("1,000,000,000 trajectories  step "), "{first:?}");
    kill_now(training.learner_process());
    until("reconnecting: ");
    until("connected again");
    until("the learner was started again: incarnation 2");
    training.signal(Signal::SIGINT);
    until("the learner has ended");
    assert!(wait_for("its end", || top.try_wait().unwrap()).success());
    assert_eq!(training.end().code(), Some(130), "{}", training.words());
}

/// `tributary top` on a terminal that script(1) makes and writes down.
struct Screen {
    folder: TempDir,
    script: Child,
    keys: ChildStdin,
}

impl Screen {
    fn open(run: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let command = format!(
            "stty rows 40 cols 120; echo $$ > {}; exec {TRIBUTARY} top {run}",
            pid.display()
        );
        let mut script = Command::new("script")
            .args(["-qfec", &command])
            .arg(folder.path().join("screen"))
            .env("TERM", "xterm-256color")
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("script(1) of util-linux starts");
        let keys = script.stdin.take().unwrap();
        Self { folder, script, keys }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Everything that was drawn so far.
    fn drawn(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.file("screen")).unwrap_or_default()).into_owned()
    }

    /// Waits until one of these words is drawn: what stood there before may have had a letter of one. Blanks
    /// that were blank before are not drawn, so words stand alone.
    fn shows(&self, words: &[&str]) {
        wait_for(&format!("{words:?}"), || {
            let drawn = self.drawn();
            words.iter().any(|word| drawn.contains(word)).then_some(())
        });
    }

    fn press(&mut self, key: &str) {
        self.keys.write_all(key.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Its exit code; the terminal must be as it was.
    fn end(mut self) -> Option<i32> {
        let status = wait_for("the end of tributary top", || self.script.try_wait().unwrap());
        let drawn = self.drawn();
        let (entered, left) = (drawn.rfind("\u{1b}[?1049h"), drawn.rfind("\u{1b}[?1049l"));
        assert!(entered.is_some() && left > entered, "the screen was not given back: {drawn:?}");
        assert!(drawn.rfind("\u{1b}[?25h") > entered, "the cursor stays hidden: {drawn:?}");
        status.code()
    }
}

impl Drop for Screen {
    /// Leaves nobody behind when a test fails.
    fn drop(&mut self) {
        if matches!(self.script.try_wait(), Ok(Some(_))) {
            return;
        }
        let id = fs::read_to_string(self.file("pid")).ok().and_then(|id| id.trim().parse().ok());
        if let Some(id) = id {
            let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
        }
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

#[test]
fn a_terminal_is_drawn_on_and_given_back() {
    let mut training = Training::start(&grid(ENDLESS), &["--actors", "1"]);
    training.is_training();
    let mut screen = Screen::open(&training.run());
    screen.shows(&["live"]);
    screen.shows(&["samples", "trained"]);
    screen.press("2");
    screen.shows(&["actor-1", "streaming", "unacked", "waits for"]);
    screen.press("4");
    screen.shows(&["watching"]);
    screen.press("q");
    assert_eq!(screen.end(), Some(0));

    let screen = Screen::open(&training.run());
    screen.shows(&["samples", "trained"]);
    let id: i32 = fs::read_to_string(screen.file("pid")).unwrap().trim().parse().unwrap();
    kill(Pid::from_raw(id), Signal::SIGTERM).unwrap();
    assert_eq!(screen.end(), Some(130));
}
