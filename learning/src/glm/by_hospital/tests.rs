//! Against the same model with the hospitals as a category, and under noise.

use summaries::interval::normal_quantile;
use summaries::{Column, Lanes, MergedRelease, PatientBatch, Reporting};

use super::*;
use crate::design::{Design, Term};

struct Draws(u64);

impl Draws {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }
    fn normal(&mut self) -> f64 {
        normal_quantile(self.uniform())
    }
}

fn number(name: &str) -> Term {
    Term::Real { name: name.to_owned(), lower: -3.0, upper: 3.0 }
}

fn reporting() -> Reporting {
    Reporting { confidence: 0.95, min_cell: 0, names: vec![], levels: vec![vec![]; 4] }
}

/// Columns x, z and the outcome of a hospital, whose patients' x and risk both rise with its place: a common intercept would take one for
/// the other.
fn hospital(place: usize, n: usize, draws: &mut Draws) -> (Vec<f64>, Vec<f64>, Vec<u32>) {
    let shift = place as f64 - 1.0;
    let mut out = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..n {
        let (x, z) = ((0.7 * shift + 0.6 * draws.normal()).clamp(-3.0, 3.0), draws.normal().clamp(-3.0, 3.0));
        let eta = -0.5 + 1.4 * shift + SLOPE * x - 0.3 * z;
        out.0.push(x);
        out.1.push(z);
        out.2.push(u32::from(draws.uniform() < 1.0 / (1.0 + (-eta).exp())));
    }
    out
}

const SLOPE: f64 = 0.4;

fn batches(sizes: &[usize], seed: u64) -> Vec<PatientBatch> {
    let mut draws = Draws(seed);
    let one = |(place, n): (usize, &usize)| {
        let (x, z, y) = hospital(place, *n, &mut draws);
        let columns = vec![Column::Real(x), Column::Real(z), Column::Level(y)];
        PatientBatch::new(*n, columns).unwrap()
    };
    sizes.iter().enumerate().map(one).collect()
}

fn model(steps: u32) -> ByHospital {
    let design = Design::new(vec![number("x"), number("z")]);
    ByHospital::new(Glm::new(design, Family::Logistic, vec![0, 1, 2], steps, reporting()))
}

/// Runs the program over hospitals with noise of a standard deviation in units of a lane's sensitivity; after each round the program is
/// made anew, with its memory.
fn run(steps: u32, batches: &[PatientBatch], sd: f64, draws: &mut Draws) -> Estimate {
    run_of(&|| model(steps), batches, sd, draws)
}

fn run_of(model: &dyn Fn() -> ByHospital, batches: &[PatientBatch], sd: f64, draws: &mut Draws) -> Estimate {
    let mut program = model();
    let (mut round, mut parameters) = (0, program.first());
    let mut past = Vec::new();
    loop {
        let asked = (round, parameters.clone());
        let mut sites = Vec::new();
        for (place, batch) in batches.iter().enumerate() {
            let mut here = model();
            here.at_site(&format!("s-{place}"));
            let mut parts = Vec::new();
            for work in here.work(round, &parameters).unwrap() {
                let layout = work.statistic.layout();
                let mut lanes = Lanes::zeros(layout.lanes);
                work.statistic.accumulate(&batch.select(&work.columns).unwrap(), &mut lanes).unwrap();
                let sigma = sd * work.statistic.sensitivity().l2;
                let noisy = |v: &i64| v + (sigma * draws.normal()) as i64;
                let lanes = if sd > 0.0 { lanes.values().iter().map(noisy).collect() } else { lanes.into_values() };
                parts.push(MergedRelease { lanes, noise_variance: sigma * sigma, unit: 1.0, sites: 1, shared: 1 });
            }
            sites.push(OfSite { site: format!("s-{place}"), round: MergedRound { parts, sites: 1 } });
        }
        let mut merged = sites[0].round.clone();
        for s in &sites[1..] {
            for (all, own) in merged.parts.iter_mut().zip(&s.round.parts) {
                all.lanes.iter_mut().zip(&own.lanes).for_each(|(a, b)| *a += b);
                all.noise_variance += own.noise_variance;
            }
        }
        match after(&mut program, (round, &parameters), &merged, &sites) {
            Step::Continue { round: r, parameters: p } => (round, parameters) = (r, p),
            Step::Done(estimate) => return estimate,
        }
        past.push((asked.0, asked.1, merged));
        let memory = program.memory();
        program = model();
        program.remember(&memory);
        if !program.apart() {
            for (round, parameters, merged) in &past {
                program.next(*round, parameters, merged).unwrap();
            }
        }
    }
}

