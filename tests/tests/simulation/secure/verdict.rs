//! What is asked at the end of a schedule, of the disks and of all that was seen.

use std::collections::{BTreeMap, BTreeSet};

use certs::entry::Kind;
use coordinator::journal::{Checkpoint, Journal};
use privacy::Rho;
use proto::{Hash, Manifest, RoundId};
use summaries::MergedRound;

use super::site::Site;
use super::world::World;
use crate::study::PATIENTS;

fn text(e: impl std::fmt::Display) -> String {
    e.to_string()
}

pub(super) fn verdict(world: &mut World) -> Result<(), String> {
    let mut reruns = 0;
    for site in &world.sites {
        reruns = ledger(site, world)?.max(reruns);
    }
    let journal = Journal::new(world.disk.clone());
    let study = world.plan.id().clone();
    let state = journal.state(&study).map_err(text)?;
    let checkpoints = journal.checkpoints(&study).map_err(text)?;
    let mut merged = Vec::new();
    for c in &checkpoints {
        let m = journal.merged(&study, c).map_err(text)?.ok_or("a merged round can't be read")?;
        sum(world, c, &m)?;
        world.tally.checkpoints += 1;
        world.tally.partial += u64::from(c.releases.len() < world.sites.len());
        merged.push(m);
    }
    crate::oracles::chain(&world.plan, &checkpoints, &merged, state.as_ref())?;
    let word = state.as_ref().map_or("not in the journal", |s| s.state.as_str());
    match word {
        "done" => world.tally.done += 1,
        "failed" => world.tally.failed += 1,
        _ => world.tally.open += 1,
    }
    let burned = state.as_ref().map_or(0, |s| s.past.burned);
    world.tally.burned += u64::from(burned);
    world.tally.understated += u64::from(word == "done" && reruns > burned);
    if world.must_end && word != "done" {
        let why = state.as_ref().map_or("", |s| s.detail.as_str());
        return Err(format!("the study had enough sites and time, and is {word} ({why}); {:?}", world.refusals));
    }
    if world.must_close && !state.as_ref().is_some_and(|s| s.over()) {
        return Err(format!("the study had enough sites and time, and is {word} for ever; {:?}", world.refusals));
    }
    Ok(())
}

/// A site's ledger: one entry an attempt, at the plan's price, within the reruns; every cap holds; nothing left unpaid.
/// Returns how many attempts beyond each round's first it paid for.
fn ledger(site: &Site, world: &World) -> Result<u32, String> {
    let (id, plan) = (&site.id, &world.plan);
    let process = site.open()?;
    let entries = process.ledger.entries().map_err(|e| format!("{id}: {e}"))?;
    let mut attempts = BTreeMap::new();
    let mut rounds: BTreeMap<RoundId, u32> = BTreeMap::new();
    let mut spent = Rho::ZERO;
    for e in &entries {
        if attempts.insert((e.round.clone(), e.attempt), e.clone()).is_some() {
            return Err(format!("{id} paid twice for {} attempt {}", e.round, e.attempt));
        }
        *rounds.entry(e.round.clone()).or_default() += 1;
        if e.cost.rho != plan.rho(e.round.analysis, e.round.round)
            || e.plan_hash != plan.hash
            || e.kind != Kind::SecureRelease
        {
            return Err(format!("{id} paid {} for {}, which is not the plan's price", e.cost, e.round));
        }
        spent = spent.plus(e.cost.rho);
    }
    let reruns: u32 = rounds.values().map(|n| n - 1).sum();
    if reruns > plan.plan.study.privacy.reruns {
        return Err(format!("{id} paid for {reruns} reruns, and the plan allows {}", plan.plan.study.privacy.reruns));
    }
    if spent > site.caps.study.rho || spent > site.caps.lifetime.rho {
        return Err(format!("{id} spent {spent}, over {:?}", site.caps));
    }
    for ((_, round, attempt), (manifest, payload)) in world.evidence.masked_by(id) {
        let entry = attempts.get(&(round.clone(), *attempt)).ok_or_else(|| {
            format!("{id} sent a masked input for {round} attempt {attempt}, and its ledger has no entry for it")
        })?;
        let release = Manifest::parse(manifest).and_then(|m| m.id()).map_err(text)?;
        if entry.payload_hash != Hash::of(payload) || entry.release != release {
            return Err(format!("{id} paid for other bytes than it sent for {round} attempt {attempt}"));
        }
    }
    process.releases.verify(&process.ledger).map_err(|e| format!("{id}: {e}"))?;
    Ok(reruns)
}

