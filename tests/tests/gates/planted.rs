//! Planted faults: each gate refuses what it is there to refuse.

use std::collections::BTreeMap;

use privacy::Rho;
use summaries::{
    AccumulateError, Column, Estimate, Input, Lanes, Layout, MergedRelease, PatientBatch, Reporting, Sensitivity,
    Statistic,
};

use crate::{sampler, sensitivity, subjects, worlds};

/// What is wrong with a statistic.
#[derive(Clone, Copy)]
enum Fault {
    /// It declares its sensitivity times so much.
    Declares(f64),
    /// It declares L1 for L2 and L2 for L1.
    SwapsNorms,
    /// It adds something a batch, not a patient.
    CountsBatches,
    /// It adds a patient twice where the first number is missing.
    AddsMissingTwice,
    /// It takes the column that it wants for granted.
    Trusts,
}

struct Wrong<'a> {
    inner: &'a dyn Statistic,
    fault: Fault,
}

impl Statistic for Wrong<'_> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }
    fn inputs(&self) -> Vec<Input> {
        self.inner.inputs()
    }
    fn layout(&self) -> Layout {
        self.inner.layout()
    }
    fn sensitivity(&self) -> Sensitivity {
        let s = self.inner.sensitivity();
        match self.fault {
            Fault::Declares(share) => Sensitivity { l2: s.l2 * share, ..s },
            Fault::SwapsNorms => Sensitivity { l1: s.l2, l2: s.l1, ..s },
            _ => s,
        }
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        self.inner.accumulate(patients, lanes)?;
        match (self.fault, patients.column(0)) {
            (Fault::CountsBatches, _) => lanes.add("wrong", 0, 1),
            (Fault::AddsMissingTwice, Some(Column::Real(v))) if v.iter().any(|x| x.is_nan()) => {
                self.inner.accumulate(patients, lanes)
            }
            (Fault::Trusts, None) => panic!("no column"),
            _ => Ok(()),
        }
    }
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate {
        self.inner.estimate(merged, reporting)
    }
}

fn named(name: &str) -> Box<dyn Statistic> {
    subjects().into_iter().find(|s| s.statistic.name() == name).unwrap().statistic
}

/// A patient with 5 codes moves √5; a statistic that says 1 is found.
#[test]
fn a_sensitivity_that_is_root_k_too_small_is_found() {
    let codes = named("codes");
    let k = 5.0f64;
    let said = sensitivity::fuzz(&Wrong { inner: codes.as_ref(), fault: Fault::Declares(1.0 / k.sqrt()) }).unwrap_err();
    assert!(said.contains("moves L2"), "{said}");
    println!("{}", said.lines().next().unwrap_or_default());
}

/// L1 where L2 should stand and the other way round: a tree's L2 is no larger than its L1 unless they were swapped; and a bound of
/// leaves for a whole tree is found by the fuzz.
#[test]
fn swapped_norms_are_found() {
    let tree = named("quantiles");
    let swapped = Wrong { inner: tree.as_ref(), fault: Fault::SwapsNorms };
    assert!(sensitivity::declared(&swapped).unwrap_err().contains("no set of norms"));
    let leaves = Wrong { inner: tree.as_ref(), fault: Fault::Declares(1.0 / tree.sensitivity().l2) };
    assert!(sensitivity::fuzz(&leaves).unwrap_err().contains("moves L2"));
}

/// Statistics whose bound is simple rather than sharp, and the share of it that the fuzz reaches: no patient is at the bound of both
/// lanes of the size's score at once, nor at that of every covariate with a weight at the cap. It costs them noise, and no privacy.
const LOOSE: &[(&str, f64)] = &[("size_score", 0.3), ("balance", 0.6)];

/// The fuzz comes near the bound of every statistic: a tenth less than declared is found in at least one of its instances.
#[test]
fn the_fuzz_reaches_nine_tenths_of_every_sensitivity() {
    let mut found: BTreeMap<String, bool> = BTreeMap::new();
    for s in subjects() {
        let share = LOOSE.iter().find(|(n, _)| *n == s.statistic.name()).map_or(0.9, |(_, share)| *share);
        let wrong = Wrong { inner: s.statistic.as_ref(), fault: Fault::Declares(share) };
        *found.entry(s.statistic.name().to_owned()).or_default() |= sensitivity::fuzz(&wrong).is_err();
    }
    assert!(found.values().all(|f| *f), "{found:?}");
}