/// As the coordinator takes a round.
fn after(program: &mut ByHospital, asked: (u32, &[f64]), merged: &MergedRound, sites: &[OfSite]) -> Step {
    if program.apart() {
        program.next_apart(asked.0, asked.1, merged, sites).unwrap()
    } else {
        program.next(asked.0, asked.1, merged).unwrap()
    }
}

fn coefficient<'a>(e: &'a Estimate, term: &str) -> &'a Row {
    e.rows.iter().find(|r| r.term == term && r.statistic == "coefficient").unwrap()
}

#[test]
fn it_is_the_model_with_the_hospitals_as_a_category() {
    let sites = batches(&[400, 150, 90], 7);
    let ours = run(50, &sites, 0.0, &mut Draws(1));
    // All patients together, with the hospital as a category.
    let levels: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
    let design = Design::new(vec![number("x"), number("z"), Term::Level { name: "hospital".into(), levels }]);
    let mut pooled = Glm::new(design, Family::Logistic, vec![0, 1, 2, 3], 50, reporting());
    let mut columns = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (place, b) in sites.iter().enumerate() {
        let [Column::Real(x), Column::Real(z), Column::Level(y)] = b.columns() else { panic!() };
        columns.0.extend(x);
        columns.1.extend(z);
        columns.2.extend(std::iter::repeat_n(place as u32, x.len()));
        columns.3.extend(y);
    }
    let n = columns.0.len();
    let columns =
        vec![Column::Real(columns.0), Column::Real(columns.1), Column::Level(columns.2), Column::Level(columns.3)];
    let batch = PatientBatch::new(n, columns).unwrap();
    let (mut round, mut parameters) = (0, pooled.first());
    let theirs = loop {
        let mut parts = Vec::new();
        for work in pooled.work(round, &parameters).unwrap() {
            let mut lanes = Lanes::zeros(work.statistic.layout().lanes);
            work.statistic.accumulate(&batch, &mut lanes).unwrap();
            let lanes = lanes.into_values();
            parts.push(MergedRelease { lanes, noise_variance: 0.0, unit: 1.0, sites: 1, shared: 1 });
        }
        match pooled.next(round, &parameters, &MergedRound { parts, sites: 1 }).unwrap() {
            Step::Continue { round: r, parameters: p } => (round, parameters) = (r, p),
            Step::Done(estimate) => break estimate,
        }
    };
    for term in ["x", "z"] {
        let (a, b) = (coefficient(&ours, term), coefficient(&theirs, term));
        assert!((a.estimate.unwrap() - b.estimate.unwrap()).abs() < 1e-8, "{a:?} {b:?}");
        assert!((a.se.unwrap() - b.se.unwrap()).abs() < 1e-7, "{a:?} {b:?}");
    }
    let hospitals = ours.rows.iter().find(|r| r.statistic == "baselines").unwrap();
    assert_eq!(hospitals.estimate, Some(3.0));
}

/// A hospital of nobody is left out, and one where everybody has the outcome takes no part.
#[test]
fn hospitals_that_say_nothing_are_left_out() {
    let mut sites = batches(&[400, 300], 9);
    let alone = run(50, &sites, 0.0, &mut Draws(1));
    sites.push(PatientBatch::new(0, vec![Column::Real(vec![]), Column::Real(vec![]), Column::Level(vec![])]).unwrap());
    let with = run(50, &sites, 0.0, &mut Draws(1));
    assert_eq!(coefficient(&alone, "x").estimate, coefficient(&with, "x").estimate);
    let hospitals = with.rows.iter().find(|r| r.statistic == "baselines").unwrap();
    assert!(hospitals.estimate == Some(2.0) && hospitals.note.contains("1 more"), "{hospitals:?}");
}

