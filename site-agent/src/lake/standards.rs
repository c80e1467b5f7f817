//! What gold makes of codes and units: the site's mapping files, its unit aliases, and the unit rules of the schema.
//!
//! Silver keeps what the source wrote, so a changed mapping or a changed rule rebuilds gold alone. A measurement's analyte is
//! that of its standard code where it has one: a local code that is mapped to LOINC gets LOINC's rules.

use std::collections::HashMap;
use std::sync::Arc;

use adapters::terminology::{self, Mappings};
use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Float64Array, Float64Builder, RecordBatch, StringArray,
    StringDictionaryBuilder,
};
use arrow::datatypes::{Float64Type, Int32Type};
use arrow::error::ArrowError;
use platform::Micros;
use proto::Hash;
use schema::units::{ANALYTES, Aliases, Conversion, plausibility};
use schema::{IMPLAUSIBLE, Table};

use super::LakeError;
use crate::config::Config;
use crate::consent::today;

/// Codes and units, as gold is built with them.
#[derive(Debug, Default)]
pub struct Standards {
    mappings: Mappings,
    aliases: Aliases,
    hash: String,
}

/// A category column of a batch: its words, and each row's place among them.
struct Words<'a> {
    keys: &'a DictionaryArray<Int32Type>,
    words: &'a StringArray,
}

impl<'a> Words<'a> {
    fn of(batch: &'a RecordBatch, column: &str) -> Result<Words<'a>, ArrowError> {
        let wrong = || ArrowError::SchemaError(format!("'{column}' is no category"));
        let keys = batch.column_by_name(column).and_then(|c| c.as_dictionary_opt::<Int32Type>()).ok_or_else(wrong)?;
        Ok(Words { keys, words: keys.values().as_string_opt::<i32>().ok_or_else(wrong)? })
    }

    /// The place of a row's word, -1 without one.
    fn place(&self, row: usize) -> i32 {
        if self.keys.is_null(row) { -1 } else { self.keys.keys().value(row) }
    }

    fn at(&self, place: i32) -> Option<&'a str> {
        let place = usize::try_from(place).ok().filter(|p| *p < self.words.len())?;
        (!self.words.is_null(place)).then(|| self.words.value(place))
    }

    fn get(&self, row: usize) -> Option<&'a str> {
        self.at(self.place(row))
    }
}

type Built = StringDictionaryBuilder<Int32Type>;
/// A unit in UCUM, and how its values become standard ones, with the conversion's name.
type Found = (Option<Arc<str>>, Option<(Conversion, Option<String>)>);

/// A batch with some columns in the place of those of their name.
fn replaced(batch: &RecordBatch, with: Vec<(&str, ArrayRef)>) -> Result<RecordBatch, ArrowError> {
    let mut columns = batch.columns().to_vec();
    for (name, column) in with {
        let place = batch.schema().index_of(name)?;
        if let Some(slot) = columns.get_mut(place) {
            *slot = column;
        }
    }
    RecordBatch::try_new(batch.schema(), columns)
}

/// How gold derives periods and eras; another word has every site build it anew.
const DERIVATION: &str = "3: deaths end periods, supplies last, vague days observe nobody";

impl Standards {
    /// Reads the site's mapping files and unit aliases.
    ///
    /// # Errors
    /// A file can't be read, or an alias names no unit.
    pub fn read(config: &Config, now: Micros) -> Result<Standards, LakeError> {
        let day = today(config, now);
        let mut mappings = Mappings::default();
        for settings in &config.terminology {
            let loaded = terminology::load(&config.home, settings)?;
            mappings.add(&settings.path.display().to_string(), loaded, settings, day);
        }
        if let Some(lookup) = &config.lookup {
            let answers = crate::lookup::Answers::read(&config.state_dir())?;
            mappings.add(&lookup.url, answers.loaded(lookup), &crate::lookup::as_file(lookup), day);
        }
        let aliases = Aliases::new(config.units.aliases.iter().map(|(a, u)| (a.as_str(), u.as_str())))?;
        let mut out = Standards { mappings, aliases, hash: String::new() };
        out.hash = out.hashed();
        Ok(out)
    }

    /// The hash of all that they say. A mapping that expires changes it, and a comment in its file does not.
    fn hashed(&self) -> String {
        let mut text = String::new();
        let mut say = |words: &[&str]| {
            text.push_str(&serde_json::json!(words).to_string());
            text.push('\n');
        };
        say(&[DERIVATION]);
        self.mappings.canonical().for_each(|row| say(&row));
        self.aliases.all().for_each(|(alias, unit)| say(&[alias, unit]));
        for a in ANALYTES {
            let range = plausibility::range(a.name).map(|r| (r.low, r.high));
            let rules = a.units().into_iter().map(|u| (u, a.rule(u).map(|r| (r.scale, r.offset))));
            let rules = format!("{:?} {range:?} {:?} {:?}", rules.collect::<Vec<_>>(), a.molar_mass, a.valence);
            say(&[a.name, &a.loinc.join(" "), a.unit, &rules]);
        }
        Hash::of(text.as_bytes()).short()
    }

