//! One study that runs: the pure machine, the program, the running sum, and the steps that make it durable.

use std::collections::BTreeMap;

use platform::{Micros, StoreError};
use privacy::{Delta, MechanismName, Rho, accounting};
use proto::manifest::parameters_hash;
use proto::wire::{self, SignedPlan, StudyStatus, to_site};
use proto::{Hash, RoundId, SiteId, StudyId};
use study::Plan;
use summaries::{MergedRound, OfSite, Program};
use tokio::sync::watch;

use super::state::Online;
use super::to_site as message;
use crate::journal::{Checkpoint, Journal, State};
use crate::merge::{Expected, Merge, Terms};
use crate::results::{AnalysisResult, Hospital, between};
use crate::round::secure::Step;
use crate::round::{Action, Decision, Event, Outcome, Past, Run};
use crate::secure::SecureRound;
use windows::Windows;

mod progress;
mod secure;
mod windows;

/// Why a study can't be opened or go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunningError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Plan(#[from] study::plan::PlanError),
    #[error(transparent)]
    Program(#[from] summaries::ProgramError),
    #[error("{0}")]
    Other(String),
}

/// What a site said last, for people.
type Said = (String, String, String);

pub(super) struct Running {
    plan: Plan,
    hash: Hash,
    signed: SignedPlan,
    allocation: Vec<Vec<Rho>>,
    /// The windows of a continuous study.
    windows: Windows,
    run: Run,
    state: State,
    program: Option<Box<dyn Program>>,
    merge: Option<Merge>,
    secure: Option<SecureRound>,
    started: Micros,
    said: BTreeMap<SiteId, Said>,
    status: watch::Sender<StudyStatus>,
    simulation: bool,
}

impl Running {
    /// Enters a new study in the journal.
    pub(super) fn submit(journal: &Journal, plan: &Plan, signed: &SignedPlan, now: Micros) -> Result<(), RunningError> {
        let program = study::compile::program(&plan.study, 0).map_err(|e| RunningError::Other(e.to_string()))?;
        let state = State {
            memory: Vec::new(),
            state: "waiting".to_owned(),
            detail: String::new(),
            analysis: 0,
            round: 0,
            parameters: program.first(),
            rounds_done: 0,
            past: Past::default(),
            out: BTreeMap::new(),
            hospitals: BTreeMap::new(),
            submitted_micros: now.0,
            updated_micros: now.0,
        };
        Ok(journal.submit(&plan.study.id, signed, &state)?)
    }

    /// Opens a study from the journal: the program is brought to where it stood by the checkpoints.
    pub(super) fn open(
        journal: &Journal,
        id: &StudyId,
        now: Micros,
        simulation: bool,
    ) -> Result<Running, RunningError> {
        let missing = || RunningError::Other("its plan or its state is missing".to_owned());
        let signed = journal.plan(id)?.ok_or_else(missing)?;
        let state = journal.state(id)?.ok_or_else(missing)?;
        let plan = Plan::parse(&signed.plan)?;
        let hash = study::plan::hash_of(&signed.plan);
        let allocation = study::budget::allocate(&plan).map_err(RunningError::Other)?;
        let mut program = None;
        if !state.over() {
            let mut p = study::compile::program(&plan.study, state.analysis as usize)
                .map_err(|e| RunningError::Other(e.to_string()))?;
            p.remember(&state.memory);
            // What was told by releases apart can't be told by their sums.
            let summed = !p.resumes();
            for c in journal.checkpoints(id)?.iter().filter(|c| summed && c.analysis == state.analysis) {
                let merged = journal.merged(id, c)?.ok_or_else(missing)?;
                p.answered_by(&c.sites());
                p.next(c.round, &c.parameters, &merged)?;
            }
            program = Some(p);
        }
        let (status, _) = watch::channel(StudyStatus::default());
        let mut run = Run::of_plan(plan.study.rounds, plan.study.privacy);
        let mut secure = None;
        if state.over() {
            run.apply(Event::Cancel, now);
        } else {
            run.past_attempts(state.past);
            run.put_out(&state.out);
        }
        if let Some(stored) = journal.last_secure(id)?.filter(|_| !state.over()) {
            let here = stored.terms.round.analysis == state.analysis && stored.terms.round.round == state.round;
            if here {
                run.past_attempts(Past { next: stored.terms.attempt + 1, ..state.past });
            }
            // Before the keys are frozen nobody has paid, and a new attempt is as good.
            if here
                && stored.step > 0
                && let Some(step) = Step::of(stored.step)
            {
                let round = SecureRound::restore(&stored).map_err(RunningError::Other)?;
                let expected = round.expected();
                run.resume_secure(stored.terms.attempt, stored.terms.threshold as usize, step, expected, now);
                secure = Some(round);
            }
        }
        let said = journal
            .decisions(id)?
            .into_iter()
            .filter_map(|(s, (d, r))| Some((SiteId::parse(&s).ok()?, (d, String::new(), r))))
            .collect();
        let mut running = Running {
            windows: Windows::open(&plan.study, id, journal)?,
            plan,
            hash,
            signed,
            allocation,
            run,
            state,
            program,
            merge: None,
            secure,
            started: now,
            said,
            status,
            simulation,
        };
        running.wait_for_window(now);
        running.take_turns();
        running.publish();
        Ok(running)
    }

