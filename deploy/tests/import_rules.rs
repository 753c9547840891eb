//! Holds the import rules of `docs/ARCHITECTURE.md`: which room may know which, and who may link what.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Every room and all of ours that it may import, in any kind of dependency. `None`: not a room, may import all.
const ROOMS: &[(&str, Option<&[&str]>)] = &[
    ("tributary-common", Some(&[])),
    ("tributary-proto", Some(&["tributary-common"])),
    ("tributary-actor", Some(&["tributary-common", "tributary-proto"])),
    ("tributary-learner", Some(&["tributary-common", "tributary-proto"])),
    ("tributary-deploy", Some(&["tributary-actor", "tributary-common", "tributary-proto"])),
    ("tributary-bench", None),
    ("custom-environment", None),
    ("reward-example", Some(&[])),
];

const LIBTORCH: &[&str] = &["tch", "torch-sys"];

/// Unmaintained, unsound or replaced; none of ours may name them.
const BANNED: &[&str] = &["bincode", "backoff", "paste", "serde_yml", "fxhash", "rustls-pemfile"];

/// The workspace as cargo resolves it on this platform.
struct Workspace {
    /// Names of our own packages.
    members: BTreeSet<String>,
    /// Package id to package name.
    names: BTreeMap<String, String>,
    /// Package id to the ids it depends on, for building and running it.
    built_with: BTreeMap<String, Vec<String>>,
    /// Package id to the ids it depends on, its tests included.
    named: BTreeMap<String, Vec<String>>,
}

impl Workspace {
    fn load() -> Self {
        let output = Command::new(std::env::var("CARGO").unwrap_or("cargo".into()))
            .args(["metadata", "--format-version", "1", "--locked", "--offline"])
            .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cargo metadata failed: {stderr}");
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();

        let names: BTreeMap<String, String> = array(&metadata["packages"])
            .map(|package| (text(&package["id"]), text(&package["name"])))
            .collect();
        let members =
            array(&metadata["workspace_members"]).map(|id| names[&text(id)].clone()).collect();
        let mut built_with = BTreeMap::new();
        let mut named = BTreeMap::new();
        for node in array(&metadata["resolve"]["nodes"]) {
            let dependencies = |with_dev: bool| -> Vec<String> {
                array(&node["deps"])
                    .filter(|dep| with_dev || array(&dep["dep_kinds"]).any(|k| k["kind"] != "dev"))
                    .map(|dep| text(&dep["pkg"]))
                    .collect()
            };
            built_with.insert(text(&node["id"]), dependencies(false));
            named.insert(text(&node["id"]), dependencies(true));
        }
        Self { members, names, built_with, named }
    }

    fn id(&self, member: &str) -> &str {
        let named = |(id, name): &(&String, &String)| {
            name.as_str() == member && (id.starts_with("path+") || id.contains("(path+"))
        };
        self.names.iter().find(named).unwrap_or_else(|| panic!("no package {member}")).0
    }

    /// What the package names in its own Cargo.toml, its tests included.
    fn direct(&self, member: &str) -> BTreeSet<&str> {
        self.named[self.id(member)].iter().map(|id| self.names[id].as_str()).collect()
    }

    /// All that is compiled for the package's library and programs.
    fn transitive(&self, member: &str) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let mut open = vec![self.id(member)];
        while let Some(id) = open.pop() {
            for dependency in &self.built_with[id] {
                if seen.insert(dependency.as_str()) {
                    open.push(dependency);
                }
            }
        }
        seen.into_iter().map(|id| self.names[id].as_str()).collect()
    }
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().expect("an array in cargo's metadata").iter()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string in cargo's metadata").to_owned()
}

#[test]
fn each_room_imports_only_the_rooms_below_it() {
    let workspace = Workspace::load();
    let ruled: BTreeSet<String> = ROOMS.iter().map(|(room, _)| room.to_string()).collect();
    assert_eq!(workspace.members, ruled, "a package has no line in ROOMS, or a line no package");
    for (room, allowed) in ROOMS {
        let Some(allowed) = allowed else { continue };
        for import in workspace.direct(room) {
            let ours = workspace.members.contains(import);
            assert!(!ours || allowed.contains(&import), "{room} may not import {import}");
        }
    }
}

#[test]
fn only_the_learner_links_libtorch() {
    let workspace = Workspace::load();
    for (package, _) in ROOMS {
        for library in LIBTORCH {
            let names_it = workspace.direct(package).contains(library);
            assert_eq!(names_it, *package == "tributary-learner", "{package} and {library}");
        }
    }
    for room in ["tributary-common", "tributary-proto", "tributary-actor", "tributary-deploy"] {
        let built_with = workspace.transitive(room);
        for library in LIBTORCH {
            assert!(!built_with.contains(library), "{room} is built with {library}");
        }
    }
}

#[test]
fn the_domain_knows_no_runtime_and_no_transport() {
    let workspace = Workspace::load();
    let built_with = workspace.transitive("tributary-common");
    assert!(built_with.contains("serde"), "the walk found nothing: {built_with:?}");
    for import in ["tokio", "tonic", "prost", "hyper"] {
        assert!(!built_with.contains(import), "tributary-common is built with {import}");
    }
}

#[test]
fn no_package_of_ours_names_a_banned_crate() {
    let workspace = Workspace::load();
    for (package, _) in ROOMS {
        for import in workspace.direct(package) {
            assert!(!BANNED.contains(&import), "{package} may not import {import}");
        }
    }
}
