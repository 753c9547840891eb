//! Every service of the package that a learner serves says who may call it.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;

use tributary_proto::access;

/// A user's program, not the learner.
const ELSEWHERE: &str = "tributary.v1.RewardService";

#[test]
fn every_service_of_the_learner_has_a_role() {
    let protos = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let files: Vec<_> = std::fs::read_dir(protos.join("tributary/v1")).unwrap().collect();
    let names = files.iter().map(|file| {
        format!("tributary/v1/{}", file.as_ref().unwrap().file_name().to_str().unwrap())
    });
    let compiled = protox::compile(names, [protos]).unwrap();
    let declared: BTreeSet<String> = compiled
        .file
        .iter()
        .flat_map(|file| file.service.iter().map(|s| format!("{}.{}", file.package(), s.name())))
        .filter(|name| name != ELSEWHERE)
        .collect();
    assert!(declared.len() >= 5, "{declared:?}");
    let listed: BTreeSet<String> = access::SERVICES
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .filter(|name| name.starts_with("tributary."))
        .collect();
    assert_eq!(declared, listed);
}
