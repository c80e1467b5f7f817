//! A study's releases, to be verified offline: each site's entries with proofs that they are in the ledger whose head the site and
//! the coordinator have signed, and the releases that went into each sum.

use std::collections::BTreeMap;

use privacy::secagg::Fingerprint;
use proto::{Hash, SiteId, StudyId, merkle};
use serde::{Deserialize, Serialize};

use crate::entry::Entry;
use crate::head::{Cosignature, SignedHead};

/// The format of a bundle.
pub const FORMAT: &str = "insitu-releases-1";

/// An entry and its proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proven {
    /// The entry's canonical JSON, as text.
    pub entry: String,
    /// The hashes on its way to the root.
    pub proof: Vec<Hash>,
}

/// One site's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SitePart {
    /// The head of its ledger, signed by the site.
    pub head: SignedHead,
    /// The coordinator's signature on it.
    pub cosignature: Cosignature,
    /// The study's entries.
    pub entries: Vec<Proven>,
}

/// A bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// [`FORMAT`].
    pub format: String,
    /// The federation.
    pub federation: String,
    /// The study.
    pub study: StudyId,
    /// By site.
    pub sites: BTreeMap<SiteId, SitePart>,
    /// The releases in each sum that was published: site and release.
    pub merged: Vec<(SiteId, Hash)>,
}

/// What a bundle proves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// The fingerprint of each site's identity: compare them with those that the sites give you.
    pub sites: BTreeMap<SiteId, String>,
    /// The fingerprint of the coordinator's identity.
    pub coordinator: String,
    /// Entries proved.
    pub entries: usize,
    /// Releases that went into sums, each found in its site's ledger.
    pub merged: usize,
}

impl Verified {
    /// In words.
    pub fn text(&self) -> String {
        use std::fmt::Write as _;
        let mut out = String::new();
        let _ = writeln!(
            out,
            "{} entries are in ledgers that were signed; {} releases are in published sums",
            self.entries, self.merged
        );
        let _ = writeln!(out, "coordinator  {}", self.coordinator);
        for (site, fingerprint) in &self.sites {
            let _ = writeln!(out, "{site:<12} {fingerprint}");
        }
        let _ = writeln!(out, "compare the fingerprints with those that the hospitals give you");
        out
    }
}

/// Why a bundle proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// It can't be read.
    #[error("the bundle can't be read: {0}")]
    Unreadable(String),
    /// Something in it does not fit.
    #[error("{site}: {what}")]
    Site {
        /// Which site's part.
        site: String,
        /// What does not fit.
        what: String,
    },
}

fn wrong(site: &SiteId, what: impl Into<String>) -> BundleError {
    BundleError::Site { site: site.to_string(), what: what.into() }
}

impl Bundle {
    /// Verifies everything that can be verified without anybody's help.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn verify(&self) -> Result<Verified, BundleError> {
        if self.format != FORMAT {
            return Err(BundleError::Unreadable(format!("its format is '{}', and {FORMAT} is known", self.format)));
        }
        let mut out = Verified { sites: BTreeMap::new(), coordinator: String::new(), entries: 0, merged: 0 };
        let mut releases: BTreeMap<&SiteId, Vec<Hash>> = BTreeMap::new();
        for (site, part) in &self.sites {
            let identity = part.head.verify().map_err(|e| wrong(site, e.to_string()))?;
            let by = part.head.verify_cosignature(&part.cosignature).map_err(|e| wrong(site, e.to_string()))?;
            let coordinator = shown(&by.fingerprint());
            if part.head.head.site != *site {
                return Err(wrong(site, "the head is another site's"));
            }
            if !out.coordinator.is_empty() && out.coordinator != coordinator {
                return Err(wrong(site, "two coordinators signed"));
            }
            out.coordinator = coordinator;
            for proven in &part.entries {
                releases.entry(site).or_default().extend(self.proven(site, part, proven)?);
                out.entries += 1;
            }
            out.sites.insert(site.clone(), shown(&identity.fingerprint()));
        }
        for (site, release) in &self.merged {
            if !releases.get(site).is_some_and(|r| r.contains(release)) {
                return Err(wrong(
                    site,
                    format!("release {} is in a sum and not in the site's ledger", release.short()),
                ));
            }
            out.merged += 1;
        }
        Ok(out)
    }

    fn proven(&self, site: &SiteId, part: &SitePart, proven: &Proven) -> Result<Option<Hash>, BundleError> {
        let entry: Entry = serde_json::from_str(&proven.entry).map_err(|_| wrong(site, "an entry can't be read"))?;
        if entry.bytes() != proven.entry.as_bytes() {
            return Err(wrong(site, format!("entry {} is not in canonical form", entry.sequence)));
        }
        if entry.round.study != self.study {
            return Err(wrong(site, format!("entry {} is another study's", entry.sequence)));
        }
        let head = &part.head.head;
        let leaf = merkle::leaf(&entry.hash().0);
        let index = entry.sequence.wrapping_sub(1);
        if !merkle::verify_inclusion(&leaf, index, head.entries, &proven.proof, &head.root) {
            return Err(wrong(site, format!("entry {} is not in the ledger that was signed", entry.sequence)));
        }
        Ok((!entry.kind.decides()).then_some(entry.release))
    }
}

