//! The queries of a clinical event stream, measured: hourly counts and means, sessions, patients over a sliding day.
//!
//! `events QUERY EVENTS.csv OUT --state DIR [--backend heap|rocksdb] [--every SECONDS] [--shards N] [--die-after ROWS]`
//!
//! `EVENTS.csv` has no header: time in milliseconds, patient, site, ward, code, value with one decimal. Row order is the order of arrival.
//! Answers are CSV files in OUT. Run again after a kill, it goes on from its last checkpoint. Prints what it took, as JSON.

#![allow(clippy::print_stdout)]

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use platform::SystemClock;
use streams::aggregate::{HllOfPatients, SumsOfValues};
use streams::backend::{Backend, HeapBackend, RocksBackend};
use streams::batch::EventBatch;
use streams::job::{Job, Settings};
use streams::operator::{By, Distinct, Maker, Sessions, Span, Windowed};
use streams::out::Out;
use streams::sink::{Files, Rows, Sink, Sinks};
use streams::source::{Polled, Position, Source, SourceError};
use streams::watermark::Channel;
use streams::window::Windows;

/// Reads the file by its fixed order of columns.
struct Events {
    file: File,
    buffer: Vec<u8>,
    /// Where the first byte that is not yet read lies.
    at: u64,
    by_site: bool,
    names: Vec<(u64, u32)>,
    known: u32,
    rows: u64,
    die_after: u64,
    over: bool,
    /// When the first row was read, after the state.
    first: Arc<Mutex<Option<Instant>>>,
}

const CHUNK: usize = 1 << 20;

impl Events {
    fn name(&mut self, text: &[u8], new: &mut Vec<String>) -> u32 {
        let packed = text.iter().fold(0u64, |p, b| (p << 8) | u64::from(*b));
        // A small table, open by the packed text: names are up to eight bytes.
        let mask = self.names.len() - 1;
        let mut place = (packed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize & mask;
        loop {
            match self.names[place] {
                (p, number) if p == packed => return number,
                (0, _) => {
                    let number = self.known;
                    self.names[place] = (packed, number);
                    self.known += 1;
                    new.push(String::from_utf8_lossy(text).into_owned());
                    return number;
                }
                _ => place = (place + 1) & mask,
            }
        }
    }
}

impl Source for Events {
    fn id(&self) -> &str {
        "events"
    }

    fn seek(&mut self, after: Option<&Position>, names: &[String]) -> Result<(), SourceError> {
        self.at = after.and_then(|p| p.0.parse().ok()).unwrap_or(0);
        self.names = vec![(0, 0); 1024];
        self.known = 0;
        for name in names {
            self.name(name.as_bytes(), &mut Vec::new());
        }
        let failed = |e: std::io::Error| SourceError { source_id: "events".to_owned(), reason: e.to_string() };
        self.file.seek(SeekFrom::Start(self.at)).map(|_| ()).map_err(failed)
    }

