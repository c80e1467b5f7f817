//! Fed-Heart-Disease with privacy: the published federated models at ε = 0.1, 1 and 5 (patients, δ = 1e-4) tell .606, .685 and .704 of the
//! test patients rightly, as a mean of four hospitals (FLamby, DP-SGD in FedAvg; its sds over five seeds are .121, .055 and .049). Here the
//! plan, the programs and the mechanism are the real ones; the four hospitals' sums have the noise of a secure round, each share sized for
//! three of four, or their own. The setting is one for all ε, and nothing of it is told by a patient: features are scaled by clinical
//! bounds, and the number of training patients is as public as the split.

use privacy::mechanism::{grid, scale_of};
use privacy::{DiscreteGaussian, Mechanism, MechanismName};
use study::Plan;
use summaries::{Column, Estimate, Lanes, MergedRelease, MergedRound, PatientBatch, Step};

use insitu_tests::heart::{BOUNDS, FEATURES, Patient, judged, patients};
use insitu_tests::{shared_data, sized};

/// Sites whose noise a share is sized for, in a secure round and alone.
const SECURE: usize = 3;
const LOCAL: usize = 1;

fn plan(epsilon: f64) -> Plan {
    let feature = |name: &str, shape: &str| {
        format!("[features.{name}]\nkind = \"measurement\"\ncode = \"own:{name}\"\nunit = \"1\"\n{shape}\n")
    };
    let features: String = FEATURES
        .iter()
        .zip(BOUNDS)
        .map(|(f, [low, high])| feature(f, &format!("bounds = [{low:?}, {high:?}]")))
        .collect();
    let text = format!(
        "id = \"heart\"\nversion = \"1\"\nschema = \">=1.1,<2\"\npurpose = \"research\"\nexpires = \"2099-12-31\"\n\
         [code_systems]\nown = \"urn:insitu:gates\"\n[cohorts.target]\nentry = {{ table = \"patient\" }}\n\
         [privacy]\nepsilon = {epsilon:?}\ndelta = 1e-4\n{features}{}[[analysis]]\nkind = \"train\"\noutcome = \"ill\"\n\
         features = {FEATURES:?}\n[analysis.model]\nfamily = \"logistic\"\n\
         [analysis.strategy]\nrounds = 5\nlearning_rate = 10\nclip = 0.3\npatients = 486\n",
        feature("ill", "levels = [0, 1]"),
    );
    Plan::new("gates", study::read::checked(&text).unwrap()).unwrap()
}

/// The training patients of a hospital.
fn batch(all: &[Patient], hospital: usize) -> PatientBatch {
    let own: Vec<&Patient> = all.iter().filter(|p| p.training && p.hospital == hospital).collect();
    let mut columns: Vec<Column> =
        (0..FEATURES.len()).map(|j| Column::Real(own.iter().map(|p| p.x[j]).collect())).collect();
    columns.push(Column::Level(own.iter().map(|p| u32::from(p.ill)).collect()));
    PatientBatch::new(own.len(), columns).unwrap()
}

