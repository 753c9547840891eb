//! Tributary's wire contract: messages, services, limits and checked conversions. No logic.
//!
//! `proto/tributary/v1/*.proto` are documented like an API; `docs/protocol.md` tells the story.

pub mod access;
pub mod code;
pub mod convert;
pub mod credentials;
pub mod limits;

/// Messages, clients and servers of package `tributary.v1`, generated from the protos and committed;
/// `tests/generated.rs` holds both together.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
#[rustfmt::skip]
pub mod v1 {
    include!("generated/tributary.v1.rs");
}
