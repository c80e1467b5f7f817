//! Against R's survival 3.5-3 on its own data (EXPECTED.txt beside them), and the noise's error against simulation.

use std::collections::HashMap;
use std::path::Path;

use super::*;
use crate::batch::Column;

/// The columns of a table of the reference data, as texts; `None` where they are not here.
fn table(name: &str) -> Option<HashMap<String, Vec<String>>> {
    let root = std::env::var_os("INSITU_SHARED_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), Into::into);
    let path = root.join("survival").join(name);
    let Ok(text) = std::fs::read_to_string(&path) else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{name} is missing; set INSITU_SHARED_DATA");
        return None;
    };
    let mut lines = text.lines().map(|l| l.split(',').map(|c| c.trim_matches('"').to_owned()).collect::<Vec<_>>());
    let names = lines.next()?;
    let rows: Vec<Vec<String>> = lines.collect();
    Some(names.into_iter().enumerate().map(|(i, n)| (n, rows.iter().map(|r| r[i].clone()).collect())).collect())
}

fn numbers(column: &[String]) -> Vec<f64> {
    column.iter().map(|c| c.parse().unwrap_or(f64::NAN)).collect()
}

fn levels(column: &[String], names: &[&str]) -> Vec<u32> {
    column.iter().map(|c| names.iter().position(|n| n == c).map_or(MISSING, |p| p as u32)).collect()
}

fn reporting(groups: &[&str]) -> Reporting {
    let own = |l: &[&str]| l.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    Reporting {
        confidence: 0.95,
        min_cell: 0,
        names: own(&["time", "event", "group", "stratum"]),
        levels: vec![vec![], own(&["no", "yes"]), own(groups), vec![]],
    }
}

fn release(s: &Survival, columns: Vec<Column>) -> MergedRelease {
    let n = columns[0].len();
    let mut lanes = Lanes::zeros(s.layout().lanes);
    s.accumulate(&PatientBatch::new(n, columns).unwrap(), &mut lanes).unwrap();
    MergedRelease { lanes: lanes.into_values(), noise_variance: 0.0, unit: 1.0, sites: 1, shared: 1 }
}

fn get<'a>(e: &'a Estimate, term: &str, statistic: &str) -> &'a Row {
    e.rows
        .iter()
        .find(|r| r.term == term && r.statistic == statistic)
        .unwrap_or_else(|| panic!("no {term} {statistic}"))
}

fn near(got: Option<f64>, wanted: f64, tolerance: f64, what: &str) {
    let got = got.unwrap_or_else(|| panic!("{what}: withheld"));
    assert!((got - wanted).abs() <= tolerance, "{what}: {got} and not {wanted}");
}

#[test]
fn lung_by_sex_is_what_r_says() {
    let Some(lung) = table("lung.csv") else { return };
    let grid = Grid::new(1.0, 1100.0).unwrap();
    let s = Survival::new(grid, Some(2), None).unwrap();
    let s = s.told(vec![100.0, 200.0, 365.0, 500.0, 730.0], Some(365.0), Weight::LogRank);
    let columns = vec![
        Column::Real(numbers(&lung["time"])),
        Column::Level(levels(&lung["status"], &["1", "2"])),
        Column::Level(levels(&lung["sex"], &["1", "2"])),
    ];
    let e = s.estimate(&release(&s, columns), &reporting(&["1", "2"]));
    let expected = [
        (1, 100, 114.0, 0.826_087, 0.032_266, 0.765_208, 0.891_810),
        (1, 200, 78.0, 0.607_307, 0.041_686, 0.530_862, 0.694_761),
        (1, 365, 35.0, 0.336_088, 0.043_424, 0.260_901, 0.432_943),
        (1, 730, 7.0, 0.078_124, 0.027_648, 0.039_044, 0.156_321),
        (2, 100, 82.0, 0.922_088, 0.028_279, 0.868_295, 0.979_215),
        (2, 500, 21.0, 0.411_046, 0.062_584, 0.304_993, 0.553_977),
        (2, 730, 6.0, 0.187_232, 0.062_068, 0.097_770, 0.358_555),
    ];
    for (sex, time, risk, survival, se, low, high) in expected {
        let term = format!("group={sex}, time {time}");
        near(get(&e, &term, "at risk").estimate, risk, 0.0, &term);
        let row = get(&e, &term, "survival");
        for (got, wanted) in [(row.estimate, survival), (row.se, se), (row.lower, low), (row.upper, high)] {
            near(got, wanted, 6e-7, &term);
        }
    }
    for (sex, median, low, high) in [(1, 270.0, 212.0, 310.0), (2, 426.0, 348.0, 550.0)] {
        let row = get(&e, &format!("group={sex}"), "median survival");
        assert_eq!((row.estimate, row.lower, row.upper), (Some(median), Some(low), Some(high)));
    }
    near(get(&e, "group", "log-rank chi2").estimate, 10.326_742, 6e-7, "chi2");
    near(get(&e, "group", "log-rank p").estimate, 0.001_311_164_5, 1e-10, "p");
}

