//! Holds `docs/ARCHITECTURE.md` and `README.md` to the sources: every path that they name is there.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

/// Top folders by which a path is recognised.
const FOLDERS: [&str; 9] =
    ["actor", "bench", "common", "deploy", "docs", "examples", "learner", "proto", "scripts"];

#[test]
fn every_path_that_the_pages_name_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut checked = 0;
    for page in ["docs/ARCHITECTURE.md", "README.md"] {
        let text = fs::read_to_string(root.join(page)).unwrap();
        let quoted = text.split('`').skip(1).step_by(2);
        for path in quoted.filter(|word| FOLDERS.iter().any(|f| word.starts_with(&format!("{f}/"))))
        {
            assert!(root.join(path).exists(), "{page} names {path}, which is not there");
            checked += 1;
        }
    }
    assert!(checked > 40, "only {checked} paths found");
}
