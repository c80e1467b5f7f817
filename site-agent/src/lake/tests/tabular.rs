//! Tables under the shipped mappings, from a folder to gold: the same patients in five formats, dictionaries that change, whole
//! snapshots, stated periods.

use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::*;

impl Hospital {
    /// Without a mapping, of files that are written here.
    fn of(source: &str, files: &[(&str, &str)]) -> Hospital {
        let hospital = Hospital::new(source, "README", "");
        for (name, text) in files {
            hospital.write(name, text);
        }
        hospital
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.file(name), text).unwrap();
    }

    /// Gold's rows of a table, sorted, without what depends on keys.
    pub(super) fn rows(&self, table: Table, columns: &[&str]) -> Vec<String> {
        let options = FormatOptions::default();
        let mut out = Vec::new();
        for batch in batches(&self.lake.gold_file(&self.gold(), table).unwrap()) {
            for i in 0..batch.num_rows() {
                let cell = |c: &&str| {
                    let column = batch.column_by_name(c).unwrap();
                    ArrayFormatter::try_new(column.as_ref(), &options).unwrap().value(i).to_string()
                };
                out.push(columns.iter().map(cell).collect::<Vec<_>>().join(" "));
            }
        }
        out.sort();
        out
    }

    fn codes(&self) -> Vec<String> {
        self.rows(Table::Measurement, &["code", "value_num"])
    }
}

const SYNTHEA: &[(&str, &str)] = &[
    ("patients.csv", "Id,BIRTHDATE,DEATHDATE,GENDER\na,1950-03-04,2021-05-06,F\nb,1961-07-08,,M\n"),
    (
        "encounters.csv",
        "Id,START,STOP,PATIENT,ENCOUNTERCLASS,CODE\nv1,2020-03-01T08:00:00Z,2020-03-04T09:30:00Z,a,inpatient,1\n\
         v2,2020-06-01T10:00:00Z,2020-06-01T10:15:00Z,b,wellness,1\n",
    ),
    ("conditions.csv", "START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION\n2020-03-01,2020-03-09,a,v1,44054006,x\n"),
    (
        "observations.csv",
        "DATE,PATIENT,ENCOUNTER,CATEGORY,CODE,DESCRIPTION,VALUE,UNITS,TYPE\n2020-03-01T08:30:00Z,a,v1,lab,4548-4,x,7.0,%,numeric\n\
         2020-06-01T10:05:00Z,b,v2,vital,8480-6,x,131,mm[Hg],numeric\n",
    ),
    (
        "medications.csv",
        "START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION\n2020-03-02T00:00:00Z,2020-03-12T00:00:00Z,a,v1,860975,x\n",
    ),
    ("procedures.csv", "START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION\n2020-03-02T11:00:00Z,,a,v1,73761001,x\n"),
];

const OMOP: &[(&str, &str)] = &[
    (
        "concept.csv",
        "concept_id,vocabulary_id,concept_code\n1,SNOMED,44054006\n2,LOINC,4548-4\n3,LOINC,8480-6\n4,RxNorm,860975\n5,SNOMED,73761001\n8554,UCUM,%\n8876,UCUM,mm[Hg]\n",
    ),
    ("PERSON.csv", "person_id,gender_concept_id,year_of_birth,month_of_birth\na,8532,1950,3\nb,8507,1961,7\n"),
    ("DEATH.csv", "person_id,death_date\na,2021-05-06\n"),
    (
        "VISIT_OCCURRENCE.csv",
        "visit_occurrence_id,person_id,visit_concept_id,visit_start_date,visit_end_date\nv1,a,9201,2020-03-01,2020-03-04\nv2,b,9202,2020-06-01,2020-06-01\n",
    ),
    (
        "CONDITION_OCCURRENCE.csv",
        "condition_occurrence_id,person_id,condition_concept_id,condition_start_date,condition_end_date,visit_occurrence_id\n\
         1,a,1,2020-03-01,2020-03-09,v1\n",
    ),
    (
        "MEASUREMENT.csv",
        "measurement_id,person_id,measurement_concept_id,measurement_date,measurement_datetime,value_as_number,unit_concept_id,visit_occurrence_id\n\
         1,a,2,2020-03-01,2020-03-01 09:30:00,7.0,8554,v1\n2,b,3,2020-06-01,2020-06-01 12:05:00,131,8876,v2\n",
    ),
    (
        "DRUG_EXPOSURE.csv",
        "drug_exposure_id,person_id,drug_concept_id,drug_exposure_start_date,drug_exposure_end_date,drug_type_concept_id,visit_occurrence_id\n\
         1,a,4,2020-03-02,2020-03-12,38000177,v1\n",
    ),
    (
        "PROCEDURE_OCCURRENCE.csv",
        "procedure_occurrence_id,person_id,procedure_concept_id,procedure_date,visit_occurrence_id\n1,a,5,2020-03-02,v1\n",
    ),
];

