//! What both sides must agree on: the wire, the ids, and the manifest of a release.
//!
//! * [`channel`]: the caller's end of a connection.
//! * [`wire`]: types generated from `federation.proto`.
//! * [`ids`]: newtypes for what is named.
//! * [`manifest`]: what a release says of itself; its canonical bytes and its id.
//! * [`secure`]: the terms of a secure round.
//! * [`merkle`]: a tree over what left, and its proofs.
//! * [`payload`]: integer vectors to bytes and back.
//! * [`parse`]: the one place where wire types become domain types.

pub mod channel;
pub mod ids;
pub mod manifest;
pub mod merkle;
pub mod parse;
pub mod payload;
pub mod secure;

/// Types and services generated from `insitu/v1/federation.proto`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::disallowed_methods)]
pub mod wire {
    tonic::include_proto!("insitu.v1");
}

pub use ids::{Hash, RoundId, SiteId, StudyId};
pub use manifest::{Manifest, PartManifest, SecureManifest};
pub use parse::ParseError;
