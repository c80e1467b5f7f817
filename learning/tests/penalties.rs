//! Ridge penalties against the conditions that define them: at the penalised maximum the slope is λ times the coefficients in own units.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

mod drawn;

use drawn::{reporting, uniform};
use learning::cox::Model;
use learning::{Cox, Design, Family, Glm, Term, Ties};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use summaries::survival::Grid;
use summaries::{Column, Estimate, PatientBatch, Program};

fn design() -> Design {
    let arm = Term::Level { name: "arm".into(), levels: vec!["a".into(), "b".into()] };
    Design::new(vec![arm, Term::Real { name: "x".into(), lower: -2.0, upper: 6.0 }]).with_interactions(vec![(0, 1)])
}

const TERMS: [&str; 3] = ["arm=b", "x", "arm=b:x"];

/// Arms, x, and two numbers drawn with them.
fn patients(n: usize, rng: &mut ChaCha8Rng) -> (Vec<u32>, Vec<f64>, Vec<f64>) {
    let arms: Vec<u32> = (0..n).map(|_| u32::from(uniform(rng) < 0.4)).collect();
    let xs: Vec<f64> = (0..n).map(|_| 6.0 * uniform(rng) - 1.0).collect();
    let chance = (0..n).map(|_| uniform(rng)).collect();
    (arms, xs, chance)
}

fn run(program: Box<dyn Program>, columns: Vec<Column>, noise: f64, rng: &mut ChaCha8Rng) -> Estimate {
    let batch = PatientBatch::new(columns[0].len(), columns).unwrap();
    drawn::run(program, &batch, noise, rng)
}

fn told(e: &Estimate, term: &str) -> f64 {
    let row = e.rows.iter().find(|r| r.term == term && r.statistic == "coefficient");
    row.and_then(|r| r.estimate).unwrap_or_else(|| panic!("{term} in {:#?}", e.rows))
}

/// x of a patient in own units.
fn own(arm: u32, x: f64) -> [f64; 3] {
    let arm = f64::from(arm);
    [arm, x, arm * x]
}

#[test]
fn a_penalised_regression_is_where_its_slope_is_the_penalty() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let (arms, xs, chance) = patients(400, &mut rng);
    let p = |arm: u32, x: f64| 1.0 / (1.0 + (1.0 - 0.8 * x - f64::from(arm)).exp());
    let y: Vec<u32> = (0..400).map(|i| u32::from(chance[i] < p(arms[i], xs[i]))).collect();
    let columns = vec![Column::Level(arms.clone()), Column::Real(xs.clone()), Column::Level(y.clone())];
    let mut lengths = Vec::new();
    for lambda in [0.0, 2.5, 40.0, 1e5] {
        let glm = Glm::new(design(), Family::Logistic, vec![0, 1, 2], 60, reporting()).penalised(lambda);
        let e = run(Box::new(glm), columns.clone(), 0.0, &mut rng);
        let b: Vec<f64> = TERMS.iter().map(|t| told(&e, t)).collect();
        let intercept = told(&e, "(intercept)");
        let mut slope = [0.0; 4];
        for i in 0..400 {
            let u = own(arms[i], xs[i]);
            let eta = intercept + b.iter().zip(u).map(|(b, u)| b * u).sum::<f64>();
            let r = f64::from(y[i]) - 1.0 / (1.0 + (-eta).exp());
            slope[0] += r;
            (0..3).for_each(|k| slope[k + 1] += r * u[k]);
        }
        assert!(slope[0].abs() < 1e-6, "the intercept has no penalty: {slope:?}");
        for k in 0..3 {
            assert!((slope[k + 1] - lambda * b[k]).abs() < 1e-5, "λ {lambda}, {}: {slope:?} {b:?}", TERMS[k]);
        }
        lengths.push(b.iter().map(|b| b * b).sum::<f64>());
        let tests = e.rows.iter().filter(|r| r.statistic == "p" || r.statistic.starts_with("wald")).count();
        assert_eq!(tests == 0, lambda > 0.0, "a shrunk coefficient has no test");
        assert_eq!(e.rows.iter().any(|r| r.statistic == "penalty"), lambda > 0.0);
    }
    assert!(lengths.windows(2).all(|w| w[1] < w[0]), "{lengths:?}");
}

