//! Entries of a site's ledger, as both sides know them: the site charges by them, the coordinator keeps a copy of the chain.

use privacy::{Block, Cost};
use proto::{Hash, RoundId};
use serde::{Deserialize, Serialize};

const DOMAIN: &[u8] = b"insitu ledger v2\0";

/// What an entry stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Noised bytes that may leave.
    Release,
    /// A part of a secure round: masked bytes that may leave. It stands whether the round comes through or not.
    SecureRelease,
    /// A noised count that stayed here, and whether it reached the least cohort.
    CohortCheck,
    /// Noised sums that stayed here, and what they said of the data's quality.
    QualityCheck,
    /// The bytes of an earlier release, sent once more for an equal question. It costs nothing.
    Reuse,
    /// What all releases of a continuous study, or of a training that samples patients, cost at once, before the first of them. The releases
    /// themselves cost nothing.
    Prepaid,
}

impl Kind {
    /// Whether no bytes left: it stands for a decision that the site took by noised numbers which stayed there, or for a payment.
    pub fn decides(self) -> bool {
        matches!(self, Kind::CohortCheck | Kind::QualityCheck | Kind::Prepaid)
    }
}

/// One charge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its place, from 1.
    pub sequence: u64,
    /// The hash of the entry before it; zeros for the first.
    pub previous: Hash,
    /// When, in microseconds since 1970.
    pub at_micros: i64,
    /// What it stands for.
    pub kind: Kind,
    /// What was asked.
    pub round: RoundId,
    /// Which attempt at it.
    pub attempt: u32,
    /// The plan.
    pub plan_hash: Hash,
    /// What it cost.
    pub cost: Cost,
    /// Whose budget: years of entry, as ranges with both ends.
    pub entered: Vec<[Block; 2]>,
    /// The release that it paid for; for what the site decided by, zeros where it was refused and ones where it passed.
    pub release: Hash,
    /// SHA-256 of the bytes that left; zeros where none did.
    pub payload_hash: Hash,
}

impl Entry {
    /// The entry's hash: of its canonical JSON.
    pub fn hash(&self) -> Hash {
        Hash::of_parts(&[DOMAIN, &self.bytes()])
    }

    /// The canonical JSON.
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The blocks.
    pub fn blocks(&self) -> impl Iterator<Item = Block> + '_ {
        self.entered.iter().flat_map(|[from, to]| *from..=*to)
    }
}

/// Blocks as ranges with both ends, in ascending order.
pub fn ranges(blocks: &[Block]) -> Vec<[Block; 2]> {
    let mut out: Vec<[Block; 2]> = Vec::new();
    for block in blocks {
        match out.last_mut() {
            Some([_, to]) if to.checked_add(1) == Some(*block) => *to = *block,
            _ => out.push([*block, *block]),
        }
    }
    out
}

/// Reads one entry, which must follow `last`.
///
/// # Errors
/// Its place, and what does not fit.
pub fn follows(last: Option<&Entry>, bytes: &[u8]) -> Result<Entry, (u64, &'static str)> {
    let sequence = last.map_or(0, |e| e.sequence) + 1;
    let entry: Entry = serde_json::from_slice(bytes).map_err(|_| (sequence, "it can't be read"))?;
    if entry.bytes() != bytes {
        return Err((sequence, "its bytes are not canonical"));
    }
    if entry.sequence != sequence {
        return Err((sequence, "an entry is missing before it"));
    }
    if entry.previous != last.map_or(Hash([0; 32]), Entry::hash) {
        return Err((sequence, "the entry before it is not the one it names"));
    }
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_join_what_follows() {
        assert_eq!(ranges(&[2000, 2001, 2002, 2005, 2007, 2008]), [[2000, 2002], [2005, 2005], [2007, 2008]]);
        assert!(ranges(&[]).is_empty());
    }
}
