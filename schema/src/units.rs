//! Units: from a hospital's unit text to a standard unit.
//!
//! The order is: trim and fold, alias, UCUM, analyte rule, plausibility. An analyte's own affine rule always goes
//! before dimensional arithmetic, because UCUM calls `mol` a number and so would turn 7 % HbA1c into 70 mmol/mol,
//! where the IFCC master equation gives 53. Amount and count, and equivalents and amount, are never converted
//! without an analyte's entry. A missing unit is never guessed.

/// How one unit of an analyte becomes the standard one: `standard = value * scale + offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// The UCUM unit that the rule reads.
    pub unit: &'static str,
    /// The factor.
    pub scale: f64,
    /// The addend, in the standard unit.
    pub offset: f64,
}

/// An analyte: the LOINC codes that mean it, its standard unit, its rules and its plausible range.
#[derive(Clone, Copy, Debug)]
pub struct Analyte {
    /// A short name.
    pub name: &'static str,
    /// LOINC codes that carry it, in whatever unit.
    pub loinc: &'static [&'static str],
    /// The standard unit, in UCUM.
    pub unit: &'static str,
    /// Rules from other units.
    pub rules: &'static [Rule],
    /// Values outside are implausible, in the standard unit.
    pub plausible: (f64, f64),
}

const fn r(unit: &'static str, scale: f64, offset: f64) -> Rule {
    Rule { unit, scale, offset }
}

