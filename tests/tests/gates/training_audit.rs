//! Gate 10: the canary audit of a training in one run, over all patients and over samples. Canaries are put in or left out by fair coins, a model is trained
//! once through the plan's own rounds, charges, samples and noise, and an auditor who knows the parameters of each round and each canary's row guesses
//! from the released sums who was in (Steinke, Nasr, Jagielski 2023; see `privacy::audit` for the bound).
//!
//! Canaries are as telling as they can be: each has levels that nobody else has in eight features, so that eight ninths of its squared gradient are in lanes of
//! its own; gradients are as long as the clip; and the rate is next to nothing, so that they stay so. One run shows noise that is a tenth of what is due, and
//! not half: the bound must hold for mechanisms that tell much of all canaries at once, if rarely. Half is found by the same trainings over and over, with one
//! patient and without, against the δ that was claimed at each ε.

use platform::{Entropy as _, OsEntropy};
use privacy::audit::Guesses;
use privacy::mechanism::grid;
use privacy::{Delta, ReleasedPart};
use study::Plan;
use summaries::{Input, Lanes, PartWork};

use crate::sensitivity::{Value, batch};
use crate::whole::{self, plan};

/// How often the gate is wrong about a right mechanism, an audit.
const ALARM: f64 = 1e-6;
/// Features of each canary.
const FEATURES: usize = 8;
/// The δ at which ε is read in one run: far below [`ALARM`] over the canaries.
const DELTA: Delta = Delta(1e-10);
/// ε at which two worlds are compared.
const EPSILONS: [f64; 4] = [0.0, 0.3, 0.7, 1.2];

fn canaries() -> usize {
    insitu_tests::sized(600, 1_500)
}

/// A training with these settings of its strategy. Everybody of so many patients may have a level of the own.
fn world(epsilon: f64, strategy: &str, patients: usize) -> Plan {
    let levels: Vec<String> = (0..=patients).map(|i| format!("{i}.0")).collect();
    let feature = |i: usize| {
        format!(
            "[features.f{i}]\nkind = \"measurement\"\ncode = \"own:f{i}\"\nunit = \"1\"\nlevels = [{}]\n",
            levels.join(", ")
        )
    };
    let features: String = (0..FEATURES).map(feature).collect();
    let names: Vec<String> = (0..FEATURES).map(|i| format!("\"f{i}\"")).collect();
    let text = format!(
        "{features}[features.outcome]\nkind = \"has\"\ntable = \"condition\"\n\
         [[analysis]]\nkind = \"train\"\noutcome = \"outcome\"\nfeatures = [{}]\n[analysis.model]\nfamily = \"logistic\"\n\
         [analysis.strategy]\nlearning_rate = 1e-6\nclip = 1\npatients = {}\n{strategy}\n",
        names.join(", "),
        patients
    );
    plan(&format!("epsilon = {epsilon}"), &text)
}

/// The likelihood of the release with a canary over that without, as a logarithm, up to what others add to its lanes: `seen` is ⟨release, move⟩/σ² and
/// `squared` ‖move‖²/σ².
fn likelihood(rate: f64, seen: f64, squared: f64) -> f64 {
    (rate * (seen - squared / 2.0).exp_m1()).ln_1p()
}

/// What each step's lanes say of canaries: for each its log-likelihood ratio, by what it adds to lanes that nobody else moves.
struct Auditor {
    inputs: Vec<Input>,
    rate: f64,
    canaries: Vec<Vec<Value>>,
    moves: Vec<Vec<(usize, f64)>>,
    scores: Vec<f64>,
}

impl Auditor {
    fn of(plan: &Plan, canaries: usize) -> Result<Auditor, String> {
        let mut inputs = vec![Input::Level(canaries as u32 + 1); FEATURES];
        inputs.push(Input::Level(2));
        let row = |i: usize| {
            let mut row: Vec<Value> = (0..FEATURES).map(|_| Value::Level(i as u32 + 1)).collect();
            row.push(Value::Level(1));
            row
        };
        let rate = study::budget::sampled(&plan.study)?.analyses()[&0].rate();
        let canaries = (0..canaries).map(row).collect::<Vec<_>>();
        Ok(Auditor { inputs, rate, scores: vec![0.0; canaries.len()], canaries, moves: Vec::new() })
    }

    fn see(&mut self, work: &[PartWork], released: &[ReleasedPart]) -> Result<(), String> {
        let ([work], [part]) = (work, released) else { return Err("a step has one part".to_owned()) };
        if self.moves.is_empty() {
            // The parameters stay where they are, and so does what each canary adds. The bias, the loss and the number cut are moved by all.
            for row in &self.canaries {
                let mut lanes = Lanes::zeros(work.statistic.layout().lanes);
                let one = batch(&self.inputs, std::slice::from_ref(row));
                work.statistic.accumulate(&one, &mut lanes).map_err(|e| e.to_string())?;
                let shared = [0, lanes.len() - 2, lanes.len() - 1];
                let own = lanes.values().iter().enumerate().filter(|(lane, v)| !shared.contains(lane) && **v != 0);
                self.moves.push(own.map(|(lane, v)| (lane, *v as f64)).collect());
            }
        }
        // It knows of a planted fault: it reckons with the noise that there is.
        let (unit, sigma) = (grid(part.scale.grid_bits), part.scale.sigma());
        for (score, own) in self.scores.iter_mut().zip(&self.moves) {
            let seen: f64 = own.iter().map(|(lane, v)| part.lanes[*lane] as f64 / unit * v).sum();
            let squared: f64 = own.iter().map(|(_, v)| v * v).sum();
            *score += likelihood(self.rate, seen / (sigma * sigma), squared / (sigma * sigma));
        }
        Ok(())
    }
}

