//! The agent: everything a site does, in one place, for the uplink, the local socket and the command line.

mod correlated;
mod decide;
mod groups;
mod live;
mod participation;
mod ready;
pub mod sample;
mod secure_round;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use certs::Identity;
use platform::store::SharedStore;
use platform::{Clock, Entropy, RocksStore};
use privacy::secagg::IdentityKey;
use privacy::{Mechanism, MechanismName, Presence, Rho};
use proto::manifest::parameters_hash;
use proto::wire::{self, SignedPlan};
use proto::{Hash, RoundId, StudyId};
use study::Plan;
use study::spec::Aggregation;
use tokio::sync::broadcast;

use crate::config::Config;
use crate::engine::{Engine, EngineError};
use crate::feed::{Feed, FeedError};
use crate::identity;
use crate::lake::{Lake, LakeError};
use crate::ledger::{self, Ledger, LedgerError};
use crate::policy::{self, Objection};
use crate::releases::{LAST_ATTEMPT, Noised, Order, ReleaseError, Releases, Sealed, State};
use crate::secure::{Attempt, SecureRounds};
use crate::studies::{Decision, Record, Studies};
pub use ready::{Ready, accumulate, sampled};
pub use secure_round::{OTHER_LINKAGE_KEY, SecureAnswer};