/// The analytes. Molar masses: CIAAW standard atomic weights; HbA1c: IFCC-NGSP master equation.
pub const ANALYTES: &[Analyte] = &[
    Analyte {
        name: "HbA1c",
        loinc: &["4548-4", "17856-6", "59261-8"],
        unit: "mmol/mol",
        rules: &[r("%", 10.93, -23.5)],
        plausible: (10.0, 220.0),
    },
    Analyte {
        name: "glucose",
        loinc: &["2345-7", "2339-0", "15074-8", "14749-6", "1558-6"],
        unit: "mmol/L",
        rules: &[r("mg/dL", 0.055_507, 0.0), r("g/L", 5.5507, 0.0)],
        plausible: (0.5, 100.0),
    },
    Analyte {
        name: "creatinine",
        loinc: &["2160-0", "38483-4", "14682-9"],
        unit: "umol/L",
        rules: &[r("mg/dL", 88.402, 0.0), r("mmol/L", 1000.0, 0.0), r("mg/L", 8.8402, 0.0)],
        plausible: (5.0, 3000.0),
    },
    Analyte {
        name: "cholesterol",
        loinc: &["2093-3", "14647-2"],
        unit: "mmol/L",
        rules: &[r("mg/dL", 0.025_863, 0.0), r("g/L", 2.5863, 0.0)],
        plausible: (0.5, 40.0),
    },
    Analyte {
        name: "HDL cholesterol",
        loinc: &["2085-9", "14646-4"],
        unit: "mmol/L",
        rules: &[r("mg/dL", 0.025_863, 0.0), r("g/L", 2.5863, 0.0)],
        plausible: (0.05, 6.0),
    },
    Analyte {
        name: "LDL cholesterol",
        loinc: &["18262-6", "13457-7", "2089-1", "22748-8"],
        unit: "mmol/L",
        rules: &[r("mg/dL", 0.025_863, 0.0), r("g/L", 2.5863, 0.0)],
        plausible: (0.1, 30.0),
    },
    Analyte {
        name: "triglycerides",
        loinc: &["2571-8", "14927-8"],
        unit: "mmol/L",
        rules: &[r("mg/dL", 0.011_29, 0.0), r("g/L", 1.129, 0.0)],
        plausible: (0.1, 120.0),
    },
    Analyte {
        name: "haemoglobin",
        loinc: &["718-7", "59260-0"],
        unit: "g/dL",
        rules: &[r("g/L", 0.1, 0.0), r("mmol/L", 1.6114, 0.0)],
        plausible: (1.0, 30.0),
    },
    Analyte {
        name: "sodium",
        loinc: &["2951-2", "2947-0"],
        unit: "mmol/L",
        rules: &[r("meq/L", 1.0, 0.0)],
        plausible: (80.0, 220.0),
    },
    Analyte {
        name: "potassium",
        loinc: &["2823-3", "6298-4"],
        unit: "mmol/L",
        rules: &[r("meq/L", 1.0, 0.0)],
        plausible: (0.5, 15.0),
    },
    Analyte {
        name: "calcium",
        loinc: &["17861-6", "2000-8", "49765-1"],
        unit: "mmol/L",
        rules: &[r("mg/dL", 0.2495, 0.0), r("meq/L", 0.5, 0.0)],
        plausible: (0.3, 7.0),
    },
    Analyte {
        name: "systolic blood pressure",
        loinc: &["8480-6"],
        unit: "mm[Hg]",
        rules: &[r("kPa", 7.500_62, 0.0)],
        plausible: (30.0, 350.0),
    },
    Analyte {
        name: "diastolic blood pressure",
        loinc: &["8462-4"],
        unit: "mm[Hg]",
        rules: &[r("kPa", 7.500_62, 0.0)],
        plausible: (10.0, 250.0),
    },
    Analyte {
        name: "heart rate",
        loinc: &["8867-4", "8873-2", "76476-1"],
        unit: "/min",
        rules: &[r("{beats}/min", 1.0, 0.0)],
        plausible: (10.0, 350.0),
    },
    Analyte {
        name: "body weight",
        loinc: &["29463-7", "3141-9"],
        unit: "kg",
        rules: &[r("[lb_av]", 0.453_592_37, 0.0), r("g", 0.001, 0.0)],
        plausible: (0.2, 700.0),
    },
    Analyte {
        name: "body height",
        loinc: &["8302-2", "3137-7"],
        unit: "cm",
        rules: &[r("[in_i]", 2.54, 0.0), r("m", 100.0, 0.0)],
        plausible: (20.0, 270.0),
    },
    Analyte { name: "body mass index", loinc: &["39156-5"], unit: "kg/m2", rules: &[], plausible: (5.0, 150.0) },
    Analyte {
        name: "body temperature",
        loinc: &["8310-5", "8331-1"],
        unit: "Cel",
        rules: &[r("[degF]", 5.0 / 9.0, -160.0 / 9.0), r("K", 1.0, -273.15)],
        plausible: (10.0, 50.0),
    },
    Analyte {
        name: "eGFR",
        loinc: &["33914-3", "48642-3", "62238-1", "98979-8"],
        unit: "mL/min/{1.73_m2}",
        rules: &[r("mL/min", 1.0, 0.0)],
        plausible: (0.0, 250.0),
    },
    Analyte {
        name: "C-reactive protein",
        loinc: &["1988-5", "30522-7"],
        unit: "mg/L",
        rules: &[r("mg/dL", 10.0, 0.0)],
        plausible: (0.0, 1000.0),
    },
    Analyte {
        name: "leukocytes",
        loinc: &["6690-2", "26464-8"],
        unit: "10*9/L",
        rules: &[r("10*3/uL", 1.0, 0.0), r("/uL", 0.001, 0.0)],
        plausible: (0.0, 1000.0),
    },
    Analyte {
        name: "platelets",
        loinc: &["777-3", "26515-7"],
        unit: "10*9/L",
        rules: &[r("10*3/uL", 1.0, 0.0), r("/uL", 0.001, 0.0)],
        plausible: (0.0, 5000.0),
    },
];

