//! Events by person-time, by group. A patient adds (e/E, t/T, 1) to the group's lanes, with at most E events in a time of at most T; where E is
//! above 1, half of e²/E², et/ET and t²/T² as well: the norm is at most √(3 + 3/4), else √3, the maximum 1.
//!
//! rate r = Σe / Σt. On the scale of its logarithm the sampling variance is Σ(e − rt)² / Σe², that of a ratio of sums over patients, who need not
//! have events as Poisson's law has them (Cochran, *Sampling Techniques*, section 6.3); under noise it is at least Poisson's. With one event at
//! most it is Poisson's, 1/Σe. The noise's is v (E²/Σe² + T²/Σt²) by the delta method. Where the events are not three standard errors of their noise, the rate has the score's interval, from 0 on.

use crate::batch::PatientBatch;
use crate::estimate::{Estimate, Reporting, Row, patients};
use crate::lanes::{FIXED_POINT, Lanes, Layout, MergedRelease, Sensitivity, encode};
use crate::statistic::{AccumulateError, Input, Statistic, level, real};

/// The weight of the second moments among the lanes.
const SECOND: f64 = 0.5;

/// Events by person-time. The inputs are the events, a number or no and yes, the time, and the group where there is one.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    most_events: f64,
    longest: f64,
    groups: Option<u32>,
    per: f64,
    /// Whether the events are a level, no or yes.
    once: bool,
}

impl Rate {
    /// With at most so many events in at most so long a time, told per so much time; `None` unless all are above 0 and finite.
    pub fn new(most_events: f64, longest: f64, groups: Option<u32>, per: f64) -> Option<Rate> {
        let holds = [most_events, longest, per].iter().all(|x| *x > 0.0 && x.is_finite());
        (holds && groups.is_none_or(|g| (1..=1000).contains(&g))).then_some(Rate {
            most_events,
            longest,
            groups,
            per,
            once: false,
        })
    }

    /// The same of an event that is no or yes.
    #[must_use]
    pub fn once(mut self) -> Rate {
        (self.once, self.most_events) = (true, 1.0);
        self
    }

    /// The lanes of a group.
    fn width(&self) -> usize {
        if self.most_events > 1.0 { 6 } else { 3 }
    }

