//! What must hold of every schedule, whatever went wrong in it.

use std::collections::BTreeMap;

use coordinator::journal::{Checkpoint, Journal, State};
use platform::Store;
use privacy::Cost;
use proto::{Hash, Manifest, RoundId, SiteId, StudyId};
use site_agent::ledger::Kind;
use summaries::{MergedRound, Step};

use crate::hospital::Hospital;
use crate::study::{PATIENTS, Prepared};
use crate::world::{FromSite, ToSite, World};

/// 2027-01-01T00:00:00Z, in microseconds since 1970.
pub(crate) const NEW_YEAR: i64 = 1_798_761_600_000_000;

/// The bytes of a release: its manifest and its payload.
type Bytes = (Vec<u8>, Vec<u8>);

/// What was seen from outside: what left each site, what was asked, what the coordinator had on disk.
#[derive(Default)]
pub(crate) struct Evidence {
    left: BTreeMap<(SiteId, RoundId), Bytes>,
    asked: BTreeMap<RoundId, Vec<u64>>,
    durable: BTreeMap<Vec<u8>, Vec<u8>>,
    commits: usize,
}

fn text(e: impl std::fmt::Display) -> String {
    e.to_string()
}

fn checkpoint_key(round: &RoundId) -> String {
    format!("study/{}/checkpoint/{:06}/{:06}", round.study, round.analysis, round.round)
}

impl Evidence {
    /// A site sends: for one round always the same bytes.
    pub(crate) fn left(&mut self, site: &SiteId, message: &FromSite) -> Result<(), String> {
        let FromSite::Release { round, manifest, payload } = message else { return Ok(()) };
        let bytes = (manifest.clone(), payload.clone());
        match self.left.get(&(site.clone(), round.clone())) {
            Some(first) if *first != bytes => Err(format!("{site} sent other bytes for {round} than before")),
            Some(_) => Ok(()),
            None => {
                self.left.insert((site.clone(), round.clone()), bytes);
                Ok(())
            }
        }
    }

    /// The coordinator sends: for one round always the same question; and it says that a release is durable when it is.
    pub(crate) fn said(&mut self, site: &SiteId, message: &ToSite, store: Option<&dyn Store>) -> Result<(), String> {
        match message {
            ToSite::Order { round, parameters, .. } => {
                let bits: Vec<u64> = parameters.iter().map(|p| p.to_bits()).collect();
                let first = self.asked.entry(round.clone()).or_insert_with(|| bits.clone());
                if *first == bits {
                    Ok(())
                } else {
                    Err(format!("{round} was asked with other parameters than before"))
                }
            }
            ToSite::Acknowledged { round, release } => {
                let sent = self.left.get(&(site.clone(), round.clone()));
                let id = sent.and_then(|(manifest, _)| Manifest::parse(manifest).and_then(|m| m.id()).ok());
                if id != Some(*release) {
                    return Err(format!("{site} is told that {round} is durable with another release than it sent"));
                }
                let Some(store) = store else { return Ok(()) };
                let over = store.get(format!("study/{}/state", round.study).as_bytes()).map_err(text)?;
                let over = over.and_then(|s| serde_json::from_slice::<State>(&s).ok()).is_some_and(|s| s.over());
                let there = store.get(checkpoint_key(round).as_bytes()).map_err(text)?.is_some();
                if there || over { Ok(()) } else { Err(format!("{round} was acknowledged before it was durable")) }
            }
            ToSite::Offer(_) | ToSite::Closed => Ok(()),
        }
    }

    fn checkpoints_of(store: &dyn Store) -> Result<Vec<(Vec<u8>, Vec<u8>)>, String> {
        let part = |k: &[u8], what: &str| k.windows(what.len()).any(|w| w == what.as_bytes());
        let all = store.scan(b"study/").map_err(text)?;
        Ok(all.into_iter().filter(|(k, _)| part(k, "/checkpoint/") || part(k, "/merged/")).collect())
    }

    /// Notes which checkpoints are there; one that was there is there, as it was.
    pub(crate) fn watch(&mut self, store: &dyn Store) -> Result<(), String> {
        let found = Evidence::checkpoints_of(store)?;
        if found.len() == self.commits {
            return Ok(());
        }
        self.compare(found)
    }

    /// After a crash: nothing that was durable is gone or changed.
    pub(crate) fn kept(&mut self, store: &dyn Store) -> Result<(), String> {
        let found = Evidence::checkpoints_of(store)?;
        self.compare(found)
    }

    fn compare(&mut self, found: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), String> {
        self.commits = found.len();
        let found: BTreeMap<_, _> = found.into_iter().collect();
        for (key, value) in &self.durable {
            if found.get(key) != Some(value) {
                let what = if found.contains_key(key) { "changed" } else { "gone" };
                return Err(format!("the checkpoint {} is {what}", String::from_utf8_lossy(key)));
            }
        }
        self.durable = found;
        Ok(())
    }
}

