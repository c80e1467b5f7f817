//! How far the site's codes are mapped: by table and code system, by concept set, and which codes are left. Exact, and for the
//! site's own staff.

use std::collections::BTreeMap;

use adapters::terminology::FileUse;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::prelude::SessionContext;
use schema::Table;
use serde::{Deserialize, Serialize};
use study::Study;

use crate::config::Config;
use crate::engine::session;
use crate::lake::{Lake, LakeError, Standards, data_error};

/// Codes of one table and system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// The table.
    pub table: String,
    /// The source's code system.
    pub system: String,
    /// Rows with a code.
    pub rows: u64,
    /// Those with a standard code.
    pub mapped: u64,
    /// Patients with a code.
    pub patients: u64,
    /// Those of whom one code at least has no standard one.
    pub with_unmapped: u64,
}

/// A code without a standard one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unmapped {
    /// The table.
    pub table: String,
    /// The code system.
    pub system: String,
    /// The code.
    pub code: String,
    /// Its rows.
    pub rows: u64,
}

/// A concept set of a study that came here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetCoverage {
    /// The study.
    pub study: String,
    /// The set.
    pub set: String,
    /// The table.
    pub table: String,
    /// Patients with a code of the set.
    pub patients: u64,
    /// Those of them whom the set finds by a mapped code.
    pub by_mapping: u64,
    /// The second over the first.
    pub mapped_fraction: f64,
}

/// What the mapping files do here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What became of each file's rows.
    pub files: Vec<FileUse>,
    /// By table and system.
    pub coverage: Vec<Coverage>,
    /// By study, set and table; tables without such a code are left out.
    pub sets: Vec<SetCoverage>,
    /// The codes with the most rows that have no standard one.
    pub unmapped: Vec<Unmapped>,
}

const CODED: [Table; 4] = [Table::Condition, Table::Measurement, Table::DrugExposure, Table::Procedure];
/// So many unmapped codes of a table are listed.
const LISTED: usize = 20;

/// Rows of texts and of counts.
async fn ask(ctx: &SessionContext, sql: &str, texts: usize) -> Result<Vec<(Vec<String>, Vec<u64>)>, LakeError> {
    let step = |e: &dyn std::fmt::Display| data_error("counting mapped codes", e);
    let mut out = Vec::new();
    for batch in ctx.sql(sql).await.map_err(|e| step(&e))?.collect().await.map_err(|e| step(&e))? {
        let cast = |i: usize, to: &DataType| arrow::compute::cast(batch.column(i), to).map_err(|e| step(&e));
        let words = (0..texts).map(|i| cast(i, &DataType::Utf8)).collect::<Result<Vec<_>, _>>()?;
        let counts = (texts..batch.num_columns()).map(|i| cast(i, &DataType::Int64)).collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let word = |a: &arrow::array::ArrayRef| match a.as_string_opt::<i32>().filter(|s| s.is_valid(row)) {
                Some(s) => s.value(row).to_owned(),
                None => String::new(),
            };
            let count = |a: &arrow::array::ArrayRef| {
                let n = a.as_primitive_opt::<Int64Type>().filter(|c| c.is_valid(row)).map_or(0, |c| c.value(row));
                u64::try_from(n).unwrap_or_default()
            };
            out.push((words.iter().map(word).collect(), counts.iter().map(count).collect()));
        }
    }
    Ok(out)
}

