//! A clip that follows how long gradients are (Andrew, Thakkar, McMahan, Ramaswamy 2021, "Differentially private learning with adaptive
//! clipping", arXiv 1905.03871, algorithm 1).
//!
//! Beside the gradient each round releases how many gradients were cut: a lane of the same vector, whose part in the vector's norm is paid for
//! (see [`super::gradient`]). From it the next round's clip is C·exp(−0.2·(b − γ)), with b the share that was not cut and γ the quantile that is
//! wanted: it moves to the γ-quantile of lengths, geometrically, by a fifth a round at most. It is computed from what was released alone, so it costs
//! nothing more; each round's noise is in proportion to the round's own clip.

/// η of the paper.
const SPEED: f64 = 0.2;

/// No clip is shorter or longer.
const RANGE: [f64; 2] = [1e-3, 1e3];

/// Whether a round's clip is one that this may have led to.
pub(super) fn is_clip(clip: f64) -> bool {
    (RANGE[0]..=RANGE[1]).contains(&clip)
}

/// The next round's clip, where so large a share of the gradients was cut.
pub(super) fn next(clip: f64, cut: f64, quantile: f64) -> f64 {
    // Noise may say that more than all were cut, or fewer than none.
    let kept = 1.0 - if cut.is_finite() { cut.clamp(0.0, 1.0) } else { 1.0 - quantile };
    (clip * (-SPEED * (kept - quantile)).exp()).clamp(RANGE[0], RANGE[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths 1, 2, …, 100: the clip comes to rest at the quantile, from below and from above.
    #[test]
    fn it_finds_the_quantile() {
        for (start, quantile) in [(1.0, 0.5), (900.0, 0.5), (0.01, 0.9), (500.0, 0.1)] {
            let mut clip = start;
            for _ in 0..400 {
                let cut = (1..=100).filter(|l| f64::from(*l) >= clip).count() as f64 / 100.0;
                clip = next(clip, cut, quantile);
            }
            // Between two lengths as many are cut wherever it lies: it rests in the gap that it comes to.
            assert!((clip - 100.0 * quantile).abs() < 1.01, "{start} to {quantile}: {clip}");
        }
    }

    #[test]
    fn noise_leads_it_nowhere() {
        assert_eq!(next(1.0, f64::NAN, 0.5), 1.0);
        assert!(next(1.0, 1e9, 0.5) <= (0.1f64).exp() + 1e-12 && next(1.0, -1e9, 0.5) >= (-0.1f64).exp() - 1e-12);
        let far = (0..1000).fold(1.0, |c, _| next(c, 1.0, 0.9));
        assert!(is_clip(far) && !is_clip(f64::NAN) && !is_clip(0.0) && !is_clip(-1.0));
    }
}
