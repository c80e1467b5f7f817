//! SQL of a study's own: taken where each operator keeps the patients apart, so that a patient's rows of the result depend on that
//! patient's rows alone.
//!
//! Every relation of a plan either holds no patients (constants), or has columns that are the patient's key. An operator keeps them
//! apart where the key goes through it:
//!
//! | operator | condition |
//! |---|---|
//! | projection | the key is among its columns |
//! | filter, sort | none; a sort that keeps the first rows alone is a limit |
//! | join | the keys of both sides are equal; the side that keeps its rows has the patients |
//! | aggregate | grouped by the key |
//! | window | partitioned by the key |
//! | distinct | the key is among what is distinct |
//! | union | the key is in the same place in each part |
//! | limit, full join, correlated subqueries, recursion, everything else | refused |
//!
//! A row must not make the query fail either, since a failure is seen from outside: casts that can't be made and divisions by zero give
//! NULL, only functions that have no errors of their own may be called, and their constants are such that they don't.

use std::collections::BTreeSet;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchemaRef, JoinType};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Aggregate, BinaryExpr, Distinct, Expr, Join, LogicalPlan, Operator};
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use study::feature::Feature;
use study::{Problem, Study};

use crate::COHORT;

mod expressions;
mod failing;
mod size;
mod tables;

/// The column that tells patients apart.
const KEY: &str = "person_key";

/// Why SQL of a study is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}; {remedy}")]
pub struct Refused {
    /// What is wrong, with the operator.
    pub message: String,
    /// How to mend it.
    pub remedy: String,
}

fn refused<T>(message: impl Into<String>, remedy: impl Into<String>) -> Result<T, Refused> {
    Err(Refused { message: message.into(), remedy: remedy.into() })
}

/// What a relation says of patients: nothing, or which of its columns are their key.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Of {
    Nobody,
    Patients(BTreeSet<usize>),
}

/// What SQL of a study's own is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// Who is in a cohort, from when: `person_key` and `index_date`.
    Cohort,
    /// A feature: `person_key` and `value`.
    Feature,
}

impl Own {
    /// The column beside the key.
    fn column(self) -> &'static str {
        match self {
            Own::Cohort => "index_date",
            Own::Feature => "value",
        }
    }

    /// Whether a column's type is what we read it as, whatever its rows hold; the remedy, where not.
    fn takes(self, kind: &DataType) -> Result<(), &'static str> {
        let text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let fits = match (self, kind) {
            (Own::Cohort, kind) => matches!(kind, DataType::Date32 | DataType::Date64 | DataType::Timestamp(..)),
            (Own::Feature, DataType::Dictionary(_, values)) => text(values),
            (Own::Feature, kind) => text(kind) || kind.is_integer() || kind.is_floating() || *kind == DataType::Boolean,
        };
        match (fits, self) {
            (true, _) => Ok(()),
            (false, Own::Cohort) => Err("give a date, such as event_date or CAST(t_event AS DATE)"),
            (false, Own::Feature) => Err("give a number, a text or a boolean; days are CAST(event_date AS INT)"),
        }
    }
}

/// Whether SQL of a study is patient-wise, and gives what it is for.
///
/// # Errors
/// It does not parse, or names what there is not, or an operator mixes patients.
pub async fn check(sql: &str, of: Own) -> Result<(), Refused> {
    size::check(sql)?;
    // Plans are walked by recursion: a long chain of conditions has a stack of its own.
    let (text, (send, done)) = (sql.to_owned(), tokio::sync::oneshot::channel());
    let walked = std::thread::Builder::new().name("sql".to_owned()).stack_size(STACK).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let result = match runtime {
            Ok(runtime) => runtime.block_on(looked_at(&text, of)),
            Err(e) => refused(format!("the SQL can't be looked at: {e}"), "try again"),
        };
        let _ = send.send(result);
    });
    let lost = || refused("the SQL can't be looked at: the machine has no thread for it", "try again");
    if walked.is_err() {
        return lost();
    }
    done.await.unwrap_or_else(|_| lost())
}

