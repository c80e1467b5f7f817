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
//! NULL, and only functions that have no errors of their own may be called.

use std::collections::BTreeSet;

use datafusion::common::tree_node::TreeNode as _;
use datafusion::common::{Column, DFSchemaRef, JoinType};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction, WindowFunction};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Distinct, Expr, Join, LogicalPlan, Operator, Subquery, Volatility,
};
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use study::feature::Feature;
use study::{Problem, Study};

use crate::COHORT;

mod failing;
mod tables;

/// The column that tells patients apart.
const KEY: &str = "person_key";

/// Functions of one row without errors of their own.
const FUNCTIONS: &[&str] = &[
    "coalesce",
    "nullif",
    "nvl",
    "greatest",
    "least",
    "floor",
    "ceil",
    "round",
    "trunc",
    "sqrt",
    "exp",
    "ln",
    "log10",
    "log2",
    "isnan",
    "date_part",
    "lower",
    "upper",
    "substr",
    "substring",
    "btrim",
    "ltrim",
    "rtrim",
    "starts_with",
    "ends_with",
    "contains",
    "character_length",
    "left",
    "right",
    "strpos",
    "concat",
];

/// Functions that some values behind the first would make fail: those are constants.
const OF_CONSTANTS: &[&str] = &["substr", "substring", "left", "right", "round", "trunc"];

/// Functions of a patient's rows.
const AGGREGATES: &[&str] = &[
    "count",
    "sum",
    "min",
    "max",
    "avg",
    "first_value",
    "last_value",
    "bool_and",
    "bool_or",
    "stddev",
    "stddev_pop",
    "var",
    "var_pop",
    "median",
    "any_value",
];

/// Functions of a patient's rows in their order.
const WINDOWS: &[&str] =
    &["row_number", "rank", "dense_rank", "lag", "lead", "first_value", "last_value", "nth_value", "ntile"];

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

