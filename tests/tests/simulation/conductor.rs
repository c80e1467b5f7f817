//! The coordinator without its network: the pure rounds, the merge and the journal, put together as its conductor does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coordinator::journal::{Checkpoint, Journal, State};
use coordinator::merge::{Expected, Merge, Terms};
use coordinator::round::{Action, Decision, Event, Outcome, Phase, Run};
use platform::Micros;
use proto::manifest::parameters_hash;
use proto::parse::Release;
use proto::{Hash, RoundId, SiteId, StudyId};
use summaries::{Program, Step};

use crate::machine::Machine;
use crate::study::Prepared;
use crate::world::{Fault, ToSite};

/// Messages that were handed to streams.
pub(crate) type Outbox = Vec<(SiteId, ToSite)>;

pub(crate) struct Coordinator {
    machine: Arc<Machine>,
    journal: Journal,
    online: BTreeSet<SiteId>,
    running: BTreeMap<StudyId, Running>,
    fault: Fault,
}

struct Running {
    prepared: Arc<Prepared>,
    run: Run,
    state: State,
    program: Option<Box<dyn Program>>,
    merge: Option<Merge>,
    started: Micros,
    /// Planted: releases that came once more.
    again: Vec<Release>,
}

fn text(e: impl std::fmt::Display) -> String {
    e.to_string()
}

impl Coordinator {
    /// Starts over what the journal holds.
    pub(crate) fn open(
        machine: Arc<Machine>,
        plans: &[Arc<Prepared>],
        sites: &BTreeSet<SiteId>,
        now: Micros,
        fault: Fault,
    ) -> Result<Coordinator, String> {
        let journal = Journal::new(machine.clone());
        let mut c = Coordinator { machine, journal, online: BTreeSet::new(), running: BTreeMap::new(), fault };
        for id in c.journal.studies().map_err(text)? {
            let plan = plans.iter().find(|p| *p.id() == id).ok_or_else(|| format!("a study {id} that nobody sent"))?;
            c.begin(plan, sites, now)?;
        }
        Ok(c)
    }

    pub(crate) fn knows(&self, study: &StudyId) -> bool {
        self.running.contains_key(study)
    }

    /// How every study stands.
    pub(crate) fn outcomes(&self) -> BTreeMap<StudyId, State> {
        self.running.iter().map(|(id, r)| (id.clone(), r.state.clone())).collect()
    }

    /// A new study. A journal that dies here leaves the study, or nothing.
    pub(crate) fn submit(
        &mut self,
        plan: &Arc<Prepared>,
        sites: &BTreeSet<SiteId>,
        now: Micros,
        out: &mut Outbox,
    ) -> Result<(), String> {
        let program = study::compile::program(&plan.plan.study, 0).map_err(text)?;
        let state = State {
            memory: Vec::new(),
            state: "waiting".to_owned(),
            detail: String::new(),
            analysis: 0,
            round: 0,
            parameters: program.first(),
            rounds_done: 0,
            past: coordinator::round::Past::default(),
            out: std::collections::BTreeMap::new(),
            hospitals: std::collections::BTreeMap::new(),
            submitted_micros: now.0,
            updated_micros: now.0,
        };
        if self.journal.submit(plan.id(), &plan.signed, &state).is_err() {
            return Ok(());
        }
        self.begin(plan, sites, now)?;
        for site in self.online.clone() {
            self.tell(plan.id(), &Event::Online(site), now, out);
        }
        Ok(())
    }

    fn begin(&mut self, plan: &Arc<Prepared>, sites: &BTreeSet<SiteId>, now: Micros) -> Result<(), String> {
        let running = Running::open(&self.journal, plan, now)?;
        self.running.insert(plan.id().clone(), running);
        for site in sites {
            self.tell(plan.id(), &Event::Joined(site.clone()), now, &mut Outbox::new());
        }
        Ok(())
    }

    /// Gives a study an event and carries out what it says.
    pub(crate) fn tell(&mut self, study: &StudyId, event: &Event, now: Micros, out: &mut Outbox) {
        if let Some(running) = self.running.get_mut(study) {
            let mut send = Send { machine: &self.machine, online: &self.online, out };
            running.apply(&self.journal, &mut send, event.clone(), now);
        }
    }

    /// Gives every study an event.
    pub(crate) fn each(&mut self, event: &Event, now: Micros, out: &mut Outbox) {
        match event {
            Event::Online(site) => {
                self.online.insert(site.clone());
            }
            Event::Offline(site) => {
                self.online.remove(site);
            }
            _ => {}
        }
        for study in self.running.keys().cloned().collect::<Vec<_>>() {
            self.tell(&study, event, now, out);
        }
    }

