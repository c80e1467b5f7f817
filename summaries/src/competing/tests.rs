//! Against the curves and the infinitesimal jackknife's errors of melanoma and pbc: a weighted Aalen–Johansen curve in numpy whose
//! derivatives by each patient's weight were taken from differences of 1e-5; intervals on the scale of log(−log).

use super::*;
use crate::batch::Column;
use crate::evidence::{Draws, get, levels, near, noise_is_as_said, numbers, release, reporting, table};

#[test]
fn melanoma_by_sex_is_aalens_and_johansens() {
    let Some(d) = table("regression-reference/melanoma.csv") else { return };
    let s = Competing::new(Grid::new(1.0, 6000.0).unwrap(), 3, Some(2), vec![1000.0, 2000.0, 3000.0]).unwrap();
    let columns = vec![numbers(&d["time"]), levels(&d["status"], &["2", "1", "3"]), levels(&d["sex"], &["0", "1"])];
    let names = reporting(&["time", "cause", "sex"], &[&[], &["alive", "melanoma", "other"], &["0", "1"]]);
    let e = s.estimate(&release(&s, columns), &names);
    for (sex, cause, time, incidence, se, low, high) in [
        (0, "melanoma", 1000, 0.087_301_587, 0.025_147_189, 0.046_251_488, 0.144_509_148),
        (0, "melanoma", 3000, 0.235_651_694, 0.042_259_992, 0.158_293_066, 0.321_940_626),
        (0, "other", 2000, 0.039_835_165, 0.017_457_974, 0.014_886_282, 0.084_671_468),
        (1, "melanoma", 2000, 0.310_098_280, 0.052_656_661, 0.211_020_470, 0.414_297_158),
        (1, "melanoma", 3000, 0.424_535_869, 0.064_353_956, 0.297_635_271, 0.545_694_121),
        (1, "other", 3000, 0.066_939_415, 0.029_091_336, 0.024_595_683, 0.138_997_446),
    ] {
        let row = get(&e, &format!("sex={sex}, cause={cause}, time {time}"), "cumulative incidence");
        for (got, wanted) in [(row.estimate, incidence), (row.se, se), (row.lower, low), (row.upper, high)] {
            assert!((got.unwrap() - wanted).abs() < 2e-8, "{sex} {cause} {time}: {got:?} and not {wanted}");
        }
    }
    let difference = 0.424_535_869 - 0.235_651_694;
    near(&e, "sex=1 − 0, cause=melanoma, time 3000", "difference", difference, 2e-8);
    assert!(get(&e, "sex, cause=melanoma", "log-rank p").estimate.unwrap() < 0.05);
}

#[test]
fn pbc_with_transplants_is_aalens_and_johansens() {
    let Some(d) = table("survival/pbc.csv") else { return };
    let s = Competing::new(Grid::new(1.0, 5000.0).unwrap(), 3, None, vec![365.0, 1000.0, 3000.0]).unwrap();
    let columns = vec![numbers(&d["time"]), levels(&d["status"], &["0", "1", "2"])];
    let names = reporting(&["time", "end"], &[&[], &["no", "transplant", "death"]]);
    let e = s.estimate(&release(&s, columns), &names);
    for (cause, time, incidence, se) in [
        ("transplant", 365, 0.0, 0.0),
        ("transplant", 3000, 0.069_898_402, 0.014_533_340),
        ("death", 1000, 0.182_397_071, 0.018_923_496),
        ("death", 3000, 0.415_213_547, 0.028_958_317),
    ] {
        let row = get(&e, &format!("all, end={cause}, time {time}"), "cumulative incidence");
        assert!((row.estimate.unwrap() - incidence).abs() < 2e-8 && (row.se.unwrap() - se).abs() < 2e-8, "{row:?}");
    }
}

