//! Secure aggregation: the coordinator learns the sum over the sites and no site's own vector.
//!
//! The protocol is the malicious variant of Bonawitz, Ivanov, Kreuter, Marcedone, McMahan, Patel, Ramage, Segal, Seth 2017
//! ("Practical secure aggregation for privacy-preserving machine learning", figure 4), with its phases under their names:
//!
//! ```text
//!   site u                                               coordinator
//!     │  AdvertiseKeys    two fresh X25519 keys, signed ──► U1: at least t
//!     │ ◄──────────────────────────────────── keys of U1     (each site checks every signature against its pins)
//!     │  ShareKeys        Shamir shares, sealed a peer ──► U2: at least t
//!     │ ◄───────────────── shares for this site, and all U2
//!     │  MaskedInputCollection   x + noise + masks ──────► U3: at least t; running sum
//!     │ ◄───────────────────────────────── survivors, U3
//!     │  ConsistencyCheck        signature on U3 ────────► U4: at least t
//!     │ ◄──────────────────────────────── signatures of U4
//!     │  Unmasking        self-mask's share for survivors,
//!     │                   mask key's share for the others ─► sum over U3
//! ```
//!
//! What is added to the paper: every site is told U2, and its hash is in masks and consents, so that the graph of masks is the same
//! for all; the instance (a hash of query, parameters, cohort, charge, model, round, attempt and roster) is in
//! every signature and every derivation; a commitment to the self-mask's seed is advertised, so that a wrong reconstruction is
//! noticed; above [`graph::COMPLETE_TO`] parties the graph is regular (Bell et al. 2020).
//!
//! Masks hide; they are not differential privacy. That is the noise in each input, sized for the threshold by
//! [`crate::distributed`].
//!
//! * [`identity`]: long-term keys, pinned by their fingerprints.
//! * [`terms`]: what all agree on, and the messages.
//! * [`party`]: a site. [`aggregator`]: the coordinator.
//! * `field`, [`shamir`], `agreement`, `stream`, [`graph`]: the parts.

pub mod aggregator;
mod agreement;
mod field;
pub mod graph;
pub mod identity;
pub mod party;
pub mod shamir;
mod stream;
pub mod terms;
#[cfg(test)]
mod tests;

pub use identity::{Fingerprint, Identity, IdentityKey};
pub use party::{Party, Peers};
pub use terms::{
    Advertisement, Consent, Keys, Reveal, RevealedShare, SealedShare, Secret, Shared, Terms, default_threshold,
};

/// Uniform words from a key of its own: ChaCha20, as masks are made.
pub(crate) fn words(key: &[u8; 32]) -> impl FnMut() -> u64 + use<> {
    let mut words = stream::Words::new(key);
    move || words.next()
}

/// The hash of what one aggregation is about. It is never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instance(pub [u8; 32]);

/// Why a party or the coordinator does not go on. Nothing here depends on a patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecaggError {
    /// The terms can't be agreed to.
    #[error("the terms of the secure round do not hold: {0}")]
    Terms(&'static str),
    /// Too few parties are left.
    #[error("{given} parties came through {phase}, and {needed} are needed")]
    TooFew {
        /// The phase.
        phase: &'static str,
        /// How many.
        given: usize,
        /// The threshold.
        needed: usize,
    },
    /// A signature does not verify.
    #[error("a signature of {phase} does not verify")]
    Signature {
        /// The phase.
        phase: &'static str,
    },
    /// A message is not what the protocol says.
    #[error("a message of the secure round does not fit: {0}")]
    Message(&'static str),
    /// A party's share does not open, or says another than it should: its doing, or that of who handed it on.
    #[error("the share of the party at place {from} does not open")]
    Share {
        /// Its place in the roster.
        from: u32,
    },
    /// What was revealed of a party's secret gives nothing that fits its advertisement.
    #[error("the shares of the party at place {of} give no secret that it advertised")]
    Secret {
        /// Its place in the roster.
        of: u32,
        /// How many shares were revealed beyond those that are needed.
        spare: usize,
    },
    /// A primitive failed.
    #[error("{0} failed")]
    Crypto(&'static str),
}
