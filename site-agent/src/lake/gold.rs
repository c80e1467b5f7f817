//! Gold: the latest revision of each record, sorted by patient; and what is derived from all tables together.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::prelude::SessionContext;
use futures::StreamExt as _;
use parquet::arrow::ArrowWriter;
use platform::{Durability, Transaction};
use schema::{Kind, Table};
use serde::{Deserialize, Serialize};

use super::merge::Merged;
use super::standards::Standards;
use super::{GOLD, Lake, LakeError, data_error, file_error, fold, parts, silver};
use crate::config::Config;
use crate::engine::session;

/// A version of gold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gold {
    /// Counts up.
    pub version: u64,
    /// The schema it was built for.
    pub schema: String,
    /// The last run of ingestion that it holds.
    pub run: u32,
    /// Each table's file, relative to the lake.
    pub files: Vec<(String, String)>,
    /// Rows, by table.
    pub rows: Vec<(String, u64)>,
    /// The file with each patient's year of entry, relative to the lake.
    #[serde(default)]
    pub entry: String,
    /// The short name of the linkage key of its tags; none where it has none.
    #[serde(default)]
    pub linkage: Option<String>,
    /// How often rows of silver had been replaced.
    #[serde(default)]
    pub relinked: u32,
    /// The file with whose rows are whose, relative to the lake; none where nobody was merged.
    #[serde(default)]
    pub merged: Option<String>,
    /// The hash of the mappings and unit rules that it was built with.
    #[serde(default)]
    pub standards: String,
}

impl Gold {
    /// Whether it was built for this schema and with these mappings, and holds everything up to a run and a replacement of rows.
    pub fn is_current(&self, run: u32, relinked: u32, standards: &str) -> bool {
        let whole = self.schema == schema::version::VERSION && !self.entry.is_empty();
        whole && self.run == run && self.relinked == relinked && self.standards == standards
    }
}

/// The gap in days that ends an era.
const ERA_GAP_DAYS: i32 = 30;

fn columns(table: Table) -> String {
    table.columns().map(|c| c.name).collect::<Vec<_>>().join(", ")
}

/// Which rows say whether a record is there: retractions, and those that do not only update it.
pub(super) const DECIDES: &str = "(op = 'retract' OR coalesce(CAST(patch AS VARCHAR), '') NOT LIKE '% update %')";

/// Which of a record's rows comes first, as an order of SQL. Within a revision the sequence decides where a format has one. HL7 rows of one second have one revision. Then a correction or a withdrawal
/// comes before what it corrects, what was known later before the rest, and what the sender's own sequence says is later; then a
/// retraction, and what the rows say decides, so that it is not the order of arrival; and at last what came later.
pub(super) fn latest_first(table: Table) -> String {
    let mut says: Vec<&str> = match table {
        Table::Measurement => vec!["value_num", "value_code", "value_lo", "value_hi", "comparator", "unit_src"],
        _ => table.extra().iter().filter(|c| c.kind != Kind::Tag).map(|c| c.name).collect(),
    };
    // Two messages of one number and time may still say different things: which of them is kept does not hang on their order.
    says.extend(["visit_key", "code_system", "code"]);
    if table == Table::Measurement {
        says.extend(["flag", "specimen", "ref_lo", "ref_hi"]);
    }
    let says: Vec<String> = says.iter().map(|c| format!("{c} DESC NULLS LAST, ")).collect();
    // A result that is not there yet does not take one back that is.
    let (strong, weak) = match table {
        Table::Measurement => (
            "CASE WHEN src_format = 'hl7v2' AND (status = 'corrected' OR (op = 'retract' AND status = 'error')) THEN 0 ELSE 1 END, ",
            "CASE WHEN op = 'retract' AND status = 'unknown' THEN 1 ELSE 0 END, ",
        ),
        _ => ("", ""),
    };
    format!(
        "rev DESC, CASE WHEN src_format <> 'hl7v2' THEN seq END DESC NULLS LAST, {strong}t_known DESC NULLS LAST, seq DESC NULLS LAST, {weak}op, status, t_event DESC NULLS LAST, \
         event_date DESC NULLS LAST, {}person_key, t_ingest DESC",
        says.concat()
    )
}

