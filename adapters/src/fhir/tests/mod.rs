//! Each resource, its odd forms, and what is refused.
#![allow(clippy::unwrap_used)]

mod faults;
mod profiles;
mod references;

use super::*;
use crate::sink::Quarantined;
use proptest::prelude::*;
use schema::{Cell, Table};
use std::io::Cursor;

#[derive(Default)]
struct Seen {
    records: Vec<Record>,
    bad: Vec<Quarantined>,
    skipped: Vec<String>,
}

impl Seen {
    /// The rows that are not taken back.
    fn told(&self) -> Vec<&Record> {
        self.records.iter().filter(|r| r.get("op") == &Cell::from("upsert")).collect()
    }
}

impl crate::Sink for Seen {
    fn record(&mut self, r: Record) -> Result<(), AdapterError> {
        self.records.push(r);
        Ok(())
    }
    fn quarantine(&mut self, q: Quarantined) -> Result<(), AdapterError> {
        self.bad.push(q);
        Ok(())
    }
    fn skipped(&mut self, kind: &str) {
        self.skipped.push(kind.to_owned());
    }
}

fn context() -> Context {
    Context {
        source_system: "ehr".to_owned(),
        zone: chrono_tz::Europe::London,
        pseudonyms: schema::record::Pseudonyms::new(&[1; 32]),
        linkage: None,
        ingest_micros: 1_700_000_000_000_000,
        revision: 1,
    }
}

fn read(bytes: &[u8]) -> (Seen, Read) {
    let mut seen = Seen::default();
    let extract = Extract { name: "x.ndjson", reader: Box::new(Cursor::new(bytes.to_vec())) };
    let read = Fhir::new(None).read(&context(), extract, &mut seen).unwrap();
    (seen, read)
}

/// Reads a whole source: surveyed first, then read in the order given.
fn source(files: &[(&str, &str)]) -> (Seen, Read) {
    let (fhir, mut seen, mut sum) = (Fhir::new(None), Seen::default(), Read::default());
    let extract = |name, text: &str| Extract { name, reader: Box::new(Cursor::new(text.as_bytes().to_vec())) };
    for (name, text) in files.iter().filter(|(name, _)| fhir.surveys(name)) {
        fhir.survey(extract(name, text)).unwrap();
    }
    for (name, text) in files {
        let read = fhir.read(&context(), extract(name, text), &mut seen).unwrap();
        sum.items += read.items;
        sum.records += read.records;
        sum.quarantined += read.quarantined;
        sum.skipped += read.skipped;
    }
    (seen, sum)
}

fn one(json: &str) -> Record {
    let (seen, _) = read(json.as_bytes());
    assert!(seen.bad.is_empty(), "{:?}", seen.bad);
    assert_eq!(seen.records.len(), 1);
    let record = seen.records.into_iter().next().unwrap();
    assert_eq!(record.missing(), None);
    record
}

#[test]
fn a_patient_who_died_gives_two_rows_of_one_person() {
    let (seen, read) = read(
        br#"{"resourceType":"Patient","id":"p","gender":"male","birthDate":"1950-07","deceasedDateTime":"2020-01-02"}"#,
    );
    assert_eq!(read, Read { items: 1, records: 2, quarantined: 0, skipped: 0 });
    assert_eq!(seen.records[0].get("birth_month"), &Cell::Int(7));
    assert_eq!((seen.records[1].table(), seen.told().len()), (Table::Death, 2));
    assert_eq!(seen.records[0].get("person_key"), seen.records[1].get("person_key"));
}

#[test]
fn blood_pressure_splits_and_its_order_does_not_matter() {
    let component = |code: &str, value: u32| {
        format!(
            r#"{{"code":{{"coding":[{{"system":"http://loinc.org","code":"{code}"}}]}},
            "valueQuantity":{{"value":{value},"unit":"mmHg","code":"mm[Hg]"}}}}"#
        )
        .replace('\n', " ")
    };
    let whole = |a: String, b: String| {
        format!(
            r#"{{"resourceType":"Observation","id":"o","status":"final","subject":{{"reference":"Patient/p"}},"code":{{"coding":[{{"system":"http://loinc.org","code":"55284-4"}}]}},"effectiveDateTime":"2020-01-01T10:00:00Z","component":[{a},{b}]}}"#
        )
    };
    let (first, _) = read(whole(component("8480-6", 120), component("8462-4", 80)).as_bytes());
    let (second, _) = read(whole(component("8462-4", 80), component("8480-6", 120)).as_bytes());
    assert_eq!(first.records.len(), 2);
    assert_eq!(first.records, second.records);
    assert_eq!(first.records[1].get("value_std"), &Cell::Real(120.0));
}