    /// The short hash of all that they say.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The mappings.
    pub fn mappings(&self) -> &Mappings {
        &self.mappings
    }

    /// A batch of a table with standard codes and units.
    ///
    /// # Errors
    /// It lacks a column of the schema.
    pub(super) fn apply(&self, table: Table, batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
        let batch = if self.mappings.is_empty() { batch } else { self.codes(table, &batch)? };
        if table == Table::Measurement { self.units(&batch) } else { Ok(batch) }
    }

    fn codes(&self, table: Table, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let (systems, codes) = (Words::of(batch, "code_system")?, Words::of(batch, "code")?);
        let before = [Words::of(batch, "std_system")?, Words::of(batch, "std_code")?, Words::of(batch, "map_id")?];
        let mut found = HashMap::new();
        let mut out = [Built::new(), Built::new(), Built::new()];
        for row in 0..batch.num_rows() {
            let key = (systems.place(row), codes.place(row));
            let target = found.entry(key).or_insert_with(|| {
                let (system, code) = (systems.at(key.0)?, codes.at(key.1)?);
                self.mappings.find(table, system, code)
            });
            // A standard code of the source's own stays where the site has no mapping.
            let words = match target {
                Some(t) => [Some(t.system.as_str()), Some(t.code.as_str()), Some(t.map_id.as_str())],
                None => [before[0].get(row), before[1].get(row), before[2].get(row)],
            };
            for (column, word) in out.iter_mut().zip(words) {
                column.append_option(word);
            }
        }
        let [system, code, id] = out.map(|mut b| Arc::new(b.finish()) as ArrayRef);
        replaced(batch, vec![("std_system", system), ("std_code", code), ("map_id", id)])
    }

    fn units(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let wrong = |c: &str| ArrowError::SchemaError(format!("'{c}' is no number"));
        let real = |c: &str| -> Result<&Float64Array, ArrowError> {
            batch.column_by_name(c).and_then(|a| a.as_primitive_opt::<Float64Type>()).ok_or_else(|| wrong(c))
        };
        let (systems, codes) = (Words::of(batch, "code_system")?, Words::of(batch, "code")?);
        let (std_systems, std_codes) = (Words::of(batch, "std_system")?, Words::of(batch, "std_code")?);
        let (texts, flags) = (Words::of(batch, "unit_src")?, Words::of(batch, "flag")?);
        let before = [Words::of(batch, "unit_ucum")?, Words::of(batch, "unit_std")?, Words::of(batch, "conv_id")?];
        let (values, values_std) = (real("value_num")?, real("value_std")?);
        let mut found: HashMap<[i32; 5], Found> = HashMap::new();
        let (mut ucum, mut std, mut id, mut flag) = (Built::new(), Built::new(), Built::new(), Built::new());
        let mut value = Float64Builder::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let Some(text) = texts.get(row) else {
                // A missing unit is never guessed; a source's own standard value stays.
                ucum.append_option(before[0].get(row));
                std.append_option(before[1].get(row));
                id.append_option(before[2].get(row));
                flag.append_option(flags.get(row));
                value.append_option(values_std.is_valid(row).then(|| values_std.value(row)));
                continue;
            };
            let mapped = std_codes.place(row) >= 0;
            let code = if mapped { [std_systems.place(row), std_codes.place(row)] } else { [-1, -1] };
            let key = [systems.place(row), codes.place(row), code[0], code[1], texts.place(row)];
            let (unit, how) = found.entry(key).or_insert_with(|| {
                let of = |s: Option<&str>, c: Option<&str>| {
                    let how = self.aliases.conversion(s.unwrap_or_default(), c.unwrap_or_default(), text).ok()?;
                    let id = how.id();
                    Some((how, id))
                };
                let how = if mapped {
                    of(std_systems.get(row), std_codes.get(row))
                } else {
                    of(systems.get(row), codes.get(row))
                };
                (self.aliases.ucum(text), how)
            });
            ucum.append_option(unit.as_deref());
            let was = flags.get(row).filter(|f| *f != IMPLAUSIBLE);
            match how.as_ref().filter(|_| values.is_valid(row)) {
                Some((how, conversion)) => {
                    let standard = how.map.apply(values.value(row));
                    value.append_value(standard);
                    std.append_value(&how.unit);
                    id.append_option(conversion.as_deref());
                    flag.append_option(if how.plausible(standard) { was } else { Some(IMPLAUSIBLE) });
                }
                None => {
                    value.append_null();
                    std.append_null();
                    id.append_null();
                    flag.append_option(was);
                }
            }
        }
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("unit_ucum", Arc::new(ucum.finish())),
            ("value_std", Arc::new(value.finish())),
            ("unit_std", Arc::new(std.finish())),
            ("conv_id", Arc::new(id.finish())),
            ("flag", Arc::new(flag.finish())),
        ];
        replaced(batch, columns)
    }
}
