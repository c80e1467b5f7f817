use proptest::prelude::*;
use summaries::{Lanes, Sensitivity};

use super::*;
use crate::accounting::Rho;
use crate::filter::Prepaid;
use crate::mechanism::{Mechanism, MechanismError, Part, ReleasedPart};
use crate::sensitive::Sensitive;
use crate::{DiscreteGaussian, MechanismName};

/// The strategy as integers: rows by columns.
fn matrix(strategy: Correlation, windows: u32) -> Vec<Vec<i64>> {
    let c = coefficients(windows);
    let of = |row: u32, column: u32| match strategy {
        Correlation::Tree => {
            let length = 1 << (row + 1).trailing_zeros();
            i64::from(column <= row && column + length > row)
        }
        Correlation::Toeplitz => row.checked_sub(column).map_or(0, |k| c[k as usize] as i64),
    };
    (0..windows).map(|row| (0..windows).map(|column| of(row, column)).collect()).collect()
}

/// C times windows of whole numbers.
fn strategy_of(m: &[Vec<i64>], x: &[i64]) -> Vec<i64> {
    m.iter().map(|row| row.iter().zip(x).map(|(c, x)| c * x).sum()).collect()
}

const BOTH: [Correlation; 2] = [Correlation::Tree, Correlation::Toeplitz];

/// All sets of at most `most` windows, up to ten windows: no patient moves the strategy's sums by more.
#[test]
fn no_patient_moves_the_sums_by_more_than_is_paid_for_and_one_moves_them_so_far() {
    for strategy in BOTH {
        for windows in 1..=10u32 {
            let m = matrix(strategy, windows);
            for most in 1..=windows.min(5) {
                let series = Continual::new(strategy, windows, most).unwrap();
                let worst = (0u32..1 << windows)
                    .filter(|set| set.count_ones() <= most)
                    .map(|set| {
                        let x: Vec<i64> = (0..windows).map(|w| i64::from(set >> w & 1)).collect();
                        strategy_of(&m, &x).iter().map(|q| q * q).sum::<i64>()
                    })
                    .max()
                    .unwrap();
                let whole = f64::from(series.whole()).powi(2);
                let want = worst as f64 / whole;
                assert!(series.squared() >= want && series.squared() <= want * (1.0 + 1e-12), "{series:?}: {want}");
            }
        }
    }
}

proptest! {
    /// Long series, patients who move each of their windows in a direction of its own, by at most 1 in the L2 norm.
    #[test]
    fn nor_does_one_of_many_windows_in_any_direction(
        windows in 1u32..200,
        moves in prop::collection::btree_map(0u32..200, prop::array::uniform3(-1.0f64..1.0), 1..12),
        tree: bool,
    ) {
        let moves: Vec<_> = moves.into_iter().filter(|(w, _)| *w < windows).collect();
        prop_assume!(!moves.is_empty());
        let strategy = if tree { Correlation::Tree } else { Correlation::Toeplitz };
        let series = Continual::new(strategy, windows, moves.len() as u32).unwrap();
        let m = matrix(strategy, windows);
        let mut far = 0.0;
        for row in &m {
            for lane in 0..3 {
                let q: f64 = moves.iter().map(|(w, d)| {
                    let norm = d.iter().map(|x| x * x).sum::<f64>().sqrt().max(1.0);
                    row[*w as usize] as f64 * d[lane] / norm
                }).sum();
                far += q * q;
            }
        }
        prop_assert!(far / f64::from(series.whole()).powi(2) <= series.squared() * (1.0 + 1e-9));
    }

    /// What is told is a function of the strategy's noised sums: the same sums from other windows and other noises tell the same.
    #[test]
    fn what_is_told_is_made_of_what_was_noised(
        noises in prop::collection::vec(-2_000_000i64..2_000_000, 1..60),
        shifts in prop::collection::vec(-50_000i64..50_000, 60),
        tree: bool,
    ) {
        let strategy = if tree { Correlation::Tree } else { Correlation::Toeplitz };
        let windows = noises.len() as u32;
        let series = Continual::new(strategy, windows, 1).unwrap();
        let moved = strategy_of(&matrix(strategy, windows), &shifts[..noises.len()]);
        let of = |n: &[i64], window: u32| {
            let lanes: Vec<Vec<i64>> = n.iter().map(|n| vec![*n]).collect();
            let lanes: Vec<&[i64]> = lanes.iter().map(Vec::as_slice).collect();
            unfolded(&series, window, &lanes).unwrap()[0]
        };
        let other: Vec<i64> = noises.iter().zip(&moved).map(|(n, m)| n + m).collect();
        for window in 0..windows {
            prop_assert_eq!(of(&other, window), of(&noises, window) + shifts[window as usize]);
        }
    }

    /// The exact noise is what the factors say, to the rounding.
    #[test]
    fn the_exact_noise_is_the_rows_one(noises in prop::collection::vec(-2_000_000i64..2_000_000, 1..60), tree: bool) {
        let strategy = if tree { Correlation::Tree } else { Correlation::Toeplitz };
        let series = Continual::new(strategy, noises.len() as u32, 1).unwrap();
        let lanes: Vec<[i64; 1]> = noises.iter().map(|n| [*n]).collect();
        let lanes: Vec<&[i64]> = lanes.iter().map(|n| n.as_slice()).collect();
        for (window, row) in series.rows().iter().enumerate() {
            prop_assert_eq!(row.len(), series.row(window as u32).len());
            let want: f64 = row.iter().map(|(p, d)| noises[*p as usize] as f64 * d).sum::<f64>() / f64::from(series.whole());
            let got = unfolded(&series, window as u32, &lanes).unwrap()[0];
            prop_assert!((got as f64 - want).abs() <= 0.5 + 1e-3, "{got} {want}");
        }
    }
}