/// A count's sums are in units of the most events, and so is what they are added to.
#[test]
fn a_penalty_has_the_unit_of_the_likelihood() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let (arms, xs, chance) = patients(300, &mut rng);
    let y: Vec<f64> = (0..300).map(|i| (8.0 * chance[i] * (0.3 * xs[i]).exp() / 4.0).floor()).collect();
    let columns = vec![Column::Level(arms.clone()), Column::Real(xs.clone()), Column::Real(y.clone())];
    let family = Family::Poisson { most: 50.0, exposure: false };
    let glm = Glm::new(design(), family, vec![0, 1, 2], 60, reporting()).penalised(7.0);
    let e = run(Box::new(glm), columns, 0.0, &mut rng);
    let b: Vec<f64> = TERMS.iter().map(|t| told(&e, t)).collect();
    for k in 0..3 {
        let slope: f64 = (0..300)
            .map(|i| {
                let u = own(arms[i], xs[i]);
                let eta = told(&e, "(intercept)") + b.iter().zip(u).map(|(b, u)| b * u).sum::<f64>();
                (y[i] - eta.exp()) * u[k]
            })
            .sum();
        assert!((slope - 7.0 * b[k]).abs() < 1e-5, "{}: {slope} {b:?}", TERMS[k]);
    }
}

#[test]
fn a_penalised_cox_model_is_where_its_slope_is_the_penalty() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let (arms, xs, chance) = patients(200, &mut rng);
    let times: Vec<f64> = (0..200).map(|i| (-chance[i].ln() * 40.0 * (-0.3 * xs[i]).exp()).floor().min(99.0)).collect();
    let events: Vec<u32> = (0..200).map(|i| u32::from(times[i] < 99.0 && i % 4 != 0)).collect();
    let columns = vec![
        Column::Level(arms.clone()),
        Column::Real(xs.clone()),
        Column::Real(times.clone()),
        Column::Level(events.clone()),
    ];
    let model = Model {
        design: design().without_intercept(),
        grid: Grid::new(1.0, 100.0).unwrap(),
        strata: None,
        ties: Ties::Breslow,
        cap: 1e4,
    };
    for lambda in [3.0, 300.0] {
        let cox = Cox::new(model.clone(), vec![0, 1, 2, 3], 50, reporting()).unwrap().penalised(lambda);
        let e = run(Box::new(cox), columns.clone(), 0.0, &mut rng);
        let b: Vec<f64> = TERMS.iter().map(|t| told(&e, t)).collect();
        let risk: Vec<f64> =
            (0..200).map(|i| b.iter().zip(own(arms[i], xs[i])).map(|(b, u)| b * u).sum::<f64>().exp()).collect();
        for k in 0..3 {
            let mut slope = 0.0;
            for i in (0..200).filter(|i| events[*i] == 1) {
                let at_risk = (0..200).filter(|j| times[*j] >= times[i]);
                let (s0, s1) =
                    at_risk.fold((0.0, 0.0), |(a, b), j| (a + risk[j], b + risk[j] * own(arms[j], xs[j])[k]));
                slope += own(arms[i], xs[i])[k] - s1 / s0;
            }
            assert!((slope - lambda * b[k]).abs() < 1e-5, "λ {lambda}, {}: {slope} {b:?}", TERMS[k]);
        }
        assert!(!e.rows.iter().any(|r| r.statistic.contains("chi2")));
    }
}

/// Over many draws the error of a penalised fit around the penalised truth is what its row says.
#[test]
fn the_error_of_a_penalised_fit_is_around_the_penalised_truth() {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let lambda = 150.0;
    let mut fits = Vec::new();
    let mut said = 0.0;
    for _ in 0..400 {
        let (arms, xs, chance) = patients(500, &mut rng);
        let p = |arm: u32, x: f64| 1.0 / (1.0 + (1.0 - 0.8 * x - f64::from(arm)).exp());
        let y: Vec<u32> = (0..500).map(|i| u32::from(chance[i] < p(arms[i], xs[i]))).collect();
        let glm = Glm::new(design(), Family::Logistic, vec![0, 1, 2], 8, reporting()).penalised(lambda);
        let e = run(Box::new(glm), vec![Column::Level(arms), Column::Real(xs), Column::Level(y)], 1.0, &mut rng);
        let row = e.rows.iter().find(|r| r.term == "x" && r.statistic == "coefficient").unwrap();
        if let (Some(b), Some(se)) = (row.estimate, row.se) {
            fits.push(b);
            said += se * se;
        }
    }
    let n = fits.len() as f64;
    let mean = fits.iter().sum::<f64>() / n;
    let spread = (fits.iter().map(|b| (b - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
    let said = (said / n).sqrt();
    assert!(n > 300.0 && (0.85..1.15).contains(&(said / spread)), "{n} fits, spread {spread}, said {said}");
}
