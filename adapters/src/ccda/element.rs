//! A small piece of a document: the elements and attributes that are read, and no others.

/// The elements that are kept; every other is passed over with all that is in it.
const NAMES: &[&str] = &[
    "ClinicalDocument",
    "act",
    "administrativeGenderCode",
    "author",
    "birthTime",
    "center",
    "code",
    "component",
    "componentOf",
    "consumable",
    "deceasedInd",
    "deceasedTime",
    "denominator",
    "dischargeDispositionCode",
    "doseQuantity",
    "effectiveTime",
    "encompassingEncounter",
    "encounter",
    "entry",
    "entryRelationship",
    "high",
    "id",
    "interpretationCode",
    "low",
    "manufacturedMaterial",
    "manufacturedProduct",
    "nonXMLBody",
    "numerator",
    "observation",
    "observationRange",
    "organizer",
    "parentDocument",
    "patient",
    "patientRole",
    "procedure",
    "product",
    "quantity",
    "recordTarget",
    "referenceRange",
    "relatedDocument",
    "relatedSubject",
    "routeCode",
    "section",
    "specimen",
    "specimenPlayingEntity",
    "specimenRole",
    "statusCode",
    "structuredBody",
    "subject",
    "substanceAdministration",
    "supply",
    "templateId",
    "time",
    "translation",
    "value",
];

/// The attributes that are kept.
const ATTRIBUTES: &[&str] = &[
    "code",
    "codeSystem",
    "codeSystemName",
    "extension",
    "inclusive",
    "moodCode",
    "negationInd",
    "nullFlavor",
    "root",
    "type",
    "typeCode",
    "unit",
    "value",
];

fn known(list: &[&'static str], name: &[u8]) -> Option<&'static str> {
    list.binary_search_by(|n| n.as_bytes().cmp(name)).ok().and_then(|at| list.get(at).copied())
}

/// An element with what is kept of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Element {
    pub(super) name: &'static str,
    attributes: Vec<(&'static str, String)>,
    pub(super) children: Vec<Element>,
    pub(super) text: String,
}

impl Element {
    /// An element of that local name, if such are kept.
    pub(super) fn of(name: &[u8]) -> Option<Element> {
        Some(Element { name: known(NAMES, name)?, ..Element::default() })
    }

    /// The kept attribute of that local name.
    pub(super) fn attribute_name(name: &[u8]) -> Option<&'static str> {
        known(ATTRIBUTES, name)
    }

    pub(super) fn push(&mut self, attribute: &'static str, value: String) {
        self.attributes.push((attribute, value));
    }

    /// The bytes of its attributes.
    pub(super) fn bytes(&self) -> usize {
        self.attributes.iter().map(|(_, v)| v.len()).sum()
    }

    /// An attribute, `None` where it is empty.
    pub(super) fn get(&self, attribute: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(n, _)| *n == attribute);
        found.map(|(_, v)| v.trim()).filter(|v| !v.is_empty())
    }

    /// The first child of that name.
    pub(super) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|c| c.name == name)
    }

    /// The children of that name.
    pub(super) fn all<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e Element> {
        self.children.iter().filter(move |c| c.name == name)
    }

    /// The first element at the end of a path of names.
    pub(super) fn at(&self, path: &[&str]) -> Option<&Element> {
        match path.split_first() {
            None => Some(self),
            Some((first, rest)) => self.children.iter().filter(|c| c.name == *first).find_map(|c| c.at(rest)),
        }
    }

    /// The null flavour.
    pub(super) fn null(&self) -> Option<&str> {
        self.get("nullFlavor")
    }

    /// The data type of `xsi:type`, without its prefix.
    pub(super) fn data_type(&self) -> Option<&str> {
        self.get("type").map(|t| t.rsplit_once(':').map_or(t, |(_, local)| local))
    }

    /// Whether the act says that it was not so.
    pub(super) fn negated(&self) -> bool {
        matches!(self.get("negationInd"), Some("true" | "1"))
    }

    /// The status, in the words of CDA.
    pub(super) fn status(&self) -> Option<&str> {
        self.child("statusCode").and_then(|s| s.get("code"))
    }

    /// Whether it tells of what happened, and not of what is planned, asked for or aimed at.
    pub(super) fn happened(&self) -> bool {
        matches!(self.get("moodCode"), None | Some("EVN"))
    }

    /// The first identifier with a root.
    pub(super) fn id(&self) -> Option<(&str, &str)> {
        let mut ids = self.all("id").filter(|i| i.null().is_none());
        ids.find_map(|i| Some((i.get("root")?, i.get("extension").unwrap_or(""))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_in_the_order_that_the_search_needs() {
        assert!(NAMES.is_sorted() && ATTRIBUTES.is_sorted());
        assert!(Element::of(b"observation").is_some() && Element::of(b"telecom").is_none());
    }
}