/// The figures for daily windows of a year in which a patient is once, in units of the noise of one count.
#[test]
fn a_year_of_days() {
    let worst = |strategy| {
        let series = Continual::new(strategy, 365, 1).unwrap();
        let norm = series.squared().sqrt();
        let rows = series.rows();
        let mut all = vec![0.0f64; 365];
        let (mut prefix, mut window) = (0.0f64, 0.0f64);
        for row in &rows {
            row.iter().for_each(|(p, d)| all[*p as usize] += d);
            prefix = prefix.max(all.iter().map(|d| d * d).sum::<f64>());
            window = window.max(row.iter().map(|(_, d)| d * d).sum());
        }
        [prefix.sqrt() * norm, window.sqrt() * norm]
    };
    let near = |got: [f64; 2], want: [f64; 2]| got.iter().zip(want).all(|(a, b)| (a - b).abs() < 2e-3);
    // One that is independent: √365 = 19.1 and 1. The tree needs no root above 256 days: √(9·8), where with one it is √(10·8) = 8.94.
    assert!(near(worst(Correlation::Toeplitz), [2.944, 1.936]), "{:?}", worst(Correlation::Toeplitz));
    assert!(near(worst(Correlation::Tree), [72f64.sqrt(), 9.0]), "{:?}", worst(Correlation::Tree));
    let toeplitz = Continual::new(Correlation::Toeplitz, 365, 1).unwrap();
    assert!((toeplitz.prefix_factor(364) * toeplitz.squared().sqrt() - 2.944).abs() < 2e-3);
}

/// Noises of two windows go against each other, but for what the rounding of the coefficients adds: who takes windows for independent
/// has intervals for their sum that are too wide.
#[test]
fn noises_of_two_windows_do_not_add_up() {
    for strategy in BOTH {
        let rows = Continual::new(strategy, 200, 1).unwrap().rows();
        for (i, a) in rows.iter().enumerate() {
            for b in &rows[i + 1..] {
                let in_b = |place: u32| b.iter().find(|(p, _)| *p == place).map_or(0.0, |(_, d)| *d);
                let both: f64 = a.iter().map(|(p, d)| d * in_b(*p)).sum();
                assert!(both <= 2e-3, "{strategy:?} {i}: {both}");
            }
        }
    }
}

fn parts(lanes: &[usize]) -> Vec<Part> {
    let part = |n: &usize| Part {
        lanes: Sensitive::new(Lanes::from_values(vec![1000; *n])),
        sensitivity: Sensitivity::cells(1),
        weight: 1.0,
    };
    lanes.iter().map(part).collect()
}

fn told(series: Continual, window: u32, lanes: &[usize], history: &mut History) -> Vec<ReleasedPart> {
    let prepaid = Prepaid::series(Rho::from_nano(20_000_000), series);
    let charge = prepaid.charge(&[(2027, Rho::from_nano(20_000_000))]).unwrap();
    DiscreteGaussian.release_window(window, parts(lanes), charge, history).unwrap().into_inner()
}

