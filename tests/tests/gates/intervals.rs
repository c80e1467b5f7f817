//! Gate 8: intervals on noisy numbers hold the truth as often as they say, from small groups, where the noise is larger than the
//! sampling error, to large ones. An interval that forgets the noise is refused. False alarms: 1e-6 an estimate.

use rand::{RngExt as _, SeedableRng as _};
use statrs::distribution::{Binomial, DiscreteCDF as _};
use study::Plan;
use summaries::interval::normal_quantile;
use summaries::{Column, PatientBatch, Row};

use crate::whole;

/// What the intervals say they hold, and by how much a right one may fall short: they are normal approximations.
const LEVEL: f64 = 0.95;
const SLACK: f64 = 0.02;

/// A plan with one analysis, patients of one made-up study, and the truth of one of its numbers.
struct Case {
    plan: Plan,
    patients: fn(&mut rand_chacha::ChaCha20Rng, usize) -> PatientBatch,
    row: (&'static str, &'static str),
    truth: f64,
}

fn mean() -> Case {
    let rest = "[features.x]\nkind = \"measurement\"\ncode = \"own:x\"\nunit = \"1\"\nbounds = [0.0, 100.0]\n\
                [[analysis]]\nkind = \"moments\"\nof = \"x\"\n";
    let patients = |rng: &mut rand_chacha::ChaCha20Rng, n: usize| {
        let x = (0..n).map(|_| rng.random::<f64>() * 100.0).collect();
        PatientBatch::new(n, vec![Column::Real(x)]).unwrap()
    };
    Case { plan: whole::plan("epsilon = 1.0", rest), patients, row: ("x", "mean"), truth: 50.0 }
}

/// log odds = −0.5 + 1.5·x, x uniform on [−1, 1].
fn slope() -> Case {
    let rest = "[features.x]\nkind = \"measurement\"\ncode = \"own:x\"\nunit = \"1\"\nbounds = [-1.0, 1.0]\n\
                [features.y]\nkind = \"has\"\ntable = \"condition\"\n\
                [[analysis]]\nkind = \"logistic\"\noutcome = \"y\"\nfeatures = [\"x\"]\n";
    let patients = |rng: &mut rand_chacha::ChaCha20Rng, n: usize| {
        let x: Vec<f64> = (0..n).map(|_| rng.random::<f64>() * 2.0 - 1.0).collect();
        let yes = |x: &f64| u32::from(rng.random::<f64>() < 1.0 / (1.0 + (0.5 - 1.5 * x).exp()));
        let y = x.iter().map(yes).collect();
        PatientBatch::new(n, vec![Column::Real(x), Column::Level(y)]).unwrap()
    };
    Case { plan: whole::plan("epsilon = 1.0", rest), patients, row: ("x", "coefficient"), truth: 1.5 }
}

/// In how many of so many made-up studies of `n` patients the interval holds the truth, and in how many the number is shown at all.
fn covered(case: &Case, n: usize, studies: usize, width: fn(&Row) -> Option<f64>) -> (u64, u64) {
    let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(n as u64);
    let (mut held, mut shown) = (0, 0);
    for _ in 0..studies {
        let (estimate, _) = whole::run(&case.plan, &(case.patients)(&mut rng, n), 1.0, |_, _| Ok(())).unwrap();
        let row = estimate.rows.into_iter().find(|r| (r.term.as_str(), r.statistic.as_str()) == case.row).unwrap();
        if let (Some(at), Some(se)) = (row.estimate, width(&row)) {
            shown += 1;
            held += u64::from((at - case.truth).abs() <= normal_quantile(0.5 + LEVEL / 2.0) * se);
        }
    }
    (held, shown)
}

/// Refuses intervals that hold the truth less often than they say.
fn gate(case: &Case, n: usize, width: fn(&Row) -> Option<f64>) -> Result<f64, String> {
    let studies = insitu_tests::sized(400, 4_000);
    let (held, shown) = covered(case, n, studies, width);
    if shown * 2 < studies as u64 {
        return Err(format!("{:?} is shown in {shown} of {studies} studies alone", case.row));
    }
    let chance = Binomial::new(LEVEL - SLACK, shown).map_err(|e| e.to_string())?.cdf(held);
    let rate = held as f64 / shown as f64;
    if chance >= 1e-6 { Ok(rate) } else { Err(format!("{:?}: {rate:.3} of intervals hold the truth", case.row)) }
}

#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    for (case, sizes) in [(mean(), [100, 1_000, 5_000]), (slope(), [2_000, 4_000, 10_000])] {
        for n in sizes {
            println!("{:?}, {n} patients: {:.3}", case.row, gate(&case, n, |r| r.se).unwrap());
        }
    }
}

/// Planted: the interval knows sampling alone.
#[test]
fn an_interval_that_forgets_the_noise_is_found() {
    for (case, n) in [(mean(), 100), (slope(), 2_000)] {
        let said = gate(&case, n, |r| r.sampling_se).unwrap_err();
        assert!(said.contains("hold the truth"), "{said}");
        println!("{said}");
    }
}
