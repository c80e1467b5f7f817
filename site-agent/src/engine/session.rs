//! DataFusion with the site's limits: bounded memory, spilling to the state folder, so many threads.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{DataFrame, ParquetReadOptions, SessionConfig, SessionContext, col};
use schema::{Kind, Table};

use crate::config::Limits;

/// A session. Half of the site's memory is the queries' own, which spill beyond it; the rest is for what they do not count: decoding and
/// encoding Parquet, rows on their way, and the store.
///
/// # Errors
/// The spill folder can't be used.
pub fn context(limits: &Limits, spill: &Path) -> Result<SessionContext> {
    let _ = std::fs::create_dir_all(spill);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_limit((limits.memory_mib / 2).max(32) << 20, 1.0)
        .with_temp_file_path(spill)
        .build_arc()?;
    let config = SessionConfig::new()
        .with_target_partitions(limits.threads.max(1))
        .with_batch_size(8192)
        .set_bool("datafusion.execution.parquet.pushdown_filters", true)
        .set_bool("datafusion.execution.parquet.schema_force_view_types", false)
        .set_bool("datafusion.sql_parser.enable_ident_normalization", false)
        .set_usize("datafusion.execution.sort_spill_reservation_bytes", 1 << 20);
    Ok(SessionContext::new_with_config_rt(config, runtime))
}

/// Registers Parquet files of a table under a name; an empty table without files. `sorted` says that they are sorted by patient.
///
/// # Errors
/// A file can't be read.
pub async fn register(ctx: &SessionContext, name: &str, table: Table, files: &[PathBuf], sorted: bool) -> Result<()> {
    ctx.register_table(name, frame(ctx, table.arrow(), files, sorted).await?.into_view())?;
    Ok(())
}

/// Registers Parquet files of silver under a name; an empty table without files.
///
/// # Errors
/// A file can't be read.
pub async fn register_silver(ctx: &SessionContext, name: &str, table: Table, files: &[PathBuf]) -> Result<()> {
    ctx.register_table(name, frame(ctx, table.silver(), files, false).await?.into_view())?;
    Ok(())
}

/// A table of gold for the criteria and features of a study: without the columns that no study may read.
///
/// # Errors
/// A file can't be read.
pub async fn open_frame(ctx: &SessionContext, table: Table, files: &[PathBuf]) -> Result<DataFrame> {
    let hidden: Vec<&str> = table.columns().filter(|c| c.kind == Kind::Tag).map(|c| c.name).collect();
    let frame = frame(ctx, table.arrow(), files, true).await?;
    if hidden.is_empty() { Ok(frame) } else { frame.drop_columns(&hidden) }
}

async fn frame(ctx: &SessionContext, schema: SchemaRef, files: &[PathBuf], sorted: bool) -> Result<DataFrame> {
    if files.is_empty() {
        return ctx.read_table(Arc::new(MemTable::try_new(schema, vec![vec![]])?));
    }
    let mut options = ParquetReadOptions::default().schema(&schema);
    if sorted {
        options = options.file_sort_order(vec![vec![col("person_key").sort(true, false)]]);
    }
    let paths: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
    ctx.read_parquet(paths, options).await
}

/// A Parquet file with the schema that it has itself.
///
/// # Errors
/// The file can't be read.
pub async fn plain_frame(ctx: &SessionContext, file: &Path) -> Result<DataFrame> {
    ctx.read_parquet(file.display().to_string(), ParquetReadOptions::default()).await
}
