//! Codes and units in gold: mappings, aliases and rules, and what a changed one rebuilds.

use arrow::datatypes::Float64Type;

use super::*;

const MAPPING: &str = r#"
format = "csv"
[[file]]
match = "*.csv"
dates = ["%Y-%m-%d"]
person = { column = "id" }
[[file.row]]
table = "patient"
[file.row.set]
sex = "F"
[[file.row]]
table = "condition"
[file.row.set]
code_system = "icd9cm"
code = { column = "dx" }
role = "primary"
event = { column = "day" }
[[file.row]]
table = "measurement"
[file.row.set]
code_system = "urn:hospital:lab"
code = { column = "lab" }
value_num = { column = "value" }
unit_src = { column = "unit" }
event = { column = "day" }
"#;
const ROWS: &str = "id,dx,day,lab,value,unit\na,250.00,2020-01-01,HBA1C,7,%\nb,401.9,2020-01-02,WBC,7,G/L\nc,99999,2020-01-03,GLU,90,mg/dl\n";
const SSSOM: &str = "#curie_map:\n#  LAB: urn:hospital:lab\nsubject_id\tpredicate_id\tobject_id\tmapping_justification\n\
LAB:HBA1C\tskos:exactMatch\tLOINC:4548-4\tsemapv:ManualMappingCuration\n\
LAB:WBC\tskos:exactMatch\tLOINC:6690-2\tsemapv:ManualMappingCuration\n";
const GEM: &str = "icd9cm,icd10cm,flags,approximate,no_map,combination,scenario,choice_list\n\
25000,E119,00000,0,0,0,0,0\n4019,I10,00000,0,0,0,0,0\n";

fn hospital() -> Hospital {
    let hospital = Hospital::new("format = \"csv\"\nmapping = \"mapping.toml\"", "a.csv", ROWS);
    std::fs::write(hospital.config.home.join("mapping.toml"), MAPPING).unwrap();
    std::fs::write(hospital.config.home.join("lab.tsv"), SSSOM).unwrap();
    std::fs::write(hospital.config.home.join("gem.csv"), GEM).unwrap();
    hospital
}

fn with_terminology(hospital: &mut Hospital) {
    let text = "[[terminology]]\npath = \"lab.tsv\"\nformat = \"sssom\"\n[[terminology]]\npath = \"gem.csv\"\nformat = \"gem\"\n";
    let site = hospital.config.home.join("site.toml");
    std::fs::write(&site, std::fs::read_to_string(&site).unwrap() + text).unwrap();
    hospital.config = Config::read(&hospital.config.home).unwrap();
}

/// A column of gold's table as texts, in the order of another column.
fn column(hospital: &Hospital, table: Table, by: &str, name: &str) -> Vec<(String, Option<String>)> {
    let mut out = Vec::new();
    for batch in batches(&hospital.lake.gold_file(&hospital.gold(), table).unwrap()) {
        let text = |c: &str| arrow::compute::cast(batch.column_by_name(c).unwrap(), &arrow::datatypes::DataType::Utf8);
        let (keys, values) = (text(by).unwrap(), text(name).unwrap());
        let (keys, values) = (keys.as_string::<i32>(), values.as_string::<i32>());
        for i in 0..batch.num_rows() {
            out.push((keys.value(i).to_owned(), values.is_valid(i).then(|| values.value(i).to_owned())));
        }
    }
    out.sort();
    out
}

fn standard(hospital: &Hospital) -> Vec<Option<f64>> {
    let mut out = Vec::new();
    for batch in batches(&hospital.lake.gold_file(&hospital.gold(), Table::Measurement).unwrap()) {
        let values = batch.column_by_name("value_std").unwrap().as_primitive::<Float64Type>().clone();
        out.extend((0..batch.num_rows()).map(|i| values.is_valid(i).then(|| values.value(i))));
    }
    out.sort_by(|a, b| a.partial_cmp(b).unwrap());
    out
}

fn silver(hospital: &Hospital) -> Vec<(PathBuf, Vec<u8>)> {
    walk(&hospital.lake.root.join("silver")).into_iter().map(|p| (p.clone(), std::fs::read(p).unwrap())).collect()
}

