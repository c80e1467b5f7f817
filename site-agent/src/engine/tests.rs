//! Which linkage tags a cohort gives, and that no study reads them.

use schema::Table;
use schema::linkage::LinkageKey;
use study::Plan;

use platform::{ManualClock, Micros};

use super::*;
use crate::lake::tests::Hospital;
use crate::linkage::tests::install;

const STUDY: &str = r#"
id = "s"
version = "1.0.0"
schema = ">=1.1,<2"
purpose = "research"
expires = "2035-12-31"
[cohorts.target]
entry = { table = "patient" }
[privacy]
epsilon = 0.8
[[analysis]]
kind = "count"
"#;

/// 14 November 2023.
const NOW: Micros = Micros(1_700_000_000_000_000);

fn engine() -> Engine {
    Engine::new(Arc::new(ManualClock::at(NOW)))
}

fn plan(study: &str) -> Result<Plan, String> {
    let told = |p: Vec<study::Problem>| p.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    study::read::checked(study).and_then(|s| Plan::new("f", s)).map_err(told)
}

#[tokio::test]
async fn a_cohort_gives_one_tag_a_patient_under_the_key_that_is_held() {
    let hospital = Hospital::csv();
    let blocks = hospital.config.budget.blocks(2026, None);
    let (engine, key) = (engine(), LinkageKey::new(&[7; 32]));
    let tags = async |study: &str, blocks: &[privacy::Block], key: Option<&LinkageKey>| {
        let plan = plan(study).unwrap();
        engine.linkage_tags(&hospital.config, &hospital.lake, &plan, 0, blocks, key).await
    };
    assert!(matches!(tags(STUDY, &blocks, Some(&key)).await, Err(EngineError::NoData)));
    hospital.ingest().await;
    assert!(matches!(tags(STUDY, &blocks, Some(&key)).await, Err(EngineError::Linkage(_))), "no tags in gold");
    install(&hospital.config, 7, 1);
    hospital.ingest().await;
    let all = tags(STUDY, &blocks, Some(&key)).await.unwrap();
    assert_eq!((all.tags, all.without), (vec![key.tag("A123456789").unwrap()], 1));
    let men = STUDY.replace("[privacy]", "inclusion = [{ sex = [\"M\"] }]\n[privacy]");
    let men = tags(&men, &blocks, Some(&key)).await.unwrap();
    assert_eq!((men.tags.len(), men.without), (0, 1));
    // Both entered in 2023, the year of their ingestion.
    let (before, then) =
        (tags(STUDY, &[2022], Some(&key)).await.unwrap(), tags(STUDY, &[2023], Some(&key)).await.unwrap());
    assert_eq!((before.tags.len(), before.without, then.tags.len(), then.without), (0, 0, 1, 1));
    assert_eq!(then.for_release(&key, &[3; 32]), [schema::linkage::release_tag(&key, &then.tags[0], &[3; 32])]);
    assert!(matches!(tags(STUDY, &blocks, None).await, Err(EngineError::Linkage(text)) if text.contains("request")));
    let other = LinkageKey::new(&[8; 32]);
    assert!(
        matches!(tags(STUDY, &blocks, Some(&other)).await, Err(EngineError::Linkage(text)) if text.contains("ingest"))
    );
}

/// A mapping may make two rows of one patient, each with a linkage id; the bound holds for one tag.
#[tokio::test]
async fn a_patient_of_two_rows_gives_one_tag() {
    let hospital = Hospital::csv();
    let file = hospital.config.home.join("mapping.toml");
    let second = "[[file.row]]\ntable = \"patient\"\n[file.row.set]\ncode_system = \"urn:x\"\ncode = \"x\"\nlinkage = { column = \"id\" }\n";
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + second).unwrap();
    install(&hospital.config, 7, 1);
    let report = hospital.ingest().await;
    assert!(report.gold_rows.contains(&("patient".to_owned(), 4)), "{report:?}");
    let blocks = hospital.config.budget.blocks(2026, None);
    let (plan, key) = (plan(STUDY).unwrap(), LinkageKey::new(&[7; 32]));
    let tags = engine().linkage_tags(&hospital.config, &hospital.lake, &plan, 0, &blocks, Some(&key)).await.unwrap();
    assert_eq!((tags.tags.len(), tags.without), (2, 0));
}

