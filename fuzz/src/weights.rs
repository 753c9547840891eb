//! Weights in safetensors bytes, as they come over the network or from a checkpoint.

use std::sync::LazyLock;

use tributary_common::environment::Hypergrid;
use tributary_common::network::{Network, Weights};

static NETWORK: LazyLock<Network> =
    LazyLock::new(|| Network::mlp(&Hypergrid::new(2, 3).expect("a grid"), &[4], true, false));

/// One set of weights.
pub fn run(data: &[u8]) {
    let network = &*NETWORK;
    let Ok(weights) = Weights::from_bytes(network, data) else { return };
    assert_eq!(weights.values.len(), network.parameter_count());
    assert!(weights.values.iter().all(|value| value.is_finite()));
    let bytes = weights.to_bytes(network).expect("they are written");
    let again = Weights::from_bytes(network, &bytes).expect("their own bytes are read");
    assert_eq!(bytes, again.to_bytes(network).expect("they are written"));
}
