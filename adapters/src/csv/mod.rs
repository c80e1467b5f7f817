//! Delimited text of any hospital, described by a TOML mapping.
//!
//! ```toml
//! format = "csv"
//! [[file]]
//! match = "labor*.csv"                 # the first [[file]] that fits the name is used; * and ?
//! delimiter = ";"                      # default ","
//! encoding = "windows-1252"            # default utf-8; a byte order mark goes first
//! decimal = ","                        # default "."
//! thousands = "."                      # default none
//! dates = ["%d.%m.%Y %H:%M", "%d.%m.%Y"]
//! null = ["?", "NA"]                   # an empty cell is always null
//! person = { column = "PatNr" }        # or { row_number = true }
//! [[file.row]]                         # a row becomes up to one record for each of these
//! table = "measurement"
//! require = ["Wert"]                   # no record where one of these is null
//! only = { Art = ["LAB"] }             # no record unless the cell is one of these
//! id = ["AuftragNr", "Test"]           # the record's identity; default: all columns that it reads
//! [file.row.set]
//! code_system = "loinc"
//! code = { column = "Test", map = { HBA1C = "4548-4" }, unmapped = "skip" }
//! value_num = { column = "Wert" }      # "<5" sets the comparator and the bound
//! unit_src = { column = "Einheit" }
//! event = { column = "Datum" }         # date, time, precision and zone at once
//! # in a row of table = "patient": linkage = { column = "VersNr" }   # a national or insurance number, for linkage_tag
//! ```
//!
//! * `mapping`, `setters`: the language and its checks; `toml_doc`: TOML with lines.
//! * `rows`: text to rows; `number`: numbers; `build`: a row to records.

mod build;
mod mapping;
mod number;
mod rows;
mod setters;
mod toml_doc;

use self::build::Builder;
use self::mapping::{FileMap, Mapping};
use self::rows::{Next, Rows};
use crate::envelope::Envelope;
use crate::sink::{Adapter, AdapterError, Context, Extract, Out, Read, Reason};

/// Reads delimited text under a mapping.
pub(crate) struct Csv {
    mapping: Mapping,
}

impl Csv {
    pub(crate) fn new(text: &str, name: &str) -> Result<Csv, AdapterError> {
        Ok(Csv { mapping: Mapping::parse(text, name)? })
    }

    fn contradiction(&self, line: usize, message: String) -> AdapterError {
        AdapterError::Mapping { file: self.mapping.name.clone(), line, message }
    }

    /// Where each column that the mapping reads stands in the file.
    fn positions(&self, map: &FileMap, names: &[&str], file: &str) -> Result<Vec<usize>, AdapterError> {
        let place = |(column, line): &(String, usize)| {
            let mut places = names.iter().enumerate().filter(|(_, n)| *n == column).map(|(i, _)| i);
            match (places.next(), places.next()) {
                (Some(at), None) => Ok(at),
                (None, _) => {
                    let near = match names.iter().any(|n| n.eq_ignore_ascii_case(column)) {
                        true => "one differs only in upper and lower case",
                        false => "compare the names, the delimiter and the encoding",
                    };
                    let message =
                        format!("column \"{column}\" is not among the {} columns of {file}; {near}", names.len());
                    Err(self.contradiction(*line, message))
                }
                _ => Err(self.contradiction(*line, format!("column \"{column}\" stands twice in {file}; rename one"))),
            }
        };
        map.slots.0.iter().map(place).collect()
    }
}

impl Adapter for Csv {
    fn format(&self) -> &'static str {
        "csv"
    }

    fn accepts(&self, file: &str) -> bool {
        self.mapping.file(file).is_some()
    }

    fn links(&self, file: &str) -> bool {
        self.mapping.file(file).is_some_and(FileMap::links)
    }

    fn read(&self, ctx: &Context, extract: Extract<'_>, sink: &mut dyn crate::Sink) -> Result<Read, AdapterError> {
        let Extract { name, reader } = extract;
        let Some(map) = self.mapping.file(name) else {
            return Err(self.contradiction(1, format!("no [[file]] matches {name}; add one, or move the file away")));
        };
        let mut out = Out::new(sink, name);
        let mut rows = Rows::new(reader, map.encoding, map.delimiter, map.quote);
        let mut width = map.columns.len();
        let mut positions = None;
        if !map.header {
            let names: Vec<&str> = map.columns.iter().map(String::as_str).collect();
            positions = Some(self.positions(map, &names, name)?);
        }
        let mut header_seen = !map.header;
        let mut row_number = 0u64;
        let builder = Builder::new(map, Envelope::new(ctx, "csv"), name);
        loop {
            let next = rows.advance().map_err(|e| out.io(e))?;
            if (out.tally.items & 0xff) == 0 {
                out.progress(rows.read_bytes());
            }
            let line = match next {
                Next::End => break,
                Next::Bad(line, reason, detail) => {
                    // Without its header the rest of the file says nothing.
                    header_seen = true;
                    out.tally.items += 1;
                    row_number += 1;
                    out.quarantine(line, reason, detail)?;
                    continue;
                }
                Next::Row(line) => line,
            };
            let fields = rows.fields();
            if !header_seen {
                header_seen = true;
                let names: Vec<&str> = (0..fields.len()).filter_map(|i| fields.get(i)).collect();
                if names.iter().any(|n| n.chars().any(char::is_control)) {
                    out.tally.items += 1;
                    out.quarantine(line, Reason::NoHeader, "the header is not text; is this a text file?")?;
                } else {
                    width = names.len();
                    positions = Some(self.positions(map, &names, name)?);
                }
                continue;
            }
            out.tally.items += 1;
            row_number += 1;
            let Some(positions) = &positions else {
                out.quarantine(line, Reason::NoHeader, "the file's header could not be read; export the file again")?;
                continue;
            };
            if fields.len() != width {
                let detail = format!("{} columns where {width} belong; fix the row or the quoting", fields.len());
                out.quarantine(line, Reason::WrongColumns, detail)?;
                continue;
            }
            builder.row(fields, positions, line, row_number, &mut out)?;
        }
        out.progress(rows.read_bytes());
        Ok(out.tally)
    }
}

#[cfg(test)]
mod tests;