#[tokio::test]
async fn no_study_reads_a_tag() {
    for filter in
        ["{ table = \"patient\", linkage_tag = [\"x\"] }", "{ table = \"patient\", where = { linkage_tag = [\"x\"] } }"]
    {
        let study = STUDY.replace("{ table = \"patient\" }", filter);
        assert!(plan(&study).is_err(), "{filter}");
    }
    let hospital = Hospital::csv();
    install(&hospital.config, 7, 1);
    hospital.ingest().await;
    let sql = "SELECT person_key, linkage_tag, CAST(NULL AS DATE) AS index_date FROM patient".to_owned();
    let steps = [query::Step::Kept { table: query::COHORT.to_owned(), sql }];
    let readable = Readable::open(&hospital.config, &hospital.lake, &plan(STUDY).unwrap().study, NOW)
        .unwrap_or_else(|e| panic!("{e}"));
    let read = readable.cohort(&steps).await;
    assert!(
        matches!(read, Err(EngineError::Query(text)) if text.contains("linkage_tag")),
        "no text of SQL can name it"
    );
    let ctx = readable.cohort(&[]).await.unwrap_or_else(|e| panic!("{e}"));
    for table in Table::ALL {
        let frame = ctx.sql(&format!("SELECT * FROM {}", table.name())).await.unwrap();
        assert!(frame.schema().fields().iter().all(|f| f.name() != "linkage_tag"), "{}", table.name());
    }
    assert!(ctx.sql("SELECT * FROM linkage").await.is_err());
}

/// The patients that a release reads are those whose budget pays, whichever years those are: both of these entered in 2023.
#[tokio::test]
async fn only_patients_of_the_blocks_that_pay_are_read() {
    let hospital = Hospital::csv();
    install(&hospital.config, 7, 1);
    hospital.ingest().await;
    let (plan, key) = (plan(STUDY).unwrap(), LinkageKey::new(&[7; 32]));
    let until = |year| hospital.config.budget.blocks(year, None);
    let (none, both) = ((0, 0), (2, 1)); // One of them has no linkage id.
    for (blocks, there) in [
        (vec![2000], none),
        (until(2022), none),
        (vec![2022], none),
        (vec![2023], both),
        (until(2023), both),
        (until(2026), both),
    ] {
        let hash = Hash([1; 32]);
        let (batch, _) =
            engine().patients(&hospital.config, &hospital.lake, &plan.study, hash, 0, &blocks).await.unwrap();
        let tags =
            engine().linkage_tags(&hospital.config, &hospital.lake, &plan, 0, &blocks, Some(&key)).await.unwrap();
        assert_eq!((batch.batch.patients(), tags.tags.len()), there, "{blocks:?}");
    }
}

/// Patients and tags of a study at a hospital, and the version of what was read.
async fn read(hospital: &Hospital, study: &str) -> Result<(usize, usize, u64), EngineError> {
    let (plan, key) = (plan(study).unwrap(), LinkageKey::new(&[7; 32]));
    let blocks = hospital.config.budget.blocks(2026, None);
    let (batch, version) =
        engine().patients(&hospital.config, &hospital.lake, &plan.study, Hash([1; 32]), 0, &blocks).await?;
    let tags = engine().linkage_tags(&hospital.config, &hospital.lake, &plan, 0, &blocks, Some(&key)).await?;
    assert_eq!(tags.version, version);
    Ok((batch.batch.patients(), tags.tags.len() + tags.without, version))
}

