//! What a newer version of a thing does not say any more is not in gold.
//!
//! A row of silver may be a part: a component of an observation, a merge that a patient tells of, a statement of a document. Of the
//! parts of one thing, and of the record that has the thing's own key, only those of its newest version count, so that a version
//! needs to name nothing that it leaves out.
//!
//! ```text
//!  silver, of the observation o                      newest version   in gold
//!  o/8480-6 120, o/8462-4 80 (first)                                  -
//!  o/8480-6 118              (amended)               <-               o/8480-6 118
//! ```

use datafusion::prelude::SessionContext;
use schema::Table;
use schema::tables::{PART_OF, SEQUENCE};

use super::{LakeError, data_error};

fn step(e: &dyn std::fmt::Display) -> LakeError {
    data_error("looking for the newest versions", e)
}

/// Puts a view over a table of silver that has only the parts that count. Without parts of several versions it is the table as
/// it is, and costs nothing.
pub(super) async fn view(ctx: &SessionContext, table: Table, from: &str, to: &str) -> Result<(), LakeError> {
    let sql = format!("SELECT 1 FROM {from} WHERE {PART_OF} IS NOT NULL AND {SEQUENCE} IS NOT NULL LIMIT 1");
    let batches = ctx.sql(&sql).await.map_err(|e| step(&e))?.collect().await.map_err(|e| step(&e))?;
    let needed = batches.iter().any(|b| b.num_rows() > 0);
    let schema = table.silver();
    let columns: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let columns = columns.join(", ");
    let whole = format!("coalesce({PART_OF}, record_key)");
    let sql = if needed {
        format!(
            "SELECT {columns} FROM (SELECT *, rank() OVER (PARTITION BY {whole} ORDER BY CASE WHEN {SEQUENCE} IS NULL THEN NULL \
             ELSE rev END DESC NULLS LAST, {SEQUENCE} DESC NULLS LAST) AS version, \
             max(CASE WHEN {PART_OF} IS NULL THEN 0 ELSE 1 END) OVER (PARTITION BY {whole}) AS parts FROM {from}) \
             WHERE version = 1 OR parts = 0"
        )
    } else {
        format!("SELECT {columns} FROM {from}")
    };
    let view = ctx.sql(&sql).await.map_err(|e| step(&e))?.into_view();
    ctx.register_table(to, view).map_err(|e| step(&e))?;
    Ok(())
}
