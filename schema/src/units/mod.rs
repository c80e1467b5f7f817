//! Units: from a hospital's unit text to a standard unit.
//!
//! ```text
//!   trim, NFC → the site's alias → alias → UCUM → the analyte's rule → plausibility
//! ```
//!
//! An analyte's own rule goes before dimensional arithmetic, because UCUM calls `mol` a number and so would turn 7 % HbA1c into
//! 70 mmol/mol, where the IFCC master equation gives 53. Amount and count, and equivalents and amount, are never converted
//! without an analyte's entry. A missing unit is never guessed.
//!
//! * [`analytes`]: which codes mean what, molar masses, rules. [`plausibility`]: which values are believed.
//! * `aliases`: the spellings of hospitals. `ucum`: the library's arithmetic, and its limits here.

mod aliases;
pub mod analytes;
pub mod plausibility;
mod ucum;

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use icu_normalizer::ComposingNormalizerBorrowed;

pub use analytes::{ANALYTES, Analyte, analyte};

/// `standard = value * scale + offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// The factor.
    pub scale: f64,
    /// The addend, in the unit that is reached.
    pub offset: f64,
}

impl Affine {
    /// Nothing changes.
    pub const IDENTITY: Affine = Affine { scale: 1.0, offset: 0.0 };

    /// A value's image.
    pub fn apply(self, value: f64) -> f64 {
        value * self.scale + self.offset
    }

    /// First this, then the other.
    #[must_use]
    pub fn then(self, next: Affine) -> Affine {
        Affine { scale: self.scale * next.scale, offset: self.offset * next.scale + next.offset }
    }
}

/// The spellings of a site's own: what its source systems write, and the UCUM unit that is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aliases(BTreeMap<String, Arc<str>>);

/// An alias that names no unit.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the unit alias \"{alias}\" names '{unit}', which is no UCUM unit; write one such as mmol/L or 10*9/L")]
pub struct AliasError {
    /// The alias.
    pub alias: String,
    /// What it names.
    pub unit: String,
}

impl Aliases {
    /// Checked aliases.
    ///
    /// # Errors
    /// One names no UCUM unit.
    pub fn new<'a>(all: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Aliases, AliasError> {
        let mut out = BTreeMap::new();
        for (alias, unit) in all {
            if !ucum::valid(unit) {
                return Err(AliasError { alias: alias.to_owned(), unit: unit.to_owned() });
            }
            out.insert(folded(alias).into_owned(), Arc::from(unit));
        }
        Ok(Aliases(out))
    }

    /// Each alias with its unit.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(alias, unit)| (alias.as_str(), &**unit))
    }

    /// As [`ucum`], with the site's aliases first.
    pub fn ucum(&self, text: &str) -> Option<Arc<str>> {
        if !self.0.is_empty()
            && let Some(unit) = self.0.get(&*folded(text))
        {
            return Some(unit.clone());
        }
        ucum(text)
    }

    /// What turns a code's values in a hospital's unit into the standard unit of its analyte; without an analyte the unit stays.
    ///
    /// # Errors
    /// The unit is not known, or the analyte has no rule from it.
    pub fn conversion(&self, system_uri: &str, code: &str, text: &str) -> Result<Conversion, UnitError> {
        let from = self.ucum(text).ok_or(UnitError::Unknown)?;
        let analyte = analyte(system_uri, code);
        let (map, unit) = match analyte {
            Some(a) => (a.rule(&from).ok_or(UnitError::NoRule)?, Arc::from(a.unit)),
            None => (Affine::IDENTITY, from.clone()),
        };
        Ok(Conversion { map, from, unit, analyte })
    }
}

/// A unit's text without its margins, composed, with one code point of µ, which is `u`.
fn folded(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let composed = ComposingNormalizerBorrowed::new_nfc().normalize(text);
    Cow::Owned(composed.chars().map(|c| if matches!(c, 'µ' | 'μ') { 'u' } else { c }).collect())
}