/// The claim of a plan's only training, as ε at a δ.
fn claimed(plan: &Plan, delta: Delta) -> Result<f64, String> {
    let sampling = study::budget::sampled(&plan.study)?;
    let [own] = sampling.analyses()[&0].plan().of_patients().try_into().map_err(|_| "one population")?;
    own.epsilon(delta).map(|e| e.0).map_err(|e| e.to_string())
}

/// One audit in one run: a quarter of the canaries is guessed to be in, a quarter out. The ε that it proves and the ε that is claimed; refuses where the first
/// is the larger. False alarms: [`ALARM`].
fn audit(plan: &Plan, divided: f64) -> Result<(f64, f64), String> {
    let mut auditor = Auditor::of(plan, canaries())?;
    let mut bytes = vec![0u8; canaries()];
    OsEntropy.fill(&mut bytes).map_err(|e| e.to_string())?;
    let coins: Vec<bool> = bytes.iter().map(|b| b & 1 == 1).collect();
    let heads = auditor.canaries.iter().zip(&coins).filter(|(_, c)| **c).map(|(r, _)| r.clone());
    let present = batch(&auditor.inputs, &heads.collect::<Vec<_>>());
    whole::run(plan, &present, divided, |work, released| auditor.see(work, released))?;
    let mut order: Vec<usize> = (0..canaries()).collect();
    order.sort_by(|a, b| auditor.scores[*a].total_cmp(&auditor.scores[*b]));
    let quarter = canaries() / 4;
    let out = order[..quarter].iter().filter(|i| !coins[**i]).count();
    let within = order[order.len() - quarter..].iter().filter(|i| coins[**i]).count();
    let guesses = Guesses::new(canaries(), 2 * quarter, out + within).ok_or("more guesses than canaries")?;
    let (found, claimed) = (guesses.least_epsilon(DELTA, ALARM).0, claimed(plan, DELTA)?);
    println!("{} right of {}: ε ≥ {found:.3}, claimed {claimed:.3}", out + within, 2 * quarter);
    if found <= claimed {
        Ok((found, claimed))
    } else {
        Err(format!("the audit shows ε ≥ {found:.3}, and {claimed:.3} was claimed"))
    }
}

/// The same training over and over, with one patient and without: refuses where the worlds are further apart than the claimed δ at any of some ε, by the
/// likelihood's own regions. False alarms: 1e-6 each.
fn worlds(plan: &Plan, divided: f64) -> Result<(), String> {
    let runs = insitu_tests::sized(2_000, 20_000);
    let sampling = study::budget::sampled(&plan.study)?;
    let [own] = sampling.analyses()[&0].plan().of_patients().try_into().map_err(|_| "one population")?;
    let deltas = own.deltas(&EPSILONS).map_err(|e| e.to_string())?;
    let world = |present: usize| -> Result<Vec<f64>, String> {
        let once = |_| {
            let mut auditor = Auditor::of(plan, 1)?;
            let patients = batch(&auditor.inputs, &auditor.canaries[..present]);
            whole::run(plan, &patients, divided, |work, released| auditor.see(work, released))?;
            Ok(auditor.scores[0])
        };
        (0..runs).map(once).collect()
    };
    let (without, with) = (world(0)?, world(1)?);
    let n = runs as f64;
    for (epsilon, delta) in EPSILONS.iter().zip(deltas) {
        let share = |of: &[f64], f: &dyn Fn(f64) -> bool| of.iter().filter(|s| f(**s)).count() as f64 / n;
        let (removed, added) = (|s: f64| s > *epsilon, |s: f64| s < -epsilon);
        for (name, p, q) in [
            ("removed", share(&with, &removed), share(&without, &removed)),
            ("added", share(&without, &added), share(&with, &added)),
        ] {
            let error = ((p * (1.0 - p) + (2.0 * epsilon).exp() * q * (1.0 - q)) / n).sqrt();
            let found = p - epsilon.exp() * q;
            if found > delta + 4.9 * error.max(1.0 / n) {
                return Err(format!("{name}, ε {epsilon}: δ is {found:.4} at least, and {delta:.4} was claimed"));
            }
        }
    }
    Ok(())
}

const OVER_ALL: &str = "rounds = 4\nsampling = 1";
const OVER_SAMPLES: &str = "rounds = 6\nsampling = 0.5";

#[test]
fn a_training_tells_no_more_of_canaries_than_is_claimed() {
    for strategy in [OVER_ALL, OVER_SAMPLES] {
        let (found, claimed) = audit(&world(1.0, strategy, canaries()), 1.0).unwrap();
        assert!(found <= claimed);
    }
}

/// Planted: the noise of every step is a twelfth (in the long suite an eighth) of what is due. In one run the bound finds no less than that.
#[test]
fn a_training_with_too_little_noise_is_found_in_one_run() {
    for strategy in [OVER_ALL, OVER_SAMPLES] {
        let said = audit(&world(1.0, strategy, canaries()), insitu_tests::sized(12.0, 8.0)).unwrap_err();
        assert!(said.contains("was claimed"), "{said}");
    }
}

#[test]
fn many_trainings_tell_no_more_of_one_patient_than_is_claimed() {
    for strategy in [OVER_ALL, OVER_SAMPLES] {
        worlds(&world(2.0, strategy, 1), 1.0).unwrap();
    }
}

/// Planted: the noise of every step is half of what is due.
#[test]
fn half_the_noise_is_found_in_many_trainings() {
    for strategy in [OVER_ALL, OVER_SAMPLES] {
        let said = worlds(&world(2.0, strategy, 1), 2.0).unwrap_err();
        assert!(said.contains("was claimed"), "{said}");
    }
}