#[test]
fn sums_that_are_no_sums_are_found() {
    let count = named("count");
    let said = sensitivity::fuzz(&Wrong { inner: count.as_ref(), fault: Fault::CountsBatches }).unwrap_err();
    assert!(said.contains("sum") || said.contains("moves"), "{said}");
    let moments = named("moments");
    assert!(sensitivity::fuzz(&Wrong { inner: moments.as_ref(), fault: Fault::AddsMissingTwice }).is_err());
}

#[test]
fn a_panic_on_a_wrong_batch_is_found() {
    let histogram = named("histogram");
    let trusting = Wrong { inner: histogram.as_ref(), fault: Fault::Trusts };
    // The inner statistic refuses first; the count has no column to refuse for.
    assert!(sensitivity::misfits(&trusting).is_ok());
    let count = named("count");
    let said = sensitivity::misfits(&Wrong { inner: count.as_ref(), fault: Fault::Trusts }).unwrap_err();
    assert!(said.contains("panicked"), "{said}");
}

/// The sampler with another σ than is due: the variance test at 111 k draws rejects 3 % on either side, and takes the truth.
#[test]
fn a_sigma_that_is_three_percent_off_is_found() {
    let s = named("count").sensitivity();
    let rho = Rho::from_nano(28_000_000);
    let sigma = sampler::due(s.l2, rho);
    for (factor, right) in [(0.97, false), (1.0, true), (1.03, false)] {
        let other = Sensitivity { l2: s.l2 * factor, ..s };
        let (values, _) = sampler::draw(other, rho, sampler::many()).unwrap();
        let said = sampler::variance(&values, sigma);
        assert_eq!(said.is_ok(), right, "σ times {factor}: {said:?}");
        println!("σ times {factor}: {said:?}");
    }
}

/// Noise of the right variance and another shape, or that repeats itself, or that is shifted.
#[test]
fn another_shape_is_found() {
    let s = named("count").sensitivity();
    let rho = Rho::from_nano(28_000_000);
    let sigma = sampler::due(s.l2, rho);
    // Few enough that rounding to even numbers does not show in the variance.
    let (right, _) = sampler::draw(s, rho, 20_000).unwrap();
    sampler::gate(&right, sigma).unwrap();

    let even: Vec<i64> = right.iter().map(|v| v / 2 * 2).collect();
    assert!(sampler::variance(&even, sigma).is_ok(), "its variance is right");
    assert!(sampler::mass(&even, sigma).is_err(), "only even numbers");

    let twice: Vec<i64> = right.iter().flat_map(|v| [*v, *v]).collect();
    assert!(sampler::gate(&twice, sigma).unwrap_err().contains("neighbouring"));
    let shifted: Vec<i64> = right.iter().map(|v| v + 8).collect();
    assert!(sampler::gate(&shifted, sigma).is_err());

    // A uniform grid of the right variance, as fine as fixed point.
    let (large, n) = (1e11, 20_000i64);
    let flat: Vec<i64> = (0..n).map(|i| ((i - n / 2) as f64 / n as f64 * large * 12f64.sqrt()) as i64).collect();
    assert!(sampler::variance(&flat, large).is_ok() && sampler::distribution(&flat, large).is_err());
}

/// Noise that is a tenth too small tells the worlds too far apart.
#[test]
fn noise_that_is_ten_percent_too_small_is_found_by_two_worlds() {
    for name in ["count", "codes", "moments"] {
        let declared = named(name).sensitivity();
        let less = Sensitivity { l2: declared.l2 * 0.9, ..declared };
        let said = worlds::gate(declared, less, Rho::from_nano(500_000_000)).unwrap_err();
        assert!(said.contains("apart"), "{name}: {said}");
    }
}
