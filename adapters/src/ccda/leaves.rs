//! An entry's statements: what stands inside acts, organizers and visits, one by one.

use super::element::Element;
use super::template::{self, Kind, Section};

/// The elements that can be statements.
const STATEMENTS: &[&str] =
    &["act", "encounter", "observation", "organizer", "procedure", "substanceAdministration", "supply"];

/// A statement and what stands around it.
pub(super) struct Leaf<'e> {
    pub(super) kind: Kind,
    pub(super) element: &'e Element,
    pub(super) section: Section,
    /// What encloses it, the nearest last.
    pub(super) above: Vec<&'e Element>,
}

impl<'e> Leaf<'e> {
    /// The nearest enclosing statement of that name.
    pub(super) fn within(&self, name: &str) -> Option<&'e Element> {
        self.above.iter().rev().find(|e| e.name == name).copied()
    }

    /// Whether it is told not to be so, itself or with what encloses it.
    pub(super) fn denied(&self) -> bool {
        self.element.negated() || self.above.iter().any(|e| e.negated())
    }

    /// Its path inside the entry.
    pub(super) fn path(&self) -> String {
        let mut out = String::new();
        for element in &self.above {
            out.push_str(element.name);
            out.push('/');
        }
        out + self.element.name
    }
}

/// The statements of an entry.
pub(super) fn leaves(entry: &Element, section: Section) -> Vec<Leaf<'_>> {
    let mut out = Vec::new();
    within(entry, section, &mut Vec::new(), &mut out);
    out
}

fn within<'e>(parent: &'e Element, section: Section, above: &mut Vec<&'e Element>, out: &mut Vec<Leaf<'e>>) {
    for element in &parent.children {
        if matches!(element.name, "entryRelationship" | "component") {
            within(element, section, above, out);
            continue;
        }
        if !STATEMENTS.contains(&element.name) {
            continue;
        }
        let kind = template::kind(element, section);
        // Of what a dispensing or a diagnosis is a part, the whole is a statement of its own.
        let inner = match kind {
            None => element.name != "observation",
            Some(Kind::Medication | Kind::Encounter) => true,
            Some(_) => false,
        };
        if let Some(kind) = kind {
            out.push(Leaf { kind, element, section, above: above.clone() });
        }
        if inner {
            above.push(element);
            within(element, section, above, out);
            above.pop();
        }
    }
}
