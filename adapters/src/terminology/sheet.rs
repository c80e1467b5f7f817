//! Tables with a header: rows by the names of their columns.

use std::collections::HashMap;
use std::io::BufRead;
use std::path::Path;

use chrono::NaiveDate;

use super::read::wrong;
use super::{Problem, TerminologyError};
use crate::tabular::delimited::Delimited;
use crate::tabular::layout::Layout;
use crate::tabular::rows::Next;

/// A sheet of a mapping file, or of a list of persons.
pub(crate) struct Sheet {
    rows: Delimited<'static>,
    columns: HashMap<String, usize>,
    width: usize,
    /// Lines before the header that begin with `#`.
    pub(crate) comments: Vec<String>,
}

/// What comes next in a sheet.
pub(crate) enum Step {
    /// A row, and its line.
    Row(u64),
    /// A line that is no row.
    Bad(Problem),
    /// The end.
    End,
}

impl Sheet {
    /// Opens a table in UTF-8: with tabs where the header has any, else semicolons, else commas.
    pub(crate) fn open(path: &Path, needs: &[&str]) -> Result<Sheet, TerminologyError> {
        let mut reader = crate::reader(path).map_err(|e| wrong(path, e))?;
        // The first thousand bytes without comments say what divides the columns.
        let head = reader.fill_buf().map_err(|e| wrong(path, e))?;
        let head = String::from_utf8_lossy(head.get(..head.len().min(64 * 1024)).unwrap_or_default()).into_owned();
        let header = head.lines().find(|l| !l.starts_with('#') && !l.trim().is_empty()).unwrap_or_default();
        let delimiter = ['\t', ';'].into_iter().find(|d| header.contains(*d)).unwrap_or(',');
        let layout = Layout { delimiters: vec![delimiter], quote: Some(Some('"')), ..Layout::default() };
        let mut sheet =
            Sheet { rows: Delimited::new(reader, &layout), columns: HashMap::new(), width: 0, comments: Vec::new() };
        loop {
            match sheet.rows.advance().map_err(|e| wrong(path, e))? {
                Next::Row(_) => {
                    let fields = sheet.rows.fields();
                    let first = fields.get(0).unwrap_or_default();
                    if first.starts_with('#') {
                        let whole: Vec<&str> = (0..fields.len()).filter_map(|i| fields.get(i)).collect();
                        sheet.comments.push(whole.join(&delimiter.to_string()));
                        continue;
                    }
                    sheet.width = fields.len();
                    let names = (0..fields.len()).filter_map(|i| Some((fields.get(i)?.to_ascii_lowercase(), i)));
                    sheet.columns = names.collect();
                    break;
                }
                Next::Bad(line, _, detail) => return Err(wrong(path, format!("line {line}: {detail}"))),
                Next::End => break,
            }
        }
        if let Some(missing) = needs.iter().find(|n| !sheet.columns.contains_key(**n)) {
            return Err(wrong(path, format!("the header has no column '{missing}'; it needs {}", needs.join(", "))));
        }
        Ok(sheet)
    }

    /// Goes to the next row.
    pub(crate) fn advance(&mut self, path: &Path) -> Result<Step, TerminologyError> {
        Ok(match self.rows.advance().map_err(|e| wrong(path, e))? {
            Next::Row(line) if self.rows.fields().len() != self.width => {
                let detail = format!("{} columns where the header has {}", self.rows.fields().len(), self.width);
                Step::Bad(Problem { line, detail })
            }
            Next::Row(line) => Step::Row(line),
            Next::Bad(line, _, detail) => Step::Bad(Problem { line, detail }),
            Next::End => Step::End,
        })
    }

    /// A field of the row, trimmed; none where it is empty or there is no such column.
    pub(crate) fn get(&self, column: &str) -> Option<&str> {
        self.rows.fields().get(*self.columns.get(column)?).filter(|text| !text.is_empty())
    }

    /// The name of a column by its place.
    pub(crate) fn column(&self, place: usize) -> Option<&str> {
        self.columns.iter().find(|(_, at)| **at == place).map(|(name, _)| name.as_str())
    }

    /// A date of the row, as `YYYY-MM-DD` or `YYYYMMDD`.
    ///
    /// # Errors
    /// It is written in another way.
    pub(crate) fn date(&self, column: &str) -> Result<Option<NaiveDate>, String> {
        let Some(text) = self.get(column) else { return Ok(None) };
        let read = |format| NaiveDate::parse_from_str(text, format).ok();
        match read("%Y-%m-%d").or_else(|| read("%Y%m%d").filter(|_| text.len() == 8)) {
            Some(date) => Ok(Some(date)),
            None => Err(format!("{column} is no date; write it as YYYY-MM-DD")),
        }
    }
}
