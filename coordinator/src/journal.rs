//! What is durable of a study: its plan, its sites' decisions, the round that comes next, a checkpoint a round, the results.
//!
//! A checkpoint, the results it completed and the next round are one synced transaction. What was merged before it is not kept:
//! sites send the same bytes again.

mod numbers;

use std::collections::BTreeMap;

use platform::store::SharedStore;
use platform::{Durability, StoreError, Transaction};
use prost::Message as _;
use proto::wire::SignedPlan;
use proto::{Hash, SiteId, StudyId};
use serde::{Deserialize, Serialize};
use summaries::{Estimate, MergedRelease, MergedRound};

use crate::merge::Taken;
use crate::results::AnalysisResult;
use crate::round::Past;

/// Where a study stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// `waiting`, `running`, `done`, `failed` or `cancelled`.
    pub state: String,
    /// Why, where failed.
    pub detail: String,
    /// The analysis that comes next.
    pub analysis: u32,
    /// Its round.
    pub round: u32,
    /// Its parameters.
    #[serde(with = "numbers")]
    pub parameters: Vec<f64>,
    /// Rounds that were checkpointed.
    pub rounds_done: u32,
    /// Attempts at secure rounds.
    #[serde(default)]
    pub past: Past,
    /// Sites that were put out for what they did in secure rounds, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub out: BTreeMap<SiteId, String>,
    /// What each hospital's own releases say so far, of an analysis that tells it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hospitals: BTreeMap<SiteId, Estimate>,
    /// What the running analysis' program knows beside its parameters, where it is told from releases apart, which are not kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "numbers")]
    pub memory: Vec<f64>,
    /// When it was submitted, in microseconds since 1970.
    pub submitted_micros: i64,
    /// When something last changed.
    pub updated_micros: i64,
}

impl State {
    /// Whether it is over.
    pub fn over(&self) -> bool {
        matches!(self.state.as_str(), "done" | "failed" | "cancelled")
    }
}

/// A round's durable result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The analysis.
    pub analysis: u32,
    /// The round.
    pub round: u32,
    /// The parameters that the sites were given.
    #[serde(with = "numbers")]
    pub parameters: Vec<f64>,
    /// The releases that are in.
    pub releases: BTreeMap<SiteId, Taken>,
    /// For each part: lanes.
    pub lanes: Vec<u64>,
    /// For each part: the noise's variance.
    #[serde(with = "numbers")]
    pub variances: Vec<f64>,
    /// For each part: integer units in one lane unit.
    #[serde(with = "numbers")]
    pub units: Vec<f64>,
    /// Which attempt it was, in a secure round.
    pub attempt: u32,
    /// So many sites together owe the noise: 1 with local noise.
    #[serde(default)]
    pub shared: u32,
    /// The hash of the merged lanes.
    pub merged_hash: Hash,
    /// When the round began, in microseconds since 1970.
    pub started_micros: i64,
    /// When it was merged.
    pub finished_micros: i64,
}

impl Checkpoint {
    /// The sites whose releases are in.
    pub fn sites(&self) -> Vec<String> {
        self.releases.keys().map(ToString::to_string).collect()
    }
}

/// The journal of a coordinator.
#[derive(Clone)]
pub struct Journal {
    store: SharedStore,
}

fn key(study: &StudyId, rest: &str) -> String {
    format!("study/{study}/{rest}")
}

impl Journal {
    /// Over a store.
    pub fn new(store: SharedStore) -> Journal {
        Journal { store }
    }

    /// A new study.
    ///
    /// # Errors
    /// The store fails.
    pub fn submit(&self, study: &StudyId, plan: &SignedPlan, state: &State) -> Result<(), StoreError> {
        let mut t = Transaction::new("study/submit");
        t.put(key(study, "plan"), plan.encode_to_vec());
        t.put(key(study, "state"), json(state));
        t.put(format!("studies/{study}"), Vec::new());
        self.store.commit(t, Durability::Synced)
    }

    /// Ids of all studies.
    ///
    /// # Errors
    /// The store fails.
    pub fn studies(&self) -> Result<Vec<StudyId>, StoreError> {
        let entries = self.store.scan(b"studies/")?;
        Ok(entries
            .iter()
            .filter_map(|(k, _)| StudyId::parse(std::str::from_utf8(k).ok()?.strip_prefix("studies/")?).ok())
            .collect())
    }

    /// A study's plan as it came.
    ///
    /// # Errors
    /// The store fails.
    pub fn plan(&self, study: &StudyId) -> Result<Option<SignedPlan>, StoreError> {
        Ok(self.store.get(key(study, "plan").as_bytes())?.and_then(|v| SignedPlan::decode(v.as_slice()).ok()))
    }

    /// Where a study stands.
    ///
    /// # Errors
    /// The store fails.
    pub fn state(&self, study: &StudyId) -> Result<Option<State>, StoreError> {
        Ok(self.store.get(key(study, "state").as_bytes())?.and_then(|v| serde_json::from_slice(&v).ok()))
    }

    /// Writes where a study stands.
    ///
    /// # Errors
    /// The store fails.
    pub fn set_state(&self, study: &StudyId, state: &State) -> Result<(), StoreError> {
        let mut t = Transaction::new("study/state");
        t.put(key(study, "state"), json(state));
        self.store.commit(t, Durability::Synced)
    }

