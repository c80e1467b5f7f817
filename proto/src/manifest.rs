//! What a release says of itself.

use serde::{Deserialize, Serialize};

use crate::ids::{Hash, RoundId, SiteId};
use crate::parse::ParseError;

/// One vector of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartManifest {
    /// The part's name, such as `gradient`.
    pub name: String,
    /// Lanes.
    pub lanes: u64,
    /// The noise's scale in grid units, times 10^9, as decimal text.
    pub sigma_nano: String,
    /// The integers are lane units times 2 to this.
    pub grid_bits: u32,
}

impl PartManifest {
    /// The noise's scale in grid units.
    ///
    /// # Errors
    /// The text is no whole number.
    pub fn sigma(&self) -> Result<f64, ParseError> {
        let nano: u128 =
            self.sigma_nano.parse().map_err(|_| ParseError::Field { field: "sigma_nano", wanted: "a whole number" })?;
        Ok(nano as f64 / 1e9)
    }
}

/// What a release of a secure round says of the aggregation that it is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecureManifest {
    /// The instance: the hash of the round's terms.
    pub instance: Hash,
    /// How many sites must come through.
    pub threshold: u32,
    /// How many of them the noise allows to help the coordinator.
    pub colluders: u32,
}

/// What a release says of itself. Its canonical bytes are its JSON in this order of fields, without spaces; it holds no
/// floating-point number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The site.
    pub site: SiteId,
    /// The round.
    pub round: RoundId,
    /// Which attempt at it, from 0; above 0 in secure rounds alone.
    pub attempt: u32,
    /// The plan.
    pub plan_hash: Hash,
    /// The hash of the parameters that the coordinator sent for the round.
    pub parameters_hash: Hash,
    /// The mechanism.
    pub mechanism: String,
    /// What it cost, in billionths of ρ.
    pub rho_nano: u64,
    /// The years of entry of the patients who are in it, as ranges with both ends.
    pub entered: Vec<[u16; 2]>,
    /// In a secure round: the aggregation. The payload is masked then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secure: Option<SecureManifest>,
    /// Where an equal question was answered before: that release, whose bytes these are. It cost nothing again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reused: Option<Hash>,
    /// Its vectors, in the order of the payload.
    pub parts: Vec<PartManifest>,
    /// SHA-256 of the payload.
    pub payload_hash: Hash,
}

/// The most bytes a manifest may have.
pub const MOST_BYTES: usize = 64 << 10;

impl Manifest {
    /// The canonical bytes.
    ///
    /// # Errors
    /// JSON can't hold it (it always can).
    pub fn canonical(&self) -> Result<Vec<u8>, ParseError> {
        serde_json::to_vec(self).map_err(|_| ParseError::Field { field: "manifest", wanted: "valid JSON" })
    }

    /// Parses bytes, which must be the canonical ones.
    ///
    /// # Errors
    /// They are too many, no manifest, or not canonical.
    pub fn parse(bytes: &[u8]) -> Result<Manifest, ParseError> {
        let wrong = |wanted| ParseError::Field { field: "manifest", wanted };
        if bytes.len() > MOST_BYTES {
            return Err(wrong("at most 64 KiB"));
        }
        let manifest: Manifest = serde_json::from_slice(bytes).map_err(|_| wrong("a manifest in JSON"))?;
        if manifest.canonical()? == bytes { Ok(manifest) } else { Err(wrong("canonical JSON")) }
    }

    /// The release's id: the hash of its manifest, which holds the payload's hash.
    ///
    /// # Errors
    /// As [`Manifest::canonical`].
    pub fn id(&self) -> Result<Hash, ParseError> {
        Ok(Hash::of_parts(&[b"insitu release v2\0", &self.canonical()?]))
    }

    /// All lanes.
    pub fn lanes(&self) -> u64 {
        self.parts.iter().fold(0, |sum, p| sum.saturating_add(p.lanes))
    }
}

/// The hash of a round's parameters: their bits, so that −0 and 0 differ.
pub fn parameters_hash(parameters: &[f64]) -> Hash {
    let bytes: Vec<u8> = parameters.iter().flat_map(|p| p.to_bits().to_le_bytes()).collect();
    Hash::of_parts(&[b"insitu parameters v1\0", &bytes])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::StudyId;

    fn example() -> Manifest {
        Manifest {
            site: SiteId::parse("de-01").unwrap(),
            round: RoundId { study: StudyId::parse("s").unwrap(), analysis: 0, round: 2 },
            attempt: 0,
            plan_hash: Hash([1; 32]),
            parameters_hash: parameters_hash(&[0.5]),
            mechanism: "discrete-gaussian".into(),
            rho_nano: 7,
            entered: vec![[2000, 2026]],
            secure: None,
            reused: None,
            parts: vec![PartManifest { name: "count".into(), lanes: 1, sigma_nano: "5000000000".into(), grid_bits: 4 }],
            payload_hash: Hash([2; 32]),
        }
    }

    /// Golden: a change here is a change of the wire, and needs a new version prefix.
    #[test]
    fn golden_bytes_and_id() {
        let m = example();
        let bytes = m.canonical().unwrap();
        assert!(bytes.starts_with(
            br#"{"site":"de-01","round":{"study":"s","analysis":0,"round":2},"attempt":0,"plan_hash":"0101"#
        ));
        assert_eq!(Manifest::parse(&bytes).unwrap(), m);
        assert_eq!(m.id().unwrap(), Manifest::parse(&bytes).unwrap().id().unwrap());
    }

    #[test]
    fn spaces_and_unknown_fields_are_refused() {
        let text = String::from_utf8(example().canonical().unwrap()).unwrap();
        assert!(Manifest::parse(text.replacen(':', ": ", 1).as_bytes()).is_err());
        assert!(Manifest::parse(text.replacen('{', "{\"x\":1,", 1).as_bytes()).is_err());
    }
}
