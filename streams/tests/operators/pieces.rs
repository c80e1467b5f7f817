//! A job over a list of rows, in memory.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, RwLock};

use platform::{ManualClock, Micros};
use streams::aggregate::SumsOfValues;
use streams::backend::{Backend, HeapBackend, RocksBackend};
use streams::batch::EventBatch;
use streams::job::{Ended, Job, Settings};
use streams::operator::{By, Maker, Windowed};
use streams::out::Out;
use streams::sink::{History, Sink, SinkError};
use streams::source::{Polled, Position, Source, SourceError};
use streams::window::Windows;

#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) channel: u16,
    pub(crate) time: i64,
    pub(crate) key: u128,
    pub(crate) group: u32,
    pub(crate) value: i64,
    pub(crate) id: Option<(u128, u32)>,
    pub(crate) gone: bool,
}

pub(crate) fn row(time: i64, key: u128, group: u32, value: i64) -> Piece {
    Piece { channel: 0, time, key, group, value, id: None, gone: false }
}

struct List {
    id: String,
    rows: Vec<Piece>,
    at: usize,
    batch: usize,
    named: bool,
    pause: bool,
}

impl Source for List {
    fn id(&self) -> &str {
        &self.id
    }

    fn seek(&mut self, after: Option<&Position>, _: &[String]) -> Result<(), SourceError> {
        self.at = after.map_or(0, |p| p.0.parse().unwrap());
        Ok(())
    }

    fn poll(&mut self, _: usize) -> Result<Polled, SourceError> {
        if self.pause {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let Some(channel) = self.rows.get(self.at).map(|r| r.channel) else { return Ok(Polled::End) };
        let mut batch = EventBatch { channel, ..EventBatch::default() };
        let rest = self.rows[self.at..].iter().take(self.batch).take_while(|r| r.channel == channel);
        for r in rest {
            batch.time.push(r.time);
            batch.key.push(r.key);
            batch.group.push(r.group);
            batch.value.push(r.value);
            batch.sign.push(if r.gone { -1 } else { 1 });
            batch.id.extend(r.id.map(|(id, _)| id + 1));
            batch.rev.extend(r.id.map(|(_, rev)| rev));
        }
        self.at += batch.len();
        if !self.named {
            batch.names = (0..4).map(|g| format!("g{g}")).collect();
            self.named = true;
        }
        batch.end = Some(Position(self.at.to_string()));
        Ok(Polled::Batch(batch))
    }
}

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Out>>, Arc<Mutex<Vec<(u16, i64)>>>);