    pub(super) fn plan_hash(&self) -> Hash {
        self.hash
    }

    pub(super) fn watch(&self) -> watch::Receiver<StudyStatus> {
        self.status.subscribe()
    }

    /// Its plan, where it has all its results.
    pub(super) fn done(&self) -> Option<&Plan> {
        (self.state.state == "done").then_some(&self.plan)
    }

    pub(super) fn is_at(&self, round: &RoundId) -> bool {
        round.analysis == self.state.analysis && round.round == self.state.round
    }

    /// Whether a site's release in an attempt is still to come.
    pub(super) fn waits_for(&self, site: &SiteId, round: &RoundId, attempt: u32) -> bool {
        let here = self.secure.as_ref().is_none_or(|s| s.terms().attempt == attempt && s.step() == Step::Mask as u8);
        !self.state.over() && self.is_at(round) && here && self.run.owes(site)
    }

    pub(super) fn said(&mut self, site: &SiteId, word: &str, code: &str, reason: &str) {
        self.said.insert(site.clone(), (word.to_owned(), code.to_owned(), reason.to_owned()));
    }

    fn round(&self) -> RoundId {
        RoundId { study: self.plan.study.id.clone(), analysis: self.state.analysis, round: self.state.round }
    }

    /// Has the running round of a continuous study wait for its time.
    fn wait_for_window(&mut self, now: Micros) {
        if let Some(due) = self.windows.due(self.state.round) {
            self.run.wait_until(due, now);
        }
    }

    /// Has the running round asked of one site alone, where the program says so.
    fn take_turns(&mut self) {
        let turn = self.program.as_ref().and_then(|p| p.turn(self.state.round));
        self.run.set_turn(turn);
    }

    fn rho(&self) -> Rho {
        self.allocation
            .get(self.state.analysis as usize)
            .and_then(|a| a.get(self.state.round as usize))
            .copied()
            .unwrap_or_default()
    }

    /// What the running round is charged when it is released: nothing, where it was paid for before.
    fn charged(&self) -> Rho {
        let study = &self.plan.study;
        let before =
            study::budget::prepaid(study).is_some() || study::budget::samples(study, self.state.analysis as usize);
        if before { Rho::ZERO } else { self.rho() }
    }

