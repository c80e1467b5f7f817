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

mod decision;
mod prepaid;

use std::sync::{Arc, Mutex, PoisonError};

pub use decision::{Decide, Verdict};

use platform::store::SharedStore;
use platform::{Durability, Micros, StoreError, Transaction};
use privacy::{
    Block, Caps, Charge, Cost, FixedPlan, MechanismName, Prepaid, PrivacyFilter, Released, ReleasedPart, Rho, Scale,
};
use proto::{Hash, Manifest, PartManifest, RoundId, SecureManifest, SiteId, StudyId};
use serde::{Deserialize, Serialize};

use crate::ledger::{Draft, Entry, Kind, Ledger, LedgerError, ranges};

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

/// The last number that an attempt at a round may have.
pub const LAST_ATTEMPT: u32 = 9_999;

/// What a round asks for, as the site derived it from the plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// The round.
    pub round: RoundId,
    /// Which attempt at it, from 0; above 0 in secure rounds alone.
    pub attempt: u32,
    /// The plan.
    pub plan_hash: Hash,
    /// The round's parameters.
    pub parameters_hash: Hash,
    /// What the plan pays for the round.
    pub rho: Rho,
    /// Whose budget pays, by year of entry.
    pub blocks: Vec<Block>,
    /// In a secure round, how many charged attempts beyond each round's first the plan allows the study.
    pub reruns: u32,
    /// The question in canonical form with the version of the data, where it may be answered from an earlier release.
    pub question: Option<Hash>,
    /// Where the round is one of many that are paid for at once, of which a patient is in a few.
    pub prepaid: Option<Prepaid>,
    /// Where all rounds of the analysis are paid for at once, since patients are sampled.
    pub planned: Option<Arc<FixedPlan>>,
}

impl Order {
    fn cost(&self) -> Cost {
        Cost::gaussian(self.rho)
    }
}

/// What is sealed: bytes that may leave, made of released values alone.
pub struct Noised {
    payload: Vec<u8>,
    scales: Vec<Scale>,
    secure: Option<SecureManifest>,
}

impl Noised {
    /// Of a release that is private by itself.
    pub fn local(released: &Released<Vec<ReleasedPart>>) -> Noised {
        let parts = released.get();
        Noised {
            payload: proto::payload::encode(parts.iter().map(|p| p.lanes.as_slice())),
            scales: parts.iter().map(|p| p.scale).collect(),
            secure: None,
        }
    }

    /// Of a masked input.
    pub fn masked(words: &Released<Vec<u64>>, scales: Vec<Scale>, secure: SecureManifest) -> Noised {
        let payload = words.get().iter().flat_map(|w| w.to_le_bytes()).collect();
        Noised { payload, scales, secure: Some(secure) }
    }
}

/// A release with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Its record.
    pub record: Record,
    /// The manifest's canonical bytes.
    pub manifest: Vec<u8>,
    /// The noised integers, masked in a secure round.
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
    /// The masking failed.
    #[error(transparent)]
    Secagg(#[from] privacy::secagg::SecaggError),
    /// The round was charged, and its bytes are gone.
    #[error(
        "the round {0} was paid for here before, and its bytes were lost with an old state folder; it is not paid for twice"
    )]
    Lost(RoundId),
    /// The round is before those that were paid for.
    #[error("the round {0} is before those that this site has paid for at once; it is not answered")]
    NotPrepaid(RoundId),
    /// A secure round was tried too often.
    #[error(
        "the study has burned {burned} secure rounds here, and its plan allows {allowed}; cancel it and submit a new plan"
    )]
    Reruns {
        /// Attempts that were charged and came to nothing.
        burned: u32,
        /// What the plan allows.
        allowed: u32,
    },
}

/// The desk where releases are sealed.
pub struct Releases {
    store: SharedStore,
    site: SiteId,
    caps: Caps,
    /// One release is sealed at a time, so that no two charges pass the same cap.
    turn: Mutex<()>,
}