    /// Makes an attempt at a secure round durable, as far as it is frozen.
    ///
    /// # Errors
    /// The store fails.
    pub fn secure(&self, study: &StudyId, stored: &crate::secure::Stored) -> Result<(), StoreError> {
        let mut t = Transaction::new("study/secure");
        t.put(key(study, "secure"), json(stored));
        self.store.commit(t, Durability::Synced)
    }

    /// An attempt at a secure round came to nothing: it is never gone on with.
    ///
    /// # Errors
    /// The store fails.
    pub fn abandon(&self, study: &StudyId, state: &State) -> Result<(), StoreError> {
        let mut t = Transaction::new("study/abandon");
        t.put(key(study, "state"), json(state));
        t.delete(key(study, "secure"));
        self.store.commit(t, Durability::Synced)
    }

    /// The attempt at a secure round that runs, if any.
    ///
    /// # Errors
    /// The store fails.
    pub fn last_secure(&self, study: &StudyId) -> Result<Option<crate::secure::Stored>, StoreError> {
        Ok(self.store.get(key(study, "secure").as_bytes())?.and_then(|v| serde_json::from_slice(&v).ok()))
    }

    /// Keeps what a site decided, for the provenance.
    ///
    /// # Errors
    /// The store fails.
    pub fn decided(&self, study: &StudyId, site: &SiteId, decision: &str, reason: &str) -> Result<(), StoreError> {
        let mut t = Transaction::new("study/decision");
        t.put(key(study, &format!("decision/{site}")), json(&(decision, reason)));
        self.store.commit(t, Durability::Buffered)
    }

    /// What the sites decided.
    ///
    /// # Errors
    /// The store fails.
    pub fn decisions(&self, study: &StudyId) -> Result<BTreeMap<String, (String, String)>, StoreError> {
        let prefix = key(study, "decision/");
        let entries = self.store.scan(prefix.as_bytes())?;
        Ok(entries
            .iter()
            .filter_map(|(k, v)| {
                let site = std::str::from_utf8(k).ok()?.strip_prefix(&prefix)?.to_owned();
                Some((site, serde_json::from_slice(v).ok()?))
            })
            .collect())
    }

    /// Makes a checkpoint durable, with the result it completed, if any, and what comes next.
    ///
    /// # Errors
    /// The store fails; nothing was written.
    pub fn checkpoint(
        &self,
        study: &StudyId,
        checkpoint: &Checkpoint,
        merged: &MergedRound,
        result: Option<&AnalysisResult>,
        next: &State,
    ) -> Result<(), StoreError> {
        let place = format!("{:06}/{:06}", checkpoint.analysis, checkpoint.round);
        let mut t = Transaction::new("study/checkpoint");
        t.put(key(study, &format!("checkpoint/{place}")), json(checkpoint));
        let lanes = proto::payload::encode(merged.parts.iter().map(|p| p.lanes.as_slice()));
        t.put(key(study, &format!("merged/{place}")), lanes);
        if let Some(result) = result {
            t.put(key(study, &format!("result/{:06}", checkpoint.analysis)), json(result));
        }
        t.put(key(study, "state"), json(next));
        t.delete(key(study, "secure"));
        self.store.commit(t, Durability::Synced)
    }

    /// A study's checkpoints, in order.
    ///
    /// # Errors
    /// The store fails.
    pub fn checkpoints(&self, study: &StudyId) -> Result<Vec<Checkpoint>, StoreError> {
        let entries = self.store.scan(key(study, "checkpoint/").as_bytes())?;
        Ok(entries.iter().filter_map(|(_, v)| serde_json::from_slice(v).ok()).collect())
    }

    /// The merged round of a checkpoint.
    ///
    /// # Errors
    /// The store fails.
    pub fn merged(&self, study: &StudyId, c: &Checkpoint) -> Result<Option<MergedRound>, StoreError> {
        let place = format!("merged/{:06}/{:06}", c.analysis, c.round);
        let Some(bytes) = self.store.get(key(study, &place).as_bytes())? else { return Ok(None) };
        let lanes = c.lanes.iter().sum();
        let Ok(all) = proto::payload::decode(&bytes, lanes) else { return Ok(None) };
        let mut rest = all.as_slice();
        let sites = c.releases.len();
        let mut parts = Vec::with_capacity(c.lanes.len());
        for ((lanes, noise_variance), unit) in c.lanes.iter().zip(&c.variances).zip(&c.units) {
            let Some((own, after)) = rest.split_at_checked(usize::try_from(*lanes).unwrap_or(usize::MAX)) else {
                return Ok(None);
            };
            rest = after;
            parts.push(MergedRelease {
                lanes: own.to_vec(),
                noise_variance: *noise_variance,
                unit: *unit,
                sites,
                shared: c.shared.max(1) as usize,
            });
        }
        Ok(Some(MergedRound { parts, sites }))
    }

    /// The results so far.
    ///
    /// # Errors
    /// The store fails.
    pub fn results(&self, study: &StudyId) -> Result<Vec<AnalysisResult>, StoreError> {
        let entries = self.store.scan(key(study, "result/").as_bytes())?;
        Ok(entries.iter().filter_map(|(_, v)| serde_json::from_slice(v).ok()).collect())
    }
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