    /// An empty sum for the round.
    fn begin(&mut self, now: Micros) -> Result<(), RunningError> {
        let Some(program) = &self.program else { return Ok(()) };
        let work = program.work(self.state.round, &self.state.parameters)?;
        let whole: f64 = work.iter().map(|w| w.weight).sum();
        let rho = self.rho();
        let factor = study::budget::factor(&self.plan.study, self.state.round);
        let parts = work
            .iter()
            .map(|w| Expected {
                name: w.name.clone(),
                lanes: w.layout().lanes,
                sigma: factor * privacy::mechanism::gaussian_sigma(w.sensitivity().l2, rho.share(w.weight, whole)),
            })
            .collect();
        let series = study::budget::series(&self.plan.study);
        let own = program.apart() || self.analysis().is_some_and(|a| a.by_hospital);
        let merge = Merge::new(Terms {
            plan_hash: self.hash,
            parameters_hash: parameters_hash(&self.state.parameters),
            // What was paid at once is not paid again.
            rho_nano: self.charged().nano(),
            parts,
            mechanism: series.map_or(MechanismName::DiscreteGaussian.word(), |series| series.word()),
            simulation: self.simulation,
        });
        self.merge = Some(merge.with_own(own));
        self.started = now;
        Ok(())
    }

    /// Gives the machine an event and carries out what it says.
    pub(super) fn apply(&mut self, journal: &Journal, online: &BTreeMap<SiteId, Online>, event: Event, now: Micros) {
        if self.state.over() {
            if let Event::Online(site) = &event {
                self.send(online, site, to_site::Message::Closed(self.closed()));
            }
            return;
        }
        let quiet = event == Event::Tick;
        let mut actions = self.run.apply(event, now);
        if quiet && actions.is_empty() {
            return;
        }
        while !actions.is_empty() {
            let mut events = Vec::new();
            for action in std::mem::take(&mut actions) {
                match action {
                    Action::Offer(site) => {
                        self.send(online, &site, to_site::Message::Study(self.signed.clone()));
                    }
                    Action::Order(site) => {
                        if self.merge.is_none()
                            && self.secure.is_none()
                            && let Err(e) = self.begin(now)
                        {
                            events.push(Event::Broken(e.to_string()));
                        }
                        self.send(online, &site, to_site::Message::Round(self.order()));
                    }
                    Action::Begin { attempt, roster } => {
                        match self.begin_secure(journal, online, attempt, &roster, now) {
                            Ok(without) => {
                                for (site, lacks) in without {
                                    self.said(&site, "left out", lacks.code, lacks.why);
                                    events.push(lacks.event(site));
                                }
                                if self.secure.is_none() {
                                    let why = "too few of the sites have told the keys that it takes".to_owned();
                                    events.push(Event::Stuck(why));
                                }
                            }
                            Err(e) => events.push(Event::Broken(e.to_string())),
                        }
                    }
                    Action::Freeze => match self.freeze(journal, online) {
                        Ok(()) => {}
                        Err(RunningError::Other(why)) => events.push(Event::Stuck(why)),
                        Err(e) => events.push(Event::Broken(e.to_string())),
                    },
                    Action::Tell(site) => self.tell(online, &site),
                    Action::Abandon => {
                        self.secure = None;
                        self.state.past = self.run.past();
                        if let Err(e) = journal.abandon(&self.plan.study.id, &self.state) {
                            events.push(Event::Broken(e.to_string()));
                        }
                    }
                    Action::Accept(_) => {} // `release` has taken it.
                    Action::PutOut(site, why) => {
                        self.said(&site, "out", "set_aside", &why);
                        self.state.out.insert(site, why);
                    }
                    Action::Checkpoint | Action::PassOver => {
                        let gap = action == Action::PassOver;
                        match self.checkpoint(journal, online, gap, now) {
                            Ok(event) => events.push(event),
                            Err(e) => events.push(Event::Broken(e.to_string())),
                        }
                    }
                    Action::Close(outcome) => self.close(journal, online, &outcome, now),
                }
            }
            for event in events {
                actions.extend(self.run.apply(event, now));
            }
        }
        if self.state.state == "waiting" && self.run.roster() > 0 {
            self.state.state = "running".to_owned();
        }
        self.publish();
    }

    fn order(&self) -> wire::RoundOrder {
        let secure = self.secure.as_ref().map(|s| wire::SecureOrder {
            attempt: s.terms().attempt,
            roster: s
                .members()
                .map(|(site, identity)| wire::Member { site: site.to_string(), identity: identity.0.to_vec().into() })
                .collect(),
            linkage_key: s.terms().linkage_key.clone(),
        });
        wire::RoundOrder {
            round: Some((&self.round()).into()),
            plan_hash: self.hash.0.to_vec().into(),
            parameters: self.state.parameters.clone(),
            secure,
        }
    }

