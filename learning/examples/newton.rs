//! What a Newton step of a logistic regression costs a site: gradient and curvature over patients in memory, beside the floor, which
//! is one pass over the same bytes.
//!
//! `cargo run --release --package learning --example newton -- 1000000 50`

use std::io::Write as _;
use std::time::Instant;

use learning::newton::{Curvature, Gradient};
use learning::{Design, Family, Term};
use summaries::{Column, Lanes, PatientBatch, Statistic};

fn main() {
    let number = |at: usize, or: usize| std::env::args().nth(at).and_then(|a| a.parse().ok()).unwrap_or(or);
    let (rows, features) = (number(1, 1_000_000), number(2, 50));
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
    let design = Design::new(terms);
    let theta = vec![0.1; features + 1];
    let bytes = (rows * features * 8) as f64;
    let timed = |name: &str, floor: Option<f64>, mut f: Box<dyn FnMut() -> f64 + '_>| {
        let mut passes: Vec<f64> = (0..5)
            .map(|_| {
                let start = Instant::now();
                std::hint::black_box(f());
                start.elapsed().as_secs_f64()
            })
            .collect();
        passes.sort_by(f64::total_cmp);
        let seconds = passes.get(2).copied().unwrap_or(f64::NAN);
        let ratio = floor.map_or(String::new(), |f| format!(", {:.3} of the floor's speed", f / seconds));
        let speed = (rows as f64 / seconds / 1e6, bytes / seconds / 1e9);
        let line = format!("{name:10} {seconds:8.4} s  {:6.2} M rows/s  {:7.2} GB/s{ratio}", speed.0, speed.1);
        let _ = writeln!(std::io::stdout(), "{line}");
        seconds
    };
    let floor = timed(
        "floor",
        None,
        Box::new(|| {
            let of = |c: &Column| {
                if let Column::Real(v) = c { v.chunks(8).map(|c| c.iter().sum::<f64>()).sum() } else { 0.0 }
            };
            batch.columns().iter().map(of).sum()
        }),
    );
    for (name, statistic) in [
        ("gradient", Box::new(Gradient::new(design.clone(), Family::Logistic, theta.clone())) as Box<dyn Statistic>),
        ("curvature", Box::new(Curvature::new(design, Family::Logistic, theta))),
    ] {
        timed(
            name,
            Some(floor),
            Box::new(|| {
                let mut lanes = Lanes::zeros(statistic.layout().lanes);
                match statistic.accumulate(&batch, &mut lanes) {
                    Ok(()) => lanes.values().first().map_or(0.0, |v| *v as f64),
                    Err(_) => f64::NAN,
                }
            }),
        );
    }
}
