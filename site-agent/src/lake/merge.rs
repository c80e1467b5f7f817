//! Patients who were merged: the events of the old identifier are those of the one who stays.
//!
//! A merge is a retraction of the old patient's record, or with FHIR of a record of the merge itself, which names the old patient.
//! An HL7 merge retracts the old patient's record, and the retraction carries the key of the person who stays. Where that is
//! the record's latest revision, every row of the old person is the new one's in gold; silver stays as it was read. A chain
//! of merges is followed to its end, and a circle is not entered. An unlink, an admission or a registration of the old patient takes the
//! merge back; an update does not.
//!
//! A visit that was given to another patient takes along what belongs to it.
//!
//! A visit that got another number is the same: its rows are revisions of the visit that stays, and what belongs to it belongs to
//! that one.
//!
//! A bare number of HL7 is that of the one authority of the source that has it, where there is one alone: silver says which could be
//! meant, and gold whether it is sure. The set of messages decides, and not their order. Of two authorities the bare number is a third.
//!
//! A patient whose own record is retracted, and who was not merged, is deleted: no row of theirs is in gold. Silver keeps them, so
//! that a patient who is told of again is there again.
//!
//! The one who stays keeps the own year of entry. A person with two identifiers has spent from two years before the merge, and
//! from no more than these two after it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, FixedSizeBinaryArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use schema::Table;

use super::gold::latest_first;
use super::parts;
use super::{Lake, LakeError, data_error};
use crate::config::Config;
use crate::engine::session;

type Person = [u8; 16];

/// The columns of the table `merged`.
pub(super) fn schema() -> SchemaRef {
    let field = |name: &str| Field::new(name, DataType::FixedSizeBinary(16), false);
    Arc::new(Schema::new(vec![field("old_key"), field("new_key")]))
}

/// Whose rows are whose: each old person, and the one who stays; and who is deleted.
#[derive(Default)]
pub(super) struct Merged {
    stays: BTreeMap<Person, Person>,
    deleted: BTreeSet<Person>,
}

impl Merged {
    /// Follows each chain to its end.
    fn resolved(direct: &BTreeMap<Person, Person>) -> Merged {
        let mut out = BTreeMap::new();
        for (old, first) in direct {
            let (mut at, mut steps) = (*first, 0);
            while let Some(next) = direct.get(&at).filter(|_| steps < direct.len()) {
                at = *next;
                steps += 1;
            }
            // A circle names nobody who stays.
            if !direct.contains_key(&at) {
                out.insert(*old, at);
            }
        }
        Merged { stays: out, deleted: BTreeSet::new() }
    }

    /// Whether nobody was merged.
    pub(super) fn is_empty(&self) -> bool {
        self.stays.is_empty()
    }

    /// Whether somebody was deleted.
    pub(super) fn has_deleted(&self) -> bool {
        !self.deleted.is_empty()
    }

    /// Registers the table `merged` of both keys, and the table `deleted`; each where it is not empty.
    pub(super) fn register(&self, ctx: &SessionContext) -> Result<(), LakeError> {
        let step = |e: datafusion::error::DataFusionError| data_error("reading merged patients", &e);
        if !self.is_empty() {
            let columns = vec![("old_key", self.stays.keys().collect()), ("new_key", self.stays.values().collect())];
            register_keys(ctx, "merged", columns).map_err(step)?;
        }
        if self.has_deleted() {
            let columns = vec![("deleted_key", self.deleted.iter().collect())];
            register_keys(ctx, "deleted", columns).map_err(step)?;
        }
        Ok(())
    }
}

/// Registers a table of keys in memory.
fn register_keys(
    ctx: &SessionContext,
    name: &str,
    columns: Vec<(&str, Vec<&Person>)>,
) -> datafusion::error::Result<()> {
    let field = |name: &str| Field::new(name, DataType::FixedSizeBinary(16), false);
    let schema = Arc::new(Schema::new(columns.iter().map(|(name, _)| field(name)).collect::<Vec<_>>()));
    let arrays = columns.into_iter().map(|(_, keys)| -> datafusion::error::Result<ArrayRef> {
        Ok(Arc::new(FixedSizeBinaryArray::try_from_iter(keys.into_iter())?))
    });
    let batch = RecordBatch::try_new(schema.clone(), arrays.collect::<Result<_, _>>()?)?;
    ctx.register_table(name, Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))?;
    Ok(())
}