    fn send(&self, online: &BTreeMap<SiteId, Online>, site: &SiteId, m: to_site::Message) {
        if let Some(o) = online.get(site) {
            let _ = o.out.send(Ok(message(m)));
        }
    }

    /// A release came: it is checked, then the machine decides, then it is in the sum.
    pub(super) fn release(
        &mut self,
        journal: &Journal,
        online: &BTreeMap<SiteId, Online>,
        site: &SiteId,
        round: &RoundId,
        release: proto::parse::Release,
        now: Micros,
    ) {
        let passed = (round.analysis, round.round) < (self.state.analysis, self.state.round);
        if passed || self.state.state == "done" {
            // Late, or sent again: what the round needed is durable.
            let done = wire::Acknowledged {
                round: Some(round.into()),
                release_id: release.id.0.to_vec().into(),
                attempt: release.manifest.attempt,
            };
            self.send(online, site, to_site::Message::Acknowledged(done));
            return;
        }
        if self.state.over() || !self.is_at(round) || !self.run.owes(site) {
            return; // It is in the sum already, or was never asked; it is acknowledged with a checkpoint or not at all.
        }
        let charged = self.charged();
        let (taken, secure) = match (&mut self.merge, &mut self.secure) {
            (_, Some(round)) => {
                if release.manifest.attempt != round.terms().attempt || round.step() != Step::Mask as u8 {
                    return; // It came too late for this attempt: the sum does not have it.
                }
                (round.take_masked(site, &release, charged), true)
            }
            (Some(merge), None) => (merge.take(site, &release), false),
            (None, None) => return,
        };
        let event = match taken {
            Ok(()) if secure => Event::Stepped(site.clone(), Step::Mask),
            Ok(()) => Event::Reported(site.clone(), release.id),
            Err(e) => {
                tracing::warn!(%site, %round, "set aside: {e}");
                self.said(site, "set aside", e.code, &e.to_string());
                Event::Refused(site.clone(), e.to_string())
            }
        };
        drop(release);
        self.apply(journal, online, event, now);
    }

