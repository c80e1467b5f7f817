//! A job over a list of events that can be killed: at a batch, and at every step of a checkpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use platform::{ManualClock, Micros};
use streams::aggregate::SumsOfValues;
use streams::backend::{Backend, HeapBackend, RocksBackend, StateError, TableChange, Written};
use streams::batch::EventBatch;
use streams::job::{Ended, Job, Settings};
use streams::keyed::SharedBackend;
use streams::operator::{By, Distinct, Maker, Sessions, Span, Windowed};
use streams::out::{Closed, Emission, LateRow, Out};
use streams::savepoint;
use streams::sink::{History, Sink, SinkError};
use streams::source::{Polled, Position, Source, SourceError};
use streams::watermark::Channel;
use streams::window::Windows;

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) time: i64,
    pub(crate) key: u128,
    pub(crate) group: u32,
    pub(crate) value: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) step: i64,
    pub(crate) panes: i64,
    pub(crate) lateness: i64,
    pub(crate) bound: i64,
    pub(crate) gap: i64,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    pub(crate) sums: BTreeMap<(i64, u32), (i64, i64)>,
    pub(crate) distinct: BTreeMap<(i64, u32), i64>,
    pub(crate) sessions: Vec<(u128, i64, i64, i64)>,
    pub(crate) late: Vec<(u32, i64, u128)>,
}

impl Answers {
    pub(crate) fn sorted(mut self) -> Answers {
        self.sessions.sort_unstable();
        self.late.sort_unstable();
        self
    }
}

/// Answers and late rows.
type Told = (Vec<Closed>, Vec<LateRow>);

/// What the disk of the sink has: rows by the checkpoint they belong to, and what is prepared.
#[derive(Default)]
struct Disk {
    seen: BTreeMap<(u64, u64), Told>,
    prepared: Option<((u64, u64), Told)>,
}

#[derive(Default)]
struct Death {
    /// After this many batches.
    batches: Option<usize>,
    /// Within a checkpoint: 1 before it is prepared, 2 before the commit, 3 after the commit and before it is seen.
    within: u8,
    armed: bool,
}

struct Remember {
    disk: Arc<Mutex<Disk>>,
    death: Arc<Mutex<Death>>,
    running: Told,
    run: u64,
}

fn dead() -> SinkError {
    SinkError { path: "test".to_owned(), reason: "killed".to_owned() }
}

impl Sink for Remember {
    fn take(&mut self, out: &Out, _: &[String]) -> Result<(), SinkError> {
        self.running.0.extend(out.closed.iter().cloned());
        self.running.1.extend(out.late.iter().cloned());
        Ok(())
    }

    fn prepare(&mut self, number: u64) -> Result<(), SinkError> {
        if self.death.lock().unwrap().armed && self.death.lock().unwrap().within == 1 {
            return Err(dead());
        }
        self.disk.lock().unwrap().prepared = Some(((number, self.run), std::mem::take(&mut self.running)));
        Ok(())
    }

    fn commit(&mut self, number: u64) -> Result<(), SinkError> {
        if self.death.lock().unwrap().armed && self.death.lock().unwrap().within == 3 {
            return Err(dead());
        }
        let mut disk = self.disk.lock().unwrap();
        if let Some((n, rows)) = disk.prepared.take_if(|((n, _), _)| *n == number) {
            disk.seen.insert(n, rows);
        }
        Ok(())
    }

    fn recover(&mut self, history: &History, run: u64) -> Result<(), SinkError> {
        self.running = Default::default();
        self.run = run;
        let mut disk = self.disk.lock().unwrap();
        if let Some((epoch, rows)) = disk.prepared.take() {
            disk.seen.insert(epoch, rows);
        }
        // What was moved here with a savepoint is of no epoch.
        disk.seen.retain(|(n, run), _| *n == 0 || history.has(*run, *n));
        Ok(())
    }
}

/// A backend that may be killed before a commit.
struct Mortal {
    inner: Box<dyn Backend>,
    death: Arc<Mutex<Death>>,
}

