//! Patients who were merged: the events of the old identifier are those of the one who stays.
//!
//! An HL7 merge retracts the old patient's record, and the retraction carries the key of the person who stays. Where that is
//! the record's latest revision, every row of the old person is the new one's in gold; silver stays as it was read. A chain
//! of merges is followed to its end, and a circle is not entered. A later snapshot of the old patient takes the merge back.
//!
//! The one who stays keeps the own year of entry. A person with two identifiers has spent from two years before the merge, and
//! from no more than these two after it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, FixedSizeBinaryArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use schema::Table;

use super::gold::LATEST_FIRST;
use super::{Lake, LakeError, data_error};
use crate::config::Config;
use crate::engine::session;

type Person = [u8; 16];

/// The columns of the table `merged`.
pub(super) fn schema() -> SchemaRef {
    let field = |name: &str| Field::new(name, DataType::FixedSizeBinary(16), false);
    Arc::new(Schema::new(vec![field("old_key"), field("new_key")]))
}

/// Whose rows are whose: each old person, and the one who stays.
#[derive(Default)]
pub(super) struct Merged(BTreeMap<Person, Person>);

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
        Merged(out)
    }

    /// Whether nobody was merged.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Registers the table `merged` of both keys.
    pub(super) fn register(&self, ctx: &SessionContext) -> Result<(), LakeError> {
        let step = |e: &dyn std::fmt::Display| data_error("reading merged patients", e);
        let schema = schema();
        let column = |keys: Vec<&Person>| -> Result<ArrayRef, LakeError> {
            Ok(Arc::new(FixedSizeBinaryArray::try_from_iter(keys.into_iter()).map_err(|e| step(&e))?))
        };
        let columns = vec![column(self.0.keys().collect())?, column(self.0.values().collect())?];
        let batch = RecordBatch::try_new(schema.clone(), columns).map_err(|e| step(&e))?;
        let table = MemTable::try_new(schema, vec![vec![batch]]).map_err(|e| step(&e))?;
        ctx.register_table("merged", Arc::new(table)).map_err(|e| step(&e))?;
        Ok(())
    }
}

impl Lake {
    /// The merges that silver tells of.
    pub(super) async fn merged(&self, config: &Config) -> Result<Merged, LakeError> {
        let step = |e: &dyn std::fmt::Display| data_error("reading merged patients", e);
        let ctx = session::context(&config.limits, &self.root.join("spill")).map_err(|e| step(&e))?;
        let silver = self.silver_of(Table::Patient)?;
        session::register(&ctx, "silver", Table::Patient, &silver, false).await.map_err(|e| step(&e))?;
        let sql = format!(
            "SELECT DISTINCT o.person_key AS old_key, n.person_key AS new_key FROM silver o JOIN \
             (SELECT person_key, record_key FROM (SELECT person_key, record_key, op, row_number() OVER (PARTITION BY record_key \
             ORDER BY {LATEST_FIRST}) AS place FROM silver) WHERE place = 1 AND op = 'retract') n ON o.record_key = n.record_key \
             WHERE o.op = 'upsert' AND o.person_key <> n.person_key"
        );
        let batches = ctx.sql(&sql).await.map_err(|e| step(&e))?.collect().await.map_err(|e| step(&e))?;
        let mut direct = BTreeMap::new();
        for batch in &batches {
            let (old, new) = (batch.column(0).as_fixed_size_binary(), batch.column(1).as_fixed_size_binary());
            for i in 0..batch.num_rows() {
                if let (Ok(old), Ok(new)) = (Person::try_from(old.value(i)), Person::try_from(new.value(i))) {
                    direct.insert(old, new);
                }
            }
        }
        Ok(Merged::resolved(&direct))
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
        assert_eq!(merged.0, [(k(1), k(3)), (k(2), k(3))].into());
    }
}
