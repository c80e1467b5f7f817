//! What a site decides by noised numbers that stay with it: whether a cohort is large enough, whether its data are as a study asks.
//!
//! The charge and what was decided by it are entered in one synced transaction, and the noise is drawn once: a decision that was
//! taken stands, for its study, and for an equal question of whatever study.

use std::sync::PoisonError;

use platform::{Durability, Micros, Transaction};
use privacy::{Block, Charge, Cost};
use proto::{Hash, RoundId, StudyId};

use super::{ReleaseError, Releases};
use crate::ledger::{Draft, Kind, Ledger};

/// What is to be decided.
pub struct Decide<'a> {
    /// The round that it is decided for, first.
    pub round: &'a RoundId,
    /// The plan.
    pub plan_hash: Hash,
    /// Whose budget pays.
    pub blocks: &'a [Block],
    /// [`Kind::CohortCheck`] or [`Kind::QualityCheck`].
    pub kind: Kind,
    /// Its name within the study, with what the site's settings ask of it.
    pub name: &'a str,
    /// The question in canonical form, with the version of the data: an equal one has this answer.
    pub question: Option<Hash>,
    /// What it costs.
    pub cost: Cost,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the site answers.
    pub passed: bool,
    /// What is said of it.
    pub words: String,
}

const PASSED: &[u8] = b"passed";

impl Verdict {
    fn bytes(&self) -> Vec<u8> {
        let word = if self.passed { PASSED } else { b"refused" };
        [word, b"\n", self.words.as_bytes()].concat()
    }

    fn read(bytes: &[u8]) -> Verdict {
        let mut parts = bytes.splitn(2, |b| *b == b'\n');
        let passed = parts.next() == Some(PASSED);
        Verdict { passed, words: String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned() }
    }
}

/// Where a kind of decision lies in the store, by study and by question.
fn places(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::QualityCheck => ("gate", "gate-question"),
        _ => ("cohort", "cohort-question"),
    }
}

impl Releases {
    /// What was decided for a study under a name.
    ///
    /// # Errors
    /// The store fails.
    pub fn decided(&self, kind: Kind, study: &StudyId, name: &str) -> Result<Option<Verdict>, ReleaseError> {
        let place = format!("{}/{study}/{name}", places(kind).0);
        Ok(self.store.get(place.as_bytes())?.map(|bytes| Verdict::read(&bytes)))
    }

    /// Charges numbers that stay here, and enters what was decided by them. One decision a study and name, and one for an equal
    /// question of whatever study: the stored one is given where there is one.
    ///
    /// # Errors
    /// A budget is spent, the noise or the store failed.
    pub fn decide(
        &self,
        ledger: &Ledger,
        what: Decide<'_>,
        at: Micros,
        verdict: impl FnOnce(&Charge) -> Result<Verdict, privacy::MechanismError>,
    ) -> Result<Verdict, ReleaseError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let Decide { round, plan_hash, blocks, kind, name, question, cost } = what;
        let (by_study, by_question) = places(kind);
        let place = format!("{by_study}/{}/{name}", round.study);
        if let Some(known) = self.store.get(place.as_bytes())? {
            return Ok(Verdict::read(&known));
        }
        let equal = question.map(|q| format!("{by_question}/{q}"));
        if let Some(known) = equal.as_ref().map(|k| self.store.get(k.as_bytes())).transpose()?.flatten() {
            let mut t = Transaction::new("release/decide");
            t.put(place, known.clone());
            self.store.commit(t, Durability::Synced)?;
            return Ok(Verdict::read(&known));
        }
        let charge = self.admit(ledger, cost.clone(), &round.study, blocks, at)?;
        let verdict = verdict(&charge)?;
        let mut t = Transaction::new("release/decide");
        let draft = Draft {
            kind,
            round: round.clone(),
            attempt: 0,
            plan_hash,
            cost,
            blocks: blocks.to_vec(),
            release: Hash([u8::from(verdict.passed); 32]),
            payload_hash: Hash([0; 32]),
        };
        let entry = ledger.charge(&mut t, draft, at);
        if let Some(equal) = equal {
            t.put(equal, verdict.bytes());
        }
        t.put(place, verdict.bytes());
        self.store.commit(t, Durability::Synced)?;
        ledger.committed(&entry);
        Ok(verdict)
    }
}