    /// Merges the round, or leaves a gap where too few answered it, computes what comes next, makes all of it durable, then tells the
    /// sites.
    fn checkpoint(
        &mut self,
        journal: &Journal,
        online: &BTreeMap<SiteId, Online>,
        gap: bool,
        now: Micros,
    ) -> Result<Event, RunningError> {
        let attempt = self.secure.as_ref().map_or(0, |s| s.terms().attempt);
        let mut own = Vec::new();
        let (merged, releases) = match (self.secure.take(), self.merge.take()) {
            _ if gap => (MergedRound { parts: Vec::new(), sites: 0 }, BTreeMap::new()),
            (Some(mut round), _) => match round.merge() {
                Ok(merged) => merged,
                Err(spoilt) => return Ok(Event::Spoilt(spoilt.by, spoilt.why)),
            },
            (None, Some(mut merge)) => {
                own = merge.own();
                merge.finish()
            }
            (None, None) => return Err(RunningError::Other("there is nothing to merge".to_owned())),
        };
        let program = self.program.as_mut().ok_or_else(|| RunningError::Other("there is no program".to_owned()))?;
        let mut hospitals = self.state.hospitals.clone();
        let by_hospital = self.plan.study.analysis.get(self.state.analysis as usize).is_some_and(|a| a.by_hospital);
        let (round, parameters) = (self.state.round, &self.state.parameters);
        program.answered_by(&releases.keys().map(ToString::to_string).collect::<Vec<_>>());
        for (site, release) in own.iter().filter(|_| by_hospital) {
            if let Some(estimate) = program.own(site.as_str(), round, parameters, release) {
                hospitals.insert(site.clone(), estimate);
            }
        }
        let step = if program.apart() && !own.is_empty() {
            let apart = |(site, round): (SiteId, MergedRound)| OfSite { site: site.to_string(), round };
            let sites: Vec<OfSite> = own.into_iter().map(apart).collect();
            program.next_apart(round, parameters, &merged, &sites)?
        } else {
            program.next(round, parameters, &merged)?
        };
        let lanes = proto::payload::encode(merged.parts.iter().map(|p| p.lanes.as_slice()));
        let checkpoint = Checkpoint {
            analysis: self.state.analysis,
            round: self.state.round,
            parameters: self.state.parameters.clone(),
            lanes: merged.parts.iter().map(|p| p.lanes.len() as u64).collect(),
            variances: merged.parts.iter().map(|p| p.noise_variance).collect(),
            units: merged.parts.iter().map(|p| p.unit).collect(),
            attempt,
            shared: merged.parts.first().map_or(1, |p| u32::try_from(p.shared).unwrap_or(u32::MAX)),
            merged_hash: Hash::of(&lanes),
            releases,
            started_micros: self.started.0,
            finished_micros: now.0,
        };
        let mut next = State {
            memory: program.memory(),
            state: "running".to_owned(),
            rounds_done: self.state.rounds_done + 1,
            past: Past { burned: self.run.past().burned, ..Past::default() },
            hospitals,
            updated_micros: now.0,
            ..self.state.clone()
        };
        let so_far = matches!(step, summaries::Step::Continue { .. }).then(|| program.so_far()).flatten();
        let parameters = program.model().map(crate::model::encode).unwrap_or_default();
        let result;
        let mut program = None;
        let mut event = Event::Advanced;
        let mut done = true;
        match step {
            summaries::Step::Continue { round, parameters } => {
                let hospitals = BTreeMap::new();
                result = so_far.and_then(|told| self.result(told, hospitals, merged.sites as u32, next.rounds_done));
                next.round = round;
                next.parameters = parameters;
                done = false;
            }
            summaries::Step::Done(estimate) => {
                let before = journal.checkpoints(&self.plan.study.id)?;
                let rounds = 1 + before.iter().filter(|c| c.analysis == self.state.analysis).count() as u32;
                let hospitals = std::mem::take(&mut next.hospitals);
                let told = self.result(estimate, hospitals, merged.sites as u32, rounds);
                result = told.map(|told| AnalysisResult { parameters, ..told });
                next.analysis += 1;
                next.round = 0;
                next.memory = Vec::new();
                if (next.analysis as usize) < study::budget::apart(&self.plan.study) {
                    let p = study::compile::program(&self.plan.study, next.analysis as usize)
                        .map_err(|e| RunningError::Other(e.to_string()))?;
                    next.parameters = p.first();
                    program = Some(p);
                } else {
                    next.state = "done".to_owned();
                    next.parameters = Vec::new();
                    event = Event::Finished;
                }
            }
        }
        journal.checkpoint(&self.plan.study.id, &checkpoint, &merged, result.as_ref(), &next)?;
        let round = self.round();
        for (site, taken) in &checkpoint.releases {
            let release_id = taken.release.0.to_vec().into();
            let done = wire::Acknowledged { round: Some((&round).into()), release_id, attempt };
            self.send(online, site, to_site::Message::Acknowledged(done));
        }
        let missing = self.missing(&checkpoint);
        self.windows.tell(&checkpoint, missing);
        self.state = next;
        if done {
            self.program = program;
        }
        self.wait_for_window(now);
        self.take_turns();
        tracing::info!(%round, sites = merged.sites, "checkpointed");
        Ok(event)
    }

    fn analysis(&self) -> Option<&study::analysis::Analysis> {
        self.plan.study.analysis.get(self.state.analysis as usize)
    }