/// The latest revision of each record that was not retracted, sorted by patient: from silver, or from what was folded of it.
/// Of patients who are another one now the rows are that one's, and rows of patients who are deleted are left out. `gone` says whether
/// there is a table of records that are no more; `starts`, whether there is one of the visits' first days.
fn latest(table: Table, folded: bool, people: &Merged, gone: bool, starts: bool) -> String {
    let date = table.day();
    let columns = columns(table);
    let mut from = if folded {
        let said = |c: &schema::Column| match fold::unsaid(table, c.name) {
            Some(otherwise) => format!("coalesce({0}, {otherwise}) AS {0}", c.name),
            None => c.name.to_owned(),
        };
        // One record that lacks what every row has must not keep gold from all others.
        let sound: Vec<String> = table
            .columns()
            .filter(|c| !c.nullable && fold::unsaid(table, c.name).is_none())
            .map(|c| format!("{} IS NOT NULL", c.name))
            .collect();
        let said = table.columns().map(said).collect::<Vec<_>>().join(", ");
        format!("SELECT {said} FROM folded WHERE {}", sound.join(" AND "))
    } else {
        format!(
            "SELECT {columns} FROM (SELECT *, row_number() OVER (PARTITION BY record_key ORDER BY {}) AS place \
             FROM silver) WHERE place = 1 AND op = 'upsert'",
            latest_first(table)
        )
    };
    if table == Table::Visit {
        // Who tells a visit's end tells it as it was; not every format has words for that.
        let kind = "CASE WHEN end_date IS NOT NULL THEN coalesce(end_kind, 'explicit') END AS end_kind";
        let columns = table.columns().map(|c| if c.name == "end_kind" { kind } else { c.name });
        from = format!("SELECT {} FROM ({from})", columns.collect::<Vec<_>>().join(", "));
    }
    if gone {
        from = format!("SELECT * FROM ({from}) WHERE record_key NOT IN (SELECT record_key FROM gone)");
    }
    if !people.is_empty() {
        let others = columns.replacen("person_key, ", "", 1);
        from = format!(
            "SELECT {columns} FROM (SELECT coalesce(m.new_key, s.person_key) AS person_key, {others} FROM ({from}) s \
             LEFT JOIN merged m ON s.person_key = m.old_key{})",
            // The one who stays has a record already.
            if table == Table::Patient { " WHERE m.old_key IS NULL" } else { "" }
        );
    }
    if people.has_deleted() {
        from = format!("SELECT {columns} FROM ({from}) s LEFT ANTI JOIN deleted d ON s.person_key = d.deleted_key");
    }
    if starts {
        let dated = |c: &schema::Column| match c.name {
            "event_date" => "coalesce(s.event_date, v.start_date) AS event_date".to_owned(),
            "t_prec" => "CASE WHEN s.event_date IS NULL THEN coalesce(v.t_prec, s.t_prec) ELSE s.t_prec END AS t_prec"
                .to_owned(),
            name => format!("s.{name} AS {name}"),
        };
        let columns = table.columns().map(dated).collect::<Vec<_>>().join(", ");
        from = format!(
            "SELECT {columns} FROM ({from}) s LEFT JOIN starts v ON s.visit_key = v.visit_key AND s.event_date IS NULL"
        );
    }
    format!("SELECT * FROM ({from}) ORDER BY person_key, {date} NULLS FIRST, record_key")
}

/// The tables whose rows without a day are of the first day of their visit, where they name one.
const OF_A_VISIT: [Table; 2] = [Table::Condition, Table::Procedure];

/// The first day of each visit, and how precisely it is known.
const STARTS: &str = "SELECT visit_key, min(start_date) AS start_date, \
    max(CASE WHEN t_prec IN ('year', 'month') THEN t_prec ELSE 'day' END) AS t_prec FROM stays \
    WHERE visit_key IS NOT NULL AND start_date IS NOT NULL GROUP BY visit_key";

