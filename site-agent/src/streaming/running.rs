//! Jobs at work: a thread each, which can be stopped, and told to go on from a savepoint.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use platform::Clock;
use serde_json::{Value, json};
use streams::keyed::SharedBackend;
use streams::metrics::Metrics;
use streams::savepoint;
use tokio::runtime::Handle;

use super::JobSettings;
use crate::config::Config;
use crate::lake::Lake;

/// After how many tenths of a second a job that failed is tried again.
const RETRY_TENTHS: u32 = 600;

struct One {
    settings: JobSettings,
    backend: SharedBackend,
    tables: Vec<streams::keyed::TableSpec>,
    metrics: Arc<Metrics>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// What failed last, until it goes on.
    failed: Arc<Mutex<Option<String>>>,
}

/// The jobs of a site.
pub struct Jobs {
    config: Arc<Config>,
    lake: Lake,
    clock: Arc<dyn Clock>,
    all: Mutex<BTreeMap<String, One>>,
}

impl Jobs {
    /// The jobs of `site.toml`, none of them at work. Their state is opened when it is first needed.
    pub fn new(config: &Config, lake: &Lake, clock: Arc<dyn Clock>) -> Jobs {
        Jobs { config: Arc::new(config.clone()), lake: lake.clone(), clock, all: Mutex::new(BTreeMap::new()) }
    }

    fn settings(&self, job: &str) -> anyhow::Result<&JobSettings> {
        let known: Vec<&str> = self.config.streams.job.iter().map(|j| j.name.as_str()).collect();
        let found = self.config.streams.job.iter().find(|j| j.name == job);
        found.with_context(|| match known.is_empty() {
            true => format!("there is no stream '{job}': site.toml has no [[streams.job]]"),
            false => format!("there is no stream '{job}' in site.toml; there are {}", known.join(", ")),
        })
    }

    /// Does something with an opened job.
    fn with<T>(&self, job: &str, then: impl FnOnce(&mut One) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let settings = self.settings(job)?;
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains_key(job) {
            let backend = super::backend(&self.config, settings)?;
            let made = super::job(&self.config, settings, backend.clone(), self.clock.clone(), false)?;
            let one = One {
                settings: settings.clone(),
                backend,
                tables: made.tables()?,
                metrics: made.metrics(),
                stop: Arc::default(),
                thread: None,
                failed: Arc::default(),
            };
            all.insert(job.to_owned(), one);
        }
        let one = all.get_mut(job).with_context(|| format!("the stream '{job}' could not be opened"))?;
        if one.thread.take_if(|t| t.is_finished()).is_some_and(|t| t.join().is_err()) {
            *one.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some("its thread died".to_owned());
        }
        then(one)
    }

