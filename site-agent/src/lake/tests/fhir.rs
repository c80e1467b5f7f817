//! FHIR in the lake: which version of a resource is in gold, whatever the files' order; what is taken back; and whose rows are whose.

use std::collections::BTreeSet;

use arrow::util::display::array_value_to_string;

use super::*;

const FHIR: &str = "format = \"fhir\"";

/// The columns of gold's rows of a table, sorted.
pub(super) fn values(hospital: &Hospital, table: Table, columns: &[&str]) -> Vec<String> {
    let mut out = Vec::new();
    for batch in batches(&hospital.lake.gold_file(&hospital.gold(), table).unwrap()) {
        for row in 0..batch.num_rows() {
            let of = |name: &&str| array_value_to_string(batch.column_by_name(name).unwrap(), row).unwrap();
            out.push(columns.iter().map(of).collect::<Vec<_>>().join(" "));
        }
    }
    out.sort();
    out
}

fn persons(hospital: &Hospital, table: Table) -> BTreeSet<String> {
    values(hospital, table, &["person_key"]).into_iter().collect()
}

impl Hospital {
    /// Puts a file into the source; its name may have folders.
    pub(super) fn put(&self, name: &str, text: &str) {
        let path = self.file(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

/// A hospital of these files, ingested at once.
async fn of(files: &[(&str, &str)]) -> Hospital {
    let hospital = Hospital::new(FHIR, ".none", "");
    for (name, text) in files {
        hospital.put(name, text);
    }
    let report = hospital.ingest().await;
    assert!(report.files.iter().all(|f| f.quarantined == 0), "{report:?}");
    hospital
}

/// The same files in both orders.
async fn in_any_order(one: &str, other: &str) -> [Hospital; 2] {
    [of(&[("a.ndjson", one), ("b.ndjson", other)]).await, of(&[("a.ndjson", other), ("b.ndjson", one)]).await]
}

/// The same, in one ingestion and in two.
async fn in_any_order_of_runs(one: &str, other: &str) -> Vec<Hospital> {
    let mut out: Vec<Hospital> = in_any_order(one, other).await.into();
    for (first, second) in [(one, other), (other, one)] {
        let hospital = of(&[("z.ndjson", first)]).await;
        hospital.put("a.ndjson", second);
        hospital.ingest().await;
        out.push(hospital);
    }
    out
}

fn meta(updated: &str, version: &str) -> String {
    format!(r#""meta":{{"lastUpdated":"{updated}","versionId":"{version}"}},"#)
}

const OLD: &str = r#""meta":{"lastUpdated":"2023-01-01T10:00:00.000Z","versionId":"1"},"#;
const NEW: &str = r#""meta":{"lastUpdated":"2023-01-01T10:00:00.250Z","versionId":"2"},"#;

fn condition(meta: &str, id: &str, code: &str, person: &str) -> String {
    format!(
        r#"{{"resourceType":"Condition","id":"{id}",{meta}"code":{{"coding":[{{"system":"http://snomed.info/sct","code":"{code}"}}]}},"subject":{{"reference":"Patient/{person}"}},"onsetDateTime":"2022-03-04"}}"#
    )
}

fn patient(meta: &str, id: &str, rest: &str) -> String {
    format!(r#"{{"resourceType":"Patient","id":"{id}",{meta}"gender":"female"{rest}}}"#)
}

fn codes(hospital: &Hospital) -> Vec<String> {
    values(hospital, Table::Condition, &["code"])
}

fn lines(all: &[String]) -> String {
    all.join("\n")
}

#[tokio::test]
async fn the_newest_version_is_in_gold_in_any_order_of_files_and_runs() {
    let [old, new] = [(OLD, "1"), (NEW, "2")].map(|(meta, code)| condition(meta, "c", code, "p"));
    for hospital in in_any_order_of_runs(&old, &new).await {
        assert_eq!(codes(&hospital), ["2"]);
    }
    // A day apart, and with the numbers the other way round: the moment goes first.
    let [old, new] = [("2023-01-01T10:00:00Z", "9", "1"), ("2023-01-02T10:00:00+02:00", "1", "2")]
        .map(|(at, number, code)| condition(&meta(at, number), "c", code, "p"));
    for hospital in in_any_order(&old, &new).await {
        assert_eq!(codes(&hospital), ["2"]);
    }
}

#[tokio::test]
async fn of_one_moment_the_number_decides_and_then_the_place() {
    let at = |number: &str, code: &str| condition(&meta("2023-01-01T10:00:00Z", number), "c", code, "p");
    for hospital in in_any_order(&at("2", "1"), &at("11", "2")).await {
        assert_eq!(codes(&hospital), ["2"], "by the number, not by its text");
    }
    for (versions, want) in [
        ([at("2", "9"), at("1", "8")], "9"),
        ([condition("", "c", "9", "p"), condition("", "c", "1", "p")], "1"),
        ([condition("", "c", "1", "p"), condition("", "c", "9", "p")], "9"),
    ] {
        assert_eq!(codes(&of(&[("a.ndjson", &lines(&versions))]).await), [want]);
    }
}

#[tokio::test]
async fn without_a_version_the_exports_time_counts_and_then_the_order_of_reading() {
    let hospital = of(&[("z.ndjson", &condition("", "c", "1", "p"))]).await;
    hospital.put("a.ndjson", &condition("", "c", "2", "p"));
    hospital.ingest().await;
    assert_eq!(codes(&hospital), ["2"]);
    let manifest = |at: &str| format!(r#"{{"transactionTime":"{at}","output":[],"deleted":[],"error":[]}}"#);
    let bundle = |at: &str, code: &str| {
        format!(
            r#"{{"resourceType":"Bundle","type":"collection","timestamp":"{at}","entry":[{{"resource":{}}}]}}"#,
            condition("", "c", code, "p")
        )
    };
    let hospital = of(&[
        ("2024-02/manifest.json", &manifest("2022-02-01T00:00:00Z")),
        ("2024-02/Condition.ndjson", &condition("", "c", "2", "p")),
        ("full-2024-01/manifest.json", &manifest("2022-01-01T00:00:00Z")),
        ("full-2024-01/Condition.ndjson", &condition("", "c", "1", "p")),
    ])
    .await;
    assert_eq!(codes(&hospital), ["2"]);
    let both = [("a.json", bundle("2022-02-01T00:00:00Z", "2")), ("b.json", bundle("2022-01-01T00:00:00Z", "1"))];
    assert_eq!(codes(&of(&both.each_ref().map(|(name, text)| (*name, text.as_str()))).await), ["2"]);
}

#[tokio::test]
async fn a_deletion_is_as_new_as_its_export_and_not_as_its_place() {
    let gone = r#"{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"DELETE","url":"Condition/c"}}]}"#;
    let manifest = |at: &str| format!(r#"{{"transactionTime":"{at}","output":[],"error":[]}}"#);
    let first = "full-2024-01/Condition.ndjson";
    for (updated, want) in [("2022-01-01T00:00:00Z", 0), ("2023-06-01T00:00:00Z", 1)] {
        let hospital = of(&[
            ("2024-02/manifest.json", &manifest("2023-02-01T00:00:00Z")),
            ("2024-02/deleted/1.ndjson", gone),
            ("full-2024-01/manifest.json", &manifest("2023-07-01T00:00:00Z")),
            (first, &condition(&meta(updated, "1"), "c", "1", "p")),
        ])
        .await;
        assert_eq!(codes(&hospital).len(), want, "{updated}");
    }
    // Without a manifest it is as new as its reading; with a moment of its own, as that.
    let told = gone.replace("{\"request\"", "{\"response\":{\"lastModified\":\"2023-02-01T00:00:00Z\"},\"request\"");
    for (entry, updated, want) in
        [(gone, "2023-06-01T00:00:00Z", 0), (told.as_str(), "2023-06-01T00:00:00Z", 1), (&told, "2022-06-01", 0)]
    {
        let version = condition(&meta(updated, "1"), "c", "1", "p");
        let hospital = of(&[("a.ndjson", entry), ("b.ndjson", &version)]).await;
        assert_eq!(codes(&hospital).len(), want, "{updated}");
    }
}

#[tokio::test]
async fn what_was_not_done_after_all_is_taken_back() {
    let coded = |field: &str| format!(r#""{field}":{{"coding":[{{"system":"http://snomed.info/sct","code":"1"}}]}}"#);
    let drug = coded("medicationCodeableConcept");
    let p = r#""subject":{"reference":"Patient/p"}"#;
    let kinds = [
        (
            "Immunization",
            format!(r#"{},"patient":{{"reference":"Patient/p"}}"#, coded("vaccineCode")),
            "completed",
            "not-done",
        ),
        ("Procedure", format!("{},{p}", coded("code")), "completed", "not-done"),
        ("Procedure", format!("{},{p}", coded("code")), "in-progress", "preparation"),
        ("MedicationAdministration", format!("{drug},{p}"), "completed", "not-done"),
        ("MedicationDispense", format!("{drug},{p}"), "in-progress", "declined"),
        ("MedicationStatement", format!("{drug},{p}"), "active", "not-taken"),
        ("Encounter", format!(r#""class":{{"code":"IMP"}},{p}"#), "in-progress", "planned"),
    ];
    let (mut done, mut taken_back) = (Vec::new(), Vec::new());
    for (n, (kind, rest, before, after)) in kinds.into_iter().enumerate() {
        let of_status = |meta: &str, id: &str, status: &str| {
            format!(r#"{{"resourceType":"{kind}","id":"{id}{n}",{meta}"status":"{status}",{rest}}}"#)
        };
        done.extend(["x", "y"].map(|id| of_status(OLD, id, before)));
        taken_back.push(of_status(NEW, "x", after));
        let modifier = format!(r#"{NEW}"modifierExtension":[{{"url":"u"}}],"#);
        taken_back.push(of_status(&modifier, "y", before));
    }
    let coverage = |meta: &str, start: &str| {
        format!(
            r#"{{"resourceType":"Coverage","id":"v",{meta}"status":"active","beneficiary":{{"reference":"Patient/p"}}{start}}}"#
        )
    };
    done.push(coverage(OLD, r#","period":{"start":"2020-01-01"}"#));
    taken_back.push(coverage(NEW, ""));
    let report = |meta: &str, conclusion: &str| {
        format!(
            r#"{{"resourceType":"DiagnosticReport","id":"r",{meta}"status":"final",{},{p}{conclusion}}}"#,
            coded("code")
        )
    };
    done.push(report(OLD, r#","conclusionCode":[{"coding":[{"code":"7"}]}]"#));
    taken_back.push(report(NEW, ""));
    let before = of(&[("a.ndjson", &lines(&done))]).await;
    let rows = |hospital: &Hospital, table| values(hospital, table, &["person_key"]).len();
    let tables = [Table::Visit, Table::Measurement, Table::DrugExposure, Table::Procedure, Table::ObservationPeriod];
    assert_eq!(tables.map(|t| rows(&before, t)), [2, 1, 8, 4, 1]);
    for hospital in in_any_order(&lines(&done), &lines(&taken_back)).await {
        assert_eq!(tables.map(|t| rows(&hospital, t)), [0; 5]);
    }
}

#[tokio::test]
async fn a_death_that_is_taken_back_is_in_gold_no_more() {
    let dead = patient(OLD, "p", r#","deceasedDateTime":"2022-01-02""#);
    for alive in [patient(NEW, "p", ""), patient(NEW, "p", r#","deceasedBoolean":false"#)] {
        for hospital in in_any_order(&dead, &alive).await {
            let counts = [Table::Patient, Table::Death].map(|t| values(&hospital, t, &["person_key"]).len());
            assert_eq!(counts, [1, 0]);
        }
    }
    let known = patient(NEW, "p", r#","deceasedBoolean":true"#);
    for hospital in in_any_order(&dead, &known).await {
        assert_eq!(values(&hospital, Table::Death, &["death_date"]), [""], "dead, and the day is not known after all");
    }
}

#[tokio::test]
async fn the_cause_of_a_death_is_told_by_others_and_kept_in_any_order() {
    let dead = patient(OLD, "p", r#","deceasedDateTime":"2022-01-02""#);
    let category = |code: &str| format!(r#","category":[{{"coding":[{{"code":"{code}"}}]}}]}}"#);
    let condition = |meta: &str, category: String| {
        let text = condition(meta, "c", "22298006", "p");
        text.strip_suffix('}').unwrap().to_owned() + &category
    };
    let asked =
        observation(NEW, r#","valueCodeableConcept":{"coding":[{"code":"22298006"}]}"#).replace("55284-4", "69453-9");
    let early = meta("2021-01-01T00:00:00Z", "1");
    for told in [condition(NEW, category("79378-6")), condition(&early, category("16100001")), asked] {
        for hospital in in_any_order(&dead, &told).await {
            assert_eq!(
                values(&hospital, Table::Death, &["death_date", "cause", "status"]),
                ["2022-01-02 22298006 final"]
            );
        }
    }
    for hospital in in_any_order(&dead, &condition(NEW, category("problem-list-item"))).await {
        assert_eq!(values(&hospital, Table::Death, &["death_date", "cause"]), ["2022-01-02 "]);
    }
}

fn observation(meta: &str, rest: &str) -> String {
    format!(
        r#"{{"resourceType":"Observation","id":"o",{meta}"status":"final","code":{{"coding":[{{"system":"http://loinc.org","code":"55284-4"}}]}},"subject":{{"reference":"Patient/p"}}{rest}}}"#
    )
}

fn components(all: &[(&str, u32)]) -> String {
    let one = |(code, value): &(&str, u32)| {
        format!(
            r#"{{"code":{{"coding":[{{"system":"http://loinc.org","code":"{code}"}}]}},"valueQuantity":{{"value":{value},"unit":"mm[Hg]"}}}}"#
        )
    };
    format!(r#","component":[{}]"#, all.iter().map(one).collect::<Vec<_>>().join(","))
}

#[tokio::test]
async fn a_version_of_an_observation_takes_back_the_components_that_it_has_not() {
    let pressure = components(&[("8480-6", 120), ("8462-4", 80)]);
    let panel = r#","hasMember":[{"reference":"Observation/1"}]"#;
    let error = observation(NEW, "").replace("\"final\"", "\"entered-in-error\"");
    let many: Vec<(String, u32)> = (0..40).map(|n| (format!("x-{n}"), n)).collect();
    let many: Vec<(&str, u32)> = many.iter().map(|(code, n)| (code.as_str(), *n)).collect();
    let delete = r#"{"resourceType":"Bundle","entry":[{"response":{"lastModified":"2023-02-01T00:00:00Z"},"request":{"method":"DELETE","url":"Observation/o"}}]}"#;
    let value = r#","valueQuantity":{"value":7,"unit":"mg"}"#;
    let cases: Vec<(String, String, Vec<&str>)> = vec![
        (pressure.clone(), observation(NEW, &components(&[("8480-6", 118)])), vec!["8480-6 118.0"]),
        (pressure.clone(), observation(NEW, value), vec!["55284-4 7.0"]),
        (value.to_owned(), observation(NEW, &pressure), vec!["8462-4 80.0", "8480-6 120.0"]),
        (value.to_owned(), observation(NEW, panel), vec![]),
        (pressure.clone(), observation(NEW, panel), vec![]),
        (pressure.clone(), error, vec![]),
        (components(&many), delete.to_owned(), vec![]),
        // Two of one code, of which one goes.
        (
            components(&[("8480-6", 120), ("8480-6", 130), ("8462-4", 80)]),
            observation(NEW, &components(&[("8480-6", 125), ("8462-4", 80)])),
            vec!["8462-4 80.0", "8480-6 125.0"],
        ),
    ];
    for (old, new, want) in cases {
        for hospital in in_any_order(&observation(OLD, &old), &new).await {
            assert_eq!(values(&hospital, Table::Measurement, &["code", "value_num"]), want, "{new}");
        }
    }
    let both = observation(OLD, &format!("{value}{pressure}"));
    let hospital = of(&[("a.ndjson", &both), ("b.ndjson", &both)]).await;
    assert_eq!(values(&hospital, Table::Measurement, &["code"]), ["55284-4", "8462-4", "8480-6"], "twice is once");
}

#[tokio::test]
async fn a_merge_holds_in_any_order_of_the_files() {
    let links =
        |kind: &str, other: &str| format!(r#","link":[{{"other":{{"reference":"Patient/{other}"}},"type":"{kind}"}}]"#);
    let event = |person: &str| condition("", person, "1", person);
    let plain = lines(&[patient("", "a", ""), event("a")]);
    let stays = lines(&[patient("", "b", &links("replaces", "a")), event("b")]);
    for hospital in in_any_order(&plain, &stays).await {
        assert_eq!(values(&hospital, Table::Patient, &["sex"]).len(), 1);
        assert_eq!(codes(&hospital).len(), 2);
        assert_eq!(persons(&hospital, Table::Condition), persons(&hospital, Table::Patient));
    }
    // The old one is known from its replacement alone.
    let old = lines(&[patient("", "a", &links("replaced-by", "b")), event("a")]);
    let new = lines(&[patient("", "b", ""), event("b")]);
    for hospital in in_any_order(&old, &new).await {
        assert_eq!(
            (values(&hospital, Table::Patient, &["sex"]).len(), persons(&hospital, Table::Condition).len()),
            (1, 1)
        );
    }
    // The old one is removed after the merge: the rows stay with the one who was merged into.
    let delete = r#"{"resourceType":"Bundle","entry":[{"request":{"method":"DELETE","url":"Patient/a"}}]}"#;
    for merged in [&[plain.as_str(), &stays], &[old.as_str(), &new]] {
        let hospital = of(&[("a.ndjson", merged[0]), ("b.ndjson", merged[1]), ("c.ndjson", delete)]).await;
        assert_eq!((codes(&hospital).len(), persons(&hospital, Table::Condition).len()), (2, 1));
    }
    // A later version of who told of the merge, without it.
    let (with, without) = (patient(OLD, "b", &links("replaces", "a")), patient(NEW, "b", ""));
    for (one, two, patients) in [(&with, &without, 2), (&without, &with, 2), (&with, &with, 1)] {
        let hospital = of(&[("a.ndjson", one), ("b.ndjson", two), ("c.ndjson", &plain)]).await;
        assert_eq!(values(&hospital, Table::Patient, &["sex"]).len(), patients);
    }
}

#[tokio::test]
async fn rows_of_deleted_patients_leave_gold_and_are_nobodys() {
    let all = ["a", "b", "c"].map(|p| lines(&[patient("", p, r#","deceasedBoolean":true"#), condition("", p, p, p)]));
    let hospital = of(&[("a.ndjson", &lines(&all))]).await;
    assert_eq!(codes(&hospital), ["a", "b", "c"]);
    let entry = |p: &str| format!(r#"{{"request":{{"method":"DELETE","url":"Patient/{p}"}}}}"#);
    let gone = format!(r#"{{"resourceType":"Bundle","entry":[{},{}]}}"#, entry("a"), entry("b"));
    hospital.put("b.ndjson", &gone);
    hospital.ingest().await;
    assert_eq!(codes(&hospital), ["c"]);
    for table in [Table::Patient, Table::Condition, Table::Death, Table::ObservationPeriod, Table::Derived] {
        assert_eq!(persons(&hospital, table), persons(&hospital, Table::Patient), "{}", table.name());
    }
    assert_eq!(hospital.gold().merged, None, "two who are deleted are not one");
    // Who is told of again is there again.
    hospital.put("c.ndjson", &patient("", "a", ""));
    hospital.ingest().await;
    assert_eq!(codes(&hospital), ["a", "c"]);
}

#[tokio::test]
async fn an_id_of_two_people_in_two_files_is_quarantined_in_both() {
    let of_birth = |sex: &str, birth: &str| {
        format!(r#"{{"resourceType":"Patient","id":"p","gender":"{sex}","birthDate":"{birth}"}}"#)
    };
    for (sex, birth, refused) in [("male", "1987-05-05", 3), ("female", "1950-01-02", 0), ("male", "1950-01-01", 0)] {
        let hospital = Hospital::new(FHIR, "a.ndjson", &of_birth("female", "1950-01-01"));
        hospital.put("b.ndjson", &lines(&[of_birth(sex, birth), condition("", "c", "1", "p")]));
        let report = hospital.ingest().await;
        assert_eq!(report.files.iter().map(|f| f.quarantined).sum::<u64>(), refused, "{sex} {birth}");
        if refused > 0 {
            let said = std::fs::read_to_string(report.files[1].quarantine.as_ref().unwrap()).unwrap();
            assert!(said.contains("id_reused") && said.contains("b.ndjson"), "{said}");
        }
    }
}

/// As in MIMIC-IV on FHIR: a diagnosis names its stay and no day.
#[tokio::test]
async fn a_diagnosis_without_a_day_is_of_the_first_day_of_its_stay() {
    let about = r#""subject":{"reference":"Patient/p"},"code":{"coding":[{"system":"http://hl7.org/fhir/sid/icd-10-cm","code":"I21.4"}]}"#;
    let stay = r#""encounter":{"reference":"Encounter/e"}"#;
    let hospital = of(&[(
        "a.ndjson",
        &[
            r#"{"resourceType":"Patient","id":"p","gender":"male","birthDate":"1950-01-01"}"#.to_owned(),
            r#"{"resourceType":"Encounter","id":"e","status":"finished","class":{"code":"IMP"},"subject":{"reference":"Patient/p"},
               "period":{"start":"2020-03-04T22:10:00+01:00","end":"2020-03-09T10:00:00+01:00"}}"#
                .replace('\n', " "),
            format!(r#"{{"resourceType":"Condition","id":"a",{about},{stay}}}"#),
            format!(r#"{{"resourceType":"Condition","id":"b",{about},{stay},"onsetDateTime":"2019"}}"#),
            format!(r#"{{"resourceType":"Condition","id":"c",{about},"encounter":{{"reference":"Encounter/other"}}}}"#),
            format!(r#"{{"resourceType":"Condition","id":"d",{about}}}"#),
            format!(r#"{{"resourceType":"Procedure","id":"f","status":"completed",{about},{stay}}}"#),
        ]
        .join("\n"),
    )])
    .await;
    let dated = |table| values(&hospital, table, &["event_date", "t_prec"]);
    let conditions = dated(Table::Condition);
    assert_eq!(conditions.len(), 4, "{conditions:?}");
    assert_eq!(conditions.iter().filter(|c| *c == "2020-03-04 day").count(), 1, "{conditions:?}");
    assert_eq!(conditions.iter().filter(|c| *c == "2019-01-01 year").count(), 1, "{conditions:?}");
    assert_eq!(dated(Table::Procedure), ["2020-03-04 day"]);
}
