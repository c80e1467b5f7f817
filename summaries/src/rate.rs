//! Events by person-time, by group. A patient adds (e/E, t/T, 1) to the group's lanes, with at most E events in a time of at most T:
//! the norm is at most √3, the maximum 1.
//!
//! rate = Σe / Σt. On the scale of its logarithm the sampling variance is that of Poisson counts, 1/Σe, and the noise's by the delta
//! method v (E²/Σe² + T²/Σt²).

use crate::batch::PatientBatch;
use crate::estimate::{Estimate, Reporting, Row, patients};
use crate::lanes::{FIXED_POINT, Lanes, Layout, MergedRelease, Sensitivity, encode};
use crate::statistic::{AccumulateError, Input, Statistic, level, real};

/// Events by person-time. The inputs are the events, the time, and the group where there is one.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    most_events: f64,
    longest: f64,
    groups: Option<u32>,
    per: f64,
}

impl Rate {
    /// With at most so many events in at most so long a time, told per so much time; `None` unless all are above 0 and finite.
    pub fn new(most_events: f64, longest: f64, groups: Option<u32>, per: f64) -> Option<Rate> {
        let holds = [most_events, longest, per].iter().all(|x| *x > 0.0 && x.is_finite());
        (holds && groups.is_none_or(|g| (1..=1000).contains(&g))).then_some(Rate { most_events, longest, groups, per })
    }

    fn groups(&self) -> usize {
        self.groups.map_or(1, |g| g as usize)
    }
}

impl Statistic for Rate {
    fn name(&self) -> &'static str {
        "rate"
    }
    fn inputs(&self) -> Vec<Input> {
        let mut out = vec![Input::Real, Input::Real];
        out.extend(self.groups.map(Input::Level));
        out
    }
    fn layout(&self) -> Layout {
        Layout { lanes: 3 * self.groups() + 1, scale: FIXED_POINT }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::fixed_point(self.layout().lanes, 3f64.sqrt(), 1.0)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        const NAME: &str = "rate";
        self.check(lanes)?;
        let groups = self.groups.map(|_| level(NAME, patients, 2)).transpose()?;
        let (events, times) = (real(NAME, patients, 0)?, real(NAME, patients, 1)?);
        for (row, (e, t)) in events.iter().zip(times).enumerate() {
            let group = groups.map_or(Some(0), |g| g.get(row).map(|l| *l as usize)).filter(|g| *g < self.groups());
            let Some(group) = group.filter(|_| !e.is_nan() && *t >= 0.0) else {
                lanes.add(NAME, 3 * self.groups(), encode(1.0))?;
                continue;
            };
            let values = [(e / self.most_events).clamp(0.0, 1.0), (t / self.longest).clamp(0.0, 1.0), 1.0];
            for (lane, value) in values.into_iter().enumerate() {
                lanes.add(NAME, 3 * group + lane, encode(value))?;
            }
        }
        Ok(())
    }
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate {
        let layout = self.layout();
        let v = merged.variance(&layout);
        let z = reporting.z();
        let mut rows = Vec::new();
        let missing = patients("all", merged.value(3 * self.groups(), &layout), v.sqrt(), reporting);
        rows.push(Row { statistic: "missing".into(), ..missing });
        let mut known = Vec::new();
        for g in 0..self.groups() {
            let term = match self.groups {
                None => "all".to_owned(),
                Some(_) => format!("{}={}", reporting.name(2), reporting.level(2, g)),
            };
            let at = |lane: usize| merged.value(3 * g + lane, &layout);
            let (events, time) = (at(0) * self.most_events, at(1) * self.longest);
            let (sd_events, sd_time) = (v.sqrt() * self.most_events, v.sqrt() * self.longest);
            let n = patients(&term, at(2), v.sqrt(), reporting);
            let shown = !n.suppressed;
            rows.push(n);
            if !shown
                || events < (reporting.min_cell as f64).max(1.0 - 1e-9).max(3.0 * sd_events)
                || time <= 3.0 * sd_time
            {
                rows.push(Row::withheld(&term, "incidence rate", "too few events, or too noisy to report"));
                known.push(None);
                continue;
            }
            rows.push(Row::normal(&term, "events", events, 0.0, sd_events, z).within(0.0, f64::INFINITY));
            rows.push(Row::normal(&term, "person-time", time, 0.0, sd_time, z).within(0.0, f64::INFINITY));
            let rate = events / time * self.per;
            let (sampling, noise) = (1.0 / events, (sd_events / events).powi(2) + (sd_time / time).powi(2));
            rows.push(Row::ratio(&term, "incidence rate", rate.ln(), sampling.sqrt(), noise.sqrt(), z));
            known.push(Some((rate, sampling, noise, term)));
        }
        if let Some(Some((base, s0, n0, reference))) = known.first() {
            for (rate, s, n, term) in known.iter().skip(1).flatten() {
                let term = format!("{term} / {reference}");
                rows.push(Row::ratio(&term, "rate ratio", (rate / base).ln(), (s + s0).sqrt(), (n + n0).sqrt(), z));
            }
        }
        Estimate { rows, curves: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Column;

    #[test]
    fn rates_and_their_ratio() {
        let s = Rate::new(2.0, 10.0, Some(2), 1000.0).unwrap();
        let columns = vec![
            Column::Real(vec![1.0, 2.0, 0.0, 1.0, 5.0, 1.0]),
            Column::Real(vec![5.0, 10.0, 10.0, 4.0, 8.0, f64::NAN]),
            Column::Level(vec![0, 0, 0, 1, 1, 1]),
        ];
        let mut lanes = Lanes::zeros(s.layout().lanes);
        s.accumulate(&PatientBatch::new(6, columns).unwrap(), &mut lanes).unwrap();
        let mut reporting = Reporting {
            confidence: 0.95,
            min_cell: 0,
            names: vec!["e".into(), "t".into(), "arm".into()],
            levels: vec![vec![]; 3],
        };
        reporting.levels[2] = vec!["a".into(), "b".into()];
        let merged = MergedRelease { lanes: lanes.into_values(), noise_variance: 0.0, unit: 1.0, sites: 1, shared: 1 };
        let e = s.estimate(&merged, &reporting);
        let get = |term: &str, name: &str| e.rows.iter().find(|r| r.term == term && r.statistic == name).unwrap();
        assert!((get("arm=a", "incidence rate").estimate.unwrap() - 120.0).abs() < 1e-6);
        // The second one's five events count as two.
        assert!((get("arm=b", "incidence rate").estimate.unwrap() - 250.0).abs() < 1e-6);
        let ratio = get("arm=b / arm=a", "rate ratio");
        assert!((ratio.estimate.unwrap() - 25.0 / 12.0).abs() < 1e-8);
        let half = 1.959_963_985 * (2.0f64 / 3.0).sqrt();
        assert!((ratio.upper.unwrap() - 25.0 / 12.0 * half.exp()).abs() < 1e-6);
        assert_eq!(get("all", "missing").estimate.map(f64::round), Some(1.0));
        assert!(Rate::new(0.0, 1.0, None, 1.0).is_none());
    }
}