const NO_CODE: &str = "CAST(NULL AS VARCHAR) AS code_system, CAST(NULL AS VARCHAR) AS code";
const NO_STANDARD: &str =
    "CAST(NULL AS VARCHAR) AS std_system, CAST(NULL AS VARCHAR) AS std_code, CAST(NULL AS VARCHAR) AS map_id";

/// The columns of a derived row's envelope: its code, and its standard code.
fn derived_envelope(code: &str, standard: &str) -> String {
    format!(
        "person_key, record_key, CAST(NULL AS BYTEA) AS visit_key, CAST(1 AS INT UNSIGNED) AS rev, 'upsert' AS op, source_system, \
         'derived' AS src_format, CAST(NULL AS TIMESTAMP) AS t_event, start_date AS event_date, 'day' AS t_prec, 'site' AS t_zone_src, \
         CAST(NULL AS SMALLINT) AS utc_offset_min, CAST(NULL AS TIMESTAMP) AS t_known, t_ingest, 'final' AS status, {code}, \
         {standard}"
    )
}

/// A death so many days after the last dated event still ends an inferred period: the person was in the hospital's sight until then, as
/// OMOP's convention for records of care has it (THEMIS). A later one is of somebody who was lost from sight before.
const DEATH_IN_SIGHT_DAYS: u32 = 60;

/// The day on which each person died, where it is known to the day.
fn deaths() -> String {
    let (day, counts) = (Table::Death.day(), Table::Death.counts());
    format!(
        "(SELECT person_key, min({day}) AS died FROM death WHERE {day} IS NOT NULL AND t_prec NOT IN ('year', 'month') AND {counts} \
         GROUP BY person_key)"
    )
}

/// A person's time under observation, where no source states it: from the first dated event to the last, or to the end of a visit
/// behind it, or to a death soon after, and never beyond a death. Whoever is in the hospital is in its sight, as OMOP's convention
/// has it; the end of a drug is mostly that of what was ordered, and of a diagnosis that of a disease, which nobody need have watched. An
/// event of a year or a month stands at its first day, which nobody observed; such events count only for who has none that is known to
/// the day. What lies ahead of the day on which it was read is a booking or a slip: nobody was watched then. Where half of a source's
/// events do, its years are shifted, as in archives without names, and all of them count. The basis says that it is inferred.
fn inferred_periods() -> String {
    let dated: Vec<String> =
        [Table::Visit, Table::Condition, Table::Measurement, Table::DrugExposure, Table::Procedure]
            .iter()
            .map(|t| {
                let date = t.day();
                let last = match t {
                    Table::Visit => format!("greatest({date}, coalesce(end_date, {date}))"),
                    _ => date.to_owned(),
                };
                // A day more, for the hospitals east of Greenwich.
                format!(
                    "SELECT person_key, record_key, source_system, t_ingest, {date} AS day, {last} AS last_day, \
                     CAST(CAST(t_ingest AS DATE) AS INT) + 1 AS seen, t_prec IN ('year', 'month') AS vague FROM {} WHERE {}",
                    t.name(),
                    t.counts()
                )
            })
            .collect();
    // Of a person, by all that is dated (`all_`), and by what was over when it was read.
    let over = "CAST(day AS INT) <= seen";
    let ended = "CASE WHEN CAST(last_day AS INT) > seen THEN CAST(seen AS DATE) ELSE last_day END";
    let spans = |which: &str, counts: &str, last: &str| {
        format!(
            "coalesce(min(CASE WHEN NOT vague AND {counts} THEN day END), min(CASE WHEN {counts} THEN day END)) AS {which}first, \
             coalesce(max(CASE WHEN NOT vague AND {counts} THEN {last} END), max(CASE WHEN {counts} THEN {last} END)) AS {which}last"
        )
    };
    format!(
        "SELECT {envelope}, start_date, end_date, 'inferred' AS basis FROM (SELECT p.*, CASE WHEN d.died IS NOT NULL \
         AND CAST(d.died AS INT) - CAST(p.last_date AS INT) <= {DEATH_IN_SIGHT_DAYS} THEN d.died ELSE p.last_date END AS end_date \
         FROM (SELECT person_key, record_key, source_system, t_ingest, CASE WHEN shifted THEN all_first ELSE first END AS start_date, \
         CASE WHEN shifted THEN all_last ELSE last END AS last_date FROM (SELECT *, sum(ahead) OVER (PARTITION BY source_system) * 2 > \
         sum(events) OVER (PARTITION BY source_system) AS shifted FROM (SELECT person_key, min(record_key) AS record_key, \
         min(source_system) AS source_system, max(t_ingest) AS t_ingest, count(*) AS events, \
         sum(CASE WHEN {over} THEN 0 ELSE 1 END) AS ahead, {all}, {past} \
         FROM ({dated}) WHERE day IS NOT NULL GROUP BY person_key))) p LEFT JOIN {deaths} d ON d.person_key = p.person_key \
         WHERE p.start_date IS NOT NULL AND (d.died IS NULL OR d.died >= p.start_date)) ORDER BY person_key",
        deaths = deaths(),
        envelope = derived_envelope(NO_CODE, NO_STANDARD),
        dated = dated.join(" UNION ALL "),
        all = spans("all_", "TRUE", "last_day"),
        past = spans("", over, ended),
    )
}

