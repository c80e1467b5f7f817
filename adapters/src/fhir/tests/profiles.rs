//! What national profiles and the less common forms of R4 say.

use super::*;

fn text(r: &Record, column: &str) -> String {
    match r.get(column) {
        Cell::Text(t) => t.to_string(),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_german_diagnosis_is_as_certain_as_its_mark() {
    let condition = |mark: &str| {
        one(&format!(
            r#"{{"resourceType":"Condition","id":"c","code":{{"coding":[{{"system":"http://snomed.info/sct","code":"73211009"}},{{"system":"http://fhir.de/CodeSystem/bfarm/icd-10-gm","code":"E11.9","extension":[{{"url":"http://fhir.de/StructureDefinition/icd-10-gm-diagnosesicherheit","valueCoding":{{"code":"{mark}"}}}}]}}]}},"subject":{{"reference":"Patient/p"}},"recordedDate":"2023-01-02","onsetAge":{{"value":5}},"abatementString":"x"}}"#
        ))
    };
    let got: Vec<_> = ["G", "V", "A", "Z"].iter().map(|m| text(&condition(m), "status")).collect();
    assert_eq!(got, ["final", "preliminary", "cancelled", "final"]);
    let row = condition("G");
    assert_eq!(
        (text(&row, "code"), text(&row, "code_system")),
        ("E11.9".into(), "http://fhir.de/CodeSystem/bfarm/icd-10-gm".into())
    );
    assert_ne!(row.get("event_date"), &Cell::Null);
}

#[test]
fn the_encounter_gives_a_diagnosis_its_role() {
    let condition = |id: &str| {
        format!(
            r#"{{"resourceType":"Condition","id":"{id}","code":{{"coding":[{{"code":"x"}}]}},"subject":{{"reference":"Patient/p"}}}}"#
        )
    };
    let encounter = r#"{"resourceType":"Encounter","id":"e","status":"finished","class":{"code":"IMP"},"subject":{"reference":"Patient/p"},"diagnosis":[
        {"condition":{"reference":"Condition/a"},"use":{"coding":[{"code":"AD"}]},"rank":1},
        {"condition":{"reference":"Condition/b"},"use":{"coding":[{"code":"DD"}]},"rank":1},
        {"condition":{"reference":"Condition/c"},"use":{"coding":[{"code":"DD"}]},"rank":2},
        {"condition":{"reference":"Condition/d"},"use":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/diagnosis-role","code":"CC"},{"system":"http://fhir.de/CodeSystem/KontaktDiagnoseProzedur","code":"hospital-main-diagnosis"}]}}]}"#
        .replace('\n', " ");
    let conditions = ["a", "b", "c", "d", "z"].map(condition).join("\n");
    let (seen, _) = source(&[("Condition.ndjson", &conditions), ("Encounter.ndjson", &encounter)]);
    let got: Vec<_> = seen.records.iter().take(5).map(|r| (text(r, "role"), r.get("rank").clone())).collect();
    let want = [
        ("admit", Cell::Int(1)),
        ("primary", Cell::Int(1)),
        ("secondary", Cell::Int(2)),
        ("primary", Cell::Null),
        ("problem", Cell::Null),
    ];
    assert_eq!(got, want.map(|(role, rank)| (role.to_owned(), rank)));
}

#[test]
fn classes_wards_and_times_of_a_visit() {
    let encounter = |rest: &str| {
        one(&format!(
            r#"{{"resourceType":"Encounter","id":"e","status":"finished","subject":{{"reference":"Patient/p"}},{rest}}}"#
        ))
    };
    for (rest, class) in [
        (r#""class":{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"IMP"}"#, "IP"),
        (r#""class":{"system":"http://terminology.hl7.org/CodeSystem/v2-0004","code":"E"}"#, "ER"),
        (
            r#""class":{"code":"IMP"},"type":[{"coding":[{"system":"http://fhir.de/CodeSystem/kontaktart-de","code":"intensivstationaer"}]}]"#,
            "ICU",
        ),
    ] {
        assert_eq!(text(&encounter(rest), "class"), class);
    }
    let row = encounter(
        r#""class":{"code":"IMP"},"statusHistory":[{"status":"planned","period":{"start":"2020-01-01","end":"2020-02-01"}},{"status":"arrived","period":{"start":"2020-02-01","end":"2020-02-02"}},{"status":"in-progress","period":{"start":"2020-02-02","end":"2020-02-07"}}],"location":[{"location":{"reference":"Location/w1"},"status":"completed","physicalType":{"coding":[{"code":"wa"}]}},{"location":{"reference":"Location/bed"},"physicalType":{"coding":[{"code":"bd"}]}}]"#,
    );
    assert_eq!(text(&row, "ward"), "w1");
    let day = |d: &str| Cell::Date(chrono::NaiveDate::parse_from_str(d, "%Y-%m-%d").unwrap().to_epoch_days());
    assert_eq!((row.get("start_date"), row.get("end_date")), (&day("2020-02-01"), &day("2020-02-07")));
}

#[test]
fn drugs_dispensed_given_taken_and_vaccines() {
    let base = r#""medicationCodeableConcept":{"coding":[{"system":"http://www.whocc.no/atc","code":"B01AC06"}]},"subject":{"reference":"Patient/p"},"context":{"reference":"Encounter/e"}"#;
    let drug = |kind: &str, rest: &str| {
        one(&format!(r#"{{"resourceType":"{kind}","id":"x","status":"completed",{base},{rest}}}"#))
    };
    let dispensed = drug(
        "MedicationDispense",
        r#""whenHandedOver":"2023-01-02","quantity":{"value":30,"unit":"TAB"},"daysSupply":{"value":4,"unit":"wk"}"#,
    );
    let given = drug(
        "MedicationAdministration",
        r#""effectivePeriod":{"start":"2023-01-02T10:00:00Z","end":"2023-01-02T11:00:00Z"},"dosage":{"route":{"coding":[{"code":"26643006"}]},"dose":{"value":5,"unit":"mg"}}"#,
    );
    let taken = drug(
        "MedicationStatement",
        r#""effectiveDateTime":"2023","dosage":[{"route":{"coding":[{"code":"26643006"}]}}]"#,
    );
    let kinds: Vec<_> = [&dispensed, &given, &taken].iter().map(|r| text(r, "kind")).collect();
    assert_eq!(kinds, ["dispensed", "given", "reported"]);
    assert_eq!((dispensed.get("days_supply"), dispensed.get("qty")), (&Cell::Int(28), &Cell::Real(30.0)));
    assert_eq!((text(&given, "route"), given.get("qty")), ("26643006".into(), &Cell::Real(5.0)));
    assert_eq!(text(&taken, "route"), "26643006");
    assert!([&dispensed, &given, &taken].iter().all(|r| r.get("visit_key") != &Cell::Null));
    // One id in three types is three records.
    let keys: std::collections::BTreeSet<String> =
        [&dispensed, &given, &taken].iter().map(|r| format!("{:?}", r.get("record_key"))).collect();
    assert_eq!(keys.len(), 3);
    let vaccine = |rest: &str| {
        one(&format!(
            r#"{{"resourceType":"Immunization","id":"i","status":"completed","vaccineCode":{{"coding":[{{"system":"http://hl7.org/fhir/sid/cvx","code":"140"}}]}},"patient":{{"reference":"Patient/p"}},"occurrenceDateTime":"2021-05"{rest}}}"#
        ))
    };
    assert_eq!(text(&vaccine(""), "kind"), "given");
    assert_eq!(text(&vaccine(r#","primarySource":false"#), "kind"), "reported");
}

#[test]
fn every_kind_of_value_of_an_observation() {
    let obs = |rest: &str| {
        one(&format!(
            r#"{{"resourceType":"Observation","id":"o","status":"final","code":{{"coding":[{{"system":"http://loinc.org","code":"5334-8"}}]}},"subject":{{"reference":"Patient/p"}},{rest}}}"#
        ))
    };
    let titre = obs(r#""valueRatio":{"numerator":{"value":1},"denominator":{"value":128}}"#);
    assert_eq!((titre.get("value_num"), titre.get("unit_src")), (&Cell::Real(1.0 / 128.0), &Cell::Null));
    let rate = obs(r#""valueRatio":{"numerator":{"value":30,"unit":"mg"},"denominator":{"value":2,"unit":"g"}}"#);
    assert_eq!((rate.get("value_num"), text(&rate, "unit_src")), (&Cell::Real(15.0), "mg/g".into()));
    assert_eq!(text(&obs(r#""valueRatio":{"numerator":{"value":1}}"#), "flag"), "unsupported");
    let range = obs(r#""valueRange":{"low":{"value":5,"unit":"mg/L"},"high":{"value":9}}"#);
    assert_eq!(
        (range.get("value_lo"), range.get("value_hi"), text(&range, "unit_ucum")),
        (&Cell::Real(5.0), &Cell::Real(9.0), "mg/L".into())
    );
    assert_eq!(text(&obs(r#""valueDateTime":"2020""#), "flag"), "unsupported");
    assert_eq!(text(&obs(r#""valueBoolean":true"#), "value_code"), "true");
    let timed = obs(r#""valueInteger":1,"effectiveTiming":{"event":["2020-03-04"]}"#);
    assert_ne!(timed.get("event_date"), &Cell::Null);
    let specimen = obs(
        r##""valueInteger":1,"specimen":{"reference":"#s"},"contained":[{"resourceType":"Specimen","id":"s","type":{"coding":[{"code":"119364003"}]}}]"##,
    );
    assert_eq!(text(&specimen, "specimen"), "119364003");
    let panel = r#"{"resourceType":"Observation","id":"o","status":"final","code":{"coding":[{"code":"x"}]},"subject":{"reference":"Patient/p"},"hasMember":[{"reference":"Observation/1"}]}"#;
    assert_eq!(read(panel.as_bytes()).1.skipped, 1);
}

#[test]
fn a_report_counts_where_its_conclusion_is_coded() {
    let report = |rest: &str| {
        format!(
            r#"{{"resourceType":"DiagnosticReport","id":"r","status":"final","code":{{"coding":[{{"system":"http://loinc.org","code":"60568-3"}}]}},"subject":{{"reference":"Patient/p"}},"effectiveDateTime":"2020-01-01"{rest}}}"#
        )
    };
    assert_eq!(read(report("").as_bytes()).0.skipped, ["DiagnosticReport"]);
    let row =
        one(&report(r#","conclusionCode":[{"coding":[{"system":"http://snomed.info/sct","code":"372244006"}]}]"#));
    assert_eq!((row.table(), text(&row, "value_code")), (Table::Measurement, "372244006".into()));
}

#[test]
fn an_insurance_states_a_period_where_it_has_a_beginning() {
    let coverage = |rest: &str| {
        format!(
            r#"{{"resourceType":"Coverage","id":"v","status":"active","beneficiary":{{"reference":"Patient/p"}}{rest}}}"#
        )
    };
    let row = one(&coverage(r#","period":{"start":"2020-01-01","end":"2020-12-31"}"#));
    assert_eq!((row.table(), text(&row, "basis")), (Table::ObservationPeriod, "insurance".into()));
    assert_ne!(row.get("end_date"), &Cell::Null);
    assert_eq!(read(coverage("").as_bytes()).0.skipped, ["Coverage"]);
}

/// validityPeriod is until when a prescription may be handed out; how long the drug is taken is in its dosage.
#[test]
fn a_prescription_lasts_as_long_as_it_is_taken() {
    let request = |rest: &str| {
        one(&format!(
            r#"{{"resourceType":"MedicationRequest","id":"x","status":"active","intent":"order","authoredOn":"2024-01-10","medicationCodeableConcept":{{"coding":[{{"system":"http://www.whocc.no/atc","code":"B01AC06"}}]}},"subject":{{"reference":"Patient/p"}},{rest}}}"#
        ))
    };
    let day = |d: &str| Cell::Date(chrono::NaiveDate::parse_from_str(d, "%Y-%m-%d").unwrap().to_epoch_days());
    let row = request(
        r#""dispenseRequest":{"validityPeriod":{"end":"2025-01-09"},"expectedSupplyDuration":{"value":30,"code":"d","unit":"d"}}"#,
    );
    assert_eq!((row.get("end_date"), row.get("days_supply")), (&Cell::Null, &Cell::Int(30)));
    let row = request(
        r#""dosageInstruction":[{"timing":{"repeat":{"boundsPeriod":{"start":"2024-01-10","end":"2024-01-17"}}}}]"#,
    );
    assert_eq!((row.get("end_date"), text(&row, "end_kind")), (&day("2024-01-17"), "explicit".into()));
    let row = request(
        r#""dosageInstruction":[{"timing":{"repeat":{"boundsDuration":{"value":2,"code":"wk","unit":"wk"}}}}]"#,
    );
    assert_eq!(row.get("days_supply"), &Cell::Int(14));
}
