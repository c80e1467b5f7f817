//! Clipped gradients of a perceptron, patient by patient, on one thread: how many a second, over patients in memory.
//!
//! `cargo run --package learning --example perceptron -- 20000 40 128`
//!
//! `bench/gradients.py` runs it beside numpy and JAX on the same sizes.

use std::io::Write as _;
use std::time::Instant;

use learning::training::{Activation, ClippedGradient, Loss, Model, Network};
use learning::{Design, Term};
use summaries::{Column, Lanes, PatientBatch, Statistic};

fn main() {
    let number = |at: usize, or: usize| std::env::args().nth(at).and_then(|a| a.parse().ok()).unwrap_or(or);
    let (rows, features) = (number(1, 20_000), number(2, 40));
    let hidden: Vec<usize> = std::env::args().skip(3).filter_map(|a| a.parse().ok()).collect();
    let mut seed = 7u64;
    let mut uniform = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut columns: Vec<Column> =
        (0..features).map(|_| Column::Real((0..rows).map(|_| 2.0 * uniform() - 1.0).collect())).collect();
    columns.push(Column::Level((0..rows).map(|_| u32::from(uniform() < 0.3)).collect()));
    let Ok(batch) = PatientBatch::new(rows, columns) else { return };
    let terms = (0..features).map(|i| Term::Real { name: format!("x{i}"), lower: -1.0, upper: 1.0 }).collect();
    let Some(network) = Network::new(features, &hidden, 1, Activation::Tanh) else { return };
    let d = network.parameters();
    let theta = (0..d).map(|_| 0.2 * uniform() - 0.1).collect();
    let Some(model) = Model::new(Design::new(terms), network, Loss::Logistic) else { return };
    let Some(gradient) = ClippedGradient::new(model, theta, 1.0) else { return };
    let mut passes: Vec<f64> = (0..7)
        .map(|_| {
            let begun = Instant::now();
            let mut lanes = Lanes::zeros(gradient.layout().lanes);
            let done = gradient.accumulate(&batch, &mut lanes);
            let _ = std::hint::black_box((done, lanes));
            begun.elapsed().as_secs_f64()
        })
        .collect();
    passes.sort_by(f64::total_cmp);
    let seconds = passes.get(3).copied().unwrap_or(f64::NAN);
    let line =
        format!("{{\"parameters\": {d}, \"patients\": {rows}, \"gradients_a_second\": {:.0}}}", rows as f64 / seconds);
    let _ = writeln!(std::io::stdout(), "{line}");
}
