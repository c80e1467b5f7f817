//! The FHIR types that several resources share, with only the fields that are read. Texts are borrowed from the line.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::de::{Error, IgnoredAny, Visitor};
use serde::{Deserialize, Deserializer};

/// A `modifierExtension`: that there is one is all that is read.
pub(crate) type Modifiers = Vec<IgnoredAny>;

/// A list; a `null` in its place is an empty one.
pub(crate) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
}

/// A string, borrowed where it is written without escapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: Error>(self, v: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(v)))
            }
            fn visit_str<E: Error>(self, v: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(v.to_owned())))
            }
        }
        deserializer.deserialize_str(Texts)
    }
}

/// An optional text as `Option<&str>`.
pub(crate) fn of<'t>(text: &'t Option<Text<'_>>) -> Option<&'t str> {
    text.as_deref().map(str::trim).filter(|t| !t.is_empty())
}

/// What a resource says of its version.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Meta<'a> {
    #[serde(borrow)]
    pub(crate) version_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) last_updated: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct Coding<'a> {
    #[serde(borrow)]
    pub(crate) system: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) code: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "list")]
    pub(crate) extension: Vec<Extension<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Extension<'a> {
    #[serde(borrow)]
    pub(crate) url: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) value_date_time: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) value_coding: Option<Box<Coding<'a>>>,
}

#[derive(Deserialize)]
pub(crate) struct CodeableConcept<'a> {
    #[serde(borrow, default, deserialize_with = "list")]
    pub(crate) coding: Vec<Coding<'a>>,
}

#[derive(Clone, Deserialize)]
pub(crate) struct Identifier<'a> {
    #[serde(borrow)]
    pub(crate) system: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) value: Option<Text<'a>>,
    #[serde(rename = "use", borrow)]
    pub(crate) usage: Option<Text<'a>>,
}

#[derive(Clone, Deserialize)]
pub(crate) struct Period<'a> {
    #[serde(borrow)]
    pub(crate) start: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) end: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct Quantity<'a> {
    pub(crate) value: Option<f64>,
    /// With how many decimals the value is written, where that was looked up.
    #[serde(skip)]
    pub(crate) decimals: Option<i64>,
    #[serde(borrow)]
    pub(crate) comparator: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) unit: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) code: Option<Text<'a>>,
}

impl Quantity<'_> {
    /// The unit to read: the code where it is known, else the text, else the code.
    pub(crate) fn unit(&self) -> Option<&str> {
        let known = |u: &&str| schema::units::ucum(u).is_some();
        let (code, unit) = (of(&self.code), of(&self.unit));
        code.filter(known).or(unit.filter(known)).or(code).or(unit)
    }

    /// A finite value.
    pub(crate) fn number(&self) -> Option<f64> {
        self.value.filter(|v| v.is_finite())
    }
}

#[derive(Deserialize)]
pub(crate) struct Range<'a> {
    #[serde(borrow)]
    pub(crate) low: Option<Quantity<'a>>,
    #[serde(borrow)]
    pub(crate) high: Option<Quantity<'a>>,
}

#[derive(Clone, Deserialize)]
pub(crate) struct Reference<'a> {
    #[serde(borrow)]
    pub(crate) reference: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) identifier: Option<Identifier<'a>>,
}

/// A contained resource: as far as one is looked into.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Contained<'a> {
    #[serde(borrow)]
    pub(crate) resource_type: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) code: Lenient<CodeableConcept<'a>>,
    #[serde(borrow, rename = "type", default)]
    pub(crate) kind: Lenient<CodeableConcept<'a>>,
    #[serde(borrow, default)]
    pub(crate) identifier: Lenient<Vec<Identifier<'a>>>,
}

/// A field whose type differs between the resources that may stand here: read where it fits, else passed over.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Lenient<T> {
    Fits(T),
    Other(IgnoredAny),
}

impl<T> Default for Lenient<T> {
    fn default() -> Self {
        Lenient::Other(IgnoredAny)
    }
}

impl<T> Lenient<T> {
    pub(crate) fn get(&self) -> Option<&T> {
        match self {
            Lenient::Fits(value) => Some(value),
            Lenient::Other(_) => None,
        }
    }
}