const PCORNET: &[(&str, &str)] = &[
    ("DEMOGRAPHIC.csv", "PATID|BIRTH_DATE|SEX\na|1950-03-04|F\nb|1961-07-08|M\n"),
    ("DEATH.csv", "PATID|DEATH_DATE|DEATH_SOURCE\na|2021-05-06|L\n"),
    (
        "ENCOUNTER.csv",
        "ENCOUNTERID|PATID|ADMIT_DATE|ADMIT_TIME|DISCHARGE_DATE|DISCHARGE_TIME|ENC_TYPE\nv1|a|2020-03-01|09:00|2020-03-04|10:30|IP\n\
         v2|b|2020-06-01|12:00|2020-06-01||AV\n",
    ),
    (
        "CONDITION.csv",
        "CONDITIONID|PATID|ENCOUNTERID|ONSET_DATE|RESOLVE_DATE|CONDITION|CONDITION_TYPE\n1|a|v1|2020-03-01|2020-03-09|44054006|SM\n",
    ),
    (
        "LAB_RESULT_CM.csv",
        "LAB_RESULT_CM_ID|PATID|ENCOUNTERID|LAB_LOINC|SPECIMEN_DATE|SPECIMEN_TIME|RESULT_DATE|RESULT_NUM|RESULT_MODIFIER|RESULT_UNIT\n\
         1|a|v1|4548-4|2020-03-01|09:30|2020-03-02|7.0|EQ|%\n",
    ),
    (
        "VITAL.csv",
        "VITALID|PATID|ENCOUNTERID|MEASURE_DATE|MEASURE_TIME|HT|WT|DIASTOLIC|SYSTOLIC\n1|b|v2|2020-06-01|12:05||||131\n",
    ),
    (
        "PRESCRIBING.csv",
        "PRESCRIBINGID|PATID|ENCOUNTERID|RX_ORDER_DATE|RX_START_DATE|RX_END_DATE|RXNORM_CUI\n1|a|v1|2020-03-02|2020-03-02|2020-03-12|860975\n",
    ),
    ("PROCEDURES.csv", "PROCEDURESID|PATID|ENCOUNTERID|PX_DATE|PX|PX_TYPE\n1|a|v1|2020-03-02|73761001|SM\n"),
];

const I2B2: &[(&str, &str)] = &[
    (
        "patient_dimension.csv",
        "PATIENT_NUM,BIRTH_DATE,DEATH_DATE,SEX_CD\na,1950-03-04 00:00:00,2021-05-06 00:00:00,F\nb,1961-07-08 00:00:00,NULL,M\n",
    ),
    (
        "visit_dimension.csv",
        "ENCOUNTER_NUM,PATIENT_NUM,START_DATE,END_DATE,INOUT_CD\nv1,a,2020-03-01 09:00:00,2020-03-04 10:30:00,I\nv2,b,2020-06-01 12:00:00,2020-06-01 00:00:00,O\n",
    ),
    (
        "observation_fact.csv",
        "PATIENT_NUM,ENCOUNTER_NUM,CONCEPT_CD,MODIFIER_CD,INSTANCE_NUM,START_DATE,END_DATE,VALTYPE_CD,TVAL_CHAR,NVAL_NUM,UNITS_CD\n\
         a,v1,SNOMED:44054006,@,1,2020-03-01 00:00:00,2020-03-09 00:00:00,,,,\n\
         a,v1,LOINC:4548-4,@,1,2020-03-01 09:30:00,,N,E,7.0,%\n\
         b,v2,LOINC:8480-6,@,1,2020-06-01 12:05:00,,N,E,131,mmHg\n\
         a,v1,RXNORM:860975,@,1,2020-03-02 00:00:00,2020-03-12 00:00:00,,,,\n\
         a,v1,CPT4:73761,@,1,2020-03-02 00:00:00,,,,,\n",
    ),
];