    /// The variance of the logarithm of a group's rate over patients; Poisson's where the lanes say no more. Under noise, of a variance v a
    /// lane, it is a standard error of that noise higher, and at least Poisson's.
    fn sampling(&self, at: impl Fn(usize) -> f64, (events, time): (f64, f64), v: f64) -> f64 {
        let poisson = 1.0 / events;
        if self.width() == 3 {
            return poisson;
        }
        let (e, t, rate) = (self.most_events, self.longest, events / time);
        let units = [e * e, -2.0 * rate * e * t, rate * rate * t * t].map(|unit| unit / SECOND);
        let squares: f64 = units.iter().zip(3..).map(|(unit, lane)| unit * at(lane)).sum();
        let lost = (v * units.iter().map(|u| u * u).sum::<f64>()).sqrt();
        let over_patients = (squares + lost).max(0.0) / (events * events);
        if v == 0.0 { over_patients } else { over_patients.max(poisson) }
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
        let mut out = vec![if self.once { Input::Level(2) } else { Input::Real }, Input::Real];
        out.extend(self.groups.map(Input::Level));
        out
    }
    fn layout(&self) -> Layout {
        Layout { lanes: self.width() * self.groups() + 1, scale: FIXED_POINT }
    }
    fn sensitivity(&self) -> Sensitivity {
        let second = if self.width() == 6 { 3.0 * SECOND * SECOND } else { 0.0 };
        Sensitivity::fixed_point(self.layout().lanes, (3.0 + second).sqrt(), 1.0)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        const NAME: &str = "rate";
        self.check(lanes)?;
        let groups = self.groups.map(|_| level(NAME, patients, 2)).transpose()?;
        let of_levels = |levels: &[u32]| levels.iter().map(|l| if *l < 2 { f64::from(*l) } else { f64::NAN }).collect();
        let events: std::borrow::Cow<'_, [f64]> = match self.once {
            true => std::borrow::Cow::Owned(of_levels(level(NAME, patients, 0)?)),
            false => real(NAME, patients, 0)?.into(),
        };
        let times = real(NAME, patients, 1)?;
        for (row, (e, t)) in events.iter().zip(times).enumerate() {
            let group = groups.map_or(Some(0), |g| g.get(row).map(|l| *l as usize)).filter(|g| *g < self.groups());
            let Some(group) = group.filter(|_| !e.is_nan() && *t >= 0.0) else {
                lanes.add(NAME, self.width() * self.groups(), encode(1.0))?;
                continue;
            };
            let (e, t) = ((e / self.most_events).clamp(0.0, 1.0), (t / self.longest).clamp(0.0, 1.0));
            let values = [e, t, 1.0, SECOND * e * e, SECOND * e * t, SECOND * t * t];
            for (lane, value) in values.into_iter().take(self.width()).enumerate() {
                lanes.add(NAME, self.width() * group + lane, encode(value))?;
            }
        }
        Ok(())
    }
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate {
        let layout = self.layout();
        let v = merged.variance(&layout);
        let z = reporting.z();
        let mut rows = Vec::new();
        let missing = patients("all", merged.value(self.width() * self.groups(), &layout), v.sqrt(), reporting);
        rows.push(Row { statistic: "missing".into(), ..missing });
        let mut known = Vec::new();
        for g in 0..self.groups() {
            let term = match self.groups {
                None => "all".to_owned(),
                Some(_) => format!("{}={}", reporting.name(2), reporting.level(2, g)),
            };
            let at = |lane: usize| merged.value(self.width() * g + lane, &layout);
            let (events, time) = (at(0) * self.most_events, at(1) * self.longest);
            let (sd_events, sd_time) = (v.sqrt() * self.most_events, v.sqrt() * self.longest);
            let n = patients(&term, at(2), v.sqrt(), reporting);
            let shown = !n.suppressed;
            rows.push(n);
            let least = if reporting.min_cell > 0 { reporting.min_cell as f64 } else { f64::NEG_INFINITY };
            if !shown || time <= 3.0 * sd_time || events < least {
                let why = match shown && time > 3.0 * sd_time {
                    true => format!("fewer than {} events (noisy)", reporting.min_cell),
                    false => "too few patients or too little time, or too noisy to report".to_owned(),
                };
                rows.push(Row::withheld(&term, "incidence rate", &why));
                known.push(None);
                continue;
            }
            if events < (1.0 - 1e-9f64).max(3.0 * sd_events) {
                // Were few events withheld, those alone would be shown that the noise has made many.
                let few = Few { events, time, sd_events, sd_time };
                rows.extend(few.rows(&term, self.per, z));
                known.push(None);
                continue;
            }
            rows.push(Row::normal(&term, "events", events, 0.0, sd_events, z).within(0.0, f64::INFINITY));
            rows.push(Row::normal(&term, "person-time", time, 0.0, sd_time, z).within(0.0, f64::INFINITY));
            let rate = events / time * self.per;
            let sampling = self.sampling(at, (events, time), v);
            let (sampling, noise) = (sampling, (sd_events / events).powi(2) + (sd_time / time).powi(2));
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

/// Events that are not told from none.
struct Few {
    events: f64,
    time: f64,
    sd_events: f64,
    sd_time: f64,
}

impl Few {
    /// The rate with the interval of the score: of the means m of events that lie no further from what was seen than z of their own
    /// errors, (e − m)² ≤ z² (m + v + m² r), v the noise's variance of the events and r the squared relative noise of the time. It is told
    /// whatever the noise has made of the events: fewer than none count as none.
    fn rows(&self, term: &str, per: f64, z: f64) -> [Row; 3] {
        let e = self.events.max(0.0);
        let (v, r) = (self.sd_events.powi(2), (self.sd_time / self.time).powi(2));
        let (a, b, c) = ((1.0 - z * z * r).max(0.1), 2.0 * e + z * z, e * e - z * z * v);
        let root = (b * b - 4.0 * a * c).max(0.0).sqrt();
        let (low, high) = (((b - root) / (2.0 * a)).max(0.0), (b + root) / (2.0 * a));
        let scale = per / self.time;
        let (sampling, noise) = (e.max(1.0).sqrt() * scale, (v + e * e * r).sqrt() * scale);
        let rate = Row::normal(term, "incidence rate", e * scale, sampling, noise, z);
        let rate = Row { lower: Some(low * scale), upper: Some(high * scale), ..rate };
        let plain =
            |name: &str, value: f64, sd: f64| Row::normal(term, name, value, 0.0, sd, z).within(0.0, f64::INFINITY);
        [
            plain("events", e, self.sd_events),
            plain("person-time", self.time, self.sd_time),
            rate.note("the events are not told from none: the interval is the score's"),
        ]
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
        // Of a the residuals are 0.4, 0.8 and -1.2 of three events; of b none.
        let half = 1.959_963_985 * (2.24f64 / 9.0).sqrt();
        assert!((ratio.upper.unwrap() - 25.0 / 12.0 * half.exp()).abs() < 1e-6);
        assert_eq!(get("all", "missing").estimate.map(f64::round), Some(1.0));
        assert!(Rate::new(0.0, 1.0, None, 1.0).is_none());
    }

    /// Patients who have many events or none, with noise and without: 400 draws each, whose share has a standard error of 1.1 points.
    #[test]
    fn intervals_of_repeated_events_hold_the_rate() {
        use crate::evidence::{Draws, get, release, reporting};
        let s = Rate::new(20.0, 1.0, None, 1.0).unwrap();
        let names = reporting(&["e", "t"], &[&[], &[]]);
        for sd in [0.0, 3.0] {
            let mut held = 0;
            for seed in 0..400 {
                let mut draws = Draws(seed * 17 + 3);
                let (mut events, mut times) = (Vec::new(), Vec::new());
                for _ in 0..400 {
                    // A tenth have 8 events a year, the others 0.2.
                    let rate = if draws.uniform() < 0.1 { 8.0 } else { 0.2 };
                    let time = 0.5 + 0.5 * draws.uniform();
                    let (limit, mut product, mut count) = ((-rate * time).exp(), draws.uniform(), 0.0);
                    while product > limit {
                        product *= draws.uniform();
                        count += 1.0;
                    }
                    events.push(count);
                    times.push(time);
                }
                let exact = release(&s, vec![Column::Real(events), Column::Real(times)]);
                let e = s.estimate(&draws.noisy(&s, &exact, sd), &names);
                let row = get(&e, "all", "incidence rate");
                held += u32::from(row.lower.unwrap() <= 0.98 && 0.98 <= row.upper.unwrap());
            }
            assert!((365..=397).contains(&held), "{held} of 400 with noise of {sd}");
        }
    }

    #[test]
    fn an_event_of_no_and_yes_counts_once() {
        use crate::evidence::{get, release, reporting};
        let s = Rate::new(1.0, 10.0, None, 100.0).unwrap().once();
        let exact = release(
            &s,
            vec![Column::Level(vec![1, 0, 1, crate::batch::MISSING]), Column::Real(vec![4.0, 6.0, 10.0, 1.0])],
        );
        let e = s.estimate(&exact, &reporting(&["e", "t"], &[&["no", "yes"], &[]]));
        assert!((get(&e, "all", "incidence rate").estimate.unwrap() - 10.0).abs() < 1e-6);
        assert_eq!(get(&e, "all", "missing").estimate.map(f64::round), Some(1.0));
    }

    /// Of events about as many as their noise: told in every draw, not in those alone in which the noise has made them many, and the
    /// intervals hold the rate in 95 % or more.
    #[test]
    fn rare_events_are_told_whatever_the_noise() {
        use crate::evidence::{Draws, get, release, reporting};
        let s = Rate::new(1.0, 1.0, None, 1.0).unwrap();
        let names = reporting(&["e", "t"], &[&[], &[]]);
        let (truth, n, seeds) = (0.01, 2_000, 400);
        let (mut sum, mut held, mut few) = (0.0, 0, 0);
        for seed in 0..seeds {
            let mut draws = Draws(seed * 31 + 5);
            let events = (0..n).map(|_| f64::from(u8::from(draws.uniform() < truth))).collect();
            let exact = release(&s, vec![Column::Real(events), Column::Real(vec![1.0; n])]);
            let e = s.estimate(&draws.noisy(&s, &exact, 12.0), &names);
            let row = get(&e, "all", "incidence rate");
            sum += row.estimate.unwrap();
            few += u32::from(row.note.contains("score"));
            held += u32::from(row.lower.unwrap() <= truth && truth <= row.upper.unwrap());
        }
        let (mean, held) = (sum / seeds as f64, f64::from(held) / seeds as f64);
        assert!(few > 100, "{few} draws of few events");
        assert!((mean / truth - 1.0).abs() < 0.12, "the mean of what is told is {mean}, and the truth {truth}");
        assert!(held >= 0.93, "{held} of the intervals hold the rate");
    }
}
