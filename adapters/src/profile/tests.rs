use std::io::Write as _;

use super::*;

fn of(name: &str, bytes: &[u8]) -> FileProfile {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, bytes).unwrap();
    profile(&path, name, 1_000, &mut |_| {}).unwrap()
}

fn guess<'a>(file: &'a FileProfile, column: &str) -> &'a ColumnProfile {
    file.columns.iter().find(|c| c.name == column).unwrap()
}

#[test]
fn a_table_of_a_german_laboratory() {
    let mut text = "PatNr;Geschlecht;Entnahme;Wert;Einheit;Test;Diagnose;Befund\n".to_owned();
    for i in 0..40 {
        let sex = if i % 3 == 0 { "w" } else { "m" };
        text += &format!(
            "{};{sex};{:02}.03.2021;{},5;mg/dL;2160-0;E11.9;Der Patient klagt über Müdigkeit und Durst\n",
            1000 + i,
            i % 28 + 1,
            i
        );
    }
    let (bytes, _, _) = encoding_rs::WINDOWS_1252.encode(&text);
    let file = of("labor.csv", &bytes);
    assert_eq!(
        (file.kind, file.encoding, file.delimiter, file.items),
        (Kind::Delimited, Some("windows-1252"), Some(';'), 40)
    );
    let found: Vec<&str> = file.columns.iter().map(|c| c.guess.as_str()).collect();
    let want = [
        "whole number",
        "sex",
        "date",
        "number with a decimal comma",
        "unit",
        "LOINC code",
        "ICD-10 code",
        "free text",
    ];
    assert_eq!(found, want);
    assert_eq!(guess(&file, "Entnahme").dates, ["%d.%m.%Y"]);
    assert_eq!(guess(&file, "Geschlecht").values, [("m".to_owned(), 26), ("w".to_owned(), 14)]);
    assert!(guess(&file, "PatNr").values.is_empty() && guess(&file, "Befund").values.len() == 1);
    let mapping = draft(&[file]);
    for line in [
        "delimiter = \";\"",
        "encoding = \"windows-1252\"",
        "decimal = \",\"",
        "dates = [\"%d.%m.%Y\"]",
        "person = { column = \"PatNr\" }",
    ] {
        assert!(mapping.contains(line), "{line}\n{mapping}");
    }
    assert!(toml::from_str::<toml::Table>(&mapping).is_ok(), "{mapping}");
}

/// A value that few have is shown to nobody, not even in its own hospital.
#[test]
fn rare_values_are_not_shown() {
    let mut text = "code\n".to_owned();
    (0..20).for_each(|_| text += "common\n");
    (0..10).for_each(|_| text += "rare\n");
    assert_eq!(guess(&of("a.csv", text.as_bytes()), "code").values, [("common".to_owned(), 20)]);
}

#[test]
fn a_day_and_a_month_that_can_be_either_are_said_to_be() {
    let file = of("a.csv", b"day,sure\n01/02/2020,13/02/2020\n03/04/2021,01/02/2020\n");
    assert_eq!(guess(&file, "day").dates, ["%d/%m/%Y", "%m/%d/%Y"]);
    assert_eq!(guess(&file, "sure").dates, ["%d/%m/%Y"]);
    assert!(draft(&[file]).contains("fit alike; ask who wrote the file"));
}

#[test]
fn thousands_zones_fractions_and_months_by_name() {
    let mut text = "german;english;at;fine;named\n".to_owned();
    for i in 10..40 {
        let day = i % 28 + 1;
        text += &format!("1.{i}0,5;1,2{i}.5;2020-01-02T10:00:{i}Z;2020-01-02 10:00:{i}.25+00;{day:02}-Jan-2020\n");
    }
    let file = of("a.csv", text.as_bytes());
    let found: Vec<&str> = file.columns.iter().map(|c| c.guess.as_str()).collect();
    assert_eq!(found[..2], ["number with a decimal comma and thousands", "number with thousands"]);
    let dates: Vec<_> = file.columns.iter().skip(2).map(|c| c.dates.clone()).collect();
    assert_eq!(dates, [["%Y-%m-%dT%H:%M:%S%z"], ["%Y-%m-%d %H:%M:%S.%f%z"], ["%d-%b-%Y"]]);
    let mapping = draft(&[file]);
    assert!(mapping.contains("decimal = \",\"\nthousands = \".\"\n"), "{mapping}");
    assert_eq!(guess(&of("a.csv", b"x;n\n1;1.200\n2;2.500\n"), "n").guess, "number", "which may be either");
}

