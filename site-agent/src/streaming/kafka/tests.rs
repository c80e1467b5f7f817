//! A topic in librdkafka's own mock cluster, which speaks the protocol over sockets of this machine: produce, fetch, offsets.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, RwLock};

use platform::{ManualClock, Micros};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use streams::aggregate::SumsOfValues;
use streams::backend::{Backend, HeapBackend};
use streams::job::{Ended, Job, Settings};
use streams::keyed::SharedBackend;
use streams::operator::{By, Maker, Windowed};
use streams::out::Out;
use streams::sink::{History, Sink, SinkError};
use streams::watermark::Channel;
use streams::window::Windows;

use super::*;

const MINUTE: i64 = 60_000;

#[derive(Clone, Default)]
struct Told(Arc<Mutex<BTreeMap<(i64, String), (i64, i64)>>>);

impl Sink for Told {
    fn take(&mut self, out: &Out, names: &[String]) -> Result<(), SinkError> {
        for c in &out.closed {
            let before =
                self.0.lock().unwrap().insert((c.window.start.0, names[c.group as usize].clone()), (c.count, c.sum));
            assert_eq!(before, None, "told twice");
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

fn topic(brokers: String) -> Topic {
    let text = "brokers = \"\"\nname = \"lab\"\npartitions = 2\ntime = \"/t\"\npatient = \"/p\"\ngroup = \"/code\"\nvalue = \"/v\"\nid = \"/id\"\n";
    Topic { brokers, ..toml::from_str(text).unwrap() }
}

/// Runs until nothing more is there, over the state that there is.
fn run(topic: &Topic, backend: &SharedBackend, told: &Told) -> streams::metrics::Measured {
    let minute = std::time::Duration::from_secs(60);
    let channel = |n: u16| (Channel { source: format!("lab/{n}"), kind: "event".to_owned() }, minute);
    let settings = Settings {
        channels: (0..topic.partitions).map(channel).collect(),
        remembered: Some(std::time::Duration::from_secs(3600)),
        until_idle: true,
        ..Settings::default()
    };
    let windows = Windows::tumbling(10 * minute, std::time::Duration::ZERO).unwrap();
    let makers: Vec<Maker> =
        vec![Box::new(move |p| Ok(Box::new(Windowed::open(SumsOfValues, windows, 0, By::Group, p)?)))];
    let clock = Arc::new(ManualClock::at(Micros(0)));
    let mut job = Job::new(settings, makers, backend.clone(), Box::new(told.clone()), clock);
    let partition = |n: u16| Box::new(Partition::new(topic, n, Pseudonyms::new(&[1; 32]))) as Box<dyn Source>;
    let metrics = job.metrics();
    let ended = job.run((0..topic.partitions).map(partition).collect(), &AtomicBool::new(false)).unwrap();
    assert_eq!(ended, Ended::Stopped);
    metrics.measured()
}

#[test]
fn a_topic_is_read_once_across_restarts_and_what_comes_again_counts_once() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("lab", 2, 1).unwrap();
    let topic = topic(cluster.bootstrap_servers());
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", &topic.brokers).create().unwrap();
    let send = |from: i64, to: i64, twice: bool| {
        for i in from..to {
            // A row a second, in order in each partition; every tenth has code NA.
            let text = format!(
                r#"{{"t":{},"p":"p{}","code":"{}","v":{},"id":"m{i}"}}"#,
                i * 1000,
                i % 50,
                if i % 10 == 0 { "NA" } else { "GLU" },
                i % 7
            );
            for _ in 0..1 + i32::from(twice) {
                producer
                    .send(BaseRecord::<(), str>::to("lab").partition((i % 2) as i32).payload(text.as_str()))
                    .unwrap();
            }
        }
        producer.send(BaseRecord::<(), str>::to("lab").partition(0).payload("not json")).unwrap();
        producer.flush(Duration::from_secs(20)).unwrap();
    };
    let dir = tempfile::tempdir().unwrap();
    let open = || -> SharedBackend {
        Arc::new(RwLock::new(Box::new(HeapBackend::open(dir.path(), 2).unwrap()) as Box<dyn Backend>))
    };
    let told = Told::default();
    send(0, 3000, false);
    let first = run(&topic, &open(), &told);
    assert_eq!((first.rows, first.unreadable), (3000, 1), "{first:?}");
    // Nothing new: no row is read again.
    assert_eq!(run(&topic, &open(), &told).rows, 0);
    // Each of these comes twice.
    send(3000, 6000, true);
    let second = run(&topic, &open(), &told);
    assert_eq!((second.rows, second.again, second.unreadable), (6000, 3000, 1), "{second:?}");
    let mut want: BTreeMap<(i64, String), (i64, i64)> = BTreeMap::new();
    for i in 0..6000i64 {
        let window = i * 1000 / (10 * MINUTE) * 10 * MINUTE * 1000;
        // The last window is open: a minute is allowed for disorder.
        if window + 10 * MINUTE * 1000 <= (5998 * 1000 - MINUTE) * 1000 {
            let code = if i % 10 == 0 { "NA" } else { "GLU" };
            let cell = want.entry((window, code.to_owned())).or_default();
            *cell = (cell.0 + 1, cell.1 + (i % 7) * 1_000_000);
        }
    }
    assert_eq!(*told.0.lock().unwrap(), want);
}

#[test]
fn messages_that_are_gone_are_said() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("lab", 2, 1).unwrap();
    let topic = topic(cluster.bootstrap_servers());
    let mut partition = Partition::new(&topic, 0, Pseudonyms::new(&[1; 32]));
    // Behind the end, as after a topic was made anew.
    partition.seek(Some(&Position("500".to_owned())), &[]).unwrap();
    let begun = Instant::now();
    let error = loop {
        match partition.poll(100) {
            Err(e) => break e.to_string(),
            Ok(_) => assert!(begun.elapsed() < Duration::from_secs(20), "nothing was said"),
        }
    };
    assert!(error.contains("gone from the topic"), "{error}");
    assert!(partition.seek(Some(&Position("x".to_owned())), &[]).is_err());
}
