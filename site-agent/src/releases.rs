//! Releases: what left, exactly once.
//!
//! ```text
//!   Reserved ──► Sealed ──► Sent ──► Acknowledged
//!   (charge)     (noised bytes, their hash)
//! ```
//!
//! The first two are entered in one synced transaction: the charge, the noised bytes, their hash and the ledger's entry are
//! on disk together before a byte is sent. Before it, a crash leaves nothing: the noise that was drawn was never seen. After
//! it, whoever asks for the same round again gets the same bytes, and nothing is paid twice. Noise is never drawn again for
//! a round that was answered, whatever its parameters.

use std::sync::{Mutex, PoisonError};

use platform::store::SharedStore;
use platform::{Durability, Micros, StoreError, Transaction};
use privacy::{Caps, Charge, MechanismName, PrivacyFilter, Released, ReleasedPart, Rho};
use proto::{Hash, Manifest, PartManifest, RoundId, SiteId};
use serde::{Deserialize, Serialize};

use crate::ledger::{Ledger, LedgerError};

/// Where a release stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The charge stands.
    Reserved,
    /// The noised bytes are on disk.
    Sealed,
    /// They were handed to the stream.
    Sent,
    /// The coordinator has made them durable.
    Acknowledged,
}

/// A release's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Where it stands.
    pub state: State,
    /// Its id.
    pub id: Hash,
    /// What it says of itself.
    pub manifest: Manifest,
    /// When it was reserved and sealed, in microseconds since 1970.
    pub sealed_micros: i64,
}

/// What a round asks for, as the site derived it from the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The round.
    pub round: RoundId,
    /// The plan.
    pub plan_hash: Hash,
    /// The round's parameters.
    pub parameters_hash: Hash,
    /// What the plan pays for the round.
    pub rho: Rho,
}

/// A release that is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Its record.
    pub record: Record,
    /// The manifest's canonical bytes.
    pub manifest: Vec<u8>,
    /// The noised integers.
    pub payload: Vec<u8>,
}