/// A checkpoint is, to the last unit, the sum over its survivors of their patients and the noise that they drew; of one attempt,
/// with no fewer survivors than its threshold; every patient of a survivor is in it once.
fn sum(world: &World, c: &Checkpoint, merged: &MergedRound) -> Result<(), String> {
    let round = RoundId { study: world.plan.id().clone(), analysis: c.analysis, round: c.round };
    let wrong = |what: String| Err(format!("the checkpoint of {round}: {what}"));
    let lanes: Vec<i64> = merged.parts.iter().flat_map(|p| p.lanes.iter().copied()).collect();
    let mut expected = vec![0i64; lanes.len()];
    let mut variances = vec![0.0; merged.parts.len()];
    let mut agreed = BTreeSet::new();
    for (site, taken) in &c.releases {
        let Some((manifest, payload)) = world.evidence.masked(&(site.clone(), round.clone(), c.attempt)) else {
            return wrong(format!("{site} is in it and never sent a masked input"));
        };
        let manifest = Manifest::parse(manifest).map_err(text)?;
        if taken.payload_hash != Hash::of(payload) || taken.release != manifest.id().map_err(text)? {
            return wrong(format!("it names other bytes than {site} sent"));
        }
        let own = world.evidence.drawn.get(&taken.payload_hash).ok_or("a mask over nothing")?;
        expected.iter_mut().zip(own).for_each(|(sum, lane)| *sum += lane);
        let secure = manifest.secure.ok_or("a masked input that is not secure")?;
        agreed.insert((secure.instance.0, secure.threshold));
        for (v, p) in variances.iter_mut().zip(&manifest.parts) {
            *v += (p.sigma_nano.parse::<f64>().unwrap_or(f64::NAN) / 1e9).powi(2);
        }
    }
    let [(_, threshold)] = agreed.iter().copied().collect::<Vec<_>>()[..] else {
        return wrong("its survivors are not of one aggregation".to_owned());
    };
    if c.releases.len() < threshold as usize || merged.sites != c.releases.len() {
        return wrong(format!("it has {} survivors, and its threshold is {threshold}", c.releases.len()));
    }
    if lanes != expected {
        return wrong("its lanes are not the sum of its survivors' patients and noise".to_owned());
    }
    if merged.parts.iter().zip(&variances).any(|(p, v)| (p.noise_variance / v - 1.0).abs() > 1e-9) {
        return wrong(format!("its noise variances are not the sum {variances:?}"));
    }
    if c.merged_hash != Hash::of(&proto::payload::encode([lanes.as_slice()])) {
        return wrong("its hash is not that of its lanes".to_owned());
    }
    if world.evidence.asked.get(&round) != Some(&c.parameters.iter().map(|p| p.to_bits()).collect()) {
        return wrong("its parameters are not those that were asked".to_owned());
    }
    if c.analysis == 0 {
        let unit = merged.parts.first().map_or(1.0, |p| p.unit);
        for (lane, noisy) in lanes.iter().enumerate() {
            let value = (*noisy as f64 / unit).round() as i64;
            let due = world.sites.get(lane / PATIENTS).is_some_and(|s| c.releases.contains_key(&s.id));
            if value != i64::from(due) {
                return wrong(format!(
                    "the patient of lane {lane} is in it {value} times, and it is {due} that they should be"
                ));
            }
        }
    }
    Ok(())
}