impl Sink for Seen {
    fn take(&mut self, out: &Out, _: &[String]) -> Result<(), SinkError> {
        let mut seen = self.0.lock().unwrap();
        seen.closed.extend(out.closed.iter().cloned());
        seen.late.extend(out.late.iter().cloned());
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

fn go(settings: Settings, makers: Vec<Maker>, sources: Vec<Box<dyn Source>>, seen: Seen) {
    let dir = tempfile::tempdir().unwrap();
    let backend: Box<dyn Backend> = match settings.most_values < 100 {
        true => Box::new(RocksBackend::open(dir.path(), 2, 4 << 20).unwrap()),
        false => Box::new(HeapBackend::open(dir.path(), 2).unwrap()),
    };
    let clock = Arc::new(ManualClock::at(Micros(0)));
    let mut job = Job::new(settings, makers, Arc::new(RwLock::new(backend)), Box::new(seen), clock);
    assert_eq!(job.run(sources, &AtomicBool::new(false)).unwrap(), Ended::Done);
}

/// What a job tells of these rows, from one source.
pub(crate) fn run(settings: Settings, makers: Vec<Maker>, rows: &[Piece], batch: usize) -> Out {
    let seen = Seen::default();
    let source = List { id: "list".to_owned(), rows: rows.to_vec(), at: 0, batch, named: false, pause: false };
    go(settings, makers, vec![Box::new(source)], seen.clone());
    std::mem::take(&mut *seen.0.lock().unwrap())
}

/// What a job has told when it stopped after these rows, one a batch, and no more came.
pub(crate) fn told_so_far(settings: Settings, makers: Vec<Maker>, rows: &[Piece]) -> Out {
    struct Open(List);
    impl Source for Open {
        fn id(&self) -> &str {
            self.0.id()
        }
        fn seek(&mut self, after: Option<&Position>, names: &[String]) -> Result<(), SourceError> {
            self.0.seek(after, names)
        }
        fn poll(&mut self, most: usize) -> Result<Polled, SourceError> {
            Ok(match self.0.poll(most)? {
                Polled::End => Polled::Idle,
                other => other,
            })
        }
    }
    let seen = Seen::default();
    let list = List { id: "list".to_owned(), rows: rows.to_vec(), at: 0, batch: 1, named: false, pause: false };
    let dir = tempfile::tempdir().unwrap();
    let backend: Box<dyn Backend> = Box::new(HeapBackend::open(dir.path(), 2).unwrap());
    let clock = Arc::new(ManualClock::at(Micros(0)));
    let settings = Settings { until_idle: true, ..settings };
    let mut job = Job::new(settings, makers, Arc::new(RwLock::new(backend)), Box::new(seen.clone()), clock);
    assert_eq!(job.run(vec![Box::new(Open(list))], &AtomicBool::new(false)).unwrap(), Ended::Stopped);
    std::mem::take(&mut *seen.0.lock().unwrap())
}

/// In which order the rows of two sources are taken, of which the second is slow.
pub(crate) fn order(settings: Settings, fast: &[Piece], slow: &[Piece], batch: usize) -> Vec<(u16, i64)> {
    let seen = Seen::default();
    let source = |id: &str, rows: &[Piece], pause| -> Box<dyn Source> {
        Box::new(List { id: id.to_owned(), rows: rows.to_vec(), at: 0, batch, named: false, pause })
    };
    let sources = vec![source("fast", fast, false), source("slow", slow, true)];
    let one = std::time::Duration::from_micros(1);
    let windows = Windows::tumbling(one, std::time::Duration::ZERO).unwrap();
    // A window a microsecond tells each row by patient; late rows tell themselves.
    let taken = seen.1.clone();
    let makers: Vec<Maker> = vec![Box::new(move |p| {
        let inner = Windowed::open(SumsOfValues, windows, 0, By::Patient, p)?;
        Ok(Box::new(taken::Taken { inner, taken: taken.clone() }))
    })];
    go(settings, makers, sources, seen.clone());
    std::mem::take(&mut *seen.1.lock().unwrap())
}

mod taken {
    //! An operator that notes which rows come to it, and in which order.
    use super::*;
    use streams::keyed::Table;
    use streams::operator::{Operator, OperatorError, Rows, Spread};

    pub(super) struct Taken<O> {
        pub(super) inner: O,
        pub(super) taken: Arc<Mutex<Vec<(u16, i64)>>>,
    }

    impl<O: Operator> Operator for Taken<O> {
        fn spread(&self) -> Spread {
            self.inner.spread()
        }
        fn deadline(&self) -> Option<i64> {
            self.inner.deadline()
        }
        fn rows(&mut self, rows: Rows<'_>, out: &mut Out) -> Result<(), OperatorError> {
            self.taken.lock().unwrap().extend(rows.each().map(|row| (rows.batch.channel, row.time)));
            self.inner.rows(rows, out)
        }
        fn passed(&mut self, watermark: i64, out: &mut Out) -> Result<(), OperatorError> {
            self.inner.passed(watermark, out)
        }
        fn tables(&self) -> Vec<&dyn Table> {
            self.inner.tables()
        }
        fn tables_mut(&mut self) -> Vec<&mut dyn Table> {
            self.inner.tables_mut()
        }
    }
}