/// The periods that sources state, overlapping and adjacent ones joined; one without an end lasts to the person's last dated event, and
/// none beyond a death.
/// Whoever has none keeps the inferred one, of the table `inferred`.
fn observation_periods(people: &Merged) -> String {
    let latest = latest(Table::ObservationPeriod, false, people, false, false);
    let columns = columns(Table::ObservationPeriod);
    format!(
        "WITH stated AS (SELECT s.person_key, s.record_key, s.source_system, s.t_ingest, s.basis, s.start_date, \
         greatest(s.start_date, coalesce(s.end_date, i.end_date, s.start_date)) AS end_date FROM ({latest}) s \
         LEFT JOIN inferred i ON s.person_key = i.person_key WHERE s.start_date IS NOT NULL), \
         dead AS {deaths}, \
         reached AS (SELECT *, max(CAST(end_date AS INT)) OVER (PARTITION BY person_key ORDER BY start_date, record_key \
             ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM stated), \
         numbered AS (SELECT *, sum(CASE WHEN before IS NULL OR CAST(start_date AS INT) - before > 1 THEN 1 ELSE 0 END) \
             OVER (PARTITION BY person_key ORDER BY start_date, record_key ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS period \
             FROM reached), \
         joined AS (SELECT person_key, period, min(record_key) AS record_key, min(source_system) AS source_system, \
             max(t_ingest) AS t_ingest, min(start_date) AS start_date, max(end_date) AS end_date, min(basis) AS basis \
             FROM numbered GROUP BY person_key, period), \
         living AS (SELECT j.person_key, j.record_key, j.source_system, j.t_ingest, j.start_date, j.basis, \
             least(j.end_date, coalesce(d.died, j.end_date)) AS end_date \
             FROM joined j LEFT JOIN dead d ON d.person_key = j.person_key WHERE d.died IS NULL OR d.died >= j.start_date) \
         SELECT * FROM (SELECT {envelope}, start_date, end_date, basis FROM living UNION ALL \
             SELECT {columns} FROM inferred WHERE person_key NOT IN (SELECT person_key FROM stated)) \
         ORDER BY person_key, start_date",
        deaths = deaths(),
        envelope = derived_envelope(NO_CODE, NO_STANDARD),
    )
}

/// Each patient's year of entry: the year of the first dated event that was known when the patient was first ingested, and never
/// later than that. Once written it stays, whatever comes later: a patient who changed the block would bring a fresh budget.
fn entry_years(before: bool) -> String {
    let dated: Vec<String> = Table::SOURCED
        .iter()
        .map(|t| {
            let date = t.day();
            format!("SELECT person_key, {date} AS day, t_ingest FROM {}", t.name())
        })
        .collect();
    let known = if before {
        "SELECT person_key, entry_year FROM before"
    } else {
        "SELECT person_key, entry_year FROM own WHERE false"
    };
    format!(
        "WITH own AS (SELECT person_key, CAST(least(coalesce(min(date_part('year', day)), min(date_part('year', t_ingest))), \
         min(date_part('year', t_ingest))) AS INT) AS entry_year FROM ({dated}) GROUP BY person_key), known AS ({known}) \
         SELECT person_key, entry_year FROM known UNION ALL \
         SELECT person_key, entry_year FROM own WHERE person_key NOT IN (SELECT person_key FROM known)",
        dated = dated.join(" UNION ALL ")
    )
}

