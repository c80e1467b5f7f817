//! The ledger: what was spent, as a hash chain. The site's ledger is the truth; the coordinator's copy is a display.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::Datelike;
use platform::store::SharedStore;
use platform::{Micros, StoreError, Transaction};
use privacy::{Rho, Spent};
use proto::{Hash, Manifest, RoundId, StudyId};
use serde::{Deserialize, Serialize};

const PREFIX: &str = "ledger/entry/";
/// The number of entries and the last one's hash, entered with each: so that a change of the newest entry, or its removal,
/// shows as well.
const HEAD: &[u8] = b"ledger/head";
const DOMAIN: &[u8] = b"insitu ledger v1\0";

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
    /// What was asked.
    pub round: RoundId,
    /// The plan.
    pub plan_hash: Hash,
    /// What it cost, in billionths of ρ.
    pub rho: Rho,
    /// The release that it paid for.
    pub release: Hash,
    /// SHA-256 of the bytes that left.
    pub payload_hash: Hash,
}

impl Entry {
    /// The entry's hash: of its canonical JSON.
    pub fn hash(&self) -> Hash {
        Hash::of_parts(&[DOMAIN, &serde_json::to_vec(self).unwrap_or_default()])
    }

    fn year(&self) -> i32 {
        year(Micros(self.at_micros))
    }
}

fn year(at: Micros) -> i32 {
    chrono::DateTime::from_timestamp_micros(at.0).map_or(0, |t| t.year())
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
}

#[derive(Default)]
struct Totals {
    entries: u64,
    head: Option<Hash>,
    studies: BTreeMap<StudyId, Rho>,
    years: BTreeMap<i32, Rho>,
    lifetime: Rho,
}

impl Totals {
    fn add(&mut self, entry: &Entry) {
        self.entries = entry.sequence;
        self.head = Some(entry.hash());
        let study = self.studies.entry(entry.round.study.clone()).or_default();
        *study = study.plus(entry.rho);
        let year = self.years.entry(entry.year()).or_default();
        *year = year.plus(entry.rho);
        self.lifetime = self.lifetime.plus(entry.rho);
    }
}

/// The ledger of a site.
pub struct Ledger {
    store: SharedStore,
    totals: Mutex<Totals>,
}

fn key(sequence: u64) -> String {
    format!("{PREFIX}{sequence:020}")
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
        Ok(Ledger { store, totals: Mutex::new(totals) })
    }

    fn totals(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is spent, as seen by a study at an instant.
    pub fn spent(&self, study: &StudyId, at: Micros) -> Spent {
        let t = self.totals();
        Spent {
            study: t.studies.get(study).copied().unwrap_or_default(),
            year: t.years.get(&year(at)).copied().unwrap_or_default(),
            lifetime: t.lifetime,
        }
    }

    /// How many entries, and the last one's hash (zeros without one).
    pub fn head(&self) -> (u64, Hash) {
        let t = self.totals();
        (t.entries, t.head.unwrap_or(Hash([0; 32])))
    }

    /// Adds an entry for a release to a transaction. The totals change when [`Ledger::committed`] is told of it.
    pub fn charge(&self, into: &mut Transaction, manifest: &Manifest, release: Hash, at: Micros) -> Entry {
        let (entries, head) = self.head();
        let entry = Entry {
            sequence: entries + 1,
            previous: head,
            at_micros: at.0,
            round: manifest.round.clone(),
            plan_hash: manifest.plan_hash,
            rho: Rho::from_nano(manifest.rho_nano),
            release,
            payload_hash: manifest.payload_hash,
        };
        into.put(key(entry.sequence), serde_json::to_vec(&entry).unwrap_or_default());
        into.put(HEAD, serde_json::to_vec(&(entry.sequence, entry.hash())).unwrap_or_default());
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
}

fn read(store: &SharedStore) -> Result<Vec<Entry>, LedgerError> {
    let mut out: Vec<Entry> = Vec::new();
    for (place, value) in store.scan(PREFIX.as_bytes())? {
        let sequence = out.len() as u64 + 1;
        let broken = |what: &str| LedgerError::Broken { sequence, what: what.to_owned() };
        let entry: Entry = serde_json::from_slice(&value).map_err(|_| broken("it can't be read"))?;
        if serde_json::to_vec(&entry).unwrap_or_default() != value {
            return Err(broken("its bytes are not canonical"));
        }
        if entry.sequence != sequence || place != key(sequence).as_bytes() {
            return Err(broken("an entry is missing before it"));
        }
        let previous = out.last().map_or(Hash([0; 32]), Entry::hash);
        if entry.previous != previous {
            return Err(broken("the entry before it is not the one it names"));
        }
        out.push(entry);
    }
    let head: Option<(u64, Hash)> = store.get(HEAD)?.and_then(|v| serde_json::from_slice(&v).ok());
    let last = out.last().map(|e| (e.sequence, e.hash()));
    if head != last {
        let what = "it is not the last entry that was written".to_owned();
        return Err(LedgerError::Broken { sequence: out.len() as u64, what });
    }
    Ok(out)
}