#[tokio::test]
async fn mapped_codes_get_standard_codes_and_their_analytes_rules() {
    let mut hospital = hospital();
    let report = hospital.ingest().await;
    assert!(report.files.iter().all(|f| f.quarantined == 0), "{report:?}");
    assert!(column(&hospital, Table::Condition, "code", "std_code").iter().all(|(_, std)| std.is_none()));
    assert_eq!(standard(&hospital), [Some(7.0), Some(7.0), Some(90.0)], "no analyte: the units stay");
    let (before, version) = (silver(&hospital), hospital.gold().version);

    with_terminology(&mut hospital);
    hospital.config.units.aliases.insert("G/L".into(), "10*9/L".into());
    let report = hospital.ingest().await;
    assert!(hospital.gold().version > version && silver(&hospital) == before, "gold is built anew, silver is not");
    assert_eq!(report.terminology.iter().map(|f| f.codes).collect::<Vec<_>>(), [2, 2]);
    let of = |code: &str, std: Option<&str>| (code.to_owned(), std.map(str::to_owned));
    let conditions = column(&hospital, Table::Condition, "code", "std_code");
    assert_eq!(conditions, [of("250.00", Some("E119")), of("401.9", Some("I10")), of("99999", None)]);
    assert_eq!(column(&hospital, Table::Condition, "code", "map_id")[0].1.as_deref(), Some("gem.csv#2"));
    let eras = column(&hospital, Table::Derived, "code", "std_code");
    assert_eq!(eras, conditions, "an era carries its events' standard code");
    let labs = column(&hospital, Table::Measurement, "code", "unit_std");
    assert_eq!(labs, [of("GLU", Some("mg/dL")), of("HBA1C", Some("mmol/mol")), of("WBC", Some("10*9/L"))]);
    let found = standard(&hospital);
    assert_eq!((found[0], found[2]), (Some(7.0), Some(90.0)));
    assert!((found[1].unwrap() - 53.01).abs() < 1e-9, "7 % through the local code's mapping");

    // The same again changes nothing; another target rebuilds gold, and silver stays.
    let version = hospital.gold().version;
    hospital.ingest().await;
    assert_eq!(hospital.gold().version, version);
    let gem = hospital.config.home.join("gem.csv");
    std::fs::write(&gem, GEM.replace("E119", "E118")).unwrap();
    hospital.ingest().await;
    assert_eq!(column(&hospital, Table::Condition, "code", "std_code")[0].1.as_deref(), Some("E118"));
    assert!(silver(&hospital) == before);

    // A mapping file that is gone stops the building, and gold stays.
    std::fs::remove_file(&gem).unwrap();
    let failed = hospital.lake.ingest(&hospital.config, &hospital.clock, &OsEntropy, &mut |_, _, _| ()).await;
    assert!(failed.unwrap_err().to_string().contains("gem.csv"));
    assert_eq!(hospital.gold().version, version + 1);
}

/// A study's set is found by the standard code and by the source's own.
#[tokio::test]
async fn a_concept_set_matches_either_code() {
    let mut hospital = hospital();
    with_terminology(&mut hospital);
    hospital.ingest().await;
    for (set, found) in [
        ("icd10cm = [\"E11*\"]", 1),
        ("icd9cm = [\"250*\"]", 1),
        ("icd10cm = [\"E11.9\"]\nicd9cm = [\"250.00\"]", 1),
        ("icd10cm = [\"I10\"]\nicd9cm = [\"99999\"]", 2),
        ("icd10gm = [\"E11*\"]", 0),
        ("icd10 = [\"E11*\", \"I10\"]", 0),
    ] {
        let text = format!(
            "id = \"s\"\nversion = \"1.0.0\"\nschema = \">=1.1,<2\"\npurpose = \"research\"\nexpires = \"2035-12-31\"\n\
             [concept_sets.s]\n{set}\n[cohorts.target]\nentry = {{ table = \"condition\", set = \"s\" }}\n\
             [privacy]\nepsilon = 0.5\n[[analysis]]\nkind = \"count\"\n"
        );
        let study = study::read::checked(&text).unwrap_or_else(|e| panic!("{e:?}"));
        let plan = study::Plan::new("f", study).unwrap_or_else(|e| panic!("{e:?}"));
        let engine = crate::engine::Engine::new(Arc::new(ManualClock::at(Micros(1_700_000_000_000_000))));
        let blocks = hospital.config.budget.blocks(2026, None);
        let hash = proto::Hash([1; 32]);
        let (batch, _) =
            engine.patients(&hospital.config, &hospital.lake, &plan.study, hash, 0, &blocks).await.unwrap();
        assert_eq!(batch.batch.patients(), found, "{set}");
    }
}

#[tokio::test]
async fn every_table_of_gold_is_sorted_by_patient() {
    let mut hospital = hospital();
    with_terminology(&mut hospital);
    let many: String =
        (0..500).map(|i| format!("p{},401.9,2020-01-{:02},WBC,{i},G/L\n", i * 7 % 31, i % 28 + 1)).collect();
    std::fs::write(hospital.file("b.csv"), format!("id,dx,day,lab,value,unit\n{many}")).unwrap();
    hospital.ingest().await;
    for table in Table::ALL {
        let mut keys = Vec::new();
        for batch in batches(&hospital.lake.gold_file(&hospital.gold(), table).unwrap()) {
            let column = batch.column_by_name("person_key").unwrap().as_fixed_size_binary();
            keys.extend((0..batch.num_rows()).map(|i| column.value(i).to_vec()));
        }
        assert!(keys.is_sorted(), "{}", table.name());
    }
}
