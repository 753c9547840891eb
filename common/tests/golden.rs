//! Weights as an earlier release wrote them. `TRIBUTARY_BLESS=1` writes files that are not there yet;
//! an existing one never changes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::Path;

use tributary_common::environment::Hypergrid;
use tributary_common::ids::{Incarnation, PolicyVersion};
use tributary_common::network::weights::InvalidWeights;
use tributary_common::network::{Network, Weights};

fn network() -> Network {
    Network::mlp(&Hypergrid::new(2, 3).unwrap(), &[4], true, false)
}

fn weights(network: &Network) -> Weights {
    let values = (0..network.parameter_count()).map(|i| i as f32 / 8.0 - 2.0).collect();
    let version = PolicyVersion { incarnation: Incarnation(2), step: 104 };
    Weights { version, log_z: 1.5, generated: 64, values }
}

fn golden() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/weights.safetensors");
    if std::env::var_os("TRIBUTARY_BLESS").is_some_and(|value| value == "1") && !path.exists() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, weights(&network()).to_bytes(&network()).unwrap()).unwrap();
    }
    fs::read(path).unwrap()
}

/// The same bytes with other words of the same length in the header.
fn edited(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let place = bytes.windows(from.len()).position(|window| window == from.as_bytes());
    let place = place.expect("it is there");
    let mut bytes = bytes.to_vec();
    bytes[place..place + to.len()].copy_from_slice(to.as_bytes());
    bytes
}

#[test]
fn golden_weights_are_read() {
    let network = network();
    assert_eq!(Weights::from_bytes(&network, &golden()).unwrap(), weights(&network));
}

#[test]
fn weights_of_the_first_form_had_no_number() {
    let network = network();
    let first = edited(&golden(), r#"\"schema\":1"#, r#"\"sch_ma\":1"#);
    assert_eq!(Weights::from_bytes(&network, &first).unwrap(), weights(&network));
}

#[test]
fn weights_of_a_newer_form_are_refused_by_name() {
    let newer = edited(&golden(), r#"\"schema\":1"#, r#"\"schema\":7"#);
    let error = Weights::from_bytes(&network(), &newer).unwrap_err();
    assert!(matches!(error, InvalidWeights::Schema(_)), "{error}");
    assert!(error.to_string().contains("has schema 7"), "{error}");
}
