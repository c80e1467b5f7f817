//! Every mistake is told with its line and with what would fit.
#![allow(clippy::unwrap_used)]

use super::*;

const GOOD: &str = r#"format = "csv"
[[file]]
match = "lab*.csv"
delimiter = ";"
decimal = ","
thousands = "."
dates = ["%d.%m.%Y"]
person = { column = "Nr" }
[[file.row]]
table = "measurement"
[file.row.set]
code_system = "loinc"
code = { column = "Test", map = { HBA1C = "4548-4" } }
value_num = { column = "Wert" }
event = { column = "Datum" }
"#;

fn error(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    match Mapping::parse(&GOOD.replace(from, to), "m.toml", &["csv"]) {
        Ok(_) => String::new(),
        Err(e) => e.to_string(),
    }
}

#[test]
fn a_good_mapping_is_taken() {
    let mapping = Mapping::parse(GOOD, "m.toml", &["csv"]).unwrap();
    assert!(mapping.file("2024/lab_1.csv.gz").is_some());
    assert!(mapping.file("vitals.csv").is_none());
}

#[test]
fn mistakes_name_their_line_and_the_remedy() {
    for (from, to, line, says) in [
        ("delimiter = ", "delimeter = ", 4, "delimiter, quote"),
        ("\"measurement\"", "\"labs\"", 10, "drug_exposure"),
        ("value_num =", "value =", 14, "value_num"),
        ("\"loinc\"", "\"lonic\"", 12, "icd10gm"),
        ("dates = [\"%d.%m.%Y\"]", "dates = [\"%d.%m.%y\"]", 7, "%Y"),
        ("dates = [\"%d.%m.%Y\"]\n", "", 14, "dates"),
        ("event =", "event_date =", 15, "use event"),
        ("person = { column = \"Nr\" }", "person = { row_number = false }", 8, "row_number = true"),
        ("code_system = \"loinc\"\n", "", 9, "code_system"),
        ("delimiter = \";\"", "delimiter = \";;\"", 4, "one character"),
        ("decimal = \",\"", "decimal = \".\"", 2, "thousands"),
        ("[[file.row]]", "[file.row]", 0, "[["),
        ("code = {", "comparator = \"less\"\ncode = {", 13, "eq, lt"),
        ("delimiter = \";\"", "encoding = \"latin-nine\"", 4, "windows-1252"),
        ("delimiter = \";\"", "header = false", 2, "columns"),
        ("delimiter = \";\"", "delimiter = ", 4, "not TOML"),
    ] {
        let message = error(from, to);
        assert!(message.contains(says), "{to}: {message}");
        assert!(line == 0 || message.contains(&format!("line {line}:")), "{to}: {message}");
    }
}

#[test]
fn a_closed_set_is_checked_in_maps_too() {
    let text = r#"format = "csv"
[[file]]
match = "p.csv"
person = { column = "id" }
[[file.row]]
table = "patient"
[file.row.set]
sex = { column = "g", map = { m = "M", w = "W" } }
"#;
    let message = Mapping::parse(text, "m.toml", &["csv"]).err().unwrap().to_string();
    assert!(message.contains("line 8") && message.contains("F, M, O, U"), "{message}");
}

#[test]
fn a_linkage_id_comes_from_a_column_as_it_is() {
    let with = |linkage: &str| {
        let text = format!(
            "format = \"csv\"\n[[file]]\nmatch = \"p.csv\"\nperson = {{ column = \"id\" }}\n[[file.row]]\n\
             table = \"patient\"\n[file.row.set]\n{linkage}\n"
        );
        Mapping::parse(&text, "m.toml", &["csv"]).map_err(|e| e.to_string())
    };
    assert!(with("linkage = { column = \"nr\" }").unwrap().file("p.csv").unwrap().links());
    assert!(!with("sex = { column = \"nr\" }").unwrap().file("p.csv").unwrap().links());
    for (wrong, says) in [
        ("linkage = \"nr\"", "comes from a column"),
        ("linkage = { column = \"nr\", default = \"0\" }", "\"default\" is not known"),
        ("linkage = { column = \"nr\", map = { a = \"b\" } }", "\"map\" is not known"),
        ("linkage_tag = { column = \"nr\" }", "use linkage"),
    ] {
        let message = with(wrong).err().unwrap();
        assert!(message.contains(says) && message.contains("line 8"), "{message}");
    }
    assert!(error("event =", "linkage =").contains("has no linkage"));
}

proptest::proptest! {
    #[test]
    fn never_panics(text in ".{0,200}") {
        let _ = Mapping::parse(&text, "m.toml", &["csv"]);
        let _ = Mapping::parse(&GOOD.replace("Test", &text), "m.toml", &["csv"]);
    }
}