const FHIR: &str = concat!(
    r#"{"resourceType":"Patient","id":"a","gender":"female","birthDate":"1950-03-04","deceasedDateTime":"2021-05-06"}"#,
    "\n",
    r#"{"resourceType":"Patient","id":"b","gender":"male","birthDate":"1961-07-08"}"#,
    "\n",
    r#"{"resourceType":"Encounter","id":"v1","status":"finished","class":{"code":"IMP"},"subject":{"reference":"Patient/a"},"period":{"start":"2020-03-01T08:00:00Z","end":"2020-03-04T09:30:00Z"}}"#,
    "\n",
    r#"{"resourceType":"Encounter","id":"v2","status":"finished","class":{"code":"AMB"},"subject":{"reference":"Patient/b"},"period":{"start":"2020-06-01T10:00:00Z","end":"2020-06-01T10:15:00Z"}}"#,
    "\n",
    r#"{"resourceType":"Condition","id":"c1","verificationStatus":{"coding":[{"code":"confirmed"}]},"subject":{"reference":"Patient/a"},"encounter":{"reference":"Encounter/v1"},"code":{"coding":[{"system":"http://snomed.info/sct","code":"44054006"}]},"onsetDateTime":"2020-03-01","abatementDateTime":"2020-03-09"}"#,
    "\n",
    r#"{"resourceType":"Observation","id":"o1","status":"final","subject":{"reference":"Patient/a"},"encounter":{"reference":"Encounter/v1"},"code":{"coding":[{"system":"http://loinc.org","code":"4548-4"}]},"effectiveDateTime":"2020-03-01T08:30:00Z","valueQuantity":{"value":7.0,"unit":"%"}}"#,
    "\n",
    r#"{"resourceType":"Observation","id":"o2","status":"final","subject":{"reference":"Patient/b"},"encounter":{"reference":"Encounter/v2"},"code":{"coding":[{"system":"http://loinc.org","code":"8480-6"}]},"effectiveDateTime":"2020-06-01T10:05:00Z","valueQuantity":{"value":131,"code":"mm[Hg]"}}"#,
    "\n",
    r#"{"resourceType":"MedicationRequest","id":"m1","status":"completed","intent":"order","subject":{"reference":"Patient/a"},"encounter":{"reference":"Encounter/v1"},"medicationCodeableConcept":{"coding":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"860975"}]},"authoredOn":"2020-03-02"}"#,
    "\n",
    r#"{"resourceType":"Procedure","id":"p1","status":"completed","subject":{"reference":"Patient/a"},"encounter":{"reference":"Encounter/v1"},"code":{"coding":[{"system":"http://snomed.info/sct","code":"73761001"}]},"performedDateTime":"2020-03-02"}"#,
    "\n",
);

/// What a study sees of these patients, whatever the format; the codes of procedures, which i2b2 has in CPT, apart.
const SEEN: &[(Table, &[&str])] = &[
    (Table::Patient, &["sex", "birth_year", "birth_month", "age_capped"]),
    (Table::Visit, &["class", "start_date", "end_date", "open"]),
    (Table::Condition, &["code_system", "code", "event_date", "end_date", "role", "verification"]),
    (Table::Measurement, &["code_system", "code", "event_date", "t_event", "comparator", "value_std", "unit_std"]),
    (Table::DrugExposure, &["code_system", "code", "event_date", "kind"]),
    (Table::Procedure, &["event_date"]),
    (Table::Death, &["death_date", "death_source"]),
    (Table::ObservationPeriod, &["start_date", "basis"]),
];