#[test]
fn windows_and_their_sums_vary_as_the_factors_say() {
    const LANES: usize = 20_000;
    for strategy in BOTH {
        let series = Continual::new(strategy, 12, 2).unwrap();
        // A patient in two windows: σ of one that is drawn is √(squared / 2ρ).
        let sigma = (series.squared() / 0.04).sqrt();
        let mut history = History::default();
        let mut sums = vec![0.0f64; LANES];
        for window in 0..12 {
            let part = told(series, window, &[LANES], &mut history).remove(0);
            let unit = f64::from(1u32 << part.scale.grid_bits);
            let noise: Vec<f64> = part.lanes.iter().map(|v| *v as f64 / unit - 1000.0).collect();
            let spread = |values: &[f64]| (values.iter().map(|v| v * v).sum::<f64>() / LANES as f64).sqrt();
            noise.iter().zip(&mut sums).for_each(|(n, sum)| *sum += n);
            let (one, all) = (sigma * series.window_factor(window), sigma * series.prefix_factor(window));
            assert!((spread(&noise) / one - 1.0).abs() < 0.03, "{strategy:?} {window}: {} of {one}", spread(&noise));
            assert!((spread(&sums) / all - 1.0).abs() < 0.03, "{strategy:?} {window}: {} of {all}", spread(&sums));
            assert!((part.scale.sigma() / one - 1.0).abs() < 1e-6, "the manifest says {}", part.scale.sigma());
        }
    }
}

#[test]
fn each_noise_is_drawn_once_that_of_a_window_that_was_passed_over_too() {
    for strategy in BOTH {
        let series = Continual::new(strategy, 9, 1).unwrap();
        let mut history = History::default();
        told(series, 0, &[2, 1], &mut history);
        let mut kept: Vec<(u32, Vec<u8>)> = history.drawn().map(|(w, b)| (w, b.to_vec())).collect();
        assert_eq!(kept.iter().map(|(w, b)| (*w, b.len())).collect::<Vec<_>>(), [(0, 24)]);
        let again = |kept: &[(u32, Vec<u8>)]| {
            let mut history = History::default();
            kept.iter().for_each(|(w, b)| history.take(*w, b));
            history
        };
        // Windows 1 and 2 are passed over.
        let mut history = again(&kept);
        let third = told(series, 3, &[2, 1], &mut history);
        kept.extend(history.drawn().map(|(w, b)| (w, b.to_vec())));
        assert_eq!(kept.iter().map(|(w, _)| *w).collect::<Vec<_>>(), [0, 1, 2, 3]);
        // Everything is there: the same noise, and nothing new is drawn.
        let mut history = again(&kept);
        assert_eq!(told(series, 3, &[2, 1], &mut history), third);
        assert_eq!(history.drawn().count(), 0);
        // What was kept for other lanes is not this series'.
        let prepaid = Prepaid::series(Rho::from_nano(20_000_000), series);
        let charge = || prepaid.charge(&[(2027, Rho::from_nano(20_000_000))]).unwrap();
        let wrong = DiscreteGaussian.release_window(3, parts(&[4]), charge(), &mut history);
        assert!(matches!(wrong, Err(MechanismError::History)), "{wrong:?}");
        // Nor is the charge good for noise that does not hang together.
        assert!(matches!(DiscreteGaussian.release(parts(&[1]), charge()), Err(MechanismError::Series)));
        assert!(matches!(
            DiscreteGaussian.release_window(9, parts(&[1]), charge(), &mut history),
            Err(MechanismError::Series)
        ));
    }
}

#[test]
fn all_windows_together_cost_what_was_paid() {
    for strategy in BOTH {
        for (windows, most) in [(1, 1), (52, 4), (365, 1), (365, 30), (1024, 1024)] {
            let series = Continual::new(strategy, windows, most).unwrap();
            let prepaid = Prepaid::series(Rho::from_nano(20_000_000), series);
            let all = prepaid.noise().value() * series.squared();
            assert!(all <= 0.02 && all > 0.019_99 - 1e-9 * series.squared(), "{series:?}: {all}");
        }
    }
    assert!(Continual::new(Correlation::Tree, 1025, 1).is_none() && Continual::new(Correlation::Tree, 5, 6).is_none());
    assert_eq!(MechanismName::DiscreteGaussian.word(), "discrete-gaussian");
}