/// Whether SQL of a study is patient-wise, and gives the patient's key and the named columns.
///
/// # Errors
/// It does not parse, or names what there is not, or an operator mixes patients.
pub async fn check(sql: &str, columns: &[&str]) -> Result<(), Refused> {
    let config = SessionConfig::new().set_bool("datafusion.sql_parser.enable_ident_normalization", false);
    let ctx = SessionContext::new_with_config(config);
    tables::register(&ctx).map_err(|e| unreadable(&e))?;
    let plan = ctx.state().create_logical_plan(sql).await.map_err(|e| unreadable(&e))?;
    let of = walk(&plan)?;
    failing::check(&ctx, &plan)?;
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
            && let Err(e) = check(sql, &["index_date"]).await
        {
            out.push(Problem::at(&["cohorts", name, "sql"], e.message, e.remedy));
        }
    }
    for (name, feature) in &study.features {
        if let Feature::Sql { sql, .. } = feature
            && let Err(e) = check(sql, &["value"]).await
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
pub async fn plan(ctx: &SessionContext, sql: &str) -> Result<DataFrame, DataFusionError> {
    check(sql, &[]).await.map_err(|e| DataFusionError::Plan(e.to_string()))?;
    let state = ctx.state();
    let plan = state.create_logical_plan(sql).await?;
    let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
    Ok(DataFrame::new(state, failing::forgiving(plan)?))
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
        expression(plan, &expr)?;
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

/// Whether an operator's expression speaks of its own row alone, with functions that are known.
fn expression(plan: &LogicalPlan, whole: &Expr) -> Result<(), Refused> {
    let mut wrong = None;
    let walked = whole.apply(|e| {
        if let Err(e) = one(plan, e) {
            wrong.get_or_insert(e);
        }
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    });
    match (wrong, walked) {
        (Some(e), _) => Err(e),
        (None, Err(e)) => Err(unreadable(&e)),
        (None, Ok(_)) => Ok(()),
    }
}

fn call(name: &str, known: &[&str]) -> Result<(), Refused> {
    if known.contains(&name) {
        return Ok(());
    }
    refused(format!("the function {name} is not taken"), format!("use one of {}", known.join(", ")))
}

fn one(plan: &LogicalPlan, expr: &Expr) -> Result<(), Refused> {
    match expr {
        Expr::ScalarFunction(ScalarFunction { func, args }) => {
            if func.signature().volatility == Volatility::Volatile {
                return refused(format!("the function {} gives something else each time", func.name()), "leave it out");
            }
            let constant = |e: &Expr| matches!(bare(e), Expr::Literal(..));
            if OF_CONSTANTS.contains(&func.name()) && !args.iter().skip(1).all(constant) {
                return refused(
                    format!("'{expr}' could fail because of a row"),
                    "write numbers behind its first argument",
                );
            }
            call(func.name(), FUNCTIONS)
        }
        Expr::Like(like) if !matches!(bare(&like.pattern), Expr::Literal(..)) => {
            refused(format!("'{expr}' has a pattern that is no constant"), "write the pattern as a text")
        }
        Expr::AggregateFunction(AggregateFunction { func, .. }) => call(func.name(), AGGREGATES),
        Expr::WindowFunction(f) => {
            let WindowFunction { fun, .. } = f.as_ref();
            call(fun.name(), &[WINDOWS, AGGREGATES].concat())
        }
        Expr::InSubquery(found) => {
            let inner = subquery(&found.subquery);
            match inner {
                Ok(Of::Nobody) => Ok(()),
                Err(e) if !found.subquery.outer_ref_columns.is_empty() => Err(e),
                inner => {
                    let keys = if let Ok(Of::Patients(keys)) = inner { keys } else { BTreeSet::new() };
                    let input = plan.inputs();
                    let ours = input.iter().any(|i| {
                        walk(i).is_ok_and(|of| match of {
                            Of::Patients(own) => is_key(&found.expr, i.schema(), &own),
                            Of::Nobody => false,
                        })
                    });
                    if ours && keys.contains(&0) {
                        return Ok(());
                    }
                    refused(
                        format!("'{expr}' compares a row with rows of other patients"),
                        format!("write {KEY} IN (SELECT {KEY} ...), or a JOIN"),
                    )
                }
            }
        }
        Expr::ScalarSubquery(inner) => match subquery(inner) {
            Ok(Of::Nobody) => Ok(()),
            Err(e) if !inner.outer_ref_columns.is_empty() => Err(e),
            Ok(Of::Patients(_)) | Err(_) => refused(
                "a subquery gives one value of the rows of all patients",
                format!("join it as a table that is grouped by {KEY}"),
            ),
        },
        Expr::Exists(_) | Expr::SetComparison(_) | Expr::OuterReferenceColumn(..) => refused(
            format!("'{expr}' is a subquery that is asked for each row"),
            format!("write {KEY} IN (SELECT {KEY} ...), or a JOIN"),
        ),
        Expr::Unnest(_)
        | Expr::ScalarVariable(..)
        | Expr::Placeholder(_)
        | Expr::HigherOrderFunction(_)
        | Expr::Lambda(_)
        | Expr::LambdaVariable(_) => refused(format!("'{expr}' is not taken"), "write it with columns and constants"),
        Expr::SimilarTo(_) => refused("SIMILAR TO is not taken", "use LIKE"),
        Expr::BinaryExpr(b)
            if matches!(
                b.op,
                Operator::RegexMatch | Operator::RegexIMatch | Operator::RegexNotMatch | Operator::RegexNotIMatch
            ) =>
        {
            refused("regular expressions are not taken", "use LIKE, or starts_with")
        }
        _ => Ok(()),
    }
}

fn subquery(inner: &Subquery) -> Result<Of, Refused> {
    if !inner.outer_ref_columns.is_empty() {
        return refused(
            "a subquery speaks of the row around it",
            format!("write {KEY} IN (SELECT {KEY} ...), or a JOIN on {KEY}"),
        );
    }
    walk(&inner.subquery)
}

#[cfg(test)]
mod tests;
