//! Linkage ids: one tag for one person in CSV and FHIR, nothing without a key, and no id in what comes out.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::Cursor;
use std::sync::Arc;

use adapters::{Adapter, AdapterError, Context, Extract, Quarantined, Sink};
use schema::linkage::LinkageKey;
use schema::{Cell, Record, Table};

#[derive(Default)]
struct Seen {
    patients: Vec<Record>,
    said: String,
}

impl Sink for Seen {
    fn record(&mut self, r: Record) -> Result<(), AdapterError> {
        self.said += &format!("{r:?}");
        if r.table() == Table::Patient && r.get("status") != &Cell::from("preliminary") {
            self.patients.push(r);
        }
        Ok(())
    }
    fn quarantine(&mut self, q: Quarantined) -> Result<(), AdapterError> {
        self.said += &format!("{q:?}");
        Ok(())
    }
}

fn read(adapter: &dyn Adapter, name: &str, text: &str, key: Option<u8>) -> Seen {
    let context = Context {
        source_system: "s".to_owned(),
        zone: chrono_tz::UTC,
        pseudonyms: schema::record::Pseudonyms::new(&[1; 32]),
        linkage: key.map(|k| Arc::new(LinkageKey::new(&[k; 32]))),
        ingest_micros: 0,
        revision: 1,
    };
    let mut seen = Seen::default();
    let reader = Box::new(Cursor::new(text.as_bytes().to_vec()));
    adapter.read(&context, Extract { name, reader }, &mut seen).unwrap();
    seen
}

fn tags(seen: &Seen) -> Vec<Cell> {
    seen.patients.iter().map(|r| r.get("linkage_tag").clone()).collect()
}

const MAPPING: &str = r#"
format = "csv"
[[file]]
match = "p*.csv"
person = { column = "id" }
null = ["unknown"]
[[file.row]]
table = "patient"
[file.row.set]
sex = { column = "sex" }
birth_year = { column = "born" }
linkage = { column = "nr" }
[[file]]
match = "*.csv"
person = { column = "id" }
[[file.row]]
table = "patient"
"#;

const CSV: &str = "id,sex,born,nr\n1,F,1950,A-123 456 789\n2,M,1951,unknown\n3,F,1952,\n4,M,x,B-77/1\n";

fn csv() -> Box<dyn Adapter> {
    adapters::open("csv", Some(MAPPING), "m.toml").unwrap()
}

fn fhir(system: Option<&str>) -> Box<dyn Adapter> {
    adapters::open_linking("fhir-ndjson", None, "", system).unwrap()
}

fn patient(identifiers: &str) -> String {
    format!(r#"{{"resourceType":"Patient","id":"p","gender":"female","identifier":{identifiers}}}"#)
}

#[test]
fn one_person_has_one_tag_however_it_is_written() {
    assert!(csv().links("p1.csv") && !csv().links("other.csv"));
    let from_csv = tags(&read(csv().as_ref(), "p1.csv", CSV, Some(7)));
    assert!(matches!(from_csv[0], Cell::Tag(_)));
    assert_eq!(from_csv[1..3], [Cell::Null, Cell::Null], "no id, no tag");
    assert!(matches!(from_csv[3..], [Cell::Tag(_)]), "a bad year of birth costs the year alone");
    let line = patient(
        r#"[{"system":"urn:mrn","value":"A123456789"},{"use":"old","system":"urn:nat","value":"1"},
            {"system":"urn:nat","value":" "},{"system":"urn:nat","value":"a123.456.789"},{"system":"urn:nat","value":"2"}]"#,
    );
    let line = line.replace('\n', "");
    let from_fhir = tags(&read(fhir(Some("urn:nat")).as_ref(), "p.ndjson", &line, Some(7)));
    assert_eq!(from_fhir, from_csv[..1]);
    let other_key = tags(&read(csv().as_ref(), "p1.csv", CSV, Some(8)));
    assert_ne!(other_key[0], from_csv[0]);
}

#[test]
fn without_a_key_or_a_system_there_is_no_tag() {
    assert_eq!(tags(&read(csv().as_ref(), "p1.csv", CSV, None)), vec![Cell::Null; 4]);
    let line = patient(r#"[{"system":"urn:nat","value":"1"}]"#);
    assert!(fhir(Some("urn:nat")).links("p.ndjson") && !fhir(None).links("p.ndjson"));
    assert_eq!(tags(&read(fhir(Some("urn:nat")).as_ref(), "p.ndjson", &line, None)), [Cell::Null]);
    assert_eq!(tags(&read(fhir(None).as_ref(), "p.ndjson", &line, Some(7))), [Cell::Null]);
    for odd in ["null", "[]", "[{}]", r#"[{"value":"1"}]"#] {
        assert_eq!(tags(&read(fhir(Some("urn:nat")).as_ref(), "p.ndjson", &patient(odd), Some(7))), [Cell::Null]);
    }
}

#[test]
fn no_id_is_in_what_comes_out() {
    let seen = read(csv().as_ref(), "p1.csv", CSV, Some(7));
    assert!(seen.said.contains("BadNumber"), "the fourth row is quarantined");
    for part in ["123 456", "456789", "B-77", "B771"] {
        assert!(!seen.said.contains(part), "{part}");
    }
}
