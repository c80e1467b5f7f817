//! What a job tells of itself: counts, times and sizes, for the hospital's own eyes.

use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

/// A job's counters, shared by its threads.
#[derive(Default)]
pub struct Metrics {
    pub(crate) rows: AtomicU64,
    pub(crate) again: AtomicU64,
    pub(crate) aside: AtomicU64,
    pub(crate) closed: AtomicU64,
    pub(crate) watermark: AtomicI64,
    pub(crate) newest: AtomicI64,
    pub(crate) checkpoints: AtomicU64,
    pub(crate) checkpoint_micros: AtomicU64,
    pub(crate) checkpoint_bytes: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) values: AtomicU64,
    pub(crate) blocked_micros: AtomicU64,
    pub(crate) running_micros: AtomicU64,
    pub(crate) spread: AtomicU64,
    pub(crate) too_old: AtomicU64,
    pub(crate) unreadable: AtomicU64,
}

/// The counters at one moment. A checkpoint keeps them, so that they are of all rows, each once, whatever was killed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Measured {
    /// Rows taken in.
    pub rows: u64,
    /// Rows that had come before, in this revision or a later one.
    pub again: u64,
    /// Rows that went to the side output.
    pub aside: u64,
    /// Rows of answers.
    pub closed: u64,
    /// The watermark, in microseconds since 1970; the least number before there is one.
    pub watermark: i64,
    /// The newest event time seen.
    pub newest: i64,
    /// Checkpoints taken.
    pub checkpoints: u64,
    /// How long the last one took; in the counters that a checkpoint keeps, the one before it. So it is with its bytes.
    pub checkpoint_micros: u64,
    /// How many bytes the last one wrote.
    pub checkpoint_bytes: u64,
    /// How many bytes all of them wrote.
    pub bytes: u64,
    /// Values of state in memory.
    pub values: u64,
    /// For how long sources waited for the operators: backpressure.
    pub blocked_micros: u64,
    /// For how long the job has run.
    pub running_micros: u64,
    /// Rows of groups that had most of the rows, which all shards have summed together.
    pub spread: u64,
    /// Rows that became known when they were older than what is remembered, and so were not taken in.
    pub too_old: u64,
    /// Rows that a source could not read.
    pub unreadable: u64,
}

impl Metrics {
    /// Sets them to what a checkpoint kept.
    pub(crate) fn restore(&self, kept: &Measured) {
        self.rows.store(kept.rows, Relaxed);
        self.again.store(kept.again, Relaxed);
        self.aside.store(kept.aside, Relaxed);
        self.closed.store(kept.closed, Relaxed);
        self.watermark.store(kept.watermark, Relaxed);
        self.newest.store(kept.newest, Relaxed);
        self.checkpoints.store(kept.checkpoints, Relaxed);
        self.checkpoint_micros.store(kept.checkpoint_micros, Relaxed);
        self.checkpoint_bytes.store(kept.checkpoint_bytes, Relaxed);
        self.bytes.store(kept.bytes, Relaxed);
        self.values.store(kept.values, Relaxed);
        self.blocked_micros.store(kept.blocked_micros, Relaxed);
        self.running_micros.store(kept.running_micros, Relaxed);
        self.spread.store(kept.spread, Relaxed);
        self.too_old.store(kept.too_old, Relaxed);
        self.unreadable.store(kept.unreadable, Relaxed);
    }

    /// The counters now.
    pub fn measured(&self) -> Measured {
        Measured {
            rows: self.rows.load(Relaxed),
            again: self.again.load(Relaxed),
            aside: self.aside.load(Relaxed),
            closed: self.closed.load(Relaxed),
            watermark: self.watermark.load(Relaxed),
            newest: self.newest.load(Relaxed),
            checkpoints: self.checkpoints.load(Relaxed),
            checkpoint_micros: self.checkpoint_micros.load(Relaxed),
            checkpoint_bytes: self.checkpoint_bytes.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            values: self.values.load(Relaxed),
            blocked_micros: self.blocked_micros.load(Relaxed),
            running_micros: self.running_micros.load(Relaxed),
            spread: self.spread.load(Relaxed),
            too_old: self.too_old.load(Relaxed),
            unreadable: self.unreadable.load(Relaxed),
        }
    }
}

impl Measured {
    /// How far event time is behind the newest event, in microseconds.
    pub fn lag(&self) -> i64 {
        // Before there is a watermark nothing lags behind it.
        if self.watermark == i64::MIN { 0 } else { self.newest.saturating_sub(self.watermark).max(0) }
    }

    /// The share of time in which sources waited.
    pub fn backpressure(&self) -> f64 {
        match self.running_micros {
            0 => 0.0,
            running => (self.blocked_micros as f64 / running as f64).min(1.0),
        }
    }
}

/// What Prometheus is told: a name, its kind, and how it is read of a job.
type Gauge = (&'static str, &'static str, fn(&Measured) -> f64);

const GAUGES: [Gauge; 15] = [
    ("rows_total", "counter", |m| m.rows as f64),
    ("again_total", "counter", |m| m.again as f64),
    ("aside_total", "counter", |m| m.aside as f64),
    ("answers_total", "counter", |m| m.closed as f64),
    ("watermark_seconds", "gauge", |m| m.watermark as f64 / 1e6),
    ("lag_seconds", "gauge", |m| m.lag() as f64 / 1e6),
    ("checkpoints_total", "counter", |m| m.checkpoints as f64),
    ("checkpoint_seconds", "gauge", |m| m.checkpoint_micros as f64 / 1e6),
    ("checkpoint_bytes", "gauge", |m| m.checkpoint_bytes as f64),
    ("written_bytes_total", "counter", |m| m.bytes as f64),
    ("state_values", "gauge", |m| m.values as f64),
    ("backpressure_ratio", "gauge", Measured::backpressure),
    ("spread_rows_total", "counter", |m| m.spread as f64),
    ("too_old_rows_total", "counter", |m| m.too_old as f64),
    ("unreadable_rows_total", "counter", |m| m.unreadable as f64),
];

/// The counters of jobs as Prometheus reads them (text format 0.0.4), with each job's name as a label.
pub fn prometheus(jobs: &[(&str, Measured)]) -> String {
    let mut out = String::new();
    for (name, kind, read) in GAUGES {
        let _ = writeln!(out, "# TYPE insitu_stream_{name} {kind}");
        for (job, measured) in jobs {
            let job: String = job.chars().filter(|c| !matches!(c, '"' | '\\' | '\n')).collect();
            let _ = writeln!(out, "insitu_stream_{name}{{job=\"{job}\"}} {}", read(measured));
        }
    }
    out
}
