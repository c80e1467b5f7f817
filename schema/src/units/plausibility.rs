//! Which values are plausible: one range an analyte, in its standard unit.
//!
//! A value outside is flagged and kept; nothing is deleted for it. The ranges are wide: they find a wrong unit or a typing
//! error, never an ill patient. They are the project's own, since the ranges of other tools disagree between units of one
//! analyte; each says what it rests on.

/// A range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The analyte's name.
    pub analyte: &'static str,
    /// The least plausible value.
    pub low: f64,
    /// The largest.
    pub high: f64,
    /// What it rests on.
    pub source: &'static str,
}

/// Beyond what routine analysers report, and below what is compatible with life by far.
const ANALYSER: &str = "wider than the reporting range of routine analysers; own judgement";
/// By definition.
const DEFINITION: &str = "by the definition of the quantity";

const fn r(analyte: &'static str, low: f64, high: f64, source: &'static str) -> Range {
    Range { analyte, low, high, source }
}

/// The ranges.
pub const RANGES: &[Range] = &[
    r("HbA1c", 10.0, 220.0, "IFCC equation of 3 % and of 22 % NGSP; own judgement"),
    r("glucose", 0.5, 150.0, ANALYSER),
    r("creatinine", 5.0, 3000.0, ANALYSER),
    r("urea", 0.1, 150.0, ANALYSER),
    r("urea nitrogen", 0.1, 150.0, ANALYSER),
    r("uric acid", 5.0, 3000.0, ANALYSER),
    r("bilirubin", 0.0, 1500.0, ANALYSER),
    r("cholesterol", 0.3, 50.0, ANALYSER),
    r("HDL cholesterol", 0.02, 8.0, ANALYSER),
    r("LDL cholesterol", 0.05, 40.0, ANALYSER),
    r("triglycerides", 0.05, 250.0, ANALYSER),
    r("haemoglobin", 1.0, 30.0, ANALYSER),
    r("haematocrit", 3.0, 85.0, ANALYSER),
    r("albumin", 3.0, 80.0, ANALYSER),
    r("sodium", 80.0, 220.0, ANALYSER),
    r("potassium", 0.5, 15.0, ANALYSER),
    r("chloride", 40.0, 200.0, ANALYSER),
    r("bicarbonate", 1.0, 80.0, ANALYSER),
    r("calcium", 0.3, 7.0, ANALYSER),
    r("magnesium", 0.05, 10.0, ANALYSER),
    r("phosphate", 0.03, 10.0, ANALYSER),
    r("lactate", 0.05, 50.0, ANALYSER),
    r("alanine aminotransferase", 0.0, 50_000.0, ANALYSER),
    r("aspartate aminotransferase", 0.0, 50_000.0, ANALYSER),
    r("thyrotropin", 0.0, 1500.0, ANALYSER),
    r("ferritin", 0.0, 200_000.0, ANALYSER),
    r("INR", 0.3, 30.0, ANALYSER),
    r("systolic blood pressure", 30.0, 400.0, "370 mm[Hg] in heavy lifting: MacDougall, J Appl Physiol 1985;58:785"),
    r("diastolic blood pressure", 10.0, 370.0, "360 mm[Hg] in heavy lifting: MacDougall, J Appl Physiol 1985;58:785"),
    r("heart rate", 10.0, 500.0, "atrioventricular conduction near 1:1 in flutter; own judgement"),
    r("respiratory rate", 1.0, 150.0, "own judgement"),
    r("oxygen saturation", 0.0, 100.0, DEFINITION),
    r("body weight", 0.2, 700.0, "from the smallest newborn to the heaviest person on record; own judgement"),
    r("body height", 20.0, 280.0, "from the shortest newborn to the tallest person on record (272 cm)"),
    r("body mass index", 5.0, 200.0, "own judgement"),
    r("body temperature", 10.0, 47.0, "13.7 Cel survived: Gilbert, Lancet 2000;355:375; own judgement above"),
    r("eGFR", 0.0, 300.0, "own judgement"),
    r("C-reactive protein", 0.0, 1000.0, ANALYSER),
    r("leukocytes", 0.0, 1500.0, ANALYSER),
    r("erythrocytes", 0.2, 12.0, ANALYSER),
    r("platelets", 0.0, 5000.0, ANALYSER),
];

/// The range of an analyte.
pub fn range(analyte: &str) -> Option<&'static Range> {
    RANGES.iter().find(|r| r.analyte == analyte)
}