/// Under noise: the mean of the estimates lies at the truth, and the intervals hold it. 40 seeds; at least 34 of 40 intervals of 95 %
/// (a right interval fails once in 1,500).
#[test]
fn intervals_hold_the_slope_under_noise() {
    let (mut told, mut held) = (Vec::new(), 0);
    for seed in 0..40u64 {
        let sites = batches(&[1500, 1200, 900, 1000], 100 + seed);
        let e = run(4, &sites, 2.0, &mut Draws(seed * 13 + 1));
        let row = coefficient(&e, "x");
        let Some(estimate) = row.estimate else { continue };
        told.push(estimate);
        held += u32::from(row.lower.unwrap() <= SLOPE && SLOPE <= row.upper.unwrap());
        assert!(row.dp_se.unwrap() > 0.0);
    }
    let n = told.len() as f64;
    let mean = told.iter().sum::<f64>() / n;
    let sd = (told.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
    assert!(told.len() >= 36, "{} of 40 told", told.len());
    assert!((mean - SLOPE).abs() < 4.0 * sd / n.sqrt() + 0.01, "{mean} (sd {sd})");
    assert!(f64::from(held) >= 0.85 * n, "{held} of {n}");
}

/// Small hospitals in much noise: one intercept for all, by the first round; after a restart as well.
#[test]
fn where_the_intercepts_are_lost_there_is_one() {
    let sites = batches(&[150, 160, 140, 150, 155, 145], 3);
    let e = run(3, &sites, 3.0, &mut Draws(5));
    let baselines = e.rows.iter().find(|r| r.statistic == "baselines").unwrap();
    assert!(baselines.estimate == Some(1.0) && baselines.note.contains("one for all"), "{baselines:?}");
    assert!(e.rows.iter().any(|r| r.term == "(intercept)"));
}

/// A hospital that the model leaves out is not in its evaluation: everybody has the outcome there, whatever their x.
#[test]
fn a_hospital_that_is_left_out_is_not_evaluated() {
    let mut sites = batches(&[900, 700], 9);
    let all_yes = |n: usize| {
        let x: Vec<f64> = (0..n).map(|i| if i % 2 == 0 { -3.0 } else { 3.0 }).collect();
        PatientBatch::new(n, vec![Column::Real(x), Column::Real(vec![0.0; n]), Column::Level(vec![1; n])]).unwrap()
    };
    let value = |e: &Estimate, name: &str| {
        let row = e.rows.iter().find(|r| r.term == "model" && r.statistic == name).unwrap();
        row.estimate.unwrap_or_else(|| panic!("{name}: {}", row.note))
    };
    // Without noise a hospital's intercept goes on for ever, and its curvature to nothing; with it a small one is lost at once.
    let without = run(4, &sites, 0.5, &mut Draws(8));
    sites.push(all_yes(12));
    let with = run(4, &sites, 0.5, &mut Draws(8));
    assert!(with.rows.iter().any(|r| r.statistic == "baselines" && r.note.contains("1 more")), "{:?}", with.rows);
    let draws = |sites: &[PatientBatch], seed: u64| value(&run(4, sites, 0.5, &mut Draws(seed)), "auc");
    let mean = |sites: &[PatientBatch]| (0..30).map(|s| draws(sites, 100 + s)).sum::<f64>() / 30.0;
    let (a, b) = (mean(&sites[..2]), mean(&sites));
    assert!((a - b).abs() < 0.004, "{a} without and {b} with");
    assert!(value(&without, "accuracy") > 0.5);
}

/// Gammas whose hospitals' means are far from the first guess, each its own way.
#[test]
fn hospitals_far_from_the_first_guess_are_reached() {
    let mut draws = Draws(4);
    let mut of = |mean: f64| {
        let x: Vec<f64> = (0..2000).map(|_| draws.normal().clamp(-3.0, 3.0)).collect();
        let y = x.iter().map(|x| -mean / 2.0 * (SLOPE * x).exp() * (draws.uniform().ln() + draws.uniform().ln()));
        let y = Column::Real(y.collect());
        PatientBatch::new(2000, vec![Column::Real(x), y]).unwrap()
    };
    let sites = [of(3.0), of(40.0), of(600.0)];
    for sd in [0.0, 0.7] {
        let make = || {
            let steps = if sd > 0.0 { 4 } else { 50 };
            let glm = Glm::new(Design::new(vec![number("x")]), Family::Gamma, vec![0, 1], steps, reporting());
            ByHospital::new(glm.starting_at(50f64.ln()))
        };
        let e = run_of(&make, &sites, sd, &mut Draws(2));
        let row = coefficient(&e, "x");
        assert!(row.estimate.is_some_and(|b| (b - SLOPE).abs() < 4.0 * row.se.unwrap()), "{row:?}");
        assert_eq!(e.rows.iter().any(|r| r.statistic == "steps" && r.estimate.is_some_and(|s| s <= 7.0)), sd == 0.0);
    }
}

/// A feature that is the hospital's alone, such as its size, with an outcome that differs between hospitals.
fn of_hospitals(draws: &mut Draws) -> Vec<PatientBatch> {
    let one = |place: usize, draws: &mut Draws| {
        let n = 800;
        let x: Vec<f64> = (0..n).map(|_| draws.normal().clamp(-3.0, 3.0)).collect();
        let risk = 0.2 + 0.15 * place as f64;
        let y = (0..n).map(|_| u32::from(draws.uniform() < risk)).collect();
        PatientBatch::new(n, vec![Column::Real(x), Column::Real(vec![place as f64 - 1.5; n]), Column::Level(y)])
            .unwrap()
    };
    (0..4).map(|place| one(place, draws)).collect()
}

/// Such a feature is not told with a baseline for each hospital, under noise as without, and is not told with one for all in its place.
#[test]
fn what_does_not_vary_within_a_hospital_is_not_told() {
    for sd in [0.0, 0.3, 1.0] {
        for seed in 0..10 {
            let mut draws = Draws(seed * 3 + 1);
            let sites = of_hospitals(&mut draws);
            let e = run(if sd > 0.0 { 4 } else { 50 }, &sites, sd, &mut draws);
            let row = coefficient(&e, "z");
            assert!(row.suppressed, "noise {sd}, seed {seed}: {row:?}");
            let named = row.note.contains("within a hospital") && row.note.contains("'z'");
            assert!(named || sd > 0.0 && row.note.contains("nois"), "noise {sd}: {row:?}");
            if sd == 0.0 {
                break;
            }
        }
    }
}

/// A hospital where nobody has the outcome has no estimate of its own, and is in no evaluation: what is told is of the same hospitals whether
/// its intercept has gone far or not.
#[test]
fn a_hospital_of_one_class_tells_nothing() {
    let mut draws = Draws(31);
    let mut sites = batches(&[900, 800, 700], 9);
    let x = (0..900).map(|_| draws.normal().clamp(-3.0, 3.0)).collect();
    let z = (0..900).map(|_| draws.normal().clamp(-3.0, 3.0)).collect();
    sites.push(PatientBatch::new(900, vec![Column::Real(x), Column::Real(z), Column::Level(vec![0; 900])]).unwrap());
    let value = |e: &Estimate, name: &str| e.rows.iter().find(|r| r.term == "model" && r.statistic == name).cloned();
    for sd in [0.0, 0.5] {
        for steps in [5, 8, 50] {
            let e = run(steps, &sites, sd, &mut Draws(2));
            let baselines = value(&e, "baselines").unwrap();
            assert_eq!(baselines.estimate, Some(3.0), "noise {sd}, {steps} steps: {baselines:?}");
            assert_eq!(baselines.note.contains("noise"), sd > 0.0, "{baselines:?}");
            if sd == 0.0 {
                let n = value(&e, "steps").and_then(|r| r.estimate);
                assert!(n.is_none_or(|n| n <= 8.0), "{n:?} steps by an intercept that goes on for ever");
            }
        }
        // Its own estimate, of the last step.
        let mut program = model(5);
        program.at_site("s-3");
        let theta = [vec![0.0, 0.2, -0.1], vec![tag("s-3"), -6.0]].concat();
        let mut parts = Vec::new();
        for work in program.work(3, &theta).unwrap() {
            let mut lanes = Lanes::zeros(work.statistic.layout().lanes);
            work.statistic.accumulate(&sites[3].select(&work.columns).unwrap(), &mut lanes).unwrap();
            let sigma = sd * work.statistic.sensitivity().l2;
            let lanes = lanes.values().iter().map(|v| v + (sigma * draws.normal()) as i64).collect();
            parts.push(MergedRelease { lanes, noise_variance: sigma * sigma, unit: 1.0, sites: 1, shared: 1 });
        }
        let own = program.own("s-3", 3, &theta, &MergedRound { parts, sites: 1 }).unwrap();
        assert!(own.rows.iter().all(|r| r.suppressed), "noise {sd}: {:?}", own.rows);
    }
}

/// A hospital that lacks a level tells its other terms, and what it tells is as if the level were not asked for.
#[test]
fn a_level_that_a_hospital_lacks_leaves_its_other_terms() {
    let mut draws = Draws(17);
    let n = 600;
    let x: Vec<f64> = (0..n).map(|_| draws.normal().clamp(-3.0, 3.0)).collect();
    let group: Vec<u32> = (0..n).map(|i| (i % 2) as u32).collect();
    let y: Vec<u32> = x.iter().map(|x| u32::from(draws.uniform() < 1.0 / (1.0 + (0.5 - 0.6 * x).exp()))).collect();
    let columns = vec![Column::Real(x), Column::Level(group), Column::Level(y)];
    let batch = PatientBatch::new(n, columns).unwrap();
    let of = |levels: &[&str]| {
        let names = levels.iter().map(|l| (*l).to_owned()).collect();
        let design = Design::new(vec![number("x"), Term::Level { name: "grp".to_owned(), levels: names }]);
        let program = Glm::new(design, Family::Logistic, vec![0, 1, 2], 5, reporting());
        let first = program.first();
        let mut parts = Vec::new();
        for work in program.work(0, &first).unwrap() {
            let mut lanes = Lanes::zeros(work.statistic.layout().lanes);
            work.statistic.accumulate(&batch.select(&work.columns).unwrap(), &mut lanes).unwrap();
            parts.push(MergedRelease {
                lanes: lanes.into_values(),
                noise_variance: 0.0,
                unit: 1.0,
                sites: 1,
                shared: 1,
            });
        }
        program.own("s", 0, &first, &MergedRound { parts, sites: 1 }).unwrap()
    };
    let (lacking, whole) = (of(&["a", "b", "c"]), of(&["a", "b"]));
    assert!(coefficient(&lacking, "grp=c").suppressed);
    for term in ["x", "grp=b"] {
        let (a, b) = (coefficient(&lacking, term), coefficient(&whole, term));
        assert!((a.estimate.unwrap() - b.estimate.unwrap()).abs() < 1e-7, "{term}: {a:?} {b:?}");
        assert!(a.note.contains("one Newton step"), "{a:?}");
    }
}

#[test]
fn parameters_of_another_form_are_refused() {
    let m = model(3);
    assert!(m.work(0, &[0.0; 3]).is_ok() && m.work(0, &[0.0; 5]).is_ok());
    assert!(m.work(0, &[0.0; 4]).is_err() && m.work(0, &[0.0; 2]).is_err() && m.work(9, &[0.0; 3]).is_err());
    assert!(m.work(0, &[f64::NAN, 0.0, 0.0]).is_err());
}

/// With a penalty λ the stratified likelihood's slope, each hospital at its own best intercept, is λ times the coefficients.
#[test]
fn a_penalty_is_on_the_slopes_alone() {
    let sites = batches(&[400, 150, 90], 21);
    let lambda = 30.0;
    let penalised = || {
        let design = Design::new(vec![number("x"), number("z")]);
        ByHospital::new(Glm::new(design, Family::Logistic, vec![0, 1, 2], 50, reporting()).penalised(lambda))
    };
    let e = run_of(&penalised, &sites, 0.0, &mut Draws(1));
    let beta = ["x", "z"].map(|t| coefficient(&e, t).estimate.unwrap());
    let p = |intercept: f64, x: [f64; 2]| 1.0 / (1.0 + (-(intercept + beta[0] * x[0] + beta[1] * x[1])).exp());
    let mut slope = [0.0; 2];
    for b in &sites {
        let [Column::Real(x), Column::Real(z), Column::Level(y)] = b.columns() else { panic!() };
        let rows: Vec<([f64; 2], f64)> = (0..x.len()).map(|i| ([x[i], z[i]], f64::from(y[i]))).collect();
        let (mut low, mut high) = (-20.0, 20.0);
        for _ in 0..80 {
            let middle = f64::midpoint(low, high);
            let rest: f64 = rows.iter().map(|(x, y)| y - p(middle, *x)).sum();
            if rest > 0.0 { low = middle } else { high = middle }
        }
        for (x, y) in &rows {
            (0..2).for_each(|k| slope[k] += (y - p(low, *x)) * x[k]);
        }
    }
    for k in 0..2 {
        assert!((slope[k] - lambda * beta[k]).abs() < 1e-5, "{slope:?} {beta:?}");
    }
    assert!(beta[0].abs() < coefficient(&run(50, &sites, 0.0, &mut Draws(1)), "x").estimate.unwrap().abs());
}
