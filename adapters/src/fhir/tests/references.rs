//! One person has one key, whatever style names them; and what a Bundle, a deletion and a merge do.

use super::*;

const MRN: &str = r#""identifier":[{"system":"http://h/mrn","value":"7"}]"#;

fn condition(id: &str, subject: &str) -> String {
    format!(
        r#"{{"resourceType":"Condition","id":"{id}","code":{{"coding":[{{"system":"http://snomed.info/sct","code":"1"}}]}},"subject":{subject}}}"#
    )
}

fn person(r: &Record) -> Cell {
    r.get("person_key").clone()
}

#[test]
fn every_style_leads_to_the_same_person() {
    let styles = [
        r#"{"reference":"Patient/p"}"#,
        r#"{"reference":"https://h.example/fhir/Patient/p"}"#,
        r#"{"reference":"Patient/p/_history/3"}"#,
        r#"{"reference":"urn:uuid:0b2d0b5c-3f5c-4a36-9a35-8d0d6a4c5a11"}"#,
        r#"{"identifier":{"system":"http://h/mrn","value":"7"}}"#,
        r#"{"reference":"Patient?identifier=http://h/mrn|7"}"#,
        r#"{"reference":"https://h.example/fhir/Patient?identifier=http%3A%2F%2Fh%2Fmrn%7C7"}"#,
    ];
    let mut entries: Vec<String> = styles
        .iter()
        .enumerate()
        .map(|(i, s)| format!(r#"{{"resource":{}}}"#, condition(&format!("c{i}"), s)))
        .collect();
    let contained = condition("c9", "{\"reference\":\"#x\"}").replacen(
        '{',
        &format!("{{\"contained\":[{{\"resourceType\":\"Patient\",\"id\":\"x\",{MRN}}}],"),
        1,
    );
    entries.push(format!(r#"{{"resource":{contained}}}"#));
    // The Patient comes last, and its fullUrl is not its id.
    entries.push(format!(
        r#"{{"fullUrl":"urn:uuid:0b2d0b5c-3f5c-4a36-9a35-8d0d6a4c5a11","resource":{{"resourceType":"Patient","id":"p",{MRN}}}}}"#
    ));
    let bundle = format!(r#"{{"resourceType":"Bundle","type":"collection","entry":[{}]}}"#, entries.join(","));
    for name in ["b.json", "b.ndjson"] {
        let (seen, _) = source(&[(name, &bundle)]);
        assert_eq!(seen.bad, [], "{name}");
        assert_eq!(seen.told().len(), styles.len() + 2);
        let want = person(seen.records.last().unwrap());
        assert!(seen.records.iter().all(|r| person(r) == want), "{name}");
        let line = r#"{"resourceType":"Patient","id":"p"}"#;
        assert_eq!(person(&read(line.as_bytes()).0.records[0]), want);
    }
}

#[test]
fn who_can_not_be_told_is_quarantined_and_why() {
    let two = format!(
        "{{\"resourceType\":\"Patient\",\"id\":\"a\",{MRN}}}\n{{\"resourceType\":\"Patient\",\"id\":\"b\",{MRN}}}\n{}\n{}\n{}\n{}\n",
        condition("c1", r#"{"identifier":{"system":"http://h/mrn","value":"7"}}"#),
        condition("c2", r#"{"identifier":{"system":"http://h/mrn","value":"8"}}"#),
        condition("c3", "{\"reference\":\"#x\"}"),
        condition("c4", r#"{"display":"someone"}"#),
    );
    let (seen, read) = source(&[("x.ndjson", &two)]);
    assert_eq!((seen.told().len(), read.quarantined), (2, 4));
    for (q, word) in seen.bad.iter().zip(["several Patients", "no Patient of the source", "contained", "by its id"]) {
        assert_eq!(q.reason, Reason::MissingPatient);
        assert!(q.detail.contains(word), "{}", q.detail);
    }
}

#[test]
fn a_local_uuid_is_nobody_in_the_next_bundle() {
    let entry = r#"{"fullUrl":"urn:uuid:1","resource":{"resourceType":"Patient","gender":"male"}}"#;
    let event = format!(r#"{{"resource":{}}}"#, condition("c", r#"{"reference":"urn:uuid:1"}"#));
    let bundle = format!(r#"{{"resourceType":"Bundle","entry":[{entry},{event}]}}"#);
    let (seen, read) = source(&[("b.json", &bundle)]);
    assert_eq!((read.items, read.records), (2, 0));
    assert_eq!(seen.bad.iter().map(|q| q.reason).collect::<Vec<_>>(), [Reason::MissingId, Reason::MissingPatient]);
    assert!(seen.bad[1].detail.starts_with("Bundle.entry[1]: "), "{}", seen.bad[1].detail);
    // With an id the same local name leads to it.
    let (seen, _) = source(&[("b.json", &bundle.replace("\"gender\"", "\"id\":\"p\",\"gender\""))]);
    assert_eq!(seen.bad, []);
    assert_eq!(person(&seen.records[0]), person(&seen.records[1]));
}

#[test]
fn two_patients_of_one_id_are_both_refused_and_so_are_their_events() {
    let patient =
        |birth: &str, more: &str| format!(r#"{{"resourceType":"Patient","id":"p","birthDate":"{birth}"{more}}}"#);
    let event = condition("c", r#"{"reference":"Patient/p"}"#);
    let text = [patient("1950-01-01", ""), patient("1987-05-05", ""), event.clone()].join("\n");
    let (seen, read) = source(&[("x.ndjson", &text)]);
    assert_eq!(read.records, 0);
    assert!(seen.bad.len() == 3 && seen.bad.iter().all(|q| q.reason == Reason::IdReused), "{:?}", seen.bad);
    // A later version may correct the birth; the same patient twice is one.
    let text = [
        patient("1950-01-01", r#","meta":{"versionId":"1"}"#),
        patient("1951-01-01", r#","meta":{"versionId":"2"}"#),
        patient("1951-01-01", r#","meta":{"versionId":"2"}"#),
        event,
    ]
    .join("\n");
    assert_eq!(source(&[("x.ndjson", &text)]).0.told().len(), 4);
}

#[test]
fn a_deletion_takes_back_every_row() {
    let component = |code: &str| {
        format!(r#"{{"code":{{"coding":[{{"system":"http://loinc.org","code":"{code}"}}]}},"valueInteger":1}}"#)
    };
    let observation = format!(
        r#"{{"resourceType":"Observation","id":"o","status":"final","code":{{"coding":[{{"code":"x"}}]}},"subject":{{"reference":"Patient/p"}},"component":[{},{}]}}"#,
        component("8480-6"),
        component("8462-4")
    );
    let lines = [
        observation,
        condition("c", r#"{"reference":"Patient/p"}"#),
        r#"{"resourceType":"MedicationDispense","id":"d","status":"completed","medicationCodeableConcept":{"coding":[{"system":"http://www.whocc.no/atc","code":"A"}]},"subject":{"reference":"Patient/p"}}"#.to_owned(),
        r#"{"resourceType":"Patient","id":"p","deceasedBoolean":true}"#.to_owned(),
    ];
    let (made, _) = read(lines.join("\n").as_bytes());
    let entry = |url: &str| format!(r#"{{"request":{{"method":"DELETE","url":"{url}"}}}}"#);
    let urls = ["Observation/o", "https://h/fhir/Condition/c", "MedicationDispense/d", "Patient/p", "Organization/x"];
    let deleted =
        format!(r#"{{"resourceType":"Bundle","type":"transaction","entry":[{}]}}"#, urls.map(entry).join(","));
    let (gone, count) = read(deleted.as_bytes());
    assert_eq!((count.items, count.skipped, count.quarantined), (5, 1, 0), "{:?}", gone.bad);
    for r in &gone.records {
        assert_eq!((r.missing(), r.get("op")), (None, &Cell::from("retract")));
    }
    for r in &made.records {
        // A component is taken back with what it is a part of.
        let key = r.part_of().map_or_else(|| r.get("record_key").clone(), |whole| Cell::Key(*whole));
        assert!(gone.records.iter().any(|g| g.table() == r.table() && g.get("record_key") == &key), "{r:?}");
    }
    let searched = format!(r#"{{"resourceType":"Bundle","entry":[{}]}}"#, entry("Patient?identifier=a|b"));
    assert_eq!(read(searched.as_bytes()).0.bad[0].reason, Reason::MissingId);
}

#[test]
fn a_merge_hands_the_old_record_to_the_one_who_stays() {
    let patient =
        |id: &str, rest: &str| read(format!(r#"{{"resourceType":"Patient","id":"{id}"{rest}}}"#).as_bytes()).0.records;
    let (old, stays) = (patient("old", ""), patient("new", ""));
    let replaced =
        patient("old", r#","active":false,"link":[{"other":{"reference":"Patient/new"},"type":"replaced-by"}]"#);
    let replaces = patient("new", r#","link":[{"other":{"reference":"Patient/old"},"type":"replaces"}]"#);
    for (rows, by) in [(&replaced, &old), (&replaces, &stays)] {
        let [own, death, names, merge] = rows.as_slice() else { panic!("{rows:?}") };
        assert_eq!((own.get("record_key"), death.get("op")), (by[0].get("record_key"), &Cell::from("retract")));
        assert_eq!((merge.missing(), merge.get("op")), (None, &Cell::from("retract")));
        assert_eq!((merge.get("record_key"), person(merge)), (names.get("record_key"), person(&stays[0])));
        assert_eq!((names.get("op"), person(names)), (&Cell::from("upsert"), person(&old[0])));
        assert!(
            [names, merge].iter().all(|r| r.part_of().map(|k| Cell::Key(*k)).as_ref() == Some(by[0].get("record_key")))
        );
    }
    assert_eq!(replaced[2].get("record_key"), replaces[2].get("record_key"), "one merge, whoever tells it");
}

#[test]
fn a_manifest_and_what_it_says_of_errors() {
    let manifest = |error: &str| {
        format!(
            r#"{{"transactionTime":"2024-01-01T00:00:00Z","request":"https://h/$export","output":[{{"type":"Patient","url":"https://h/1"}}],"deleted":[],"error":[{error}]}}"#
        )
    };
    let (seen, read) = source(&[("manifest.json", &manifest(""))]);
    assert_eq!((seen.skipped, read.quarantined), (vec!["manifest".to_owned()], 0));
    let (seen, _) = source(&[("manifest.json", &manifest(r#"{"type":"OperationOutcome","url":"https://h/2"}"#))]);
    assert!(seen.bad[0].detail.contains("error[]"), "{:?}", seen.bad);
}

#[test]
fn bundles_in_bundles_are_read_and_not_without_end() {
    let mut text = format!(r#"{{"resource":{}}}"#, condition("c", r#"{"reference":"Patient/p"}"#));
    for depth in 0..6 {
        let (_, count) = source(&[("b.json", &format!(r#"{{"resourceType":"Bundle","entry":[{text}]}}"#))]);
        assert_eq!((count.records, count.quarantined), if depth <= 4 { (1, 0) } else { (0, 1) }, "{depth}");
        text = format!(r#"{{"resource":{{"resourceType":"Bundle","type":"collection","entry":[{text}]}}}}"#);
    }
}
