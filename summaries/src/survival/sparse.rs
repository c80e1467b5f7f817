//! Curves whose cells hold far fewer events than the noise: the estimates stay where the truth is, and the intervals hold it.

use super::*;
use crate::batch::Column;
use crate::competing::Competing;
use crate::evidence::{Draws, get, noise_is_as_said, release, reporting};

const PATIENTS: usize = 4_000;
const SEEDS: u32 = 60;
const SD: f64 = 4.2;

/// Patients with an event at a constant hazard a day, of one of two causes, followed for a year.
fn drawn(draws: &mut Draws, hazard: f64) -> (Vec<f64>, Vec<u32>) {
    let one = |draws: &mut Draws| {
        let time = (-draws.uniform().ln() / hazard).ceil();
        let cause = if draws.uniform() < 0.5 { 1 } else { 2 };
        if time <= 365.0 { (time, cause) } else { (365.0, 0) }
    };
    (0..PATIENTS).map(|_| one(draws)).unzip()
}

/// The mean of a row's estimates over the seeds, their standard deviation, and the share of the intervals that hold the truth.
fn over_seeds(rows: &[Row], truth: f64) -> (f64, f64, f64) {
    let told: Vec<f64> = rows.iter().filter_map(|r| r.estimate).collect();
    assert_eq!(told.len(), rows.len(), "withheld");
    let n = told.len() as f64;
    let mean = told.iter().sum::<f64>() / n;
    let sd = (told.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
    let holds = |r: &&Row| r.lower.unwrap() <= truth && truth <= r.upper.unwrap();
    (mean, sd, rows.iter().filter(holds).count() as f64 / n)
}

/// 0.0005 events a patient and day: 2 a cell, half of the noise. The curve's mean lies within four standard errors of the truth, and at
/// least 85 % of the intervals of 95 % hold it (a right interval fails once in 30,000).
#[test]
fn a_daily_grid_does_not_bend_the_curves() {
    let truth = (-0.0005f64 * 365.0).exp();
    let grid = Grid::new(1.0, 365.0).unwrap();
    let curve = Survival::new(grid, None, None).unwrap().told(vec![365.0], None, Weight::LogRank);
    let causes = Competing::new(grid, 3, None, vec![365.0]).unwrap();
    let names = reporting(&["time", "cause"], &[&[], &["none", "a", "b"]]);
    let (mut curves, mut incidences) = (Vec::new(), Vec::new());
    for seed in 0..SEEDS {
        let mut draws = Draws(u64::from(seed) * 77 + 5);
        let (time, cause) = drawn(&mut draws, 0.0005);
        let event = Column::Level(cause.iter().map(|c| u32::from(*c > 0)).collect());
        let exact = release(&curve, vec![Column::Real(time.clone()), event]);
        let e = curve.estimate(&draws.noisy(&curve, &exact, SD), &names);
        curves.push(get(&e, "all, time 365", "survival").clone());
        let exact = release(&causes, vec![Column::Real(time), Column::Level(cause)]);
        let e = causes.estimate(&draws.noisy(&causes, &exact, SD), &names);
        incidences.push(get(&e, "all, cause=a, time 365", "cumulative incidence").clone());
    }
    for (rows, truth) in [(&curves, truth), (&incidences, (1.0 - truth) / 2.0)] {
        let (mean, sd, held) = over_seeds(rows, truth);
        assert!((mean - truth).abs() < 4.0 * sd / f64::from(SEEDS).sqrt() + 0.004, "{mean} and not {truth} (sd {sd})");
        assert!(held >= 0.85, "{held} of the intervals hold {truth}");
    }
}

/// The restricted mean's noise comes from all cells, those behind its end as well.
#[test]
fn the_restricted_means_noise_is_that_of_the_whole_grid() {
    let grid = Grid::new(15.0, 1095.0).unwrap();
    let mut draws = Draws(3);
    let time: Vec<f64> = (0..20_000).map(|_| (-draws.uniform().ln() * 2000.0).min(1095.0).ceil()).collect();
    let event: Vec<u32> = time.iter().map(|t| u32::from(*t < 1095.0)).collect();
    let s = |tau| Survival::new(grid, None, None).unwrap().told(vec![], Some(tau), Weight::LogRank);
    let exact = release(&s(180.0), vec![Column::Real(time), Column::Level(event)]);
    let names = reporting(&["time", "event"], &[&[], &["no", "yes"]]);
    for tau in [180.0, 540.0] {
        noise_is_as_said(&s(tau), &exact, 8.0, &names, &[(&format!("all, up to {tau}"), "restricted mean")]);
    }
}

/// A group of nobody is no group: the test is that of the others, with their degrees of freedom.
#[test]
fn an_empty_group_takes_no_degree_of_freedom() {
    let mut draws = Draws(11);
    let (time, cause) = drawn(&mut draws, 0.002);
    let event: Vec<u32> = cause.iter().map(|c| u32::from(*c > 0)).collect();
    let group: Vec<u32> = (0..PATIENTS).map(|i| (i % 2) as u32).collect();
    let chi2 = |groups: u32, levels: &[&str]| {
        let s = Survival::new(Grid::new(1.0, 365.0).unwrap(), Some(groups), None).unwrap();
        let columns = vec![Column::Real(time.clone()), Column::Level(event.clone()), Column::Level(group.clone())];
        let e =
            s.estimate(&release(&s, columns), &reporting(&["time", "event", "arm"], &[&[], &["no", "yes"], levels]));
        (get(&e, "arm", "log-rank chi2").clone(), get(&e, "arm", "log-rank p").estimate.unwrap())
    };
    let ((two, p_two), (three, p_three)) = (chi2(2, &["a", "b"]), chi2(3, &["a", "b", "c"]));
    assert!((two.estimate.unwrap() - three.estimate.unwrap()).abs() < 1e-9, "{two:?} {three:?}");
    assert!((p_two - p_three).abs() < 1e-12 && three.note.starts_with("1 degree of"), "{three:?}");
}
