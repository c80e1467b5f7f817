//! XML as a stream of what is kept: no DTD, no entity, no depth and no size without a bound.

use quick_xml::errors::IllFormedError;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Error, Reader};

use super::Fault;
use super::element::Element;
use super::text::{Text, truncated};
use crate::sink::Reason;

/// The deepest nesting that is followed.
const MAX_DEPTH: usize = 128;
/// The most elements that are kept of one entry.
const MAX_ELEMENTS: usize = 20_000;
/// More bytes of attributes in one entry are no entry that anybody wrote.
const MAX_BYTES: usize = 4 << 20;
/// The longest attribute, and the longest text, that is kept.
const MAX_VALUE: usize = 4096;

const V3: &[u8] = b"urn:hl7-org:v3";
const SDTC: &[u8] = b"urn:hl7-org:sdtc";

/// What comes next.
#[derive(Debug)]
pub(super) enum Next {
    /// An element begins that is kept.
    Open(Element),
    /// An element begins that is not; pass over it with [`Xml::skip`].
    Other,
    /// The innermost element ends.
    Close,
    /// The document is over.
    End,
}

/// What became of an element and all that is in it.
pub(super) enum Tree {
    /// It is here.
    Whole(Element),
    /// It is over a bound; it was passed over.
    TooLarge,
}

/// A stream of elements.
pub(super) struct Xml<'a> {
    reader: Reader<Text<'a>>,
    buffer: Vec<u8>,
    depth: usize,
    /// The prefixes of HL7's namespaces; empty for the default namespace.
    prefixes: Vec<Vec<u8>>,
    root: bool,
    oversize: bool,
    text: String,
}