/// Every kind of release reads through the filter, from the next one on and without a new ingestion.
#[tokio::test]
async fn who_objected_is_in_no_release() {
    let mut hospital = Hospital::csv();
    install(&hospital.config, 7, 1);
    hospital.ingest().await;
    let everyone = read(&hospital, STUDY).await.unwrap();
    assert_eq!((everyone.0, everyone.1), (2, 2));
    let list = hospital.config.home.join("opt-outs.csv");
    hospital.config.consent.opt_out = Some("opt-outs.csv".into());
    let write =
        |rows: &str| std::fs::write(&list, format!("source_system,person_id,purpose,from,until\n{rows}")).unwrap();
    write("");
    assert_eq!(read(&hospital, STUDY).await.unwrap(), everyone, "an empty list changes nothing");
    let mut versions = vec![everyone.2];
    for (rows, left) in
        [("his,anna,,,\n", 1), ("his,anna,,,\nhis,bert,research,2023-11-14,\n", 0), ("his,bert,,,\nhis,nobody,,,\n", 1)]
    {
        write(rows);
        let found = read(&hospital, STUDY).await.unwrap();
        assert_eq!((found.0, found.1), (left, left), "{rows}");
        assert!(!versions.contains(&found.2), "an answer from before is another question's");
        versions.push(found.2);
    }
    for rows in ["his,anna,quality,,\n", "his,anna,,2023-11-15,\n", "his,anna,,,2023-11-13\n"] {
        write(rows);
        assert_eq!(read(&hospital, STUDY).await.unwrap(), everyone, "{rows}");
    }
    // One engine, and the same study once more: what it holds in memory is of no use now.
    write("");
    let (plan, blocks, engine) = (plan(STUDY).unwrap(), hospital.config.budget.blocks(2026, None), engine());
    let count = async || {
        engine
            .patients(&hospital.config, &hospital.lake, &plan.study, Hash([1; 32]), 0, &blocks)
            .await
            .unwrap()
            .0
            .batch
            .patients()
    };
    assert_eq!(count().await, 2);
    write("his,anna,,,\n");
    assert_eq!(count().await, 1);
}

#[tokio::test]
async fn where_a_law_asks_for_consent_only_those_count_who_gave_it() {
    let mut hospital = Hospital::csv();
    install(&hospital.config, 7, 1);
    hospital.ingest().await;
    let home = hospital.config.home.clone();
    hospital.config.consent.opt_in = Some("consents.csv".into());
    hospital.config.consent.purposes = vec!["research".into()];
    std::fs::write(home.join("consents.csv"), "source_system,person_id,purpose\nhis,bert,research\n").unwrap();
    assert_eq!(read(&hospital, STUDY).await.unwrap().0, 1);
    let quality = STUDY.replace("\"research\"", "\"quality\"");
    assert_eq!(read(&hospital, &quality).await.unwrap().0, 2, "no consent is asked for here");
    hospital.config.consent.purposes.clear();
    assert_eq!(read(&hospital, &quality).await.unwrap().0, 0, "it is asked for everything, and given for research");
    // An objection goes before a consent.
    hospital.config.consent.opt_out = Some("no.csv".into());
    std::fs::write(home.join("no.csv"), "source_system,person_id\nhis,bert\n").unwrap();
    assert_eq!(read(&hospital, STUDY).await.unwrap().0, 0);
}

#[tokio::test]
async fn a_list_that_cant_be_read_stops_every_release() {
    let mut hospital = Hospital::csv();
    install(&hospital.config, 7, 1);
    hospital.ingest().await;
    hospital.config.consent.opt_out = Some("no.csv".into());
    let stopped = async |hospital: &Hospital, says: &str| {
        let (plan, key) = (plan(STUDY).unwrap(), LinkageKey::new(&[7; 32]));
        let blocks = hospital.config.budget.blocks(2026, None);
        let one = engine().patients(&hospital.config, &hospital.lake, &plan.study, Hash([1; 32]), 0, &blocks).await;
        let two = engine().linkage_tags(&hospital.config, &hospital.lake, &plan, 0, &blocks, Some(&key)).await;
        for e in [one.err(), two.err()] {
            assert!(matches!(&e, Some(EngineError::Consent(text)) if text.contains(says)), "{e:?}");
        }
    };
    stopped(&hospital, "no.csv").await;
    let file = hospital.config.home.join("no.csv");
    std::fs::write(&file, "source_system,person_id\nhis,anna\nhis\n").unwrap();
    stopped(&hospital, "line 3").await;
    std::fs::write(&file, "source_system,person_id\nhis,anna\n").unwrap();
    assert_eq!(read(&hospital, STUDY).await.unwrap().0, 1);
    hospital.config.consent.purposes = vec!["marketing".into()];
    stopped(&hospital, "marketing").await;
}

