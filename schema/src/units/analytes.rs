//! Analytes: the LOINC codes that mean one, its standard unit, and what turns its other units into it.
//!
//! Molar masses: from the CIAAW's standard atomic weights. A triglyceride is counted as triolein, and haemoglobin as its
//! monomer, as laboratories do. HbA1c: the IFCC-NGSP master equation. Ranges: [`super::plausibility`].

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use super::Affine;
use super::plausibility;
use super::ucum::{self, Amounts, Power};

/// A rule of an analyte's own, which goes before UCUM's arithmetic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// The UCUM unit that it reads.
    pub unit: &'static str,
    /// Into the standard unit.
    pub to: Affine,
}

/// An analyte.
#[derive(Clone, Copy, Debug)]
pub struct Analyte {
    /// A short name.
    pub name: &'static str,
    /// LOINC codes that carry it, in whatever unit.
    pub loinc: &'static [&'static str],
    /// The standard unit, in UCUM.
    pub unit: &'static str,
    /// Rules of its own.
    pub rules: &'static [Rule],
    /// Grams a mole, where mass and amount may be converted.
    pub molar_mass: Option<f64>,
    /// Equivalents a mole, where they may be converted.
    pub valence: Option<f64>,
    /// Other units in use, for messages.
    pub usual: &'static [&'static str],
}

const fn of(name: &'static str, loinc: &'static [&'static str], unit: &'static str) -> Analyte {
    Analyte { name, loinc, unit, rules: &[], molar_mass: None, valence: None, usual: &[] }
}

const fn r(unit: &'static str, scale: f64, offset: f64) -> Rule {
    Rule { unit, to: Affine { scale, offset } }
}

impl Analyte {
    const fn mass(mut self, grams_per_mole: f64) -> Analyte {
        self.molar_mass = Some(grams_per_mole);
        self
    }
    const fn charge(mut self, equivalents_per_mole: f64) -> Analyte {
        self.valence = Some(equivalents_per_mole);
        self
    }
    const fn rules(mut self, rules: &'static [Rule]) -> Analyte {
        self.rules = rules;
        self
    }
    const fn usual(mut self, units: &'static [&'static str]) -> Analyte {
        self.usual = units;
        self
    }
}

/// International units of an enzyme are micromoles a minute.
const ENZYME: &[Rule] = &[r("[IU]/L", 1.0, 0.0)];
const LIPID: &[&str] = &["mg/dL", "g/L"];

/// The analytes.
pub const ANALYTES: &[Analyte] = &[
    of("HbA1c", &["4548-4", "17856-6", "59261-8"], "mmol/mol").rules(&[r("%", 10.93, -23.5)]),
    of("glucose", &["2345-7", "2339-0", "15074-8", "14749-6", "1558-6"], "mmol/L").mass(180.156).usual(LIPID),
    of("creatinine", &["2160-0", "38483-4", "14682-9"], "umol/L").mass(113.118).usual(&["mg/dL", "mmol/L", "mg/L"]),
    of("urea", &["3091-6", "22664-7"], "mmol/L").mass(60.056).usual(&["mg/dL", "g/L"]),
    // A mole of urea has two of nitrogen: mg/dL of it are mg/dL of N2.
    of("urea nitrogen", &["3094-0"], "mmol/L").mass(28.014).usual(&["mg/dL"]),
    of("uric acid", &["3084-1", "14933-6"], "umol/L").mass(168.112).usual(&["mg/dL", "mmol/L"]),
    of("bilirubin", &["1975-2", "14631-6"], "umol/L").mass(584.673).usual(&["mg/dL", "mg/L"]),
    of("cholesterol", &["2093-3", "14647-2"], "mmol/L").mass(386.65).usual(LIPID),
    of("HDL cholesterol", &["2085-9", "14646-4"], "mmol/L").mass(386.65).usual(LIPID),
    of("LDL cholesterol", &["18262-6", "13457-7", "2089-1", "22748-8"], "mmol/L").mass(386.65).usual(LIPID),
    of("triglycerides", &["2571-8", "14927-8"], "mmol/L").mass(885.43).usual(LIPID),
    of("haemoglobin", &["718-7", "59260-0"], "g/dL").mass(16_114.5).usual(&["g/L", "mmol/L"]),
    of("haematocrit", &["4544-3", "20570-8"], "%").usual(&["L/L"]),
    of("albumin", &["1751-7"], "g/L").usual(&["g/dL"]),
    of("sodium", &["2951-2", "2947-0"], "mmol/L").mass(22.990).charge(1.0).usual(&["meq/L"]),
    of("potassium", &["2823-3", "6298-4"], "mmol/L").mass(39.098).charge(1.0).usual(&["meq/L"]),
    of("chloride", &["2075-0"], "mmol/L").mass(35.453).charge(1.0).usual(&["meq/L"]),
    of("bicarbonate", &["1963-8", "2028-9"], "mmol/L").charge(1.0).usual(&["meq/L"]),
    of("calcium", &["17861-6", "2000-8", "49765-1"], "mmol/L").mass(40.078).charge(2.0).usual(&["mg/dL", "meq/L"]),
    of("magnesium", &["19123-9", "2601-3"], "mmol/L").mass(24.305).charge(2.0).usual(&["mg/dL", "meq/L"]),
    of("phosphate", &["2777-1", "14879-1"], "mmol/L").mass(30.974).usual(&["mg/dL"]),
    of("lactate", &["2524-7"], "mmol/L").mass(90.078).usual(&["mg/dL"]),
    of("alanine aminotransferase", &["1742-6"], "U/L").rules(ENZYME).usual(&["ukat/L"]),
    of("aspartate aminotransferase", &["1920-8"], "U/L").rules(ENZYME).usual(&["ukat/L"]),
    of("thyrotropin", &["3016-3"], "m[IU]/L").rules(&[r("mU/L", 1.0, 0.0), r("uU/mL", 1.0, 0.0)]).usual(&["u[IU]/mL"]),
    of("ferritin", &["2276-4"], "ug/L").usual(&["ng/mL"]),
    of("INR", &["6301-6"], "1").usual(&["{INR}"]),
    of("systolic blood pressure", &["8480-6"], "mm[Hg]").usual(&["kPa"]),
    of("diastolic blood pressure", &["8462-4"], "mm[Hg]").usual(&["kPa"]),
    of("heart rate", &["8867-4", "8873-2", "76476-1"], "/min").usual(&["{beats}/min"]),
    of("respiratory rate", &["9279-1"], "/min").usual(&["{breaths}/min"]),
    of("oxygen saturation", &["2708-6", "59408-5"], "%"),
    of("body weight", &["29463-7", "3141-9"], "kg").usual(&["[lb_av]", "g"]),
    of("body height", &["8302-2", "3137-7"], "cm").usual(&["[in_i]", "m"]),
    of("body mass index", &["39156-5"], "kg/m2"),
    of("body temperature", &["8310-5", "8331-1"], "Cel").usual(&["[degF]", "K"]),
    of("eGFR", &["33914-3", "48642-3", "62238-1", "98979-8"], "mL/min/{1.73_m2}").usual(&["mL/min"]),
    of("C-reactive protein", &["1988-5", "30522-7"], "mg/L").usual(&["mg/dL"]),
    of("leukocytes", &["6690-2", "26464-8"], "10*9/L").usual(&["10*3/uL", "/uL"]),
    of("erythrocytes", &["789-8"], "10*12/L").usual(&["10*6/uL"]),
    of("platelets", &["777-3", "26515-7"], "10*9/L").usual(&["10*3/uL", "/uL"]),
];

