//! Studies as the site knows them: the plan as it came, and what was decided.

use platform::store::SharedStore;
use platform::{Durability, Micros, StoreError, Transaction};
use prost::Message as _;
use proto::wire::{DecisionKind, SignedPlan};
use proto::{Hash, StudyId};
use serde::{Deserialize, Serialize};

use crate::policy::Objection;

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Waits for a person.
    Pending,
    /// Takes part.
    Approved,
    /// Does not.
    Refused,
    /// Approved, and paused.
    Paused,
}

impl Decision {
    /// On the wire.
    pub fn wire(self) -> DecisionKind {
        match self {
            Decision::Pending => DecisionKind::DecisionPending,
            Decision::Approved => DecisionKind::DecisionApproved,
            Decision::Refused => DecisionKind::DecisionRefused,
            Decision::Paused => DecisionKind::DecisionPaused,
        }
    }
}

/// A study's record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The study.
    pub study: StudyId,
    /// The plan that the decision is about.
    pub plan_hash: Hash,
    /// What was decided.
    pub decision: Decision,
    /// Why not, where refused.
    pub objection: Option<Objection>,
    /// Who decided: `policy` or the name of a person's account.
    pub decided_by: String,
    /// When, in microseconds since 1970.
    pub decided_micros: i64,
    /// How it ended at the coordinator, where it has.
    pub outcome: Option<String>,
    /// Who signed the plan.
    pub signer: String,
    /// The signer's public key, hexadecimal.
    #[serde(default)]
    pub signer_key: Option<String>,
    /// The study's title.
    pub title: String,
    /// Its ε.
    pub epsilon: f64,
}

/// The studies of a site.
pub struct Studies {
    store: SharedStore,
}

fn key(study: &StudyId) -> String {
    format!("study/record/{study}")
}
fn plan_key(study: &StudyId) -> String {
    format!("study/plan/{study}")
}

impl Studies {
    /// Over a store.
    pub fn new(store: SharedStore) -> Studies {
        Studies { store }
    }

    /// A study's record.
    ///
    /// # Errors
    /// The store fails.
    pub fn get(&self, study: &StudyId) -> Result<Option<Record>, StoreError> {
        Ok(self.store.get(key(study).as_bytes())?.and_then(|v| serde_json::from_slice(&v).ok()))
    }

    /// A study's plan, as it came.
    ///
    /// # Errors
    /// The store fails.
    pub fn plan(&self, study: &StudyId) -> Result<Option<SignedPlan>, StoreError> {
        Ok(self.store.get(plan_key(study).as_bytes())?.and_then(|v| SignedPlan::decode(v.as_slice()).ok()))
    }

    /// All studies' records.
    ///
    /// # Errors
    /// The store fails.
    pub fn list(&self) -> Result<Vec<Record>, StoreError> {
        let entries = self.store.scan(b"study/record/")?;
        Ok(entries.iter().filter_map(|(_, v)| serde_json::from_slice(v).ok()).collect())
    }

    /// Writes a record, and the plan where it is new.
    ///
    /// # Errors
    /// The store fails.
    pub fn put(&self, record: &Record, plan: Option<&SignedPlan>) -> Result<(), StoreError> {
        let mut t = Transaction::new("study/put");
        t.put(key(&record.study), serde_json::to_vec(record).unwrap_or_default());
        if let Some(plan) = plan {
            t.put(plan_key(&record.study), plan.encode_to_vec());
        }
        self.store.commit(t, Durability::Synced)
    }

    /// Sets a decision.
    ///
    /// # Errors
    /// The store fails.
    pub fn decide(
        &self,
        record: &mut Record,
        decision: Decision,
        objection: Option<Objection>,
        by: &str,
        at: Micros,
    ) -> Result<(), StoreError> {
        record.decision = decision;
        record.objection = objection;
        record.decided_by = by.to_owned();
        record.decided_micros = at.0;
        self.put(record, None)
    }
}
