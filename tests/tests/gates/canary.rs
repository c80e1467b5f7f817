//! Gate 6: the canary audit in one run (Steinke, Nasr, Jagielski 2023, "Privacy auditing with one (1) training run"). Patients are put
//! in or left out by fair coins, a program runs once with its real rounds, charges and noise, and an auditor who knows all other
//! rows, the parameters and each canary's row guesses from the releases who was in. What the guesses prove must not exceed the ε
//! that was charged. See `privacy::audit` for the bound.
//!
//! Its power: codes, where canaries are orthogonal, show noise that is 10 times too small in the short suite and 4 times in the long
//! one. The model's canaries share the intercept and have residuals of a half, so 30 and 15 times. It finds gross faults of
//! the whole path, not small ones of the noise; those are the other gates'.

use std::collections::BTreeMap;

use platform::{Entropy as _, OsEntropy};
use privacy::accounting::epsilon;
use privacy::audit::Guesses;
use privacy::mechanism::grid;
use privacy::{Delta, ReleasedPart, Rho};
use study::Plan;
use summaries::{Input, Lanes, PartWork};

use crate::sensitivity::{Value, batch};
use crate::whole::{self, plan};

/// How often the gate is wrong about a right mechanism, an audit.
const ALARM: f64 = 1e-6;
/// The δ at which ε is read. Each canary weighs on the bound with 2δ, so it is far below [`ALARM`] over the canaries.
const DELTA: Delta = Delta(1e-10);

type Row = Vec<Value>;

/// A study, the patients whom the auditor knows, and those of whom it guesses.
struct World {
    plan: Plan,
    inputs: Vec<Input>,
    known: Vec<Row>,
    canaries: Vec<Row>,
}

/// Codes: every canary has one that nobody else has.
fn codes(canaries: u32) -> World {
    let list: Vec<String> = (0..canaries).map(|i| format!("\"own:c-{i}\"")).collect();
    let text = format!(
        "[features.mark]\nkind = \"codes\"\ntable = \"condition\"\nlist = [{}]\nper_patient = 1\n\
         [[analysis]]\nkind = \"codes\"\nof = \"mark\"\n",
        list.join(", ")
    );
    let canaries = (0..canaries).map(|i| vec![Value::Codes(vec![i])]).collect::<Vec<_>>();
    World {
        plan: plan("epsilon = 1.0", &text),
        inputs: vec![Input::Codes(canaries.len() as u32)],
        known: Vec::new(),
        canaries,
    }
}

/// A logistic model over rounds: every canary has a level that it shares with four patients whom the auditor knows, two of them
/// with the outcome. So coefficients stay near 0, where the curvature tells most.
fn model(canaries: u32) -> World {
    // The first level is the reference and has no column; nobody has it.
    let levels = canaries + 1;
    let list: Vec<String> = (0..levels).map(|i| format!("{i}.0")).collect();
    let text = format!(
        "[features.level]\nkind = \"measurement\"\ncode = \"own:level\"\nunit = \"1\"\nlevels = [{}]\n\
         [features.outcome]\nkind = \"has\"\ntable = \"condition\"\n\
         [[analysis]]\nkind = \"logistic\"\noutcome = \"outcome\"\nfeatures = [\"level\"]\nsteps = 3\n",
        list.join(", ")
    );
    let patient = |level: u32, outcome: u32| vec![Value::Level(level), Value::Level(outcome)];
    World {
        plan: plan("epsilon = 1.0", &text),
        inputs: vec![Input::Level(levels), Input::Level(2)],
        known: (1..levels).flat_map(|l| (0..4).map(move |i| patient(l, i % 2))).collect(),
        canaries: (1..levels).map(|l| patient(l, 1)).collect(),
    }
}

/// What some patients add to each part of a round.
fn sums(world: &World, work: &[PartWork], patients: &[Row]) -> Result<Vec<Vec<i64>>, String> {
    let batch = batch(&world.inputs, patients);
    let one = |w: &PartWork| {
        let mut lanes = Lanes::zeros(w.statistic.layout().lanes);
        let own = batch.select(&w.columns).ok_or("the columns do not fit")?;
        w.statistic.accumulate(&own, &mut lanes).map_err(|e| e.to_string())?;
        Ok(lanes.into_values())
    };
    work.iter().map(one).collect()
}

/// What a canary adds to a lane: its part, the lane, how much.
type Move = (usize, usize, i64);

/// What each canary adds to the parts of a round.
fn moves(world: &World, work: &[PartWork]) -> Result<Vec<Vec<Move>>, String> {
    let one = |canary: &Row| {
        let parts = sums(world, work, std::slice::from_ref(canary))?.into_iter().enumerate();
        let lanes = |(part, lanes): (usize, Vec<i64>)| {
            lanes.into_iter().enumerate().filter(|(_, v)| *v != 0).map(move |(lane, v)| (part, lane, v))
        };
        Ok(parts.flat_map(lanes).collect())
    };
    world.canaries.iter().map(one).collect()
}