/// The analyte of a code. Only LOINC codes name analytes.
pub fn analyte(system_uri: &str, code: &str) -> Option<&'static Analyte> {
    static BY_CODE: LazyLock<HashMap<&str, &Analyte>> =
        LazyLock::new(|| ANALYTES.iter().flat_map(|a| a.loinc.iter().map(move |code| (*code, a))).collect());
    if system_uri != "http://loinc.org" {
        return None;
    }
    BY_CODE.get(code).copied()
}

impl Analyte {
    /// What turns a UCUM unit into the standard one: the analyte's own rule, else UCUM's arithmetic, else by the molar mass or
    /// the valence. `None` where none of them may.
    pub fn rule(&self, unit: &str) -> Option<Affine> {
        if unit == self.unit {
            return Some(Affine::IDENTITY);
        }
        if let Some(own) = self.rules.iter().find(|r| r.unit == unit) {
            return Some(own.to);
        }
        let std: Arc<str> = Arc::from(self.unit);
        let from: Arc<str> = Arc::from(unit);
        // Where the analyte has a rule of its own, UCUM's `%` must not get through in another spelling.
        if self.rules.iter().any(|r| ucum::affine(&from, &Arc::from(r.unit)).is_some()) {
            let (own, by) = self.rules.iter().find_map(|r| Some((r, ucum::affine(&from, &Arc::from(r.unit))?)))?;
            return Some(by.then(own.to));
        }
        ucum::affine(&from, &std).or_else(|| self.by_amount(&from, &std))
    }

    /// Between mass, amount and equivalents a litre.
    fn by_amount(&self, from: &Arc<str>, std: &Arc<str>) -> Option<Affine> {
        // How much of a mole is one of the unit's kind, with the unit that is read and written.
        let moles = |unit: &Arc<str>| match ucum::amounts(unit)? {
            Amounts { moles: Power::ONE, equivalents: Power::NONE, osmoles: Power::NONE } => Some(("mol/L", 1.0)),
            Amounts { moles: Power::NONE, equivalents: Power::ONE, osmoles: Power::NONE } => {
                Some(("eq/L", 1.0 / self.valence?))
            }
            Amounts { moles: Power::NONE, equivalents: Power::NONE, osmoles: Power::NONE } => {
                Some(("g/L", 1.0 / self.molar_mass?))
            }
            Amounts { .. } => None,
        };
        let ((read, per), (written, of)) = (moles(from)?, moles(std)?);
        let scale = Affine { scale: per / of, offset: 0.0 };
        Some(ucum::affine(from, &Arc::from(read))?.then(scale).then(ucum::affine(&Arc::from(written), std)?))
    }

    /// The units in use that fit, for a message.
    pub fn units(&self) -> Vec<&'static str> {
        let own = self.rules.iter().map(|r| r.unit);
        std::iter::once(self.unit).chain(own).chain(self.usual.iter().copied()).collect()
    }

    /// Whether a value in the standard unit is plausible.
    pub fn plausible(&self, value: f64) -> bool {
        plausibility::range(self.name).is_none_or(|r| value >= r.low && value <= r.high)
    }
}
