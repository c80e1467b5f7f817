//! The regressions that every textbook has.

use learning::cox::Model;
use learning::piecewise::Intervals;
use learning::{Cox, Design, Family, Glm, Linear, PiecewiseExponential, Ties};
use summaries::program::{OneShot, PartPlan};
use summaries::survival::Grid;
use summaries::{Column, Estimate, Row};

use crate::harness::{agree, category, columns, get, level, number, real, reporting, run, table};

#[test]
fn birthwt_logistic() {
    let Some(d) = table("regression-reference/birthwt.csv") else { return };
    let bit = ["0", "1"];
    let terms = vec![
        number("age", 10.0, 50.0),
        number("lwt", 50.0, 300.0),
        category("race", &["1", "2", "3"]),
        category("smoke", &bit),
        number("ptl", 0.0, 5.0),
        category("ht", &bit),
        category("ui", &bit),
        number("ftv", 0.0, 10.0),
    ];
    let data = vec![
        real(&d, "age"),
        real(&d, "lwt"),
        level(&d, "race", &["1", "2", "3"]),
        level(&d, "smoke", &bit),
        real(&d, "ptl"),
        level(&d, "ht", &bit),
        level(&d, "ui", &bit),
        real(&d, "ftv"),
        level(&d, "low", &bit),
    ];
    let e = run(Box::new(Glm::new(Design::new(terms), Family::Logistic, columns(9), 50, reporting())), data);
    let expected = [
        ("(intercept)", 0.480_623_2, 1.196_887_6),
        ("age", -0.029_549_0, 0.037_030_8),
        ("lwt", -0.015_424_3, 0.006_919_2),
        ("race=2", 1.272_259_8, 0.527_357_3),
        ("race=3", 0.880_495_9, 0.440_777_7),
        ("smoke=1", 0.938_845_7, 0.402_146_9),
        ("ptl", 0.543_337_0, 0.345_403_0),
        ("ht=1", 1.863_302_9, 0.697_533_1),
        ("ui=1", 0.767_648_1, 0.459_317_9),
        ("ftv", 0.065_301_8, 0.172_393_8),
    ];
    agree(&e, &expected, 6e-8);
}

#[test]
fn birthwt_linear() {
    let Some(d) = table("regression-reference/birthwt.csv") else { return };
    let bit = ["0", "1"];
    let terms = vec![
        number("age", 10.0, 50.0),
        number("lwt", 50.0, 300.0),
        category("race", &["1", "2", "3"]),
        category("smoke", &bit),
        category("ht", &bit),
        category("ui", &bit),
    ];
    let data = vec![
        real(&d, "age"),
        real(&d, "lwt"),
        level(&d, "race", &["1", "2", "3"]),
        level(&d, "smoke", &bit),
        level(&d, "ht", &bit),
        level(&d, "ui", &bit),
        real(&d, "bwt"),
    ];
    let statistic = Linear::new(Design::new(terms), 500.0, 6000.0).unwrap();
    let plan = PartPlan {
        name: "linear".into(),
        make: Box::new(move || Box::new(statistic.clone())),
        columns: columns(7),
        weight: 1.0,
        reporting: reporting(),
    };
    let e = run(Box::new(OneShot::new(vec![plan])), data);
    let expected = [
        ("(intercept)", 2_933.465_930, 310.772_908),
        ("age", -4.672_613, 9.337_262),
        ("lwt", 4.395_576, 1.706_838),
        ("race=2", -490.638_180, 149.188_439),
        ("race=3", -356.613_419, 113.855_871),
        ("smoke=1", -360.708_093, 104.027_301),
        ("ht=1", -590.029_375, 200.289_974),
        ("ui=1", -528.534_221, 135.087_532),
    ];
    agree(&e, &expected, 2e-6);
    assert!((get(&e, "model", "residual sd").estimate.unwrap() - 647.274_715_7).abs() < 1e-6);
    assert!((get(&e, "model", "R2").estimate.unwrap() - 0.241_443_97).abs() < 6e-9);
    assert!((get(&e, "smoke=1", "p").estimate.unwrap() - 0.000_656_4).abs() < 6e-8);
}