/// Why nothing was released.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// A budget does not hold the charge.
    #[error(transparent)]
    Budget(#[from] privacy::Refusal),
    /// The round was answered for other parameters or another plan.
    #[error("the round {round} was answered before with other {what}; a round is answered once")]
    Answered {
        /// The round.
        round: RoundId,
        /// `parameters` or `plan`.
        what: &'static str,
    },
    /// The ledger is broken.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored release can't be read.
    #[error("the stored release of round {0} can't be read; run site-agent releases verify")]
    Unreadable(RoundId),
    /// The mechanism failed.
    #[error(transparent)]
    Mechanism(#[from] privacy::MechanismError),
}

/// The desk where releases are sealed.
pub struct Releases {
    store: SharedStore,
    site: SiteId,
    caps: Caps,
    /// One release is sealed at a time, so that no two charges pass the same cap.
    turn: Mutex<()>,
}

fn key(round: &RoundId) -> String {
    format!("release/{}/{:06}/{:06}", round.study, round.analysis, round.round)
}

fn payload_key(id: &Hash) -> String {
    format!("payload/{id}")
}

impl Releases {
    /// Over a store.
    pub fn new(store: SharedStore, site: SiteId, caps: Caps) -> Releases {
        Releases { store, site, caps, turn: Mutex::new(()) }
    }

    /// The release of a round, if it was sealed.
    ///
    /// # Errors
    /// It was sealed for other parameters or another plan, or can't be read.
    pub fn find(&self, order: &Order) -> Result<Option<Sealed>, ReleaseError> {
        let Some(sealed) = self.get(&order.round)? else { return Ok(None) };
        let m = &sealed.record.manifest;
        if m.plan_hash != order.plan_hash {
            return Err(ReleaseError::Answered { round: order.round.clone(), what: "plan" });
        }
        if m.parameters_hash != order.parameters_hash {
            return Err(ReleaseError::Answered { round: order.round.clone(), what: "parameters" });
        }
        Ok(Some(sealed))
    }

    /// The release of a round, if any.
    ///
    /// # Errors
    /// The store fails, or it can't be read.
    pub fn get(&self, round: &RoundId) -> Result<Option<Sealed>, ReleaseError> {
        let unreadable = || ReleaseError::Unreadable(round.clone());
        let Some(bytes) = self.store.get(key(round).as_bytes())? else { return Ok(None) };
        let record: Record = serde_json::from_slice(&bytes).map_err(|_| unreadable())?;
        let manifest = record.manifest.canonical().map_err(|_| unreadable())?;
        let payload = self.store.get(payload_key(&record.id).as_bytes())?.ok_or_else(unreadable)?;
        if Hash::of(&payload) != record.manifest.payload_hash {
            return Err(unreadable());
        }
        Ok(Some(Sealed { record, manifest, payload }))
    }

    /// Whether the caps would hold a charge now. It mints nothing that lasts.
    ///
    /// # Errors
    /// The cap that does not hold it.
    pub fn would_admit(&self, ledger: &Ledger, order: &Order, at: Micros) -> Result<(), ReleaseError> {
        PrivacyFilter::new(self.caps).admit(order.rho, &ledger.spent(&order.round.study, at))?;
        Ok(())
    }

    /// Charges, draws the noise by `noise`, and seals, in one synced transaction. A round that was sealed meanwhile is
    /// returned as it is.
    ///
    /// # Errors
    /// A budget is spent, the noise or the store failed. Nothing has left, and nothing was charged.
    pub fn seal(
        &self,
        ledger: &Ledger,
        order: &Order,
        at: Micros,
        mechanism: MechanismName,
        names: &[String],
        noise: impl FnOnce(Charge) -> Result<Released<Vec<ReleasedPart>>, privacy::MechanismError>,
    ) -> Result<Sealed, ReleaseError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sealed) = self.find(order)? {
            return Ok(sealed);
        }
        let charge = PrivacyFilter::new(self.caps).admit(order.rho, &ledger.spent(&order.round.study, at))?;
        let rho = charge.rho();
        let released = noise(charge)?;
        let payload = proto::payload::encode(released.get().iter().map(|p| p.lanes.as_slice()));
        let manifest = Manifest {
            site: self.site.clone(),
            round: order.round.clone(),
            plan_hash: order.plan_hash,
            parameters_hash: order.parameters_hash,
            mechanism: match mechanism {
                MechanismName::DiscreteGaussian => "discrete-gaussian",
                MechanismName::None => "none",
            }
            .to_owned(),
            rho_nano: rho.nano(),
            parts: released
                .get()
                .iter()
                .zip(names)
                .map(|(p, name)| PartManifest {
                    name: name.clone(),
                    lanes: p.lanes.len() as u64,
                    sigma_nano: p.sigma_nano.to_string(),
                })
                .collect(),
            payload_hash: Hash::of(&payload),
        };
        let unreadable = |_| ReleaseError::Unreadable(order.round.clone());
        let id = manifest.id().map_err(unreadable)?;
        let bytes = manifest.canonical().map_err(unreadable)?;
        let record = Record { state: State::Sealed, id, manifest, sealed_micros: at.0 };
        let mut t = Transaction::new("release/seal");
        let entry = ledger.charge(&mut t, &record.manifest, id, at);
        t.put(payload_key(&id), payload.clone());
        t.put(key(&order.round), serde_json::to_vec(&record).unwrap_or_default());
        self.store.commit(t, Durability::Synced)?;
        ledger.committed(&entry);
        Ok(Sealed { record, manifest: bytes, payload })
    }

    /// Moves a release on; it never goes back. Not synced: after a power cut it is sent once more, with the same bytes.
    ///
    /// # Errors
    /// The store fails, or the record can't be read.
    pub fn advance(&self, round: &RoundId, state: State) -> Result<(), ReleaseError> {
        let Some(mut sealed) = self.get(round)? else { return Ok(()) };
        if sealed.record.state < state {
            sealed.record.state = state;
            let mut t = Transaction::new("release/advance");
            t.put(key(round), serde_json::to_vec(&sealed.record).unwrap_or_default());
            self.store.commit(t, Durability::Buffered)?;
        }
        Ok(())
    }

    /// All releases' records.
    ///
    /// # Errors
    /// The store fails.
    pub fn list(&self) -> Result<Vec<Record>, ReleaseError> {
        let entries = self.store.scan(b"release/")?;
        Ok(entries.iter().filter_map(|(_, v)| serde_json::from_slice(v).ok()).collect())
    }

    /// Checks every ledger entry against the release it paid for, and every release against its bytes. Returns how many
    /// were checked.
    ///
    /// # Errors
    /// The first that does not fit.
    pub fn verify(&self, ledger: &Ledger) -> Result<u64, ReleaseError> {
        let entries = ledger.entries()?;
        for entry in &entries {
            let broken = |what: &str| LedgerError::Broken { sequence: entry.sequence, what: what.to_owned() };
            let sealed = self.get(&entry.round)?.ok_or_else(|| broken("its release is missing"))?;
            let m = &sealed.record.manifest;
            let id = m.id().map_err(|_| broken("its release can't be read"))?;
            let same = id == entry.release
                && m.payload_hash == entry.payload_hash
                && m.rho_nano == entry.rho.nano()
                && m.plan_hash == entry.plan_hash
                && sealed.record.sealed_micros == entry.at_micros;
            if !same {
                return Err(broken("its release is another than the one it paid for").into());
            }
        }
        let releases = self.list()?.len() as u64;
        if releases != entries.len() as u64 {
            let what = format!("{releases} releases and {} entries", entries.len());
            return Err(LedgerError::Broken { sequence: entries.len() as u64, what }.into());
        }
        Ok(releases)
    }
}
