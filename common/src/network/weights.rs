//! Weights of a policy network as they travel and rest: named f32 tensors in safetensors bytes.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::Network;
use crate::ids::PolicyVersion;
use crate::schema::{self, UnknownSchema};

/// One named set of weights of a [`Network`], flat, in the order of its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// Which update they are from.
    pub version: PolicyVersion,
    /// log Z as learned beside them.
    pub log_z: f64,
    /// Trajectories accepted by the learner when they were taken: the clock of the schedules.
    pub generated: u64,
    /// All parameters, flat.
    pub values: Vec<f32>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    /// [`SCHEMA`]; the first weights were written without it.
    #[serde(default = "first_schema")]
    schema: u32,
    version: PolicyVersion,
    log_z: f64,
    generated: u64,
    architecture: String,
}

/// The newest form of weights that this program writes and reads.
const SCHEMA: u32 = 1;

fn first_schema() -> u32 {
    1
}

/// Bytes that are no weights of this network.
#[derive(Debug, thiserror::Error)]
pub enum InvalidWeights {
    /// Not safetensors, or its header is not ours.
    #[error("these bytes are no weights of Tributary: {0}")]
    Unreadable(String),
    /// A newer release wrote them.
    #[error(transparent)]
    Schema(#[from] UnknownSchema),
    /// Weights of another network.
    #[error("these weights are for the architecture {theirs}, this run's is {ours}")]
    OtherArchitecture {
        /// In the bytes.
        theirs: String,
        /// Of the network.
        ours: String,
    },
    /// A tensor is missing or has another shape or type.
    #[error("tensor \"{name}\" should be f32 {expected:?}, but is {found}")]
    Tensor {
        /// Its name.
        name: String,
        /// The shape that the network gives it.
        expected: Vec<usize>,
        /// What the bytes hold.
        found: String,
    },
    /// A weight is not finite.
    #[error("tensor \"{0}\" holds a value that is not finite")]
    NotFinite(String),
}

const HEADER: &str = "tributary";

impl Weights {
    /// The safetensors bytes.
    pub fn to_bytes(&self, network: &Network) -> Result<Vec<u8>, InvalidWeights> {
        let header = Header {
            schema: SCHEMA,
            version: self.version,
            log_z: self.log_z,
            generated: self.generated,
            architecture: network.architecture().to_owned(),
        };
        let header = serde_json::to_string(&header)
            .map_err(|error| InvalidWeights::Unreadable(error.to_string()))?;
        let mut bytes = vec![0; 4 * self.values.len()];
        for (bytes, value) in bytes.as_chunks_mut().0.iter_mut().zip(&self.values) {
            *bytes = value.to_le_bytes();
        }
        let mut views = Vec::new();
        let mut start = 0;
        for parameter in network.parameters() {
            let end = start + 4 * parameter.len();
            let data = bytes.get(start..end).unwrap_or_default();
            let view = TensorView::new(Dtype::F32, parameter.shape.clone(), data)
                .map_err(|error| InvalidWeights::Unreadable(error.to_string()))?;
            views.push((parameter.name, view));
            start = end;
        }
        safetensors::serialize(views, Some(HashMap::from([(HEADER.to_string(), header)])))
            .map_err(|error| InvalidWeights::Unreadable(error.to_string()))
    }

    /// Weights from safetensors bytes, checked against the network.
    pub fn from_bytes(network: &Network, bytes: &[u8]) -> Result<Self, InvalidWeights> {
        let unreadable = |error: String| InvalidWeights::Unreadable(error);
        let (_, metadata) =
            SafeTensors::read_metadata(bytes).map_err(|error| unreadable(error.to_string()))?;
        let text = metadata.metadata().as_ref().and_then(|map| map.get(HEADER));
        let text = text.ok_or_else(|| unreadable("no header of ours".into()))?;
        schema::check_json("the file of weights", text.as_bytes(), SCHEMA)?;
        let header: Header =
            serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
        let ours = network.architecture().to_owned();
        if header.architecture != ours {
            return Err(InvalidWeights::OtherArchitecture { theirs: header.architecture, ours });
        }
        let tensors =
            SafeTensors::deserialize(bytes).map_err(|error| unreadable(error.to_string()))?;
        let mut values = Vec::new();
        for parameter in network.parameters() {
            let wrong = |found: String| InvalidWeights::Tensor {
                name: parameter.name.clone(),
                expected: parameter.shape.clone(),
                found,
            };
            let view = tensors.tensor(&parameter.name).map_err(|_| wrong("missing".into()))?;
            if view.dtype() != Dtype::F32 || view.shape() != parameter.shape {
                return Err(wrong(format!("{:?} {:?}", view.dtype(), view.shape())));
            }
            let first = values.len();
            let (chunks, _) = view.data().as_chunks();
            values.extend(chunks.iter().copied().map(f32::from_le_bytes));
            if !values[first..].iter().all(|v| v.is_finite()) {
                return Err(InvalidWeights::NotFinite(parameter.name));
            }
        }
        let Header { version, log_z, generated, .. } = header;
        Ok(Self { version, log_z, generated, values })
    }
}