/// The UCUM unit of a hospital's unit text, or `None` where it is not known. Both code points of µ become `u`.
pub fn ucum(text: &str) -> Option<Arc<str>> {
    thread_local!(static UNITS: RefCell<HashMap<String, Option<Arc<str>>>> = RefCell::new(HashMap::new()));
    UNITS.with_borrow_mut(|units| {
        if let Some(known) = units.get(text) {
            return known.clone();
        }
        let unit = looked_up(text);
        // Texts come from outside: so many are remembered, and no long one.
        if units.len() < 4096 && text.len() <= 80 {
            units.insert(text.to_owned(), unit.clone());
        }
        unit
    })
}

fn looked_up(text: &str) -> Option<Arc<str>> {
    static BY_ALIAS: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| aliases::ALIASES.iter().copied().collect());
    let text = folded(text);
    if text.is_empty() || text.len() > 80 {
        return None;
    }
    if let Some((_, unit)) = aliases::EXACT.iter().find(|(spelling, _)| *spelling == text) {
        return Some(Arc::from(*unit));
    }
    // A micro is written mc as well: mcL, mcU.
    let lower = text.to_lowercase().replace("mcl", "ul").replace("mcu/", "uu/");
    match BY_ALIAS.get(lower.as_str()) {
        Some(unit) => Some(Arc::from(*unit)),
        None => ucum::valid(&text).then(|| Arc::from(&*text)),
    }
}

/// How a code's values in one unit become standard ones.
#[derive(Clone, Debug)]
pub struct Conversion {
    /// Into the standard unit.
    pub map: Affine,
    /// The hospital's unit, in UCUM.
    pub from: Arc<str>,
    /// The standard unit, in UCUM.
    pub unit: Arc<str>,
    /// The analyte, where the code names one.
    pub analyte: Option<&'static Analyte>,
}

impl Conversion {
    /// Its name, such as `HbA1c:%>mmol/mol`; none without an analyte.
    pub fn id(&self) -> Option<String> {
        self.analyte.map(|a| format!("{}:{}>{}", a.name, self.from, self.unit))
    }

    /// Whether a value in the standard unit is plausible; always so without an analyte.
    pub fn plausible(&self, standard: f64) -> bool {
        self.analyte.is_none_or(|a| a.plausible(standard))
    }
}

/// A value in its standard unit.
#[derive(Clone, Debug)]
pub struct Standard {
    /// The value.
    pub value: f64,
    /// The unit, in UCUM.
    pub unit: Arc<str>,
    /// Whether the value lies in the analyte's plausible range; always so without an analyte.
    pub plausible: bool,
    /// The conversion's name; none without an analyte.
    pub conv_id: Option<String>,
}

/// Why a value has no standard form. The text carries no value.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum UnitError {
    /// The unit text is not known.
    #[error("the unit is not known; add it to the site's unit aliases")]
    Unknown,
    /// The analyte has no rule from that unit.
    #[error("the analyte has no rule from this unit")]
    NoRule,
}

/// What turns a code's values in a hospital's unit into the standard unit of its analyte, without aliases of a site's own; see
/// [`Aliases::conversion`].
///
/// # Errors
/// The unit is not known, or the analyte has no rule from it.
pub fn conversion(system_uri: &str, code: &str, unit_text: &str) -> Result<Conversion, UnitError> {
    static NONE: Aliases = Aliases(BTreeMap::new());
    NONE.conversion(system_uri, code, unit_text)
}

/// A value with its hospital's unit text, in the standard unit of its analyte; without an analyte the unit stays.
///
/// # Errors
/// The unit is not known, or the analyte has no rule from it.
pub fn standardise(system_uri: &str, code: &str, value: f64, unit_text: &str) -> Result<Standard, UnitError> {
    let how = conversion(system_uri, code, unit_text)?;
    let value = how.map.apply(value);
    Ok(Standard { value, plausible: how.plausible(value), conv_id: how.id(), unit: how.unit })
}

#[cfg(test)]
mod tests;