#[test]
fn warpbreaks_poisson_with_an_interaction() {
    let Some(d) = table("regression-reference/warpbreaks.csv") else { return };
    let (wool, tension) = (["A", "B"], ["L", "M", "H"]);
    let terms = vec![category("wool", &wool), category("tension", &tension)];
    let design = Design::new(terms).with_interactions(vec![(0, 1)]);
    let data = vec![level(&d, "wool", &wool), level(&d, "tension", &tension), real(&d, "breaks")];
    let family = Family::Poisson { most: 100.0, exposure: false };
    let e = run(Box::new(Glm::new(design, family, columns(3), 50, reporting())), data);
    let expected = [
        ("(intercept)", 3.796_736_8, 0.049_937_5),
        ("wool=B", -0.456_627_2, 0.080_192_0),
        ("tension=M", -0.618_683_0, 0.084_400_1),
        ("tension=H", -0.595_798_7, 0.083_777_2),
        ("wool=B:tension=M", 0.638_176_8, 0.122_153_1),
        ("wool=B:tension=H", 0.188_363_2, 0.129_895_3),
    ];
    agree(&e, &expected, 6e-8);
    // Pearson's χ² over 48, as summary(glm(..., quasipoisson)) has it.
    assert!((get(&e, "model", "dispersion").estimate.unwrap() - 3.763_4).abs() < 1e-3);
}

#[test]
fn a_count_by_its_exposure_is_a_rate() {
    // Two groups: 3 events in 10 and 8 in 16: the rate ratio is (8/16) / (3/10).
    let data = vec![
        Column::Level(vec![0, 0, 0, 1, 1, 1]),
        Column::Real(vec![1.0, 2.0, 0.0, 3.0, 5.0, 0.0]),
        Column::Real(vec![2.0, 5.0, 3.0, 4.0, 10.0, 2.0]),
    ];
    let design = Design::new(vec![category("arm", &["a", "b"])]);
    let family = Family::Poisson { most: 20.0, exposure: true };
    let e = run(Box::new(Glm::new(design, family, columns(3), 50, reporting())), data);
    assert!((get(&e, "arm=b", "rate ratio").estimate.unwrap() - 5.0 / 3.0).abs() < 1e-8);
    assert!((get(&e, "arm=b", "coefficient").sampling_se.unwrap() - (1.0 / 3.0 + 1.0 / 8.0f64).sqrt()).abs() < 1e-8);
}

#[test]
fn a_gammas_means_are_its_groups() {
    let data = vec![Column::Level(vec![0, 0, 0, 1, 1, 1]), Column::Real(vec![1.0, 2.0, 3.0, 4.0, 10.0, 7.0])];
    let design = Design::new(vec![category("arm", &["a", "b"])]);
    let e = run(Box::new(Glm::new(design, Family::Gamma, columns(2), 60, reporting())), data);
    assert!((get(&e, "arm=b", "mean ratio").estimate.unwrap() - 3.5).abs() < 1e-7);
    // Pearson: Σ((y − μ)/μ)² / 4, and the coefficient's error √(φ (1/3 + 1/3)).
    let squares: f64 = [1.0, 2.0, 3.0].iter().map(|y| (y / 2.0 - 1.0f64).powi(2)).sum::<f64>()
        + [4.0, 10.0, 7.0].iter().map(|y| (y / 7.0 - 1.0f64).powi(2)).sum::<f64>();
    assert!((get(&e, "model", "dispersion").estimate.unwrap() - squares / 4.0).abs() < 1e-8);
    let error = get(&e, "arm=b", "coefficient").sampling_se.unwrap();
    assert!((error - (squares / 4.0 * 2.0 / 3.0).sqrt()).abs() < 1e-7);
}

