//! Tests of the privacy loss distributions: against direct sums, the exact Gaussian, and with planted faults.

use super::super::gaussian;
use super::super::golden_tests::{gate, golden};
use super::*;
use proptest::prelude::*;

/// The sum by definition: one round after the other, each pair of points.
fn by_definition(parts: &[(&Pmf, u64)]) -> (i64, Vec<f64>) {
    let (mut first, mut sum) = (0i64, vec![1.0]);
    for (pmf, rounds) in parts {
        for _ in 0..*rounds {
            let mut next = vec![0.0; sum.len() + pmf.masses().len() - 1];
            for (i, a) in sum.iter().enumerate() {
                for (j, b) in pmf.masses().iter().enumerate() {
                    next[i + j] += a * b;
                }
            }
            (first, sum) = (first + pmf.first(), next);
        }
    }
    (first, sum)
}

#[test]
fn agrees_with_the_sum_by_definition() {
    let shape = |first: i64, masses: Vec<f64>| {
        let whole: f64 = masses.iter().sum::<f64>() / 0.999_999;
        Pmf::new(0.01, first, masses.iter().map(|m| m / whole).collect(), 1e-6)
    };
    let bell = shape(-20, (0..61).map(|i| (-0.05 * (f64::from(i) - 24.0).powi(2)).exp()).collect());
    let heavy = shape(-3, (0..97).map(|i| (-f64::from(i) * 0.3).exp() + 1e-9).collect());
    for parts in [vec![(&bell, 9u64)], vec![(&heavy, 6)], vec![(&bell, 3), (&heavy, 4)], vec![(&heavy, 40), (&bell, 1)]]
    {
        let composed = compose::compose(&parts).unwrap();
        let (first, exact) = by_definition(&parts);
        let reference = Pmf::new(0.01, first, exact, 0.0);
        let rounds: u64 = parts.iter().map(|(_, t)| t).sum();
        let infinity = -(rounds as f64 * (-1e-6f64).ln_1p()).exp_m1();
        for step in 0..400 {
            let epsilon = f64::from(step) * 0.01 - 1.0;
            let (ours, truth) = (composed.delta(epsilon), reference.delta(epsilon) / (1.0 + 2e-9) + infinity);
            assert!(ours >= truth.min(1.0) * (1.0 - 1e-12), "{epsilon}: {ours} {truth}");
            assert!(ours <= truth * (1.0 + 1e-7), "{epsilon}: {ours} {truth}");
        }
    }
}

/// Numeric against exact, without sampling, down to δ = 1e-12 and up to 100,000 rounds.
#[test]
fn is_above_the_exact_gaussian_and_near_it() {
    let (mut least, mut most) = (f64::MAX, f64::MIN);
    for (sigma, rounds) in [(1.0, 1u64), (0.3, 1), (100.0, 1), (2.0, 17), (10.0, 100), (30.0, 3_000), (200.0, 100_000)]
    {
        let pld = Pld::gaussian(sigma, 1e-4).unwrap().self_compose(rounds).unwrap();
        for delta in [1e-3, 1e-6, 1e-9, 1e-12] {
            let exact = gaussian::epsilon((rounds as f64).sqrt() / sigma, delta);
            let margin = pld.epsilon(delta).unwrap() - exact;
            (least, most) = (least.min(margin), most.max(margin));
            assert!(margin >= -1e-11 * exact && margin < 1e-3, "σ {sigma} T {rounds} δ {delta}: {margin:.2e}");
        }
    }
    println!("numeric above the exact Gaussian: {least:.2e} to {most:.2e}");
}

