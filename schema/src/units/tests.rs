use super::*;

const LOINC: &str = "http://loinc.org";

fn std(code: &str, value: f64, unit: &str) -> Result<f64, UnitError> {
    standardise(LOINC, code, value, unit).map(|s| s.value)
}

fn near(found: Result<f64, UnitError>, expected: f64) {
    let found = found.unwrap();
    assert!((found - expected).abs() <= 1e-4 * expected.abs(), "{found} and not {expected}");
}

#[test]
fn hba1c_follows_the_ifcc_equation_and_not_ucum() {
    let s = standardise(LOINC, "4548-4", 7.0, "%").unwrap();
    assert_eq!((&*s.unit, s.conv_id.as_deref()), ("mmol/mol", Some("HbA1c:%>mmol/mol")));
    assert!((s.value - 53.01).abs() < 1e-9, "{}", s.value);
    // The same per cent in another spelling of UCUM: still the equation, never 70.
    near(std("4548-4", 0.07, "g/g"), 53.01);
    near(std("4548-4", 53.0, "mmol/mol"), 53.0);
    near(std("4548-4", 53_000.0, "umol/mol"), 53.0);
}

#[test]
fn k_per_microlitre_is_thousands_not_kelvin() {
    assert_eq!(ucum("K/uL").as_deref(), Some("10*3/uL"));
    near(std("777-3", 250.0, "K/µL"), 250.0);
    assert!(super::ucum::valid("K/uL"), "which UCUM would take for kelvin");
}

#[test]
fn amounts_are_no_counts_and_equivalents_no_amounts() {
    let map = |from: &str, to: &str| super::ucum::affine(&Arc::from(from), &Arc::from(to));
    for (from, to) in [("mmol/L", "/L"), ("/L", "mmol/L"), ("meq/L", "mmol/L"), ("osm/kg", "mol/kg"), ("[IU]/L", "U/L")]
    {
        assert_eq!(map(from, to), None, "{from} to {to}");
    }
    assert!(octofhir_ucum::convert(1.0, "mmol/L", "/L").unwrap() > 6e20, "UCUM's own arithmetic would");
    assert_eq!(map("ukat/L", "U/L").unwrap().scale.round(), 60.0);
    near(std("17861-6", 5.0, "mEq/L"), 2.5);
    near(std("2601-3", 2.0, "meq/L"), 1.0);
    near(std("2951-2", 140.0, "mEq/L"), 140.0);
    assert_eq!(std("2345-7", 5.0, "meq/L"), Err(UnitError::NoRule));
    assert_eq!(std("6690-2", 5.0, "mmol/L"), Err(UnitError::NoRule));
}

#[test]
fn mass_to_amount_goes_by_the_molar_mass_of_the_code() {
    near(std("2345-7", 90.0, "mg/dL"), 4.9957);
    near(std("2160-0", 1.0, "mg/dL"), 88.403);
    near(std("2093-3", 200.0, "MG/DL"), 5.1726);
    near(std("2571-8", 150.0, "mg/dL"), 1.6941);
    near(std("17861-6", 10.0, "mg/dL"), 2.4951);
    near(std("3094-0", 14.0, "mg/dL"), 4.9975);
    near(std("3091-6", 30.0, "mg/dL"), 4.9953);
    near(std("718-7", 10.0, "mmol/L"), 16.1145);
    near(std("1975-2", 1.0, "mg/dL"), 17.1036);
    // Another unit of the same kind needs no entry of its own.
    near(std("2345-7", 0.9, "g/L"), 4.9957);
    near(std("2160-0", 10.0, "ug/mL"), 88.403);
    assert_eq!(std("no-such", 90.0, "mg/dL"), Ok(90.0), "and without an analyte the unit stays");
}

