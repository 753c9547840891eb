//! Tributary's pure domain: how objects are built, what they are worth, the networks that build
//! them, the trajectories and sessions between actors and learner, and the exact distribution that
//! a policy learned; the ledger of what was measured and accepted. No network I/O, no threads, no libtorch.

pub mod checkpoint;
pub mod claims;
pub mod crash;
pub mod data_set;
pub mod environment;
pub mod estimate;
pub mod exact;
pub mod ids;
pub mod ledger;
pub mod log_space;
pub mod metrics_file;
pub mod network;
pub mod object;
pub mod plain_text;
pub mod random;
pub mod registry;
pub mod reward;
pub mod rollout;
pub mod run_file;
pub mod schema;
pub mod session;
pub mod soak;
pub mod statistics;
pub mod text;
pub mod token;
pub mod trajectory;
