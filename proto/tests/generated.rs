//! The committed code is what the protos generate. `TRIBUTARY_BLESS=1` writes it anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

const PROTOS: [&str; 5] = [
    "tributary/v1/assets.proto",
    "tributary/v1/control.proto",
    "tributary/v1/rewards.proto",
    "tributary/v1/sessions.proto",
    "tributary/v1/weights.proto",
];

#[test]
fn the_committed_code_is_generated_from_the_protos() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let committed_path = package.join("src/generated/tributary.v1.rs");
    let output = tempfile::tempdir().unwrap();
    let descriptors = protox::compile(PROTOS, [package.join("proto")]).unwrap();
    tonic_prost_build::configure()
        .btree_map(".")
        // Shared by all receivers instead of copied for each.
        .bytes(".tributary.v1.WeightsData.data")
        .bytes(".tributary.v1.AssetData.data")
        .emit_rerun_if_changed(false)
        .out_dir(output.path())
        .compile_fds(descriptors)
        .unwrap();

    let generated = std::fs::read_to_string(output.path().join("tributary.v1.rs")).unwrap();
    if std::env::var_os("TRIBUTARY_BLESS").is_some_and(|value| value == "1") {
        std::fs::write(&committed_path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&committed_path).unwrap();
    let difference = generated.lines().zip(committed.lines()).position(|(a, b)| a != b);
    assert!(
        generated == committed,
        "src/generated/tributary.v1.rs is not what the protos generate (first difference in line \
         {:?}); run: TRIBUTARY_BLESS=1 cargo test -p tributary-proto --test generated",
        difference.map(|line| line + 1)
    );
}
