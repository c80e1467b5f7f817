//! A row in, records out: the German laboratory, the wide file, and what is wrong with them.
#![allow(clippy::unwrap_used)]

mod extracts;
mod features;

use super::*;
use crate::sink::Quarantined;
use proptest::prelude::*;
use schema::{Cell, Record, Table};
use std::io::Cursor;

#[derive(Default)]
struct Seen {
    records: Vec<Record>,
    bad: Vec<Quarantined>,
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
}

pub(super) fn context() -> Context {
    Context {
        source_system: "his".to_owned(),
        zone: chrono_tz::Europe::Berlin,
        pseudonyms: schema::record::Pseudonyms::new(&[1; 32]),
        linkage: None,
        ingest_micros: 1_700_000_000_000_000,
        revision: 3,
    }
}

fn read(mapping: &str, name: &str, bytes: &[u8]) -> (Seen, Result<Read, AdapterError>) {
    let tabular = Tabular::new("csv", mapping, "m.toml").unwrap();
    let mut seen = Seen::default();
    let extract = Extract { name, reader: Box::new(Cursor::new(bytes.to_vec())) };
    let result = tabular.read(&context(), extract, &mut seen);
    (seen, result)
}

const LAB: &str = r#"
format = "csv"
[[file]]
match = "labor*.csv"
delimiter = ";"
encoding = "windows-1252"
decimal = ","
thousands = "."
dates = ["%d.%m.%Y %H:%M", "%d.%m.%Y"]
null = ["k.A."]
person = { column = "PatNr" }
[[file.row]]
table = "measurement"
require = ["Wert"]
id = ["Auftrag", "Test"]
[file.row.set]
code_system = "loinc"
code = { column = "Test", map = { HBA1C = "4548-4", "KREA-J" = "2160-0" } }
value_num = { column = "Wert" }
unit_src = { column = "Einheit" }
event = { column = "Datum" }
visit = { column = "Fall" }
"#;

const HEAD: &str = "PatNr;Fall;Auftrag;Datum;Test;Wert;Einheit\n";

fn lab(rows: &str) -> (Seen, Read) {
    let (seen, result) = read(LAB, "labor1.csv", format!("{HEAD}{rows}").as_bytes());
    (seen, result.unwrap())
}

#[test]
fn a_german_laboratory() {
    let (seen, read) = lab("P1;F1;A1;03.04.2023 08:15;HBA1C;7,0;%\nP1;F1;A2;03.04.2023;KREA-J;<1.000,5;mg/dl\n");
    assert_eq!(read, Read { items: 2, records: 2, quarantined: 0, skipped: 0 });
    let first = seen.records.first().unwrap();
    assert_eq!(first.get("value_std"), &Cell::Real(7.0 * 10.93 - 23.5));
    assert_eq!(first.get("t_prec"), &Cell::from("minute"));
    assert_eq!(first.get("t_zone_src"), &Cell::from("site"));
    assert_eq!(first.get("utc_offset_min"), &Cell::Int(120));
    assert_eq!(first.get("rev"), &Cell::Int(3));
    assert_eq!(first.get("src_format"), &Cell::from("csv"));
    let envelope = Envelope::new(&context(), "csv").visit("F1");
    assert_eq!(first.get("visit_key"), &Cell::Key(envelope));
    let second = seen.records.get(1).unwrap();
    assert_eq!(second.get("comparator"), &Cell::from("lt"));
    assert_eq!(second.get("value_hi"), &Cell::Real(1000.5));
    assert_eq!(second.get("t_prec"), &Cell::from("day"));
    assert_eq!(second.get("t_event"), &Cell::Null);
    assert_ne!(first.get("record_key"), second.get("record_key"));
}

#[test]
fn a_bad_cell_costs_its_record_and_says_where() {
    let (seen, read) = lab(concat!(
        "P1;F1;A1;31.02.2024;HBA1C;7,0;%\n",
        "P1;F1;A2;01.02.2024;HBA1C;1,234.5;%\n",
        "P1;F1;A3;01.02.2024;LDL;7,0;%\n",
        "k.A.;F1;A4;01.02.2024;HBA1C;7,0;%\n",
        "P1;F1;A5;01.02.2024;HBA1C;7,0\n",
        "P1;F1;A6;01.02.2024;HBA1C;k.A.;%\n",
        "P1;F1;A7;01.02.2024;HBA1C;7,0;%\n",
    ));
    let got: Vec<_> = seen.bad.iter().map(|q| (q.line, q.reason)).collect();
    let want = [
        (2, Reason::BadDate),
        (3, Reason::BadNumber),
        (4, Reason::Unmapped),
        (5, Reason::MissingPatient),
        (6, Reason::WrongColumns),
    ];
    assert_eq!(got, want);
    assert!(seen.bad.iter().all(|q| !q.detail.contains("1,234.5") && !q.detail.contains("31.02")));
    assert!(seen.bad.first().unwrap().detail.contains("Datum"));
    assert_eq!(read, Read { items: 7, records: 1, quarantined: 5, skipped: 1 });
}

