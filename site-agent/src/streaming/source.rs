//! Gold as a stream of changes: what is new, what says something else now, what is gone, in the order of event time.
//!
//! Gold is what a study reads, with the latest revision of each row. So a job's last answer is the batch answer over the same
//! gold, whatever came late, twice, or corrected. Its position is the version of gold that was read to its end; rows that say
//! what they said before are passed over by the job, which remembers them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::SessionContext;
use futures::StreamExt as _;
use platform::{Clock, Micros};
use schema::Table;
use streams::batch::EventBatch;
use streams::source::{Polled, Position, Source, SourceError};
use tokio::runtime::Handle;

use super::settings::{JobSettings, Tell};
use crate::config::Config;
use crate::engine::session;
use crate::lake::{Lake, LakeError, data_error};

/// How often one looks for a new version.
const LOOK: i64 = 1_000_000;
const DAY: i64 = 86_400_000_000;
/// How far ahead of the clock an event may be.
pub(super) const AHEAD: i64 = DAY;
/// Values are whole numbers of this part of one.
pub(super) const FIXED: f64 = 1e6;

/// One reading of a version of gold.
struct Pass {
    version: u64,
    since: i64,
    taken: u64,
    newest: i64,
    rows: SendableRecordBatchStream,
    /// Rows that the version before did not have, and that are older than what is remembered.
    too_old: u64,
    ctx: SessionContext,
}

/// The rows of one table.
pub(super) struct GoldSource {
    /// The table's name; with `then:` before it where it is the second one, since both may be the same.
    id: String,
    settings: JobSettings,
    table: Table,
    channel: u16,
    remembered: i64,
    config: Arc<Config>,
    lake: Lake,
    clock: Arc<dyn Clock>,
    runtime: Handle,
    /// The version that was read to its end, the newest event of it, and how far a later one was read.
    done: u64,
    newest: i64,
    begun: (u64, u64),
    /// The newest event of a reading that broke off.
    reached: i64,
    /// How many rows the last version had before a time: what a later one has more became known too late.
    old: Option<(i64, i64)>,
    names: HashMap<String, u32>,
    looked: Micros,
    pass: Option<Pass>,
}

impl GoldSource {
    pub(super) fn new(
        settings: &JobSettings,
        (table, channel): (Table, u16),
        remembered: i64,
        (config, lake): (&Arc<Config>, &Lake),
        clock: Arc<dyn Clock>,
        runtime: Handle,
    ) -> GoldSource {
        GoldSource {
            id: format!("{}{}", if channel == 0 { "" } else { "then:" }, table.name()),
            settings: settings.clone(),
            table,
            channel,
            remembered,
            config: config.clone(),
            lake: lake.clone(),
            clock,
            runtime,
            done: 0,
            newest: i64::MIN,
            begun: (0, 0),
            reached: i64::MIN,
            old: None,
            names: HashMap::new(),
            looked: Micros(i64::MIN),
            pass: None,
        }
    }

    /// The rows of a version in the order of event time.
    fn statement(&self, since: i64, after: u64) -> String {
        let (table, settings) = (self.table, &self.settings);
        let days = |date: &str| format!("CAST(CAST({date} AS INT) AS BIGINT) * {DAY}");
        let instant = match table {
            Table::Visit => "CAST(coalesce(t_start, t_event) AS BIGINT)",
            _ => "CAST(t_event AS BIGINT)",
        };
        let own = self.channel == 0;
        let (time, value) = match settings.tell {
            Tell::Eras => (
                days(table.day()),
                days(if table == Table::Visit {
                    "greatest(start_date, coalesce(end_date, start_date))"
                } else {
                    table.last_day()
                }),
            ),
            _ => {
                let value = if own { settings.value.as_ref() } else { settings.then_value.as_ref() };
                let value = value
                    .map_or("0".to_owned(), |v| format!("TRY_CAST(round(CAST({v} AS DOUBLE) * {FIXED}) AS BIGINT)"));
                (format!("coalesce({instant}, {})", days(table.day())), value)
            }
        };
        let group = if own { settings.group.as_ref() } else { settings.then_group.as_ref() };
        let group = group.map_or("''".to_owned(), |g| format!("coalesce(CAST({g} AS VARCHAR), '')"));
        let since = if since == i64::MIN { String::new() } else { format!(" AND t >= {since}") };
        format!(
            "SELECT * FROM (SELECT record_key, person_key, {time} AS t, {group} AS g, {value} AS v FROM {} WHERE {} \
             AND t_prec NOT IN ('year', 'month')) WHERE t IS NOT NULL AND v IS NOT NULL{since} ORDER BY t, record_key LIMIT 9223372036854775807 OFFSET {after}",
            table.name(),
            table.counts()
        )
    }

