//! Which linkage tags a cohort gives, and that no study reads them.

use schema::linkage::LinkageKey;

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

fn plan(study: &str) -> Result<Plan, String> {
    let told = |p: Vec<study::Problem>| p.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    study::read::checked(study).and_then(|s| Plan::new("f", s)).map_err(told)
}

#[tokio::test]
async fn a_cohort_gives_one_tag_a_patient_under_the_key_that_is_held() {
    let hospital = Hospital::csv();
    let blocks = hospital.config.budget.blocks(2026, None);
    let (engine, key) = (Engine::new(), LinkageKey::new(&[7; 32]));
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
    let tags =
        Engine::new().linkage_tags(&hospital.config, &hospital.lake, &plan, 0, &blocks, Some(&key)).await.unwrap();
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
    let gold = hospital.lake.gold().unwrap().unwrap();
    let steps = ["SELECT person_key, linkage_tag, CAST(NULL AS DATE) AS index_date FROM patient".to_owned()];
    let read = cohort(&hospital.config, &hospital.lake, &gold, &steps).await;
    assert!(
        matches!(read, Err(EngineError::Query(text)) if text.contains("linkage_tag")),
        "no text of SQL can name it"
    );
    let ctx = cohort(&hospital.config, &hospital.lake, &gold, &[]).await.unwrap_or_else(|e| panic!("{e}"));
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
            Engine::new().patients(&hospital.config, &hospital.lake, &plan, hash, 0, &blocks).await.unwrap();
        let tags =
            Engine::new().linkage_tags(&hospital.config, &hospital.lake, &plan, 0, &blocks, Some(&key)).await.unwrap();
        assert_eq!((batch.patients(), tags.tags.len()), there, "{blocks:?}");
    }
}