    fn start(&self, one: &mut One, runtime: &Handle) -> anyhow::Result<()> {
        if one.thread.is_some() {
            return Ok(());
        }
        one.stop = Arc::default();
        let mut job = super::job(&self.config, &one.settings, one.backend.clone(), self.clock.clone(), false)?;
        one.metrics = job.metrics();
        let (stop, failed, settings) = (one.stop.clone(), one.failed.clone(), one.settings.clone());
        let (config, lake, clock, runtime) =
            (self.config.clone(), self.lake.clone(), self.clock.clone(), runtime.clone());
        let say = move |what: Option<String>| *failed.lock().unwrap_or_else(PoisonError::into_inner) = what;
        let run = move || {
            while !stop.load(Ordering::Relaxed) {
                say(None);
                let sources = super::sources(&config, &lake, &settings, &clock, &runtime);
                let ran = sources.and_then(|sources| Ok(job.run(sources, &stop)?));
                let Err(e) = ran else { return };
                tracing::error!(stream = settings.name, "the stream failed, and is tried again in a minute: {e}");
                say(Some(e.to_string()));
                for _ in 0..RETRY_TENTHS {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        };
        one.thread = Some(std::thread::Builder::new().name(format!("stream-{}", one.settings.name)).spawn(run)?);
        Ok(())
    }

    fn halt(one: &mut One) {
        one.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = one.thread.take() {
            let _ = thread.join();
        }
    }

    /// Sets every job to work. One that can't is told in the log, and holds back no other.
    pub fn start_all(&self, runtime: &Handle) {
        for job in &self.config.streams.job {
            if let Err(e) = self.with(&job.name, |one| self.start(one, runtime)) {
                tracing::error!(stream = job.name, "the stream can't start: {e:#}");
            }
        }
    }

    /// Stops every job; each takes a last checkpoint.
    pub fn stop_all(&self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).values_mut().for_each(Self::halt);
    }

    /// Runs a job until it has read all that is there, and gives what it did.
    ///
    /// # Errors
    /// The job is at work already, or it failed.
    pub fn run_once(&self, job: &str, runtime: &Handle) -> anyhow::Result<Value> {
        let (settings, backend) = self.with(job, |one| {
            anyhow::ensure!(one.thread.is_none(), "the stream '{job}' is at work already, in the running agent");
            Ok((one.settings.clone(), one.backend.clone()))
        })?;
        let mut made = super::job(&self.config, &settings, backend.clone(), self.clock.clone(), true)?;
        let metrics = made.metrics();
        let sources = super::sources(&self.config, &self.lake, &settings, &self.clock, runtime)?;
        made.run(sources, &AtomicBool::new(false))?;
        Ok(told(&settings, &metrics, "stopped", None, &backend))
    }

    /// What each job is and does.
    pub fn show(&self) -> Value {
        let show = |job: &JobSettings| {
            let told = self.with(&job.name, |one| {
                let failed = one.failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let state = match (&one.thread, &failed) {
                    (Some(_), None) => "running",
                    (_, Some(_)) => "failed",
                    (None, None) => "stopped",
                };
                Ok(told(&one.settings, &one.metrics, state, failed.as_deref(), &one.backend))
            });
            told.unwrap_or_else(|e| json!({ "name": job.name, "state": "failed", "failed": format!("{e:#}") }))
        };
        json!({ "jobs": self.config.streams.job.iter().map(show).collect::<Vec<_>>() })
    }

    /// The counters of the jobs that are opened, as Prometheus reads them.
    pub fn prometheus(&self) -> String {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let parts: Vec<_> = all.iter().map(|(name, one)| (name.as_str(), one.metrics.measured())).collect();
        let mut out = streams::metrics::prometheus(&parts);
        out.push_str("# TYPE insitu_stream_up gauge\n");
        for (name, one) in all.iter() {
            let failed = one.failed.lock().unwrap_or_else(PoisonError::into_inner).is_some();
            let up = u8::from(one.thread.as_ref().is_some_and(|t| !t.is_finished()) && !failed);
            out.push_str(&format!("insitu_stream_up{{job=\"{name}\"}} {up}\n"));
        }
        out
    }

    /// Writes a savepoint of a job's last checkpoint.
    ///
    /// # Errors
    /// There is no such job, it has no checkpoint yet, or the file can't be written.
    pub fn save(&self, job: &str, to: Option<&Path>) -> anyhow::Result<Value> {
        let now = self.clock.now();
        self.with(job, |one| {
            anyhow::ensure!(super::number(&one.backend) > 0, "the stream '{job}' has no checkpoint yet");
            let folder = super::savepoints(&self.config, job);
            let stamp = DateTime::<Utc>::from_timestamp_micros(now.0).map(|t| t.format("%Y%m%dT%H%M%SZ").to_string());
            let name = format!("{job}-{:012}-{}.savepoint", super::number(&one.backend), stamp.unwrap_or_default());
            let to: PathBuf = to.map_or_else(|| folder.join(name), Path::to_path_buf);
            std::fs::create_dir_all(to.parent().unwrap_or(Path::new(".")))?;
            anyhow::ensure!(!to.exists(), "{} is there already; give another name", super::display(&to));
            let header = savepoint::create(job, &one.backend, &one.tables, &to)?;
            Ok(json!({ "file": super::display(&to), "savepoint": header }))
        })
    }

    /// The savepoints of a job, or of all.
    ///
    /// # Errors
    /// There is no such job.
    pub fn saved(&self, job: Option<&str>) -> anyhow::Result<Value> {
        let mut out = Vec::new();
        let jobs: Vec<&JobSettings> = match job {
            Some(job) => vec![self.settings(job)?],
            None => self.config.streams.job.iter().collect(),
        };
        for job in jobs {
            let Ok(files) = std::fs::read_dir(super::savepoints(&self.config, &job.name)) else { continue };
            let mut files: Vec<_> =
                files.flatten().map(|f| f.path()).filter(|p| p.extension().is_some_and(|e| e == "savepoint")).collect();
            files.sort();
            for file in files {
                out.push(match savepoint::inspect(&file) {
                    Ok(header) => json!({ "file": super::display(&file), "savepoint": header }),
                    Err(e) => json!({ "file": super::display(&file), "failed": e.to_string() }),
                });
            }
        }
        Ok(json!({ "savepoints": out }))
    }

    /// Goes back to a savepoint, or to a checkpoint that is kept. A job at work is stopped and set to work again.
    ///
    /// # Errors
    /// There is no such job or checkpoint, or the savepoint does not fit.
    pub fn restore(&self, job: &str, from: &From, runtime: &Handle) -> anyhow::Result<Value> {
        self.with(job, |one| {
            let was = one.thread.is_some();
            Self::halt(one);
            let restored = match from {
                From::Savepoint(file) => savepoint::restore(file, (&one.settings.made_of(), &one.tables), &one.backend)
                    .map(|h| json!(h))
                    .map_err(anyhow::Error::from),
                From::Checkpoint(number) => {
                    let mut backend = one.backend.write().unwrap_or_else(PoisonError::into_inner);
                    backend.restore(*number).map(|()| json!({ "checkpoint": number })).map_err(anyhow::Error::from)
                }
            };
            if was {
                self.start(one, runtime)?;
            }
            Ok(json!({ "restored": restored?, "job": job, "checkpoint": super::number(&one.backend) }))
        })
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.stop_all();
    }
}

/// From where a job goes on.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum From {
    /// A savepoint's file.
    Savepoint(PathBuf),
    /// A checkpoint that is kept.
    Checkpoint(u64),
}

fn told(
    settings: &JobSettings,
    metrics: &Metrics,
    state: &str,
    failed: Option<&str>,
    backend: &SharedBackend,
) -> Value {
    // Of the last checkpoint: a job that is not at work has one too.
    let kept = streams::job::kept(backend).ok().flatten();
    let watermark = kept.as_ref().map(|(watermark, _)| *watermark);
    let m = match kept {
        // What this process has seen of the last checkpoint says what it took, too.
        Some((_, kept)) if state != "running" && metrics.measured().checkpoints < kept.checkpoints => kept,
        _ => metrics.measured(),
    };
    let time = |t: i64| {
        DateTime::<Utc>::from_timestamp_micros(t).map(|t| t.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
    };
    json!({
        "name": settings.name, "table": settings.table, "tell": settings.word(), "state": state, "failed": failed,
        "checkpoint": super::number(backend), "watermark": watermark.and_then(time), "lag_seconds": m.lag() as f64 / 1e6,
        "backpressure": m.backpressure(), "metrics": m,
    })
}