fn observation(id: &str, patient: &str, status: &str, quantity: &str) -> String {
    format!(
        r#"{{"resourceType":"Observation","id":"{id}","status":"{status}","code":{{"coding":[{{"system":"http://loinc.org","code":"33914-3"}}]}},"subject":{{"reference":"Patient/{patient}"}},"effectiveDateTime":"2023-05-06","valueQuantity":{{{quantity},"unit":"mL/min/{{1.73_m2}}","system":"http://unitsofmeasure.org","code":"mL/min/{{1.73_m2}}"}}}}
"#
    )
}

fn condition(id: &str, patient: &str, verification: &str) -> String {
    format!(
        r#"{{"resourceType":"Condition","id":"{id}","verificationStatus":{{"coding":[{{"code":"{verification}"}}]}},"code":{{"coding":[{{"system":"http://hl7.org/fhir/sid/icd-10","code":"I21.9"}}]}},"subject":{{"reference":"Patient/{patient}"}},"onsetDateTime":"2023-05-06"}}
"#
    )
}

/// What was refuted, cancelled or is preliminary is no event and no value, unless a study asks for its status; and a value known by
/// a bound alone counts on the side where it surely lies.
#[tokio::test]
async fn what_was_not_does_not_count_and_a_bound_counts_for_its_side() {
    let mut text = String::new();
    for p in ["a", "b", "c", "d"] {
        text += &format!(
            "{{\"resourceType\":\"Patient\",\"id\":\"{p}\",\"gender\":\"female\",\"birthDate\":\"1950-01-01\"}}\n"
        );
    }
    text += &observation("1", "a", "final", r#""value":90,"comparator":">""#);
    text += &observation("2", "b", "final", r#""value":5,"comparator":"<""#);
    text += &observation("3", "c", "preliminary", r#""value":70"#);
    text += &observation("4", "d", "final", r#""value":40"#);
    text += &condition("1", "a", "refuted");
    text += &condition("2", "b", "confirmed");
    text += &condition("3", "c", "provisional");
    let hospital = Hospital::new("format = \"fhir-ndjson\"", "all.ndjson", &text);
    hospital.ingest().await;
    let blocks = hospital.config.budget.blocks(2026, None);
    let head = STUDY.replace("[privacy]", "{more}\n[concept_sets.mi]\nicd10 = [\"I21*\"]\n[privacy]");
    let head = head.replace("kind = \"count\"", "kind = \"table1\"\nvariables = [\"v\"]");
    let (engine, hospital, blocks) = (&engine(), &hospital, &blocks);
    let values = async |more: &str| {
        let plan = plan(&head.replace("{more}", more)).unwrap_or_else(|e| panic!("{more}: {e}"));
        let hash = Hash::of(more.as_bytes());
        let (batch, _) = engine.patients(&hospital.config, &hospital.lake, &plan.study, hash, 0, blocks).await.unwrap();
        let mut out: Vec<String> = match batch.batch.column(0).unwrap() {
            Column::Real(v) => v.iter().map(|x| if x.is_nan() { "-".to_owned() } else { x.to_string() }).collect(),
            Column::Level(v) => v.iter().map(|x| if *x == MISSING { "-".to_owned() } else { x.to_string() }).collect(),
            _ => panic!("no such column"),
        };
        out.sort();
        out.join(" ")
    };
    let lab = "[features.v]\nkind = \"measurement\"\ncode = \"loinc:33914-3\"\nunit = \"mL/min/{1.73_m2}\"\n";
    assert_eq!(values(&format!("{lab}bounds = [0, 200]")).await, "- - - 40");
    assert_eq!(values(&format!("{lab}bounds = [0, 200]\nbound = \"bound\"")).await, "- 40 5 90");
    assert_eq!(values(&format!("{lab}bounds = [0, 200]\nbound = \"half\"")).await, "- 2.5 40 90");
    // Above 60: more than 90 is, less than 5 and 40 are not, and what is preliminary is not known.
    assert_eq!(values(&format!("{lab}above = 60")).await, "- 0 0 1");
    assert_eq!(values(&format!("{lab}above = 90")).await, "- 0 0 1");
    assert_eq!(values(&format!("{lab}above = 100")).await, "- - 0 0");
    let has = "[features.v]\nkind = \"has\"\ntable = \"condition\"\nset = \"mi\"\n";
    assert_eq!(values(has).await, "0 0 0 1");
    assert_eq!(values(&format!("{has}where = {{ status = [\"preliminary\", \"final\"] }}")).await, "0 0 1 1");
    let sex = "[features.v]\nkind = \"sex\"\nlevels = [\"F\", \"M\"]\n";
    for (criterion, patients) in [
        (r#"op = "ge", value = 60"#, 1),
        (r#"op = "gt", value = 90"#, 1),
        (r#"op = "gt", value = 91"#, 0),
        (r#"op = "le", value = 5"#, 1),
        (r#"op = "lt", value = 5"#, 1),
        (r#"op = "lt", value = 4"#, 0),
        (r#"op = "le", value = 60"#, 2),
    ] {
        let inclusion =
            format!("inclusion = [{{ lab = \"loinc:33914-3\", {criterion}, unit = \"mL/min/{{1.73_m2}}\" }}]\n{sex}");
        let found = values(&inclusion).await;
        assert_eq!(found.split_whitespace().count(), patients, "{criterion}: {found}");
    }
}

/// Whoever has the event within observation and horizon has it at its day; the others are censored at the first end of theirs.
#[tokio::test]
async fn a_follow_up_ends_with_the_event_the_observation_or_the_horizon() {
    let day = |id: &str, patient: &str, code: &str, day: &str| {
        format!(
            r#"{{"resourceType":"Condition","id":"{id}","code":{{"coding":[{{"system":"http://hl7.org/fhir/sid/icd-10","code":"{code}"}}]}},"subject":{{"reference":"Patient/{patient}"}},"onsetDateTime":"{day}"}}
"#
        )
    };
    let mut text = String::new();
    for p in ["a", "b", "c", "d"] {
        text += &format!(
            "{{\"resourceType\":\"Patient\",\"id\":\"{p}\",\"gender\":\"female\",\"birthDate\":\"1950-01-01\"}}\n"
        );
        text += &day(&format!("{p}1"), p, "E11.9", "2020-01-01");
    }
    // a: the event after 30 days; b: seen last after 60; c: the event after 400, seen until then; d: the event on the day itself.
    text += &day("a2", "a", "I21.9", "2020-01-31");
    text += &day("b2", "b", "Z00.0", "2020-03-01");
    text += &day("c2", "c", "I21.9", "2021-02-04");
    text += &day("d2", "d", "I21.9", "2020-01-01");
    let hospital = Hospital::new("format = \"fhir-ndjson\"", "all.ndjson", &text);
    hospital.ingest().await;
    let blocks = hospital.config.budget.blocks(2026, None);
    let events = "table = \"condition\"\nset = \"mi\"\nhorizon = 365\n";
    let study = STUDY.replace(
        "entry = { table = \"patient\" }",
        "entry = { table = \"condition\", set = \"t2d\", occurrence = \"first\" }",
    );
    let study = study.replace("[privacy]", &format!(
        "[concept_sets.t2d]\nicd10 = [\"E11*\"]\n[concept_sets.mi]\nicd10 = [\"I21*\"]\n[features.t]\nkind = \"follow_up\"\n{events}\
         [features.e]\nkind = \"followed_by\"\n{events}[privacy]"));
    let study = study.replace("kind = \"count\"", "kind = \"survival\"\ntime = \"t\"\nevent = \"e\"");
    let plan = plan(&study).unwrap_or_else(|e| panic!("{e}"));
    let (batch, _) =
        engine().patients(&hospital.config, &hospital.lake, &plan.study, Hash([1; 32]), 0, &blocks).await.unwrap();
    let (Some(Column::Real(t)), Some(Column::Level(e))) = (batch.batch.column(0), batch.batch.column(1)) else {
        panic!("columns")
    };
    let mut all: Vec<(i64, u32)> = t.iter().map(|t| *t as i64).zip(e.iter().copied()).collect();
    all.sort_unstable();
    assert_eq!(all, [(0, 1), (30, 1), (60, 0), (365, 0)]);
}