    /// How many rows there are before a time.
    async fn before(&self, ctx: &SessionContext, time: i64) -> Result<i64, DataFusionError> {
        let all = self.statement(i64::MIN, 0);
        let frame = ctx.sql(&format!("SELECT count(*) FROM ({all}) WHERE t < {time}")).await?;
        let found = frame.collect().await?;
        let count = found.first().and_then(|b| b.column(0).as_primitive_opt::<Int64Type>().map(|c| c.value(0)));
        Ok(count.unwrap_or_default())
    }

    /// Begins to read a version that is newer than what was read.
    fn begin(&mut self) -> Result<Option<Pass>, LakeError> {
        let Some(gold) = self.lake.gold()? else { return Ok(None) };
        if gold.version < self.done {
            let reason = format!(
                "gold was built anew (version {}) and the stream has read version {}; remove the stream's folder under state/streams and run it again",
                gold.version, self.done
            );
            return Err(data_error("reading gold for a stream", &reason));
        }
        if gold.version == self.done {
            return Ok(None);
        }
        // A reading that broke off goes on where the same version is still there. Of another version the job passes over what it
        // remembers; what it has forgotten by then was taken.
        let same = self.begun.0 == gold.version;
        let taken = if same { self.begun.1 } else { 0 };
        let newest = if self.done == 0 && !same { self.reached } else { self.newest };
        let since = if newest == i64::MIN { i64::MIN } else { newest.saturating_sub(self.remembered) };
        let statement = self.statement(since, taken);
        let files: Vec<_> = self.lake.gold_file(&gold, self.table).into_iter().collect();
        let spill = self.config.state_dir().join("spill");
        let (rows, too_old, ctx) = self.runtime.block_on(async {
            let step = |e: &dyn std::fmt::Display| data_error("reading gold for a stream", e);
            let ctx = session::context(&self.config.limits, &spill).map_err(|e| step(&e))?;
            session::register(&ctx, self.table.name(), self.table, &files, true).await.map_err(|e| step(&e))?;
            let frame = ctx.sql(&statement).await.map_err(|e| step(&e))?;
            let rows = frame.execute_stream().await.map_err(|e| step(&e))?;
            let too_old = match self.old {
                Some((time, had)) => self.before(&ctx, time).await.map_err(|e| step(&e))? - had,
                None => 0,
            };
            Ok::<_, LakeError>((rows, u64::try_from(too_old).unwrap_or_default(), ctx))
        })?;
        Ok(Some(Pass { version: gold.version, since, taken, newest: self.newest, rows, too_old, ctx }))
    }

    fn name(&mut self, text: &str, new: &mut Vec<String>) -> u32 {
        if let Some(number) = self.names.get(text) {
            return *number;
        }
        let number = self.names.len() as u32;
        self.names.insert(text.to_owned(), number);
        new.push(text.to_owned());
        number
    }

    fn rows(&mut self, pass: &mut Pass, from: &RecordBatch) -> Option<EventBatch> {
        let key = |i: usize| from.column(i).as_fixed_size_binary_opt();
        let (record, person) = (key(0)?, key(1)?);
        let (time, value) =
            (from.column(2).as_primitive_opt::<Int64Type>()?, from.column(4).as_primitive_opt::<Int64Type>()?);
        let group = arrow::compute::cast(from.column(3), &arrow::datatypes::DataType::Utf8).ok()?;
        let group = group.as_string_opt::<i32>()?;
        // What a later version says was known at one moment; the first is history, and is told as it went by.
        let mut batch = EventBatch { channel: self.channel, holds: self.done > 0, ..EventBatch::default() };
        let number = |bytes: &[u8]| bytes.try_into().ok().map(u128::from_be_bytes);
        for row in 0..from.num_rows() {
            // Rows of two tables are two, whatever their keys.
            batch.id.push(number(record.value(row))? ^ u128::from(self.channel));
            batch.key.push(number(person.value(row))?);
            batch.time.push(time.value(row));
            batch.value.push(value.value(row));
            batch.rev.push(pass.version as u32);
            let name = self.name(group.value(row), &mut batch.names);
            batch.group.push(name);
        }
        // What is planned, or mistyped, far ahead of the clock moves nothing: the job puts it aside.
        let latest = self.clock.now().0.saturating_add(AHEAD);
        let newest = batch.time.iter().copied().filter(|t| *t <= latest).max();
        pass.newest = pass.newest.max(newest.unwrap_or(i64::MIN));
        pass.taken += batch.len() as u64;
        Some(batch)
    }

