//! Dictionaries beside a file: what is found, what is missing, what is too large.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use schema::{Cell, Record};

use crate::sink::{Adapter, AdapterError, Extract, Neighbour, Place, Quarantined, Reason, Sink};
use crate::tabular::Tabular;

#[derive(Default)]
struct Seen(Vec<Record>, Vec<Quarantined>);

impl Sink for Seen {
    fn record(&mut self, r: Record) -> Result<(), AdapterError> {
        self.0.push(r);
        Ok(())
    }
    fn quarantine(&mut self, q: Quarantined) -> Result<(), AdapterError> {
        self.1.push(q);
        Ok(())
    }
}

fn mapping(lookup: &str) -> String {
    format!(
        r#"
format = "csv"
[lookup.items]
match = "d_items.csv"
{lookup}
[[file]]
match = "labs.csv"
person = {{ column = "p" }}
[file.column]
loinc = {{ lookup = "items", key = "item", column = "loinc" }}
[[file.row]]
table = "measurement"
id = ["n"]
[file.row.set]
coded = [{{ system = "loinc", code = {{ column = "loinc" }} }}, {{ system = "urn:x", code = {{ column = "item" }} }}]
value_num = {{ column = "v" }}
"#
    )
}

const LABS: &[u8] = b"n,p,item,v\n1,a,7,1.5\n2,a,8,2.5\n3,a,9,3.5\n";

fn read(tabular: &Tabular, dir: &Path, version: &str) -> Result<Seen, AdapterError> {
    let path = dir.join("d_items.csv");
    let mut beside = Vec::new();
    if path.exists() {
        beside.push(Neighbour { name: "d_items.csv".to_owned(), path, version: version.to_owned() });
    }
    let mut seen = Seen::default();
    let extract = Extract { name: "labs.csv", reader: Box::new(LABS) };
    let place = Place { path: None, beside: &beside };
    tabular.read_at(&crate::tabular::tests::context(), extract, place, &mut seen)?;
    Ok(seen)
}

fn codes(seen: &Seen) -> Vec<String> {
    let text = |r: &Record, c: &str| match r.get(c) {
        Cell::Text(t) => t.to_string(),
        _ => String::new(),
    };
    seen.0.iter().map(|r| format!("{} {}", text(r, "code_system"), text(r, "code"))).collect()
}

#[test]
fn a_code_is_found_or_the_items_own() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("d_items.csv"), "item,label,loinc\n7,Krea,2160-0\n8,Odd,\n7,again,9999-9\n").unwrap();
    let tabular = Tabular::new("csv", &mapping("key = \"item\""), "m.toml").unwrap();
    assert!(tabular.beside("labs.csv", "x/d_items.csv") && !tabular.beside("labs.csv", "labs.csv"));
    let seen = read(&tabular, dir.path(), "1").unwrap();
    assert_eq!(codes(&seen), ["http://loinc.org 2160-0", "urn:x 8", "urn:x 9"]);
    // Another version of the dictionary is loaded anew, the same one is not.
    fs::write(dir.path().join("d_items.csv"), "item,label,loinc\n8,Odd,718-7\n").unwrap();
    assert_eq!(codes(&read(&tabular, dir.path(), "1").unwrap()), codes(&seen));
    assert_eq!(codes(&read(&tabular, dir.path(), "2").unwrap()), ["urn:x 7", "http://loinc.org 718-7", "urn:x 9"]);
}

#[test]
fn without_its_file_a_lookup_is_empty_unless_it_is_required() {
    let dir = tempfile::tempdir().unwrap();
    let open = |lookup: &str| Tabular::new("csv", &mapping(lookup), "m.toml").unwrap();
    assert_eq!(codes(&read(&open("key = \"item\""), dir.path(), "").unwrap()), ["urn:x 7", "urn:x 8", "urn:x 9"]);
    let error = read(&open("key = \"item\"\nrequired = true"), dir.path(), "").err().unwrap().to_string();
    assert!(error.contains("line 3") && error.contains("d_items.csv") && error.contains("put it there"), "{error}");
}

#[test]
fn only_the_rows_that_are_asked_for_are_kept_and_the_limit_holds() {
    let dir = tempfile::tempdir().unwrap();
    let mut text = "item,kind,loinc\n7,lab,2160-0\n".to_owned();
    for i in 0..60_000 {
        text += &format!("1{i:08},other,{i:09}-{i:09}\n");
    }
    fs::write(dir.path().join("d_items.csv"), text).unwrap();
    let open = |lookup: &str| Tabular::new("csv", &mapping(lookup), "m.toml").unwrap();
    let error = read(&open("key = \"item\"\nlimit_mib = \"1\""), dir.path(), "").err().unwrap().to_string();
    assert!(error.contains("over 1 MiB") && error.contains("only = "), "{error}");
    let kept = open("key = \"item\"\nlimit_mib = \"1\"\nonly = { kind = [\"lab\"] }");
    assert_eq!(codes(&read(&kept, dir.path(), "").unwrap())[0], "http://loinc.org 2160-0");
}

#[test]
fn faults_of_a_dictionary_are_told_and_the_rest_of_it_counts() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("d_items.csv"), b"item,loinc\n7,2160-0\n8\n\x00,1\n9,718-7\n").unwrap();
    let tabular = Tabular::new("csv", &mapping("key = \"item\""), "m.toml").unwrap();
    let seen = read(&tabular, dir.path(), "").unwrap();
    assert_eq!(codes(&seen), ["http://loinc.org 2160-0", "urn:x 8", "http://loinc.org 718-7"]);
    let q = seen.1.first().unwrap();
    assert_eq!((seen.1.len(), q.reason), (1, Reason::Incomplete));
    assert!(q.detail.contains("2 rows") && q.detail.contains("line 3: wrong_columns"), "{}", q.detail);
    fs::write(dir.path().join("d_items.csv"), "code,loinc\n7,2160-0\n").unwrap();
    let error = read(&tabular, dir.path(), "2").err().unwrap().to_string();
    assert!(error.contains("column \"item\"") && error.contains("d_items.csv"), "{error}");
}