fn key(round: &RoundId, attempt: u32) -> String {
    format!("release/{}/{:06}/{:06}/{attempt:04}", round.study, round.analysis, round.round)
}

fn payload_key(id: &Hash) -> String {
    format!("payload/{id}")
}

fn question_key(question: &Hash) -> String {
    format!("question/{question}")
}

/// Where an equal question was answered: the round and its attempt.
type Answered = (RoundId, u32);

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
        let Some(sealed) = self.get(&order.round, order.attempt)? else { return Ok(None) };
        let m = &sealed.record.manifest;
        if m.plan_hash != order.plan_hash {
            return Err(ReleaseError::Answered { round: order.round.clone(), what: "plan" });
        }
        if m.parameters_hash != order.parameters_hash {
            return Err(ReleaseError::Answered { round: order.round.clone(), what: "parameters" });
        }
        Ok(Some(sealed))
    }

    /// The release of an attempt at a round, if any.
    ///
    /// # Errors
    /// The store fails, or it can't be read.
    pub fn get(&self, round: &RoundId, attempt: u32) -> Result<Option<Sealed>, ReleaseError> {
        let unreadable = || ReleaseError::Unreadable(round.clone());
        let Some(bytes) = self.store.get(key(round, attempt).as_bytes())? else { return Ok(None) };
        let record: Record = serde_json::from_slice(&bytes).map_err(|_| unreadable())?;
        let manifest = record.manifest.canonical().map_err(|_| unreadable())?;
        let payload = self.store.get(payload_key(&record.id).as_bytes())?.ok_or_else(unreadable)?;
        if Hash::of(&payload) != record.manifest.payload_hash {
            return Err(unreadable());
        }
        Ok(Some(Sealed { record, manifest, payload }))
    }

    /// Whether the caps would hold a charge now, and the round was not charged before. It mints nothing that lasts.
    ///
    /// # Errors
    /// The cap that does not hold it, the ledger is not in order, or the round is not to be paid for again.
    pub fn would_admit(&self, ledger: &Ledger, order: &Order, at: Micros) -> Result<(), ReleaseError> {
        Releases::once(ledger, order)?;
        match (order.prepaid, &order.planned) {
            (Some(prepaid), _) => self.would_prepay(ledger, order, prepaid, at),
            (None, Some(plan)) => self.would_pay_plan(ledger, order, plan, at),
            (None, None) => self.admit(ledger, order.cost(), &order.round.study, &order.blocks, at).map(|_| ()),
        }
    }

    /// Whether a round that has no bytes here may be paid for: it was not before, and is within the reruns of the plan.
    fn once(ledger: &Ledger, order: &Order) -> Result<(), ReleaseError> {
        if ledger.charged(&order.round, order.attempt) {
            return Err(ReleaseError::Lost(order.round.clone()));
        }
        let (again, burned) = ledger.reruns(&order.round, order.attempt);
        if again && burned >= order.reruns {
            return Err(ReleaseError::Reruns { burned, allowed: order.reruns });
        }
        Ok(())
    }

    fn admit(
        &self,
        ledger: &Ledger,
        cost: Cost,
        study: &StudyId,
        blocks: &[Block],
        at: Micros,
    ) -> Result<Charge, ReleaseError> {
        ledger.admits()?;
        Ok(PrivacyFilter::new(self.caps).admit(cost, &ledger.spent(study, at, blocks))?)
    }

    /// The blocks that hold what a whole study may cost, of those that it asks for. A study goes on with the blocks that it
    /// began with; one that `grows` takes in the years that begin while it runs.
    ///
    /// # Errors
    /// None holds it: the refusal of the newest.
    pub fn blocks(
        &self,
        ledger: &Ledger,
        study: &StudyId,
        whole: &Cost,
        asked: &[Block],
        grows: bool,
        at: Micros,
    ) -> Result<Vec<Block>, ReleaseError> {
        let mut out = ledger.blocks_of(study).unwrap_or_default();
        let last = out.last().copied();
        if last.is_some() && !grows {
            return Ok(out);
        }
        let filter = PrivacyFilter::new(self.caps);
        let mut refused = None;
        let new: Vec<Block> = asked.iter().copied().filter(|block| last.is_none_or(|last| *block > last)).collect();
        for (block, spent) in ledger.spent(study, at, &new) {
            match filter.holds(whole, block, &spent) {
                Ok(()) => out.push(block),
                Err(e) => refused = Some(e),
            }
        }
        match (out.is_empty(), refused) {
            (true, Some(e)) => Err(e.into()),
            _ => Ok(out),
        }
    }

    /// Charges, draws the noise by `noise`, and seals, in one synced transaction, to which `also` may add. A round that was sealed
    /// meanwhile is returned as it is; an equal question that was answered before is answered with the same bytes, for nothing.
    ///
    /// # Errors
    /// A budget is spent, the noise or the store failed. Nothing has left, and nothing was charged.
    pub fn seal(
        &self,
        ledger: &Ledger,
        order: &Order,
        at: Micros,
        (mechanism, names): (MechanismName, &[String]),
        noise: impl FnOnce(Charge) -> Result<Noised, ReleaseError>,
        also: impl FnOnce(&mut Transaction),
    ) -> Result<Sealed, ReleaseError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sealed) = self.find(order)? {
            return Ok(sealed);
        }
        Releases::once(ledger, order)?;
        let earlier = match order.question {
            Some(question) => self.answered(&question, order, names)?,
            None => None,
        };
        if let Some(earlier) = earlier {
            ledger.admits()?;
            let manifest = Manifest {
                round: order.round.clone(),
                plan_hash: order.plan_hash,
                parameters_hash: order.parameters_hash,
                rho_nano: 0,
                reused: Some(earlier.record.id),
                ..earlier.record.manifest
            };
            let kind = (Kind::Reuse, Cost::default());
            return self.enter((ledger, at), order, manifest, earlier.payload, kind, also);
        }
        let charge = match (order.prepaid, &order.planned) {
            (Some(prepaid), _) => self.prepay(ledger, order, prepaid, at)?,
            (None, Some(plan)) => self.pay_plan(ledger, order, plan, at)?,
            (None, None) => self.admit(ledger, order.cost(), &order.round.study, &order.blocks, at)?,
        };
        let cost = charge.cost().clone();
        let noised = noise(charge)?;
        let series = order.prepaid.and_then(|prepaid| prepaid.correlated());
        let word = match series.filter(|_| mechanism == MechanismName::DiscreteGaussian) {
            Some(series) => series.word(),
            None => mechanism.word(),
        };
        let part = |(scale, name): (&Scale, &String)| PartManifest {
            name: name.clone(),
            lanes: scale.lanes as u64,
            sigma_nano: scale.sigma_nano.to_string(),
            grid_bits: scale.grid_bits,
        };
        let manifest = Manifest {
            site: self.site.clone(),
            round: order.round.clone(),
            attempt: order.attempt,
            plan_hash: order.plan_hash,
            parameters_hash: order.parameters_hash,
            mechanism: word.to_owned(),
            rho_nano: cost.rho.nano(),
            entered: ranges(&order.blocks),
            secure: noised.secure,
            reused: None,
            parts: noised.scales.iter().zip(names).map(part).collect(),
            payload_hash: Hash::of(&noised.payload),
        };
        let kind = if noised.secure.is_some() { Kind::SecureRelease } else { Kind::Release };
        self.enter((ledger, at), order, manifest, noised.payload, (kind, cost), also)
    }

    fn enter(
        &self,
        (ledger, at): (&Ledger, Micros),
        order: &Order,
        manifest: Manifest,
        payload: Vec<u8>,
        (kind, cost): (Kind, Cost),
        also: impl FnOnce(&mut Transaction),
    ) -> Result<Sealed, ReleaseError> {
        let unreadable = |_| ReleaseError::Unreadable(order.round.clone());
        let id = manifest.id().map_err(unreadable)?;
        let bytes = manifest.canonical().map_err(unreadable)?;
        let mut t = Transaction::new("release/seal");
        let draft = Draft {
            kind,
            round: order.round.clone(),
            attempt: order.attempt,
            plan_hash: order.plan_hash,
            cost,
            blocks: order.blocks.clone(),
            release: id,
            payload_hash: manifest.payload_hash,
        };
        let entry = ledger.charge(&mut t, draft, at);
        let record = Record { state: State::Sealed, id, manifest, sealed_micros: at.0 };
        t.put(payload_key(&id), payload.clone());
        t.put(key(&order.round, order.attempt), serde_json::to_vec(&record).unwrap_or_default());
        // A question leads to the release that was paid for, never to one that used its bytes again.
        if let Some(question) = order.question.filter(|_| kind != Kind::Reuse) {
            let here: Answered = (order.round.clone(), order.attempt);
            t.put(question_key(&question), serde_json::to_vec(&here).unwrap_or_default());
        }
        also(&mut t);
        self.store.commit(t, Durability::Synced)?;
        ledger.committed(&entry);
        Ok(Sealed { record, manifest: bytes, payload })
    }

    /// An earlier release for an equal question, at least as well paid as is asked now, of the same vectors.
    fn answered(&self, question: &Hash, order: &Order, names: &[String]) -> Result<Option<Sealed>, ReleaseError> {
        let Some(bytes) = self.store.get(question_key(question).as_bytes())? else { return Ok(None) };
        let Ok((round, attempt)) = serde_json::from_slice::<Answered>(&bytes) else { return Ok(None) };
        let Some(sealed) = self.get(&round, attempt)? else { return Ok(None) };
        let m = &sealed.record.manifest;
        let same = m.parts.iter().map(|p| &p.name).eq(names);
        Ok((same && m.rho_nano >= order.rho.nano()).then_some(sealed))
    }

    /// Moves a release on; it never goes back. Not synced: after a power cut it is sent once more, with the same bytes.
    ///
    /// # Errors
    /// The store fails, or the record can't be read.
    pub fn advance(&self, round: &RoundId, attempt: u32, state: State) -> Result<(), ReleaseError> {
        let Some(mut sealed) = self.get(round, attempt)? else { return Ok(()) };
        if sealed.record.state < state {
            sealed.record.state = state;
            let mut t = Transaction::new("release/advance");
            t.put(key(round, attempt), serde_json::to_vec(&sealed.record).unwrap_or_default());
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
        let paying: Vec<&Entry> = entries.iter().filter(|e| !e.kind.decides()).collect();
        let mut lost = 0;
        for entry in &paying {
            let broken = |what: &str| LedgerError::Broken { sequence: entry.sequence, what: what.to_owned() };
            let Some(sealed) = self.get(&entry.round, entry.attempt)? else {
                // What was lost with an old state folder is known by its entry alone.
                if ledger.recovered(entry.sequence)? {
                    lost += 1;
                    continue;
                }
                return Err(broken("its release is missing").into());
            };
            let m = &sealed.record.manifest;
            let id = m.id().map_err(|_| broken("its release can't be read"))?;
            let same = id == entry.release
                && m.payload_hash == entry.payload_hash
                && m.rho_nano == entry.cost.rho.nano()
                && m.plan_hash == entry.plan_hash
                && m.entered == entry.entered
                && sealed.record.sealed_micros == entry.at_micros;
            if !same {
                return Err(broken("its release is another than the one it paid for").into());
            }
        }
        let releases = self.list()?.len() as u64;
        if releases + lost != paying.len() as u64 {
            let what = format!("{releases} releases and {} entries", paying.len());
            return Err(LedgerError::Broken { sequence: entries.len() as u64, what }.into());
        }
        Ok(releases)
    }
}
