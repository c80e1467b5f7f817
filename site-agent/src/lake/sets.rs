//! Records that are no more, though no row retracts them by their own key.
//!
//! * *Told with another.* The repetitions of a result are told with the first; the diagnoses of a visit that have no identifier, with
//!   a record that stands for all of them. Where that record has a later row than one of them, the one was left out, and is gone.
//! * *Of a visit that has not been.* The diagnoses of an admission that was cancelled.

use datafusion::prelude::SessionContext;
use schema::Table;
use schema::tables::TOLD_WITH;

use super::gold::{DECIDES, latest_first};
use super::{Lake, LakeError, data_error};
use crate::engine::session;

fn step(e: &dyn std::fmt::Display) -> LakeError {
    data_error("reading what later messages leave out", e)
}

async fn any(ctx: &SessionContext, sql: &str) -> Result<bool, LakeError> {
    let batches = ctx.sql(sql).await.map_err(|e| step(&e))?.collect().await.map_err(|e| step(&e))?;
    Ok(batches.iter().any(|b| b.num_rows() > 0))
}

/// Those that are told with another one, and left out where it was told last.
fn left_out() -> String {
    format!(
        "SELECT m.record_key FROM (SELECT record_key, {TOLD_WITH}, max(rev) AS rev FROM silver WHERE {TOLD_WITH} IS NOT NULL \
         GROUP BY record_key, {TOLD_WITH}) m JOIN silver h ON h.record_key = m.{TOLD_WITH} AND {DECIDES} \
         GROUP BY m.record_key, m.rev HAVING max(h.rev) > m.rev"
    )
}

/// Those that were told before their visit was cancelled, and not again.
fn before_cancelling() -> &'static str {
    "SELECT s.record_key FROM silver s JOIN (SELECT visit_key, max(rev) AS rev FROM visits WHERE op = 'retract' \
     AND status = 'cancelled' AND src_format = 'hl7v2' GROUP BY visit_key) c ON s.visit_key = c.visit_key \
     GROUP BY s.record_key HAVING max(s.rev) <= max(c.rev)"
}

/// Those of a visit whose admission was cancelled.
fn of_cancelled() -> String {
    format!(
        "SELECT record_key FROM silver WHERE visit_key IN (SELECT visit_key FROM (SELECT visit_key, op, status, row_number() OVER \
         (PARTITION BY record_key ORDER BY {}) AS place FROM visits WHERE src_format = 'hl7v2' AND visit_key IS NOT NULL AND {DECIDES}) \
         WHERE place = 1 AND op = 'retract' AND status = 'cancelled')",
        latest_first(Table::Visit)
    )
}

impl Lake {
    /// Registers the view `gone` of the records of `silver` that are no more. Returns whether there may be any.
    pub(super) async fn gone(&self, ctx: &SessionContext, table: Table) -> Result<bool, LakeError> {
        let mut parts = Vec::new();
        if matches!(table, Table::Measurement | Table::Condition)
            && any(ctx, &format!("SELECT 1 FROM silver WHERE {TOLD_WITH} IS NOT NULL LIMIT 1")).await?
        {
            parts.push(left_out());
        }
        if table == Table::Condition {
            let visits = self.silver_of(Table::Visit)?;
            session::register_silver(ctx, "visits", Table::Visit, &visits).await.map_err(|e| step(&e))?;
            if any(ctx, "SELECT 1 FROM visits WHERE op = 'retract' AND status = 'cancelled' LIMIT 1").await? {
                parts.extend([before_cancelling().to_owned(), of_cancelled()]);
            }
        }
        if parts.is_empty() {
            return Ok(false);
        }
        let view = ctx.sql(&parts.join(" UNION ALL ")).await.map_err(|e| step(&e))?.into_view();
        ctx.register_table("gone", view).map_err(|e| step(&e))?;
        Ok(true)
    }
}