impl Backend for Mortal {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }
    fn resident(&self) -> bool {
        self.inner.resident()
    }
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.inner.get(key)
    }
    fn scan(&self, prefix: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StateError> {
        self.inner.scan(prefix, each)
    }
    fn number(&self) -> u64 {
        self.inner.number()
    }
    fn wants_all(&self) -> bool {
        self.inner.wants_all()
    }
    fn commit(&mut self, changes: &[TableChange], all: bool) -> Result<Written, StateError> {
        let death = self.death.lock().unwrap();
        if death.armed && death.within == 2 {
            return Err(StateError::Damaged { what: "killed" });
        }
        self.inner.commit(changes, all)
    }
    fn kept(&self) -> Result<Vec<u64>, StateError> {
        self.inner.kept()
    }
    fn reset(&mut self, number: u64, entries: &[TableChange]) -> Result<(), StateError> {
        self.inner.reset(number, entries)
    }
    fn restore(&mut self, number: u64) -> Result<(), StateError> {
        self.inner.restore(number)
    }
}

struct List {
    events: Arc<Vec<Event>>,
    at: usize,
    batch: usize,
    named: usize,
    death: Arc<Mutex<Death>>,
}

impl Source for List {
    fn id(&self) -> &str {
        "list"
    }

    fn seek(&mut self, after: Option<&Position>, names: &[String]) -> Result<(), SourceError> {
        self.at = after.map_or(0, |p| p.0.parse().unwrap());
        self.named = names.len();
        Ok(())
    }

    fn poll(&mut self, _: usize) -> Result<Polled, SourceError> {
        let mut death = self.death.lock().unwrap();
        if let Some(left) = &mut death.batches {
            if *left == 0 {
                death.armed = true;
                return Err(SourceError { source_id: "list".to_owned(), reason: "killed".to_owned() });
            }
            *left -= 1;
            death.armed = *left == 0 && death.within > 0;
        }
        if self.at >= self.events.len() {
            return Ok(Polled::End);
        }
        let until = (self.at + self.batch).min(self.events.len());
        let mut batch = EventBatch::default();
        for e in &self.events[self.at..until] {
            batch.time.push(e.time);
            batch.key.push(e.key);
            batch.group.push(e.group);
            batch.value.push(e.value);
        }
        let names = batch.group.iter().max().map_or(0, |g| *g as usize + 1);
        batch.names = (self.named..names).map(|n| format!("g{n}")).collect();
        self.named = self.named.max(names);
        self.at = until;
        batch.end = Some(Position(until.to_string()));
        Ok(Polled::Batch(batch))
    }
}

pub(crate) struct World {
    _dir: Option<tempfile::TempDir>,
    folder: PathBuf,
    events: Arc<Vec<Event>>,
    plan: Plan,
    batch: usize,
    rocks: bool,
    shards: u16,
    disk: Arc<Mutex<Disk>>,
}

impl World {
    pub(crate) fn new(events: &[Event], plan: Plan, batch: usize, rocks: bool, shards: u16) -> World {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("state");
        let (events, disk) = (Arc::new(events.to_vec()), Arc::default());
        World { _dir: Some(dir), folder, events, plan, batch, rocks, shards, disk }
    }

    fn backend(&self) -> Box<dyn Backend> {
        match self.rocks {
            true => Box::new(RocksBackend::open(&self.folder, 3, 4 << 20).unwrap()),
            false => Box::new(HeapBackend::open(&self.folder, 3).unwrap()),
        }
    }

    fn job(&self, backend: &SharedBackend, death: &Arc<Mutex<Death>>) -> Job {
        let us = |t: i64| Duration::from_micros(t as u64);
        let channel = Channel { source: "list".to_owned(), kind: "event".to_owned() };
        let settings = Settings {
            channels: vec![(channel, us(self.plan.bound))],
            // A checkpoint at every batch: the clock stands still, so each is due at once.
            checkpoint_every: Duration::ZERO,
            most_values: 3,
            shards: self.shards,
            ..Settings::default()
        };
        let plan = self.plan.clone();
        let windows = Windows::sliding(us(plan.step * plan.panes), us(plan.step), us(0)).unwrap();
        let makers: Vec<Maker> = vec![
            Box::new(move |p| Ok(Box::new(Windowed::open(SumsOfValues, windows, plan.lateness, By::Group, p)?))),
            Box::new(move |p| Ok(Box::new(Distinct::open(windows, p)?))),
            Box::new(move |p| Ok(Box::new(Sessions::open(plan.gap, Span::Instant, false, p)?))),
        ];
        let sink = Remember { disk: self.disk.clone(), death: death.clone(), running: Default::default(), run: 0 };
        Job::new(settings, makers, backend.clone(), Box::new(sink), Arc::new(ManualClock::at(Micros(0))))
    }

