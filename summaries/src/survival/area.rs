//! What a cell adds to the restricted mean: the days of a cell of w days under a curve that falls by a constant hazard from 1 to q at its end.
//!
//! The curve is 1 before the first day and r^j after j of them, r = q^{1/w}, so that m days add 1 + r + … + r^{m−1} = (1 − r^m)/(1 − r). Where all
//! have the event no hazard is constant, and the curve falls evenly.

/// The days under the curve of the first `days` of a cell of so many, and their slope in log q.
pub(super) fn under(log_q: f64, days: f64, width: f64) -> (f64, f64) {
    let later = (days - 1.0).max(0.0);
    let evenly = days * later / (2.0 * width);
    if log_q == f64::NEG_INFINITY {
        return (days - evenly, 0.0);
    }
    let rate = log_q / width;
    // Up to the second order: the quotients lose their digits there.
    if rate.abs() < 1e-6 {
        return (days + rate * days * later / 2.0, evenly);
    }
    let (all, one) = ((days * rate).exp(), rate.exp());
    let slope = (one * (1.0 - all) - days * all * (1.0 - one)) / (1.0 - one).powi(2);
    ((1.0 - all) / (1.0 - one), slope / width)
}

#[cfg(test)]
mod tests {
    use super::under;

    #[test]
    fn it_is_the_sum_of_the_days() {
        for (q, width) in [(0.6f64, 30.0), (0.999_999_9, 12.0), (1.3, 7.0), (0.05, 2.0)] {
            let r = q.powf(1.0 / width);
            for days in [1.0, 2.0, width] {
                let sum: f64 = (0..days as i32).map(|j| r.powi(j)).sum();
                let (area, slope) = under(q.ln(), days, width);
                assert!((area - sum).abs() < 1e-9, "{q} {days}: {area} and not {sum}");
                let (above, below) = (under(q.ln() + 1e-4, days, width).0, under(q.ln() - 1e-4, days, width).0);
                assert!((slope - (above - below) / 2e-4).abs() < 1e-4 * (1.0 + slope.abs()), "{q} {days}: {slope}");
            }
        }
        assert_eq!(under(f64::NEG_INFINITY, 10.0, 10.0).0, 5.5);
    }
}