/// The codes without a standard one, with how many patients have each in one table; of several tables the most.
///
/// # Errors
/// A query fails. Without gold there is none.
pub async fn unmapped(config: &Config, lake: &Lake) -> Result<Vec<(String, String, u64)>, LakeError> {
    let step = |e: &dyn std::fmt::Display| data_error("looking for codes without a standard one", e);
    let Some(gold) = lake.gold()? else { return Ok(Vec::new()) };
    let ctx = session::context(&config.limits, &config.state_dir().join("lake/spill")).map_err(|e| step(&e))?;
    let mut all: BTreeMap<(String, String), u64> = BTreeMap::new();
    for table in CODED {
        let files: Vec<_> = lake.gold_file(&gold, table).into_iter().collect();
        session::register(&ctx, table.name(), table, &files, true).await.map_err(|e| step(&e))?;
        let sql = format!(
            "SELECT code_system, code, count(DISTINCT person_key) FROM {} WHERE code IS NOT NULL AND code_system IS NOT NULL \
             AND std_code IS NULL GROUP BY code_system, code",
            table.name()
        );
        for (words, counts) in ask(&ctx, &sql, 2).await? {
            let mut words = words.into_iter();
            let key = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let most = all.entry(key).or_default();
            *most = counts.first().copied().unwrap_or_default().max(*most);
        }
    }
    Ok(all.into_iter().map(|((system, code), patients)| (system, code, patients)).collect())
}

/// Counts over gold, for the concept sets of some studies.
///
/// # Errors
/// There is no gold, a mapping file can't be read, or a query fails.
pub async fn run(config: &Config, lake: &Lake, standards: &Standards, studies: &[Study]) -> Result<Report, LakeError> {
    let step = |e: &dyn std::fmt::Display| data_error("counting mapped codes", e);
    let gold = lake.gold()?.ok_or_else(|| step(&"there is no data yet; run site-agent ingest"))?;
    let ctx = session::context(&config.limits, &config.state_dir().join("lake/spill")).map_err(|e| step(&e))?;
    let mut report = Report {
        files: standards.mappings().files.clone(),
        coverage: Vec::new(),
        sets: Vec::new(),
        unmapped: Vec::new(),
    };
    for table in CODED {
        let files: Vec<_> = lake.gold_file(&gold, table).into_iter().collect();
        session::register(&ctx, table.name(), table, &files, true).await.map_err(|e| step(&e))?;
        let name = table.name();
        let all = format!(
            "SELECT code_system, count(*), count(std_code), count(DISTINCT person_key), \
             count(DISTINCT CASE WHEN std_code IS NULL THEN person_key END) FROM {name} WHERE code IS NOT NULL \
             GROUP BY code_system ORDER BY code_system"
        );
        for (words, counts) in ask(&ctx, &all, 1).await? {
            let n = |i: usize| counts.get(i).copied().unwrap_or_default();
            let system = words.into_iter().next().unwrap_or_default();
            let (rows, mapped, patients, with_unmapped) = (n(0), n(1), n(2), n(3));
            report.coverage.push(Coverage { table: name.to_owned(), system, rows, mapped, patients, with_unmapped });
        }
        let left = format!(
            "SELECT code_system, code, count(*) AS n FROM {name} WHERE code IS NOT NULL AND std_code IS NULL \
             GROUP BY code_system, code ORDER BY n DESC, code_system, code LIMIT {LISTED}"
        );
        for (words, counts) in ask(&ctx, &left, 2).await? {
            let mut words = words.into_iter();
            let (system, code) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let rows = counts.first().copied().unwrap_or_default();
            report.unmapped.push(Unmapped { table: name.to_owned(), system, code, rows });
        }
        for study in studies {
            for set in study.concept_sets.keys() {
                let condition = query::rows::in_set(study, set).map_err(|e| step(&e))?;
                let of_set = format!(
                    "SELECT count(DISTINCT person_key), count(DISTINCT CASE WHEN std_code IS NOT NULL THEN person_key END) \
                     FROM {name} WHERE {condition}"
                );
                let found = ask(&ctx, &of_set, 0).await?;
                let n = |i: usize| found.first().and_then(|(_, c)| c.get(i)).copied().unwrap_or_default();
                let (patients, by_mapping) = (n(0), n(1));
                if patients > 0 {
                    report.sets.push(SetCoverage {
                        study: study.id.to_string(),
                        set: set.clone(),
                        table: name.to_owned(),
                        patients,
                        by_mapping,
                        mapped_fraction: by_mapping as f64 / patients as f64,
                    });
                }
            }
        }
    }
    Ok(report)
}
