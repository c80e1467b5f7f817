//! The ledger: what was spent of which patients' budget, and what left for it, as a hash chain. The site's ledger is the truth; the
//! coordinator's copy is a display, and an anchor against a ledger from a backup.
//!
//! * here: the chain; its entries are those of [`certs::entry`].
//! * `totals`: what is spent, by block.
//! * [`anchor`]: signed heads, and what to do when the coordinator has seen more than this ledger holds.
//! * [`export`]: the ledger in plain words, for an auditor.

pub mod anchor;
pub mod export;
#[cfg(test)]
mod tests;
mod totals;

use std::sync::{Mutex, MutexGuard, PoisonError};

use certs::entry::follows;
pub use certs::entry::{Entry, Kind, ranges};
use chrono::Datelike;
use platform::store::SharedStore;
use platform::{Durability, Micros, StoreError, Transaction};
use privacy::{Block, Cost, Rho, Spent};
use proto::{Hash, RoundId, StudyId};
use serde::{Deserialize, Serialize};
use totals::Totals;

const PREFIX: &str = "ledger/entry/";
/// The number of entries and the last one's hash, entered with each: so that a change of the newest entry, or its removal,
/// shows as well.
const HEAD: &[u8] = b"ledger/head";

/// The first block, as it was when the ledger was begun.
const FIRST_BLOCK: &[u8] = b"ledger/first-block";

/// The longest head of this ledger that anybody has shown with this site's signature. It is never forgotten: a ledger that does not go
/// through it is an old copy, whatever the coordinator says later.
const SEEN: &[u8] = b"ledger/seen";

/// The calendar year of an instant, in UTC.
pub fn year(at: Micros) -> Block {
    let year = chrono::DateTime::from_timestamp_micros(at.0).map_or(0, |t| t.year());
    Block::try_from(year).unwrap_or_default()
}

/// Something wrong with the ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An entry is not what was written.
    #[error(
        "entry {sequence} of the ledger was changed: {what}; restore the state folder from its last good copy and call the operator"
    )]
    Broken {
        /// Which.
        sequence: u64,
        /// What does not fit.
        what: String,
    },
    /// The coordinator has seen entries that are not here.
    #[error(
        "the coordinator has seen {seen} entries of this ledger, and it holds {held}{}: it is an old copy. Nothing more is \
         released. Bring back the newest state folder, or take the missing entries from the coordinator with: site-agent ledger recover",
        if *.forked { " that do not go through them" } else { "" }
    )]
    Behind {
        /// What the coordinator has seen.
        seen: u64,
        /// What is here.
        held: u64,
        /// Whether what is here is not even a beginning of it.
        forked: bool,
    },
    /// The first block is another than when the ledger was begun.
    #[error(
        "[budget] first_block was {was} when the ledger was begun, and is {now}: patients would change the account that they were \
         charged to. Write first_block = {was} in site.toml"
    )]
    FirstBlock {
        /// As the ledger has it.
        was: Block,
        /// As the settings have it.
        now: Block,
    },
    /// A head that the coordinator signed is not taken.
    #[error("the coordinator's signature of the ledger's head is not kept: {0}")]
    Receipt(String),
    /// The entries that were brought back are not this ledger's.
    #[error("the entries can't be taken in: {0}")]
    Recovery(String),
}

/// How far a ledger went once, and the hash of the entry there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    entries: u64,
    last: Hash,
}

/// Where the ledger must have been.
#[derive(Default)]
struct Must {
    /// Proven by this site's own signature; on disk.
    seen: Option<Place>,
    /// What the coordinator said last, without proof.
    said: Option<Place>,
}

/// The ledger of a site.
pub struct Ledger {
    store: SharedStore,
    totals: Mutex<Totals>,
    /// Heads that the ledger must go through.
    must: Mutex<Must>,
}

fn key(sequence: u64) -> String {
    format!("{PREFIX}{sequence:020}")
}

/// What an entry is about, before it has its place in the chain.
pub struct Draft {
    /// What it stands for.
    pub kind: Kind,
    /// What was asked.
    pub round: RoundId,
    /// Which attempt.
    pub attempt: u32,
    /// The plan.
    pub plan_hash: Hash,
    /// What it costs.
    pub cost: Cost,
    /// Whose budget.
    pub blocks: Vec<Block>,
    /// The release.
    pub release: Hash,
    /// SHA-256 of the bytes.
    pub payload_hash: Hash,
}

impl Ledger {
    /// Reads the ledger of a store and checks its chain.
    ///
    /// # Errors
    /// The store fails, or the chain is broken: then nothing may be spent.
    pub fn open(store: SharedStore) -> Result<Ledger, LedgerError> {
        let mut totals = Totals::default();
        for entry in read(&store)? {
            totals.add(&entry);
        }
        let seen = match store.get(SEEN)? {
            Some(bytes) => {
                let what = "what the coordinator has seen of it can't be read".to_owned();
                let damaged = LedgerError::Broken { sequence: totals.hashes.len() as u64, what };
                Some(serde_json::from_slice(&bytes).map_err(|_| damaged)?)
            }
            None => None,
        };
        Ok(Ledger { store, totals: Mutex::new(totals), must: Mutex::new(Must { seen, said: None }) })
    }

    /// Keeps the first block with the first entry: everybody who entered before is charged in it, so that with another one patients
    /// would have spent from accounts that are not theirs.
    ///
    /// # Errors
    /// It is another than that of the entries there are, or the store fails.
    pub fn keep_first_block(&self, now: Block) -> Result<(), LedgerError> {
        let kept = self.store.get(FIRST_BLOCK)?.and_then(|v| serde_json::from_slice(&v).ok());
        match kept {
            Some(was) if was == now => Ok(()),
            Some(was) if self.head().0 > 0 => Err(LedgerError::FirstBlock { was, now }),
            _ => {
                let mut t = Transaction::new("ledger/first-block");
                t.put(FIRST_BLOCK, serde_json::to_vec(&now).unwrap_or_default());
                Ok(self.store.commit(t, Durability::Synced)?)
            }
        }
    }