/// Rows of keys as columns with their names.
fn by_column<'r, const N: usize>(
    names: [&'static str; N],
    rows: &'r [[Person; N]],
) -> Vec<(&'static str, Vec<&'r Person>)> {
    let column = |at: usize| rows.iter().filter_map(move |row| row.get(at)).collect();
    names.into_iter().enumerate().map(|(at, name)| (name, column(at))).collect()
}

/// Whose visits went to another patient: each visit, who had it, and who has it. A record of its own tells each: rows that name who had
/// the visit, and a retraction of no status that any visit has, which carries the key of the one who has it.
async fn owners(ctx: &SessionContext) -> Result<Vec<[Person; 3]>, LakeError> {
    let step = |e: &dyn std::fmt::Display| data_error("reading visits of another patient", e);
    let sql = format!(
        "SELECT DISTINCT n.visit_key AS visit, o.person_key AS had, n.person_key AS has FROM silver o JOIN \
         (SELECT visit_key, person_key, record_key FROM (SELECT visit_key, person_key, record_key, op, row_number() OVER \
         (PARTITION BY record_key ORDER BY {}) AS place FROM silver WHERE op = 'retract' AND status = 'unknown') WHERE place = 1) n \
         ON o.record_key = n.record_key WHERE o.op = 'upsert' AND o.person_key <> n.person_key AND n.visit_key IS NOT NULL",
        latest_first(Table::Visit)
    );
    let batches = ctx.sql(&sql).await.map_err(|e| step(&e))?.collect().await.map_err(|e| step(&e))?;
    let mut out = Vec::new();
    for batch in &batches {
        let columns = [0, 1, 2].map(|at| batch.column(at).as_fixed_size_binary());
        for i in 0..batch.num_rows() {
            if let [Ok(visit), Ok(had), Ok(has)] = columns.map(|c| Person::try_from(c.value(i))) {
                out.push([visit, had, has]);
            }
        }
    }
    Ok(out)
}

/// Pairs of keys of a query.
async fn keys(ctx: &SessionContext, sql: &str) -> Result<Vec<(Person, Person)>, LakeError> {
    let step = |e: &dyn std::fmt::Display| data_error("reading merges", e);
    let batches = ctx.sql(sql).await.map_err(|e| step(&e))?.collect().await.map_err(|e| step(&e))?;
    let mut out = Vec::new();
    for batch in &batches {
        let (a, b) = (batch.column(0).as_fixed_size_binary(), batch.column(1).as_fixed_size_binary());
        for i in 0..batch.num_rows() {
            if let (Ok(a), Ok(b)) = (Person::try_from(a.value(i)), Person::try_from(b.value(i))) {
                out.push((a, b));
            }
        }
    }
    Ok(out)
}

/// Pairs of what a record is said of, and what its latest revision says, where that is a retraction.
fn retracted(table: Table, key: &str) -> String {
    format!(
        "SELECT DISTINCT o.{key} AS old_key, n.{key} AS new_key FROM silver o JOIN \
         (SELECT {key}, record_key, status FROM (SELECT {key}, record_key, op, status, row_number() OVER (PARTITION BY record_key \
         ORDER BY {}) AS place FROM silver WHERE {}) WHERE place = 1 AND op = 'retract') n ON o.record_key = n.record_key \
         WHERE o.op = 'upsert'",
        latest_first(table),
        super::gold::DECIDES
    )
}

/// What silver says of a key that is another one now: records whose latest revision is a retraction that carries another key. A
/// retraction of what was an error or was deleted carries nobody's.
async fn pairs(ctx: &SessionContext, table: Table, key: &str) -> Result<BTreeMap<Person, Person>, LakeError> {
    let sql = format!("{} AND o.{key} <> n.{key} AND (n.status IS NULL OR n.status <> 'error')", retracted(table, key));
    Ok(keys(ctx, &sql).await?.into_iter().collect())
}

/// Rows that say of a number without an authority which ones with an authority it may be.
const BARE: &str = "op = 'retract' AND status = 'preliminary'";

/// Whom every old key stays as, for lists of persons and of what was spent: those who were merged, of the table `merged` where there is
/// one, and of every whole number the bare one where it can be no other's. Of the table `raw` of patients.
pub(super) fn all(is_merged: bool) -> String {
    let sure = format!(
        "SELECT record_key AS bare, min(person_key) AS whole FROM raw WHERE {BARE} AND record_key <> person_key GROUP BY record_key \
         HAVING min(person_key) = max(person_key)"
    );
    match is_merged {
        true => format!(
            "SELECT old_key, new_key FROM merged UNION ALL SELECT b.bare AS old_key, coalesce(m.new_key, b.whole) AS new_key FROM \
             ({sure}) b LEFT JOIN merged m ON b.whole = m.old_key LEFT ANTI JOIN merged o ON b.bare = o.old_key"
        ),
        false => format!("SELECT bare AS old_key, whole AS new_key FROM ({sure})"),
    }
}