fn entry_schema() -> SchemaRef {
    let field = |name: &str, kind| Field::new(name, kind, false);
    let fields = vec![field("person_key", DataType::FixedSizeBinary(16)), field("entry_year", DataType::Int32)];
    std::sync::Arc::new(Schema::new(fields))
}

/// Eras: a person's events of one code, joined while the gap to the last day covered is at most [`ERA_GAP_DAYS`].
fn eras() -> String {
    let of = |table: Table, kind: &str| {
        let end = table.last_day();
        format!(
            "SELECT person_key, record_key, source_system, t_ingest, code_system, code, std_system, std_code, map_id, '{kind}' AS kind, event_date AS first_day, \
             {end} AS last_day FROM {} WHERE event_date IS NOT NULL AND code IS NOT NULL AND {}",
            table.name(),
            table.counts()
        )
    };
    let key = "person_key, kind, code_system, code";
    format!(
        "WITH events AS ({conditions} UNION ALL {drugs}), \
         reached AS (SELECT *, max(CAST(last_day AS INT)) OVER (PARTITION BY {key} ORDER BY first_day, record_key \
             ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM events), \
         numbered AS (SELECT *, sum(CASE WHEN before IS NULL OR CAST(first_day AS INT) - before > {ERA_GAP_DAYS} THEN 1 ELSE 0 END) \
             OVER (PARTITION BY {key} ORDER BY first_day, record_key ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS era FROM reached), \
         joined AS (SELECT {key}, era, min(record_key) AS record_key, min(source_system) AS source_system, max(t_ingest) AS t_ingest, \
             min(std_system) AS std_system, min(std_code) AS std_code, min(map_id) AS map_id, \
             min(first_day) AS start_date, max(last_day) AS end_date, count(*) AS events FROM numbered GROUP BY {key}, era) \
         SELECT {envelope}, kind, start_date, end_date, CAST(events AS BIGINT) AS events FROM joined ORDER BY person_key, start_date",
        conditions = of(Table::Condition, "condition_era"),
        drugs = of(Table::DrugExposure, "drug_era"),
        envelope = derived_envelope("code_system, code", "std_system, std_code, map_id"),
    )
}

/// Writes a query's result as one Parquet file of the table's schema, each batch as `change` leaves it, and syncs it. Returns
/// the rows.
async fn write(
    ctx: &SessionContext,
    sql: &str,
    schema: &SchemaRef,
    path: &Path,
    change: impl Fn(RecordBatch) -> Result<RecordBatch, ArrowError>,
) -> Result<u64, LakeError> {
    let step = |e: &dyn std::fmt::Display| data_error("building gold", e);
    let file = File::create(path).map_err(|e| file_error(path, &e))?;
    let mut writer = ArrowWriter::try_new(file, schema.clone(), Some(silver::properties())).map_err(|e| step(&e))?;
    let mut rows = 0;
    let mut stream = ctx.sql(sql).await.map_err(|e| step(&e))?.execute_stream().await.map_err(|e| step(&e))?;
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(|e| step(&e))?;
        rows += batch.num_rows() as u64;
        let columns = batch
            .columns()
            .iter()
            .zip(schema.fields())
            .map(|(c, f)| arrow::compute::cast(c, f.data_type()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| step(&e))?;
        let batch = RecordBatch::try_new(schema.clone(), columns).and_then(&change).map_err(|e| step(&e))?;
        writer.write(&batch).map_err(|e| step(&e))?;
        silver::bounded(&mut writer).map_err(|e| step(&e))?;
    }
    let file = writer.into_inner().map_err(|e| step(&e))?;
    file.sync_all().map_err(|e| file_error(path, &e))?;
    Ok(rows)
}

