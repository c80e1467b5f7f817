//! Every element of a document, one after the other, for whoever asks what is in it.

use std::io::BufRead;

use super::element::Element;
use super::text::Text;
use super::xml::{Next, Xml};

/// An element without what is in it.
pub(crate) struct Seen<'e>(&'e Element);

impl<'e> Seen<'e> {
    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        self.0.name
    }

    /// An attribute.
    pub(crate) fn get(&self, attribute: &str) -> Option<&'e str> {
        self.0.get(attribute)
    }
}

/// How a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walked {
    /// At the document's end.
    Whole,
    /// Before: the rest can't be read.
    Broken,
}

/// Tells of every element that is read of a document, with the name of the one that it is in.
pub(crate) fn walk(reader: Box<dyn BufRead + '_>, hear: &mut dyn FnMut(&'static str, &Seen<'_>)) -> Walked {
    let Ok(text) = Text::new(reader) else { return Walked::Broken };
    let mut xml = Xml::new(text);
    let mut above: Vec<&'static str> = Vec::new();
    loop {
        match xml.next(false) {
            Ok(Next::Open(element)) => {
                hear(above.last().copied().unwrap_or_default(), &Seen(&element));
                above.push(element.name);
            }
            Ok(Next::Other) => {
                if xml.skip().is_err() {
                    return Walked::Broken;
                }
            }
            Ok(Next::Close) => {
                above.pop();
            }
            Ok(Next::End) => return Walked::Whole,
            Err(_) => return Walked::Broken,
        }
    }
}
