//! Which places of an Observation's line change from one line of its kind to the next.

/// What a line is made of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// The same bytes in every line of the kind.
    Bytes(Vec<u8>),
    /// A text; its quotes are in the bytes around it.
    Text,
    Number,
}

/// What a hole is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Id,
    VersionId,
    LastUpdated,
    Subject,
    Encounter,
    Effective,
    Issued,
    /// A text that is no number.
    Words,
    /// Of the observation itself, or of the component of that number.
    Number(Figure, Option<usize>),
}

/// Which number of an observation or a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    Value,
    Low,
    High,
}

/// What is made of a scalar.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// It is of the kind.
    Kept,
    /// Nobody reads it, whatever it is.
    Passed,
    Filled(Slot),
    /// The line is not of a kind.
    Refused,
}

#[derive(Clone, Copy)]
enum Step<'t> {
    Name(&'t str),
    At(usize),
}

/// The deepest nesting of a line.
const DEEPEST: usize = 16;
/// The most holes of a line.
const MOST_HOLES: usize = 96;

/// What is read of an observation and of a component, as far as its rows do not hang on it but by a value of their kind.
fn role(path: &[Step<'_>]) -> Role {
    use Step::{At, Name};
    match path {
        [Name("resourceType" | "status")] => Role::Kept,
        [Name("id")] => Role::Filled(Slot::Id),
        [Name("meta")] => Role::Kept,
        [Name("meta"), Name("versionId")] => Role::Filled(Slot::VersionId),
        [Name("meta"), Name("lastUpdated")] => Role::Filled(Slot::LastUpdated),
        [Name("meta"), ..] => Role::Passed,
        [Name("subject"), Name("reference")] => Role::Filled(Slot::Subject),
        [Name("encounter"), Name("reference")] => Role::Filled(Slot::Encounter),
        [Name("subject" | "encounter"), Name("type" | "display" | "id"), ..] => Role::Passed,
        [Name("subject" | "encounter"), ..] => Role::Refused,
        [Name("effectiveDateTime")] => Role::Filled(Slot::Effective),
        [Name("issued")] => Role::Filled(Slot::Issued),
        [Name("component")] => Role::Kept,
        [Name("component"), At(_)] => Role::Kept,
        [Name("component"), At(nth), rest @ ..] => valued(rest, Some(*nth)),
        _ => valued(path, None),
    }
}

/// What is read of an observation as well as of a component.
fn valued(path: &[Step<'_>], component: Option<usize>) -> Role {
    use Step::{At, Name};
    match path {
        [Name("code" | "valueCodeableConcept" | "dataAbsentReason"), rest @ ..] => concept(rest),
        [Name("interpretation"), At(_), rest @ ..] => concept(rest),
        [Name("interpretation")] => Role::Kept,
        [Name("valueQuantity"), Name("value")] => Role::Filled(Slot::Number(Figure::Value, component)),
        [Name("valueQuantity"), Name("unit" | "code" | "comparator")] => Role::Kept,
        [Name("valueQuantity"), Name(_), ..] => Role::Passed,
        [Name("valueQuantity" | "valueInteger" | "valueBoolean")] => Role::Kept,
        [Name("valueString")] => Role::Filled(Slot::Words),
        [Name("referenceRange"), At(0), Name("low"), Name("value")] => {
            Role::Filled(Slot::Number(Figure::Low, component))
        }
        [Name("referenceRange"), At(0), Name("high"), Name("value")] => {
            Role::Filled(Slot::Number(Figure::High, component))
        }
        [Name("referenceRange"), At(_), Name("low" | "high"), ..] => Role::Kept,
        [Name("referenceRange"), At(_), Name(_), ..] => Role::Passed,
        [Name("referenceRange"), ..] => Role::Kept,
        [Name(name), ..] if UNKNOWN.contains(name) => Role::Refused,
        [Name(_), ..] => Role::Passed,
        _ => Role::Refused,
    }
}

/// Fields that the slow reader reads, and whose lines it is to read always. In a component it reads those of an observation too.
const UNKNOWN: [&str; 22] = [
    "resourceType",
    "id",
    "meta",
    "status",
    "subject",
    "encounter",
    "effectiveDateTime",
    "effectiveInstant",
    "effectivePeriod",
    "effectiveTiming",
    "issued",
    "valueRange",
    "valueRatio",
    "valueSampledData",
    "valueTime",
    "valueDateTime",
    "valuePeriod",
    "specimen",
    "hasMember",
    "component",
    "contained",
    "modifierExtension",
];

/// A concept's codings are of the kind, and what they are called is not read.
fn concept(path: &[Step<'_>]) -> Role {
    use Step::{At, Name};
    match path {
        [] | [Name("coding")] | [Name("coding"), At(_)] => Role::Kept,
        [Name("coding"), At(_), Name("system" | "code" | "extension"), ..] => Role::Kept,
        [Name("coding"), At(_), Name(_), ..] => Role::Passed,
        [Name("coding"), ..] => Role::Kept,
        _ => Role::Passed,
    }
}

/// A walk through a line of JSON that its parser has found good.
struct Walk<'t> {
    text: &'t str,
    at: usize,
    /// Up to where pieces are made.
    done: usize,
    path: Vec<Step<'t>>,
    pieces: Vec<Piece>,
    slots: Vec<Option<Slot>>,
}

/// The pieces of a line, and what each of its holes is for, where it is read at all. `None` for a line that is of no kind.
pub(super) fn cut(text: &str) -> Option<(Vec<Piece>, Vec<Option<Slot>>)> {
    let mut walk = Walk { text, at: 0, done: 0, path: Vec::new(), pieces: Vec::new(), slots: Vec::new() };
    walk.value()?;
    walk.blank();
    if walk.at != text.len() {
        return None;
    }
    walk.bytes(text.len())?;
    let twice = |slot: &Slot| walk.slots.iter().flatten().filter(|s| *s == slot).count() > 1;
    (!walk.slots.iter().flatten().any(twice)).then_some((walk.pieces, walk.slots))
}

impl<'t> Walk<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blank(&mut self) {
        while self.peek().is_some_and(|b| b.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        self.blank();
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// Makes a piece of the bytes up to a place.
    fn bytes(&mut self, end: usize) -> Option<()> {
        let bytes = self.text.as_bytes().get(self.done..end)?;
        if !bytes.is_empty() {
            self.pieces.push(Piece::Bytes(bytes.to_vec()));
        }
        self.done = end;
        Some(())
    }

    fn hole(&mut self, from: usize, to: usize, piece: Piece, role: Role) -> Option<()> {
        self.bytes(from)?;
        self.pieces.push(piece);
        self.slots.push(match role {
            Role::Filled(slot) => Some(slot),
            _ => None,
        });
        self.done = to;
        (self.slots.len() <= MOST_HOLES).then_some(())
    }

    /// The text at the place, without its quotes.
    fn string(&mut self) -> Option<&'t str> {
        self.take(b'"')?;
        let rest = self.text.get(self.at..)?;
        let text = rest.get(..memchr::memchr(b'"', rest.as_bytes())?)?;
        self.at += text.len() + 1;
        Some(text)
    }

    fn value(&mut self) -> Option<()> {
        self.blank();
        if self.path.len() > DEEPEST {
            return None;
        }
        match self.peek()? {
            b'{' => {
                self.at += 1;
                self.blank();
                if self.peek()? == b'}' {
                    self.at += 1;
                    return self.known();
                }
                loop {
                    self.blank();
                    let name = self.string()?;
                    self.take(b':')?;
                    self.path.push(Step::Name(name));
                    self.value()?;
                    self.path.pop();
                    self.blank();
                    self.at += 1;
                    match self.text.as_bytes().get(self.at - 1)? {
                        b',' => {}
                        b'}' => return Some(()),
                        _ => return None,
                    }
                }
            }
            b'[' => {
                self.at += 1;
                self.blank();
                if self.peek()? == b']' {
                    self.at += 1;
                    return self.known();
                }
                let mut nth = 0;
                loop {
                    self.path.push(Step::At(nth));
                    self.value()?;
                    self.path.pop();
                    nth += 1;
                    self.blank();
                    self.at += 1;
                    match self.text.as_bytes().get(self.at - 1)? {
                        b',' => {}
                        b']' => return Some(()),
                        _ => return None,
                    }
                }
            }
            b'"' => {
                let role = role(&self.path);
                let from = self.at + 1;
                self.string()?;
                match role {
                    Role::Refused => None,
                    Role::Kept | Role::Filled(Slot::Number(..)) => Some(()),
                    Role::Passed | Role::Filled(_) => self.hole(from, self.at - 1, Piece::Text, role),
                }
            }
            _ => {
                let from = self.at;
                let rest = self.text.as_bytes().get(from..)?;
                let length = rest.iter().take_while(|b| !matches!(b, b',' | b'}' | b']')).count();
                self.at += length;
                let is_number = crate::decimal::length(rest) == Some(length);
                match role(&self.path) {
                    Role::Refused => None,
                    role @ (Role::Passed | Role::Filled(Slot::Number(..))) if is_number => {
                        self.hole(from, self.at, Piece::Number, role)
                    }
                    _ => Some(()),
                }
            }
        }
    }

    /// An empty object or list, which is of the kind, where it may be there at all.
    fn known(&self) -> Option<()> {
        (role(&self.path) != Role::Refused).then_some(())
    }
}