#[tokio::test]
async fn the_same_patients_give_the_same_gold_in_every_format() {
    let mut all = Vec::new();
    for (format, files) in [
        ("fhir-ndjson", &[("all.ndjson", FHIR)][..]),
        ("synthea-csv", SYNTHEA),
        ("omop", OMOP),
        ("pcornet", PCORNET),
        ("i2b2", I2B2),
    ] {
        // i2b2 has no kind of drug but that it was ordered.
        let hospital = Hospital::of(&format!("format = \"{format}\""), files);
        let report = hospital.ingest().await;
        assert!(report.files.iter().all(|f| f.quarantined == 0), "{format}: {report:?}");
        let seen: Vec<(&str, Vec<String>)> =
            SEEN.iter().map(|(t, columns)| (t.name(), hospital.rows(*t, columns))).collect();
        all.push((format, seen));
    }
    let (_, want) = &all[0];
    assert_eq!(want[3].1.len(), 2);
    for (format, seen) in &all[1..] {
        for (got, want) in seen.iter().zip(want) {
            assert_eq!(got, want, "{format}");
        }
    }
}

#[tokio::test]
async fn a_dictionary_that_changes_reads_its_files_again() {
    let hospital = Hospital::of("format = \"omop\"", OMOP);
    hospital.ingest().await;
    assert_eq!(hospital.codes(), ["4548-4 7.0", "8480-6 131.0"]);
    let (_, concepts) = OMOP[0];
    hospital.write("concept.csv", &concepts.replace("LOINC,4548-4", "LOINC,17856-6"));
    let report = hospital.ingest().await;
    let read: Vec<&str> = report.files.iter().filter(|f| !f.unchanged).map(|f| f.file.as_str()).collect();
    let want =
        ["CONDITION_OCCURRENCE.csv", "DEATH.csv", "DRUG_EXPOSURE.csv", "MEASUREMENT.csv", "PROCEDURE_OCCURRENCE.csv"];
    assert_eq!(read, want);
    assert_eq!(hospital.codes(), ["17856-6 7.0", "8480-6 131.0"]);
    assert!(hospital.ingest().await.files.iter().all(|f| f.unchanged));
}

const HEAD: &str = "measurement_id,person_id,measurement_concept_id,measurement_date,value_as_number\n";

fn measurements(rows: &str) -> String {
    format!("{HEAD}{rows}")
}

#[tokio::test]
async fn a_whole_snapshot_takes_the_place_of_the_one_before_it() {
    let first = measurements("1,a,7,2020-01-01,1\n2,a,7,2020-01-02,2\n3,b,7,2020-01-03,3\n");
    let second = measurements("1,a,7,2020-01-01,1\n3,b,7,2020-01-03,4\n");
    for (snapshot, want) in [(true, vec!["7 1.0", "7 4.0"]), (false, vec!["7 1.0", "7 2.0", "7 4.0"])] {
        let source = format!("format = \"omop\"\nsnapshot = {snapshot}");
        let hospital = Hospital::of(&source, &[("measurement.csv", &first)]);
        hospital.ingest().await;
        assert_eq!(hospital.codes(), ["7 1.0", "7 2.0", "7 3.0"]);
        hospital.write("measurement.csv", &second);
        hospital.ingest().await;
        assert_eq!(hospital.codes(), want, "snapshot = {snapshot}");
    }
}

#[tokio::test]
async fn a_snapshot_that_breaks_off_takes_nobodys_place_and_an_old_one_may_come_back() {
    use std::io::Write as _;
    let first = measurements("1,a,7,2020-01-01,1\n2,a,7,2020-01-02,2\n");
    let hospital = Hospital::of("format = \"omop\"\nsnapshot = true", &[("measurement.csv", &first)]);
    hospital.ingest().await;
    let long: String = (10..4000).map(|i| format!("{i},a,7,2020-01-01,{i}\n")).collect();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(measurements(&long).as_bytes()).unwrap();
    let bytes = gz.finish().unwrap();
    std::fs::write(hospital.file("measurement.csv"), &bytes[..bytes.len() / 2]).unwrap();
    let report = hospital.ingest().await;
    assert_eq!(report.files.iter().find(|f| f.file == "measurement.csv").map(|f| f.quarantined), Some(1));
    let codes = hospital.codes();
    assert!(codes.contains(&"7 1.0".to_owned()) && codes.len() > 1000, "{}", codes.len());
    hospital.write("measurement.csv", &measurements("1,a,7,2020-01-01,1\n"));
    hospital.ingest().await;
    assert_eq!(hospital.codes(), ["7 1.0"]);
    // The bytes of the first snapshot again are the newest snapshot.
    hospital.write("measurement.csv", &first);
    hospital.ingest().await;
    assert_eq!(hospital.codes(), ["7 1.0", "7 2.0"]);
    assert!(hospital.ingest().await.files.iter().all(|f| f.unchanged));
}