#[test]
fn lung_within_institutions_and_veteran_by_cells_are_what_r_says() {
    let Some(lung) = table("lung.csv") else { return };
    let mut names: Vec<&str> = lung["inst"].iter().map(String::as_str).filter(|n| !n.is_empty()).collect();
    names.sort_unstable();
    names.dedup();
    let s = Survival::new(Grid::new(1.0, 1100.0).unwrap(), Some(2), Some(names.len() as u32)).unwrap();
    let columns = vec![
        Column::Real(numbers(&lung["time"])),
        Column::Level(levels(&lung["status"], &["1", "2"])),
        Column::Level(levels(&lung["sex"], &["1", "2"])),
        Column::Level(levels(&lung["inst"], &names)),
    ];
    let e = s.estimate(&release(&s, columns), &reporting(&["1", "2"]));
    near(get(&e, "all", "missing").estimate, 1.0, 0.0, "the one without an institution");
    near(get(&e, "group", "log-rank chi2").estimate, 8.524_467, 6e-7, "stratified");

    let veteran = table("veteran.csv").unwrap();
    let cells = ["squamous", "smallcell", "adeno", "large"];
    let s = Survival::new(Grid::new(1.0, 1000.0).unwrap(), Some(4), None).unwrap();
    let columns = vec![
        Column::Real(numbers(&veteran["time"])),
        Column::Level(levels(&veteran["status"], &["0", "1"])),
        Column::Level(levels(&veteran["celltype"], &cells)),
    ];
    let e = s.estimate(&release(&s, columns), &reporting(&cells));
    near(get(&e, "group", "log-rank chi2").estimate, 25.403_700, 6e-7, "four groups");
    near(get(&e, "group", "log-rank p").estimate, 1.271_245_9e-5, 1e-11, "four groups");
}

#[test]
fn a_curve_that_falls_to_nothing_and_one_that_never_reaches_a_half() {
    let Some(aml) = table("aml.csv") else { return };
    let arms = ["Maintained", "Nonmaintained"];
    let s = Survival::new(Grid::new(1.0, 200.0).unwrap(), Some(2), None).unwrap();
    let s = s.told(vec![48.0], None, Weight::LogRank);
    let columns = vec![
        Column::Real(numbers(&aml["time"])),
        Column::Level(levels(&aml["status"], &["0", "1"])),
        Column::Level(levels(&aml["x"], &arms)),
    ];
    let e = s.estimate(&release(&s, columns), &reporting(&arms));
    near(get(&e, "group=Nonmaintained, time 48", "survival").estimate, 0.0, 0.0, "all are dead");
    near(get(&e, "group=Maintained, time 48", "survival").estimate, 0.184_091, 6e-7, "some are not");
    near(get(&e, "group", "log-rank p").estimate, 0.065_339_322, 1e-9, "aml");
    let row = get(&e, "group=Maintained", "median survival");
    assert_eq!((row.estimate, row.lower, row.upper), (Some(31.0), Some(18.0), None));
}

#[test]
fn nobody_an_event_at_time_nought_ties_everywhere_and_times_that_are_none() {
    let s =
        Survival::new(Grid::new(1.0, 10.0).unwrap(), Some(2), None).unwrap().told(vec![5.0], Some(5.0), Weight::Peto);
    let none = vec![Column::Real(vec![]), Column::Level(vec![]), Column::Level(vec![])];
    let e = s.estimate(&release(&s, none), &reporting(&["a", "b"]));
    assert!(get(&e, "group", "peto p").suppressed);
    let odd = vec![
        Column::Real(vec![0.0, 0.0, 0.0, f64::NAN, -1.0, f64::INFINITY, 3.0, 3.0]),
        Column::Level(vec![1, 1, 0, 1, 1, 1, 1, MISSING]),
        Column::Level(vec![0, 1, 1, 0, 0, 1, 7, 0]),
    ];
    let e = s.estimate(&release(&s, odd), &reporting(&["a", "b"]));
    near(get(&e, "all", "missing").estimate, 4.0, 0.0, "without a time, an event or a group");
    near(get(&e, "group=a, time 5", "survival").estimate, 0.0, 0.0, "the only one died at once");
    near(get(&e, "group=b, time 5", "survival").estimate, 2.0 / 3.0, 1e-12, "one of three");
    near(get(&e, "group=b, up to 5", "restricted mean").estimate, 10.0 / 3.0, 1e-12, "area");
    assert!(Grid::new(0.0, 5.0).is_none() && Grid::new(1.0, f64::NAN).is_none() && Grid::new(1e-9, 1.0).is_none());
}

