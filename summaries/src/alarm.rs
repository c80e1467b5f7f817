//! Alarms over a series of numbers that were released: post-processing, which costs nothing.
//!
//! Early Aberration Reporting System, Hutwagner, Thompson, Seeman and Treadwell (2003), J Urban Health 80 Suppl 1:i89: C1 compares a
//! value with the mean and the standard deviation of the seven before it, C2 leaves two out between, C3 adds up what C2 was above 1 over
//! three values. CUSUM: Page (1954), Biometrika 41:100, of the standard scores of C2 with an allowance of 1/2.
//!
//! A standard deviation is never below the noise of the difference itself, nor below 1/2. A number that is withheld since it is below `k` has no score of
//! its own, and stands as k − 1 among those that others are compared with: at most so many were there. A negative number stands as 0.

use crate::estimate::Row;

const BASELINE: u32 = 7;
const BETWEEN: u32 = 2;
const LEAST_SD: f64 = 0.5;
const ALLOWANCE: f64 = 0.5;

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Against the seven before.
    C1,
    /// Against seven, with two between.
    C2,
    /// What C2 was above 1, over three values.
    C3,
    /// The upper cumulative sum.
    Cusum,
}

/// A rule and where it raises an alarm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alarm {
    rule: Rule,
    threshold: f64,
    /// What a number stands for that is withheld.
    withheld: f64,
}

/// A number of patients, window by window.
struct Told<'a> {
    window: u32,
    label: &'a str,
    value: f64,
    noise: f64,
    shown: bool,
}

impl Alarm {
    /// A rule with a threshold, else its usual one: 3 for C1 and C2, 2 for C3 (Hutwagner et al.), 5 for CUSUM. Numbers of
    /// patients below `least` are withheld.
    pub fn new(rule: Rule, threshold: Option<f64>, least: u64) -> Alarm {
        let usual = match rule {
            Rule::C1 | Rule::C2 => 3.0,
            Rule::C3 => 2.0,
            Rule::Cusum => 5.0,
        };
        let withheld = least.saturating_sub(1) as f64;
        Alarm { rule, threshold: threshold.unwrap_or(usual), withheld }
    }

    fn name(&self) -> &'static str {
        match self.rule {
            Rule::C1 => "EARS C1",
            Rule::C2 => "EARS C2",
            Rule::C3 => "EARS C3",
            Rule::Cusum => "CUSUM",
        }
    }

    /// The rule's value for every number of patients in windows given by place, label and rows. A window without seven before it has
    /// none.
    pub fn rows(&self, windows: &[(u32, &str, &[Row])]) -> Vec<Row> {
        let mut terms: Vec<&str> = Vec::new();
        for row in windows.iter().flat_map(|(_, _, rows)| *rows).filter(|r| r.statistic == "n") {
            if !terms.contains(&row.term.as_str()) {
                terms.push(&row.term);
            }
        }
        let mut out = Vec::new();
        for term in terms {
            let of = |rows: &[Row]| {
                let row = rows.iter().find(|r| r.term == term && r.statistic == "n")?;
                match row.estimate {
                    Some(value) => Some((value.max(0.0), row.dp_se.unwrap_or(0.0), true)),
                    None => row.is_small().then_some((self.withheld, 0.0, false)),
                }
            };
            let series: Vec<Told> = windows
                .iter()
                .filter_map(|(window, label, rows)| {
                    let (value, noise, shown) = of(rows)?;
                    Some(Told { window: *window, label, value, noise, shown })
                })
                .collect();
            let mut sum = 0.0;
            for told in &series {
                let Some(value) = self.value(&series, told.window, &mut sum).filter(|_| told.shown) else { continue };
                let note =
                    if value > self.threshold { format!("ALARM: above {}", self.threshold) } else { String::new() };
                out.push(Row::test(&format!("{}: {term}", told.label), self.name(), value, &note));
            }
        }
        out
    }

    fn value(&self, series: &[Told<'_>], window: u32, sum: &mut f64) -> Option<f64> {
        match self.rule {
            Rule::C1 => score(series, window, 0),
            Rule::C2 => score(series, window, BETWEEN),
            Rule::C3 => {
                score(series, window, BETWEEN)?;
                let one = |w: u32| score(series, w, BETWEEN).map_or(0.0, |c| (c - 1.0).max(0.0));
                Some((0..3).filter_map(|back| window.checked_sub(back)).map(one).sum())
            }
            Rule::Cusum => {
                *sum = (*sum + score(series, window, BETWEEN)? - ALLOWANCE).max(0.0);
                Some(*sum)
            }
        }
    }
}

