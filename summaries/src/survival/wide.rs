//! Wide cells: a life table tells what a cell a day does, and its intervals hold the truth.

use super::*;
use crate::batch::Column;
use crate::evidence::{Draws, get, release, reporting};

const MEAN: f64 = 60.0;

/// Days to an event, and the day of censoring; nobody is followed for more than 120 days.
fn drawn(draws: &mut Draws, patients: u32) -> Vec<Column> {
    let one = |draws: &mut Draws| {
        let death = (-MEAN * draws.uniform().ln()).ceil();
        let end = (180.0 * draws.uniform()).floor().min(120.0);
        (death.min(end), u32::from(death <= end))
    };
    let (time, event) = (0..patients).map(|_| one(draws)).unzip();
    vec![Column::Real(time), Column::Level(event)]
}

fn told(width: f64, at: &[f64], tau: f64) -> Survival {
    Survival::new(Grid::new(width, 150.0).unwrap(), None, None).unwrap().told(at.to_vec(), Some(tau), Weight::LogRank)
}

/// Of the same patients: the curve, its errors, those at risk, the restricted mean and the median. A common end of follow-up at a cell's end,
/// at 120, moves nothing.
#[test]
fn wide_cells_tell_what_days_do() {
    let columns = drawn(&mut Draws(41), 20_000);
    let names = reporting(&["time", "event"], &[&[], &["no", "yes"]]);
    let of = |width: f64| {
        let s = told(width, &[30.0, 45.0, 60.0, 120.0], 120.0);
        s.estimate(&release(&s, columns.clone()), &names)
    };
    let daily = of(1.0);
    for width in [2.0, 5.0, 10.0, 30.0] {
        let wide = of(width);
        let near = |term: &str, statistic: &str, allowed: f64| {
            let (a, b) = (get(&daily, term, statistic), get(&wide, term, statistic));
            let (a_at, b_at) = (a.estimate.unwrap(), b.estimate.unwrap());
            assert!((a_at - b_at).abs() <= allowed, "width {width}, {term}, {statistic}: {b_at} and daily {a_at}");
            let same = a.sampling_se.zip(b.sampling_se).is_none_or(|(a, b)| a == b || (a / b - 1.0).abs() < 0.15);
            assert!(same, "width {width}, {term}, {statistic}: {b:?} and daily {a:?}");
        };
        // In a cell of 30 days two fifths have the event and a fifth are censored, too many for n' to be right to the third digit.
        let (s, mean) = if width > 10.0 { (0.008, 0.8) } else { (0.002, 0.15) };
        for time in [30, 60, 120] {
            near(&format!("all, time {time}"), "survival", s);
            near(&format!("all, time {time}"), "at risk", 100.0);
        }
        near("all, time 45", "survival", s + 0.002);
        near("all, up to 120", "restricted mean", mean);
        // The day within which the curve crosses, and the first whole day after it.
        near("all", "median survival", 1.5);
    }
}

/// Of draws of data and noise, the intervals of the curve, of the restricted mean and of the median hold the truth in 95 %, within 3.5
/// standard errors.
#[test]
fn their_intervals_hold_under_noise() {
    let nightly = std::env::var("INSITU_NIGHTLY").is_ok_and(|v| v == "1");
    let seeds: u32 = if nightly { 3_000 } else { 500 };
    let names = reporting(&["time", "event"], &[&[], &["no", "yes"]]);
    let truth = |t: f64| (-t / MEAN).exp();
    let mean: f64 = (0..100u32).map(|k| truth(f64::from(k))).sum();
    for (width, sd) in [(10.0, 0.0), (10.0, 4.0), (30.0, 4.0), (20.0, 10.0)] {
        let mut held = [0u32; 4];
        for seed in 0..seeds {
            let mut draws = Draws(u64::from(seed) * 7919 + 3);
            let s = told(width, &[60.0, 95.0], 100.0);
            let exact = release(&s, drawn(&mut draws, 2_000));
            let e = s.estimate(&draws.noisy(&s, &exact, sd), &names);
            let rows = [
                ("all, time 60", "survival", truth(60.0)),
                ("all, time 95", "survival", truth(95.0)),
                ("all, up to 100", "restricted mean", mean),
                ("all", "median survival", MEAN * 2f64.ln()),
            ];
            for (slot, (term, statistic, truth)) in held.iter_mut().zip(rows) {
                let row = get(&e, term, statistic);
                *slot += u32::from(row.lower.unwrap() <= truth && row.upper.is_none_or(|u| truth <= u));
            }
        }
        let allowed = 3.5 * (0.95f64 * 0.05 / f64::from(seeds)).sqrt();
        for (n, what) in held.into_iter().zip(["S(60)", "S(95)", "restricted mean", "median"]) {
            let share = f64::from(n) / f64::from(seeds);
            println!("width {width}, noise {sd}, {what}: {share}");
            assert!((share - 0.95).abs() <= allowed + 0.01, "width {width}, noise {sd}, {what}: {share}");
        }
    }
}