/// Adds to each canary's score what its own lanes say of it: ⟨release less the known rows, its row⟩/σ². A lane that other canaries
/// move as well says more of their coins than of its own, and is left out.
fn add_scores(scores: &mut [f64], moves: &[Vec<Move>], seen: &[Vec<f64>]) {
    let mut movers: BTreeMap<(usize, usize), u32> = BTreeMap::new();
    moves.iter().flatten().for_each(|(part, lane, _)| *movers.entry((*part, *lane)).or_default() += 1);
    for (score, own) in scores.iter_mut().zip(moves) {
        let alone = own.iter().filter(|(part, lane, _)| movers.get(&(*part, *lane)) == Some(&1));
        *score += alone.map(|(part, lane, v)| *v as f64 * seen[*part][*lane]).sum::<f64>();
    }
}

/// Runs the study once over these patients, and returns each canary's score, the likelihood ratio of its presence up to what all
/// canaries share, and the ρ that was charged.
fn scored(world: &World, patients: &[Row], divided: f64) -> Result<(Vec<f64>, Rho), String> {
    let mut scores = vec![0.0; world.canaries.len()];
    let (_, rho) = whole::run(&world.plan, &batch(&world.inputs, patients), divided, |work, released| {
        // Known rows taken off, in units of the noise.
        let known = sums(world, work, &world.known)?;
        let less = |(part, known): (&ReleasedPart, &Vec<i64>)| -> Vec<f64> {
            let (unit, sigma) = (grid(part.scale.grid_bits), part.scale.sigma());
            part.lanes.iter().zip(known).map(|(l, k)| (*l as f64 / unit - *k as f64) / (sigma * sigma)).collect()
        };
        let seen: Vec<Vec<f64>> = released.iter().zip(&known).map(less).collect();
        add_scores(&mut scores, &moves(world, work)?, &seen);
        Ok(())
    })?;
    Ok((scores, rho))
}

/// One audit with so many guesses: the half of them with the highest scores are guessed in, the half with the lowest out. Returns the
/// bound and the ε that was charged, or refuses where the bound is the larger. False alarms: [`ALARM`].
fn audit(world: &World, guesses: usize, divided: f64) -> Result<(f64, f64), String> {
    let mut bytes = vec![0u8; world.canaries.len()];
    OsEntropy.fill(&mut bytes).map_err(|e| e.to_string())?;
    let coins: Vec<bool> = bytes.iter().map(|b| b & 1 == 1).collect();
    let heads = world.canaries.iter().zip(&coins).filter(|(_, c)| **c).map(|(r, _)| r);
    let patients: Vec<Row> = world.known.iter().chain(heads).cloned().collect();
    let (scores, rho) = scored(world, &patients, divided)?;
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    let half = guesses / 2;
    let out = order[..half].iter().filter(|i| !coins[**i]).count();
    let within = order[order.len() - half..].iter().filter(|i| coins[**i]).count();
    let made = Guesses::new(scores.len(), 2 * half, out + within).ok_or("more guesses than canaries")?;
    let (found, charged) = (made.least_epsilon(DELTA, ALARM).0, epsilon(rho, DELTA).0);
    println!("{} right of {} guesses: ε ≥ {found:.3}, charged {charged:.3}", out + within, 2 * half);
    if found <= charged {
        Ok((found, charged))
    } else {
        Err(format!("the audit shows ε ≥ {found:.3}, and {charged:.3} was charged"))
    }
}

#[test]
fn codes_tell_no_more_of_canaries_than_was_charged() {
    audit(&codes(insitu_tests::sized(2_000, 20_000)), insitu_tests::sized(1_000, 800), 1.0).unwrap();
}

#[test]
fn a_model_over_its_rounds_tells_no_more_of_canaries_than_was_charged() {
    audit(&model(insitu_tests::sized(240, 800)), insitu_tests::sized(160, 400), 1.0).unwrap();
}

/// Planted: the noise is a tenth (in the long suite a quarter) of what is due.
#[test]
fn codes_with_too_little_noise_are_found() {
    let (canaries, guesses, divided) = insitu_tests::sized((2_000, 1_000, 10.0), (20_000, 800, 4.0));
    let said = audit(&codes(canaries), guesses, divided).unwrap_err();
    assert!(said.contains("was charged"), "{said}");
}

/// Planted: the noise of every round is a thirtieth (in the long suite a fifteenth) of what is due.
#[test]
fn a_model_with_too_little_noise_is_found() {
    let (canaries, guesses, divided) = insitu_tests::sized((240, 160, 30.0), (800, 400, 15.0));
    let said = audit(&model(canaries), guesses, divided).unwrap_err();
    assert!(said.contains("was charged"), "{said}");
}