/// One training over the four hospitals, with noise that is divided by so much: 1 is what is due.
fn train(plan: &Plan, sites: &[PatientBatch], parties: usize, divided: f64) -> Estimate {
    let allocation = study::budget::allocate(plan).unwrap();
    let mut program = study::compile::program(&plan.study, 0).unwrap();
    let (mut round, mut parameters) = (0u32, program.first());
    loop {
        let rho = allocation[0][round as usize];
        let mut parts: Vec<MergedRelease> = Vec::new();
        for site in sites {
            for (place, work) in program.work(round, &parameters).unwrap().into_iter().enumerate() {
                let mut lanes = Lanes::zeros(work.statistic.layout().lanes);
                work.statistic.accumulate(&site.select(&work.columns).unwrap(), &mut lanes).unwrap();
                let mut lanes = lanes.into_values();
                let mut sensitivity = work.statistic.sensitivity();
                sensitivity.l2 /= divided;
                let scale = scale_of(MechanismName::DiscreteGaussian, &sensitivity, rho, parties, lanes.len()).unwrap();
                lanes.iter_mut().for_each(|v| *v <<= scale.grid_bits);
                DiscreteGaussian.noise(&mut lanes, &scale, &sensitivity, parties, rho).unwrap();
                let noise_variance = (scale.sigma_nano as f64 / 1e9).powi(2);
                let own = MergedRelease { lanes, noise_variance, unit: grid(scale.grid_bits), sites: 1, shared: 1 };
                match parts.get_mut(place) {
                    None => parts.push(own),
                    Some(sum) => {
                        sum.lanes.iter_mut().zip(own.lanes).for_each(|(a, b)| *a += b);
                        sum.noise_variance += own.noise_variance;
                        sum.sites += 1;
                    }
                }
            }
        }
        match program.next(round, &parameters, &MergedRound { parts, sites: sites.len() }).unwrap() {
            Step::Continue { round: r, parameters: p } => (round, parameters) = (r, p),
            Step::Done(estimate) => return estimate,
        }
    }
}

/// Test patients as the model sees them: no value beyond its bounds.
fn within_bounds(all: Vec<Patient>) -> Vec<Patient> {
    let clamp = |mut p: Patient| {
        p.x.iter_mut().zip(BOUNDS).for_each(|(x, [low, high])| *x = x.clamp(low, high));
        p
    };
    all.into_iter().map(clamp).collect()
}

/// The mean of the four hospitals' accuracies of each of so many trainings.
fn accuracies(all: &[Patient], epsilon: f64, parties: usize, runs: usize, divided: f64) -> Vec<f64> {
    let plan = plan(epsilon);
    let sites: Vec<PatientBatch> = (0..4).map(|h| batch(all, h)).collect();
    let one = |_| {
        let e = train(&plan, &sites, parties, divided);
        let beta: Vec<f64> =
            e.rows.iter().filter(|r| r.statistic == "coefficient").filter_map(|r| r.estimate).collect();
        assert_eq!(beta.len(), 14);
        (0..4).map(|h| judged(&beta, all, Some(h)).0).sum::<f64>() / 4.0
    };
    (0..runs).map(one).collect()
}

/// The mean of so many trainings, and their spread.
fn summary(told: &[f64]) -> (f64, f64) {
    let n = told.len() as f64;
    let mean = told.iter().sum::<f64>() / n;
    (mean, (told.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt())
}

const PUBLISHED: [(f64, f64); 3] = [(0.1, 0.606), (1.0, 0.685), (5.0, 0.704)];

/// What is wrong with trainings under noise that is divided by so much.
fn gate(all: &[Patient], runs: usize, divided: f64) -> Result<(), String> {
    for (epsilon, published) in PUBLISHED {
        let (mean, sd) = summary(&accuracies(all, epsilon, SECURE, runs, divided));
        let (alone, spread) = summary(&accuracies(all, epsilon, LOCAL, runs, divided));
        println!("ε {epsilon:3}: secure {mean:.3} ± {sd:.3}, local {alone:.3} ± {spread:.3}; published {published}");
        if mean <= published {
            return Err(format!(
                "at ε {epsilon} the mean of {runs} trainings is {mean:.3}, and {published} was published"
            ));
        }
    }
    Ok(())
}

/// The mean at ε = 0.1 lies about seven of its own errors above the published one, at 1 and 5 much further.
#[test]
fn private_models_are_better_than_the_published() {
    let Some(data) = shared_data("uci-heart-disease") else { return };
    gate(&within_bounds(patients(&data)), sized(40, 400), 1.0).unwrap();
}

/// Planted: sixty times the noise that is due.
#[test]
fn models_with_too_much_noise_are_found() {
    let Some(data) = shared_data("uci-heart-disease") else { return };
    let said = gate(&within_bounds(patients(&data)), 40, 1.0 / 60.0).unwrap_err();
    assert!(said.contains("was published"), "{said}");
}
