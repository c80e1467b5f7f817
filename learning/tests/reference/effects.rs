//! Propensity scores: birthwt's smoking, by logistic regression on age, lwt and race. The reference is numpy: the same weights, Hájek's means
//! and their variances, standardised differences as R's cobalt has them (pooled SD for the ATE, the treated's for the ATT).

use learning::Design;
use learning::propensity::{Cuts, Plan, Propensity};
use learning::weighting::{Kind, Outcome};
use summaries::{Estimate, Reporting};

use crate::harness::{category, columns, get, level, number, real, run, table};

const BIT: [&str; 2] = ["0", "1"];
const RACES: [&str; 3] = ["1", "2", "3"];

fn smoking(kind: Kind, cap: f64, cuts: Cuts) -> Option<Estimate> {
    let d = table("regression-reference/birthwt.csv")?;
    let design = Design::new(vec![number("age", 10.0, 50.0), number("lwt", 50.0, 300.0), category("race", &RACES)]);
    let outcomes = vec![("bwt".to_owned(), Outcome::Number([500.0, 6000.0])), ("low".to_owned(), Outcome::YesNo)];
    let data = vec![
        real(&d, "age"),
        real(&d, "lwt"),
        level(&d, "race", &RACES),
        level(&d, "smoke", &BIT),
        real(&d, "bwt"),
        level(&d, "low", &BIT),
    ];
    let own = |l: &[&str]| l.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    let reporting = Reporting {
        confidence: 0.95,
        min_cell: 0,
        names: own(&["age", "lwt", "race", "smoke", "bwt", "low"]),
        levels: vec![vec![], vec![], own(&RACES), own(&["no", "yes"]), vec![], own(&["no", "yes"])],
    };
    let plan = Plan { design, kind, cap, strata: 5, cuts, outcomes };
    Some(run(Box::new(Propensity::new(plan, columns(6), 50, reporting).unwrap()), data))
}

fn near(e: &Estimate, term: &str, statistic: &str, wanted: f64, se: Option<f64>) {
    let row = get(e, term, statistic);
    let got = row.estimate.unwrap_or_else(|| panic!("{term}, {statistic}: {}", row.note));
    let tolerance = 1e-7 * wanted.abs().max(1.0);
    assert!((got - wanted).abs() < tolerance, "{term}, {statistic}: {got} and not {wanted}");
    if let Some(se) = se {
        let said = row.sampling_se.unwrap();
        assert!((said - se).abs() < 1e-7 * se.max(1.0), "{term}, {statistic}: an error of {said} and not {se}");
    }
}

#[test]
fn all_patients_with_weights_cut_at_four() {
    let Some(e) = smoking(Kind::Ate, 4.0, Cuts::Equal) else { return };
    near(&e, "bwt, smoke=no", "weighted mean", 3_114.368_239_35, None);
    near(&e, "bwt, smoke=yes − no", "weighted mean difference", -362.385_895_50, Some(115.745_156_36));
    near(&e, "low, smoke=yes − no", "weighted risk difference", 0.184_522_04, Some(0.073_240_57));
    near(&e, "low, smoke=yes − no", "weighted risk ratio", 1.804_158_74, None);
    let low = get(&e, "low, smoke=yes − no", "weighted risk ratio").lower.unwrap();
    assert!((low - 1.153_629_00).abs() < 1e-7);
    near(&e, "age", "smd before", -0.091_250_98, None);
    near(&e, "age", "smd after", -0.001_622_70, None);
    near(&e, "lwt", "smd after", 0.016_103_64, None);
    near(&e, "smoke=yes", "effective n", 64.409_716_59, None);
    near(&e, "bwt, smoke=yes − no", "stratified mean difference", -350.892_228_60, Some(140.976_623_40));
    near(&e, "bwt, score [0.400, 0.600), smoke=yes", "n", 35.0, None);
}

#[test]
fn the_treated() {
    let Some(e) = smoking(Kind::Att, 10.0, Cuts::Equal) else { return };
    near(&e, "bwt, smoke=yes − no", "weighted mean difference", -436.439_882_28, Some(114.217_853_31));
    near(&e, "low, smoke=yes − no", "weighted risk ratio", 2.099_755_00, None);
    near(&e, "age", "smd before", -0.095_125_95, None);
    near(&e, "age", "smd after", -0.055_125_83, None);
    near(&e, "smoke=no", "effective n", 73.469_804_56, None);
    near(&e, "bwt, smoke=yes − no", "stratified mean difference", -387.694_267_48, Some(174.995_554_82));
}

#[test]
fn strata_by_quantiles_are_alike_in_size() {
    let Some(e) = smoking(Kind::Ate, 10.0, Cuts::Quantiles) else { return };
    let sizes: Vec<f64> = e
        .rows
        .iter()
        .filter(|r| r.term.starts_with("bwt, score") && r.statistic == "n")
        .filter_map(|r| r.estimate)
        .collect();
    let whole: Vec<f64> = sizes.chunks(2).map(|s| s[0] + s[1]).collect();
    assert!(whole.len() == 5 && whole.iter().all(|n| (25.0..52.0).contains(n)), "{whole:?}");
    assert!((whole.iter().sum::<f64>() - 189.0).abs() < 1e-6);
    assert!(e.curves.iter().filter(|c| c.title.starts_with("propensity scores")).count() == 2);
}
