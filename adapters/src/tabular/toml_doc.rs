//! A mapping's TOML, read by hand so that every mistake is told with its line and with what would fit.

use toml::de::{DeTable, DeValue};

use crate::sink::AdapterError;

/// The text of a mapping, for its name and its lines.
#[derive(Clone, Copy)]
pub(crate) struct Doc<'t> {
    pub(crate) name: &'t str,
    pub(crate) text: &'t str,
}

impl Doc<'_> {
    /// The line of a byte offset, from 1.
    pub(crate) fn line(&self, at: usize) -> usize {
        1 + self.text.bytes().take(at).filter(|b| *b == b'\n').count()
    }

    pub(crate) fn error(&self, at: usize, message: impl Into<String>) -> AdapterError {
        AdapterError::Mapping { file: self.name.to_owned(), line: self.line(at), message: message.into() }
    }
}

/// A text and where it stands.
#[derive(Clone, Copy)]
pub(crate) struct Text<'d> {
    pub(crate) text: &'d str,
    pub(crate) at: usize,
}

/// One table of the mapping, whose keys are all known.
#[derive(Clone, Copy)]
pub(crate) struct Section<'d, 't> {
    pub(crate) doc: Doc<'d>,
    pub(crate) at: usize,
    table: &'d DeTable<'t>,
}

impl<'d, 't> Section<'d, 't> {
    /// Wraps a table whose keys may be anything.
    pub(crate) fn open(doc: Doc<'d>, table: &'d DeTable<'t>, at: usize) -> Section<'d, 't> {
        Section { doc, at, table }
    }

    /// Refuses every key but these.
    pub(crate) fn only(self, known: &[&str]) -> Result<Section<'d, 't>, AdapterError> {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let message = format!("key \"{name}\" is not known here; there are: {}", known.join(", "));
                return Err(self.doc.error(key.span().start, message));
            }
        }
        Ok(self)
    }

    /// Its keys and values.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (Text<'d>, Value<'d, 't>)> {
        let doc = self.doc;
        self.table.iter().map(move |(key, value)| {
            let text = Text { text: key.get_ref(), at: key.span().start };
            (text, Value { doc, at: value.span().start, value: value.get_ref() })
        })
    }

    pub(crate) fn get(&self, key: &str) -> Option<Value<'d, 't>> {
        self.entries().find(|(k, _)| k.text == key).map(|(_, v)| v)
    }

    pub(crate) fn text(&self, key: &str) -> Result<Option<Text<'d>>, AdapterError> {
        self.get(key).map(|v| v.text(key)).transpose()
    }

    pub(crate) fn must(&self, key: &str) -> Result<Text<'d>, AdapterError> {
        self.text(key)?.ok_or_else(|| self.doc.error(self.at, format!("\"{key}\" is missing here")))
    }

    pub(crate) fn flag(&self, key: &str, otherwise: bool) -> Result<bool, AdapterError> {
        match self.get(key) {
            None => Ok(otherwise),
            Some(Value { value: DeValue::Boolean(b), .. }) => Ok(*b),
            Some(v) => Err(v.error(format!("\"{key}\" is true or false"))),
        }
    }

    /// A list of texts; empty where the key is missing.
    pub(crate) fn texts(&self, key: &str) -> Result<Vec<Text<'d>>, AdapterError> {
        self.get(key).map_or(Ok(Vec::new()), |v| v.texts(key))
    }

    /// One text or a list of texts; empty where the key is missing.
    pub(crate) fn one_or_more(&self, key: &str) -> Result<Vec<Text<'d>>, AdapterError> {
        match self.get(key) {
            None => Ok(Vec::new()),
            Some(v) if v.as_text().is_some() => Ok(vec![v.text(key)?]),
            Some(v) => v.texts(key),
        }
    }

    /// The tables of `[key.NAME]`, by name.
    pub(crate) fn named(&self, key: &str) -> Result<Vec<(Text<'d>, Section<'d, 't>)>, AdapterError> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        value.table(key)?.entries().map(|(name, v)| Ok((name, v.table(name.text)?))).collect()
    }

    /// The tables of `[[key]]`.
    pub(crate) fn tables(&self, key: &str) -> Result<Vec<Section<'d, 't>>, AdapterError> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let DeValue::Array(items) = value.value else {
            return Err(value.error(format!("write [[{key}]] with two brackets, once for each")));
        };
        items
            .iter()
            .map(|item| Value { doc: self.doc, at: item.span().start, value: item.get_ref() }.table(key))
            .collect()
    }
}

/// One value of the mapping.
#[derive(Clone, Copy)]
pub(crate) struct Value<'d, 't> {
    pub(crate) doc: Doc<'d>,
    pub(crate) at: usize,
    value: &'d DeValue<'t>,
}

impl<'d, 't> Value<'d, 't> {
    pub(crate) fn error(&self, message: impl Into<String>) -> AdapterError {
        self.doc.error(self.at, message)
    }

    /// The text, if it is one.
    pub(crate) fn as_text(&self) -> Option<&'d str> {
        match self.value {
            DeValue::String(s) => Some(s),
            _ => None,
        }
    }

    pub(crate) fn text(&self, key: &str) -> Result<Text<'d>, AdapterError> {
        self.as_text()
            .map(|text| Text { text, at: self.at })
            .ok_or_else(|| self.error(format!("\"{key}\" is a text in quotes")))
    }

    /// The tables of a list of tables.
    pub(crate) fn tables(&self, key: &str) -> Result<Vec<Section<'d, 't>>, AdapterError> {
        let wrong = || self.error(format!("\"{key}\" is a list of tables, such as [{{ ... }}, {{ ... }}]"));
        let DeValue::Array(items) = self.value else { return Err(wrong()) };
        items
            .iter()
            .map(|item| {
                Value { doc: self.doc, at: item.span().start, value: item.get_ref() }.table(key).map_err(|_| wrong())
            })
            .collect()
    }

    pub(crate) fn texts(&self, key: &str) -> Result<Vec<Text<'d>>, AdapterError> {
        let wrong = || self.error(format!("\"{key}\" is a list of texts, such as [\"a\", \"b\"]"));
        let DeValue::Array(items) = self.value else { return Err(wrong()) };
        items
            .iter()
            .map(|item| match item.get_ref() {
                DeValue::String(s) => Ok(Text { text: s, at: item.span().start }),
                _ => Err(wrong()),
            })
            .collect()
    }

    pub(crate) fn table(&self, key: &str) -> Result<Section<'d, 't>, AdapterError> {
        match self.value {
            DeValue::Table(table) => Ok(Section::open(self.doc, table, self.at)),
            _ => Err(self.error(format!("\"{key}\" is a table"))),
        }
    }
}