/// A fingerprint in groups of four digits.
pub fn shown(fingerprint: &Fingerprint) -> String {
    let text = fingerprint.to_string();
    let groups: Vec<&str> = (0..text.len()).step_by(4).filter_map(|i| text.get(i..i + 4)).collect();
    groups.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Kind;
    use crate::head::Head;
    use privacy::secagg::IdentityKey;
    use privacy::{Cost, Rho};
    use proto::RoundId;
    use zeroize::Zeroizing;

    fn bundle() -> Bundle {
        let key = |b| IdentityKey::from_seed(&Zeroizing::new([b; 32])).unwrap();
        let (site, study) = (SiteId::parse("de-01").unwrap(), StudyId::parse("s").unwrap());
        let mut previous = Hash([0; 32]);
        let entries: Vec<Entry> = (0..5u64)
            .map(|i| {
                let e = Entry {
                    sequence: i + 1,
                    previous,
                    at_micros: 0,
                    kind: Kind::Release,
                    round: RoundId { study: study.clone(), analysis: 0, round: i as u32 },
                    attempt: 0,
                    plan_hash: Hash([1; 32]),
                    cost: Cost::gaussian(Rho::from_nano(5)),
                    entered: vec![[2000, 2026]],
                    release: Hash([i as u8; 32]),
                    payload_hash: Hash([9; 32]),
                };
                previous = e.hash();
                e
            })
            .collect();
        let leaves: Vec<Hash> = entries.iter().map(|e| merkle::leaf(&e.hash().0)).collect();
        let head = Head { site: site.clone(), entries: 5, last: previous, root: merkle::root(&leaves), at_micros: 7 };
        let head = SignedHead::sign(head, &key(1));
        let proven = |i: u64| Proven {
            entry: String::from_utf8(entries[i as usize].bytes()).unwrap(),
            proof: merkle::inclusion_proof(&leaves, i).unwrap(),
        };
        let part = SitePart { cosignature: head.cosign(&key(2)), head, entries: vec![proven(1), proven(4)] };
        Bundle {
            format: FORMAT.into(),
            federation: "f".into(),
            study,
            sites: BTreeMap::from([(site.clone(), part)]),
            merged: vec![(site.clone(), Hash([1; 32])), (site, Hash([4; 32]))],
        }
    }

    #[test]
    fn a_true_bundle_verifies() {
        let v = bundle().verify().unwrap();
        assert_eq!((v.entries, v.merged, v.sites.len()), (2, 2, 1));
    }

    #[test]
    fn every_change_is_found() {
        type Change = (&'static str, fn(&mut SitePart));
        let site = SiteId::parse("de-01").unwrap();
        let changes: [Change; 5] = [
            ("entry", |p| p.entries[0].entry = p.entries[0].entry.replace("\"rho\":5", "\"rho\":4")),
            ("proof", |p| p.entries[0].proof[0].0[0] ^= 1),
            ("root", |p| p.head.head.root.0[0] ^= 1),
            ("length", |p| p.head.head.entries = 6),
            ("cosignature", |p| p.cosignature.signature.replace_range(0..2, "00")),
        ];
        for (what, change) in changes {
            let mut b = bundle();
            change(b.sites.get_mut(&site).unwrap());
            assert!(b.verify().is_err(), "{what}");
        }
        let mut b = bundle();
        b.merged.push((site.clone(), Hash([2; 32])));
        assert!(b.verify().unwrap_err().to_string().contains("not in the site's ledger"));
        let mut b = bundle();
        b.study = StudyId::parse("t").unwrap();
        assert!(b.verify().is_err());
    }
}