#[tokio::test]
async fn stated_periods_count_and_are_joined() {
    let periods = "observation_period_id,person_id,observation_period_start_date,observation_period_end_date\n\
                   1,a,2019-01-01,2019-06-30\n2,a,2019-07-01,2019-12-31\n3,a,2020-05-01,2020-05-31\n4,a,2020-05-10,2020-05-20\n";
    let hospital = Hospital::of(
        "format = \"omop\"",
        &[
            ("observation_period.csv", periods),
            ("measurement.csv", &measurements("1,a,7,2020-01-01,1\n2,b,7,2020-02-02,2\n3,b,7,2020-03-03,2\n")),
        ],
    );
    hospital.ingest().await;
    let want = ["2019-01-01 2019-12-31 enrolment", "2020-02-02 2020-03-03 inferred", "2020-05-01 2020-05-31 enrolment"];
    assert_eq!(hospital.rows(Table::ObservationPeriod, &["start_date", "end_date", "basis"]), want);
}

/// A file that is not as its mapping says is in quarantine with the column's name; the files after it are read, and it is read when
/// it was mended.
#[tokio::test]
async fn a_file_without_a_column_stops_no_other() {
    let hospital = Hospital::of("format = \"synthea-csv\"", SYNTHEA);
    hospital.write("encounters.csv", "Id,START,PATIENT,CODE\nv1,2020-03-01T08:00:00Z,a,1\n");
    let report = hospital.ingest().await;
    let bad = report.files.iter().find(|f| f.file == "encounters.csv").unwrap();
    assert_eq!((bad.quarantined, bad.records), (1, 0), "{report:?}");
    let said = std::fs::read_to_string(bad.quarantine.as_ref().unwrap()).unwrap();
    assert!(said.contains("STOP") && said.contains("contradiction"), "{said}");
    assert_eq!(hospital.rows(Table::Patient, &["sex"]).len(), 2);
    assert!(hospital.ingest().await.files.iter().all(|f| f.unchanged));
    hospital.write("encounters.csv", SYNTHEA[1].1);
    hospital.ingest().await;
    assert_eq!(hospital.rows(Table::Visit, &["class"]), ["IP", "OP"]);
}

/// A day of death that was imputed is no day.
#[tokio::test]
async fn an_imputed_death_is_of_a_month_or_a_year() {
    let deaths = "PATID,DEATH_DATE,DEATH_DATE_IMPUTE,DEATH_SOURCE\na,2024-01-01,B,L\nb,2024-02-01,D,L\nc,2024-03-04,N,L\nd,2024-03-05,,L\n";
    let hospital = Hospital::of("format = \"pcornet\"", &[("death.csv", deaths)]);
    hospital.ingest().await;
    let rows = hospital.rows(Table::Death, &["event_date", "t_prec"]);
    assert_eq!(rows, ["2024-01-01 year", "2024-02-01 month", "2024-03-04 day", "2024-03-05 day"]);
    let people = "PATIENT_NUM,SEX_CD,BIRTH_DATE,DEATH_DATE,VITAL_STATUS_CD\n1,M,1950-01-01,2024-01-01,XD\n2,F,1950-01-01,2024-02-03,Y\n";
    let hospital = Hospital::of("format = \"i2b2\"", &[("patient_dimension.csv", people)]);
    hospital.ingest().await;
    assert_eq!(hospital.rows(Table::Death, &["event_date", "t_prec"]), ["2024-01-01 year", "2024-02-03 day"]);
}

const WIDE: &str = r#"
format = "csv"
[[file]]
match = "*.csv"
person = { column = "id" }
[[file.row]]
table = "measurement"
require = ["glucose"]
[file.row.set]
code_system = "loinc"
code = "2345-7"
value_num = { column = "glucose" }
[[file.row]]
table = "patient"
[file.row.set]
sex = { column = "sex" }
birth_year = { column = "born" }
"#;

