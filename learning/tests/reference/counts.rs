//! Counts that vary more than a Poisson's.
//!
//! The reference maximises the full likelihood of β and log θ together (scipy 1.17, digamma and trigamma from its library, a root of the
//! slope to 1e-13); errors are from the expected curvature by β and the observed one by θ, as MASS's `glm.nb` has them, which prints for
//! warpbreaks theta 12.08 and its error 3.30.

use learning::{Design, Family, NegativeBinomial};
use summaries::{Column, Estimate};

use crate::harness::{Data, agree, category, columns, get, level, number, real, reporting, run, table};

fn fit(design: Design, (most, exposure): (f64, bool), start: f64, data: Vec<Column>) -> Estimate {
    let family = Family::NegativeBinomial { most, exposure, size: 1.0 };
    let model = NegativeBinomial::new(design, family, columns(data.len()), (60, start), reporting()).unwrap();
    run(Box::new(model), data)
}

fn theta(e: &Estimate, wanted: f64, se: f64) {
    let row = get(e, "model", "theta");
    let (got, spread) = (row.estimate.unwrap_or_else(|| panic!("{}", row.note)), row.sampling_se.unwrap());
    assert!((got - wanted).abs() < 1e-6 && (spread - se).abs() < 1e-6, "theta {got} ({spread}), not {wanted} ({se})");
}

#[test]
fn warpbreaks_is_what_glm_nb_says() {
    let Some(d) = table("regression-reference/warpbreaks.csv") else { return };
    let (wool, tension) = (["A", "B"], ["L", "M", "H"]);
    let terms = vec![category("wool", &wool), category("tension", &tension)];
    let design = Design::new(terms).with_interactions(vec![(0, 1)]);
    let data = vec![level(&d, "wool", &wool), level(&d, "tension", &tension), real(&d, "breaks")];
    let e = fit(design, (100.0, false), 10f64.ln(), data);
    let expected = [
        ("(intercept)", 3.796_736_85, 0.108_120_57),
        ("wool=B", -0.456_627_16, 0.157_554_30),
        ("tension=M", -0.618_683_02, 0.159_737_22),
        ("tension=H", -0.595_798_73, 0.159_409_02),
        ("wool=B:tension=M", 0.638_176_81, 0.227_390_80),
        ("wool=B:tension=H", 0.188_363_17, 0.231_641_94),
    ];
    agree(&e, &expected, 6e-8);
    theta(&e, 12.082_164_62, 3.300_480_48);
    let pearson = get(&e, "model", "dispersion").estimate.unwrap();
    assert!((pearson - 1.079_551_42).abs() < 1e-7, "{pearson}");
}

fn visits(d: &Data, exposure: bool) -> Estimate {
    let bit = ["0", "1"];
    let design = Design::new(vec![number("age", 10.0, 50.0), number("lwt", 50.0, 300.0), category("smoke", &bit)]);
    let mut data = vec![real(d, "age"), real(d, "lwt"), level(d, "smoke", &bit), real(d, "ftv")];
    if exposure {
        data.push(real(d, "age"));
    }
    fit(design, (10.0, exposure), if exposure { -3.0 } else { 1.0 }, data)
}

#[test]
fn birthwt_visits_with_numbers_and_with_an_exposure() {
    let Some(d) = table("regression-reference/birthwt.csv") else { return };
    let e = visits(&d, false);
    let expected = [
        ("(intercept)", -1.849_658_95, 0.542_704_06),
        ("age", 0.046_291_13, 0.017_301_92),
        ("lwt", 0.004_051_93, 0.002_977_30),
        ("smoke=1", -0.074_299_69, 0.197_868_49),
    ];
    agree(&e, &expected, 6e-8);
    theta(&e, 2.311_166_79, 1.097_074_00);
    let e = visits(&d, true);
    let expected = [
        ("(intercept)", -4.029_222_55, 0.546_723_73),
        ("age", 0.005_833_14, 0.017_541_07),
        ("lwt", 0.004_043_12, 0.002_973_99),
        ("smoke=1", -0.077_700_99, 0.197_735_81),
    ];
    agree(&e, &expected, 6e-8);
    theta(&e, 2.323_720_98, 1.110_303_08);
}

#[test]
fn counts_that_vary_no_more_than_a_poissons_say_so() {
    // All counts near their mean: θ runs away.
    let y = (0..60).map(|i| f64::from(4 + i % 2)).collect();
    let arm = (0..60u32).map(|i| i / 30).collect();
    let design = Design::new(vec![category("arm", &["a", "b"])]);
    let e = fit(design, (10.0, false), 1.0, vec![Column::Level(arm), Column::Real(y)]);
    assert!(get(&e, "model", "theta").note.contains("no more than a Poisson's"));
    assert!(get(&e, "arm=b", "coefficient").estimate.unwrap().abs() < 1e-7);
}