#[test]
fn lung_cox_efron_breslow_and_stratified() {
    let Some(d) = table("survival/lung.csv") else { return };
    let mut places: Vec<&str> = d["inst"].iter().map(String::as_str).filter(|n| !n.is_empty()).collect();
    places.sort_unstable();
    places.dedup();
    let model = |ties, strata| Model {
        design: Design::new(vec![number("age", 30.0, 90.0), number("sex", 1.0, 2.0), number("ph.ecog", 0.0, 4.0)])
            .without_intercept(),
        grid: Grid::new(1.0, 1100.0).unwrap(),
        strata,
        ties,
        cap: 20.0,
    };
    let data = |strata: bool| {
        let mut out = vec![
            real(&d, "age"),
            real(&d, "sex"),
            real(&d, "ph.ecog"),
            real(&d, "time"),
            level(&d, "status", &["1", "2"]),
        ];
        if strata {
            out.push(level(&d, "inst", &places));
        }
        out
    };
    let cox = |ties, strata: Option<u32>| {
        let n = if strata.is_some() { 6 } else { 5 };
        run(Box::new(Cox::new(model(ties, strata), columns(n), 30, reporting()).unwrap()), data(strata.is_some()))
    };
    let e = cox(Ties::Efron, None);
    agree(
        &e,
        &[("age", 0.011_067, 0.009_267), ("sex", -0.552_612, 0.167_739), ("ph.ecog", 0.463_728, 0.113_577)],
        6e-7,
    );
    assert!((get(&e, "model", "log likelihood").estimate.unwrap() + 729.230_121).abs() < 1e-6);
    assert!((get(&e, "model", "likelihood ratio chi2").estimate.unwrap() - 30.500_7).abs() < 6e-5);
    assert!((get(&e, "model", "score chi2").estimate.unwrap() - 30.499_9).abs() < 6e-5);
    let e = cox(Ties::Breslow, None);
    agree(
        &e,
        &[("age", 0.011_041, 0.009_267), ("sex", -0.551_890, 0.167_742), ("ph.ecog", 0.462_947, 0.113_574)],
        6e-7,
    );
    let e = cox(Ties::Efron, Some(places.len() as u32));
    agree(
        &e,
        &[("age", 0.009_561, 0.010_292), ("sex", -0.547_357, 0.181_845), ("ph.ecog", 0.597_253, 0.137_823)],
        6e-7,
    );
}

#[test]
fn veteran_cox_with_a_category() {
    let Some(d) = table("survival/veteran.csv") else { return };
    let cells = ["squamous", "smallcell", "adeno", "large"];
    let design = Design::new(vec![
        number("trt", 1.0, 2.0),
        category("celltype", &cells),
        number("karno", 0.0, 100.0),
        number("diagtime", 0.0, 100.0),
        number("age", 30.0, 90.0),
        number("prior", 0.0, 10.0),
    ]);
    let data = vec![
        real(&d, "trt"),
        level(&d, "celltype", &cells),
        real(&d, "karno"),
        real(&d, "diagtime"),
        real(&d, "age"),
        real(&d, "prior"),
        real(&d, "time"),
        level(&d, "status", &["0", "1"]),
    ];
    let model = Model {
        design: design.without_intercept(),
        grid: Grid::new(1.0, 1000.0).unwrap(),
        strata: None,
        ties: Ties::Efron,
        cap: 50.0,
    };
    let e = run(Box::new(Cox::new(model, columns(8), 30, reporting()).unwrap()), data);
    let expected = [
        ("trt", 0.294_603, 0.207_550),
        ("celltype=smallcell", 0.861_560, 0.275_284),
        ("celltype=adeno", 1.196_066, 0.300_917),
        ("celltype=large", 0.401_292, 0.282_689),
        ("karno", -0.032_815, 0.005_508),
        ("diagtime", 0.000_081, 0.009_136),
        ("age", -0.008_706, 0.009_300),
        ("prior", 0.007_159, 0.023_231),
    ];
    agree(&e, &expected, 6e-7);
}

