//! A run whose members show certificates and tokens: who else tries is told why not, and no secret is
//! ever written anywhere.

use std::fs;
use std::path::Path;
use std::process::Output;

use nix::sys::signal::Signal;

use crate::programs::{ENDLESS, Training, grid, stdout, tributary, wait_for};

/// A token that no learner knows.
const PLANTED: &str = "planted-wrong-token-0123456789";

#[test]
fn a_secured_run_lets_members_in_and_shows_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let certs = folder.path().join("certs");
    let path = |name: &str| certs.join(name).to_str().unwrap().to_owned();
    stdout(&tributary(["certs", &path(""), "--run", "grid", "--days", "2", "--actors", "2"]));
    fs::write(path("wrong.token"), PLANTED).unwrap();

    let arguments = ["--actors", "1", "--listen", "0.0.0.0:0", "--certs", &path("")];
    let mut training = Training::start_traced(&grid(ENDLESS), &arguments);
    let (url, run) = (training.address(), training.run());
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let control = path("control");
    let page = wait_for("an actor at work", || {
        let status = tributary(["status", &run, "--credentials", &control]);
        let page = String::from_utf8_lossy(&status.stdout).into_owned();
        page.contains("streaming").then_some(page)
    });

    let (actor, wrong, ca) = (path("actor-2"), path("wrong.token"), path("ca.pem"));
    let refusals: [(&[&str], i32, &str); 6] = [
        (&["status", &url, "--credentials", &actor], 78, "control token"),
        (&["status", &url, "--credentials", &control, "--token-file", &wrong], 78, "token is not"),
        (&["status", &url, "--token-file", &wrong], 78, "--ca"),
        (&["status", &run, "--ca", &ca], 75, "--cert and --key"),
        (&["watch", &run, "--credentials", &actor], 78, "does not allow"),
        (&["actor", "--learner", &url, "--credentials", &actor, "--token-file", &wrong], 78, "in:"),
    ];
    let mut said = page;
    for (arguments, code, words) in refusals {
        let output = tributary(arguments.iter().copied());
        let text = text(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{text}");
        assert!(text.contains(words), "{arguments:?}: {words} is not in\n{text}");
        said += &text;
    }
    training.signal(Signal::SIGINT);
    assert_eq!(training.end().code(), Some(130), "{}", training.words());
    training.nothing_is_left();
    said += &training.words();

    let secrets = secrets(&certs);
    assert_eq!(secrets.len(), 6);
    let mut searched = 0;
    search(&training.run_directory(), &mut |file, bytes| {
        // The one place where it belongs.
        if file.file_name().is_some_and(|name| name == "token") {
            return;
        }
        searched += bytes.len();
        let text = String::from_utf8_lossy(bytes);
        let found = secrets.iter().find(|(_, secret)| text.contains(secret.as_str()));
        assert!(found.is_none(), "{:?} is in {}", found.map(|(name, _)| name), file.display());
    });
    let found = secrets.iter().find(|(_, secret)| said.contains(secret.as_str()));
    assert!(found.is_none(), "{:?} was said", found.map(|(name, _)| name));
    println!("6 secrets, 0 found in {searched} bytes of files and {} of output", said.len());
    assert!(training.words().contains("TRACE"), "nothing was traced\n{}", training.words());
}

#[test]
fn a_run_that_everybody_could_reach_is_refused() {
    let mut training = Training::start(&grid(ENDLESS), &["--listen", "0.0.0.0:0"]);
    assert_eq!(training.end().code(), Some(78), "{}", training.words());
    let words = training.words();
    assert!(words.contains("TLS") && words.contains("tributary certs"), "{words}");
}

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// By name: both tokens, a wrong one that is shown, and the middle of three private keys.
fn secrets(certs: &Path) -> Vec<(&'static str, String)> {
    let names = ["actor-1/token", "control/token", "wrong.token"];
    let tokens = names.map(|name| (name, fs::read_to_string(certs.join(name)).unwrap()));
    let names = ["learner/key.pem", "actor-1/key.pem", "control/key.pem"];
    let keys = names.map(|name| {
        let text = fs::read_to_string(certs.join(name)).unwrap();
        (name, text.lines().nth(1).unwrap().to_owned())
    });
    let all = tokens.into_iter().chain(keys);
    all.map(|(name, secret)| (name, secret.trim().to_owned())).collect()
}

fn search(folder: &Path, look: &mut impl FnMut(&Path, &[u8])) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, look);
        } else {
            look(&path, &fs::read(&path).unwrap());
        }
    }
}