/// The stack for looking at a query, in bytes.
const STACK: usize = 64 << 20;

async fn looked_at(sql: &str, own: Own) -> Result<(), Refused> {
    let columns = &[own.column()];
    let config = SessionConfig::new().set_bool("datafusion.sql_parser.enable_ident_normalization", false);
    let ctx = SessionContext::new_with_config(config);
    tables::register(&ctx, own).map_err(|e| unreadable(&e))?;
    let plan = ctx.state().create_logical_plan(sql).await.map_err(|e| unreadable(&e))?;
    let of = walk(&plan)?;
    // The types that comparing and computing add are known after the analysis alone.
    let typed = analyzed(&ctx, plan.clone()).map_err(|e| unreadable(&e))?;
    failing::check(&plan, &typed)?;
    let at = |name: &str| plan.schema().fields().iter().position(|f| f.name() == name);
    match (of, at(KEY)) {
        (Of::Patients(keys), Some(place)) if keys.contains(&place) => {}
        _ => return refused(format!("the query gives no {KEY}"), format!("select {KEY} of a table of patients")),
    }
    let lacking: Vec<&str> = columns.iter().filter(|c| at(c).is_none()).copied().collect();
    if !lacking.is_empty() {
        return refused(
            format!("the query gives no {}", lacking.join(" and no ")),
            format!("name the columns {KEY}, {}", columns.join(", ")),
        );
    }
    if let Some(field) = typed.schema().fields().iter().find(|f| f.name() == own.column())
        && let Err(remedy) = own.takes(field.data_type())
    {
        return refused(format!("{} is of the type {}", field.name(), field.data_type()), remedy);
    }
    let names: Vec<&String> = plan.schema().fields().iter().map(|f| f.name()).collect();
    if names.iter().collect::<BTreeSet<_>>().len() != names.len() {
        return refused("two columns of the query have one name", "give each its own with AS");
    }
    Ok(())
}

/// What is wrong with a study's own SQL.
pub async fn problems(study: &Study) -> Vec<Problem> {
    let mut out = Vec::new();
    for (name, cohort) in &study.cohorts {
        if let Some(sql) = &cohort.sql
            && let Err(e) = check(sql, Own::Cohort).await
        {
            out.push(Problem::at(&["cohorts", name, "sql"], e.message, e.remedy));
        }
    }
    for (name, feature) in &study.features {
        if let Feature::Sql { sql, .. } = feature
            && let Err(e) = check(sql, Own::Feature).await
        {
            out.push(Problem::at(&["features", name, "sql"], e.message, e.remedy));
        }
    }
    out
}

/// The rows of SQL that was checked, over a site's tables: nothing that a row holds makes them fail.
///
/// # Errors
/// It was not checked, or names a table that the session lacks.
pub async fn plan(ctx: &SessionContext, sql: &str, of: Own) -> Result<DataFrame, DataFusionError> {
    check(sql, of).await.map_err(|e| DataFusionError::Plan(e.to_string()))?;
    let state = ctx.state();
    let plan = analyzed(ctx, state.create_logical_plan(sql).await?)?;
    Ok(DataFrame::new(state, failing::forgiving(plan)?))
}

/// A plan with the types that DataFusion gives it.
fn analyzed(ctx: &SessionContext, plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let state = ctx.state();
    state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})
}

fn unreadable(e: &DataFusionError) -> Refused {
    let text = e.strip_backtrace();
    let text = text.lines().next().unwrap_or_default();
    let tables: Vec<&str> = schema::Table::ALL.iter().map(|t| t.name()).chain(std::iter::once(COHORT)).collect();
    let remedy = if text.contains("not found") && text.contains("table") {
        format!("there are the tables {}", tables.join(", "))
    } else {
        "see the dialect in docs/cohorts.md".to_owned()
    };
    Refused { message: format!("the SQL can't be read: {text}"), remedy }
}

/// An operator in a few words.
fn named(plan: &LogicalPlan) -> String {
    let text = plan.display().to_string();
    let cut: String = text.chars().take(160).collect();
    if cut.len() < text.len() { format!("'{cut}…'") } else { format!("'{cut}'") }
}

