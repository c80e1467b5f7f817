//! Lakes of other versions of the schema: what is read as it is, what is read again, and what a study's range says.

use super::*;

/// Says of every file and of gold that they are of another version.
fn age(hospital: &Hospital, version: &str) {
    let mut t = Transaction::new("test");
    for (key, value) in hospital.lake.store.scan(b"lake/").unwrap() {
        let Ok(mut json) = serde_json::from_slice::<serde_json::Value>(&value) else { continue };
        if let Some(schema) = json.get_mut("schema") {
            *schema = version.into();
            t.put(key, serde_json::to_vec(&json).unwrap());
        }
    }
    hospital.lake.store.commit(t, Durability::Synced).unwrap();
}

async fn patients(hospital: &Hospital, range: &str) -> Result<usize, crate::engine::EngineError> {
    let text = format!(
        "id = \"s\"\nversion = \"1.0.0\"\nschema = \"{range}\"\npurpose = \"research\"\nexpires = \"2035-12-31\"\n\
         [cohorts.target]\nentry = {{ table = \"patient\" }}\n[privacy]\nepsilon = 0.5\n[[analysis]]\nkind = \"count\"\n"
    );
    let plan = study::Plan::new("f", study::read::checked(&text).unwrap()).unwrap();
    let engine = crate::engine::Engine::new(Arc::new(ManualClock::at(Micros(1_700_000_000_000_000))));
    let blocks = hospital.config.budget.blocks(2026, None);
    let hash = proto::Hash([1; 32]);
    Ok(engine.patients(&hospital.config, &hospital.lake, &plan.study, hash, 0, &blocks).await?.0.batch.patients())
}

fn silver(hospital: &Hospital) -> Vec<PathBuf> {
    walk(&hospital.lake.root.join("silver"))
}

#[tokio::test]
async fn a_minor_version_is_read_as_it_is_and_a_studys_range_decides() {
    let hospital = Hospital::csv();
    hospital.ingest().await;
    let before = silver(&hospital);
    age(&hospital, "1.1.0");
    assert_eq!(patients(&hospital, ">=1.1,<2").await.unwrap(), 2);
    let refused = patients(&hospital, ">=1.2,<2").await.unwrap_err();
    assert!(refused.to_string().contains("1.1.0"), "{refused}");
    let report = hospital.ingest().await;
    assert_eq!((report.read_again, silver(&hospital)), (0, before), "gold is built anew from the same silver");
    assert_eq!(patients(&hospital, ">=1.2,<2").await.unwrap(), 2);
}

#[tokio::test]
async fn a_major_version_is_read_again_from_bronze() {
    let hospital = Hospital::csv();
    // Files that name linkage ids are never copied to bronze.
    let plain = MAPPING.replace("linkage = { column = \"nr\" }\n", "");
    std::fs::write(hospital.config.home.join("mapping.toml"), plain).unwrap();
    hospital.ingest().await;
    let (before, gold) = (silver(&hospital), hospital.gold());
    age(&hospital, "0.9.0");
    assert!(patients(&hospital, ">=1.1,<2").await.unwrap_err().to_string().contains("ingest"));
    // The extract itself is gone: bronze has the bytes. What silver holds is not looked at.
    std::fs::remove_file(hospital.file("a.csv")).unwrap();
    for file in &before {
        std::fs::write(file, "of another schema").unwrap();
    }
    let report = hospital.ingest().await;
    assert_eq!(report.read_again, 1);
    assert_eq!(report.gold_rows, gold.rows);
    assert!(hospital.gold().version > gold.version && before.iter().all(|f| !f.exists()));
    assert_eq!(patients(&hospital, ">=1.1,<2").await.unwrap(), 2);
    assert_eq!(hospital.ingest().await.read_again, 0);
    assert_eq!(
        Lake::open(hospital.lake.root.clone(), hospital.lake.store.clone()).unwrap().ingested().unwrap().len(),
        1
    );
}

#[tokio::test]
async fn bytes_that_are_nowhere_stop_the_ingestion_and_gold_stays() {
    let hospital = Hospital::csv();
    hospital.ingest().await;
    age(&hospital, "0.9.0");
    std::fs::remove_file(hospital.file("a.csv")).unwrap();
    for file in walk(&hospital.lake.root.join("bronze")) {
        std::fs::remove_file(file).unwrap();
    }
    let failed = hospital.lake.ingest(&hospital.config, &hospital.clock, &OsEntropy, &mut |_, _, _| ()).await;
    assert!(failed.unwrap_err().to_string().contains("a.csv"));
    assert_eq!(hospital.gold().schema, "0.9.0");
}