    fn run(&self, death: Death) -> Option<Ended> {
        let death = Arc::new(Mutex::new(death));
        let backend: SharedBackend =
            Arc::new(RwLock::new(Box::new(Mortal { inner: self.backend(), death: death.clone() })));
        let mut job = self.job(&backend, &death);
        let source = List { events: self.events.clone(), at: 0, batch: self.batch, named: 0, death };
        job.run(vec![Box::new(source)], &AtomicBool::new(false)).ok()
    }

    /// Runs until it is killed after so many batches, or ends.
    pub(crate) fn run_and_die(&mut self, after: usize, within: u8) {
        self.run(Death { batches: Some(after), within, armed: false });
    }

    /// Goes back so many checkpoints, as far as they are kept.
    pub(crate) fn go_back(&mut self, by: usize) {
        let mut backend = self.backend();
        let kept = backend.kept().unwrap();
        if let (true, Some(number)) = (by > 0, kept.len().checked_sub(1 + by).and_then(|i| kept.get(i))) {
            backend.restore(*number).unwrap();
        }
    }

    /// The same job in another folder, from a savepoint.
    pub(crate) fn moved(&self, rocks: bool, shards: u16) -> World {
        let dir = tempfile::tempdir().unwrap();
        let other = World {
            folder: dir.path().join("other"),
            _dir: Some(dir),
            events: self.events.clone(),
            plan: self.plan.clone(),
            batch: self.batch + 3,
            rocks,
            shards,
            disk: Arc::default(),
        };
        let shared = |b| Arc::new(RwLock::new(b)) as SharedBackend;
        let (from, to) = (shared(self.backend()), shared(other.backend()));
        let tables = self.job(&from, &Arc::default()).tables().unwrap();
        let (file, again) = (other.folder.with_extension("savepoint"), other.folder.with_extension("again"));
        let header = savepoint::create("test", &from, &tables, &file).unwrap();
        assert_eq!(savepoint::inspect(&file).unwrap(), header);
        savepoint::restore(&file, ("", &tables), &to).unwrap();
        savepoint::create("test", &to, &tables, &again).unwrap();
        let bytes = |p: &PathBuf| std::fs::read(p).unwrap();
        assert!(bytes(&file) == bytes(&again), "the same bytes from either backend");
        // What was seen before the move is seen there too.
        let last = header.checkpoint;
        let seen = std::mem::take(&mut self.disk.lock().unwrap().seen);
        let rows =
            seen.into_iter().filter(|((n, _), _)| *n <= last).fold((Vec::new(), Vec::new()), |mut all, (_, rows)| {
                all.0.extend(rows.0);
                all.1.extend(rows.1);
                all
            });
        other.disk.lock().unwrap().seen.insert((0, 0), rows);
        other
    }

    /// Runs to the end, and says what was seen.
    pub(crate) fn finish(&mut self) -> Answers {
        assert_eq!(self.run(Death::default()), Some(Ended::Done));
        // Once more: nothing is told twice.
        assert_eq!(self.run(Death::default()), Some(Ended::Done));
        let disk = self.disk.lock().unwrap();
        let mut answers = Answers::default();
        let mut told = BTreeSet::new();
        for c in disk.seen.values().flat_map(|(closed, _)| closed) {
            let (end, first) = (c.window.end.0, c.emission == Emission::First);
            assert!(told.insert((c.operator, c.window.start, end, c.group, c.key, c.emission)), "told twice");
            match c.operator {
                0 => {
                    let before = answers.sums.insert((end, c.group), (c.count, c.sum));
                    assert!(before.is_none() == first || before.is_none(), "a correction follows a first telling");
                }
                1 => assert!(first && answers.distinct.insert((end, c.group), c.count).is_none()),
                _ => answers.sessions.push((c.key, c.window.start.0, end, c.count)),
            }
        }
        answers.late = disk.seen.values().flat_map(|(_, late)| late).map(|l| (l.operator, l.time, l.key)).collect();
        let backend: SharedBackend = Arc::new(RwLock::new(self.backend()));
        let (_, counters) = streams::job::kept(&backend).unwrap().unwrap();
        let late = answers.late.len() as u64;
        assert_eq!((counters.rows, counters.aside), (self.events.len() as u64, late), "each row is counted once");
        answers.sorted()
    }
}
