//! The columns that a mapping reads, each once: those of the file, and those that the mapping makes.

use super::derive::{Base, Derive};
use super::lookup::LookupDef;
use super::toml_doc::{Doc, Section, Text, Value};
use crate::sink::AdapterError;

/// A column that the mapping reads, as a place in [`Slots`].
pub(crate) type Slot = usize;

/// Where a column comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The file has it.
    File,
    /// The mapping makes it: the place in the list of what is made.
    Made(usize),
}

/// The columns, with the line that first names each.
#[derive(Default)]
pub(crate) struct Slots {
    all: Vec<(String, usize, Origin)>,
    /// Whether the column holds whole numbers, as identifiers, by slot.
    whole: Vec<bool>,
}

impl Slots {
    /// The name of a slot's column.
    pub(crate) fn name(&self, slot: Slot) -> &str {
        self.all.get(slot).map_or("", |(name, _, _)| name)
    }

    /// Where it comes from.
    pub(crate) fn origin(&self, slot: Slot) -> Option<Origin> {
        self.all.get(slot).map(|(_, _, origin)| *origin)
    }

    /// Whether `1.0` in the column is `1`.
    pub(crate) fn is_whole(&self, slot: Slot) -> bool {
        self.whole.get(slot).copied().unwrap_or(false)
    }

    /// Says of the file's columns which hold whole numbers.
    pub(crate) fn mark_whole(&mut self, is_whole: impl Fn(&str) -> bool) {
        self.whole = self.all.iter().map(|(name, _, origin)| *origin == Origin::File && is_whole(name)).collect();
    }

    /// The columns of the file that a column is, or is made of.
    pub(crate) fn sources(&self, slot: Slot, derived: &[Derive]) -> Vec<&str> {
        match self.origin(slot) {
            Some(Origin::Made(at)) => {
                let from = derived.get(at).map(Derive::slots).unwrap_or_default();
                from.into_iter().filter(|from| *from != slot).flat_map(|from| self.sources(from, derived)).collect()
            }
            _ => vec![self.name(slot)],
        }
    }

    /// Every column, in the order of the slots: its name, its line, its origin.
    pub(crate) fn all(&self) -> &[(String, usize, Origin)] {
        &self.all
    }
}

/// What collects the columns while a file's mapping is read.
pub(crate) struct Columns<'d, 't> {
    pub(crate) doc: Doc<'d>,
    pub(crate) slots: Slots,
    /// What is made, each after what it is made of.
    pub(crate) derived: Vec<Derive>,
    definitions: Vec<(Text<'d>, Section<'d, 't>)>,
    /// Columns that are being made, to find a circle.
    making: Vec<&'d str>,
    lookups: &'d mut Vec<LookupDef>,
    /// The maps of the whole mapping.
    maps: Vec<(Text<'d>, Section<'d, 't>)>,
}

impl<'d, 't> Columns<'d, 't> {
    pub(crate) fn new(
        doc: Doc<'d>,
        definitions: Vec<(Text<'d>, Section<'d, 't>)>,
        lookups: &'d mut Vec<LookupDef>,
        maps: Vec<(Text<'d>, Section<'d, 't>)>,
    ) -> Columns<'d, 't> {
        Columns { doc, slots: Slots::default(), derived: Vec::new(), definitions, making: Vec::new(), lookups, maps }
    }

    /// A map, written where it is used or as `[map.NAME]` for several columns.
    pub(crate) fn map(&self, value: Value<'d, 't>) -> Result<Section<'d, 't>, AdapterError> {
        let Some(name) = value.as_text() else { return value.table("map") };
        let known = || self.maps.iter().map(|(n, _)| n.text).collect::<Vec<_>>().join(", ");
        match self.maps.iter().find(|(n, _)| n.text == name) {
            Some((_, section)) => Ok(*section),
            None => {
                let message = format!("map \"{name}\" is not known; there are: {}; add [map.{name}]", known());
                Err(value.error(message))
            }
        }
    }

    /// The slot of a column.
    pub(crate) fn slot(&mut self, column: Text<'_>) -> Result<Slot, AdapterError> {
        let line = self.doc.line(column.at);
        if let Some(at) = self.slots.all.iter().position(|(name, _, _)| name == column.text) {
            return Ok(at);
        }
        let Some((name, section)) = self.definitions.iter().find(|(n, _)| n.text == column.text).copied() else {
            self.slots.all.push((column.text.to_owned(), line, Origin::File));
            return Ok(self.slots.all.len() - 1);
        };
        if self.making.contains(&name.text) {
            return Err(self.doc.error(name.at, format!("column \"{}\" is made of itself", name.text)));
        }
        self.making.push(name.text);
        let derive = Derive::parse(section, self)?;
        self.making.pop();
        Ok(self.made(name.text, line, derive))
    }

    fn made(&mut self, name: &str, line: usize, derive: Derive) -> Slot {
        self.derived.push(derive);
        self.slots.all.push((name.to_owned(), line, Origin::Made(self.derived.len() - 1)));
        self.slots.all.len() - 1
    }

    /// A cell of a lookup.
    pub(crate) fn lookup_cell(
        &mut self,
        name: Text<'_>,
        keys: Vec<Slot>,
        column: Text<'_>,
    ) -> Result<Base, AdapterError> {
        let known = self.lookups.iter().map(|l| l.name.clone()).collect::<Vec<_>>().join(", ");
        let Some((at, lookup)) = self.lookups.iter_mut().enumerate().find(|(_, l)| l.name == name.text) else {
            let message = format!("lookup \"{}\" is not known; there are: {known}; add [lookup.{0}]", name.text);
            return Err(self.doc.error(name.at, message));
        };
        if keys.len() != lookup.key_width() {
            let message =
                format!("lookup \"{}\" is found by {} columns; name as many in key", name.text, lookup.key_width());
            return Err(self.doc.error(name.at, message));
        }
        Ok(Base::Lookup { lookup: at, keys, column: lookup.column(column.text) })
    }

    /// The slot of a lookup's cell under a name of its own.
    pub(crate) fn looked_up(
        &mut self,
        own: &str,
        lookup: Text<'_>,
        keys: Vec<Slot>,
        column: Text<'_>,
    ) -> Result<Slot, AdapterError> {
        if let Some(at) = self.slots.all.iter().position(|(name, _, _)| name == own) {
            return Ok(at);
        }
        let line = self.doc.line(column.at);
        match self.lookup_cell(lookup, keys, column)? {
            Base::Lookup { lookup, keys, column } => Ok(self.made(own, line, Derive::looked_up(lookup, keys, column))),
            _ => Err(self.doc.error(lookup.at, "a lookup gives a cell")),
        }
    }

    /// The first definition that nothing reads, which is a typing error.
    pub(crate) fn unused(&self) -> Option<Text<'d>> {
        let read = |t: &Text<'_>| self.slots.all.iter().any(|(name, _, _)| name == t.text);
        self.definitions.iter().map(|(name, _)| *name).find(|t| !read(t))
    }
}
