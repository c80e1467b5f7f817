//! What the hospital counts for itself while it happens: jobs of `site.toml` over gold, whose answers stay here.
//!
//! ```text
//!   gold, each version ─► changes by event time ─► streams::Job ─► state/streams/<job>/answers/*.parquet
//!                                                      │           state/streams/<job>/late/*.parquet
//!                                                      └─ checkpoints ─► savepoints/*.savepoint
//! ```
//!
//! Nothing of it leaves: what a federation may know is asked by a study, with noise and a charge. See docs/streams.md.

#[cfg(feature = "kafka")]
mod kafka;
mod metrics;
mod output;
mod reading;
mod running;
mod settings;
mod source;
#[cfg(test)]
mod tests;
mod topic;
pub mod verbs;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

pub use metrics::serve as serve_metrics;
use platform::Clock;
pub use reading::read_every;
pub use running::Jobs;
use schema::Table;
pub use settings::JobSettings;
use settings::{Kept, Tell, span};
use streams::aggregate::{HllOfPatients, QuantilesOfValues, SumsOfValues};
use streams::backend::{Backend, HeapBackend, RocksBackend};
use streams::job::{Job, Settings};
use streams::keyed::SharedBackend;
use streams::operator::{By, Distinct, Global, Join, Maker, Sessions, Span, Trigger, Windowed};
use streams::sink::{Files, Sink, Sinks};
use streams::source::Source;
use streams::watermark::Channel;
use streams::window::Windows;
use tokio::runtime::Handle;

use crate::config::Config;
use crate::lake::Lake;

/// Bytes that RocksDB may hold for a job.
const MEMORY: usize = 64 << 20;
/// After how long without messages a partition of a topic holds the watermark back no longer.
const QUIET: Duration = Duration::from_secs(600);
/// Values of state that may stay in memory where it is kept in RocksDB.
const MOST_VALUES: usize = 1 << 18;

fn folder(config: &Config, job: &str) -> PathBuf {
    config.state_dir().join("streams").join(job)
}

fn length(text: &str) -> Duration {
    // Checked when site.toml was read.
    span(text).unwrap_or_default()
}

fn micros(text: &str) -> i64 {
    i64::try_from(length(text).as_micros()).unwrap_or(i64::MAX)
}

/// The state of a job.
fn backend(config: &Config, settings: &JobSettings) -> anyhow::Result<SharedBackend> {
    let state = folder(config, &settings.name).join("state");
    let other = |kind: &str| state.join(kind);
    let open: Box<dyn Backend> = match settings.backend {
        Kept::Heap => {
            anyhow::ensure!(!other("rocksdb").exists(), "{}", moved(&settings.name, "rocksdb", "heap"));
            Box::new(HeapBackend::open(&other("heap"), settings.keep)?)
        }
        Kept::Rocksdb => {
            anyhow::ensure!(!other("heap").exists(), "{}", moved(&settings.name, "heap", "rocksdb"));
            Box::new(RocksBackend::open(&other("rocksdb"), settings.keep, MEMORY)?)
        }
    };
    Ok(Arc::new(RwLock::new(open)))
}

fn moved(job: &str, from: &str, to: &str) -> String {
    format!(
        "the state of stream '{job}' is kept as {from}, and site.toml says {to}; with the old setting run `site-agent savepoint create {job}`, \
         stop the agent, change it, remove state/streams/{job}/state, run `site-agent savepoint restore {job} FILE`, and start the agent"
    )
}

/// The operators of a job.
fn makers(settings: &JobSettings) -> Vec<Maker> {
    let window = settings.window.as_deref().map(length).unwrap_or_default();
    let step = settings.step.as_deref().map_or(window, length);
    let windows = Windows::sliding(window, step, Duration::ZERO);
    let lateness = settings.lateness.as_deref().map_or(0, micros);
    let gap = settings.gap.as_deref().map_or(0, micros);
    let none = || streams::operator::OperatorError::Settings("`window` is too long or too short".to_owned());
    let by_group = settings.group.is_some();
    let within = settings.within.as_ref().map(|[from, to]| (micros(from), micros(to))).unwrap_or_default();
    let most = settings.most;
    let forget = settings.forget.as_deref().map(micros);
    let trigger = match (settings.every_rows, settings.every_sum) {
        (Some(rows), _) => Trigger::Count(rows),
        (None, Some(sum)) => Trigger::Delta((sum * source::FIXED).round() as i64),
        (None, None) => Trigger::Every(i64::try_from(window.as_micros()).unwrap_or(i64::MAX)),
    };
    let maker: Maker = match settings.tell {
        Tell::Counts => Box::new(move |p| {
            let counts = Windowed::open(SumsOfValues, windows.ok_or_else(none)?, lateness, By::Group, p)?;
            Ok(Box::new(match most {
                Some(most) => counts.with_most(most)?,
                None => counts,
            }))
        }),
        Tell::Patients => Box::new(move |p| Ok(Box::new(Distinct::open(windows.ok_or_else(none)?, p)?.revised(p)?))),
        Tell::PatientsSketch => Box::new(move |p| {
            Ok(Box::new(Windowed::open(HllOfPatients, windows.ok_or_else(none)?, lateness, By::Group, p)?))
        }),
        Tell::Quantiles => Box::new(move |p| {
            let quartiles = QuantilesOfValues(vec![0.25, 0.5, 0.75]);
            Ok(Box::new(Windowed::open(quartiles, windows.ok_or_else(none)?, lateness, By::Group, p)?))
        }),
        Tell::Sessions => Box::new(move |p| Ok(Box::new(Sessions::open(gap, Span::Instant, by_group, p)?.revised(p)?))),
        Tell::Eras => Box::new(move |p| Ok(Box::new(Sessions::open(gap, Span::ToValue, true, p)?.revised(p)?))),
        Tell::Totals => Box::new(move |p| {
            let totals = Global::open(trigger, p)?;
            Ok(Box::new(match forget {
                Some(after) => totals.forgetting(after)?,
                None => totals,
            }))
        }),
        Tell::Followed => Box::new(move |p| Ok(Box::new(Join::open(0, 1, within.0, within.1, p)?))),
    };
    vec![maker]
}