/// All that is asked at the end.
pub(crate) fn verdict(world: &mut World, outcomes: &BTreeMap<StudyId, State>) -> Result<(), String> {
    for hospital in &world.hospitals {
        ledger(hospital, &world.plans, &world.evidence)?;
    }
    let journal = Journal::new(world.machine.clone());
    for plan in &world.plans {
        let state = outcomes.get(plan.id());
        let checkpoints = journal.checkpoints(plan.id()).map_err(text)?;
        let mut merged = Vec::new();
        for c in &checkpoints {
            let m = journal.merged(plan.id(), c).map_err(text)?.ok_or("a merged round can't be read")?;
            sum(plan, c, &m, &world.hospitals, &world.evidence)?;
            world.tally.checkpoints += 1;
            world.tally.partial_checkpoints += u64::from(c.releases.len() < world.hospitals.len());
            merged.push(m);
        }
        chain(plan, &checkpoints, &merged, state)?;
        let word = state.map_or("not in the journal", |s| s.state.as_str());
        match word {
            "done" => world.tally.done += 1,
            "failed" => world.tally.failed += 1,
            _ => world.tally.open += 1,
        }
        if world.must_end && word != "done" {
            let why = state.map(|s| s.detail.clone()).unwrap_or_default();
            return Err(format!("the study {} had enough sites and time, and is {word} ({why})", plan.id()));
        }
    }
    Ok(())
}

/// A site's ledger: one entry a round, at the plan's price, for the bytes that left; all rounds of a training that samples patients once and together, before
/// the first of them that is answered, and nothing after; every cap holds; nothing left unpaid.
fn ledger(hospital: &Hospital, plans: &[std::sync::Arc<Prepared>], evidence: &Evidence) -> Result<(), String> {
    let id = &hospital.id;
    let (releases, ledger) = hospital.open()?;
    let entries = ledger.entries().map_err(|e| format!("{id}: {e}"))?;
    let mut rounds = BTreeMap::new();
    let (mut studies, mut years, mut ever) = (BTreeMap::new(), BTreeMap::new(), Cost::default());
    let mut at_once: BTreeMap<(StudyId, u32), u32> = BTreeMap::new();
    for e in &entries {
        let plan = plans.iter().find(|p| *p.id() == e.round.study).ok_or("a charge for no study")?;
        let study: &mut Cost = studies.entry(e.round.study.clone()).or_default();
        *study = study.plus(&e.cost);
        let year: &mut Cost = years.entry(e.at_micros >= NEW_YEAR).or_default();
        *year = year.plus(&e.cost);
        ever = ever.plus(&e.cost);
        let of = (e.round.study.clone(), e.round.analysis);
        let planned = plan.planned.get(&e.round.analysis);
        if e.kind == Kind::Prepaid {
            let due = planned.map(|own| own.cost_from(e.round.round));
            if due.as_ref() != Some(&e.cost) || at_once.insert(of, e.round.round).is_some() || e.plan_hash != plan.hash
            {
                return Err(format!(
                    "{id} paid {} at once for {}, which is not what the plan says, once",
                    e.cost, e.round
                ));
            }
            continue;
        }
        if planned.is_some() && at_once.get(&of).is_none_or(|from| *from > e.round.round) {
            return Err(format!("{id} answered {} before it was paid for", e.round));
        }
        if planned.is_some() && !e.cost.is_zero() {
            return Err(format!("{id} paid {} for {}, which was paid for before", e.cost, e.round));
        }
        if rounds.insert(e.round.clone(), e.clone()).is_some() {
            return Err(format!("{id} paid twice for {}", e.round));
        }
        if e.cost.rho != plan.charged(e.round.analysis, e.round.round) || e.plan_hash != plan.hash {
            return Err(format!("{id} paid {} for {}, which is not the plan's price", e.cost, e.round));
        }
    }
    let caps = &hospital.caps;
    if studies.values().any(|s| !caps.study.holds(s))
        || years.values().any(|y| !caps.year.holds(y))
        || !caps.lifetime.holds(&ever)
    {
        return Err(format!("{id} spent {studies:?}, {years:?}, {ever}, over {caps:?}"));
    }
    for ((_, round), (manifest, payload)) in evidence.left.iter().filter(|((site, _), _)| site == id) {
        let entry =
            rounds.get(round).ok_or_else(|| format!("{id} answered {round}, and its ledger has no entry for it"))?;
        let release = Manifest::parse(manifest).and_then(|m| m.id()).map_err(text)?;
        if entry.payload_hash != Hash::of(payload) || entry.release != release {
            return Err(format!("{id} paid for other bytes than it sent for {round}"));
        }
    }
    releases.verify(&ledger).map_err(|e| format!("{id}: {e}"))?;
    Ok(())
}