/// A restricted mean of exponential times against its integral, and the delta method's errors against draws of noise.
#[test]
fn the_noises_error_is_what_noise_does() {
    let n = 4_000usize;
    // A deterministic sample of the exponential distribution, by its quantiles; every third is censored.
    let time: Vec<f64> = (0..n).map(|i| -50.0 * (1.0 - (i as f64 + 0.5) / n as f64).ln()).collect();
    let event: Vec<u32> = (0..n).map(|i| u32::from(i % 3 != 0)).collect();
    let group: Vec<u32> = (0..n).map(|i| u32::from(i % 2 == 0)).collect();
    let s = Survival::new(Grid::new(10.0, 100.0).unwrap(), Some(2), None).unwrap();
    let s = s.told(vec![50.0], Some(80.0), Weight::LogRank);
    let exact = release(&s, vec![Column::Real(time), Column::Level(event), Column::Level(group)]);
    let sd = 12.0;
    let mut seed = 7u64;
    let mut uniform = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((seed >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    };
    let (mut told, mut values) = (Vec::new(), Vec::new());
    for _ in 0..600 {
        let noisy = exact.lanes.iter().map(|v| v + (sd * crate::interval::normal_quantile(uniform())).round() as i64);
        let noisy = MergedRelease { lanes: noisy.collect(), noise_variance: sd * sd, ..exact.clone() };
        let e = s.estimate(&noisy, &reporting(&["a", "b"]));
        let survival = get(&e, "group=a, time 50", "survival");
        let mean = get(&e, "group=b, up to 80", "restricted mean");
        told.push((survival.dp_se.unwrap(), mean.dp_se.unwrap()));
        values.push((survival.estimate.unwrap(), mean.estimate.unwrap()));
    }
    let check = |pick: fn(&(f64, f64)) -> f64, what: &str| {
        let all: Vec<f64> = values.iter().map(pick).collect();
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        let seen = (all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (all.len() - 1) as f64).sqrt();
        let said = told.iter().map(pick).sum::<f64>() / told.len() as f64;
        // Of 600 draws the standard error of an SD is 3 %; 15 % is five of them.
        assert!((said / seen - 1.0).abs() < 0.15, "{what}: the noise does {seen}, and {said} is said");
    };
    check(|v| v.0, "survival");
    check(|v| v.1, "restricted mean");
}

/// False alarms of the log-rank test between equal groups under noise, and how often the curve's interval holds: 1,000 draws of data and
/// noise, each rate within 3.5 standard errors.
#[test]
fn the_log_rank_test_and_the_curve_hold_under_noise() {
    let s = Survival::new(Grid::new(10.0, 100.0).unwrap(), Some(2), None).unwrap();
    let s = s.told(vec![50.0], None, Weight::LogRank);
    let mut seed = 3u64;
    let mut uniform = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((seed >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    };
    let (sd, draws) = (4.0, 1_000);
    let (mut alarms, mut held) = (0, 0);
    for _ in 0..draws {
        let (mut time, mut event, mut group) = (Vec::new(), Vec::new(), Vec::new());
        for i in 0..800u32 {
            let (death, end) = (-60.0 * uniform().ln(), 20.0 + 120.0 * uniform());
            // Of whole days.
            let (death, end) = (death.ceil(), end.floor());
            time.push(death.min(end));
            event.push(u32::from(death <= end));
            group.push(i % 2);
        }
        let exact = release(&s, vec![Column::Real(time), Column::Level(event), Column::Level(group)]);
        let noisy: Vec<i64> =
            exact.lanes.iter().map(|v| v + (sd * crate::interval::normal_quantile(uniform())).round() as i64).collect();
        let e = s.estimate(&MergedRelease { lanes: noisy, noise_variance: sd * sd, ..exact }, &reporting(&["a", "b"]));
        alarms += u32::from(get(&e, "group", "log-rank p").estimate.unwrap() < 0.05);
        let curve = get(&e, "group=a, time 50", "survival");
        let truth = (-50.0f64 / 60.0).exp();
        held += u32::from(curve.lower.unwrap() <= truth && truth <= curve.upper.unwrap());
    }
    let far = |n: u32, wanted: f64| {
        (f64::from(n) / f64::from(draws) - wanted).abs() > 3.5 * (0.05f64 * 0.95 / f64::from(draws)).sqrt()
    };
    assert!(!far(alarms, 0.05), "{alarms} false alarms of {draws}");
    assert!(!far(held, 0.95), "{held} of {draws} intervals hold the truth");
}