#[test]
fn a_finer_grid_is_nearer_and_never_below_the_truth() {
    for (sigma, rate, rounds, delta) in
        [(1.0, 0.01, 1000, 1e-5), (2.0, 0.1, 200, 1e-9), (3.0, 0.9, 40, 1e-6), (0.8, 0.3, 5, 1e-12)]
    {
        let at = |interval| {
            Pld::sampled_gaussian(sigma, rate, interval).unwrap().self_compose(rounds).unwrap().epsilon(delta).unwrap()
        };
        let (coarse, middle, fine) = (at(1e-2), at(1e-3), at(1e-4));
        assert!(coarse > middle && middle > fine - 1e-9, "{coarse} {middle} {fine}");
        assert!(middle - fine < 0.05 * fine, "{coarse} {middle} {fine}");
    }
}

#[test]
fn refuses_what_it_cannot_do() {
    use AccountError as E;
    let fine = Pld::gaussian(1.0, 1e-3).unwrap();
    for bad in [0.0, f64::NAN, 9e-13, 1.0, -1.0] {
        assert!(matches!(fine.epsilon(bad), Err(E::Delta(_))));
    }
    for bad in [0.0, f64::NAN, -1e-4, 2.0, 1e-9, f64::INFINITY] {
        assert!(matches!(Pld::gaussian(1.0, bad), Err(E::Interval(_))));
        assert!(matches!(Pld::laplace(1.0, bad), Err(E::Interval(_))));
    }
    assert!(matches!(fine.compose(&Pld::gaussian(1.0, 1e-2).unwrap()), Err(E::Grids(..))));
    assert!(matches!(fine.self_compose(0), Err(E::Rounds)));
    assert!(matches!(Pld::compose_all(&[]), Err(E::Rounds)));
    assert!(matches!(Pld::gaussian(1e-4, 1e-6), Err(E::TooLarge(..))));
    assert!(matches!(fine.self_compose(u64::MAX), Err(E::TooLarge(..))));
    assert!(matches!(Pld::sampled_gaussian(1.0, 0.0, 1e-4), Err(E::SamplingRate(_))));
    assert_eq!(fine.delta(f64::NAN), 1.0);
    assert_eq!(fine.delta(f64::NEG_INFINITY), 1.0);
    let lost = Pmf::new(1e-3, 0, vec![0.5], 1e-3);
    assert_eq!(lost.epsilon(1e-4), f64::INFINITY);
    assert_eq!(compose::compose(&[(&Pmf::new(1e-3, 0, Vec::new(), 1.0), 3)]).unwrap().epsilon(0.5), f64::INFINITY);
    assert_eq!(Pmf::new(1e-3, 0, vec![f64::NAN; 3], 0.0).epsilon(0.5), f64::INFINITY);
}

/// Builds what is wrong in a way that has happened elsewhere, and asks that the gate sees it.
#[test]
fn the_gate_sees_planted_faults() {
    let [row, ..] = golden().rows.as_slice() else { panic!("no rows") };
    let [part] = row.parts.as_slice() else { panic!("one part") };
    let honest = Pld::sampled_gaussian(part.sigma, part.q, 1e-4).unwrap();
    let asked = |name: &str, pld: &Pld| {
        let epsilon = pld.self_compose(part.rounds).unwrap().epsilon(row.delta).unwrap();
        let verdict = gate(epsilon, row.pld, row.lower());
        println!("{name}: ε {epsilon:.6} {verdict:?}");
        verdict
    };
    assert!(asked("honest", &honest).is_ok());

    let change = |with: &dyn Fn(&Pmf) -> Pmf| Pld { remove: with(&honest.remove), add: honest.add.as_ref().map(with) };
    let cut = |pmf: &Pmf, charged: f64| {
        // The upper tail of a mass of 1e-7 is cut.
        let mut above = 0.0;
        let tail = |mass: &&f64| {
            above += **mass;
            above < 1e-7
        };
        let gone = pmf.masses().iter().rev().take_while(tail).count();
        let kept = pmf.masses()[..pmf.masses().len() - gone].to_vec();
        Pmf::new(1e-4, pmf.first(), kept, charged)
    };
    assert!(asked("tails cut and not charged", &change(&|pmf| cut(pmf, 0.0))).is_err());
    assert!(
        asked(
            "losses rounded down",
            &change(&|pmf| Pmf::new(1e-4, pmf.first() - 1, pmf.masses().to_vec(), pmf.infinity()))
        )
        .is_err()
    );
    let swapped = Pld { remove: honest.add.clone().unwrap(), add: None };
    assert!(asked("only the patient added", &swapped).is_err());
    let idle = change(&|pmf| Pmf::new(1e-4, pmf.first(), pmf.masses().to_vec(), 1e-9));
    assert!(asked("charged too much", &idle).is_err());

    // A composition whose mass at infinity is forgotten.
    let mut composed = change(&|pmf| cut(pmf, 2e-9)).self_compose(part.rounds).unwrap();
    let forget = |pmf: &Pmf| Pmf::new(1e-4, pmf.first(), pmf.masses().to_vec(), 0.0);
    composed = Pld { remove: forget(&composed.remove), add: composed.add.as_ref().map(forget) };
    assert!(gate(composed.epsilon(row.delta).unwrap(), row.pld, row.lower()).is_err());
}