    /// What a position says of the rows that are too old.
    fn had(&self) -> String {
        self.old.map_or_else(String::new, |(time, had)| format!(":{time}:{had}"))
    }

    fn failed(&self, e: &dyn std::fmt::Display) -> SourceError {
        SourceError { source_id: self.id.clone(), reason: e.to_string() }
    }
}

impl Source for GoldSource {
    fn id(&self) -> &str {
        &self.id
    }

    fn seek(&mut self, after: Option<&Position>, names: &[String]) -> Result<(), SourceError> {
        self.pass = None;
        self.names = names.iter().enumerate().map(|(i, n)| (n.clone(), i as u32)).collect();
        let Some(position) = after else { return Ok(()) };
        let numbers: Vec<i64> = position.0.split(':').filter_map(|n| n.parse().ok()).collect();
        // Positions of before have no count.
        let (known, old) = numbers.split_at_checked(5).unwrap_or((&numbers, &[]));
        let [done, newest, version, taken, reached] = known else {
            return Err(self.failed(&format!("'{}' is no position of a table of gold", position.0)));
        };
        self.old = old.first().zip(old.get(1)).map(|(time, had)| (*time, *had));
        (self.done, self.newest) = (*done as u64, *newest);
        (self.begun, self.reached) = ((*version as u64, *taken as u64), *reached);
        Ok(())
    }

    fn poll(&mut self, _: usize) -> Result<Polled, SourceError> {
        let Some(mut pass) = self.pass.take() else {
            let now = self.clock.now();
            if now.0.saturating_sub(self.looked.0) < LOOK {
                return Ok(Polled::Idle);
            }
            self.pass = self.begin().map_err(|e| self.failed(&e))?;
            if self.pass.is_none() {
                self.looked = now;
            }
            return Ok(if self.pass.is_some() {
                Polled::Batch(EventBatch { channel: self.channel, holds: self.done > 0, ..EventBatch::default() })
            } else {
                Polled::Idle
            });
        };
        let next = self.runtime.block_on(pass.rows.next());
        let mut batch = match next {
            Some(Ok(rows)) => {
                self.rows(&mut pass, &rows).ok_or_else(|| self.failed(&"a column of gold has another type"))?
            }
            Some(Err(e)) => {
                // A version that was replaced meanwhile is gone; the next look finds the new one.
                let replaced = self.lake.gold().ok().flatten().is_some_and(|g| g.version != pass.version);
                let kind = match e {
                    DataFusionError::ResourcesExhausted(_) => {
                        "there is too little memory; raise memory_mib under [limits]"
                    }
                    // Its text may hold a value.
                    _ => "the query over gold failed",
                };
                return if replaced { Ok(Polled::Idle) } else { Err(self.failed(&kind)) };
            }
            None => {
                let whole = Some((pass.version as u32, pass.since));
                (self.done, self.newest, self.begun, self.reached) = (pass.version, pass.newest, (0, 0), i64::MIN);
                let time = self.newest.saturating_sub(self.remembered);
                // Where the version was replaced meanwhile, it is not known how many there were.
                let had = self.runtime.block_on(self.before(&pass.ctx, time)).ok();
                self.old = had.filter(|_| self.newest > i64::MIN).map(|had| (time, had));
                if pass.too_old > 0 {
                    tracing::warn!(
                        stream = self.settings.name,
                        "{} rows became known when they were older than `remembered`, and are not told",
                        pass.too_old
                    );
                }
                let (too_old, channel) = (pass.too_old, self.channel);
                let end = Some(Position(format!("{}:{}:0:0:{}{}", self.done, self.newest, i64::MIN, self.had())));
                return Ok(Polled::Batch(EventBatch { channel, whole, too_old, end, ..EventBatch::default() }));
            }
        };
        let (done, newest, had) = (self.done, self.newest, self.had());
        batch.end = Some(Position(format!("{done}:{newest}:{}:{}:{}{had}", pass.version, pass.taken, pass.newest)));
        self.pass = Some(pass);
        Ok(Polled::Batch(batch))
    }
}