/// UCUM units that need no analyte, so that a typing error in a study is found.
const OTHER_UCUM: &[&str] = &[
    "1", "%", "a", "mo", "wk", "d", "h", "min", "s", "ms", "mg", "g", "kg", "ug", "ng", "mL", "L", "cm", "mm", "m",
    "mmol/L", "umol/L", "nmol/L", "pmol/L", "mg/dL", "mg/L", "g/L", "g/dL", "ug/L", "ng/mL", "ng/L", "pg/mL", "ug/mL",
    "ug/dL", "U/L", "[IU]/L", "m[IU]/L", "k[IU]/L", "meq/L", "fL", "pg", "{score}", "mV", "/uL", "10*3/uL", "10*6/uL",
    "10*9/L", "10*12/L", "mL/min", "mg/g", "mm/h", "kat/L", "ukat/L",
];

/// The hospital's spelling to UCUM's. Runs before any UCUM parsing, since `K/uL` is valid UCUM for kelvin per µL.
const ALIASES: &[(&str, &str)] = &[
    ("mmhg", "mm[Hg]"),
    ("mm hg", "mm[Hg]"),
    ("mm[hg]", "mm[Hg]"),
    ("k/ul", "10*3/uL"),
    ("x10e9/l", "10*9/L"),
    ("10^9/l", "10*9/L"),
    ("10e9/l", "10*9/L"),
    ("g/l", "g/L"),
    ("gpt/l", "10*9/L"),
    ("10^3/ul", "10*3/uL"),
    ("x10e3/ul", "10*3/uL"),
    ("thou/ul", "10*3/uL"),
    ("umol/l", "umol/L"),
    ("mmol/l", "mmol/L"),
    ("nmol/l", "nmol/L"),
    ("mg/dl", "mg/dL"),
    ("mg/l", "mg/L"),
    ("g/dl", "g/dL"),
    ("ug/l", "ug/L"),
    ("meq/l", "meq/L"),
    ("iu/l", "[IU]/L"),
    ("u/l", "U/L"),
    ("miu/l", "m[IU]/L"),
    ("bpm", "/min"),
    ("/min", "/min"),
    ("beats/min", "/min"),
    ("1/min", "/min"),
    ("lb", "[lb_av]"),
    ("lbs", "[lb_av]"),
    ("in", "[in_i]"),
    ("inch", "[in_i]"),
    ("°c", "Cel"),
    ("c", "Cel"),
    ("°f", "[degF]"),
    ("f", "[degF]"),
    ("kg/m²", "kg/m2"),
    ("kg/m^2", "kg/m2"),
    ("kg/m2", "kg/m2"),
    ("ml/min/1.73m2", "mL/min/{1.73_m2}"),
    ("ml/min/1.73 m2", "mL/min/{1.73_m2}"),
    ("ml/min/1,73m²", "mL/min/{1.73_m2}"),
    ("ml/min/{1.73_m2}", "mL/min/{1.73_m2}"),
    ("ml/min", "mL/min"),
    ("mmol/mol", "mmol/mol"),
    ("years", "a"),
    ("year", "a"),
    ("jahre", "a"),
    ("percent", "%"),
];

/// The UCUM spelling of a hospital's unit text, or `None` where it is not known. Both code points of µ become `u`.
pub fn ucum(text: &str) -> Option<&'static str> {
    let folded: String = text.trim().chars().map(|c| if matches!(c, 'µ' | 'μ') { 'u' } else { c }).collect();
    let known = ANALYTES
        .iter()
        .flat_map(|a| std::iter::once(a.unit).chain(a.rules.iter().map(|r| r.unit)))
        .chain(OTHER_UCUM.iter().copied());
    for unit in known {
        if unit == folded {
            return Some(unit);
        }
    }
    let lower = folded.to_lowercase();
    ALIASES.iter().find(|(alias, _)| *alias == lower).map(|(_, unit)| *unit)
}

/// The analyte of a code. Only LOINC codes name analytes.
pub fn analyte(system_uri: &str, code: &str) -> Option<&'static Analyte> {
    if system_uri != "http://loinc.org" {
        return None;
    }
    ANALYTES.iter().find(|a| a.loinc.contains(&code))
}