fn walk(plan: &LogicalPlan) -> Result<Of, Refused> {
    for expr in plan.expressions() {
        expressions::check(plan, &expr)?;
    }
    match plan {
        LogicalPlan::TableScan(scan) => {
            let place = scan.projected_schema.fields().iter().position(|f| f.name() == KEY);
            match place {
                Some(place) if tables::known(scan.table_name.table()) => Ok(Of::Patients([place].into())),
                _ => refused(
                    format!("{} is no table of patients", named(plan)),
                    "read the tables of the schema and the table cohort",
                ),
            }
        }
        LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => Ok(Of::Nobody),
        LogicalPlan::SubqueryAlias(alias) => walk(&alias.input),
        LogicalPlan::Filter(filter) => walk(&filter.input),
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => walk(&sort.input),
        LogicalPlan::Projection(projection) => {
            let Of::Patients(keys) = walk(&projection.input)? else { return Ok(Of::Nobody) };
            let out = places(&projection.expr, projection.input.schema(), &keys);
            if out.is_empty() {
                return refused(
                    format!("{} drops the patient's key", named(plan)),
                    format!("select {KEY} there as well"),
                );
            }
            Ok(Of::Patients(out))
        }
        LogicalPlan::Aggregate(aggregate) => aggregated(plan, aggregate),
        LogicalPlan::Window(window) => {
            let Of::Patients(keys) = walk(&window.input)? else { return Ok(Of::Nobody) };
            for expr in &window.window_expr {
                let apart = match bare(expr) {
                    Expr::WindowFunction(f) => !places(&f.params.partition_by, window.input.schema(), &keys).is_empty(),
                    _ => false,
                };
                if !apart {
                    return refused(
                        format!("the window '{expr}' mixes patients"),
                        format!("add {KEY} to its PARTITION BY"),
                    );
                }
            }
            Ok(Of::Patients(keys))
        }
        LogicalPlan::Join(join) => joined(plan, join),
        LogicalPlan::Union(union) => {
            let mut common: Option<BTreeSet<usize>> = None;
            let mut nobody = 0;
            for input in &union.inputs {
                match walk(input)? {
                    Of::Nobody => nobody += 1,
                    Of::Patients(keys) => {
                        common = Some(common.map_or(keys.clone(), |c| c.intersection(&keys).copied().collect()));
                    }
                }
            }
            match common {
                None => Ok(Of::Nobody),
                Some(keys) if nobody == 0 && !keys.is_empty() => Ok(Of::Patients(keys)),
                Some(_) => refused(
                    format!("{} joins parts whose {KEY} is not in the same place", named(plan)),
                    format!("select {KEY} first in each part, and no constants in its place"),
                ),
            }
        }
        LogicalPlan::Distinct(Distinct::All(input)) => walk(input),
        LogicalPlan::Distinct(Distinct::On(on)) => {
            let Of::Patients(keys) = walk(&on.input)? else { return Ok(Of::Nobody) };
            if places(&on.on_expr, on.input.schema(), &keys).is_empty() {
                return refused(
                    format!("{} keeps one row of several patients", named(plan)),
                    format!("add {KEY} to DISTINCT ON"),
                );
            }
            let out = places(&on.select_expr, on.input.schema(), &keys);
            if out.is_empty() {
                return refused(
                    format!("{} drops the patient's key", named(plan)),
                    format!("select {KEY} there as well"),
                );
            }
            Ok(Of::Patients(out))
        }
        LogicalPlan::Limit(_) | LogicalPlan::Sort(_) => refused(
            format!("{} keeps some patients' rows because of others'", named(plan)),
            format!("use row_number() OVER (PARTITION BY {KEY} ORDER BY ...) and a condition on it"),
        ),
        _ => refused(
            format!("{} is no operator that keeps patients apart", named(plan)),
            "use SELECT with WHERE, JOIN ... ON, GROUP BY, windows and UNION ALL",
        ),
    }
}

