//! The golden figures of `golden/accountants.json`, and the gate that every accountant passes.

use std::sync::LazyLock;

use serde::Deserialize;

use super::pld::Pld;
use super::rdp;
use super::{gaussian, search};

/// How far above dp-accounting an accountant may be.
pub(crate) const MOST_EXCESS: f64 = 1e-3;

#[derive(Debug, Deserialize)]
pub(crate) struct Golden {
    pub(crate) rows: Vec<Row>,
    pub(crate) gaussian: Vec<Point>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Point {
    pub(crate) mu: f64,
    pub(crate) epsilon: f64,
    pub(crate) delta: f64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Part {
    pub(crate) kind: String,
    pub(crate) sigma: f64,
    pub(crate) q: f64,
    pub(crate) rounds: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Row {
    pub(crate) group: String,
    pub(crate) parts: Vec<Part>,
    pub(crate) delta: f64,
    pub(crate) rdp: f64,
    pub(crate) pld: f64,
    pub(crate) refined: f64,
    pub(crate) floor: f64,
    pub(crate) optimistic: f64,
    pub(crate) exact: Option<f64>,
    pub(crate) contour: Option<f64>,
}

impl Row {
    /// What nothing may lie below: the exact figure (Gaussian in 60 digits, one round in closed form, or the contour
    /// integral of `contour.py`), which no grid has touched. For Laplace alone: the refined oracle, less its own
    /// rounding.
    pub(crate) fn lower(&self) -> f64 {
        self.exact.or(self.contour).unwrap_or(self.floor).max(self.optimistic)
    }

    pub(crate) fn name(&self) -> String {
        let part = |p: &Part| format!("{}({}, q {:.4}) × {}", p.kind, p.sigma, p.q, p.rounds);
        format!("{} δ {:.0e}", self.parts.iter().map(part).collect::<Vec<_>>().join(" + "), self.delta)
    }
}

static GOLDEN: LazyLock<Golden> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../golden/accountants.json")).unwrap());

pub(crate) fn golden() -> &'static Golden {
    &GOLDEN
}

/// The gate: at most 1e-3 above dp-accounting, never below the oracle.
pub(crate) fn gate(ours: f64, reference: f64, lower: f64) -> Result<(), String> {
    if ours.is_nan() || ours > reference + MOST_EXCESS {
        return Err(format!("{ours} is above {reference}"));
    }
    if ours < lower {
        return Err(format!("{ours} is below {lower}, by {:.2e}", lower - ours));
    }
    Ok(())
}

pub(crate) fn rdp_epsilon(row: &Row) -> f64 {
    let orders = rdp::rich_orders();
    let at = |alpha: &f64| {
        let one = |p: &Part| match p.kind.as_str() {
            "laplace" => rdp::laplace(p.sigma, *alpha),
            _ => rdp::sampled_gaussian(p.sigma, p.q, *alpha),
        };
        row.parts.iter().map(|p| p.rounds as f64 * one(p)).sum()
    };
    rdp::epsilon(&orders, &orders.iter().map(at).collect::<Vec<f64>>(), row.delta)
}

pub(crate) fn pld(row: &Row, interval: f64) -> Pld {
    let one = |p: &Part| match p.kind.as_str() {
        "laplace" => Pld::laplace(p.sigma, interval).unwrap(),
        _ => Pld::sampled_gaussian(p.sigma, p.q, interval).unwrap(),
    };
    let parts: Vec<(Pld, u64)> = row.parts.iter().map(|p| (one(p), p.rounds)).collect();
    Pld::compose_all(&parts.iter().map(|(pld, rounds)| (pld, *rounds)).collect::<Vec<_>>()).unwrap()
}

#[test]
fn the_gate_holds_for_pld() {
    let (mut excess, mut margin, mut failures) = (f64::MIN, f64::MAX, Vec::new());
    for row in &golden().rows {
        let start = std::time::Instant::now();
        let ours = pld(row, 1e-4).epsilon(row.delta).unwrap();
        let time = start.elapsed();
        println!(
            "{:<70} ours {ours:.9} dp {:+.2e} refined {:+.2e} lower {:+.2e} {time:?}",
            row.name(),
            ours - row.pld,
            ours - row.refined,
            ours - row.lower()
        );
        (excess, margin) = (excess.max(ours - row.pld), margin.min(ours - row.lower()));
        if let Err(why) = gate(ours, row.pld, row.lower()) {
            failures.push(format!("{} {}: {why}", row.group, row.name()));
        }
    }
    println!("PLD: most above dp-accounting {excess:.2e}, least above the oracle {margin:.2e}");
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn the_gate_holds_for_the_exact_gaussian() {
    let mut margin = f64::MAX;
    for row in golden().rows.iter().filter(|row| row.exact.is_some()) {
        let exact = row.exact.unwrap();
        let mu = row.parts.iter().map(|p| p.rounds as f64 / (p.sigma * p.sigma)).sum::<f64>().sqrt();
        let ours = gaussian::epsilon(mu, row.delta);
        assert!((ours - exact).abs() <= 1e-9 * exact, "{}: {ours} {exact}", row.name());
        let [part] = row.parts.as_slice() else { continue };
        let asked = search::epsilon(search::Accountant::Pld, part.sigma, 1.0, part.rounds, row.delta).unwrap();
        margin = margin.min(asked - exact);
        gate(asked, row.pld, exact).unwrap();
    }
    println!("exact Gaussian: least above 60 digits {margin:.2e}");
}