/// Nobody knows whose the rows of such an id are: neither of the two is in gold, nor what happened to either, as in FHIR.
#[tokio::test]
async fn an_id_of_two_people_is_nobodys() {
    let person =
        "person_id,gender_concept_id,year_of_birth,month_of_birth\n1,8507,1950,1\n2,8532,1960,2\n1,8532,1980,3\n";
    let measured = "measurement_id,person_id,measurement_concept_id,measurement_date,value_as_number,measurement_source_value\n\
                    1,1,0,2020-01-01,5,x\n2,2,0,2020-01-01,6,x\n";
    let hospital = Hospital::of("format = \"omop\"", &[("person.csv", person), ("measurement.csv", measured)]);
    let report = hospital.ingest().await;
    assert_eq!(hospital.rows(Table::Patient, &["birth_year"]), ["1960"]);
    assert_eq!(hospital.rows(Table::Measurement, &["value_num"]), ["6.0"]);
    let bad: Vec<_> = report.files.iter().map(|f| (f.file.as_str(), f.quarantined)).collect();
    assert_eq!(bad, [("measurement.csv", 1), ("person.csv", 2)], "{report:?}");
    for file in report.files.iter().filter_map(|f| f.quarantine.as_ref()) {
        assert!(std::fs::read_to_string(file).unwrap().contains("id_reused"));
    }
    // One row a patient, with what was measured.
    let rows = "id,sex,born,glucose\na,F,1950,5\nb,M,1960,6\na,M,1950,7\n";
    let hospital = Hospital::of("format = \"csv\"\nmapping = \"mapping.toml\"", &[("wide.csv", rows)]);
    std::fs::write(hospital.dir.path().join("mapping.toml"), WIDE).unwrap();
    let report = hospital.ingest().await;
    assert_eq!(hospital.rows(Table::Measurement, &["value_num"]), ["6.0"], "{report:?}");
    assert_eq!(hospital.rows(Table::Patient, &["birth_year"]), ["1960"]);
}

/// What happened to the two is read again, from bytes that did not change, once the patients' file says who is who, or no longer does.
#[tokio::test]
async fn a_mended_file_of_patients_gives_back_what_was_nobodys() {
    let head = "person_id,gender_concept_id,year_of_birth\n";
    let (twice, mended) =
        (format!("{head}1,8507,1950\n2,8532,1960\n1,8532,1980\n"), format!("{head}1,8507,1950\n2,8532,1960\n"));
    let measured = "measurement_id,person_id,measurement_concept_id,measurement_date,value_as_number,measurement_source_value\n\
                    1,1,0,2020-01-01,5,x\n2,2,0,2020-01-01,6,x\n";
    let hospital = Hospital::of("format = \"omop\"", &[("person.csv", &twice), ("measurement.csv", measured)]);
    hospital.ingest().await;
    let values = || hospital.rows(Table::Measurement, &["value_num"]);
    assert_eq!(values(), ["6.0"]);
    std::fs::write(hospital.file("person.csv"), &mended).unwrap();
    let report = hospital.ingest().await;
    assert_eq!((report.read_again, values()), (1, vec!["5.0".to_owned(), "6.0".to_owned()]), "{report:?}");
    let report = hospital.ingest().await;
    assert_eq!(report.read_again, 0);
    std::fs::write(hospital.file("person.csv"), &twice).unwrap();
    assert_eq!(hospital.ingest().await.read_again, 1);
    assert_eq!(values(), ["6.0"]);
    // A run that was killed between the patients' file and the others leaves them to the next one, which finds no new byte.
    for (key, bytes) in hospital.lake.store.scan(b"lake/file/his/measurement.csv").unwrap() {
        let mut entry: Ingested = serde_json::from_slice(&bytes).unwrap();
        entry.surveyed = String::new();
        let mut t = Transaction::new("test");
        t.put(key, serde_json::to_vec(&entry).unwrap());
        hospital.lake.store.commit(t, Durability::Synced).unwrap();
    }
    assert_eq!(hospital.ingest().await.read_again, 0, "nothing is looked for while nothing is new");
    hospital.lake.considering("his").unwrap();
    assert_eq!(hospital.ingest().await.read_again, 1);
    assert!(!hospital.lake.was_considering("his").unwrap());
    assert_eq!(values(), ["6.0"]);
}

