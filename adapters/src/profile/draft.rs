//! The beginning of a mapping for tables that no shipped one reads: what can be guessed is filled in, and the rest is said.

use std::fmt::Write as _;

use super::guess::{COMMA_AND_THOUSANDS, WITH_THOUSANDS};
use super::{FileProfile, Kind};

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A mapping for the tables among the files, for a person to go on with. It has no rows yet: what a column means is not guessed.
pub fn draft(files: &[FileProfile]) -> String {
    let mut out =
        String::from("format = \"csv\"\n# Guessed from the files. Check each line; docs/tabular.md explains them.\n");
    // A text of one column, or of columns that no line agrees on, is no table.
    let table = |f: &&FileProfile| match f.kind {
        Kind::Parquet => true,
        Kind::Delimited => f.columns.len() > 1 && f.items > 0 && f.unreadable * 2 < f.items,
        _ => false,
    };
    for file in files.iter().filter(table) {
        let name = file.file.rsplit(['/', '\\']).next().unwrap_or(&file.file);
        let _ = write!(out, "\n[[file]]\nmatch = {}\n", quoted(name.strip_suffix(".gz").unwrap_or(name)));
        if file.no_header {
            let names: Vec<String> = file.columns.iter().map(|c| quoted(&c.name)).collect();
            let _ = writeln!(out, "header = false # the first line looks like data\ncolumns = [{}]", names.join(", "));
        }
        if let Some(delimiter) = file.delimiter.filter(|d| *d != ',') {
            let _ = writeln!(out, "delimiter = {}", quoted(&delimiter.to_string()));
        }
        if let Some(encoding) = file.encoding.filter(|e| *e != "utf-8") {
            let _ = writeln!(out, "encoding = {}", quoted(encoding));
        }
        let any = |guess: &str| file.columns.iter().any(|c| c.guess == guess);
        if any("number with a decimal comma") || any(COMMA_AND_THOUSANDS) {
            out += "decimal = \",\"\n";
        }
        for (guess, thousands) in [(COMMA_AND_THOUSANDS, '.'), (WITH_THOUSANDS, ',')] {
            if any(guess) {
                let _ = writeln!(out, "thousands = \"{thousands}\"");
                break;
            }
        }
        let mut dates: Vec<&str> = Vec::new();
        for column in &file.columns {
            let new = column.dates.iter().find(|d| !dates.contains(d));
            if let (Some(new), false) = (new, column.dates.iter().any(|d| dates.contains(d))) {
                dates.push(new);
            }
            if column.dates.len() > 1 {
                let _ = writeln!(
                    out,
                    "# {}: {} fit alike; ask who wrote the file",
                    column.name,
                    column.dates.join(" and ")
                );
            }
        }
        if !dates.is_empty() {
            let list: Vec<String> = dates.iter().map(|d| quoted(d)).collect();
            let _ = writeln!(out, "dates = [{}]", list.join(", "));
        }
        let person = file.columns.iter().find(|c| {
            let name = c.name.to_lowercase();
            ["patient", "person", "pat_", "patnr", "subject"].iter().any(|word| name.contains(word)) && c.empty == 0
        });
        match person {
            Some(column) => {
                let _ = writeln!(out, "person = {{ column = {} }} # guessed by its name", quoted(&column.name));
            }
            None => out += "# person = { column = \"...\" }: whose row it is\n",
        }
        out += "# [[file.row]], table = \"...\", [file.row.set]: what a row becomes. The columns:\n";
        for column in &file.columns {
            let _ = writeln!(out, "#   {}: {}", quoted(&column.name), column.guess);
        }
    }
    out
}
