//! What a site's engine takes to group a large table, and what privacy adds to a round.
//!
//! `cargo run --release --package site-agent --example group_by -- obs.parquet [threads]` prints one JSON line a measurement. The table has
//! the columns `code`, `patient` and `value`. `codes` is count, mean, variance, least and most of each code, as one would ask a database;
//! `patients` is what a round asks: each patient's mean of one code; the other lines are that round's bounding and sum, its noise, and
//! the synced write that charges it.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::AsArray;
use arrow::datatypes::Float64Type;
use datafusion::prelude::ParquetReadOptions;
use platform::{Durability, RocksStore, Store, Transaction};
use privacy::mechanism::scale_of;
use privacy::{DiscreteGaussian, Mechanism, Rho};
use serde_json::json;
use site_agent::config::Limits;
use site_agent::engine::session;
use summaries::by_group::{ByGroup, Contrast};
use summaries::moments::Moments;
use summaries::{Column, Lanes, PatientBatch, Statistic};

/// Processor seconds of all threads so far, in ticks of 10 ms.
fn processor() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let tick = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (tick(11) + tick(12)) / 100.0
}

/// The most memory so far, in MiB.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<f64>().map_or(0.0, |kb| kb / 1024.0)
}

fn say(line: &serde_json::Value) -> std::io::Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{line}")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("name a Parquet file")?;
    let threads = std::env::args().nth(2).and_then(|t| t.parse().ok()).unwrap_or(2);
    let dir = tempfile::tempdir()?;
    let limits = Limits { memory_mib: 512, threads };
    let ctx = session::context(&limits, &dir.path().join("spill"))?;
    ctx.register_parquet("obs", &file, ParquetReadOptions::default()).await?;
    let rows = ctx.table("obs").await?.count().await? as f64;
    let grouped =
        "SELECT code, count(value), avg(value), var_samp(value), min(value), max(value) FROM obs GROUP BY code";
    for pass in 0..5 {
        let (start, cpu) = (Instant::now(), processor());
        let codes: usize = ctx.sql(grouped).await?.collect().await?.iter().map(|b| b.num_rows()).sum();
        let (wall, cpu) = (start.elapsed().as_secs_f64(), processor() - cpu);
        say(&json!({ "what": "codes", "pass": pass, "codes": codes, "wall": wall, "cpu": cpu,
            "m_rows_per_cpu_s": rows / cpu / 1e6, "peak_mib": peak() }))?;
    }
    let first = ctx.sql("SELECT min(code) AS c FROM obs").await?.collect().await?;
    let code = first.first().map_or(String::new(), |b| b.column(0).as_string::<i32>().value(0).to_owned());
    let asked = format!("SELECT patient, avg(value) AS v FROM obs WHERE code = '{code}' GROUP BY patient");
    let (start, cpu) = (Instant::now(), processor());
    let batches = ctx.sql(&asked).await?.collect().await?;
    let query = start.elapsed().as_secs_f64();
    say(&json!({ "what": "patients", "wall": query, "cpu": processor() - cpu, "peak_mib": peak() }))?;

    let start = Instant::now();
    let mut values: Vec<f64> = Vec::new();
    for batch in &batches {
        values.extend(batch.column(1).as_primitive::<Float64Type>().iter().map(|v| v.unwrap_or(f64::NAN)));
    }
    let n = values.len();
    let groups = (0..n).map(|i| (i % 2) as u32).collect();
    let batch = PatientBatch::new(n, vec![Column::Real(values), Column::Level(groups)])?;
    let moments = Moments::new(0.0, 500.0).ok_or("bounds")?;
    let statistic = ByGroup::new(Arc::new(moments), 2, Contrast::Number).ok_or("groups")?;
    let mut lanes = Lanes::zeros(statistic.layout().lanes);
    statistic.accumulate(&batch, &mut lanes)?;
    let bounding = start.elapsed().as_secs_f64();

    let start = Instant::now();
    let (rho, sensitivity) = (Rho::from_nano(20_000_000), statistic.sensitivity());
    let mut noised = lanes.into_values();
    let scale = scale_of(DiscreteGaussian.name(), &sensitivity, rho, 1, noised.len())?;
    DiscreteGaussian.noise(&mut noised, &scale, &sensitivity, 1, rho)?;
    let noise = start.elapsed().as_secs_f64();

    let store = RocksStore::open(&dir.path().join("store"))?;
    let start = Instant::now();
    let commits = 20;
    for i in 0..commits {
        let mut t = Transaction::new("bench");
        t.put(format!("charge/{i}"), vec![0; 256]);
        t.put(format!("release/{i}"), noised.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
        store.commit(t, Durability::Synced)?;
    }
    let ledger = start.elapsed().as_secs_f64() / f64::from(commits);
    let whole = query + bounding + noise + ledger;
    say(&json!({ "what": "privacy", "patients": n, "query": query, "bounding_and_sum": bounding, "noise": noise,
        "ledger": ledger, "share_of_the_round": (bounding + noise + ledger) / whole }))?;
    Ok(())
}