/// A checkpoint is the sum of what exactly its sites sealed, each once; and every patient is in it once, or not at all.
fn sum(
    plan: &Prepared,
    c: &Checkpoint,
    merged: &MergedRound,
    hospitals: &[Hospital],
    evidence: &Evidence,
) -> Result<(), String> {
    let round = RoundId { study: plan.id().clone(), analysis: c.analysis, round: c.round };
    let wrong = |what: String| Err(format!("the checkpoint of {round}: {what}"));
    let lanes: Vec<i64> = merged.parts.iter().flat_map(|p| p.lanes.iter().copied()).collect();
    let mut expected = vec![0i64; lanes.len()];
    let mut variances = vec![0.0; merged.parts.len()];
    for (site, taken) in &c.releases {
        let Some((manifest, payload)) = evidence.left.get(&(site.clone(), round.clone())) else {
            return wrong(format!("{site} is in it and never sent anything"));
        };
        if taken.payload_hash != Hash::of(payload) {
            return wrong(format!("it names other bytes than {site} sent"));
        }
        let own = proto::payload::decode(payload, lanes.len() as u64).map_err(text)?;
        expected.iter_mut().zip(own).for_each(|(sum, lane)| *sum += lane);
        let manifest = Manifest::parse(manifest).map_err(text)?;
        if taken.release != manifest.id().map_err(text)? {
            return wrong(format!("it names another release than {site}'s"));
        }
        for (v, p) in variances.iter_mut().zip(&manifest.parts) {
            *v += (p.sigma_nano.parse::<f64>().unwrap_or(f64::NAN) / 1e9).powi(2);
        }
    }
    if lanes != expected {
        return wrong("its lanes are not the sum of its sites' payloads".to_owned());
    }
    if merged.parts.iter().zip(&variances).any(|(p, v)| (p.noise_variance / v - 1.0).abs() > 1e-9) {
        return wrong(format!("its noise variances are not the sum {variances:?}"));
    }
    if c.merged_hash != Hash::of(&proto::payload::encode([lanes.as_slice()])) {
        return wrong("its hash is not that of its lanes".to_owned());
    }
    if c.releases.len() < plan.plan.study.rounds.min_sites as usize || merged.sites != c.releases.len() {
        return wrong(format!("it has {} sites", c.releases.len()));
    }
    if evidence.asked.get(&round) != Some(&c.parameters.iter().map(|p| p.to_bits()).collect()) {
        return wrong("its parameters are not those that were asked".to_owned());
    }
    if c.analysis == 0 {
        let unit = merged.parts.first().map_or(1.0, |p| p.unit);
        for (lane, noisy) in lanes.iter().enumerate() {
            // The noise is far below half a patient.
            let value = &((*noisy as f64 / unit).round() as i64);
            let hospital = hospitals.get(lane / PATIENTS);
            let due = i64::from(hospital.is_some_and(|h| c.releases.contains_key(&h.id)));
            if *value != due {
                return wrong(format!("the patient of lane {lane} is in it {value} times, and should be {due} times"));
            }
        }
    }
    Ok(())
}

/// The checkpoints follow one from the other: the program, run again over them, asks what was asked, and ends where it ended.
pub(crate) fn chain(
    plan: &Prepared,
    checkpoints: &[Checkpoint],
    merged: &[MergedRound],
    state: Option<&State>,
) -> Result<(), String> {
    let study = &plan.plan.study;
    let (mut analysis, mut round) = (0u32, 0u32);
    let mut program = study::compile::program(study, 0).map_err(text)?;
    let mut parameters = program.first();
    let mut ended = false;
    for (c, m) in checkpoints.iter().zip(merged) {
        let same = c.parameters.iter().map(|p| p.to_bits()).eq(parameters.iter().map(|p| p.to_bits()));
        if ended || (c.analysis, c.round) != (analysis, round) || !same {
            return Err(format!("the checkpoint {}/{} of {} does not follow", c.analysis, c.round, study.id));
        }
        match program.next(round, &parameters, m).map_err(text)? {
            Step::Continue { round: r, parameters: p } => (round, parameters) = (r, p),
            Step::Done(_) => {
                (analysis, round) = (analysis + 1, 0);
                ended = analysis as usize == study.analysis.len();
                if !ended {
                    program = study::compile::program(study, analysis as usize).map_err(text)?;
                    parameters = program.first();
                }
            }
        }
    }
    let Some(state) = state else { return Ok(()) };
    if (state.state == "done") != ended {
        return Err(format!("the study {} is {} after {} checkpoints", study.id, state.state, checkpoints.len()));
    }
    if state.rounds_done as usize != checkpoints.len() {
        return Err(format!("{} counts {} rounds and has {}", study.id, state.rounds_done, checkpoints.len()));
    }
    Ok(())
}