#[test]
fn what_can_not_be_estimated_says_why() {
    let bit = |v: Vec<u32>| Column::Level(v);
    let note = |e: &Estimate, term: &str| get(e, term, "coefficient").note.clone();
    // A constant column, and one that is another.
    let design = || Design::new(vec![number("a", 0.0, 10.0), number("b", 0.0, 10.0)]);
    let twice = vec![
        Column::Real((0..12).map(f64::from).collect()),
        Column::Real((0..12).map(f64::from).collect()),
        bit((0..12).map(|i| u32::from(i % 3 == 0)).collect()),
    ];
    let e = run(Box::new(Glm::new(design(), Family::Logistic, columns(3), 30, reporting())), twice);
    assert!(note(&e, "a").contains("collinear"), "{}", note(&e, "a"));
    // Perfect separation.
    let apart = vec![Column::Real((0..12).map(f64::from).collect()), bit((0..12).map(|i| u32::from(i > 5)).collect())];
    let one = Design::new(vec![number("a", 0.0, 11.0)]);
    let e = run(Box::new(Glm::new(one, Family::Logistic, columns(2), 12, reporting())), apart);
    assert!(note(&e, "a").contains("separate"), "{}", note(&e, "a"));
    // Nobody.
    let none = vec![Column::Real(vec![]), Column::Real(vec![]), bit(vec![])];
    let e = run(Box::new(Glm::new(design(), Family::Logistic, columns(3), 30, reporting())), none.clone());
    assert!(note(&e, "a").contains("no complete patient"), "{}", note(&e, "a"));
    let model = Model {
        design: design().without_intercept(),
        grid: Grid::new(1.0, 10.0).unwrap(),
        strata: None,
        ties: Ties::Efron,
        cap: 20.0,
    };
    let none = vec![Column::Real(vec![]), Column::Real(vec![]), Column::Real(vec![]), bit(vec![])];
    let e = run(Box::new(Cox::new(model, columns(4), 30, reporting()).unwrap()), none);
    assert!(note(&e, "a").contains("no event"), "{}", note(&e, "a"));
}

/// Everybody of a level has the outcome, or the event: no steps, few or many, tell a ratio, and the reason is said to be that.
#[test]
fn separation_is_told_however_many_steps_are_taken() {
    let note = |e: &Estimate, term: &str| get(e, term, "coefficient").note.clone();
    let arm = || Design::new(vec![category("arm", &["a", "b"])]);
    let arms: Vec<u32> = (0..200).map(|i| i % 2).collect();
    for steps in [4, 8, 50] {
        let data = vec![Column::Level(arms.clone()), Column::Level(arms.clone())];
        let e = run(Box::new(Glm::new(arm(), Family::Logistic, columns(2), steps, reporting())), data);
        assert!(note(&e, "arm=b").contains("separate"), "{steps} steps: {}", note(&e, "arm=b"));
        for cap in [20.0, 1000.0] {
            let model = Model {
                design: arm().without_intercept(),
                grid: Grid::new(1.0, 100.0).unwrap(),
                strata: None,
                ties: Ties::Efron,
                cap,
            };
            let time = (0..200).map(|i| f64::from(1 + i % 97)).collect();
            let event = (0..200).map(|i| u32::from(i % 2 == 1 && i % 5 == 0)).collect();
            let data = vec![Column::Level(arms.clone()), Column::Real(time), Column::Level(event)];
            let e = run(Box::new(Cox::new(model, columns(3), steps, reporting()).unwrap()), data);
            assert!(note(&e, "arm=b").contains("separate"), "{steps} steps, cap {cap}: {}", note(&e, "arm=b"));
        }
    }
}

/// An interval without an event has no hazard, and the others keep theirs.
#[test]
fn an_interval_without_an_event_is_said_to_have_none() {
    let time: Vec<f64> =
        (0..300).map(|i| if i % 3 == 0 { f64::from(i % 30) + 1.0 } else { 91.0 + f64::from(i % 20) }).collect();
    let event: Vec<u32> = (0..300).map(|i| u32::from(i % 3 == 0 || i % 4 == 0)).collect();
    let x: Vec<f64> = (0..300).map(|i| f64::from((i * 7) % 11)).collect();
    let data = || vec![Column::Real(x.clone()), Column::Real(time.clone()), Column::Level(event.clone())];
    let model = |ends: Vec<f64>| Intervals::new(Design::new(vec![number("x", 0.0, 10.0)]), ends, 1000.0).unwrap();
    let fit = |ends| run(Box::new(PiecewiseExponential::new(model(ends), columns(3), 50, reporting())), data());
    // Between 30 and 90 nobody has an event.
    let e = fit(vec![30.0, 90.0, 120.0]);
    let hazards: Vec<&Row> = e.rows.iter().filter(|r| r.statistic == "hazard").collect();
    assert_eq!(hazards.iter().map(|r| r.suppressed).collect::<Vec<_>>(), [false, true, false], "{hazards:?}");
    assert!(hazards[1].note.contains("no event"));
    assert!(get(&e, "x", "coefficient").estimate.is_some());
}