/// Which whole number a bare one that is used is. Retractions of the bare number's own record name each whole number that has its
/// digits, and the bare one where it is used; where the whole ones are one, also by merges, it is that one.
async fn bare(
    ctx: &SessionContext,
    key: &str,
    direct: &BTreeMap<Person, Person>,
) -> Result<BTreeMap<Person, Person>, LakeError> {
    let sql = format!(
        "SELECT DISTINCT record_key AS bare, {key} AS whole FROM silver WHERE {BARE} AND record_key <> {key} AND record_key IN \
         (SELECT record_key FROM silver WHERE {BARE} AND record_key = {key})"
    );
    let ends = Merged::resolved(direct).stays;
    let mut meant: BTreeMap<Person, BTreeSet<Person>> = BTreeMap::new();
    for (bare, whole) in keys(ctx, &sql).await? {
        meant.entry(bare).or_default().insert(*ends.get(&whole).unwrap_or(&whole));
    }
    let sure = meant.into_iter().filter(|(_, whole)| whole.len() == 1);
    Ok(sure.filter_map(|(bare, whole)| Some((bare, whole.into_iter().next()?))).collect())
}

/// Merges that name bare numbers are those of the whole ones, and each bare number is merged into its own.
fn with_bare(direct: &BTreeMap<Person, Person>, bare: &BTreeMap<Person, Person>) -> BTreeMap<Person, Person> {
    let whole = |key: &Person| *bare.get(key).unwrap_or(key);
    let mut out = bare.clone();
    for (old, new) in direct.iter().map(|(old, new)| (whole(old), whole(new))).filter(|(old, new)| old != new) {
        out.entry(old).or_insert(new);
    }
    out
}

/// Whose own record is retracted.
async fn deleted(ctx: &SessionContext) -> Result<BTreeSet<Person>, LakeError> {
    let sql =
        format!("{} AND (o.person_key = n.person_key OR n.status = 'error')", retracted(Table::Patient, "person_key"));
    Ok(keys(ctx, &sql).await?.into_iter().map(|(person, _)| person).collect())
}

impl Lake {
    /// The merges and the deletions that silver tells of.
    pub(super) async fn merged(&self, config: &Config) -> Result<Merged, LakeError> {
        let step = |e: &dyn std::fmt::Display| data_error("reading merged patients", e);
        let ctx = session::context(&config.limits, &self.root.join("spill")).map_err(|e| step(&e))?;
        let silver = self.silver_of(Table::Patient)?;
        session::register_silver(&ctx, "read", Table::Patient, &silver).await.map_err(|e| step(&e))?;
        parts::view(&ctx, Table::Patient, "read", "silver").await?;
        let direct = pairs(&ctx, Table::Patient, "person_key").await?;
        let bare = bare(&ctx, "person_key", &direct).await?;
        let mut merged = Merged::resolved(&with_bare(&direct, &bare));
        let gone = deleted(&ctx).await?.into_iter().map(|p| *bare.get(&p).unwrap_or(&p));
        merged.deleted = gone.filter(|p| !merged.stays.contains_key(p)).collect();
        Ok(merged)
    }
}

/// Which visit is which now, and whose.
pub(super) struct Moved {
    /// Old and new record, old and new key.
    numbers: Vec<[Person; 4]>,
    /// The visit, who had it, and who has it.
    owners: Vec<[Person; 3]>,
}

