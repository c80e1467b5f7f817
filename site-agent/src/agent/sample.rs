//! Who is in a round: each patient by a coin of the own, from the operating system's randomness.
//!
//! A sample is drawn inside the release that it is for, anew for each, and is told to nobody: no log, metric or error has it or its size. A crash
//! before the release is sealed has left nothing of it; after, the same bytes are sent again. Amplification by sampling holds for such coins alone
//! (`privacy::sampled`): not for a shuffled order, nor for a fixed number of patients.

use platform::Entropy;
use summaries::{PartWork, PatientBatch};

use super::{Ready, Refused};
use crate::policy::Objection;
use crate::releases::Order;

/// Randomness is asked for so many patients at a time.
const BATCH: usize = 4096;

/// A round's work ready for its noise, with a sample for each part that is over one; and whether any is. The rates must be those of the plan that is paid for.
pub(super) fn ready(
    entropy: &dyn Entropy,
    order: &Order,
    work: Vec<PartWork>,
    batch: &PatientBatch,
) -> Result<(Ready, bool), Refused> {
    let rates: Vec<f64> = work.iter().map(|w| w.rate.unwrap_or(1.0)).collect();
    let any = rates.iter().any(|rate| *rate < 1.0);
    let paid = match &order.planned {
        Some(plan) => plan.has_rates(order.round.round, &rates),
        None => !any,
    };
    if !paid {
        return Err(Objection::new("plan_invalid", "the round's samples are not those that are paid for"));
    }
    let draw = |rate, patients| poisson(entropy, rate, patients);
    let ready = Ready::sampled(work, batch, draw).map_err(|e| Objection::new("statistic_failed", e))?;
    Ok((ready, any))
}

/// A round's work over a sample that is no release's: for an example that stays here.
pub(crate) fn example(entropy: &dyn Entropy, work: Vec<PartWork>, batch: &PatientBatch) -> Result<Ready, String> {
    Ready::sampled(work, batch, |rate, patients| poisson(entropy, rate, patients))
}

/// The rows of a sample of so many patients: each with the probability `rate`, rounded down to a 2⁶⁴-th.
///
/// # Errors
/// The rate is no probability, or there is no randomness.
pub fn poisson(entropy: &dyn Entropy, rate: f64, patients: usize) -> Result<Vec<usize>, String> {
    if !(0.0..1.0).contains(&rate) {
        return Err("a sample's rate lies between 0 and 1".to_owned());
    }
    // Exact: a double below 1 times 2⁶⁴, cut to whole numbers.
    let below = (rate * 2f64.powi(64)) as u64;
    let mut out = Vec::new();
    let mut bytes = vec![0u8; 8 * BATCH.min(patients.max(1))];
    for first in (0..patients).step_by(BATCH) {
        let many = BATCH.min(patients - first);
        let own = bytes.get_mut(..8 * many).unwrap_or_default();
        entropy.fill(own).map_err(|e| e.to_string())?;
        for (place, coin) in own.chunks_exact(8).enumerate() {
            let coin = coin.try_into().map_or(u64::MAX, u64::from_le_bytes);
            if coin < below {
                out.push(first + place);
            }
        }
    }
    bytes.fill(0);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use platform::OsEntropy;

    use super::*;

    /// Over many samples each patient is in its share of them, independently of its neighbour, and the sizes vary as those of coins do: a sample of a
    /// fixed size, or one that hangs together, is found. False alarms: 1e-6 each, by Chebyshev's looser cousin at 6 σ.
    #[test]
    fn each_patient_has_a_coin_of_the_own_each_time() {
        let (patients, samples, rate) = (5_000usize, 400usize, 0.05);
        let (mut hits, mut sizes, mut both, mut again) = (vec![0u32; patients], Vec::new(), 0u32, 0u32);
        let mut last = vec![false; patients];
        for _ in 0..samples {
            let rows = poisson(&OsEntropy, rate, patients).unwrap();
            assert!(rows.is_sorted_by(|a, b| a < b) && rows.iter().all(|r| *r < patients));
            let mut is_in = vec![false; patients];
            rows.iter().for_each(|r| is_in[*r] = true);
            hits.iter_mut().zip(&is_in).for_each(|(h, i)| *h += u32::from(*i));
            both += is_in.windows(2).filter(|w| w[0] && w[1]).count() as u32;
            again += is_in.iter().zip(&last).filter(|(a, b)| **a && **b).count() as u32;
            sizes.push(rows.len() as f64);
            last = is_in;
        }
        let near = |seen: f64, trials: f64, p: f64| (seen - trials * p).abs() < 6.0 * (trials * p * (1.0 - p)).sqrt();
        let (n, s) = (patients as f64, samples as f64);
        assert!(near(hits.iter().map(|h| f64::from(*h)).sum(), n * s, rate), "how many");
        assert!(hits.iter().all(|h| near(f64::from(*h), s, rate)), "everybody alike");
        assert!(near(f64::from(both), (n - 1.0) * s, rate * rate), "neighbours hang together");
        assert!(near(f64::from(again), n * (s - 1.0), rate * rate), "samples hang together");
        let mean = sizes.iter().sum::<f64>() / s;
        let variance = sizes.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (s - 1.0);
        let due = n * rate * (1.0 - rate);
        assert!((variance / due - 1.0).abs() < 6.0 * (2.0 / (s - 1.0)).sqrt(), "sizes vary by {variance}, not {due}");
    }

    #[test]
    fn small_and_odd_samples() {
        assert_eq!(poisson(&OsEntropy, 0.0, 1_000).unwrap(), [0usize; 0]);
        assert_eq!(poisson(&OsEntropy, 0.5, 0).unwrap(), [0usize; 0]);
        assert!(poisson(&OsEntropy, 1.0f64.next_down(), 9_000).unwrap().len() > 8_990);
        for bad in [1.0, -0.1, f64::NAN, f64::INFINITY] {
            assert!(poisson(&OsEntropy, bad, 10).is_err());
        }
    }
}
