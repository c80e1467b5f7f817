//! What all sites of a secure round agree on: its terms, whose hash is the instance of the aggregation.

use serde::{Deserialize, Serialize};

use crate::ids::{Hash, RoundId, SiteId};
use crate::parse::ParseError;

/// A site of the round, and the fingerprint of its identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The site.
    pub site: SiteId,
    /// The fingerprint of its identity key.
    pub fingerprint: Hash,
}

/// One vector of the round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartTerms {
    /// Its name.
    pub name: String,
    /// Its lanes.
    pub lanes: u64,
    /// The scale of one site's noise in grid units, times 10^9, as decimal text.
    pub sigma_nano: String,
    /// The grid.
    pub grid_bits: u32,
}

/// The terms of a secure round. Each site derives them from the plan that it holds and the order, so that sites that were told
/// different things are in different instances, and nothing that they send fits together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundTerms {
    /// The federation.
    pub federation: String,
    /// The plan: query, cohort, statistic or model.
    pub plan_hash: Hash,
    /// The round.
    pub round: RoundId,
    /// Which attempt at it.
    pub attempt: u32,
    /// The parameters.
    pub parameters_hash: Hash,
    /// The mechanism.
    pub mechanism: String,
    /// The charge at each site, in billionths of ρ.
    pub rho_nano: u64,
    /// How many sites must come through.
    pub threshold: u32,
    /// How many may help the coordinator.
    pub colluders: u32,
    /// The sites, in ascending order of their ids. A site's place here is its name in the protocol.
    pub roster: Vec<Member>,
    /// The vectors.
    pub parts: Vec<PartTerms>,
    /// The id of the linkage key, where distinct patients are counted: under two keys one person would be two. Else empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub linkage_key: String,
}

impl RoundTerms {
    /// The instance: the hash of the canonical JSON.
    ///
    /// # Errors
    /// JSON can't hold it (it always can).
    pub fn instance(&self) -> Result<Hash, ParseError> {
        let bytes = serde_json::to_vec(self).map_err(|_| ParseError::Field { field: "terms", wanted: "valid JSON" })?;
        Ok(Hash::of_parts(&[b"insitu secure round v1\0", &bytes]))
    }

    /// The place of a site.
    pub fn place(&self, site: &SiteId) -> Option<u32> {
        self.roster.iter().position(|m| m.site == *site).and_then(|p| u32::try_from(p).ok())
    }

    /// The site at a place.
    pub fn site(&self, place: u32) -> Option<&SiteId> {
        self.roster.get(place as usize).map(|m| &m.site)
    }

    /// All lanes.
    pub fn lanes(&self) -> u64 {
        self.parts.iter().fold(0, |sum, p| sum.saturating_add(p.lanes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::StudyId;

    /// Whatever changes, the instance does.
    #[test]
    fn every_field_is_in_the_instance() {
        let terms = RoundTerms {
            federation: "f".into(),
            plan_hash: Hash([1; 32]),
            round: RoundId { study: StudyId::parse("s").unwrap(), analysis: 0, round: 0 },
            attempt: 0,
            parameters_hash: Hash([2; 32]),
            mechanism: "discrete-gaussian".into(),
            rho_nano: 5,
            threshold: 2,
            colluders: 0,
            roster: vec![Member { site: SiteId::parse("a").unwrap(), fingerprint: Hash([3; 32]) }],
            parts: vec![PartTerms { name: "n".into(), lanes: 1, sigma_nano: "1".into(), grid_bits: 0 }],
            linkage_key: String::new(),
        };
        let same = terms.instance().unwrap();
        let with = |change: &dyn Fn(&mut RoundTerms)| {
            let mut t = terms.clone();
            change(&mut t);
            t.instance().unwrap()
        };
        let changes: [&dyn Fn(&mut RoundTerms); 12] = [
            &|t| t.federation.push('x'),
            &|t| t.plan_hash.0[0] ^= 1,
            &|t| t.round.round += 1,
            &|t| t.attempt += 1,
            &|t| t.parameters_hash.0[0] ^= 1,
            &|t| t.mechanism.push('x'),
            &|t| t.rho_nano += 1,
            &|t| t.threshold += 1,
            &|t| t.colluders += 1,
            &|t| t.roster[0].fingerprint.0[0] ^= 1,
            &|t| t.parts[0].lanes += 1,
            &|t| t.linkage_key.push('x'),
        ];
        assert!(changes.iter().all(|c| with(*c) != same));
    }
}