impl Moved {
    /// Puts the view `silver` over the table `raw`, as if every row had named the visit that stays.
    pub(super) async fn view(&self, ctx: &SessionContext, table: Table) -> Result<(), LakeError> {
        let step = |e: &dyn std::fmt::Display| data_error("reading merged visits", e);
        let given = !self.owners.is_empty() && !matches!(table, Table::Patient | Table::Death);
        let columns = |record: &str| -> String {
            let column = |name: &str| match name {
                "person_key" if given => "coalesce(w.has, s.person_key) AS person_key".to_owned(),
                "visit_key" if self.numbers.is_empty() => "s.visit_key".to_owned(),
                "record_key" => record.to_owned(),
                "visit_key" => "coalesce(m.new_key, s.visit_key) AS visit_key".to_owned(),
                _ => format!("s.{name}"),
            };
            table.silver().fields().iter().map(|f| column(f.name())).collect::<Vec<_>>().join(", ")
        };
        let owner = if given { "LEFT JOIN owners w ON s.visit_key = w.visit AND s.person_key = w.had" } else { "" };
        let sql = match (self.numbers.is_empty(), table) {
            (true, _) if !given => "SELECT * FROM raw".to_owned(),
            (true, _) => format!("SELECT {} FROM raw s {owner}", columns("s.record_key")),
            (false, Table::Visit) => format!(
                "SELECT {} FROM raw s LEFT JOIN moved m ON s.record_key = m.old_record {owner} \
                 WHERE m.old_record IS NULL OR s.op = 'upsert' OR s.visit_key = m.old_key",
                columns("coalesce(m.new_record, s.record_key) AS record_key")
            ),
            (false, _) => {
                let from = format!("raw s LEFT JOIN moved m ON s.visit_key = m.old_key {owner}");
                format!("SELECT {} FROM {from}", columns("s.record_key"))
            }
        };
        if !self.numbers.is_empty() {
            let names = ["old_record", "new_record", "old_key", "new_key"];
            register_keys(ctx, "moved", by_column(names, &self.numbers)).map_err(|e| step(&e))?;
        }
        if given {
            register_keys(ctx, "owners", by_column(["visit", "had", "has"], &self.owners)).map_err(|e| step(&e))?;
        }
        let view = ctx.sql(&sql).await.map_err(|e| step(&e))?.into_view();
        ctx.register_table("silver", view).map_err(|e| step(&e))?;
        Ok(())
    }
}

impl Lake {
    /// The visits that got another number.
    pub(super) async fn moved(&self, config: &Config) -> Result<Moved, LakeError> {
        let step = |e: &dyn std::fmt::Display| data_error("reading merged visits", e);
        let ctx = session::context(&config.limits, &self.root.join("spill")).map_err(|e| step(&e))?;
        let silver = self.silver_of(Table::Visit)?;
        session::register_silver(&ctx, "read", Table::Visit, &silver).await.map_err(|e| step(&e))?;
        parts::view(&ctx, Table::Visit, "read", "silver").await?;
        let owners = owners(&ctx).await?;
        let direct = pairs(&ctx, Table::Visit, "visit_key").await?;
        let direct = with_bare(&direct, &bare(&ctx, "visit_key", &direct).await?);
        if direct.is_empty() {
            return Ok(Moved { numbers: Vec::new(), owners });
        }
        // Of the visits that are spoken of alone: all of silver's may be more than there is memory for.
        let spoken: BTreeSet<&Person> = direct.iter().flat_map(|(old, new)| [old, new]).collect();
        register_keys(&ctx, "spoken", vec![("spoken_key", spoken.into_iter().collect())]).map_err(|e| step(&e))?;
        let sql = "SELECT DISTINCT s.visit_key, s.record_key FROM silver s JOIN spoken k ON s.visit_key = k.spoken_key \
                   WHERE s.op = 'upsert' AND s.record_key NOT IN \
                   (SELECT record_key FROM silver WHERE op = 'retract' AND status = 'unknown')";
        let records: BTreeMap<Person, Person> = keys(&ctx, sql).await?.into_iter().collect();
        let rows = Merged::resolved(&direct)
            .stays
            .into_iter()
            // Of a bare number no row of its own may tell: no record has its key.
            .filter_map(|(old, new)| Some([*records.get(&old).unwrap_or(&old), *records.get(&new)?, old, new]));
        Ok(Moved { numbers: rows.collect(), owners })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_end_at_who_stays_and_circles_nowhere() {
        let k = |b: u8| [b; 16];
        let direct = [(k(1), k(2)), (k(2), k(3)), (k(5), k(6)), (k(6), k(5)), (k(7), k(5))].into();
        let merged = Merged::resolved(&direct);
        assert_eq!(merged.stays, [(k(1), k(3)), (k(2), k(3))].into());
        // A merge that names a bare number is one of the whole number.
        let with = with_bare(&[(k(1), k(2)), (k(3), k(13))].into(), &[(k(1), k(11)), (k(3), k(13))].into());
        assert_eq!(with, [(k(1), k(11)), (k(11), k(2)), (k(3), k(13))].into());
    }
}