#[test]
fn comparators_codes_texts_and_absent_values() {
    let obs = |value: &str| {
        one(&format!(
            r#"{{"resourceType":"Observation","id":"o","status":"amended","subject":{{"reference":"https://h/fhir/Patient/p"}},"encounter":{{"reference":"Encounter/e"}},"code":{{"coding":[{{"system":"http://local","code":"x"}},{{"system":"http://loinc.org","code":"1988-5"}}]}},"effectivePeriod":{{"start":"2020"}},"issued":"2020-02-01T00:00:00Z",{value}}}"#
        ))
    };
    let bound = obs(r#""valueQuantity":{"value":5,"comparator":"<","unit":"mg/L"}"#);
    assert_eq!(bound.get("comparator"), &Cell::from("lt"));
    assert_eq!(bound.get("code"), &Cell::from("1988-5"));
    assert_eq!(bound.get("status"), &Cell::from("corrected"));
    assert_eq!(bound.get("t_prec"), &Cell::from("year"));
    assert_ne!(bound.get("t_known"), &Cell::Null);
    let coded = obs(r#""valueCodeableConcept":{"coding":[{"system":"http://snomed.info/sct","code":"260385009"}]}"#);
    assert_eq!(coded.get("value_code"), &Cell::from("260385009"));
    assert_eq!(obs(r#""valueString":"high""#).get("flag"), &Cell::from("text"));
    let absent = obs(r#""dataAbsentReason":{"coding":[{"code":"not-performed"}]}"#);
    assert_eq!(absent.get("flag"), &Cell::from("absent:not-performed"));
    assert_eq!(obs(r#""valueInteger":7"#).get("value_num"), &Cell::Real(7.0));
    let odd = obs(r#""valueQuantity":{"value":5,"comparator":"ad","unit":"mg/L"}"#);
    assert_eq!(odd.get("value_num"), &Cell::Null);
}

#[test]
fn what_was_entered_in_error_is_retracted() {
    let r = one(
        r#"{"resourceType":"Condition","id":"c","verificationStatus":{"coding":[{"code":"entered-in-error"}]},"subject":{"reference":"Patient/p"}}"#,
    );
    assert_eq!((r.get("op"), r.get("status")), (&Cell::from("retract"), &Cell::from("error")));
    let upsert = one(
        r#"{"resourceType":"Condition","id":"c","code":{"coding":[{"system":"http://snomed.info/sct","code":"1"}]},"subject":{"reference":"Patient/p"},"onsetDateTime":"2020-01","abatementDateTime":"2020-03-04"}"#,
    );
    assert_eq!(upsert.get("record_key"), r.get("record_key"));
    assert_eq!(upsert.get("t_prec"), &Cell::from("month"));
}

#[test]
fn medication_in_place_contained_or_elsewhere() {
    let request = |rest: &str| {
        format!(
            r#"{{"resourceType":"MedicationRequest","id":"m","status":"active","intent":"order","subject":{{"reference":"Patient/p"}},"authoredOn":"2020-01-01",{rest}}}"#
        )
    };
    let contained = request(
        r##""medicationReference":{"reference":"#a"},"contained":[{"resourceType":"Medication","id":"a","code":{"coding":[{"system":"http://www.whocc.no/atc","code":"A10BA02"}]}}]"##,
    );
    assert_eq!(one(&contained).get("code"), &Cell::from("A10BA02"));
    let elsewhere = request(r#""medicationReference":{"reference":"Medication/a"}"#);
    let (unknown, _) = read(elsewhere.as_bytes());
    assert_eq!(unknown.bad[0].reason, Reason::MissingCode);
    assert!(unknown.bad[0].detail.contains("export Medication too"), "{}", unknown.bad[0].detail);
    let medication = r#"{"resourceType":"Medication","id":"a","code":{"coding":[{"system":"http://fhir.de/CodeSystem/ifa/pzn","code":"1"},{"system":"http://fhir.de/CodeSystem/bfarm/atc","code":"B01AC06"}]}}"#;
    let (known, _) = source(&[("z.ndjson", medication), ("a.ndjson", &elsewhere)]);
    let row = known.records.iter().find(|r| r.get("code") == &Cell::from("B01AC06")).unwrap();
    assert_eq!(row.get("code_system"), &Cell::from("http://www.whocc.no/atc"));
}

#[test]
fn what_is_skipped_and_what_is_refused() {
    let lines = [
        r#"{"resourceType":"Organization","id":"o"}"#,
        r#"{"resourceType":"Procedure","id":"x","status":"completed","modifierExtension":[{"url":"u"}]}"#,
        r#"{"id":"x"}"#,
        "not json",
        r#"{"resourceType":"Patient","gender":"male"}"#,
        r#"{"resourceType":"Procedure","id":"x","status":"completed","code":{"coding":[{"code":"1"}]}}"#,
        r#"{"resourceType":"Patient","id":"p","birthDate":"1950-02-31"}"#,
        r#"{"resourceType":"Patient","id":7}"#,
        r#"{"resourceType":"Encounter","id":"e","class":{"code":"??"},"subject":{"reference":"Patient/p"}}"#,
        "",
        r#"{"id":"p","resourceType":"Patient"}"#,
    ];
    let (seen, read) = read(lines.join("\n").as_bytes());
    let got: Vec<_> = seen.bad.iter().map(|q| (q.line, q.reason)).collect();
    let want = [
        (3, Reason::NoResourceType),
        (4, Reason::BadJson),
        (5, Reason::MissingId),
        (6, Reason::MissingPatient),
        (7, Reason::BadDate),
        (8, Reason::BadJson),
        (9, Reason::UnknownLevel),
    ];
    assert_eq!(got, want);
    // The patient twice, once without a birth, the visit as an outpatient's; that nothing says dead, twice, and what the procedure was.
    assert_eq!((read, seen.told().len()), (Read { items: 10, records: 6, quarantined: 7, skipped: 2 }, 3));
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    let deep = format!(r#"{{"resourceType":"Patient","id":"p","x":{}"#, "[".repeat(100_000));
    let (seen, _) = read(deep.as_bytes());
    assert_eq!(seen.bad.first().map(|q| q.reason), Some(Reason::BadJson));
}

proptest! {
    #[test]
    fn never_panics_on_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let (seen, read) = read(&bytes);
        prop_assert!(seen.records.is_empty());
        prop_assert_eq!(read.quarantined, seen.bad.len() as u64);
    }

    #[test]
    fn never_panics_on_strange_fields(
        kind in "(Patient|Encounter|Condition|Observation|MedicationRequest|Procedure)",
        field in "(id|status|class|code|subject|period|component|birthDate|effectiveDateTime|valueQuantity)",
        value in "([0-9]{1,3}|\"[a-z0-9/#:-]{0,12}\"|\\{\\}|\\[\\]|null|\\[\\{\"code\":\\{\\}\\}\\])",
    ) {
        let json = format!(r#"{{"resourceType":"{kind}","{field}":{value},"id":"x","subject":{{"reference":"Patient/p"}}}}"#);
        let (_, read) = read(json.as_bytes());
        prop_assert_eq!(read.items, 1);
    }
}

#[test]
fn an_end_that_never_comes_is_open_and_what_a_row_can_do_without_costs_no_row() {
    let visit = |id: &str, class: &str, period: &str| {
        format!(
            r#"{{"resourceType":"Encounter","id":"{id}","status":"finished",{class}"subject":{{"reference":"Patient/p"}},"period":{{"start":"2020-01-02",{period}}}}}"#
        )
    };
    let imp = r#""class":{"code":"IMP"},"#;
    let ward = r#""class":{"system":"urn:epic","code":"4"},"type":[{"coding":[{"system":"http://snomed.info/sct","code":"32485007"}]}],"#;
    let stay = r#""hospitalization":{"dischargeDisposition":{"coding":[{"code":"home"}]}},"#;
    let lines = [
        visit("a", imp, r#""end":"9999-12-31T00:00:00Z""#),
        visit("b", imp, r#""end":"2020-02-31""#),
        visit("c", ward, r#""end":"2020-02-01""#),
        visit("d", stay, r#""end":"2020-02-01""#),
        visit("e", r#""class":{"extension":[]},"#, r#""end":"2020-02-01""#),
        r#"{"resourceType":"Patient","id":"p","gender":"male","birthDate":"1970-13"}"#.to_owned(),
    ];
    let (seen, read) = read(lines.join("\n").as_bytes());
    // Five visits, the patient, and that nothing says dead.
    assert_eq!((read.records, read.quarantined), (7, 3), "{:?}", seen.bad);
    let of = |column: &str| seen.records.iter().map(|r| r.get(column).clone()).collect::<Vec<_>>();
    let end = of("end_date");
    assert!(end[0] == Cell::Null && end[1] == Cell::Null && end[2] != Cell::Null);
    assert_eq!(of("class")[..5], ["IP", "IP", "IP", "IP", "OP"].map(Cell::from));
    let bad: Vec<_> = seen.bad.iter().map(|q| (q.line, q.reason)).collect();
    assert_eq!(bad, [(2, Reason::BadDate), (5, Reason::UnknownLevel), (6, Reason::BadDate)]);
}