/// What stopped the agent from starting or from doing what it was told.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The lake.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// A pull.
    #[error(transparent)]
    Pull(#[from] crate::pull::PullError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The store.
    #[error(transparent)]
    Store(#[from] platform::StoreError),
    /// A release.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The identity key.
    #[error(transparent)]
    Identity(#[from] identity::IdentityError),
    /// A live source.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// There is no such study.
    #[error("there is no study '{0}' here; see site-agent studies list")]
    NoStudy(StudyId),
    /// The study can't be decided that way.
    #[error("the study '{study}' is {now}; {remedy}")]
    Decision {
        /// The study.
        study: StudyId,
        /// Where it stands.
        now: String,
        /// What can be done.
        remedy: &'static str,
    },
    /// The plan can't be read any more.
    #[error("the plan of '{0}' can't be read; the coordinator sends it again on the next connection")]
    Plan(StudyId),
}

/// An agent.
pub struct Agent {
    /// Its settings.
    pub config: Config,
    /// Its lake.
    pub lake: Lake,
    /// Its live sources.
    pub feeds: Vec<Arc<Feed>>,
    /// Its engine.
    pub engine: Engine,
    /// Its ledger.
    pub ledger: Ledger,
    /// Its releases.
    pub releases: Releases,
    /// Its studies.
    pub studies: Studies,
    /// Its secure rounds.
    pub secure: SecureRounds,
    /// Its long-term identity.
    pub identity: IdentityKey,
    /// Its mechanism.
    pub mechanism: Box<dyn Mechanism>,
    /// Its clock.
    pub clock: Arc<dyn Clock>,
    /// Its random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// Decisions made, for the uplink.
    decisions: broadcast::Sender<Record>,
    /// Says that the uplink should connect anew.
    again: tokio::sync::Notify,
    /// One ingestion at a time.
    ingesting: tokio::sync::Mutex<()>,
    /// One reading of the sources serves all windows that are due.
    reading: tokio::sync::Mutex<()>,
    /// The round that was last asked of each continuous study: nobody waits for those before it any more.
    windows: Mutex<BTreeMap<StudyId, u32>>,
    /// One release at a time counts who was in which window.
    counting: tokio::sync::Mutex<()>,
    /// Where that is kept.
    store: SharedStore,
    /// The hospital's own streams.
    pub jobs: Arc<crate::streaming::Jobs>,
    /// A decision and a seal never overlap: after a pause is told, nothing more is sealed.
    gate: Mutex<()>,
    /// The plan that was last answered, with what each of its rounds costs: rounds of one study come one after the other.
    prepared: Mutex<Option<Arc<Prepared>>>,
}

/// A plan, read and allocated.
struct Prepared {
    plan: Plan,
    hash: Hash,
    allocation: Vec<Vec<Rho>>,
}

/// A refusal of a round, as it leaves: a name and plain words, nothing about a patient.
pub type Refused = Objection;

impl Agent {
    /// Opens the state of a site. Only one process may.
    ///
    /// # Errors
    /// The state is in use, or its ledger is broken.
    pub fn open(
        config: Config,
        mechanism: Box<dyn Mechanism>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Agent, AgentError> {
        private_folder(&config.state_dir())?;
        let store: SharedStore = Arc::new(RocksStore::open(&config.state_dir().join("store"))?);
        let lake = Lake::open(config.state_dir().join("lake"), store.clone())?;
        let ledger = Ledger::open(store.clone())?;
        ledger.keep_first_block(config.budget.first_block)?;
        let releases = Releases::new(store.clone(), config.id.clone(), config.budget.caps());
        let (decisions, _) = broadcast::channel(256);
        let mut feeds = Vec::new();
        for source in &config.sources {
            feeds.extend(Feed::open(&config, source, &clock, entropy.as_ref())?);
        }
        Ok(Agent {
            jobs: Arc::new(crate::streaming::Jobs::new(&config, &lake, clock.clone())),
            lake,
            feeds,
            engine: Engine::new(clock.clone()),
            ledger,
            releases,
            secure: SecureRounds::new(store.clone(), config.id.clone()),
            identity: identity::key(&config, entropy.as_ref())?,
            studies: Studies::new(store.clone()),
            mechanism,
            clock,
            entropy,
            decisions,
            again: tokio::sync::Notify::new(),
            ingesting: tokio::sync::Mutex::new(()),
            reading: tokio::sync::Mutex::new(()),
            windows: Mutex::new(BTreeMap::new()),
            counting: tokio::sync::Mutex::new(()),
            store,
            gate: Mutex::new(()),
            prepared: Mutex::new(None),
            config,
        })
    }

    /// Decisions as they are made.
    pub fn decisions(&self) -> broadcast::Receiver<Record> {
        self.decisions.subscribe()
    }

    /// Has the uplink connect anew, as after a recovery: the ledgers are compared at the beginning of a connection.
    pub fn reconnect(&self) {
        self.again.notify_one();
    }

    /// Waits until somebody asks for a new connection.
    pub async fn asked_to_reconnect(&self) {
        self.again.notified().await;
    }

    /// Pulls what comes from servers, then ingests every source. A pull that fails keeps no other source from being read.
    ///
    /// # Errors
    /// See [`Lake::ingest`]; or a pull failed, which is said when everything else is done.
    pub async fn ingest(
        &self,
        progress: &mut (dyn FnMut(&str, u64, u64) + Send),
    ) -> Result<crate::lake::IngestReport, AgentError> {
        let _turn = self.ingesting.lock().await;
        let began = self.clock.now();
        for feed in &self.feeds {
            feed.seal().await;
        }
        let (pulls, failed) = crate::pull::all(&self.config, progress).await;
        let mut report = self.lake.ingest(&self.config, self.clock.as_ref(), self.entropy.as_ref(), progress).await?;
        report.pulls = pulls;
        match failed {
            Some(error) => Err(error.into()),
            None => {
                if report.failed.is_empty() {
                    self.lake.read_through(began)?;
                }
                Ok(report)
            }
        }
    }

    /// Ingests what the live sources spooled so far.
    ///
    /// # Errors
    /// See [`Lake::ingest_feeds`].
    pub async fn ingest_feeds(&self) -> Result<crate::lake::IngestReport, AgentError> {
        let _turn = self.ingesting.lock().await;
        for feed in &self.feeds {
            feed.seal().await;
        }
        Ok(self.lake.ingest_feeds(&self.config, self.clock.as_ref(), self.entropy.as_ref()).await?)
    }

    /// A plan came. It is checked, stored, decided where the rules decide, and the decision is returned.
    ///
    /// # Errors
    /// The store fails.
    pub async fn receive(
        &self,
        identity: &Identity,
        federation: &str,
        signed: &SignedPlan,
    ) -> Result<Record, AgentError> {
        let now = self.clock.now();
        let checked = match policy::verify(signed, &identity.ca_pem, federation, now.seconds()) {
            Ok(checked) => checked,
            Err(objection) => return Ok(self.unreadable(signed, objection)),
        };
        if let Some(problem) = query::patientwise::problems(&checked.plan.study).await.first() {
            return Ok(self.unreadable(signed, Objection::new("plan_invalid", problem.to_string())));
        }
        let study = checked.plan.study.id.clone();
        if let Some(known) = self.studies.get(&study)? {
            if known.plan_hash == checked.hash {
                return Ok(known);
            }
            let reason = format!("the study '{study}' is known here with another plan; give the new plan a new id");
            return Ok(Record {
                plan_hash: checked.hash,
                decision: Decision::Refused,
                objection: Some(Objection::new("plan_changed", reason)),
                ..known
            });
        }
        let signer_key = certs::head::hex(&checked.signer.public_key);
        let objection = policy::allowed(&self.config, &checked.plan, &checked.signer.name.id, Some(&signer_key)).err();
        let decision = match &objection {
            Some(_) => Decision::Refused,
            None if policy::approves(&self.config, &checked.plan, &checked.signer.name.id) => Decision::Approved,
            None => Decision::Pending,
        };
        let record = Record {
            study,
            plan_hash: checked.hash,
            decision,
            objection,
            decided_by: "policy".to_owned(),
            decided_micros: now.0,
            outcome: None,
            signer: checked.signer.name.to_string(),
            signer_key: Some(signer_key),
            title: checked.plan.study.title.clone(),
            epsilon: checked.plan.study.privacy.epsilon,
        };
        self.studies.put(&record, Some(signed))?;
        Ok(record)
    }

    /// A record for a plan that is not kept: what can be read of its id, and why it was refused.
    fn unreadable(&self, signed: &SignedPlan, objection: Objection) -> Record {
        #[derive(serde::Deserialize)]
        struct Id {
            study: IdOnly,
        }
        #[derive(serde::Deserialize)]
        struct IdOnly {
            id: StudyId,
        }
        let id = serde_json::from_slice::<Id>(&signed.plan).ok().map(|i| i.study.id);
        Record {
            study: id.unwrap_or_else(StudyId::unreadable),
            plan_hash: study::plan::hash_of(&signed.plan),
            decision: Decision::Refused,
            objection: Some(objection),
            decided_by: "policy".to_owned(),
            decided_micros: self.clock.now().0,
            outcome: None,
            signer: String::new(),
            signer_key: None,
            title: String::new(),
            epsilon: 0.0,
        }
    }

    /// A person decides. With `from` the study must stand there: only a paused study is resumed.
    ///
    /// # Errors
    /// There is no such study, or it can't be decided that way.
    pub fn decide(
        &self,
        study: &StudyId,
        decision: Decision,
        from: Option<Decision>,
        by: &str,
        reason: &str,
    ) -> Result<Record, AgentError> {
        let _gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        let mut record = self.studies.get(study)?.ok_or_else(|| AgentError::NoStudy(study.clone()))?;
        let wrong = |remedy| {
            Err(AgentError::Decision {
                study: study.clone(),
                now: format!("{:?}", record.decision).to_lowercase(),
                remedy,
            })
        };
        if from.is_some_and(|f| f != record.decision) {
            return wrong("only a paused study can be resumed; see site-agent studies approve");
        }
        match (record.decision, decision) {
            (Decision::Refused, Decision::Approved) if record.decided_by == "policy" => {
                return wrong("the site's own settings refuse it; change site.toml and have the study submitted anew");
            }
            (Decision::Pending | Decision::Refused, Decision::Paused) => {
                return wrong("only an approved study can be paused");
            }
            _ => {}
        }
        let objection = (decision == Decision::Refused).then(|| Objection::new("refused_by_site", reason));
        self.studies.decide(&mut record, decision, objection, by, self.clock.now())?;
        let _ = self.decisions.send(record.clone());
        Ok(record)
    }

    /// A study ended at the coordinator.
    ///
    /// # Errors
    /// The store fails.
    pub fn closed(&self, study: &StudyId, outcome: &str) -> Result<(), AgentError> {
        let _gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut record) = self.studies.get(study)? {
            record.outcome = Some(outcome.to_owned());
            self.studies.put(&record, None)?;
        }
        self.secure.forget(study)?;
        correlated::forget(&self.store, study)?;
        groups::forget(&self.store, study)?;
        self.engine.forget();
        Ok(())
    }

    /// The plan of a study, as it was stored.
    ///
    /// # Errors
    /// There is none, or it can't be read.
    pub fn plan(&self, study: &StudyId) -> Result<(Plan, Hash), AgentError> {
        let signed = self.studies.plan(study)?.ok_or_else(|| AgentError::NoStudy(study.clone()))?;
        let plan = Plan::parse(&signed.plan).map_err(|_| AgentError::Plan(study.clone()))?;
        Ok((plan, study::plan::hash_of(&signed.plan)))
    }

    /// Answers a round with local noise: the stored release if there is one, else a new one, sealed.
    ///
    /// # Errors
    /// A named reason, fit to leave.
    pub async fn answer(&self, order: wire::RoundOrder) -> Result<Sealed, Refused> {
        self.window_is_due(&order).await?;
        let (prepared, asked) = self.asked(&order)?;
        if prepared.plan.study.privacy.aggregation == Aggregation::Secure {
            return Err(Objection::new("plan_invalid", "the plan asks for secure aggregation, and the order does not"));
        }
        self.release(&prepared.plan, asked, &order.parameters, None).await
    }

    /// What a round asks for, after everything that must hold for any answer was checked.
    fn asked(&self, order: &wire::RoundOrder) -> Result<(Arc<Prepared>, Order), Refused> {
        let no = |code: &str, reason: String| Objection::new(code, reason);
        let round = proto::parse::round(order.round.clone()).map_err(|e| no("malformed", e.to_string()))?;
        let asked = Hash::from_slice(&order.plan_hash).map_err(|e| no("malformed", e.to_string()))?;
        let record = self.studies.get(&round.study).map_err(|e| self.internal(&e))?;
        let record = record.ok_or_else(|| no("unknown_study", format!("no plan of '{}' is here", round.study)))?;
        if record.plan_hash != asked {
            return Err(no("plan_changed", "the round is for another plan than the one approved".to_owned()));
        }
        self.agreed(&round.study)?;
        let prepared = self.prepare(&round.study, asked)?;
        let (plan, plan_hash) = (&prepared.plan, prepared.hash);
        // The settings may be stricter than when the study was approved.
        policy::allowed(&self.config, plan, policy::analyst_of(&record.signer), record.signer_key.as_deref())?;
        ready::can_be_noised(plan, self.mechanism.name())?;
        let now = self.clock.now();
        let today = chrono::DateTime::from_timestamp(now.seconds(), 0).map(|t| t.date_naive());
        if today > chrono::NaiveDate::parse_from_str(&plan.study.expires, "%Y-%m-%d").ok() {
            return Err(no("plan_expired", format!("the plan was valid until {}", plan.study.expires)));
        }
        let rho = prepared
            .allocation
            .get(round.analysis as usize)
            .and_then(|r| r.get(round.round as usize))
            .copied()
            .ok_or_else(|| no("not_in_plan", format!("the plan has no round {round}")))?;
        let whole = policy::whole_cost(&self.config, plan)?;
        let every = self.config.budget.blocks(ledger::year(now), plan.study.privacy.entered);
        let grows = plan.study.stream.is_some();
        let blocks = self.releases.blocks(&self.ledger, &round.study, &whole, &every, grows, now);
        let blocks = blocks.map_err(|e| self.release_refusal(&e))?;
        if blocks.is_empty() {
            return Err(no(
                "no_blocks",
                "the plan asks for years of entry that the site does not keep apart".to_owned(),
            ));
        }
        let (attempt, reruns) = match &order.secure {
            Some(s) if s.attempt > LAST_ATTEMPT => {
                return Err(no("malformed", format!("attempts are numbered up to {LAST_ATTEMPT}")));
            }
            Some(s) => (s.attempt, plan.study.privacy.reruns),
            None => (0, 0),
        };
        let parameters_hash = parameters_hash(&order.parameters);
        let prepaid = study::budget::prepaid(&plan.study);
        let sampling = study::budget::sampled(&plan.study).map_err(|e| no("plan_invalid", e))?;
        let planned = sampling.analyses().get(&(round.analysis as usize)).map(|own| own.plan().clone());
        let question = None;
        let order =
            Order { round, attempt, plan_hash, parameters_hash, rho, blocks, reruns, question, prepaid, planned };
        Ok((prepared, order))
    }

    /// Whether the site takes part in a study, as it stands now.
    fn agreed(&self, study: &StudyId) -> Result<(), Refused> {
        let record = self.studies.get(study).map_err(|e| self.internal(&e))?;
        let (code, reason) = match record.map(|r| r.decision) {
            Some(Decision::Approved) => return Ok(()),
            Some(Decision::Paused) => ("paused", "the site has paused the study"),
            Some(Decision::Pending) => ("not_approved", "the site has not approved the study"),
            Some(Decision::Refused) => ("refused", "the site has refused the study"),
            None => ("unknown_study", "no plan of the study is here"),
        };
        Err(Objection::new(code, reason))
    }

    /// Nothing new is sealed for a study that is over: its secrets were forgotten.
    fn not_over(&self, study: &StudyId) -> Result<(), Refused> {
        match self.studies.get(study).map_err(|e| self.internal(&e))?.and_then(|r| r.outcome) {
            Some(_) => Err(Objection::new("study_over", "the coordinator has said that the study is over")),
            None => Ok(()),
        }
    }

    /// Whether bytes of a sealed release may be sent now.
    pub fn may_send(&self, study: &StudyId) -> bool {
        self.agreed(study).is_ok()
    }

    /// The approved plan, from memory where it was answered last.
    fn prepare(&self, study: &StudyId, hash: Hash) -> Result<Arc<Prepared>, Refused> {
        let mut held = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(prepared) = held.as_ref().filter(|p| p.hash == hash) {
            return Ok(prepared.clone());
        }
        let (plan, hash) = self.plan(study).map_err(|e| self.internal(&e))?;
        let allocation = study::budget::allocate(&plan).map_err(|e| Objection::new("plan_invalid", e))?;
        let prepared = Arc::new(Prepared { plan, hash, allocation });
        *held = Some(prepared.clone());
        Ok(prepared)
    }

    async fn release(
        &self,
        plan: &Plan,
        mut order: Order,
        parameters: &[f64],
        secure: Option<&Attempt>,
    ) -> Result<Sealed, Refused> {
        if let Some(sealed) = self.releases.find(&order).map_err(|e| self.release_refusal(&e))? {
            return Ok(sealed);
        }
        self.releases.would_admit(&self.ledger, &order, self.clock.now()).map_err(|e| self.release_refusal(&e))?;
        self.good_enough(plan, &order).await?;
        let mut program = study::compile::program(&plan.study, order.round.analysis as usize)
            .map_err(|e| Objection::new("plan_invalid", e.to_string()))?;
        program.at_site(self.config.id.as_str());
        let work = program
            .work(order.round.round, parameters)
            .map_err(|e| Objection::new("parameters_invalid", e.to_string()))?;
        let mechanism = self.mechanism(plan, order.round.analysis);
        let own = live::study_of(&plan.study, &order.round)?;
        let (mut batch, version, persons) = match secure.filter(|_| mechanism.name() == MechanismName::Presence) {
            Some(attempt) => {
                let (batch, version) = self.tags(plan, &order, attempt).await?;
                (batch, version, None)
            }
            None => {
                let (patients, version) = self
                    .engine
                    .patients(&self.config, &self.lake, &own, order.plan_hash, order.round.analysis, &order.blocks)
                    .await
                    .map_err(|e| self.engine_refusal(&e))?;
                (patients.batch.clone(), version, Some(patients))
            }
        };
        let everyone = self.whole_cohort(plan, &order, batch.patients()).await?;
        self.large_enough(plan, &order, everyone, version)?;
        // A window is told by what is known at its time, whatever was told before.
        if secure.is_none() && plan.study.stream.is_none() {
            let key = (order.round.analysis, order.round.round, order.parameters_hash);
            order.question = study::question::hash(&plan.study, key, &order.blocks, version);
        }
        // From here to the seal, so that no two windows count a patient as the last one that fits.
        let _counting = self.counting.lock().await;
        let admitted = self.participants(plan, &order, persons.as_deref())?;
        let grouped = self.of_own_group(&order, persons.as_deref())?;
        let rows = admitted.as_ref().map(|a| &a.rows).or(grouped.as_ref().map(|g| &g.rows));
        if let Some(rows) = rows {
            batch = Arc::new(batch.rows(rows));
        }
        let names: Vec<String> = work.iter().map(|w| w.name.clone()).collect();
        // A sample takes as long as it is large: that is within the steps of time after which a release is handed on.
        let begun = std::time::Instant::now();
        let (ready, is_sampled) = sample::ready(self.entropy.as_ref(), &order, work, &batch)?;
        let (lanes, threads) = (ready.lanes(), self.config.limits.threads);
        let drawn = if is_sampled { begun } else { std::time::Instant::now() };
        let sealed = {
            // Asked once more, since the query took its time.
            let _gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
            self.agreed(&order.round.study)?;
            self.not_over(&order.round.study)?;
            let window = correlated::Window::of(&self.store, &plan.study, &order).map_err(|e| self.internal(&e))?;
            let window = std::cell::RefCell::new(window);
            let noise = |charge| match (secure, window.borrow_mut().as_mut()) {
                (Some(attempt), _) => secure_round::masked(attempt, mechanism, ready, charge, threads),
                (None, Some(window)) => Ok(Noised::local(&ready.release_window(mechanism, window, charge)?)),
                (None, None) => Ok(Noised::local(&ready.release(mechanism, charge)?)),
            };
            let also = |t: &mut platform::Transaction| {
                if let Some(attempt) = secure {
                    attempt.enter(t);
                }
                if let Some(admitted) = &admitted {
                    admitted.enter(t);
                }
                if let Some(grouped) = &grouped {
                    grouped.enter(t);
                }
                if let Some(window) = window.borrow().as_ref() {
                    window.enter(t);
                }
            };
            self.releases
                .seal(&self.ledger, &order, self.clock.now(), (mechanism.name(), &names), noise, also)
                .map_err(|e| self.release_refusal(&e))?
        };
        tracing::info!(round = %order.round, rho = %order.rho, release = %sealed.record.id.short(), "sealed");
        schedule(drawn, lanes).await;
        Ok(sealed)
    }

    /// The mechanism of an analysis.
    fn mechanism(&self, plan: &Plan, analysis: u32) -> &dyn Mechanism {
        match study::secure::mechanism(plan, analysis, self.mechanism.name()) {
            MechanismName::Presence => &Presence,
            _ => self.mechanism.as_ref(),
        }
    }

    /// A release was handed to the stream, or acknowledged.
    ///
    /// # Errors
    /// The store fails.
    pub fn advance(&self, round: &RoundId, attempt: u32, state: State) -> Result<(), AgentError> {
        Ok(self.releases.advance(round, attempt, state)?)
    }

    /// Entries of the ledger behind a place, with its signed head: what the coordinator keeps as an anchor. And up to which they go.
    ///
    /// # Errors
    /// The store fails.
    pub fn ledger_news(&self, after: u64) -> Result<(wire::LedgerEntries, u64), AgentError> {
        let head = self.ledger.signed_head(&self.config.id, &self.identity, self.clock.now());
        let held = head.head.entries;
        let entries = self.ledger.bytes_between(after.min(held), held)?.into_iter().map(Into::into).collect();
        Ok((wire::LedgerEntries { entries, signed_head: serde_json::to_vec(&head).unwrap_or_default().into() }, held))
    }

    /// The coordinator signed a head of the ledger.
    ///
    /// # Errors
    /// It is not a head of this ledger, or the store fails.
    pub fn cosigned(&self, bytes: &[u8]) -> Result<(), AgentError> {
        Ok(self.ledger.keep_cosigned(bytes, &self.identity)?)
    }

    /// The refusal of whatever comes before the ledger was compared with the coordinator's copy.
    pub fn not_compared(&self) -> Refused {
        match self.ledger.admits() {
            Err(e) => self.release_refusal(&e.into()),
            Ok(()) => Objection::new("not_compared", "the ledger was not compared with the coordinator's copy yet"),
        }
    }

    /// What the local log gets in full and the coordinator in two words.
    fn internal(&self, e: &dyn std::fmt::Display) -> Refused {
        tracing::error!(site = %self.config.id, "internal: {e}");
        Objection::new("internal", "the site could not answer; its own log says why")
    }

    fn release_refusal(&self, e: &ReleaseError) -> Refused {
        match e {
            ReleaseError::Budget(b) => Objection::new("budget_spent", b.to_string()),
            ReleaseError::Answered { .. } => Objection::new("already_answered", e.to_string()),
            ReleaseError::Lost(_) => Objection::new("release_lost", e.to_string()),
            ReleaseError::NotPrepaid(_) => Objection::new("not_prepaid", e.to_string()),
            ReleaseError::Reruns { .. } => Objection::new("reruns_spent", e.to_string()),
            ReleaseError::Secagg(e) => Objection::from(*e),
            ReleaseError::Ledger(LedgerError::Behind { .. }) => {
                tracing::error!("{e}");
                Objection::new(
                    "ledger_behind",
                    "the site's ledger is an old copy; its operator was told how to recover it",
                )
            }
            ReleaseError::Ledger(_) => {
                tracing::error!("{e}");
                Objection::new("ledger_broken", "the site's ledger does not verify; its operator was told")
            }
            _ => self.internal(e),
        }
    }

    fn engine_refusal(&self, e: &EngineError) -> Refused {
        match e {
            EngineError::NoData => Objection::new("no_data", e.to_string()),
            EngineError::Plan(_) => Objection::new("plan_invalid", e.to_string()),
            EngineError::Schema(_) => Objection::new("schema_outside_range", e.to_string()),
            EngineError::Linkage(_) => Objection::new("no_linkage_tags", e.to_string()),
            EngineError::Query(detail) => {
                tracing::error!("query: {detail}");
                Objection::new("query_failed", e.to_string())
            }
            EngineError::Consent(detail) => {
                tracing::error!("consent: {detail}");
                let told = "the site can't say now whose data may be read; its operator was told";
                Objection::new("consent_unreadable", told)
            }
            EngineError::Lake(_) => self.internal(e),
        }
    }
}

/// A release is handed on only at whole steps of time after its noise began to be drawn, and a step is several times what drawing
/// so many samples takes: so the time says how many lanes there are, and nothing of the noise in them.
async fn schedule(drawn: std::time::Instant, lanes: usize) {
    let step = std::time::Duration::from_micros(2_000 + lanes as u64 / 2);
    let steps = drawn.elapsed().as_micros() / step.as_micros().max(1) + 1;
    let due = drawn + step * u32::try_from(steps).unwrap_or(u32::MAX);
    tokio::time::sleep_until(due.into()).await;
}

/// Makes the state's folder, the owner's alone: bronze holds raw extracts.
fn private_folder(path: &std::path::Path) -> Result<(), LakeError> {
    use std::os::unix::fs::PermissionsExt as _;
    let wrong = |e: std::io::Error| crate::lake::file_error(path, &e);
    std::fs::create_dir_all(path).map_err(wrong)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).map_err(wrong)
}