/// Two causes after exponential times in whole days, and uniform censoring.
fn drawn(draws: &mut Draws, n: u32) -> Vec<Column> {
    let (mut time, mut cause, mut group) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..n {
        let (first, second) = (-60.0 * draws.uniform().ln(), -120.0 * draws.uniform().ln());
        let end = (20.0 + 120.0 * draws.uniform()).floor();
        let at = first.min(second).ceil();
        time.push(at.min(end));
        cause.push(if at > end { 0 } else { 1 + u32::from(second < first) });
        group.push(i % 2);
    }
    vec![Column::Real(time), Column::Level(cause), Column::Level(group)]
}

fn coarse() -> Competing {
    Competing::new(Grid::new(10.0, 100.0).unwrap(), 3, Some(2), vec![30.0, 60.0]).unwrap()
}

fn named() -> Reporting {
    reporting(&["time", "cause", "arm"], &[&[], &["none", "x", "y"], &["a", "b"]])
}

#[test]
fn the_noise_does_what_is_said() {
    let exact = release(&coarse(), drawn(&mut Draws(5), 3_000));
    let rows = [
        ("arm=a, cause=x, time 30", "cumulative incidence"),
        ("arm=b, cause=y, time 60", "cumulative incidence"),
        ("arm=b − a, cause=x, time 60", "difference"),
    ];
    noise_is_as_said(&coarse(), &exact, 5.0, &named(), &rows);
}

/// Of 1,000 draws of data and noise the intervals hold the truth, and equal groups are told apart, as often as they should, within 3.5
/// standard errors.
#[test]
fn intervals_and_the_cause_specific_test_hold_under_noise() {
    let mut draws = Draws(11);
    let (mut held, mut alarms, rounds) = (0u32, 0u32, 1_000u32);
    // Causes have the hazards 1/60 and 1/120: two thirds of 1 − e^(−t/40) by the first.
    let truth = 2.0 / 3.0 * (1.0 - (-30.0f64 / 40.0).exp());
    for _ in 0..rounds {
        let exact = release(&coarse(), drawn(&mut draws, 800));
        let e = coarse().estimate(&draws.noisy(&coarse(), &exact, 4.0), &named());
        let row = get(&e, "arm=a, cause=x, time 30", "cumulative incidence");
        held += u32::from(row.lower.unwrap() <= truth && truth <= row.upper.unwrap());
        alarms += u32::from(get(&e, "arm, cause=x", "log-rank p").estimate.unwrap() < 0.05);
    }
    let far = |n: u32, wanted: f64| {
        (f64::from(n) / f64::from(rounds) - wanted).abs() > 3.5 * (0.05f64 * 0.95 / f64::from(rounds)).sqrt()
    };
    assert!(!far(held, 0.95), "{held} of {rounds} intervals hold the truth");
    assert!(!far(alarms, 0.05), "{alarms} false alarms of {rounds}");
}

/// Wide cells tell what a cell a day does, of the same patients: at cells' ends and within them.
#[test]
fn wide_cells_tell_what_days_do() {
    let columns = drawn(&mut Draws(23), 20_000);
    let of = |width: f64| {
        let s = Competing::new(Grid::new(width, 120.0).unwrap(), 3, None, vec![30.0, 50.0, 60.0, 120.0]).unwrap();
        s.estimate(&release(&s, columns[..2].to_vec()), &named())
    };
    let (daily, wide) = (of(1.0), of(30.0));
    for (cause, time) in [("x", 30), ("x", 50), ("x", 60), ("x", 120), ("y", 60), ("y", 120)] {
        let term = format!("all, cause={cause}, time {time}");
        let (a, b) = (get(&daily, &term, "cumulative incidence"), get(&wide, &term, "cumulative incidence"));
        let (a_at, b_at) = (a.estimate.unwrap(), b.estimate.unwrap());
        assert!((a_at - b_at).abs() < 0.006, "{term}: {b_at} and daily {a_at}");
        assert!((a.se.unwrap() / b.se.unwrap() - 1.0).abs() < 0.1, "{term}: {b:?} and daily {a:?}");
    }
}
