//! The tables that a study's SQL may read, empty.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use datafusion::prelude::SessionContext;
use schema::{Kind, Table};

use super::Own;
use crate::COHORT;

/// Whether there is a table of this name.
pub(super) fn known(name: &str) -> bool {
    name == COHORT || Table::parse(name).is_some()
}

/// Registers them: those of the schema without what no study may read; and for a feature the cohort, which is not there before its
/// own query.
pub(super) fn register(ctx: &SessionContext, of: Own) -> Result<()> {
    for table in Table::ALL {
        let shown = |name: &str| table.column(name).is_none_or(|c| c.kind != Kind::Tag);
        let fields: Vec<_> = table.arrow().fields().iter().filter(|f| shown(f.name())).cloned().collect();
        let schema = Arc::new(Schema::new(fields));
        ctx.register_table(table.name(), Arc::new(MemTable::try_new(schema, vec![vec![]])?))?;
    }
    if of == Own::Cohort {
        return Ok(());
    }
    let cohort = Schema::new(vec![
        Field::new("person_key", DataType::FixedSizeBinary(16), false),
        Field::new("index_date", DataType::Date32, true),
        Field::new("exit_date", DataType::Date32, true),
        Field::new("arm", DataType::Int64, true),
    ]);
    ctx.register_table(COHORT, Arc::new(MemTable::try_new(Arc::new(cohort), vec![vec![]])?))?;
    Ok(())
}