    pub(crate) fn decided(
        &mut self,
        site: &SiteId,
        study: &StudyId,
        decision: Decision,
        now: Micros,
        out: &mut Outbox,
    ) {
        let word = format!("{decision:?}").to_lowercase();
        let _ = self.journal.decided(study, site, &word, "");
        self.tell(study, &Event::Decided(site.clone(), decision), now, out);
    }

    pub(crate) fn refused(&mut self, site: &SiteId, round: &RoundId, code: &str, now: Micros, out: &mut Outbox) {
        if !self.running.get(&round.study).is_some_and(|r| r.is_at(round)) {
            return;
        }
        let event = match code {
            "paused" => Event::Decided(site.clone(), Decision::Paused),
            "not_approved" => Event::Decided(site.clone(), Decision::Pending),
            _ => {
                let _ = self.journal.decided(&round.study, site, "out", code);
                Event::Refused(site.clone(), code.to_owned())
            }
        };
        self.tell(&round.study, &event, now, out);
    }

    pub(crate) fn released(&mut self, site: &SiteId, round: &RoundId, release: Release, now: Micros, out: &mut Outbox) {
        if let Some(running) = self.running.get_mut(&round.study) {
            let mut send = Send { machine: &self.machine, online: &self.online, out };
            running.release(&self.journal, &mut send, site, round, release, now, self.fault);
        }
    }
}

/// The streams. A dead process sends nothing.
struct Send<'a> {
    machine: &'a Machine,
    online: &'a BTreeSet<SiteId>,
    out: &'a mut Outbox,
}

impl Send<'_> {
    fn to(&mut self, site: &SiteId, message: ToSite) {
        if self.machine.on() && self.online.contains(site) {
            self.out.push((site.clone(), message));
        }
    }
}

impl Running {
    fn open(journal: &Journal, prepared: &Arc<Prepared>, now: Micros) -> Result<Running, String> {
        let id = prepared.id();
        let state = journal.state(id).map_err(text)?.ok_or("its state is missing")?;
        let mut program = None;
        if !state.over() {
            let mut p = study::compile::program(&prepared.plan.study, state.analysis as usize).map_err(text)?;
            for c in journal.checkpoints(id).map_err(text)?.iter().filter(|c| c.analysis == state.analysis) {
                let merged = journal.merged(id, c).map_err(text)?.ok_or("a merged round is missing")?;
                p.next(c.round, &c.parameters, &merged).map_err(text)?;
            }
            program = Some(p);
        }
        let mut run = Run::new(prepared.plan.study.rounds);
        if state.over() {
            run.apply(Event::Cancel, now);
        }
        let prepared = prepared.clone();
        Ok(Running { prepared, run, state, program, merge: None, started: now, again: Vec::new() })
    }

    fn is_at(&self, round: &RoundId) -> bool {
        round.analysis == self.state.analysis && round.round == self.state.round
    }

    fn round(&self) -> RoundId {
        RoundId { study: self.prepared.id().clone(), analysis: self.state.analysis, round: self.state.round }
    }

    fn begin(&mut self, now: Micros) -> Result<(), String> {
        let Some(program) = &self.program else { return Ok(()) };
        let work = program.work(self.state.round, &self.state.parameters).map_err(text)?;
        let whole: f64 = work.iter().map(|w| w.weight).sum();
        let rho = self.prepared.rho(self.state.analysis, self.state.round);
        let parts = work
            .iter()
            .map(|w| Expected {
                name: w.name.clone(),
                lanes: w.layout().lanes,
                sigma: privacy::mechanism::gaussian_sigma(w.sensitivity().l2, rho.share(w.weight, whole)),
            })
            .collect();
        self.merge = Some(Merge::new(Terms {
            plan_hash: self.prepared.hash,
            parameters_hash: parameters_hash(&self.state.parameters),
            rho_nano: self.prepared.charged(self.state.analysis, self.state.round).nano(),
            parts,
            mechanism: "discrete-gaussian",
            simulation: false,
        }));
        self.started = now;
        Ok(())
    }

    fn apply(&mut self, journal: &Journal, send: &mut Send<'_>, event: Event, now: Micros) {
        if self.state.over() {
            if let Event::Online(site) = &event {
                send.to(site, ToSite::Closed);
            }
            return;
        }
        let mut actions = self.run.apply(event, now);
        while !actions.is_empty() {
            let mut events = Vec::new();
            for action in std::mem::take(&mut actions) {
                match action {
                    Action::Offer(site) => send.to(&site, ToSite::Offer(self.prepared.id().clone())),
                    Action::Order(site) => {
                        if self.merge.is_none()
                            && let Err(e) = self.begin(now)
                        {
                            events.push(Event::Broken(e));
                        }
                        let order = ToSite::Order {
                            round: self.round(),
                            plan_hash: self.prepared.hash,
                            parameters: self.state.parameters.clone(),
                        };
                        send.to(&site, order);
                    }
                    Action::Accept(_) => {}
                    // These rounds are not secure.
                    Action::Begin { .. }
                    | Action::Freeze
                    | Action::Tell(_)
                    | Action::Abandon
                    | Action::PutOut(..)
                    | Action::PassOver => {}
                    Action::Checkpoint => {
                        let result = self.checkpoint(journal, send, now);
                        events.push(result.unwrap_or_else(Event::Broken));
                    }
                    Action::Close(outcome) => self.close(journal, send, &outcome, now),
                }
            }
            for event in events {
                actions.extend(self.run.apply(event, now));
            }
        }
    }

