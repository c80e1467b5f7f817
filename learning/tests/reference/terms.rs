//! Splines, offsets, weights, and Wald's tests of several coefficients.
//!
//! The reference fits the same likelihoods by iterated weighted least squares in numpy until the slope is below 1e-10, with Harrell's
//! columns of a restricted cubic spline written out, and tests by β' C⁻¹ β.

use learning::spline::Basis;
use learning::{Design, Family, Glm, Likelihood, Linear, Term};
use summaries::program::{OneShot, PartPlan};
use summaries::{Column, Estimate};

use crate::harness::{Data, agree, category, columns, get, level, number, real, reporting, run, table};

const BIT: [&str; 2] = ["0", "1"];

fn age() -> Term {
    Term::Spline { name: "age".into(), basis: Basis::new(10.0, 50.0, &[18.0, 23.0, 30.0]).unwrap() }
}

fn near(e: &Estimate, term: &str, statistic: &str, wanted: f64, tolerance: f64) {
    let row = get(e, term, statistic);
    let got = row.estimate.unwrap_or_else(|| panic!("{term}: {}", row.note));
    assert!((got - wanted).abs() <= tolerance, "{term}, {statistic}: {got} and not {wanted}");
}

fn numbers(d: &Data, name: &str, of: fn(f64) -> f64) -> Column {
    let Column::Real(values) = real(d, name) else { panic!("no numbers") };
    Column::Real(values.into_iter().map(of).collect())
}

fn linear(statistic: Linear, data: Vec<Column>) -> Estimate {
    let make = Box::new(move || Box::new(statistic.clone()) as Box<dyn summaries::Statistic>);
    let columns = columns(data.len());
    let plan = PartPlan { name: "linear".into(), make, columns, weight: 1.0, reporting: reporting() };
    run(Box::new(OneShot::new(vec![plan])), data)
}

#[test]
fn a_logistic_spline_its_tests_and_its_curve() {
    let Some(d) = table("regression-reference/birthwt.csv") else { return };
    let races = ["1", "2", "3"];
    let design = Design::new(vec![age(), category("race", &races), category("smoke", &BIT)]);
    let data = vec![real(&d, "age"), level(&d, "race", &races), level(&d, "smoke", &BIT), level(&d, "low", &BIT)];
    let e = run(Box::new(Glm::new(design, Family::Logistic, columns(4), 50, reporting())), data);
    let expected = [
        ("(intercept)", -2.984_501_113_3, 1.693_740_896_3),
        ("age", 0.067_598_628_5, 0.081_823_222_5),
        ("age'", -0.162_174_061_7, 0.119_154_495_6),
        ("race=2", 1.053_408_385_2, 0.499_597_441_4),
        ("race=3", 1.040_299_794_8, 0.406_979_970_4),
        ("smoke=1", 1.119_860_107_9, 0.375_443_672_0),
    ];
    agree(&e, &expected, 1e-7);
    near(&e, "race", "wald chi2", 7.853_897_96, 1e-6);
    near(&e, "race", "wald p", 0.019_703_697, 1e-8);
    near(&e, "age", "wald p", 0.261_275_092, 1e-7);
    near(&e, "age, nonlinear", "wald chi2", 1.852_430_50, 1e-6);
    let curve = e.curves.iter().find(|c| c.x_label == "age").unwrap();
    let [x, ratio, low, _] = curve.points[31];
    assert!((x - 41.0).abs() < 1e-9 && (ratio - 0.115_761_883).abs() < 1e-7 && (low - 0.008_701_443).abs() < 1e-7);
    // Against the middle knot.
    let [x, ratio, low, high] = curve.points[13];
    assert!((x - 23.0).abs() < 1e-9 && (ratio, low, high) == (1.0, 1.0, 1.0));
}

#[test]
fn a_spline_that_interacts_is_told_in_its_own_units() {
    let Some(d) = table("regression-reference/birthwt.csv") else { return };
    let design = Design::new(vec![age(), category("smoke", &BIT)]).with_interactions(vec![(0, 1)]);
    let data = vec![real(&d, "age"), level(&d, "smoke", &BIT), real(&d, "bwt")];
    let e = linear(Linear::new(design, 500.0, 6000.0).unwrap(), data);
    let expected = [
        ("(intercept)", 3_372.064_247_072_7, 600.988_309_843_9),
        ("age", -21.647_530_738_3, 29.477_572_082_7),
        ("age'", 68.025_485_069_5, 37.032_436_243_3),
        ("smoke=1", 234.033_544_394_2, 1_075.853_929_035_2),
        ("age:smoke=1", -18.020_308_531_7, 53.652_159_546_5),
        ("age':smoke=1", -37.392_776_361_5, 71.684_557_148_6),
    ];
    agree(&e, &expected, 2e-5);
    near(&e, "age:smoke", "wald F", 2.449_501_902_9, 1e-7);
    near(&e, "age:smoke", "wald p", 0.089_163_069_59, 1e-8);
    assert!(e.curves.is_empty(), "each level of the other has a curve of its own");
}

#[test]
fn a_poisson_with_an_offset_and_weights() {
    let Some(d) = table("regression-reference/birthwt.csv") else { return };
    let design = Design::new(vec![number("age", 10.0, 50.0), category("smoke", &BIT)]);
    let data = vec![
        real(&d, "age"),
        level(&d, "smoke", &BIT),
        real(&d, "ftv"),
        numbers(&d, "lwt", |x| x / 100.0),
        numbers(&d, "age", |x| x / 10.0),
    ];
    let family = Family::Poisson { most: 60.0, exposure: false };
    let of = Likelihood { family, offset: Some([0.0, 3.0]), weights: Some(8.0) };
    let e = run(Box::new(Glm::new(design, of, columns(5), 50, reporting())), data);
    let expected = [
        ("(intercept)", -2.463_182_098_6, 0.239_228_289_7),
        ("age", 0.036_520_223_1, 0.008_709_630_5),
        ("smoke=1", 0.005_238_951_7, 0.107_288_259_8),
    ];
    agree(&e, &expected, 1e-7);
    near(&e, "model", "dispersion", 3.235_464_320_7, 1e-7);
}

#[test]
fn a_linear_model_with_weights() {
    let Some(d) = table("regression-reference/birthwt.csv") else { return };
    let design = Design::new(vec![number("age", 10.0, 50.0), category("smoke", &BIT)]);
    let data = vec![real(&d, "age"), level(&d, "smoke", &BIT), real(&d, "bwt"), real(&d, "lwt")];
    let e = linear(Linear::new(design, 500.0, 6000.0).unwrap().weighted(Some(300.0)), data);
    let expected = [
        ("(intercept)", 2_864.335_050_875_3, 240.042_252_792_8),
        ("age", 9.481_650_467_6, 9.747_121_927_5),
        ("smoke=1", -285.838_630_582_1, 107.300_811_137_2),
    ];
    agree(&e, &expected, 2e-6);
    near(&e, "model", "residual sd", 8_175.289_781_34, 2e-4);
    near(&e, "model", "R2", 0.042_722_737_6, 1e-9);
}