impl<'a> Xml<'a> {
    pub(super) fn new(text: Text<'a>) -> Xml<'a> {
        let mut reader = Reader::from_reader(text);
        reader.config_mut().expand_empty_elements = true;
        Xml {
            reader,
            buffer: Vec::new(),
            depth: 0,
            prefixes: Vec::new(),
            root: false,
            oversize: false,
            text: String::new(),
        }
    }

    /// The line that is being read.
    pub(super) fn line(&self) -> u64 {
        self.reader.get_ref().line()
    }

    /// The bytes taken so far.
    pub(super) fn read_bytes(&self) -> u64 {
        self.reader.get_ref().read_bytes()
    }

    /// Goes to the next element that begins or ends. Text on the way is passed over, or kept where `keep` says so.
    pub(super) fn next(&mut self, keep: bool) -> Result<Next, Fault> {
        loop {
            self.buffer.clear();
            self.reader.get_mut().mark();
            if !keep && let Err(e) = self.reader.get_mut().pass_text() {
                return Err(self.reader.get_mut().fault().unwrap_or(Fault::Io(e)));
            }
            let event = match self.reader.read_event_into(&mut self.buffer) {
                Ok(event) => event,
                Err(e) => {
                    let fault = self.reader.get_mut().fault();
                    return Err(fault.unwrap_or_else(|| told(&e)));
                }
            };
            match event {
                Event::Start(tag) => {
                    self.depth += 1;
                    if self.depth > MAX_DEPTH {
                        let detail = "elements nested over 128 deep; no clinical document is; export it again";
                        return Err(Fault::bad(Reason::TooDeep, detail));
                    }
                    if !self.root {
                        self.root = true;
                        self.prefixes = prefixes(&tag)?;
                    }
                    return match kept(&tag, &self.prefixes, &mut self.oversize)? {
                        Some(element) => Ok(Next::Open(element)),
                        None => Ok(Next::Other),
                    };
                }
                Event::End(_) => {
                    self.depth = self.depth.saturating_sub(1);
                    return Ok(Next::Close);
                }
                Event::Eof if self.depth > 0 => return Err(truncated()),
                Event::Eof => return Ok(Next::End),
                Event::DocType(_) => {
                    let detail = "a DTD, which clinical documents may not have: entities are never expanded; \
                                  export without <!DOCTYPE";
                    return Err(Fault::bad(Reason::DtdForbidden, detail));
                }
                Event::Text(text) if keep => add(&mut self.text, &text, &mut self.oversize),
                Event::CData(text) if keep => add(&mut self.text, &text, &mut self.oversize),
                Event::GeneralRef(name) if keep => {
                    let named = std::str::from_utf8(&name).ok().and_then(quick_xml::escape::resolve_predefined_entity);
                    match (named, name.resolve_char_ref()) {
                        (Some(text), _) => self.text.push_str(text),
                        (None, Ok(Some(c))) => self.text.push(c),
                        _ => return Err(unknown_entity()),
                    }
                }
                _ => {}
            }
        }
    }

    /// Passes over the element that has begun.
    pub(super) fn skip(&mut self) -> Result<(), Fault> {
        let above = self.depth.saturating_sub(1);
        while self.depth > above {
            self.next(false)?;
        }
        self.oversize = false;
        Ok(())
    }

    /// Reads the element that has begun, to its end.
    pub(super) fn tree(&mut self, root: Element) -> Result<Tree, Fault> {
        let mut open = vec![root];
        let (mut elements, mut bytes) = (1usize, 0usize);
        loop {
            // Text means something in a value alone.
            let keep = open.last().is_some_and(|e| e.name == "value");
            match self.next(keep)? {
                Next::Open(child) => {
                    elements += 1;
                    bytes += child.bytes();
                    if elements > MAX_ELEMENTS || bytes > MAX_BYTES {
                        self.oversize = true;
                        self.skip()?;
                        self.oversize = true;
                    } else {
                        open.push(child);
                    }
                }
                Next::Other => {
                    let over = self.oversize;
                    self.skip()?;
                    self.oversize = over;
                }
                Next::Close => {
                    let Some(mut done) = open.pop() else { return Err(truncated()) };
                    if done.name == "value" {
                        done.text = std::mem::take(&mut self.text);
                    }
                    match open.last_mut() {
                        Some(parent) => parent.children.push(done),
                        None if std::mem::take(&mut self.oversize) => return Ok(Tree::TooLarge),
                        None => return Ok(Tree::Whole(done)),
                    }
                }
                Next::End => return Err(truncated()),
            }
        }
    }
}

fn add(to: &mut String, text: &[u8], oversize: &mut bool) {
    match std::str::from_utf8(text) {
        Ok(text) if to.len() + text.len() <= MAX_VALUE => to.push_str(text),
        _ => *oversize = true,
    }
}

fn unknown_entity() -> Fault {
    Fault::bad(Reason::BadXml, "an entity that XML does not define; write the character itself")
}

fn told(error: &Error) -> Fault {
    match error {
        Error::Syntax(_) => truncated(),
        Error::IllFormed(IllFormedError::UnclosedReference) => unknown_entity(),
        _ => Fault::bad(Reason::BadXml, "not well-formed XML; export the document again"),
    }
}

/// The prefixes that the root binds to HL7's namespaces.
fn prefixes(tag: &BytesStart<'_>) -> Result<Vec<Vec<u8>>, Fault> {
    let mut out = Vec::new();
    let mut default = false;
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|_| bad_attribute())?;
        let key = attribute.key.as_ref();
        let hl7 = attribute.value.as_ref() == V3 || attribute.value.as_ref() == SDTC;
        if key == b"xmlns" {
            default = true;
        }
        if hl7 && (key == b"xmlns" || key.starts_with(b"xmlns:")) {
            out.push(key.get(6..).unwrap_or_default().to_vec());
        }
    }
    if !default && out.is_empty() {
        // A document without namespaces is taken at its word.
        out.push(Vec::new());
    }
    Ok(out)
}

fn bad_attribute() -> Fault {
    Fault::bad(Reason::BadXml, "an attribute that is written twice or without quotes; export the document again")
}

/// The element with its attributes, if it is kept.
fn kept(tag: &BytesStart<'_>, prefixes: &[Vec<u8>], oversize: &mut bool) -> Result<Option<Element>, Fault> {
    let name = tag.name();
    let prefix = name.prefix().map_or(b"".as_slice(), |p| p.into_inner());
    if !prefixes.iter().any(|p| p == prefix) {
        return Ok(None);
    }
    let Some(mut element) = Element::of(name.local_name().as_ref()) else { return Ok(None) };
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|_| bad_attribute())?;
        if attribute.key.prefix().is_some_and(|p| p.as_ref() == b"xmlns") {
            continue;
        }
        // Attributes of CDA have no prefix, but for xsi:type.
        let local = attribute.key.local_name();
        if attribute.key.prefix().is_some() && local.as_ref() != b"type" {
            continue;
        }
        let Some(key) = Element::attribute_name(local.as_ref()) else { continue };
        if element.get(key).is_some() {
            continue;
        }
        if attribute.value.len() > MAX_VALUE {
            *oversize = true;
            continue;
        }
        let raw = std::str::from_utf8(&attribute.value).map_err(|_| bad_attribute())?;
        let value = quick_xml::escape::unescape(raw).map_err(|_| unknown_entity())?;
        element.push(key, value.into_owned());
    }
    Ok(Some(element))
}
