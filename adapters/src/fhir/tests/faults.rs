//! A fault costs what it is in, and no more.

use super::*;

const LOINC: &str = r#"{"coding":[{"system":"http://loinc.org","code":"2345-7"}]}"#;

fn observation(rest: &str) -> String {
    format!(
        r#"{{"resourceType":"Observation","id":"o","status":"final","code":{LOINC},"subject":{{"reference":"Patient/p"}},"effectiveDateTime":"2020-01-02T10:00:00Z",{rest}}}"#
    )
}

/// The rows, and why something was left out.
fn kept(json: &str) -> (Vec<Record>, Vec<Reason>) {
    let (seen, _) = read(json.as_bytes());
    assert!(seen.records.iter().all(|r| r.missing().is_none()));
    (seen.records, seen.bad.iter().map(|q| q.reason).collect())
}

#[test]
fn a_day_of_death_that_cannot_be_read_leaves_the_death() {
    let (rows, told) =
        kept(r#"{"resourceType":"Patient","id":"p","birthDate":"1950","deceasedDateTime":"02.01.2020"}"#);
    assert_eq!((rows.len(), told.as_slice()), (2, [Reason::BadDate].as_slice()));
    let death = rows.iter().find(|r| r.table() == Table::Death).unwrap();
    assert_eq!((death.get("op"), death.get("event_date")), (&Cell::from("upsert"), &Cell::Null));
}

#[test]
fn a_time_that_a_row_can_do_without_costs_itself_alone() {
    let (rows, told) = kept(&observation(r#""issued":"soon","valueInteger":5"#));
    assert_eq!((rows.len(), told.as_slice()), (1, [Reason::BadDate].as_slice()));
    assert_eq!((rows[0].get("t_result"), rows[0].get("value_num")), (&Cell::Null, &Cell::Real(5.0)));
    let condition = |dates: &str| {
        kept(&format!(
            r#"{{"resourceType":"Condition","id":"c","code":{LOINC},"subject":{{"reference":"Patient/p"}},{dates}}}"#
        ))
    };
    for dates in
        [r#""onsetDateTime":"2020-01-02","recordedDate":"x""#, r#""onsetDateTime":"x","recordedDate":"2020-01-02""#]
    {
        let (rows, told) = condition(dates);
        assert_eq!((rows.len(), told.as_slice()), (1, [Reason::BadDate].as_slice()), "{dates}");
        assert_eq!(rows[0].get("event_date"), &Cell::Date(18_263), "{dates}");
    }
    let (rows, told) = condition(r#""onsetDateTime":"x""#);
    assert_eq!((rows.len(), told.len()), (0, 1));
}

#[test]
fn a_drug_has_the_next_best_date() {
    let drug = |kind: &str, rest: &str| {
        kept(&format!(
            r#"{{"resourceType":"{kind}","id":"m","status":"active","medicationCodeableConcept":{LOINC},"subject":{{"reference":"Patient/p"}},{rest}}}"#
        ))
    };
    let begins = r#""dosageInstruction":[{"timing":{"repeat":{"boundsPeriod":{"start":"2020-01-02"}}}}]"#;
    for (kind, rest, faults) in [
        ("MedicationStatement", r#""dateAsserted":"2020-01-02""#.to_owned(), 0),
        ("MedicationStatement", r#""effectiveDateTime":"x","dateAsserted":"2020-01-02""#.to_owned(), 1),
        ("MedicationStatement", r#""effectiveDateTime":"2020-01-02","dateAsserted":"x""#.to_owned(), 1),
        ("MedicationRequest", begins.to_owned(), 0),
        ("MedicationRequest", format!(r#""authoredOn":"x",{begins}"#), 1),
        ("MedicationDispense", r#""whenHandedOver":"x","whenPrepared":"2020-01-02""#.to_owned(), 1),
    ] {
        let (rows, told) = drug(kind, &rest);
        assert_eq!((rows.len(), told.len()), (1, faults), "{kind} {rest}");
        assert_eq!(rows[0].get("event_date"), &Cell::Date(18_263), "{kind} {rest}");
    }
    assert_eq!(drug("MedicationRequest", r#""authoredOn":"x""#).1, [Reason::BadDate]);
}

#[test]
fn a_component_without_a_code_costs_no_other() {
    let component = |code: &str| format!(r#"{{"code":{code},"valueInteger":5}}"#);
    let (rows, told) =
        kept(&observation(&format!(r#""component":[{},{}]"#, component(r#"{"text":"left"}"#), component(LOINC))));
    assert_eq!((rows.len(), told.as_slice()), (1, [Reason::MissingCode].as_slice()));
    let (rows, told) = kept(&observation(&format!(r#""component":[{}]"#, component("{}"))));
    assert_eq!((rows.len(), told.as_slice()), (0, [Reason::MissingCode].as_slice()));
}

#[test]
fn a_text_that_is_a_number_is_one_also_in_lines_that_are_alike() {
    let lines: String = ["none", "5.5", "<5", "many", " 7 "]
        .iter()
        .enumerate()
        .map(|(i, text)| {
            observation(&format!(r#""valueString":"{text}""#)).replace(r#""id":"o""#, &format!(r#""id":"o{i}""#)) + "\n"
        })
        .collect();
    let (seen, _) = read(lines.as_bytes());
    let of = |column: &str| seen.records.iter().map(|r| r.get(column).clone()).collect::<Vec<_>>();
    let (text, none) = (Cell::from("text"), Cell::Null);
    assert_eq!(of("flag"), [text.clone(), none.clone(), none.clone(), text, none.clone()]);
    assert_eq!(of("value_num"), [none.clone(), Cell::Real(5.5), Cell::Real(5.0), none.clone(), Cell::Real(7.0)]);
    assert_eq!(of("value_hi"), [none.clone(), none.clone(), Cell::Real(5.0), none.clone(), none]);
    assert_eq!(of("value_scale")[1], Cell::Int(1));
}

/// As in every other format: `7.20` was measured more exactly than `7.2`.
#[test]
fn numbers_have_the_decimals_that_they_are_written_with() {
    let of = |rows: &[Record]| rows.iter().map(|r| r.get("value_scale").clone()).collect::<Vec<_>>();
    let quantity = |value: &str| format!(r#""valueQuantity":{{"value":{value},"unit":"mmol/L"}}"#);
    for (value, decimals) in [("7.20", 2), ("7", 0), ("-0.005", 3)] {
        assert_eq!(of(&kept(&observation(&quantity(value))).0), [Cell::Int(decimals)], "{value}");
    }
    assert_eq!(of(&kept(&observation(r#""valueInteger":5"#)).0), [Cell::Int(0)]);
    let component = |code: &str, value: &str| {
        format!(r#"{{"code":{{"coding":[{{"system":"http://loinc.org","code":"{code}"}}]}},{}}}"#, quantity(value))
    };
    let both = format!(r#""component":[{},{}]"#, component("8480-6", "120.0"), component("8462-4", "80"));
    let (mut rows, _) = kept(&observation(&both));
    rows.sort_by_key(|r| r.get("value_num") == &Cell::Real(120.0));
    assert_eq!(of(&rows), [Cell::Int(0), Cell::Int(1)]);
    // In lines that are alike, and in a Bundle.
    let one =
        |id: usize, value: &str| observation(&quantity(value)).replace(r#""id":"o""#, &format!(r#""id":"o{id}""#));
    let lines: String = ["1.5", "1.25", "3"].iter().enumerate().map(|(i, v)| one(i, v) + "\n").collect();
    assert_eq!(of(&read(lines.as_bytes()).0.records), [Cell::Int(1), Cell::Int(2), Cell::Int(0)]);
    let bundle =
        format!(r#"{{"resourceType":"Bundle","type":"collection","entry":[{{"resource":{}}}]}}"#, one(1, "2.50"));
    assert_eq!(of(&read(bundle.as_bytes()).0.records), [Cell::Int(2)]);
}

#[test]
fn a_diagnosis_of_which_nobody_says_how_sure_it_is_is_one() {
    let of = |more: &str| {
        let row = one(&format!(
            r#"{{"resourceType":"Condition","id":"c","subject":{{"reference":"Patient/p"}},"recordedDate":"2024-01-01",{more}"code":{{"coding":[{{"system":"http://snomed.info/sct","code":"44054006"}}]}}}}"#
        ));
        row.get("verification").clone()
    };
    assert_eq!(of(""), Cell::from("confirmed"));
    assert_eq!(of(r#""verificationStatus":{"coding":[{"code":"unconfirmed"}]},"#), Cell::from("unconfirmed"));
}

#[test]
fn a_concept_in_words_is_a_text() {
    let (rows, _) = kept(&observation(r#""valueCodeableConcept":{"text":"positive"}"#));
    assert_eq!(rows[0].get("flag"), &Cell::from("text"));
}

#[test]
fn a_bound_of_a_ratio_is_one_of_the_quotient() {
    for (over, under, want) in [("", "", "eq"), (r#""comparator":"<","#, "", "lt"), ("", r#""comparator":">","#, "lt")]
    {
        let ratio = format!(r#""valueRatio":{{"numerator":{{{over}"value":1}},"denominator":{{{under}"value":128}}}}"#);
        let (rows, _) = kept(&observation(&ratio));
        assert_eq!(
            (rows[0].get("value_num"), rows[0].get("comparator")),
            (&Cell::Real(1.0 / 128.0), &Cell::from(want))
        );
    }
}

#[test]
fn a_deletion_is_the_last_of_its_moment() {
    let own = r#"{"resource":{"resourceType":"Condition","id":"c","meta":{"versionId":"9","lastUpdated":"2020-01-02T10:00:00Z"},"code":{"coding":[{"code":"x"}]},"subject":{"reference":"Patient/p"},"recordedDate":"2020-01-01"}}"#;
    let deleted = r#"{"request":{"method":"DELETE","url":"Condition/c"},"response":{"status":"204","lastModified":"2020-01-02T10:00:00Z"}}"#;
    for entries in [[own, deleted], [deleted, own]] {
        let bundle = format!(r#"{{"resourceType":"Bundle","entry":[{}]}}"#, entries.join(","));
        let (seen, _) = source(&[("a.json", &bundle)]);
        let last = seen.records.iter().max_by_key(|r| match r.get("rev") {
            Cell::Int(rev) => (*rev, r.sequence()),
            _ => (0, None),
        });
        assert_eq!(last.unwrap().get("op"), &Cell::from("retract"));
    }
}

#[test]
fn results_that_a_report_contains_are_its_parts() {
    let report = |status: &str, more: &str| {
        format!(
            r##"{{"resourceType":"DiagnosticReport","id":"r","status":"{status}","code":{LOINC},"subject":{{"reference":"Patient/p"}},"effectiveDateTime":"2020-01-02","result":[{{"reference":"#a"}}],"contained":[{{"resourceType":"Patient","id":"p"}},{{"resourceType":"Observation","id":"a","status":"final","code":{LOINC},"valueQuantity":{{"value":5,"unit":"mmol/L"}}}}{more}]}}"##
        )
    };
    let (rows, told) = kept(&report("final", r#",{"resourceType":"Observation","code":{}}"#));
    assert_eq!((rows.len(), told.as_slice()), (1, [Reason::MissingId].as_slice()));
    assert_eq!((rows[0].get("value_num"), rows[0].get("event_date")), (&Cell::Real(5.0), &Cell::Date(18_263)));
    let whole = rows[0].part_of().copied();
    // A report that was an error takes them back.
    let (rows, _) = kept(&report("entered-in-error", ""));
    assert_eq!((rows.len(), rows[0].get("op")), (1, &Cell::from("retract")));
    assert_eq!(rows[0].get("record_key"), &Cell::from(whole));
}