/// Nobody is watched on a day that has not come, whatever is booked for it; but an archive whose years are shifted lies ahead as a whole.
#[tokio::test]
async fn what_is_ahead_of_its_reading_stretches_no_period() {
    let person = "person_id,gender_concept_id,year_of_birth\n1,8507,1950\n2,8507,1950\n3,8532,1960\n";
    let head =
        "measurement_id,person_id,measurement_concept_id,measurement_date,value_as_number,measurement_source_value\n";
    let few = format!(
        "{head}1,1,0,2020-01-01,5,x\n2,1,0,2021-06-01,5,x\n3,1,0,2031-06-01,5,x\n4,2,0,2031-06-01,5,x\n5,3,0,2020-03-01,5,x\n"
    );
    let hospital = Hospital::of("format = \"omop\"", &[("person.csv", person), ("measurement.csv", &few)]);
    hospital.ingest().await;
    let periods = hospital.rows(Table::ObservationPeriod, &["start_date", "end_date"]);
    assert_eq!(periods, ["2020-01-01 2021-06-01", "2020-03-01 2020-03-01"]);
    let shifted =
        format!("{head}1,1,0,2150-01-01,5,x\n2,1,0,2151-06-01,5,x\n3,2,0,2170-06-01,5,x\n4,3,0,2020-03-01,5,x\n");
    let hospital = Hospital::of("format = \"omop\"", &[("person.csv", person), ("measurement.csv", &shifted)]);
    hospital.ingest().await;
    let periods = hospital.rows(Table::ObservationPeriod, &["start_date", "end_date"]);
    assert_eq!(periods, ["2020-03-01 2020-03-01", "2150-01-01 2151-06-01", "2170-06-01 2170-06-01"]);
}

/// Whoever is in the hospital is in its sight.
#[tokio::test]
async fn an_inferred_period_reaches_to_the_end_of_the_last_visit() {
    let person = "person_id,gender_concept_id,year_of_birth,month_of_birth\n1,8507,1950,1\n2,8532,1960,2\n";
    let visits = "visit_occurrence_id,person_id,visit_concept_id,visit_start_date,visit_end_date\n\
                  1,1,9201,2020-01-01,2020-02-10\n2,2,9201,2020-01-01,2020-02-10\n";
    let measured = "measurement_id,person_id,measurement_concept_id,measurement_date,value_as_number,measurement_source_value\n\
                    1,1,0,2020-01-05,5,x\n2,2,0,2020-03-01,6,x\n";
    let files = [("person.csv", person), ("visit_occurrence.csv", visits), ("measurement.csv", measured)];
    let hospital = Hospital::of("format = \"omop\"", &files);
    hospital.ingest().await;
    let periods = hospital.rows(Table::ObservationPeriod, &["start_date", "end_date"]);
    assert_eq!(periods, ["2020-01-01 2020-02-10", "2020-01-01 2020-03-01"]);
    // One rule for every format: a visit with an end has an explicit one.
    assert_eq!(hospital.rows(Table::Visit, &["end_kind"]), ["explicit", "explicit"]);
}

#[tokio::test]
async fn a_death_in_the_hospital_counts_where_no_registry_tells_it() {
    let patients = "subject_id,gender,anchor_age,anchor_year,dod\n1,M,50,2150,2180-03-04\n2,F,60,2150,\n3,F,60,2150,\n4,M,60,2150,\n";
    let head = "subject_id,hadm_id,admittime,dischtime,deathtime,admission_type,admission_location,discharge_location,hospital_expire_flag\n";
    let rows = "1,10,2180-03-01 08:00:00,2180-03-04 09:00:00,2180-03-04 07:00:00,URGENT,X,DIED,1\n\
                2,20,2180-03-01 08:00:00,2180-03-05 09:00:00,2180-03-05 07:00:00,URGENT,X,DIED,1\n\
                3,30,2180-03-01 08:00:00,2180-03-06 09:00:00,,URGENT,X,DIED,1\n\
                4,40,2180-03-01 08:00:00,2180-03-07 09:00:00,,URGENT,X,HOME,0\n";
    let files = [("patients.csv", patients), ("admissions.csv", &*format!("{head}{rows}"))];
    let hospital = Hospital::of("format = \"mimic-iv\"", &files);
    hospital.ingest().await;
    assert_eq!(
        hospital.rows(Table::Death, &["death_date", "t_prec", "death_source"]),
        ["2180-03-04 day ehr", "2180-03-05 second ehr", "2180-03-06 second disposition"]
    );
}