/// What was found for each mechanism, so that both directions are looked at.
#[test]
fn the_directions_differ_with_sampling_only() {
    let sampled = Pld::sampled_gaussian(1.0, 0.05, 1e-4).unwrap();
    let add = sampled.add.as_ref().unwrap();
    assert!(sampled.remove.epsilon(1e-6) > add.epsilon(1e-6));
    // Nobody's presence can be seen by more than −ln(1 − q) in the direction of adding.
    assert!(add.epsilon(1e-12) <= -(0.95f64.ln()) + 1e-4);
    assert!(Pld::gaussian(1.0, 1e-4).unwrap().add.is_none() && Pld::laplace(1.0, 1e-4).unwrap().add.is_none());
    for scale in [0.3, 1.0, 7.0] {
        let laplace = Pld::laplace(scale, 1e-4).unwrap();
        for e in [0.0, 0.01, 0.1, 0.5] {
            let exact = (1.0 - (0.5 * (e - 1.0 / scale)).exp()).max(0.0);
            let ours = laplace.delta(e);
            assert!(ours >= exact * (1.0 - 1e-12) && ours <= exact + 1e-8, "b {scale} ε {e}: {ours} {exact}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn more_rounds_cost_more(sigma in 0.5f64..5.0, rate in 0.001f64..1.0, rounds in 1u64..200, log_delta in -11.0f64..-2.0) {
        let one = Pld::sampled_gaussian(sigma, rate, 1e-3).unwrap();
        let delta = 10f64.powf(log_delta);
        let (few, more) = (one.self_compose(rounds).unwrap(), one.self_compose(rounds + 1).unwrap());
        prop_assert!(more.epsilon(delta).unwrap() >= few.epsilon(delta).unwrap() - 1e-9);
        let stepwise = few.compose(&one).unwrap();
        let (a, b) = (stepwise.epsilon(delta).unwrap(), more.epsilon(delta).unwrap());
        prop_assert!((a - b).abs() < 1e-3 + 0.01 * b, "{} {}", a, b);
    }

    #[test]
    fn delta_falls_and_epsilon_answers_it(sigma in 0.3f64..20.0, rate in 0.001f64..1.0, rounds in 1u64..50, log_delta in -11.9f64..-1.0) {
        let pld = Pld::sampled_gaussian(sigma, rate, 1e-3).unwrap().self_compose(rounds).unwrap();
        let wanted = 10f64.powf(log_delta);
        let epsilon = pld.epsilon(wanted).unwrap();
        prop_assert!(pld.delta(epsilon) <= wanted);
        prop_assert!(epsilon == 0.0 || pld.delta((epsilon - 1e-6) * (1.0 - 1e-7)) > wanted * (1.0 - 1e-7));
        let mut last = 1.0;
        for step in -20i32..200 {
            let delta = pld.delta(f64::from(step) * 0.05);
            prop_assert!((0.0..=1.0).contains(&delta) && delta <= last * (1.0 + 1e-8));
            last = delta;
        }
    }
}
