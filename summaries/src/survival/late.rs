//! The end of a curve under noise: where few are left, what is told must hold the truth as often as it says.

use super::*;
use crate::batch::Column;
use crate::evidence::{Draws, get, release, reporting};

const PATIENTS: u32 = 600;
const MEAN: f64 = 60.0;
const WIDTH: f64 = 10.0;

/// Whole days: a death on a day, and censoring after it.
fn drawn(draws: &mut Draws) -> Vec<Column> {
    let one = |draws: &mut Draws| {
        let death = (-MEAN * draws.uniform().ln()).ceil();
        let end = (20.0 + 120.0 * draws.uniform()).floor();
        (death.min(end), u32::from(death <= end))
    };
    let (time, event) = (0..PATIENTS).map(|_| one(draws)).unzip();
    vec![Column::Real(time), Column::Level(event)]
}

/// The restricted mean: the days under the curve.
fn area(to: f64) -> f64 {
    (0..to as u32).map(|k| (-f64::from(k) / MEAN).exp()).sum()
}

/// At each time and for each restricted mean, of the draws in which it is told at all: the share of intervals that hold the truth is no more
/// than 3.5 standard errors and a percentage point below 95 %. Where it hangs by the noise whether anything is told, the noise has lifted what is.
#[test]
fn late_times_hold_the_truth() {
    let times: Vec<f64> = (1..=12).map(|k| f64::from(k) * WIDTH).collect();
    let names = reporting(&["time", "event"], &[&[], &["no", "yes"]]);
    let nightly = std::env::var("INSITU_NIGHTLY").is_ok_and(|v| v == "1");
    let seeds: u32 = if nightly { 2_000 } else { 500 };
    for sd in [3.0, 6.0] {
        // Of each time: in how many draws it was told, and in how many held.
        let mut curve = vec![(0u32, 0u32); times.len()];
        let mut means = curve.clone();
        for seed in 0..seeds {
            let mut draws = Draws(u64::from(seed) * 977 + 13);
            let grid = Grid::new(WIDTH, 200.0).unwrap();
            let columns = drawn(&mut draws);
            let s = Survival::new(grid, None, None).unwrap().told(times.clone(), None, Weight::LogRank);
            let exact = release(&s, columns);
            let noisy = draws.noisy(&s, &exact, sd);
            let add = |slot: &mut (u32, u32), row: &Row, truth: f64| {
                if let (Some(low), Some(high)) = (row.lower, row.upper) {
                    *slot = (slot.0 + 1, slot.1 + u32::from(low <= truth && truth <= high));
                }
            };
            let e = s.estimate(&noisy, &names);
            for (slot, t) in curve.iter_mut().zip(&times) {
                add(slot, get(&e, &format!("all, time {t}"), "survival"), (-t / MEAN).exp());
            }
            for (slot, t) in means.iter_mut().zip(&times) {
                let s = s.clone().told(vec![], Some(*t), Weight::LogRank);
                let e = s.estimate(&noisy, &names);
                add(slot, get(&e, &format!("all, up to {t}"), "restricted mean"), area(*t));
            }
        }
        let mut late = 0;
        for (what, all) in [("survival", &curve), ("restricted mean", &means)] {
            for ((told, held), t) in all.iter().zip(&times).filter(|((told, _), _)| *told >= 60) {
                let (n, share) = (f64::from(*told), f64::from(*held) / f64::from(*told));
                let allowed = 0.01 + 3.5 * (0.95f64 * 0.05 / n).sqrt();
                let here = format!("{what} at {t}, noise {sd}");
                assert!(share >= 0.95 - allowed, "{here}: {share} of {told} intervals hold the truth");
                late += u32::from(n < 0.95 * f64::from(seeds));
            }
        }
        // Times at which it hangs by the noise whether anything is told are the point.
        assert!(late >= 2, "no time is late");
    }
}
