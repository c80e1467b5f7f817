//! What could fail because of a row: it is made NULL, or refused.

use datafusion::common::tree_node::{Transformed, TreeNode as _, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::functions::core::expr_fn::nullif;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, ExprSchemable as _, LogicalPlan, Operator, TryCast};

use super::{Refused, refused, unreadable};

/// The columns that an operator's expressions speak of.
fn seen(node: &LogicalPlan) -> DFSchema {
    let mut schema = DFSchema::empty();
    for input in node.inputs() {
        schema.merge(input.schema());
    }
    if let LogicalPlan::TableScan(scan) = node {
        schema.merge(&scan.projected_schema);
    }
    schema
}

/// Looks at every expression of a plan, with the columns that it speaks of.
fn each(plan: &LogicalPlan, mut look: impl FnMut(&Expr, &DFSchema)) -> Result<(), Refused> {
    let walked = plan.apply_with_subqueries(|node| {
        let schema = seen(node);
        node.apply_expressions(|whole| {
            whole.apply(|e| {
                look(e, &schema);
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    walked.map(|_| ()).map_err(|e| unreadable(&e))
}

/// Whether every computation of a plan, as written and with its types, is with whole and floating numbers, which do not overflow with an
/// error.
pub(super) fn check(plan: &LogicalPlan, typed: &LogicalPlan) -> Result<(), Refused> {
    let mut wrong = None;
    // Casts as they are written: those that comparing adds are of whole numbers, and always fit.
    each(plan, |e, _| {
        if let Expr::Cast(Cast { field, .. }) | Expr::TryCast(TryCast { field, .. }) = e
            && field.data_type().is_decimal()
        {
            wrong.get_or_insert_with(|| e.to_string());
        }
    })?;
    each(typed, |e, schema| {
        let number = |e: &Expr| e.get_type(schema).is_ok_and(|t| t.is_integer() || t.is_floating() || t.is_null());
        let computes = match e {
            Expr::BinaryExpr(b) => match b.op {
                Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo => {
                    number(&b.left) && number(&b.right)
                }
                _ => true,
            },
            Expr::Negative(inner) => number(inner),
            _ => true,
        };
        if !computes {
            wrong.get_or_insert_with(|| e.to_string());
        }
    })?;
    match wrong {
        None => Ok(()),
        Some(e) => refused(
            format!("'{e}' computes with what are no plain numbers, and could fail because of a row"),
            "count days with CAST(date AS INT), and use DOUBLE for numbers",
        ),
    }
}

/// The same plan, in which a cast that can't be made and a division by zero are NULL.
pub(super) fn forgiving(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let done = plan.transform_up_with_subqueries(|node| {
        let schema = seen(&node);
        let names = NamePreserver::new(&node);
        node.map_expressions(|e| {
            let name = names.save(&e);
            let changed = e.transform_up(|e| forgive(e, &schema))?;
            Ok(changed.update_data(|e| name.restore(e)))
        })?
        .map_data(LogicalPlan::recompute_schema)
    })?;
    Ok(done.data)
}

fn forgive(e: Expr, schema: &DFSchema) -> Result<Transformed<Expr>, DataFusionError> {
    Ok(match e {
        Expr::Cast(Cast { expr, field }) => Transformed::yes(Expr::TryCast(TryCast { expr, field })),
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::Divide | Operator::Modulo), right }) => {
            let kind = right.get_type(schema)?;
            if !kind.is_integer() {
                return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })));
            }
            // The least number divided by −1 overflows; a whole quotient of it is of no use.
            let zero = Expr::Literal(ScalarValue::new_zero(&kind)?, None);
            let less = if kind.is_signed_integer() {
                let minus = ScalarValue::new_one(&kind)?.arithmetic_negate()?;
                nullif(nullif(*right, zero), Expr::Literal(minus, None))
            } else {
                nullif(*right, zero)
            };
            Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right: Box::new(less) }))
        }
        other => Transformed::no(other),
    })
}
