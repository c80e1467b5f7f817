//! What the demo's study would find with every row in one place: computed from the generator's own list, never from a lake.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use learning::{Design, Family, Glm, Term};
use summaries::{Column, Lanes, MergedRelease, MergedRound, PatientBatch, Program, Reporting, Step};

/// The true value of each estimate, by analysis, term and statistic.
pub type Truth = BTreeMap<(String, String, String), f64>;

struct Person {
    male: bool,
    age: f64,
    hba1c: f64,
    sbp: f64,
    creatinine: f64,
    outcome: bool,
}

/// One number of a person.
type Value = fn(&Person) -> f64;

fn read(path: &Path) -> anyhow::Result<Vec<Person>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?;
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let mut out = Vec::new();
    for line in lines {
        let cells: BTreeMap<&str, &str> = header.iter().copied().zip(line.split(',')).collect();
        let number = |name: &str| cells.get(name).and_then(|c| c.parse().ok()).unwrap_or(f64::NAN);
        let yes = |name: &str| cells.get(name).is_some_and(|c| matches!(*c, "1" | "true"));
        if yes("in_cohort") {
            out.push(Person {
                male: cells.get("sex") == Some(&"M"),
                age: number("age"),
                hba1c: number("hba1c"),
                sbp: number("sbp"),
                creatinine: number("creatinine"),
                outcome: yes("outcome"),
            });
        }
    }
    Ok(out)
}

fn quantile(values: &[f64], p: f64) -> f64 {
    // Type 7, as R's default.
    let place = p * (values.len().saturating_sub(1)) as f64;
    let at = |i: f64| values.get(i as usize).copied().unwrap_or(f64::NAN);
    let low = at(place.floor());
    low + (at(place.ceil()) - low) * place.fract()
}

/// The truth of the demo's study.
///
/// # Errors
/// The list can't be read, or the model does not fit it.
pub fn of_demo(path: &Path) -> anyhow::Result<Truth> {
    let people = read(path)?;
    let mut truth = Truth::new();
    let mut put = |a: &str, term: &str, statistic: &str, v: f64| {
        truth.insert((a.to_owned(), term.to_owned(), statistic.to_owned()), v);
    };
    let n = people.len() as f64;
    put("feasibility", "cohort", "n", n);
    for (term, count) in [
        ("sex=F", people.iter().filter(|p| !p.male).count()),
        ("sex=M", people.iter().filter(|p| p.male).count()),
        ("heart_failure=no", people.iter().filter(|p| !p.outcome).count()),
        ("heart_failure=yes", people.iter().filter(|p| p.outcome).count()),
    ] {
        put("table 1", term, "n", count as f64);
        put("table 1", term, "proportion", count as f64 / n);
    }
    // Clipped to the study's bounds, as the study says.
    let variables: [(&str, Value); 4] = [
        ("age", |p| p.age.clamp(42.0, 90.0)),
        ("hba1c", |p| p.hba1c.clamp(30.0, 80.0)),
        ("sbp", |p| p.sbp.clamp(100.0, 170.0)),
        ("creatinine", |p| p.creatinine.clamp(20.0, 200.0)),
    ];
    for (name, of) in variables {
        let mut values: Vec<f64> = people.iter().map(of).filter(|v| !v.is_nan()).collect();
        values.sort_by(f64::total_cmp);
        let m = values.len() as f64;
        let mean = values.iter().sum::<f64>() / m;
        let sd = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (m - 1.0)).sqrt();
        put("table 1", name, "n", m);
        put("table 1", name, "missing", n - m);
        put("table 1", name, "mean", mean);
        put("table 1", name, "sd", sd);
        for (label, p) in [("q0.25", 0.25), ("median", 0.5), ("q0.75", 0.75)] {
            put("table 1", name, label, quantile(&values, p));
        }
        if name == "creatinine" {
            put("creatinine quantiles", name, "n", m);
            for (label, p) in [("q0.05", 0.05), ("q0.25", 0.25), ("median", 0.5), ("q0.75", 0.75), ("q0.95", 0.95)] {
                put("creatinine quantiles", name, label, quantile(&values, p));
            }
        }
    }
    for row in model(&people)? {
        if let Some(v) = row.estimate {
            put("heart failure model", &row.term, &row.statistic, v);
        }
    }
    Ok(truth)
}

/// The maximum-likelihood fit over all rows.
fn model(people: &[Person]) -> anyhow::Result<Vec<summaries::Row>> {
    let real = |name: &str, lower: f64, upper: f64| Term::Real { name: name.to_owned(), lower, upper };
    let design = Design::new(vec![
        real("age", 42.0, 90.0),
        Term::Level { name: "sex".into(), levels: vec!["F".into(), "M".into()] },
        real("hba1c", 30.0, 80.0),
        real("sbp", 100.0, 170.0),
    ]);
    let column = |of: fn(&Person) -> f64| Column::Real(people.iter().map(of).collect());
    let level = |of: fn(&Person) -> bool| Column::Level(people.iter().map(|p| u32::from(of(p))).collect());
    let batch = PatientBatch::new(
        people.len(),
        vec![column(|p| p.age), level(|p| p.male), column(|p| p.hba1c), column(|p| p.sbp), level(|p| p.outcome)],
    )?;
    let reporting = Reporting { confidence: 0.95, min_cell: 0, names: Vec::new(), levels: Vec::new() };
    let mut program = Glm::new(design, Family::Logistic, (0..5).collect(), 50, reporting);
    let (mut round, mut parameters) = (0, program.first());
    loop {
        let mut parts = Vec::new();
        for w in program.work(round, &parameters)? {
            let mut lanes = Lanes::zeros(w.statistic.layout().lanes);
            w.statistic.accumulate(&batch, &mut lanes)?;
            parts.push(MergedRelease {
                lanes: lanes.into_values(),
                noise_variance: 0.0,
                unit: 1.0,
                sites: 1,
                shared: 1,
            });
        }
        match program.next(round, &parameters, &MergedRound { parts, sites: 1 })? {
            Step::Continue { round: r, parameters: p } => (round, parameters) = (r, p),
            Step::Done(estimate) => return Ok(estimate.rows),
        }
    }
}
