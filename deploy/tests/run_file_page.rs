//! Holds `docs/run-file.md` to the declarations of the keys.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn the_page_is_what_the_command_prints() {
    let output = Command::new(env!("CARGO_BIN_EXE_tributary"))
        .args(["keys", "--markdown"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", output.status);
    let expected = String::from_utf8(output.stdout).unwrap();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/run-file.md");
    let page = fs::read_to_string(page).unwrap_or_default();
    let difference = expected.lines().zip(page.lines()).find(|(a, b)| a != b);
    assert!(
        page == expected,
        "docs/run-file.md is not what the code says; run: make docs\n(first difference: {difference:?})"
    );
}
