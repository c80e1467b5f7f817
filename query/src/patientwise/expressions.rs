//! Expressions of a study's own SQL: which speak of their own row alone, and can't fail because of it.

use std::collections::BTreeSet;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction, WindowFunction};
use datafusion::logical_expr::{Expr, LogicalPlan, Operator, Subquery, Volatility};

use super::{KEY, Of, Refused, bare, is_key, refused, unreadable, walk};

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

/// Functions whose numbers behind the first argument are constants from the first to the last of these, since others would make them fail.
const OF_CONSTANTS: &[(&str, i64, i64)] = &[
    ("substr", 0, 100_000),
    ("substring", 0, 100_000),
    ("left", 0, 100_000),
    ("right", 0, 100_000),
    ("round", -15, 15),
    ("trunc", -15, 15),
    ("lag", 0, 100_000),
    ("lead", 0, 100_000),
    ("nth_value", 1, 100_000),
];

/// What `date_part` tells.
const DATE_PARTS: &[&str] = &["year", "quarter", "month", "week", "day", "doy", "dow", "hour", "minute", "second"];

/// The longest pattern of LIKE.
const LONGEST_PATTERN: usize = 200;

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

/// Whether an operator's expression speaks of its own row alone, with functions that are known.
pub(super) fn check(plan: &LogicalPlan, whole: &Expr) -> Result<(), Refused> {
    let mut wrong = None;
    let walked = whole.apply(|e| {
        if let Err(e) = one(plan, e) {
            wrong.get_or_insert(e);
        }
        Ok(TreeNodeRecursion::Continue)
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

/// A constant whole number.
fn whole(expr: &Expr) -> Option<i64> {
    match bare(expr) {
        Expr::Literal(value, _) => match value.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(n)) if value.data_type().is_integer() => n,
            _ => None,
        },
        Expr::Negative(inner) => whole(inner).and_then(i64::checked_neg),
        _ => None,
    }
}

/// A constant text.
fn text(expr: &Expr) -> Option<&str> {
    match bare(expr) {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    }
}

/// Whether a function's arguments are such that no row makes it fail.
fn constants(expr: &Expr, name: &str, args: &[Expr]) -> Result<(), Refused> {
    if let Some((_, least, most)) = OF_CONSTANTS.iter().find(|(f, ..)| *f == name) {
        // Behind lag's and lead's distance stands what is given where there is no row.
        let numbers = if matches!(name, "lag" | "lead") { 1 } else { args.len() };
        let fits = |e: &Expr| whole(e).is_some_and(|n| (*least..=*most).contains(&n));
        let defaults = args.iter().skip(1 + numbers).all(|e| matches!(bare(e), Expr::Literal(..)));
        if !args.iter().skip(1).take(numbers).all(fits) || !defaults {
            return refused(
                format!("'{expr}' could fail because of a row"),
                format!("write whole numbers from {least} to {most} behind its first argument"),
            );
        }
    }
    if name == "ntile" && !args.first().and_then(whole).is_some_and(|n| (1..=100_000).contains(&n)) {
        return refused(format!("'{expr}' could fail because of a row"), "write a whole number from 1 to 100000");
    }
    if name == "date_part" && !args.first().and_then(text).is_some_and(|t| DATE_PARTS.contains(&t)) {
        let remedy = format!("write one of '{}'", DATE_PARTS.join("', '"));
        return refused(format!("'{expr}' asks for a part that is not known"), remedy);
    }
    Ok(())
}

fn one(plan: &LogicalPlan, expr: &Expr) -> Result<(), Refused> {
    match expr {
        Expr::ScalarFunction(ScalarFunction { func, args }) => {
            if func.signature().volatility == Volatility::Volatile {
                return refused(format!("the function {} gives something else each time", func.name()), "leave it out");
            }
            constants(expr, func.name(), args)?;
            call(func.name(), FUNCTIONS)
        }
        Expr::Like(like) if text(&like.pattern).is_none_or(|t| t.chars().count() > LONGEST_PATTERN) => refused(
            format!("'{expr}' has a pattern that is no constant, or one longer than {LONGEST_PATTERN} characters"),
            "write the pattern as a text",
        ),
        Expr::AggregateFunction(AggregateFunction { func, .. }) => call(func.name(), AGGREGATES),
        Expr::WindowFunction(f) => {
            let WindowFunction { fun, params } = f.as_ref();
            constants(expr, fun.name(), &params.args)?;
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