    fn release(
        &mut self,
        journal: &Journal,
        send: &mut Send<'_>,
        site: &SiteId,
        round: &RoundId,
        release: Release,
        now: Micros,
        fault: Fault,
    ) {
        if self.state.over() || !self.is_at(round) || !self.run.owes(site) {
            if self.is_at(round) && matches!(self.run.phase(), Phase::Reporting { .. }) {
                let taken = self.merge.as_ref().is_some_and(|m| m.taken().contains_key(site));
                if fault == Fault::CountsTwice && taken {
                    self.again.push(release);
                }
                return;
            }
            send.to(site, ToSite::Acknowledged { round: round.clone(), release: release.id });
            return;
        }
        let Some(merge) = &mut self.merge else { return };
        let event = match merge.take(site, &release) {
            Ok(()) => Event::Reported(site.clone(), release.id),
            Err(e) => Event::Refused(site.clone(), e.to_string()),
        };
        if fault == Fault::AcknowledgesEarly {
            send.to(site, ToSite::Acknowledged { round: round.clone(), release: release.id });
        }
        self.apply(journal, send, event, now);
    }

    fn checkpoint(&mut self, journal: &Journal, send: &mut Send<'_>, now: Micros) -> Result<Event, String> {
        let (mut merged, releases) = self.merge.take().ok_or("there is nothing to merge")?.finish();
        for release in self.again.drain(..) {
            let mut lanes = release.lanes.into_iter();
            for part in &mut merged.parts {
                part.lanes.iter_mut().zip(lanes.by_ref()).for_each(|(sum, lane)| *sum += lane);
            }
        }
        let program = self.program.as_mut().ok_or("there is no program")?;
        let step = program.next(self.state.round, &self.state.parameters, &merged).map_err(text)?;
        let lanes = proto::payload::encode(merged.parts.iter().map(|p| p.lanes.as_slice()));
        let checkpoint = Checkpoint {
            analysis: self.state.analysis,
            round: self.state.round,
            parameters: self.state.parameters.clone(),
            lanes: merged.parts.iter().map(|p| p.lanes.len() as u64).collect(),
            variances: merged.parts.iter().map(|p| p.noise_variance).collect(),
            units: merged.parts.iter().map(|p| p.unit).collect(),
            attempt: 0,
            shared: 1,
            merged_hash: Hash::of(&lanes),
            releases,
            started_micros: self.started.0,
            finished_micros: now.0,
        };
        let mut next = State {
            state: "running".to_owned(),
            rounds_done: self.state.rounds_done + 1,
            updated_micros: now.0,
            ..self.state.clone()
        };
        let mut program = None;
        let mut event = Event::Advanced;
        let done = matches!(step, Step::Done(_));
        match step {
            Step::Continue { round, parameters } => {
                next.round = round;
                next.parameters = parameters;
            }
            Step::Done(_) => {
                next.analysis += 1;
                next.round = 0;
                if (next.analysis as usize) < self.prepared.plan.study.analysis.len() {
                    let p = study::compile::program(&self.prepared.plan.study, next.analysis as usize).map_err(text)?;
                    next.parameters = p.first();
                    program = Some(p);
                } else {
                    next.state = "done".to_owned();
                    next.parameters = Vec::new();
                    event = Event::Finished;
                }
            }
        }
        journal.checkpoint(self.prepared.id(), &checkpoint, &merged, None, &next).map_err(text)?;
        let round = self.round();
        for (site, taken) in &checkpoint.releases {
            send.to(site, ToSite::Acknowledged { round: round.clone(), release: taken.release });
        }
        self.state = next;
        if done {
            self.program = program;
        }
        Ok(event)
    }

    fn close(&mut self, journal: &Journal, send: &mut Send<'_>, outcome: &Outcome, now: Micros) {
        let (word, detail) = match outcome {
            Outcome::Done => ("done", String::new()),
            Outcome::Failed(why) => ("failed", why.clone()),
            Outcome::Cancelled => ("cancelled", "by the analyst".to_owned()),
        };
        word.clone_into(&mut self.state.state);
        self.state.detail = detail;
        self.state.updated_micros = now.0;
        let _ = journal.set_state(self.prepared.id(), &self.state);
        self.merge = None;
        self.program = None;
        for site in send.online.clone() {
            send.to(&site, ToSite::Closed);
        }
    }
}