impl Lake {
    /// The current gold, if there is one.
    ///
    /// # Errors
    /// The store fails.
    pub fn gold(&self) -> Result<Option<Gold>, LakeError> {
        Ok(self.store.get(GOLD)?.and_then(|v| serde_json::from_slice(&v).ok()))
    }

    /// A gold table's file.
    pub fn gold_file(&self, gold: &Gold, table: Table) -> Option<PathBuf> {
        gold.files.iter().find(|(name, _)| name == table.name()).map(|(_, file)| self.root.join(file))
    }

    /// The file with each patient's year of entry.
    pub fn entry_file(&self, gold: &Gold) -> Option<PathBuf> {
        (!gold.entry.is_empty()).then(|| self.root.join(&gold.entry))
    }

    /// The file with whose rows are whose, where there is one.
    pub fn merged_file(&self, gold: &Gold) -> Option<PathBuf> {
        gold.merged.as_ref().map(|file| self.root.join(file))
    }

    /// A session over the tables of gold that adapters fill.
    async fn over(&self, config: &Config, spill: &Path, gold: &Gold) -> Result<SessionContext, LakeError> {
        let step = |e: &dyn std::fmt::Display| data_error("building gold", e);
        let ctx = session::context(&config.limits, spill).map_err(|e| step(&e))?;
        for t in Table::SOURCED {
            let files: Vec<PathBuf> = self.gold_file(gold, t).into_iter().collect();
            session::register(&ctx, t.name(), t, &files, true).await.map_err(|e| step(&e))?;
        }
        Ok(ctx)
    }

    /// Writes the periods that sources state, with the inferred ones of everybody else. Returns the rows.
    async fn periods(
        &self,
        (config, spill, gold): (&Config, &Path, &Gold),
        people: &Merged,
        stated: &[PathBuf],
        inferred: &Path,
        to: &Path,
    ) -> Result<u64, LakeError> {
        let step = |e: &dyn std::fmt::Display| data_error("building gold", e);
        let table = Table::ObservationPeriod;
        let ctx = self.over(config, spill, gold).await?;
        people.register(&ctx)?;
        session::register_silver(&ctx, "silver", table, stated).await.map_err(|e| step(&e))?;
        session::register(&ctx, "inferred", table, &[inferred.to_owned()], true).await.map_err(|e| step(&e))?;
        write(&ctx, &observation_periods(people), &table.arrow(), to, Ok).await
    }