impl Analyte {
    /// The rule that reads `unit` (UCUM), the identity for the standard unit itself.
    pub fn rule(&self, unit: &str) -> Option<Rule> {
        if unit == self.unit {
            return Some(Rule { unit: self.unit, scale: 1.0, offset: 0.0 });
        }
        self.rules.iter().find(|r| r.unit == unit).copied()
    }

    /// The units that fit, for a message.
    pub fn units(&self) -> Vec<&'static str> {
        std::iter::once(self.unit).chain(self.rules.iter().map(|r| r.unit)).collect()
    }
}

/// A value in its standard unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standard {
    /// The value.
    pub value: f64,
    /// The unit, in UCUM.
    pub unit: &'static str,
    /// Whether the value lies in the analyte's plausible range; always so without an analyte.
    pub plausible: bool,
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

/// A value with its hospital's unit text, in the standard unit of its analyte; without an analyte the unit stays.
///
/// # Errors
/// The unit is not known, or the analyte has no rule from it.
pub fn standardise(system_uri: &str, code: &str, value: f64, unit_text: &str) -> Result<Standard, UnitError> {
    let unit = ucum(unit_text).ok_or(UnitError::Unknown)?;
    let Some(analyte) = analyte(system_uri, code) else {
        return Ok(Standard { value, unit, plausible: true });
    };
    let rule = analyte.rule(unit).ok_or(UnitError::NoRule)?;
    let std = value * rule.scale + rule.offset;
    let plausible = std >= analyte.plausible.0 && std <= analyte.plausible.1;
    Ok(Standard { value: std, unit: analyte.unit, plausible })
}

#[cfg(test)]
mod tests {
    use super::*;
    const LOINC: &str = "http://loinc.org";

    #[test]
    fn hba1c_follows_the_ifcc_equation_and_not_ucum() {
        let s = standardise(LOINC, "4548-4", 7.0, "%").unwrap();
        assert_eq!(s.unit, "mmol/mol");
        assert!((s.value - 53.01).abs() < 1e-9, "{}", s.value);
    }

    #[test]
    fn k_per_microlitre_is_thousands_not_kelvin() {
        assert_eq!(ucum("K/uL"), Some("10*3/uL"));
        assert_eq!(standardise(LOINC, "777-3", 250.0, "K/µL").unwrap().unit, "10*9/L");
    }

    #[test]
    fn equivalents_need_the_analyte() {
        assert!((standardise(LOINC, "17861-6", 5.0, "mEq/L").unwrap().value - 2.5).abs() < 1e-12);
        assert!((standardise(LOINC, "2951-2", 140.0, "mEq/L").unwrap().value - 140.0).abs() < 1e-12);
        assert_eq!(standardise(LOINC, "2345-7", 5.0, "meq/L"), Err(UnitError::NoRule));
    }

    #[test]
    fn both_micro_signs_and_hospital_spellings() {
        for unit in ["µmol/L", "μmol/l", "umol/L", " UMOL/L "] {
            assert_eq!(ucum(unit), Some("umol/L"), "{unit}");
        }
        for (unit, to) in [("mmHg", "mm[Hg]"), ("MG/DL", "mg/dL"), ("x10E9/L", "10*9/L"), ("IU/L", "[IU]/L")] {
            assert_eq!(ucum(unit), Some(to));
        }
    }

    #[test]
    fn a_missing_or_unknown_unit_is_never_guessed() {
        assert_eq!(standardise(LOINC, "2345-7", 90.0, ""), Err(UnitError::Unknown));
        assert_eq!(standardise(LOINC, "2345-7", 90.0, "furlong"), Err(UnitError::Unknown));
    }

    #[test]
    fn implausible_is_flagged_not_dropped() {
        assert!(!standardise(LOINC, "8480-6", 1200.0, "mmHg").unwrap().plausible);
    }
}
