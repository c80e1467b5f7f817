//! Whether a number tends to be larger in one of two groups: Wilcoxon's rank-sum test, Mann and Whitney's U, from a histogram by group.
//! A patient is in one cell, so every sensitivity is 1.
//!
//! With intervals as narrow as the number's own steps the test is the usual one, ties and continuity corrected; wider intervals are
//! ties. U counts the pairs in which the second group is larger, ties a half; its noise's variance is v Σ (∂U/∂cell)², its sampling
//! variance m n / 12 · (N + 1 − Σ (t³ − t) / (N (N − 1))).

use crate::batch::PatientBatch;
use crate::estimate::{Estimate, Reporting, Row, patients};
use crate::interval::normal_p;
use crate::lanes::{Lanes, Layout, MergedRelease, Sensitivity};
use crate::statistic::{AccumulateError, Input, Statistic, level, real};

/// A histogram by two groups. The inputs are the number and the group.
#[derive(Clone, Copy, Debug)]
pub struct RankSum {
    lower: f64,
    upper: f64,
    bins: u32,
}

impl RankSum {
    /// In so many equal intervals within public bounds; `None` unless lower < upper and there are 2 to 65,536 intervals.
    pub fn new(lower: f64, upper: f64, bins: u32) -> Option<RankSum> {
        (lower < upper && lower.is_finite() && upper.is_finite() && (2..=65_536).contains(&bins)).then_some(RankSum {
            lower,
            upper,
            bins,
        })
    }

    fn bin(&self, x: f64) -> usize {
        let at = (x.clamp(self.lower, self.upper) - self.lower) / (self.upper - self.lower) * f64::from(self.bins);
        ((at + 1e-9) as usize).min(self.bins as usize - 1)
    }
}

impl Statistic for RankSum {
    fn name(&self) -> &'static str {
        "rank_sum"
    }
    fn inputs(&self) -> Vec<Input> {
        vec![Input::Real, Input::Level(2)]
    }
    fn layout(&self) -> Layout {
        Layout { lanes: 2 * self.bins as usize + 1, scale: 1.0 }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::cells(1)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        const NAME: &str = "rank_sum";
        self.check(lanes)?;
        for (x, g) in real(NAME, patients, 0)?.iter().zip(level(NAME, patients, 1)?) {
            let lane = match x.is_nan() || *g > 1 {
                true => 2 * self.bins as usize,
                false => *g as usize * self.bins as usize + self.bin(*x),
            };
            lanes.add(NAME, lane, 1)?;
        }
        Ok(())
    }
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate {
        let layout = self.layout();
        let v = merged.variance(&layout);
        let bins = self.bins as usize;
        let cell = |g: usize, b: usize| merged.value(g * bins + b, &layout);
        let total = |g: usize| (0..bins).map(|b| cell(g, b)).sum::<f64>();
        let (m, n) = (total(0), total(1));
        let sd = (v * bins as f64).sqrt();
        let term = format!("{} by {}", reporting.name(0), reporting.name(1));
        let mut rows = Vec::new();
        let missing = patients(&term, merged.value(2 * bins, &layout), v.sqrt(), reporting);
        rows.push(Row { statistic: "missing".into(), ..missing });
        for (g, n) in [m, n].into_iter().enumerate() {
            let label = format!("{}={}", reporting.name(1), reporting.level(1, g));
            rows.push(patients(&label, n, sd, reporting));
        }
        if m.min(n) < (reporting.min_cell as f64).max(2.0).max(5.0 * sd) {
            rows.push(Row::withheld(&term, "rank-sum p", "a group is too small, or too noisy to report"));
            return Estimate { rows, curves: Vec::new() };
        }
        let (mut u, mut ties, mut slopes) = (0.0, 0.0, 0.0);
        // Of each patient the share of the other group that is below, and above: sums and sums of squares over the first and the second.
        let (mut of_x, mut of_y) = ((0.0, 0.0), (0.0, 0.0));
        let (mut below, mut above) = (0.0, n);
        for b in 0..bins {
            let (x, y) = (cell(0, b), cell(1, b));
            above -= y;
            u += y * (below + x / 2.0);
            let t = (x + y).max(0.0);
            ties += t * t * t - t;
            let (of_first, of_second) = (above + y / 2.0 - n / 2.0, below + x / 2.0 - m / 2.0);
            slopes += of_first * of_first + of_second * of_second;
            let (above_x, below_y) = ((above + y / 2.0) / n, (below + x / 2.0) / m);
            of_x = (of_x.0 + x * above_x, of_x.1 + x * above_x * above_x);
            of_y = (of_y.0 + y * below_y, of_y.1 + y * below_y * below_y);
            below += x;
        }
        let whole = m + n;
        // Noise makes and breaks ties: the correction is told from counts alone.
        let corrected = if v == 0.0 { ties / (whole * (whole - 1.0)) } else { 0.0 };
        let sampling = (m * n / 12.0 * (whole + 1.0 - corrected)).max(0.0);
        let noise = v * slopes;
        let share = (u / (m * n)).clamp(0.0, 1.0);
        // The test's variance is that of no difference; the share's is DeLong, DeLong and Clarke-Pearson's (Biometrics 44 (1988) 837).
        let spread = |(sum, squares): (f64, f64), k: f64| ((squares - sum * sum / k) / (k - 1.0)).max(0.0) / k;
        let of_share = spread(of_x, m) + spread(of_y, n);
        let note = "the chance that the second group's is larger, ties counting half";
        rows.push(
            Row::normal(
                &term,
                "probability of superiority",
                share,
                of_share.sqrt(),
                noise.sqrt() / (m * n),
                reporting.z(),
            )
            .within(0.0, 1.0)
            .note(note),
        );
        let error = (sampling + noise).sqrt();
        if error.is_nan() || error <= 0.0 {
            rows.push(Row::withheld(&term, "rank-sum p", "the number never varies"));
            return Estimate { rows, curves: Vec::new() };
        }
        let off = u - m * n / 2.0;
        let z = (off.abs() - if v == 0.0 { 0.5 } else { 0.0 }).max(0.0) / error;
        rows.push(Row::test(&term, "U", u, "pairs in which the second group's is larger"));
        rows.push(Row::test(&term, "rank-sum p", normal_p(z), "normal limit, two-sided"));
        Estimate { rows, curves: Vec::new() }
    }
}
