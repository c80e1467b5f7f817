//! Piecewise exponential models: the Poisson regression of veteran, split at 30, 90 and 180 days, by Newton's steps in numpy until the slope
//! is below 1e-12.

use learning::piecewise::Intervals;
use learning::{Design, PiecewiseExponential};
use summaries::Column;

use crate::harness::{agree, category, columns, get, level, number, real, reporting, run, table};

#[test]
fn veteran_is_the_poisson_regression_of_split_data() {
    let Some(d) = table("survival/veteran.csv") else { return };
    let cells = ["squamous", "smallcell", "adeno", "large"];
    let design = Design::new(vec![number("trt", 1.0, 2.0), number("karno", 0.0, 100.0), category("celltype", &cells)]);
    let data = vec![
        real(&d, "trt"),
        real(&d, "karno"),
        level(&d, "celltype", &cells),
        real(&d, "time"),
        level(&d, "status", &["0", "1"]),
    ];
    let model = Intervals::new(design, vec![30.0, 90.0, 180.0, 1000.0], 50.0).unwrap();
    let e = run(Box::new(PiecewiseExponential::new(model, columns(5), 50, reporting())), data);
    let expected = [
        ("(0, 30]", -3.834_855_709, 0.510_133_687),
        ("(30, 90]", -4.006_091_465, 0.525_616_239),
        ("(90, 180]", -3.545_889_997, 0.508_869_745),
        ("(180, 1000]", -3.851_856_539, 0.520_062_221),
        ("trt", 0.240_001_851, 0.198_123_384),
        ("karno", -0.029_987_385, 0.005_056_333),
        ("celltype=smallcell", 0.833_551_445, 0.264_387_463),
        ("celltype=adeno", 1.139_044_328, 0.290_797_249),
        ("celltype=large", 0.364_713_797, 0.276_942_415),
    ];
    agree(&e, &expected, 1e-7);
    let value = |term: &str, statistic: &str| get(&e, term, statistic).estimate.unwrap();
    assert!((value("(30, 90]", "events") - 32.0).abs() < 1e-6);
    assert!((value("(30, 90]", "person-time") - 4_604.0).abs() < 1e-4);
    assert!((value("(30, 90]", "rate") - 32.0 / 4_604.0).abs() < 1e-9);
    assert!((value("(30, 90]", "hazard") - 0.005_825_805_75).abs() < 1e-9);
    assert!(value("celltype", "wald p") < 0.001);
}

/// With no other feature than a group, each group's hazards are events by time where the groups' are proportional.
#[test]
fn two_groups_in_one_interval_are_their_rates() {
    let data = vec![
        Column::Level(vec![0, 0, 0, 1, 1, 1]),
        Column::Real(vec![2.0, 5.0, 3.0, 4.0, 9.0, 30.0]),
        Column::Level(vec![1, 0, 1, 1, 1, 1]),
    ];
    let model = Intervals::new(Design::new(vec![category("arm", &["a", "b"])]), vec![10.0], 20.0).unwrap();
    let e = run(Box::new(PiecewiseExponential::new(model, columns(3), 50, reporting())), data);
    // The last is followed beyond the horizon, and censored there: 2 in 23 against 2 in 10.
    assert!((get(&e, "arm=b", "hazard ratio").estimate.unwrap() - (2.0 / 23.0) / (2.0 / 10.0)).abs() < 1e-8);
    assert!((get(&e, "(0, 10]", "hazard").estimate.unwrap() - 0.2).abs() < 1e-9);
}