#[test]
fn spellings_of_hospitals_and_both_micro_signs() {
    for unit in ["µmol/L", "μmol/l", "umol/L", " UMOL/L "] {
        assert_eq!(ucum(unit).as_deref(), Some("umol/L"), "{unit}");
    }
    for (unit, to) in [
        ("mmHg", "mm[Hg]"),
        ("MG/DL", "mg/dL"),
        ("x10E9/L", "10*9/L"),
        ("IU/L", "[IU]/L"),
        ("mEq/L", "meq/L"),
        ("kg/m²", "kg/m2"),
        ("ng/mL", "ng/mL"),
        ("mL/min/1.73m2", "mL/min/{1.73_m2}"),
        ("mM", "mmol/L"),
        ("mm", "mm"),
        ("MM", "mm"),
        ("µM", "umol/L"),
        ("mM/L", "mmol/L"),
        ("% of total Hgb", "%"),
        ("% (NGSP)", "%"),
        ("mmol/mol Hb", "mmol/mol"),
        ("Thousand/uL", "10*3/uL"),
        ("x1000/uL", "10*3/uL"),
        ("thou/mm3", "10*3/mm3"),
        ("k/cumm", "10*3/mm3"),
        ("/cumm", "/mm3"),
        ("Mill/µl", "10*6/uL"),
        ("×10⁹/L", "10*9/L"),
        ("E9/L", "10*9/L"),
        ("bil/L", "10*9/L"),
        ("mcmol/L", "umol/L"),
        ("mg/100mL", "mg/dL"),
        ("mcIU/mL", "u[IU]/mL"),
        ("mm/Hg", "mm[Hg]"),
        ("[lb_us]", "[lb_av]"),
        ("sec.", "s"),
        ("Sek", "s"),
        ("/minute", "/min"),
        ("mL/min/BSA", "mL/min/{1.73_m2}"),
        ("mL/min/1.73 sq. m", "mL/min/{1.73_m2}"),
        ("mL/min per 1.73 m2", "mL/min/{1.73_m2}"),
        ("Celsius", "Cel"),
    ] {
        assert_eq!(ucum(unit).unwrap_or_default().as_ref(), to, "{unit}");
    }
    assert_eq!(ucum("mmHg").as_deref(), Some("mm[Hg]"));
    near(std("8480-6", 16.0, "kPa"), 120.01);
    near(std("8310-5", 98.6, "°F"), 37.0);
    near(std("8310-5", 310.15, "K"), 37.0);
    near(std("6690-2", 7000.0, "/uL"), 7.0);
    near(std("6690-2", 7.0, "K/cumm"), 7.0);
    near(std("789-8", 4.5, "million/mm3"), 4.5);
    near(std("4544-3", 0.42, "L/L"), 42.0);
    near(std("1742-6", 1.0, "ukat/L"), 60.0);
    near(std("1742-6", 30.0, "IU/L"), 30.0);
    near(std("3016-3", 2.0, "uIU/mL"), 2.0);
    near(std("2276-4", 100.0, "ng/mL"), 100.0);
}

#[test]
fn a_missing_or_unknown_unit_is_never_guessed() {
    for unit in ["", "  ", "furlong", "mg/dL mg/dL", &"m.".repeat(1_000_000), &"(".repeat(70)] {
        assert_eq!(std("2345-7", 90.0, unit), Err(UnitError::Unknown));
    }
    assert_eq!(std("2345-7", 90.0, "kg"), Err(UnitError::NoRule));
}

#[test]
fn a_site_alias_goes_first_and_must_name_a_unit() {
    let site = Aliases::new([("G/L", "10*9/L"), ("g/L", "mg/L"), ("µg%", "ug/dL")]).unwrap();
    assert_eq!(site.ucum("g/L").as_deref(), Some("mg/L"));
    assert_eq!((ucum("G/L").as_deref(), ucum("g/L").as_deref()), (Some("10*9/L"), Some("g/L")));
    assert_eq!((ucum("T/L").as_deref(), ucum("Giga/L").as_deref()), (Some("10*12/L"), Some("10*9/L")));
    assert_eq!(site.ucum(" μg% ").as_deref(), Some("ug/dL"));
    assert_eq!(site.conversion(LOINC, "6690-2", "G/L").unwrap().map, Affine::IDENTITY);
    assert!(Aliases::new([("x", "furlongs per fortnight")]).unwrap_err().to_string().contains("furlongs"));
}

#[test]
fn implausible_is_flagged_not_dropped() {
    let s = standardise(LOINC, "8480-6", 1200.0, "mmHg").unwrap();
    assert!(!s.plausible && s.value == 1200.0);
    assert!(standardise(LOINC, "8480-6", 120.0, "mmHg").unwrap().plausible);
}

#[test]
fn the_tables_hold_together() {
    for a in ANALYTES {
        let range = plausibility::range(a.name).unwrap_or_else(|| panic!("{} has no range", a.name));
        assert!(range.low < range.high && !range.source.is_empty());
        for unit in a.units() {
            assert!(super::ucum::valid(unit), "{unit}");
            assert!(a.rule(unit).is_some_and(|r| r.scale > 0.0), "{}: {unit}", a.name);
        }
        assert_eq!(analyte(LOINC, a.loinc[0]).unwrap().name, a.name);
    }
    assert_eq!(plausibility::RANGES.len(), ANALYTES.len());
    let codes: Vec<_> = ANALYTES.iter().flat_map(|a| a.loinc).collect();
    assert_eq!(codes.len(), codes.iter().collect::<std::collections::BTreeSet<_>>().len(), "a code of two analytes");
    for (alias, unit) in aliases::ALIASES {
        assert!(super::ucum::valid(unit), "{unit}");
        assert_eq!(alias.to_lowercase(), *alias);
    }
}

/// A score of 7 /10 is no seven tenths.
#[test]
fn a_number_alone_is_no_unit() {
    for text in ["/10", "10", "1/10", "(10)"] {
        assert_eq!(ucum(text), None, "{text}");
    }
    for text in ["1", "%", "/min", "10*9/L", "{score}", "m/s2"] {
        assert!(ucum(text).is_some(), "{text}");
    }
}
