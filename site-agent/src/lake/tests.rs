//! Linkage tags in the lake: with and without a key, when it comes, changes and goes; and the raw ids nowhere.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use platform::{ManualClock, MemoryStore, Micros, OsEntropy};

use super::*;
use crate::config::Config;
use crate::linkage::tests::install;

mod corrections;
mod documents;
mod fhir;
mod formats;
mod hl7;
mod identity;
mod replay;
mod sources;
mod standards;
mod tabular;
mod versions;
mod windows;

const MAPPING: &str = r#"
format = "csv"
[[file]]
match = "*.csv"
person = { column = "id" }
[[file.row]]
table = "patient"
[file.row.set]
sex = { column = "sex" }
birth_year = { column = "born" }
linkage = { column = "nr" }
"#;
const ROWS: &str = "id,sex,born,nr\nanna,F,1950,A-123 456 789\nbert,M,1951,\n";
const PATIENT: &str = r#"{"resourceType":"Patient","id":"x","gender":"female","identifier":[{"system":"urn:nat","value":"a123.456.789"}]}"#;
/// What no file may hold: the ids as they were written and as they are read.
const RAW: [&str; 3] = ["123 456 789", "A123456789", "a123.456.789"];

pub(crate) struct Hospital {
    dir: tempfile::TempDir,
    pub(crate) config: Config,
    pub(crate) lake: Lake,
    clock: ManualClock,
}

impl Hospital {
    pub(crate) fn new(source: &str, file: &str, text: &str) -> Hospital {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path();
        let toml = format!(
            "id = \"s-1\"\nname = \"A\"\ncountry = \"DE\"\ntime_zone = \"Europe/Berlin\"\n[[source]]\nname = \"his\"\n\
             path = \"extract\"\n{source}\n"
        );
        std::fs::write(home.join("site.toml"), toml).unwrap();
        std::fs::create_dir(home.join("extract")).unwrap();
        std::fs::write(home.join("extract").join(file), text).unwrap();
        std::fs::write(home.join("mapping.toml"), MAPPING).unwrap();
        let config = Config::read(home).unwrap();
        let lake = Lake::open(config.state_dir().join("lake"), Arc::new(MemoryStore::new())).unwrap();
        Hospital { dir, config, lake, clock: ManualClock::at(Micros(1_700_000_000_000_000)) }
    }

    pub(crate) fn csv() -> Hospital {
        Hospital::new("format = \"csv\"\nmapping = \"mapping.toml\"", "a.csv", ROWS)
    }

    fn fhir() -> Hospital {
        Hospital::new("format = \"fhir-ndjson\"\nlinkage_system = \"urn:nat\"", "p.ndjson", PATIENT)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("extract").join(name)
    }

    pub(crate) async fn ingest(&self) -> IngestReport {
        self.clock.advance_seconds(60);
        self.lake.ingest(&self.config, &self.clock, &OsEntropy, &mut |_, _, _| ()).await.unwrap()
    }

    fn gold(&self) -> Gold {
        self.lake.gold().unwrap().unwrap()
    }

    /// Gold's patients by their year of birth, with their tags.
    fn tags(&self) -> BTreeMap<Option<i64>, Option<Vec<u8>>> {
        let mut out = BTreeMap::new();
        for batch in batches(&self.lake.gold_file(&self.gold(), Table::Patient).unwrap()) {
            let born =
                batch.column_by_name("birth_year").unwrap().as_primitive::<arrow::datatypes::Int64Type>().clone();
            let tags = batch.column_by_name("linkage_tag").unwrap().as_fixed_size_binary();
            for i in 0..batch.num_rows() {
                let year = born.is_valid(i).then(|| born.value(i));
                out.insert(year, tags.is_valid(i).then(|| tags.value(i).to_vec()));
            }
        }
        out
    }

    /// Every file of the state: its bytes, and what a Parquet file holds behind its compression.
    fn everything(&self) -> String {
        let mut out = String::new();
        for path in walk(&self.config.state_dir()) {
            out += &String::from_utf8_lossy(&std::fs::read(&path).unwrap());
            if path.extension().is_some_and(|e| e == "parquet") {
                out += &format!("{:?}", batches(&path));
            }
        }
        out
    }
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    entries.flat_map(|p| if p.is_dir() { walk(&p) } else { vec![p] }).collect()
}

fn batches(path: &Path) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(path).unwrap()).unwrap();
    reader.build().unwrap().map(Result::unwrap).collect()
}

fn tag(secret: u8) -> Option<Vec<u8>> {
    let key = schema::linkage::LinkageKey::new(&[secret; 32]);
    key.tag("A123456789").map(|t| t.as_bytes().to_vec())
}