/// The tables that a job reads, in the order of its channels.
fn tables(settings: &JobSettings) -> Vec<Table> {
    [Some(settings.table.as_str()), settings.then.as_deref()].into_iter().flatten().filter_map(Table::parse).collect()
}

/// A job of `site.toml`, over the state that it had.
fn job(
    config: &Config,
    settings: &JobSettings,
    backend: SharedBackend,
    clock: Arc<dyn Clock>,
    until_idle: bool,
) -> anyhow::Result<Job> {
    let channel = |t: &Table| Channel { source: t.name().to_owned(), kind: t.name().to_owned() };
    let channels: Vec<Channel> = match &settings.topic {
        Some(topic) => {
            let partition = |n: u16| Channel { source: format!("{}/{n}", topic.name), kind: topic.name.clone() };
            (0..topic.partitions).map(partition).collect()
        }
        None => tables(settings).iter().map(channel).collect(),
    };
    let job = Settings {
        channels: channels.into_iter().map(|c| (c, length(&settings.out_of_order))).collect(),
        made_of: settings.made_of(),
        // A table without news must not let the other one's time go on alone: a version brings the news of both.
        // A partition without messages holds the others back no longer than this.
        idle_after: if settings.topic.is_some() { QUIET } else { Duration::MAX },
        checkpoint_every: length(&settings.checkpoint),
        most_values: MOST_VALUES,
        shards: settings.shards,
        most_ahead: Some(Duration::from_micros(source::AHEAD as u64)),
        remembered: Some(length(&settings.remembered)),
        until_idle,
        ..Settings::default()
    };
    let at = |part: &str| folder(config, &settings.name).join(part);
    let answers = output::Answers { tell: settings.tell, held: Vec::new() };
    let sinks: Vec<Box<dyn Sink>> = vec![
        Box::new(Files::open(&at("answers"), "parquet", answers)?),
        Box::new(Files::open(&at("late"), "parquet", output::Late::default())?),
    ];
    Ok(Job::new(job, makers(settings), backend, Box::new(Sinks(sinks)), clock))
}

/// The sources of a job. To be called where the runtime's threads may not block, but a thread of the job may.
fn sources(
    config: &Arc<Config>,
    lake: &Lake,
    settings: &JobSettings,
    clock: &Arc<dyn Clock>,
    runtime: &Handle,
) -> anyhow::Result<Vec<Box<dyn Source>>> {
    if let Some(topic) = &settings.topic {
        return partitions(config, topic);
    }
    let source = |(channel, table)| -> Box<dyn Source> {
        let remembered = micros(&settings.remembered);
        Box::new(source::GoldSource::new(
            settings,
            (table, channel),
            remembered,
            (config, lake),
            clock.clone(),
            runtime.clone(),
        ))
    };
    Ok((0u16..).zip(tables(settings)).map(source).collect())
}

/// The partitions of a topic. Patients have the site's pseudonyms, of a kind of their own.
#[cfg(feature = "kafka")]
fn partitions(config: &Config, topic: &topic::Topic) -> anyhow::Result<Vec<Box<dyn Source>>> {
    let pseudonyms = || crate::lake::pseudonyms(&config.state_dir(), &platform::OsEntropy);
    let one = |n: u16| Ok(Box::new(kafka::Partition::new(topic, n, pseudonyms()?)) as Box<dyn Source>);
    (0..topic.partitions).map(one).collect()
}

#[cfg(not(feature = "kafka"))]
fn partitions(_: &Config, topic: &topic::Topic) -> anyhow::Result<Vec<Box<dyn Source>>> {
    anyhow::bail!("the topic '{}' can't be read: this agent was built without Kafka", topic.name)
}

/// The savepoints of a job.
fn savepoints(config: &Config, job: &str) -> PathBuf {
    folder(config, job).join("savepoints")
}

fn number(backend: &SharedBackend) -> u64 {
    backend.read().unwrap_or_else(PoisonError::into_inner).number()
}

fn display(path: &Path) -> String {
    path.display().to_string()
}