    fn result(
        &self,
        estimate: summaries::Estimate,
        hospitals: BTreeMap<SiteId, summaries::Estimate>,
        sites: u32,
        rounds: u32,
    ) -> Option<AnalysisResult> {
        let analysis = self.analysis()?;
        let hospitals: Vec<Hospital> =
            hospitals.into_iter().map(|(site, e)| Hospital { site: site.to_string(), rows: e.rows }).collect();
        let place = self.state.analysis as usize;
        let rho = study::budget::cost_of(&self.plan.study, place, self.allocation.get(place)?);
        let sampling = study::budget::sampled(&self.plan.study).ok()?;
        let sampled = sampling.analyses().get(&place).map(|own| own.epsilon());
        let epsilon = sampled.unwrap_or_else(|| accounting::epsilon(rho, Delta(self.plan.study.privacy.delta)));
        let result = AnalysisResult {
            name: self.told_together(),
            kind: analysis.what.kind().to_owned(),
            cohort: analysis.cohort.clone(),
            rounds,
            sites,
            rho: rho.value(),
            epsilon: epsilon.0,
            estimate,
            meta: between::rows(&hospitals, self.plan.study.report.confidence),
            hospitals,
            parameters: String::new(),
            failed: None,
        };
        Some(result)
    }

    fn closed(&self) -> wire::StudyClosed {
        wire::StudyClosed { study: self.plan.study.id.to_string(), outcome: self.state.state.clone() }
    }

    fn close(&mut self, journal: &Journal, online: &BTreeMap<SiteId, Online>, outcome: &Outcome, now: Micros) {
        let (word, detail) = match outcome {
            Outcome::Done => ("done", String::new()),
            Outcome::Failed(why) => ("failed", why.clone()),
            Outcome::Cancelled => ("cancelled", "by the analyst".to_owned()),
        };
        tracing::info!(study = %self.plan.study.id, outcome = word, "closed: {detail}");
        word.clone_into(&mut self.state.state);
        self.state.detail = detail;
        self.state.updated_micros = now.0;
        if let Err(e) = journal.set_state(&self.plan.study.id, &self.state) {
            tracing::error!("journal: {e}");
        }
        self.merge = None;
        self.secure = None;
        self.program = None;
        for site in online.keys() {
            self.send(online, site, to_site::Message::Closed(self.closed()));
        }
    }

    pub(super) fn status(&self) -> StudyStatus {
        let planned = self.allocation.iter().map(|a| a.len() as u32).sum();
        let analysis = self.plan.study.analysis.get(self.state.analysis as usize);
        StudyStatus {
            study: self.plan.study.id.to_string(),
            plan_hash: self.hash.0.to_vec().into(),
            state: self.state.state.clone(),
            detail: self.state.detail.clone(),
            sites: self
                .run
                .sites()
                .iter()
                .map(|(id, site)| {
                    let (_, code, reason) = self.said.get(id).cloned().unwrap_or_default();
                    let kind = match site.decision {
                        Decision::Unknown => wire::DecisionKind::DecisionUnspecified,
                        Decision::Pending => wire::DecisionKind::DecisionPending,
                        Decision::Approved => wire::DecisionKind::DecisionApproved,
                        Decision::Refused => wire::DecisionKind::DecisionRefused,
                        Decision::Paused => wire::DecisionKind::DecisionPaused,
                    };
                    let reason = site.out.clone().unwrap_or(reason);
                    let reason = reason.strip_prefix(&format!("{code}: ")).map_or(reason.clone(), str::to_owned);
                    wire::SiteStatus { id: id.to_string(), online: site.online, decision: kind.into(), code, reason }
                })
                .collect(),
            rounds_done: self.state.rounds_done,
            rounds_planned: planned,
            analysis: analysis.map(study::analysis::Analysis::label).unwrap_or_default(),
            round: self.state.round,
            reported: self.run.reported() as u32,
            roster: self.run.roster() as u32,
            submitted_micros: self.state.submitted_micros,
            updated_micros: self.state.updated_micros,
            windows: self.windows.told(),
            next_window: if self.state.over() { String::new() } else { self.windows.label(self.state.round) },
            next_due_micros: self.windows.due(self.state.round).map_or(0, |due| due.0),
            courses: self.program.as_ref().map(|p| progress::courses(&p.progress())).unwrap_or_default(),
        }
    }

    fn publish(&self) {
        self.status.send_replace(self.status());
    }
}
