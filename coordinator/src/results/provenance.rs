//! Where the numbers come from: the signed plan, the sites and what they decided, each round and each release.

use serde::{Deserialize, Serialize};

use super::unbounded;

/// Where a study's numbers come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The federation.
    pub federation: String,
    /// The study's id.
    pub study: String,
    /// The hash of the plan that was signed, hexadecimal.
    pub plan_hash: String,
    /// Who signed it.
    pub signer: String,
    /// The serial number of the signer's certificate.
    pub signer_certificate_serial: String,
    /// The signature, hexadecimal.
    pub signature_hex: String,
    /// ε of the whole study, at each site.
    #[serde(deserialize_with = "unbounded")]
    pub epsilon: f64,
    /// δ of the whole study.
    pub delta: f64,
    /// ρ of the whole study, at each site.
    #[serde(deserialize_with = "unbounded")]
    pub rho: f64,
    /// Who is protected.
    pub unit: String,
    /// How the sites' sums met: `local` or `secure`.
    pub aggregation: String,
    /// Secure rounds that the sites had paid for and that came to nothing.
    pub burned: u32,
    /// How the noise is drawn.
    pub mechanism: String,
    /// The version of the common schema.
    pub schema: String,
    /// When the study began.
    pub started: String,
    /// When it ended.
    pub finished: String,
    /// Which software ran it.
    pub software: String,
    /// Whether noise was on.
    pub private: bool,
    /// The sites that were asked.
    pub sites: Vec<SiteProvenance>,
    /// The rounds that were run.
    pub rounds: Vec<RoundProvenance>,
}

/// A site that was asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SiteProvenance {
    /// Its id.
    pub id: String,
    /// Its country.
    pub country: String,
    /// What it decided on the plan.
    pub decision: String,
    /// Why.
    pub reason: String,
    /// What it spent.
    #[serde(deserialize_with = "unbounded")]
    pub rho: f64,
    /// The same as ε, at the study's δ.
    #[serde(deserialize_with = "unbounded")]
    pub epsilon: f64,
}

/// A round that was run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoundProvenance {
    /// The analysis.
    pub analysis: String,
    /// Its number, from 0.
    pub round: u32,
    /// Sites whose releases are in the sum.
    pub sites: u32,
    /// The hash of what the sites were told.
    pub parameters_hash: String,
    /// The hash of the sum.
    pub merged_hash: String,
    /// When it began.
    pub started: String,
    /// When it ended.
    pub finished: String,
    /// What the sites sent.
    pub releases: Vec<ReleaseProvenance>,
}

/// What a site sent in a round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReleaseProvenance {
    /// The site.
    pub site: String,
    /// The release's id, hexadecimal.
    pub release: String,
    /// The hash of the bytes it sent.
    pub payload_hash: String,
    /// What it spent on it.
    #[serde(deserialize_with = "unbounded")]
    pub rho: f64,
}

impl Provenance {
    /// In how many rounds a site's release is.
    pub fn rounds_of(&self, site: &str) -> usize {
        self.rounds.iter().filter(|r| r.releases.iter().any(|x| x.site == site)).count()
    }

    /// How many sites sent anything.
    pub fn sites_in(&self) -> usize {
        self.sites.iter().filter(|s| self.rounds_of(&s.id) > 0).count()
    }
}