#[test]
fn other_formats_by_their_bytes() {
    let ndjson = b"{\"resourceType\":\"Patient\",\"id\":\"1\"}\n{\"resourceType\":\"Observation\"}\nbroken\n";
    let file = of("x.csv", ndjson);
    assert_eq!((file.kind, file.items, file.unreadable), (Kind::FhirNdjson, 2, 1));
    assert_eq!(file.holds.get("Patient"), Some(&1));
    let hl7 =
        b"MSH|^~\\&|A|B|C|D|202101011200||ADT^A01|1|P|2.5\rPID|1\rMSH|^~\\&|A|B|C|D|202101011200||ORU^R01|2|P|2.5\r";
    let file = of("x", hl7);
    assert_eq!((file.kind, file.holds.len(), file.holds.get("ADT^A01")), (Kind::Hl7v2, 2, Some(&1)));
    assert_eq!(of("x", b"{\n \"resourceType\": \"Bundle\"\n}").kind, Kind::FhirBundle);
    assert_eq!(of("x", b"{\"a\":1}").kind, Kind::Json);
    assert_eq!(of("x", b"<?xml version=\"1.0\"?><ClinicalDocument/>").kind, Kind::Cda);
    assert_eq!(of("x", b"<a/>").kind, Kind::Xml);
    assert_eq!(of("x", b"a\0b").kind, Kind::Binary);
    assert_eq!(of("x", b"").kind, Kind::Empty);
    assert_eq!(of("person.csv", b"person_id,gender_concept_id\n1,8507\n").shipped, ["omop"]);
}

#[test]
fn what_breaks_off_keeps_what_came_before() {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut row = 0u64;
    while gz.get_ref().len() < 100_000 {
        row = row.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        gz.write_all(format!("{row},{}\n", row >> 7).as_bytes()).unwrap();
        gz.flush().unwrap();
    }
    let whole = gz.finish().unwrap();
    let file = of("a.csv.gz", &whole[..whole.len() / 2]);
    assert_eq!((file.kind, file.columns.len()), (Kind::Delimited, 2));
    assert!(file.items > 0);
}

#[test]
fn check_digits() {
    for (text, what) in [
        ("22298006", "SNOMED CT code"),
        ("718-7", "LOINC code"),
        ("A10BA02", "ATC code"),
        ("250.00", "number"),
        ("<5", "number with a comparator"),
    ] {
        let row = format!("c\n{text}\n{text}\n");
        assert_eq!(guess(&of("a.csv", row.as_bytes()), "c").guess, what, "{text}");
    }
    assert_ne!(guess(&of("a.csv", b"c\n718-8\n"), "c").guess, "LOINC code");
    assert_ne!(guess(&of("a.csv", b"c\n22298007\n"), "c").guess, "SNOMED CT code");
}

#[test]
fn long_texts_are_counted_and_one_letter_is_no_sex() {
    let mut text = "note,flag\n".to_owned();
    (0..60).for_each(|i| text += &format!("{} {},D\n", "x".repeat(200), i % 30));
    let file = of("a.csv", text.as_bytes());
    assert_eq!((guess(&file, "note").distinct, guess(&file, "note").guess.as_str()), (Some(30), "free text"));
    assert_eq!(guess(&file, "flag").guess, "a few words");
}

#[test]
fn a_file_without_a_header_shows_no_cell_and_a_text_is_no_table() {
    let file = of("person.csv", b"4711,Schmidt,8507,1970\n4712,Meier,8532,1980\n");
    assert!(file.no_header && file.columns.iter().all(|c| c.name.starts_with("column ")));
    let mapping = draft(&[file, of("SOURCE.md", b"# What this is\n\nA text, with a comma.\n")]);
    assert!(mapping.contains("header = false") && !mapping.contains("Schmidt"), "{mapping}");
    assert!(!mapping.contains("SOURCE.md"), "{mapping}");
    assert!(!of("a.csv", b"id,2020,born\nx,1,2\n").no_header);
}

fn kind<'f>(file: &'f FileProfile, name: &str) -> &'f KindProfile {
    let contents = file.contents.as_ref().unwrap();
    contents.kinds.iter().find(|k| k.name == name).unwrap_or_else(|| panic!("{name} in {contents:?}"))
}

fn filled(file: &FileProfile, name: &str, field: &str) -> u64 {
    kind(file, name).fields.iter().find(|f| f.name == field).map_or(0, |f| f.filled)
}