    fn totals(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether charges may be entered.
    ///
    /// # Errors
    /// The ledger was found to be an old copy.
    pub fn admits(&self) -> Result<(), LedgerError> {
        let must = self.must.lock().unwrap_or_else(PoisonError::into_inner);
        for place in [must.seen, must.said].into_iter().flatten() {
            let own = self.hash_at(place.entries);
            if place.entries > 0 && own != Some(place.last) {
                let (held, _) = self.head();
                return Err(LedgerError::Behind { seen: place.entries, held, forked: own.is_some() });
            }
        }
        Ok(())
    }

    /// What is spent of each block, as seen by a study at an instant.
    pub fn spent(&self, study: &StudyId, at: Micros, blocks: &[Block]) -> Vec<(Block, Spent)> {
        let t = self.totals();
        blocks.iter().map(|b| (*b, t.spent(study, year(at), *b))).collect()
    }

    /// The blocks that a study was charged for before, if any: it goes on with the same patients.
    pub fn blocks_of(&self, study: &StudyId) -> Option<Vec<Block>> {
        self.totals().blocks_of(study)
    }

    /// What blocks have paid at once for a study's releases.
    pub fn prepaid(&self, study: &StudyId) -> Vec<(Block, Rho)> {
        self.totals().prepaid(study)
    }

    /// What blocks have paid at once for the rounds of a study's analysis: each with the round from which on it was for.
    pub fn planned(&self, study: &StudyId, analysis: u32) -> Vec<(Block, u32, Cost)> {
        self.totals().planned(study, analysis)
    }

    /// What was spent of every block that was ever charged.
    pub fn blocks(&self, at: Micros) -> Vec<(Block, Spent)> {
        self.totals().all(year(at))
    }

    /// How many entries, and the last one's hash (zeros without one).
    pub fn head(&self) -> (u64, Hash) {
        let t = self.totals();
        (t.hashes.len() as u64, t.hashes.last().copied().unwrap_or(Hash([0; 32])))
    }

    /// The hash of the entry at a place, counted from 1.
    fn hash_at(&self, sequence: u64) -> Option<Hash> {
        let place = usize::try_from(sequence.checked_sub(1)?).ok()?;
        self.totals().hashes.get(place).copied()
    }

    /// The root of the tree over the entries.
    pub fn root(&self) -> Hash {
        self.totals().tree.root()
    }

    /// Whether an attempt at a round stands in the ledger.
    pub fn charged(&self, round: &RoundId, attempt: u32) -> bool {
        self.totals().attempts(round).is_some_and(|a| a.contains(&attempt))
    }

    /// Whether another attempt at the round was charged before this one; and how many attempts beyond each round's first the study
    /// has been charged for.
    pub fn reruns(&self, round: &RoundId, attempt: u32) -> (bool, u32) {
        let t = self.totals();
        (t.attempts(round).is_some_and(|a| a.iter().any(|other| *other != attempt)), t.reruns(&round.study))
    }

    /// Adds an entry to a transaction. The totals change when [`Ledger::committed`] is told of it.
    pub fn charge(&self, into: &mut Transaction, draft: Draft, at: Micros) -> Entry {
        let (entries, head) = self.head();
        let entry = Entry {
            sequence: entries + 1,
            previous: head,
            at_micros: at.0,
            kind: draft.kind,
            round: draft.round,
            attempt: draft.attempt,
            plan_hash: draft.plan_hash,
            cost: draft.cost,
            entered: ranges(&draft.blocks),
            release: draft.release,
            payload_hash: draft.payload_hash,
        };
        write(into, &entry);
        entry
    }

    /// Takes a committed entry into the totals.
    pub fn committed(&self, entry: &Entry) {
        self.totals().add(entry);
    }

    /// All entries, the chain checked.
    ///
    /// # Errors
    /// The store fails, or the chain is broken.
    pub fn entries(&self) -> Result<Vec<Entry>, LedgerError> {
        read(&self.store)
    }

    /// Entries behind a place and up to another, as bytes.
    ///
    /// # Errors
    /// The store fails.
    pub fn bytes_between(&self, sequence: u64, last: u64) -> Result<Vec<Vec<u8>>, LedgerError> {
        let all = (sequence + 1..=last).map(|s| self.store.get(key(s).as_bytes()));
        Ok(all.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }
}

fn write(into: &mut Transaction, entry: &Entry) {
    into.put(key(entry.sequence), entry.bytes());
    into.put(HEAD, serde_json::to_vec(&(entry.sequence, entry.hash())).unwrap_or_default());
}

fn read(store: &SharedStore) -> Result<Vec<Entry>, LedgerError> {
    let mut out: Vec<Entry> = Vec::new();
    let broken = |(sequence, what): (u64, &str)| LedgerError::Broken { sequence, what: what.to_owned() };
    for (place, value) in store.scan(PREFIX.as_bytes())? {
        let entry = follows(out.last(), &value).map_err(broken)?;
        if place != key(entry.sequence).as_bytes() {
            return Err(broken((entry.sequence, "it lies at another place")));
        }
        out.push(entry);
    }
    let head: Option<(u64, Hash)> = store.get(HEAD)?.and_then(|v| serde_json::from_slice(&v).ok());
    let last = out.last().map(|e| (e.sequence, e.hash()));
    if head != last {
        return Err(broken((out.len() as u64, "it is not the last entry that was written")));
    }
    Ok(out)
}