    fn poll(&mut self, _: usize) -> Result<Polled, SourceError> {
        let failed = |e: std::io::Error| SourceError { source_id: "events".to_owned(), reason: e.to_string() };
        self.first.lock().map_err(|_| failed(std::io::Error::other("lock")))?.get_or_insert_with(Instant::now);
        if self.die_after > 0 && self.rows >= self.die_after {
            // As kill -9: nothing is said, nothing is closed.
            die();
        }
        if !self.over {
            let had = self.buffer.len();
            self.buffer.resize(had + CHUNK, 0);
            let read = self.file.read(&mut self.buffer[had..]).map_err(failed)?;
            self.buffer.truncate(had + read);
            self.over = read == 0;
        }
        let Some(end) = self.buffer.iter().rposition(|b| *b == b'\n') else { return Ok(Polled::End) };
        let bytes = std::mem::take(&mut self.buffer);
        let mut batch = EventBatch::default();
        let guess = end / 38;
        batch.time.reserve(guess);
        batch.key.reserve(guess);
        batch.group.reserve(guess);
        batch.value.reserve(guess);
        let mut at = 0;
        while at <= end {
            let number = |at: &mut usize| {
                let mut n = 0i64;
                while let digit @ b'0'..=b'9' = bytes[*at] {
                    n = n * 10 + i64::from(digit - b'0');
                    *at += 1;
                }
                *at += 1;
                n
            };
            let field = |at: &mut usize| {
                let from = *at;
                while bytes[*at] != b',' {
                    *at += 1;
                }
                *at += 1;
                from..*at - 1
            };
            let (time, patient) = (number(&mut at), number(&mut at));
            let site = field(&mut at);
            field(&mut at);
            let code = field(&mut at);
            let (whole, tenth) = (number(&mut at), number(&mut at));
            let name = if self.by_site { site } else { code };
            let group = self.name(&bytes[name], &mut batch.names);
            batch.time.push(time * 1000);
            batch.key.push(patient as u128 + 1);
            batch.group.push(group);
            batch.value.push(whole * 10 + tenth);
        }
        self.at += at as u64;
        self.rows += batch.len() as u64;
        self.buffer = bytes[at..].to_vec();
        batch.end = Some(Position(self.at.to_string()));
        Ok(Polled::Batch(batch))
    }
}

fn die() -> ! {
    let me = std::process::id().to_string();
    let _ = std::process::Command::new("kill").args(["-9", &me]).status();
    std::process::abort()
}

fn decimal(n: i64, into: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut left = n.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    if n < 0 {
        into.push(b'-');
    }
    into.extend(&digits[at..]);
}

struct Answers(String);

impl Rows for Answers {
    fn write(&mut self, out: &Out, names: &[String], into: &mut Vec<u8>) {
        for c in &out.closed {
            let name = names.get(c.group as usize).map_or("", |n| n);
            let ms = |t: platform::Micros| t.0 / 1000;
            match self.0.as_str() {
                "q2" => {
                    decimal(c.key as i64 - 1, into);
                    into.push(b',');
                    decimal(ms(c.window.start), into);
                    into.push(b',');
                    decimal(ms(c.window.end), into);
                    into.push(b',');
                    decimal(c.count, into);
                }
                "q3" | "q3hll" => into.extend(format!("{},{name},{}", ms(c.window.end), c.count).bytes()),
                _ => {
                    let mean = c.sum as f64 / 10.0 / c.count as f64;
                    into.extend(format!("{},{name},{},{mean}", ms(c.window.start), c.count).bytes());
                }
            }
            into.push(b'\n');
        }
    }
}

struct Late;

impl Rows for Late {
    fn write(&mut self, out: &Out, names: &[String], into: &mut Vec<u8>) {
        for l in &out.late {
            let name = names.get(l.group as usize).map_or("", |n| n);
            into.extend(format!("{},{name},{}.{}\n", l.time / 1000, l.value / 10, l.value % 10).bytes());
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let all: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| all.iter().position(|a| a == name).and_then(|i| all.get(i + 1)).cloned();
    let [query, events, out] = all.get(..3).and_then(|a| a.as_chunks().0.first()).cloned().ok_or("QUERY EVENTS OUT")?;
    let state = PathBuf::from(option("--state").ok_or("--state DIR")?);
    let kind = option("--backend").unwrap_or_else(|| "heap".to_owned());
    let begun = Instant::now();
    let backend: Box<dyn Backend> = match kind.as_str() {
        "heap" => Box::new(HeapBackend::open(&state, 3)?),
        _ => Box::new(RocksBackend::open(&state, 3, 256 << 20)?),
    };
    let from = backend.number();
    let every: f64 = option("--every").map_or(Ok(10.0), |e| e.parse())?;
    let settings = Settings {
        channels: vec![(Channel { source: "events".to_owned(), kind: "event".to_owned() }, Duration::from_secs(600))],
        checkpoint_every: Duration::from_secs_f64(every),
        shards: option("--shards").map_or(Ok(1), |n| n.parse())?,
        ..Settings::default()
    };
    let hour = Duration::from_secs(3600);
    let hourly = Windows::tumbling(hour, Duration::ZERO).ok_or("windows")?;
    let day = Windows::sliding(24 * hour, hour, Duration::ZERO).ok_or("windows")?;
    let lateness: i64 = option("--lateness-minutes").map_or(Ok(360), |m| m.parse::<i64>())? * 60_000_000;
    let makers: Vec<Maker> = match query.as_str() {
        "q1" => vec![Box::new(move |p| Ok(Box::new(Windowed::open(SumsOfValues, hourly, 0, By::Group, p)?)))],
        "q5" => vec![Box::new(move |p| Ok(Box::new(Windowed::open(SumsOfValues, hourly, lateness, By::Group, p)?)))],
        "q2" => vec![Box::new(move |p| Ok(Box::new(Sessions::open(1_800_000_000, Span::Instant, false, p)?)))],
        "q3" => vec![Box::new(move |p| Ok(Box::new(Distinct::open(day, p)?)))],
        _ => vec![Box::new(move |p| Ok(Box::new(Windowed::open(HllOfPatients, day, 0, By::Group, p)?)))],
    };
    let out = PathBuf::from(out);
    let main = if query == "q5" { out.join("main") } else { out.clone() };
    let mut sinks: Vec<Box<dyn Sink>> = vec![Box::new(Files::open(&main, "csv", Answers(query.clone()))?)];
    if query == "q5" {
        sinks.push(Box::new(Files::open(&out.join("late"), "csv", Late)?));
    }
    let first = Arc::new(Mutex::new(None));
    let source = Events {
        file: File::open(events)?,
        buffer: Vec::new(),
        at: 0,
        by_site: query.starts_with("q3"),
        names: Vec::new(),
        known: 0,
        rows: 0,
        die_after: option("--die-after").map_or(Ok(0), |n| n.parse())?,
        over: false,
        first: first.clone(),
    };
    let mut job =
        Job::new(settings, makers, Arc::new(RwLock::new(backend)), Box::new(Sinks(sinks)), Arc::new(SystemClock));
    let metrics = job.metrics();
    job.run(vec![Box::new(source)], &AtomicBool::new(false))?;
    let recovered = first.lock().map_err(|_| "lock")?.map_or(Duration::ZERO, |t| t - begun);
    let (m, wall) = (metrics.measured(), begun.elapsed().as_secs_f64());
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:"))
        .and_then(|l| l.split_whitespace().next()?.parse::<f64>().ok());
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let ticks: Vec<f64> =
        stat.rsplit(')').next().unwrap_or("").split_whitespace().filter_map(|f| f.parse().ok()).collect();
    // Fields 14 and 15 of /proc/self/stat, of which the first two and the state are gone.
    let cpu = (ticks.get(10).unwrap_or(&0.0) + ticks.get(11).unwrap_or(&0.0)) / 100.0;
    let report = serde_json::json!({
        "query": query, "backend": kind, "from_checkpoint": from, "rows": m.rows, "seconds": wall, "cpu_seconds": cpu,
        "rows_a_second": m.rows as f64 / wall, "rows_a_cpu_second": m.rows as f64 / cpu, "peak_mib": peak.unwrap_or(0.0) / 1024.0,
        "checkpoints": m.checkpoints, "checkpoint_bytes": m.bytes, "last_checkpoint_ms": m.checkpoint_micros as f64 / 1000.0,
        "aside": m.aside, "answers": m.closed, "backpressure": m.backpressure(), "opening_ms": recovered.as_secs_f64() * 1000.0,
    });
    println!("{report}");
    Ok(())
}