#[test]
fn what_is_in_bundles_lists_and_resources_over_several_lines() {
    let patient = r#"{"resourceType":"Patient","id":"1","birthDate":"1950-01-01","identifier":[{"system":"http://h/mrn","value":"20200101"}]}"#;
    let observation = |value: &str| {
        format!(
            r#"{{"resourceType":"Observation","code":{{"coding":[{{"system":"http://loinc.org","code":"2160-0"}}]}},"effectiveDateTime":"2021-03-0{value}T10:00:00Z","valueQuantity":{{"value":{value}.5,"unit":"mg/dL","system":"http://unitsofmeasure.org","code":"mg/dL"}}}}"#
        )
    };
    let all = [patient.to_owned(), observation("1"), observation("4")];
    let entries: Vec<String> = all.iter().map(|r| format!("{{\"fullUrl\":\"urn:x\",\"resource\":{r}}}")).collect();
    let bundle =
        format!("{{\n\"resourceType\":\"Bundle\",\"type\":\"collection\",\n\"entry\":[{}]}}", entries.join(",\n"));
    let pretty: serde_json::Value = serde_json::from_str(&all[1]).unwrap();
    let pretty = serde_json::to_string_pretty(&pretty).unwrap();
    for (text, want, n) in [
        (bundle, Kind::FhirBundle, 3),
        (format!("[\n{}]", all.join(",\n")), Kind::FhirJson, 3),
        (all.join("\n"), Kind::FhirNdjson, 3),
        (pretty, Kind::FhirJson, 1),
    ] {
        let file = of("x.json", text.as_bytes());
        assert_eq!((file.kind, file.items, file.unreadable), (want, n, 0));
        assert_eq!(filled(&file, "Observation", "valueQuantity"), n.min(2), "{want:?}");
        let contents = file.contents.as_ref().unwrap();
        assert_eq!(contents.systems.get("http://loinc.org"), Some(&n.min(2)));
        assert_eq!(contents.units.get("mg/dL"), Some(&n.min(2)));
        let last = if n == 3 { "2021-03-04" } else { "2021-03-01" };
        assert_eq!(contents.dates, Some(("2021-03-01".to_owned(), last.to_owned())), "no birth, no number");
        assert_eq!(contents.authorities.get("http://h/mrn").copied(), (n == 3).then_some(1));
    }
    // Neither is a table: by its bytes, or by its name.
    assert_eq!(of("x.json", b"\xfe\xff\0{\0\"\0a\0\"\0:\0,").kind, Kind::Json);
    assert_eq!(of("x.ndjson", b"broken, {\"a\": 1}\n").kind, Kind::Json);
}

#[test]
fn what_is_in_messages_and_documents() {
    let message = "MSH|^~\\&|A|B|C|D|202101011200||ORU^R01|1|P|2.5\rPID|1||7^^^HOSP^MR~8^^^SSA^SS||X^Y\rOBR|1||F1|P|||20210301\r\
                   OBX|1|NM|2160-0^C^LN||1.5|mg/dL|||||F\rOBX|2|NM|1^C^L|||mg/dL|||||F\r";
    let file = of("x", message.repeat(12).as_bytes());
    assert_eq!(
        (kind(&file, "OBX").items, filled(&file, "OBX", "OBX-05"), filled(&file, "PID", "PID-03")),
        (24, 12, 12)
    );
    assert_eq!(filled(&file, "MSH", "MSH-10"), 12);
    let contents = file.contents.unwrap();
    assert_eq!((contents.systems.get("http://loinc.org"), contents.systems.get("L")), (Some(&12), Some(&12)));
    assert_eq!((contents.units.get("mg/dL"), contents.authorities.get("HOSP")), (Some(&24), Some(&12)));
    assert_eq!(contents.dates.unwrap().0, "2021-03-01");
    let document = r#"<ClinicalDocument xmlns="urn:hl7-org:v3"><recordTarget><patientRole><id root="1.2.3" extension="7"/></patientRole>
        </recordTarget><component><structuredBody><component><section><templateId root="2.16.1" extension="2015"/>
        <code code="30954-2" codeSystem="2.16.840.1.113883.6.1"/><entry><observation><effectiveTime value="20200102"/>
        <value unit="mg/dL" value="1"/></observation></entry></section></component></structuredBody></component></ClinicalDocument>"#;
    let file = of("x.xml", document.as_bytes());
    assert_eq!((file.kind, file.unreadable, kind(&file, "section 30954-2").items), (Kind::Cda, 0, 1));
    assert_eq!((kind(&file, "template 2.16.1:2015").items, kind(&file, "observation").items), (1, 1));
    let contents = file.contents.unwrap();
    assert_eq!(
        (contents.systems.get("http://loinc.org"), contents.authorities.get("urn:oid:1.2.3")),
        (Some(&1), Some(&1))
    );
    assert_eq!((contents.units.get("mg/dL"), contents.dates.unwrap().1.as_str()), (Some(&1), "2020-01-02"));
    assert_eq!(of("x.xml", &document.as_bytes()[..300]).unreadable, 1);
}