#[tokio::test]
async fn one_person_has_one_tag_at_two_hospitals_and_the_raw_id_is_on_no_disk() {
    for (hospital, born) in [(Hospital::csv(), Some(1950)), (Hospital::fhir(), None)] {
        install(&hospital.config, 7, 1);
        let report = hospital.ingest().await;
        assert_eq!(hospital.tags()[&born], tag(7));
        let said = serde_json::to_string(&report).unwrap() + &hospital.everything();
        assert!(said.contains("StringArray"), "the scan looks behind the compression");
        for raw in RAW {
            assert!(!said.contains(raw), "{raw}");
        }
        assert_eq!(std::fs::read_dir(hospital.lake.root.join("bronze")).unwrap().count(), 0);
        assert_eq!((report.linkage.files, report.linkage.notes.len()), (1, 0));
    }
}

#[tokio::test]
async fn without_a_key_there_is_no_tag_and_the_report_says_so() {
    for hospital in [Hospital::csv(), Hospital::fhir()] {
        let report = hospital.ingest().await;
        assert!(hospital.tags().values().all(Option::is_none));
        assert!(report.linkage.notes[0].starts_with("no linkage key: linkage ids were not read"), "{report:?}");
        assert!(RAW.iter().all(|raw| !hospital.everything().contains(raw)));
        assert_eq!(hospital.gold().linkage, None);
    }
    let hospital = Hospital::csv();
    std::fs::write(hospital.dir.path().join("mapping.toml"), MAPPING.replace("linkage =", "# linkage =")).unwrap();
    assert!(hospital.ingest().await.linkage.notes.is_empty(), "nobody asked for tags");
}

#[tokio::test]
async fn a_key_that_comes_changes_or_goes_is_followed_by_the_next_ingestion() {
    let hospital = Hospital::csv();
    let id = |secret| Some(schema::linkage::LinkageKey::new(&[secret; 32]).id());
    let first = hospital.ingest().await;
    for secret in [7, 8] {
        install(&hospital.config, secret, 1);
        let report = hospital.ingest().await;
        assert_eq!((report.linkage.read_again, report.linkage.missing), (1, 0), "{report:?}");
        assert_eq!((&hospital.tags()[&Some(1950)], &hospital.tags()[&Some(1951)]), (&tag(secret), &None));
        assert_eq!(hospital.gold().linkage, id(secret));
        assert_eq!(report.gold_rows, first.gold_rows);
        let again = hospital.ingest().await;
        assert_eq!((again.linkage.read_again, again.gold_version), (0, report.gold_version));
    }
    std::fs::remove_file(crate::linkage::key_file(&hospital.config)).unwrap();
    let report = hospital.ingest().await;
    assert_eq!((report.linkage.untagged, report.linkage.read_again), (1, 0));
    assert!(hospital.tags().values().all(Option::is_none) && hospital.gold().linkage.is_none());
    assert_eq!(hospital.tags().len(), 2, "the patients stay");
    // Only the rows that count are on disk.
    assert_eq!(std::fs::read_dir(hospital.lake.root.join("silver")).unwrap().count(), 1);
    install(&hospital.config, 8, 1);
    assert_eq!(hospital.ingest().await.linkage.read_again, 1);
    assert_eq!(hospital.tags()[&Some(1950)], tag(8));
}

#[tokio::test]
async fn the_newest_row_wins_also_after_files_were_read_again() {
    let hospital = Hospital::csv();
    std::fs::rename(hospital.file("a.csv"), hospital.file("z.csv")).unwrap();
    hospital.ingest().await;
    // The correction's name comes first, so that reading in the order of names would undo it.
    std::fs::write(hospital.file("a.csv"), "id,sex,born,nr\nanna,F,1960,B1\n").unwrap();
    hospital.ingest().await;
    install(&hospital.config, 7, 1);
    assert_eq!(hospital.ingest().await.linkage.read_again, 2);
    let want = schema::linkage::LinkageKey::new(&[7; 32]).tag("b-1").map(|t| t.as_bytes().to_vec());
    assert_eq!(hospital.tags(), BTreeMap::from([(Some(1951), None), (Some(1960), want)]));
}

/// A mapping that is corrected gives its rows other identities. They take the place of those of the first reading, and do not stand beside
/// them; and when the first mapping comes back, so do its rows.
#[tokio::test]
async fn a_corrected_mapping_doubles_nothing() {
    let hospital = Hospital::csv();
    let mapping = hospital.dir.path().join("mapping.toml");
    hospital.ingest().await;
    let people = || hospital.rows(Table::Patient, &["birth_year"]).len();
    let first = people();
    assert!(first > 0);
    let by_number = MAPPING.replace("person = { column = \"id\" }", "person = { column = \"nr\" }");
    assert_ne!(by_number, MAPPING);
    let keys = || hospital.rows(Table::Patient, &["person_key"]);
    let before = keys();
    std::fs::write(&mapping, &by_number).unwrap();
    hospital.ingest().await;
    assert!(people() <= first, "{} and {first} before", people());
    assert!(keys().iter().all(|k| !before.contains(k)));
    std::fs::write(&mapping, MAPPING).unwrap();
    hospital.ingest().await;
    assert_eq!(keys(), before);
}