/// How many standard deviations a window's value lies above the mean of the seven windows that end `between` windows before it. `None`
/// where one of them is not known.
fn score(series: &[Told<'_>], window: u32, between: u32) -> Option<f64> {
    let at = |w: u32| series.iter().find(|told| told.window == w);
    let Told { value, noise, .. } = at(window)?;
    let last = window.checked_sub(1 + between)?;
    let first = last.checked_sub(BASELINE - 1)?;
    let before: Vec<f64> = (first..=last).map(|w| at(w).map(|told| told.value)).collect::<Option<_>>()?;
    let n = f64::from(BASELINE);
    let mean = before.iter().sum::<f64>() / n;
    let variance = before.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0);
    // The noise of the difference: of the value, and of the mean of those before.
    let noise = noise * (1.0 + 1.0 / n).sqrt();
    Some((value - mean) / variance.sqrt().max(noise).max(LEAST_SD))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rule: Rule, values: &[f64]) -> Vec<Option<f64>> {
        let told: Vec<Vec<Row>> = values.iter().map(|v| vec![Row::normal("cohort", "n", *v, 0.0, 0.0, 1.96)]).collect();
        let labels: Vec<String> = (0..values.len()).map(|i| i.to_string()).collect();
        let windows: Vec<(u32, &str, &[Row])> =
            told.iter().enumerate().map(|(i, r)| (i as u32, labels[i].as_str(), r.as_slice())).collect();
        let out = Alarm::new(rule, None, 11).rows(&windows);
        labels.iter().map(|l| out.iter().find(|r| r.term == format!("{l}: cohort")).and_then(|r| r.estimate)).collect()
    }

    /// By hand: the mean of 1..=7 is 4 and its standard deviation sqrt(28/6) = 2.1602469.
    #[test]
    fn c1_looks_at_the_seven_before() {
        let got = rows(Rule::C1, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 20.0]);
        assert_eq!(got[..7], [None; 7]);
        assert!((got[7].unwrap() - 16.0 / 2.160_246_9).abs() < 1e-6);
    }

    #[test]
    fn c2_leaves_two_between_and_c3_adds_three_up() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 4.0, 4.0, 20.0, 4.0, 4.0, 4.0];
        let c2 = rows(Rule::C2, &values);
        assert_eq!(c2[..9], [None; 9]);
        assert!((c2[9].unwrap() - 16.0 / 2.160_246_9).abs() < 1e-6);
        let c3 = rows(Rule::C3, &values);
        assert!((c3[9].unwrap() - (16.0 / 2.160_246_9 - 1.0)).abs() < 1e-6);
        let carried = [9, 10, 11].map(|i: usize| (c2[i].unwrap() - 1.0).max(0.0)).iter().sum::<f64>();
        assert!((c3[11].unwrap() - carried).abs() < 1e-12);
    }

    #[test]
    fn a_cusum_grows_with_what_stays_high_and_a_gap_gives_no_score() {
        let mut values = vec![4.0, 5.0, 3.0, 4.0, 5.0, 3.0, 4.0, 4.0, 4.0];
        values.extend([6.0; 3]);
        let got = rows(Rule::Cusum, &values);
        assert!(got[9] < got[10] && got[10] < got[11]);
        let told = [Row::normal("cohort", "n", 5.0, 0.0, 3.0, 1.96)];
        // Window 4 is not known.
        let windows: Vec<(u32, &str, &[Row])> =
            [0u32, 1, 2, 3, 5, 6, 7, 8].iter().map(|w| (*w, "w", told.as_slice())).collect();
        assert_eq!(Alarm::new(Rule::C1, None, 11).rows(&windows), []);
    }

    /// Small numbers are withheld for a while, and then many come: that is what an alarm is for.
    #[test]
    fn an_outbreak_after_withheld_windows_is_seen() {
        let told = |v: f64| match v < 11.0 {
            true => vec![Row::withheld("cohort", "n", "fewer than 11 (noisy)")],
            false => vec![Row::normal("cohort", "n", v, 0.0, 0.0, 1.96)],
        };
        let all: Vec<Vec<Row>> = [3.0, 5.0, 2.0, 4.0, 12.0, 3.0, 5.0, 40.0].into_iter().map(told).collect();
        let windows: Vec<(u32, &str, &[Row])> =
            all.iter().enumerate().map(|(i, r)| (i as u32, "w", r.as_slice())).collect();
        let rows = Alarm::new(Rule::C1, None, 11).rows(&windows);
        // By hand: six of 10 and one of 12, the mean 10.285714 and the deviation 0.755929.
        assert!((rows[0].estimate.unwrap() - (40.0 - 10.285_714) / 0.755_929).abs() < 1e-4, "{rows:?}");
        assert!(rows.len() == 1 && rows[0].note.starts_with("ALARM"), "{rows:?}");
        // A large number that is withheld for another one's sake is not small: nothing is known of it.
        let hidden =
            |r: &Vec<Row>| r[0].suppressed.then(|| vec![Row::withheld("cohort", "n", "it would tell of another")]);
        let other: Vec<Vec<Row>> = all.iter().map(|r| hidden(r).unwrap_or_else(|| r.clone())).collect();
        let windows: Vec<(u32, &str, &[Row])> =
            other.iter().enumerate().map(|(i, r)| (i as u32, "w", r.as_slice())).collect();
        assert_eq!(Alarm::new(Rule::C1, None, 11).rows(&windows), []);
        let windows: Vec<(u32, &str, &[Row])> =
            all.iter().enumerate().map(|(i, r)| (i as u32, "w", r.as_slice())).collect();
        // A withheld window is not told to be above anything.
        let rows = Alarm::new(Rule::C1, None, 11).rows(&windows[..7]);
        assert_eq!(rows, []);
    }

    #[test]
    fn noise_alone_raises_no_alarm() {
        let told = |v: f64| vec![Row::normal("cohort", "n", v, 0.0, 10.0, 1.96)];
        let all: Vec<Vec<Row>> = [5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 20.0].into_iter().map(told).collect();
        let windows: Vec<(u32, &str, &[Row])> =
            all.iter().enumerate().map(|(i, r)| (i as u32, "w", r.as_slice())).collect();
        let rows = Alarm::new(Rule::C1, None, 11).rows(&windows);
        // 15 against the noise of a difference from a mean of seven, 10·√(8/7).
        assert!((rows[0].estimate.unwrap() - 1.403_122).abs() < 1e-6 && rows[0].note.is_empty(), "{rows:?}");
    }
}
