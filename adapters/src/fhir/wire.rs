//! The FHIR types that several resources share, with only the fields that are read.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// A `modifierExtension`: that there is one is all that is read.
pub(crate) type Modifiers = Vec<IgnoredAny>;

#[derive(Deserialize)]
pub(crate) struct Coding {
    pub(crate) system: Option<String>,
    pub(crate) code: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct CodeableConcept {
    #[serde(default)]
    pub(crate) coding: Vec<Coding>,
}

#[derive(Deserialize)]
pub(crate) struct Identifier {
    pub(crate) system: Option<String>,
    pub(crate) value: Option<String>,
    #[serde(rename = "use")]
    pub(crate) usage: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Period {
    pub(crate) start: Option<String>,
    pub(crate) end: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Quantity {
    pub(crate) value: Option<f64>,
    pub(crate) comparator: Option<String>,
    pub(crate) unit: Option<String>,
    pub(crate) code: Option<String>,
}

impl Quantity {
    /// The unit to read: the code where it is known, else the text, else the code.
    pub(crate) fn unit(&self) -> Option<&str> {
        let known = |u: &&str| schema::units::ucum(u).is_some();
        let (code, unit) = (self.code.as_deref(), self.unit.as_deref());
        code.filter(known).or(unit.filter(known)).or(code).or(unit)
    }
}

#[derive(Deserialize)]
pub(crate) struct Reference {
    pub(crate) reference: Option<String>,
}

impl Reference {
    /// The id of the resource of that type: `Type/x`, `https://.../Type/x`, both with `/_history/1`, `urn:uuid:x`.
    pub(crate) fn id(&self, kind: &str) -> Option<&str> {
        let text = self.reference.as_deref()?;
        if let Some(id) = text.strip_prefix("urn:uuid:").or_else(|| text.strip_prefix("urn:oid:")) {
            return Some(id).filter(|id| !id.is_empty());
        }
        let path = text.split_once("/_history/").map_or(text, |(path, _)| path);
        let (front, id) = path.rsplit_once('/')?;
        let of_kind = front == kind || front.strip_suffix(kind).is_some_and(|rest| rest.ends_with('/'));
        (of_kind && !id.is_empty()).then_some(id)
    }

    /// The id of a contained resource: `#x`.
    pub(crate) fn contained(&self) -> Option<&str> {
        self.reference.as_deref()?.strip_prefix('#')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_in_every_spelling() {
        let id = |text: &str| {
            let r = Reference { reference: Some(text.to_owned()) };
            r.id("Patient").map(str::to_owned)
        };
        for text in [
            "Patient/x",
            "urn:uuid:x",
            "https://h.example/fhir/Patient/x",
            "Patient/x/_history/2",
            "https://h.example/fhir/Patient/x/_history/2",
        ] {
            assert_eq!(id(text).as_deref(), Some("x"), "{text}");
        }
        for text in ["Group/x", "#x", "Patient/", "x", "", "NotPatient/x", "https://h.example/Group/x"] {
            assert_eq!(id(text), None, "{text}");
        }
    }
}