#[tokio::test]
async fn a_file_that_is_gone_has_no_tags_of_another_key_until_it_is_back() {
    let hospital = Hospital::csv();
    install(&hospital.config, 7, 1);
    hospital.ingest().await;
    std::fs::rename(hospital.file("a.csv"), hospital.dir.path().join("aside")).unwrap();
    assert_eq!(hospital.ingest().await.linkage.missing, 0, "a key that stays needs no file");
    install(&hospital.config, 8, 2);
    let report = hospital.ingest().await;
    assert_eq!((report.linkage.missing, report.linkage.untagged), (1, 1));
    assert!(report.linkage.notes.iter().any(|n| n.contains("put them back")), "{report:?}");
    assert!(hospital.tags().values().all(Option::is_none) && hospital.gold().linkage.is_none());
    std::fs::rename(hospital.dir.path().join("aside"), hospital.file("a.csv")).unwrap();
    let report = hospital.ingest().await;
    assert_eq!((report.linkage.missing, report.linkage.read_again), (0, 1));
    assert_eq!(hospital.tags()[&Some(1950)], tag(8));
}

#[tokio::test]
async fn raw_copies_from_before_are_removed_or_named() {
    let hospital = Hospital::csv();
    let mapping = hospital.dir.path().join("mapping.toml");
    std::fs::write(&mapping, MAPPING.replace("linkage =", "# linkage =")).unwrap();
    std::fs::write(hospital.file("b.csv"), "id,sex,born,nr\ncarl,M,1952,C2\n").unwrap();
    hospital.ingest().await;
    assert_eq!(std::fs::read_dir(hospital.lake.root.join("bronze")).unwrap().count(), 2);
    std::fs::remove_file(hospital.file("b.csv")).unwrap();
    std::fs::write(&mapping, MAPPING).unwrap();
    install(&hospital.config, 7, 1);
    let report = hospital.ingest().await;
    assert_eq!(report.linkage.raw_copies.len(), 1);
    assert!(report.linkage.notes.iter().any(|n| n.contains("remove them")), "{report:?}");
    assert_eq!(std::fs::read_dir(hospital.lake.root.join("bronze")).unwrap().count(), 1);
    assert_eq!(hospital.tags()[&Some(1950)], tag(7));
}

/// A lake of schema 1.1: no such column in silver and gold, no such fields in the entries.
#[tokio::test]
async fn an_old_lake_opens_and_the_next_ingestion_brings_it_up() {
    let hospital = Hospital::csv();
    hospital.ingest().await;
    let without = |path: &Path| {
        let batches: Vec<RecordBatch> = batches(path)
            .into_iter()
            .map(|b| {
                let keep: Vec<usize> =
                    (0..b.num_columns()).filter(|i| b.schema().field(*i).name() != "linkage_tag").collect();
                b.project(&keep).unwrap()
            })
            .collect();
        let file = std::fs::File::create(path).unwrap();
        let mut writer = parquet::arrow::ArrowWriter::try_new(file, batches[0].schema(), None).unwrap();
        batches.iter().for_each(|b| writer.write(b).unwrap());
        writer.close().unwrap();
    };
    let gold = hospital.gold();
    without(&hospital.lake.gold_file(&gold, Table::Patient).unwrap());
    let mut t = Transaction::new("test");
    for (key, value) in hospital.lake.store.scan(b"lake/").unwrap() {
        let Ok(mut json) = serde_json::from_slice::<serde_json::Value>(&value) else { continue };
        let Some(map) = json.as_object_mut() else { continue };
        for new in ["linkage", "relinked", "at_micros"] {
            map.remove(new);
        }
        if let Some(schema) = map.get_mut("schema") {
            *schema = "1.1.0".into();
        }
        t.put(key, serde_json::to_vec(&json).unwrap());
    }
    hospital.lake.store.commit(t, Durability::Synced).unwrap();
    for silver in hospital.lake.silver_of(Table::Patient).unwrap() {
        without(&silver);
    }
    let lake = Lake::open(hospital.lake.root.clone(), hospital.lake.store.clone()).unwrap();
    assert_eq!(lake.gold().unwrap().unwrap().schema, "1.1.0");
    // It is queried as it is.
    let ctx = crate::engine::session::context(&hospital.config.limits, &lake.root.join("spill")).unwrap();
    let files = vec![lake.gold_file(&gold, Table::Patient).unwrap()];
    let frame = crate::engine::session::open_frame(&ctx, Table::Patient, &files).await.unwrap();
    assert_eq!(frame.count().await.unwrap(), 2);
    let report = hospital.ingest().await;
    assert_eq!(hospital.gold().schema, schema::version::VERSION);
    assert!(report.gold_version > gold.version && hospital.tags().len() == 2);
    install(&hospital.config, 7, 1);
    hospital.ingest().await;
    assert_eq!(hospital.tags()[&Some(1950)], tag(7));
}
