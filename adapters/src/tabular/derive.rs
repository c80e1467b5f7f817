//! Columns that a file does not have and its mapping makes: a part of a cell, cells together, a cell of a lookup.

use super::columns::{Columns, Slot};
use super::steps::{self, Steps};
use super::toml_doc::{Section, Text};
use crate::sink::AdapterError;

/// What a made column is made of.
pub(crate) struct Derive {
    pub(crate) base: Base,
    pub(crate) steps: Steps,
}

pub(crate) enum Base {
    Column(Slot),
    /// The first of them that is not null.
    First(Vec<Slot>),
    /// All of them that are not null, with a text between; null where the first is.
    Join(Vec<Slot>, String),
    /// A cell of a lookup, by its number and its column's.
    Lookup {
        lookup: usize,
        keys: Vec<Slot>,
        column: usize,
    },
    Constant(String),
}
const KEYS: &[&str] = &["column", "first", "join", "with", "lookup", "key", "constant"];

impl Derive {
    /// What it is made of.
    pub(crate) fn slots(&self) -> Vec<Slot> {
        match &self.base {
            Base::Column(slot) => vec![*slot],
            Base::First(slots) | Base::Join(slots, _) => slots.clone(),
            Base::Lookup { keys, .. } => keys.clone(),
            Base::Constant(_) => Vec::new(),
        }
    }

    /// What it is the first of, where nothing is done to its text.
    pub(crate) fn alternatives(&self) -> &[Slot] {
        match &self.base {
            Base::First(slots) if self.steps.is_none() => slots,
            _ => &[],
        }
    }

    /// The lookup that it reads.
    pub(crate) fn lookup(&self) -> Option<usize> {
        match &self.base {
            Base::Lookup { lookup, .. } => Some(*lookup),
            _ => None,
        }
    }

    /// One cell of a lookup, as it is.
    pub(crate) fn looked_up(lookup: usize, keys: Vec<Slot>, column: usize) -> Derive {
        Derive { base: Base::Lookup { lookup, keys, column }, steps: Steps::default() }
    }

    pub(crate) fn parse<'d, 't>(
        section: Section<'d, 't>,
        columns: &mut Columns<'d, 't>,
    ) -> Result<Derive, AdapterError> {
        let known: Vec<&str> = [KEYS, steps::KEYS].concat();
        let section = section.only(&known)?;
        let base = base(&section, columns)?;
        let steps = Steps::parse(&section, columns)?;
        Ok(Derive { base, steps })
    }
}

fn base<'d, 't>(section: &Section<'d, 't>, columns: &mut Columns<'d, 't>) -> Result<Base, AdapterError> {
    const REMEDY: &str = "a made column has one of column = \"...\", first = [...], join = [...], constant = \"...\", or lookup, \
                          key and column";
    let mut slots = |texts: Vec<Text<'_>>| -> Result<Vec<Slot>, AdapterError> {
        texts.into_iter().map(|t| columns.slot(t)).collect()
    };
    if let Some(name) = section.text("lookup")? {
        let keys = slots(section.one_or_more("key")?)?;
        let column = section.must("column")?;
        return columns.lookup_cell(name, keys, column);
    }
    let first = slots(section.texts("first")?)?;
    let join = slots(section.texts("join")?)?;
    match (section.text("column")?, section.text("constant")?, first.is_empty(), join.is_empty()) {
        (Some(column), None, true, true) => Ok(Base::Column(columns.slot(column)?)),
        (None, Some(text), true, true) => Ok(Base::Constant(text.text.to_owned())),
        (None, None, false, true) => Ok(Base::First(first)),
        (None, None, true, false) => Ok(Base::Join(join, section.text("with")?.map_or(" ", |t| t.text).to_owned())),
        _ => Err(section.doc.error(section.at, REMEDY)),
    }
}
