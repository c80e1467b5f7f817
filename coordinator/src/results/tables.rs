//! The flat table: one row an estimate, as CSV and as Parquet. A cell is empty (null) where the row is suppressed, or where
//! the number is not finite.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use summaries::Row;

use super::{Provenance, Results, ResultsError};

/// The columns, in order.
pub(super) const COLUMNS: [&str; 19] = [
    "analysis",
    "kind",
    "cohort",
    "term",
    "statistic",
    "estimate",
    "lower",
    "upper",
    "se",
    "sampling_se",
    "dp_se",
    "n_sites",
    "epsilon",
    "delta",
    "mechanism",
    "suppressed",
    "note",
    "private",
    "site",
];

/// A row of the table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Flat {
    /// analysis, kind, cohort, term, statistic.
    pub(super) keys: [String; 5],
    /// estimate, lower, upper, se, `sampling_se`, `dp_se`.
    pub(super) values: [Option<f64>; 6],
    /// Sites.
    pub(super) sites: u32,
    /// ε of the analysis and δ of the study; none where noise was off.
    pub(super) cost: [Option<f64>; 2],
    /// How the noise is drawn.
    pub(super) mechanism: String,
    /// Whether the value is withheld.
    pub(super) suppressed: bool,
    /// Why, or what to know.
    pub(super) note: String,
    /// Whether noise was on.
    pub(super) private: bool,
    /// The one hospital that the row is of; empty for all together.
    pub(super) site: String,
}

/// The rows of all analyses. An analysis that failed has one row, whose statistic is `failed`.
pub(super) fn flat(results: &Results, provenance: &Provenance) -> Vec<Flat> {
    let private = provenance.private && !results.simulation;
    let mut out = Vec::new();
    for a in &results.analyses {
        let row = |term: &str, statistic: &str, values: [Option<f64>; 6], suppressed: bool, note: &str| Flat {
            keys: [&a.name, &a.kind, &a.cohort, term, statistic].map(str::to_owned),
            values: values.map(|v| v.filter(|v| !suppressed && v.is_finite())),
            sites: a.sites,
            cost: [a.epsilon, provenance.delta].map(|v| Some(v).filter(|v| private && v.is_finite())),
            mechanism: if a.kind == "distinct" { "presence".to_owned() } else { provenance.mechanism.clone() },
            suppressed,
            note: note.to_owned(),
            private,
            site: String::new(),
        };
        if let Some(reason) = &a.failed {
            out.push(row("", "failed", [None; 6], false, reason));
        }
        let flat = |r: &Row| {
            let values = [r.estimate, r.lower, r.upper, r.se, r.sampling_se, r.dp_se];
            row(&r.term, &r.statistic, values, r.suppressed, &r.note)
        };
        out.extend(a.estimate.rows.iter().map(flat));
        // Of those that tell the term.
        let told =
            |r: &Row| super::between::many(&a.hospitals, &r.term, &r.statistic).and_then(|n| u32::try_from(n).ok());
        out.extend(a.meta.iter().map(|r| Flat { sites: told(r).unwrap_or(a.sites), ..flat(r) }));
        for h in &a.hospitals {
            out.extend(h.rows.iter().map(|r| Flat { site: h.site.clone(), sites: 1, ..flat(r) }));
        }
    }
    out
}

/// RFC 4180: a header, CRLF, quotes where needed.
pub(super) fn csv(rows: &[Flat]) -> String {
    let mut out = COLUMNS.join(",");
    out.push_str("\r\n");
    for r in rows {
        let mut cells: Vec<String> = r.keys.iter().map(|k| text_cell(k)).collect();
        cells.extend(r.values.iter().map(|v| number_cell(*v)));
        cells.push(r.sites.to_string());
        cells.extend(r.cost.iter().map(|v| number_cell(*v)));
        cells.push(text_cell(&r.mechanism));
        cells.push(r.suppressed.to_string());
        cells.push(text_cell(&r.note));
        cells.push(r.private.to_string());
        cells.push(text_cell(&r.site));
        out.push_str(&cells.join(","));
        out.push_str("\r\n");
    }
    out
}

/// A text. One that a spreadsheet would run as a formula gets an apostrophe before it.
pub(super) fn text_cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// A number in the shortest form that reads back the same.
pub(super) fn number_cell(value: Option<f64>) -> String {
    match value {
        None => String::new(),
        Some(0.0) => "0".to_owned(),
        Some(v) if (1e-5..1e16).contains(&v.abs()) => v.to_string(),
        Some(v) => format!("{v:e}"),
    }
}

/// The same rows with types.
///
/// # Errors
/// The table can't be built or written.
pub(super) fn parquet(rows: &[Flat]) -> Result<Vec<u8>, ResultsError> {
    let text =
        |of: &dyn Fn(&Flat) -> &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(rows.iter().map(of))) };
    let flag = |of: &dyn Fn(&Flat) -> bool| -> ArrayRef {
        Arc::new(BooleanArray::from_iter(rows.iter().map(|r| Some(of(r)))))
    };
    let key = |i: usize| text(&move |r: &Flat| r.keys.get(i).map_or("", String::as_str));
    let value = |i: usize| -> ArrayRef {
        Arc::new(Float64Array::from_iter(rows.iter().map(|r| r.values.get(i).copied().flatten())))
    };
    let cost = |i: usize| -> ArrayRef {
        Arc::new(Float64Array::from_iter(rows.iter().map(|r| r.cost.get(i).copied().flatten())))
    };
    let sites: ArrayRef = Arc::new(UInt32Array::from_iter_values(rows.iter().map(|r| r.sites)));
    let mut columns: Vec<ArrayRef> = (0..5).map(key).collect();
    columns.extend((0..6).map(value));
    columns.push(sites);
    columns.extend((0..2).map(cost));
    columns.push(text(&|r: &Flat| r.mechanism.as_str()));
    columns.push(flag(&|r: &Flat| r.suppressed));
    columns.push(text(&|r: &Flat| r.note.as_str()));
    columns.push(flag(&|r: &Flat| r.private));
    columns.push(text(&|r: &Flat| r.site.as_str()));
    let fields: Vec<Field> = COLUMNS
        .iter()
        .zip(&columns)
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), *column.data_type() == DataType::Float64))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties))?;
    writer.write(&batch)?;
    Ok(writer.into_inner()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_disarmed() {
        assert_eq!(text_cell("plain"), "plain");
        assert_eq!(text_cell("a, \"b\"\nc"), "\"a, \"\"b\"\"\nc\"");
        assert_eq!(text_cell("=HYPERLINK(\"x\")"), "\"'=HYPERLINK(\"\"x\"\")\"");
        assert_eq!(["+1", "-1", "@x"].map(text_cell), ["'+1", "'-1", "'@x"]);
        assert_eq!(number_cell(Some(-1.5)), "-1.5");
        assert_eq!(number_cell(None), "");
        for v in [0.1 + 0.2, 1e-300, 12.0, -7.25e22, f64::MIN_POSITIVE] {
            assert_eq!(number_cell(Some(v)).parse::<f64>().unwrap().to_bits(), v.to_bits());
        }
    }
}