#[test]
fn a_file_that_contradicts_its_mapping_is_refused() {
    let (_, result) = read(LAB, "labor1.csv", b"PatNr,Fall\nP1,F1\n");
    let message = result.unwrap_err().to_string();
    assert!(message.contains("m.toml, line") && message.contains("delimiter"), "{message}");
}

#[test]
fn the_same_row_again_is_the_same_record_and_a_new_value_is_a_revision() {
    let (seen, _) = lab("P1;F1;A1;03.04.2023;HBA1C;7,0;%\nP1;F1;A1;03.04.2023;HBA1C;7,1;%\n");
    let keys: Vec<_> = seen.records.iter().map(|r| r.get("record_key")).collect();
    assert_eq!(keys.first(), keys.get(1));
}

const WIDE: &str = r#"
format = "csv"
[[file]]
match = "*.txt"
header = false
columns = ["id", "sex", "born", "from", "to", "sbp", "died"]
delimiter = "\t"
dates = ["%Y-%m-%d", "%Y"]
person = { column = "id" }
[[file.row]]
table = "patient"
[file.row.set]
sex = { column = "sex", map = { h = "M", f = "F" } }
birth = { column = "born" }
[[file.row]]
table = "visit"
[file.row.set]
class = "IP"
visit = { column = "id" }
start = { column = "from" }
end = { column = "to" }
[[file.row]]
table = "measurement"
require = ["sbp"]
[file.row.set]
code_system = "loinc"
code = "8480-6"
value_num = { column = "sbp" }
unit_src = "mmHg"
event = { column = "from" }
[[file.row]]
table = "death"
require = ["died"]
[file.row.set]
event = { column = "died" }
"#;

#[test]
fn one_wide_row_becomes_several_records() {
    let (seen, result) = read(
        WIDE,
        "a.txt",
        b"1\th\t1950\t2020-01-02\t\t120\t2020-02-03\n2\tx\t1951-02-03\t2020-01-02\t2020-01-05\t\t\n",
    );
    assert_eq!(result.unwrap(), Read { items: 2, records: 6, quarantined: 0, skipped: 0 });
    let of = |t: Table| seen.records.iter().filter(|r| r.table() == t).collect::<Vec<_>>();
    let patients = of(Table::Patient);
    assert_eq!((patients[0].get("birth_year"), patients[0].get("birth_month")), (&Cell::Int(1950), &Cell::Null));
    assert_eq!((patients[1].get("sex"), patients[1].get("birth_month")), (&Cell::from("U"), &Cell::Int(2)));
    let visits = of(Table::Visit);
    assert_eq!((visits[0].get("open"), visits[1].get("open")), (&Cell::Flag(true), &Cell::Flag(false)));
    assert_eq!(visits[1].get("start_date"), visits[1].get("event_date"));
    let death = of(Table::Death);
    assert_eq!(death[0].get("death_date"), death[0].get("event_date"));
    assert_eq!(seen.records.iter().find_map(Record::missing), None);
}

#[test]
fn a_binary_file_gives_quarantine_and_no_records() {
    let mut x = 0x2545_f491_4f6c_dd1du64;
    let bytes: Vec<u8> = (0..100_000)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            (x >> 24) as u8
        })
        .collect();
    let (seen, result) = read(LAB, "labor1.csv", &bytes);
    let read = result.unwrap();
    assert!(seen.records.is_empty() && read.quarantined > 100, "{read:?}");
    assert_eq!(seen.bad.len() as u64, read.quarantined);
}

proptest! {
    #[test]
    fn never_panics_on_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(LAB, "labor1.csv", &bytes);
        let _ = read(WIDE, "a.txt", &bytes);
    }

    #[test]
    fn never_panics_on_cells(cells in proptest::collection::vec("[0-9.,<>=eE+%a-c;\" -]{0,12}", 7)) {
        let (seen, read) = lab(&cells.join(";"));
        prop_assert_eq!(read.quarantined, seen.bad.len() as u64);
        prop_assert_eq!(read.records, seen.records.len() as u64);
    }
}