/// What has no id of its own is all that it says, and not one with all others that have none.
#[tokio::test]
async fn rows_without_an_id_stay_apart() {
    let person = "person_id,gender_concept_id,year_of_birth\n1,8507,1950\n2,8532,1960\n";
    let measured = "measurement_id,person_id,measurement_concept_id,measurement_date,value_as_number,measurement_source_value\n\
                    ,1,0,2020-01-01,5,x\n,1,0,2020-01-01,6,x\n,1,0,2020-01-01,6,x\n7,1,0,2020-01-01,8,x\n7,1,0,2020-01-01,9,x\n";
    let visits = "visit_occurrence_id,person_id,visit_concept_id,visit_start_date,visit_end_date\n\
                  ,1,9201,2020-01-01,2020-01-03\n,2,9201,2020-02-01,2020-02-03\n";
    let files = [("person.csv", person), ("measurement.csv", measured), ("visit_occurrence.csv", visits)];
    let hospital = Hospital::of("format = \"omop\"", &files);
    hospital.ingest().await;
    assert_eq!(hospital.rows(Table::Measurement, &["value_num"]), ["5.0", "6.0", "6.0", "9.0"]);
    assert_eq!(hospital.rows(Table::Visit, &["start_date"]), ["2020-01-01", "2020-02-01"]);
}

/// The second of two patients with one visit's id is told, and takes nothing away. So is a class that is not known.
#[tokio::test]
async fn a_visit_is_of_one_patient_and_of_a_known_class() {
    let person = "person_id,gender_concept_id,year_of_birth\n1,8507,1950\n2,8532,1960\n";
    let visits = "visit_occurrence_id,person_id,visit_concept_id,visit_start_date,visit_end_date\n\
                  7,1,9201,2020-01-01,2020-01-03\n7,2,9201,2020-02-01,2020-02-03\n8,2,12345,2020-03-01,2020-03-01\n9,2,0,2020-03-02,2020-03-02\n";
    let hospital = Hospital::of("format = \"omop\"", &[("person.csv", person), ("visit_occurrence.csv", visits)]);
    let report = hospital.ingest().await;
    let kept = hospital.rows(Table::Visit, &["start_date", "class"]);
    assert_eq!(kept, ["2020-01-01 IP", "2020-03-01 OP", "2020-03-02 OP"]);
    let told: String = report
        .files
        .iter()
        .filter_map(|f| f.quarantine.as_ref())
        .map(|q| std::fs::read_to_string(q).unwrap())
        .collect();
    assert_eq!(told.lines().filter(|l| !l.is_empty()).count(), 2, "{told}");
    assert!(told.contains("id_reused") && told.contains("unmapped"), "{told}");
}

/// A whole snapshot of which nothing, or less than half, can be taken replaces nothing.
#[tokio::test]
async fn a_snapshot_that_is_mostly_rejected_takes_nobodys_place() {
    let person = "person_id,gender_concept_id,year_of_birth\n1,8507,1950\n";
    let head =
        "measurement_id,person_id,measurement_concept_id,measurement_date,value_as_number,measurement_source_value\n";
    let good = format!("{head}1,1,0,2020-01-01,5,x\n2,1,0,2020-01-02,6,x\n3,1,0,2020-01-03,7,x\n");
    let files = [("person.csv", person), ("measurement.csv", good.as_str())];
    let hospital = Hospital::of("format = \"omop\"\nsnapshot = true", &files);
    hospital.ingest().await;
    let values = || hospital.rows(Table::Measurement, &["value_num"]);
    assert_eq!(values().len(), 3);
    for bad in [
        "1,,0,2020-01-01,5,x\n2,,0,2020-01-02,6,x\n",
        "4,1,0,2020-01-01,9,x\n5,,0,2020-01-02,6,x\n6,,0,2020-01-02,6,x\n",
    ] {
        hospital.write("measurement.csv", &format!("{head}{bad}"));
        hospital.ingest().await;
        assert!(values().len() >= 3, "{bad}: {:?}", values());
    }
    hospital.write("measurement.csv", &format!("{head}8,1,0,2020-01-01,4,x\n"));
    hospital.ingest().await;
    assert_eq!(values(), ["4.0"], "a sound one does");
}
