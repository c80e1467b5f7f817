//! What a study may read: gold, without the patients who objected, and where a law asks for it only of those who consented.
//!
//! Every release reads its patients through here, one row a patient or one tag a patient. Both begin at the table `patient` and end
//! at the table `entry`, by which the budget is charged, and both tables lack whoever may not be read.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{AsArray as _, FixedSizeBinaryArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::TableProvider;
use datafusion::common::JoinType;
use datafusion::datasource::MemTable;
use datafusion::prelude::{DataFrame, SessionContext};
use platform::Micros;
use schema::{Key, Table, version};
use study::Study;

use query::Step;

use super::{EngineError, session};
use crate::config::Config;
use crate::consent::Permitted;
use crate::lake::{Gold, Lake};

/// The tags of the patients who may be read. It is there after the steps to the cohort, so that no criterion can read it.
pub(super) const TAGS: &str = "linkage";

/// Gold as it is now, and whose data in it may be read.
pub(super) struct Readable<'a> {
    config: &'a Config,
    lake: &'a Lake,
    pub(super) gold: Gold,
    permitted: Permitted,
}

impl<'a> Readable<'a> {
    /// For a study.
    ///
    /// # Errors
    /// There is no data, or none of the schema that the study asks for; or a list of those who objected or consented can't be read.
    pub(super) fn open(
        config: &'a Config,
        lake: &'a Lake,
        study: &Study,
        now: Micros,
    ) -> Result<Readable<'a>, EngineError> {
        let gold = lake.gold()?.ok_or(EngineError::NoData)?;
        if !version::reads(&gold.schema) {
            return Err(EngineError::Schema(format!(
                "the site's data are of schema {}; run site-agent ingest",
                gold.schema
            )));
        }
        version::holds(&study.schema, &gold.schema).map_err(|e| EngineError::Schema(e.to_string()))?;
        let permitted =
            Permitted::read(config, &study.purpose, now).map_err(|e| EngineError::Consent(e.to_string()))?;
        Ok(Readable { config, lake, gold, permitted })
    }

    /// The version of what may be read: it changes with gold, and with the lists.
    pub(super) fn version(&self) -> u64 {
        self.permitted.version(self.gold.version)
    }

    /// A session in which the steps to a cohort were taken. No study's text reads a linkage tag in it.
    pub(super) async fn cohort(&self, steps: &[Step]) -> Result<SessionContext, EngineError> {
        let ctx = session::context(&self.config.limits, &self.config.state_dir().join("lake/spill"))?;
        for table in Table::ALL {
            let mut frame = session::open_frame(&ctx, table, &self.files(table)).await?;
            if table == Table::Patient {
                frame = self.only_permitted(&ctx, frame).await?;
            }
            ctx.register_table(table.name(), frame.into_view())?;
        }
        // Whoever is read is whoever is charged: always by the years of entry, never by a guess that they are all.
        let entry = session::plain_frame(&ctx, &self.lake.entry_file(&self.gold).ok_or(EngineError::NoData)?).await?;
        ctx.register_table(query::ENTRY, self.only_permitted(&ctx, entry).await?.into_view())?;
        for step in steps {
            let table = match step {
                Step::Kept { sql, .. } => {
                    let frame = ctx.sql(sql).await?;
                    let schema = Arc::new(frame.schema().as_arrow().clone());
                    Arc::new(MemTable::try_new(schema, vec![frame.collect().await?])?) as Arc<dyn TableProvider>
                }
                Step::Own { sql, of, .. } => {
                    let seen = self.seen_by_studies(&ctx).await?;
                    query::patientwise::plan(&seen, sql, *of).await?.into_view()
                }
            };
            ctx.deregister_table(step.table())?;
            ctx.register_table(step.table(), table)?;
        }
        Ok(ctx)
    }

    /// What a study's own SQL reads: the rows that count, as criteria read them, and the cohort where there is one by now.
    async fn seen_by_studies(&self, ctx: &SessionContext) -> Result<SessionContext, EngineError> {
        let seen = SessionContext::new_with_config(ctx.copied_config());
        for table in Table::ALL {
            let rows = ctx.sql(&format!("SELECT * FROM {} WHERE {}", table.name(), table.counts())).await?;
            seen.register_table(table.name(), rows.into_view())?;
        }
        if ctx.table_exist(query::COHORT)? {
            seen.register_table(query::COHORT, ctx.table_provider(query::COHORT).await?)?;
        }
        Ok(seen)
    }

    /// Adds the table of the patients' tags.
    pub(super) async fn register_tags(&self, ctx: &SessionContext) -> Result<(), EngineError> {
        Ok(session::register(ctx, TAGS, Table::Patient, &self.files(Table::Patient), true).await?)
    }

    fn files(&self, table: Table) -> Vec<PathBuf> {
        self.lake.gold_file(&self.gold, table).into_iter().collect()
    }

    /// The rows of those who may be read.
    async fn only_permitted(&self, ctx: &SessionContext, mut frame: DataFrame) -> Result<DataFrame, EngineError> {
        let Permitted { objected, consented } = &self.permitted;
        if !objected.is_empty() {
            let them = self.persons(ctx, objected).await?;
            frame = frame.join(them, JoinType::LeftAnti, &["person_key"], &["listed"], None)?;
        }
        if let Some(consented) = consented {
            let them = self.persons(ctx, consented).await?;
            frame = frame.join(them, JoinType::LeftSemi, &["person_key"], &["listed"], None)?;
        }
        Ok(frame)
    }

    /// How many listed persons the lake knows nobody by: whoever objected under an id that the source writes otherwise would not be heard.
    pub(super) async fn unknown(&self) -> Result<usize, EngineError> {
        let Permitted { objected, consented } = &self.permitted;
        let all: BTreeSet<Key> = objected.iter().chain(consented.iter().flatten()).copied().collect();
        if all.is_empty() {
            return Ok(0);
        }
        let ctx = session::context(&self.config.limits, &self.config.state_dir().join("lake/spill"))?;
        let people = session::plain_frame(&ctx, &self.lake.entry_file(&self.gold).ok_or(EngineError::NoData)?).await?;
        let listed = listed(&ctx, &all)?;
        let mut left = listed.join(people, JoinType::LeftAnti, &["listed"], &["person_key"], None)?;
        if let Some(file) = self.lake.merged_file(&self.gold) {
            let merged = session::plain_frame(&ctx, &file).await?;
            left = left.join(merged, JoinType::LeftAnti, &["listed"], &["old_key"], None)?;
        }
        Ok(left.count().await?)
    }

    /// Who was merged into whom.
    pub(super) async fn merged(&self) -> Result<super::Merged, EngineError> {
        let Some(file) = self.lake.merged_file(&self.gold) else { return Ok(super::Merged::new()) };
        let ctx = session::context(&self.config.limits, &self.config.state_dir().join("lake/spill"))?;
        let frame = session::plain_frame(&ctx, &file).await?.select_columns(&["old_key", "new_key"])?;
        let mut out = super::Merged::new();
        for batch in frame.collect().await? {
            let column = |at: usize| batch.column(at).as_fixed_size_binary_opt();
            let (Some(old), Some(new)) = (column(0), column(1)) else { continue };
            let pairs = old
                .iter()
                .zip(new.iter())
                .filter_map(|(o, n)| Some((Key::try_from(o?).ok()?, Key::try_from(n?).ok()?)));
            out.extend(pairs);
        }
        Ok(out)
    }

    /// Listed persons, also under the key of whom they were merged into.
    async fn persons(&self, ctx: &SessionContext, keys: &BTreeSet<Key>) -> Result<DataFrame, EngineError> {
        let listed = listed(ctx, keys)?;
        let Some(file) = self.lake.merged_file(&self.gold) else { return Ok(listed) };
        let merged = session::plain_frame(ctx, &file).await?;
        let theirs = merged
            .join(listed.clone(), JoinType::Inner, &["old_key"], &["listed"], None)?
            .select_columns(&["new_key"])?
            .with_column_renamed("new_key", "listed")?;
        Ok(listed.union(theirs)?)
    }
}

/// A list of persons as a table: one column, `listed`.
fn listed(ctx: &SessionContext, keys: &BTreeSet<Key>) -> Result<DataFrame, EngineError> {
    let schema = Arc::new(Schema::new(vec![Field::new("listed", DataType::FixedSizeBinary(16), false)]));
    let column = FixedSizeBinaryArray::try_from_sparse_iter_with_size(keys.iter().map(Some), 16)
        .map_err(|e| EngineError::Query(e.to_string()))?;
    let batch =
        RecordBatch::try_new(schema.clone(), vec![Arc::new(column)]).map_err(|e| EngineError::Query(e.to_string()))?;
    Ok(ctx.read_table(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))?)
}
