//! Rows of one group that has nine of ten, against rows that are spread evenly: how many a second, in memory.
//!
//! `skew [ROWS] [SHARDS]` prints a line of JSON for even rows, for the hot group where its rows stay at one shard, and for the hot
//! group where all shards sum it. The answers must be the same for the last two.

#![allow(clippy::print_stdout)]

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use platform::SystemClock;
use streams::aggregate::QuantilesOfValues;
use streams::backend::HeapBackend;
use streams::batch::EventBatch;
use streams::job::{Job, Settings};
use streams::operator::{By, Maker, Windowed};
use streams::out::{Closed, Out};
use streams::sink::{History, Sink, SinkError};
use streams::source::{Polled, Position, Source, SourceError};
use streams::watermark::Channel;
use streams::window::Windows;

const GROUPS: u64 = 1000;

struct Made {
    batches: Vec<EventBatch>,
}

impl Made {
    fn new(rows: u64, hot: bool) -> Made {
        let mut state = 42u64;
        let mut next = move |most: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % most
        };
        let mut batches: Vec<EventBatch> = Vec::new();
        for i in 0..rows {
            if i % (1 << 15) == 0 {
                batches.push(EventBatch::default());
            }
            let Some(batch) = batches.last_mut() else { continue };
            batch.time.push((i * 3_600_000_000 / 500_000) as i64);
            batch.key.push(u128::from(next(100_000)) + 1);
            batch.group.push(if hot && next(10) < 9 { 7 } else { next(GROUPS) as u32 });
            batch.value.push(next(100_000) as i64);
        }
        if let Some(first) = batches.first_mut() {
            first.names = (0..GROUPS).map(|g| format!("g{g}")).collect();
        }
        batches.reverse();
        Made { batches }
    }
}

impl Source for Made {
    fn id(&self) -> &str {
        "made"
    }
    fn seek(&mut self, _: Option<&Position>, _: &[String]) -> Result<(), SourceError> {
        Ok(())
    }
    fn poll(&mut self, _: usize) -> Result<Polled, SourceError> {
        let Some(mut batch) = self.batches.pop() else { return Ok(Polled::End) };
        batch.end = Some(Position(self.batches.len().to_string()));
        Ok(Polled::Batch(batch))
    }
}

#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Closed>>>);

impl Sink for Told {
    fn take(&mut self, out: &Out, _: &[String]) -> Result<(), SinkError> {
        if let Ok(mut told) = self.0.lock() {
            told.extend(out.closed.iter().cloned());
        }
        Ok(())
    }
    fn prepare(&mut self, _: u64) -> Result<(), SinkError> {
        Ok(())
    }
    fn commit(&mut self, _: u64) -> Result<(), SinkError> {
        Ok(())
    }
    fn recover(&mut self, _: &History, _: u64) -> Result<(), SinkError> {
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let number = |i: usize, usual: u64| std::env::args().nth(i).map_or(Ok(usual), |n| n.parse());
    let (rows, shards) = (number(1, 5_000_000)?, number(2, 2)? as u16);
    let hourly = Windows::tumbling(Duration::from_secs(3600), Duration::ZERO).ok_or("windows")?;
    let mut all = Vec::new();
    for (name, hot, spread_hot) in
        [("even", false, true), ("hot, one shard", true, false), ("hot, all shards", true, true)]
    {
        let (dir, told) =
            (std::env::temp_dir().join(format!("skew-{}-{}", std::process::id(), all.len())), Told::default());
        let settings = Settings {
            channels: vec![(Channel { source: "made".to_owned(), kind: "event".to_owned() }, Duration::ZERO)],
            shards,
            spread_hot,
            ..Settings::default()
        };
        let makers: Vec<Maker> = vec![Box::new(move |p| {
            Ok(Box::new(Windowed::open(QuantilesOfValues(vec![0.9]), hourly, 0, By::Group, p)?))
        })];
        let backend =
            Arc::new(RwLock::new(Box::new(HeapBackend::open(&dir, 1)?) as Box<dyn streams::backend::Backend>));
        let mut job = Job::new(settings, makers, backend, Box::new(told.clone()), Arc::new(SystemClock));
        let (metrics, source, begun) = (job.metrics(), Made::new(rows, hot), Instant::now());
        job.run(vec![Box::new(source)], &AtomicBool::new(false))?;
        let seconds = begun.elapsed().as_secs_f64();
        let line = serde_json::json!({
            "rows": name, "shards": shards, "seconds": seconds, "rows_a_second": rows as f64 / seconds, "spread": metrics.measured().spread,
        });
        println!("{line}");
        let mut answers = std::mem::take(&mut *told.0.lock().map_err(|_| "lock")?);
        answers.sort();
        all.push(answers);
        let _ = std::fs::remove_dir_all(&dir);
    }
    if all.get(1) != all.get(2) {
        return Err("the answers of the hot group differ".into());
    }
    Ok(())
}