    /// Builds gold anew from silver, with the site's mappings and unit rules. The new version is entered in one transaction; the
    /// old one's files go afterwards.
    ///
    /// # Errors
    /// The disk or a query fails; the old version stays.
    pub async fn rebuild(&self, config: &Config, standards: &Standards) -> Result<Gold, LakeError> {
        let old = self.gold()?;
        let version = old.as_ref().map_or(0, |g| g.version) + 1;
        let folder = format!("gold/{version:010}");
        let dir = self.root.join(&folder);
        std::fs::create_dir_all(&dir).map_err(|e| file_error(&dir, &e))?;
        let mut gold = Gold {
            version,
            schema: schema::version::VERSION.to_owned(),
            run: self.last_run()?,
            files: Vec::new(),
            rows: Vec::new(),
            entry: String::new(),
            linkage: self.tags_key()?,
            relinked: self.relinked()?,
            merged: None,
            standards: standards.hash().to_owned(),
        };
        let spill = self.root.join("spill");
        let merged = self.merged(config).await?;
        let moved = self.moved(config).await?;
        for table in Table::SOURCED {
            let ctx = session::context(&config.limits, &spill).map_err(|e| data_error("building gold", &e))?;
            merged.register(&ctx)?;
            let step = |e: &dyn std::fmt::Display| data_error("building gold", e);
            session::register_silver(&ctx, "read", table, &self.silver_of(table)?).await.map_err(|e| step(&e))?;
            parts::view(&ctx, table, "read", "raw").await?;
            if table == Table::Patient {
                let file = format!("{folder}/merged.parquet");
                let all = super::merge::all(!merged.is_empty());
                let rows = write(&ctx, &all, &super::merge::schema(), &self.root.join(&file), Ok).await?;
                gold.merged = (rows > 0).then_some(file);
            }
            moved.view(&ctx, table).await?;
            let file = format!("{folder}/{}.parquet", table.name());
            let folded = spill.join(format!("folded-{}.parquet", table.name()));
            let fold = fold::needed(&ctx).await?;
            if fold {
                fold::write(&ctx, table, &folded).await?;
                let files = std::slice::from_ref(&folded);
                session::register_silver(&ctx, "folded", table, files).await.map_err(|e| step(&e))?;
            }
            let gone = self.gone(&ctx, table).await?;
            let visits = self.gold_file(&gold, Table::Visit).filter(|_| OF_A_VISIT.contains(&table));
            if let Some(file) = &visits {
                let files = std::slice::from_ref(file);
                session::register(&ctx, "stays", Table::Visit, files, true).await.map_err(|e| step(&e))?;
                let starts = ctx.sql(STARTS).await.map_err(|e| step(&e))?.into_view();
                ctx.register_table("starts", starts).map_err(|e| step(&e))?;
            }
            let sql = latest(table, fold, &merged, gone, visits.is_some());
            let standard = |b| standards.apply(table, b);
            let rows = write(&ctx, &sql, &table.arrow(), &self.root.join(&file), standard).await?;
            if fold {
                std::fs::remove_file(&folded).map_err(|e| file_error(&folded, &e))?;
            }
            gold.files.push((table.name().to_owned(), file));
            gold.rows.push((table.name().to_owned(), rows));
        }
        let stated = self.silver_of(Table::ObservationPeriod)?;
        for (table, sql) in [(Table::ObservationPeriod, inferred_periods()), (Table::Derived, eras())] {
            let ctx = self.over(config, &spill, &gold).await?;
            let file = format!("{folder}/{}.parquet", table.name());
            let path = self.root.join(&file);
            let rows = match table {
                Table::ObservationPeriod if !stated.is_empty() => {
                    let inferred = self.root.join(format!("{folder}/inferred.parquet"));
                    write(&ctx, &sql, &table.arrow(), &inferred, Ok).await?;
                    let rows = self.periods((config, &spill, &gold), &merged, &stated, &inferred, &path).await?;
                    std::fs::remove_file(&inferred).map_err(|e| file_error(&inferred, &e))?;
                    rows
                }
                _ => write(&ctx, &sql, &table.arrow(), &path, Ok).await?,
            };
            gold.files.push((table.name().to_owned(), file));
            gold.rows.push((table.name().to_owned(), rows));
        }
        let ctx = self.over(config, &spill, &gold).await?;
        let before = old.as_ref().and_then(|g| self.entry_file(g));
        if let Some(file) = &before {
            let frame = session::plain_frame(&ctx, file).await.map_err(|e| data_error("building gold", &e))?;
            ctx.register_table("before", frame.into_view()).map_err(|e| data_error("building gold", &e))?;
        }
        let file = format!("{folder}/entry.parquet");
        write(&ctx, &entry_years(before.is_some()), &entry_schema(), &self.root.join(&file), Ok).await?;
        gold.entry = file;
        platform::files::sync_folder(&dir).map_err(|e| file_error(&dir, &e))?;
        platform::files::sync_folder(&self.root.join("gold")).map_err(|e| file_error(&dir, &e))?;
        let mut t = Transaction::new("lake/gold");
        t.put(GOLD, serde_json::to_vec(&gold).unwrap_or_default());
        self.store.commit(t, Durability::Synced)?;
        // A query may be reading the version before; older ones are of no use. A crash here leaves them for the next time.
        let before = old
            .as_ref()
            .and_then(|g| g.files.first())
            .and_then(|(_, f)| self.root.join(f).parent().map(std::path::Path::to_owned));
        let entries = std::fs::read_dir(self.root.join("gold")).map_err(|e| file_error(&dir, &e))?;
        for other in entries.flatten().map(|e| e.path()).filter(|p| *p != dir && Some(p) != before.as_ref()) {
            let _ = std::fs::remove_dir_all(other);
        }
        Ok(gold)
    }
}