/// An expression without its name.
fn bare(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => bare(&alias.expr),
        other => other,
    }
}

/// Whether an expression is a key of the relation it reads.
fn is_key(expr: &Expr, schema: &DFSchemaRef, keys: &BTreeSet<usize>) -> bool {
    let at = |c: &Column| schema.maybe_index_of_column(c).is_some_and(|i| keys.contains(&i));
    matches!(bare(expr), Expr::Column(c) if at(c))
}

/// Which of some expressions are keys.
fn places(exprs: &[Expr], schema: &DFSchemaRef, keys: &BTreeSet<usize>) -> BTreeSet<usize> {
    exprs.iter().enumerate().filter(|(_, e)| is_key(e, schema, keys)).map(|(i, _)| i).collect()
}

fn aggregated(plan: &LogicalPlan, aggregate: &Aggregate) -> Result<Of, Refused> {
    let Of::Patients(keys) = walk(&aggregate.input)? else { return Ok(Of::Nobody) };
    let groups = places(&aggregate.group_expr, aggregate.input.schema(), &keys);
    let sets = aggregate.group_expr.iter().any(|e| matches!(e, Expr::GroupingSet(_)));
    if groups.is_empty() || sets {
        return refused(format!("{} adds up patients", named(plan)), format!("add {KEY} to its GROUP BY"));
    }
    Ok(Of::Patients(groups))
}

fn joined(plan: &LogicalPlan, join: &Join) -> Result<Of, Refused> {
    let width = join.left.schema().fields().len();
    let shifted = |keys: &BTreeSet<usize>| keys.iter().map(|k| k + width).collect::<BTreeSet<usize>>();
    let (left, right) = (walk(&join.left)?, walk(&join.right)?);
    let apart = |keeps: &[JoinType], out: BTreeSet<usize>| {
        if keeps.contains(&join.join_type) {
            return Ok(Of::Patients(out));
        }
        refused(
            format!("{} keeps rows that are of no patient", named(plan)),
            "join the constants to the patients with JOIN or LEFT JOIN",
        )
    };
    let (left, right) = match (left, right) {
        (Of::Nobody, Of::Nobody) => return Ok(Of::Nobody),
        (Of::Patients(keys), Of::Nobody) => {
            return apart(&[JoinType::Inner, JoinType::Left, JoinType::LeftSemi, JoinType::LeftAnti], keys);
        }
        (Of::Nobody, Of::Patients(keys)) => {
            let semi = matches!(join.join_type, JoinType::RightSemi | JoinType::RightAnti);
            let out = if semi { keys } else { shifted(&keys) };
            return apart(&[JoinType::Inner, JoinType::Right, JoinType::RightSemi, JoinType::RightAnti], out);
        }
        (Of::Patients(left), Of::Patients(right)) => (left, right),
    };
    let (ls, rs) = (join.left.schema(), join.right.schema());
    let same = |a: &Expr, b: &Expr| is_key(a, ls, &left) && is_key(b, rs, &right);
    let by_key = join.on.iter().any(|(a, b)| same(a, b))
        || join.filter.iter().flat_map(split_conjunction).any(|e| match e {
            Expr::BinaryExpr(BinaryExpr { left: a, op: Operator::Eq, right: b }) => same(a, b) || same(b, a),
            _ => false,
        });
    if !by_key {
        return refused(
            format!("{} joins rows of different patients", named(plan)),
            format!("write JOIN ... ON with the {KEY} of both sides being equal"),
        );
    }
    match join.join_type {
        JoinType::Inner => Ok(Of::Patients(left.union(&shifted(&right)).copied().collect())),
        JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti => Ok(Of::Patients(left)),
        JoinType::Right => Ok(Of::Patients(shifted(&right))),
        JoinType::RightSemi | JoinType::RightAnti => Ok(Of::Patients(right)),
        _ => refused(
            format!("{} leaves the key of either side empty", named(plan)),
            "begin at the table patient with LEFT JOINs, or use UNION ALL",
        ),
    }
}

#[cfg(test)]
mod tests;
