//! What extracts of real hospitals hold: numbers with a fraction of zero, ends that never come, ids of two people, repeats in parts.

use super::*;

/// Reads a file under a shipped mapping.
fn shipped(format: &str, name: &str, text: &str) -> (Seen, Read) {
    let adapter = crate::open(format, None, "").unwrap();
    let mut seen = Seen::default();
    let extract = Extract { name, reader: Box::new(Cursor::new(text.as_bytes().to_vec())) };
    let read = adapter.read(&context(), extract, &mut seen).unwrap();
    assert_eq!(read.quarantined, seen.bad.len() as u64);
    (seen, read)
}

const PERSON: &str = "person_id,gender_concept_id,year_of_birth\n";

#[test]
fn an_id_with_a_fraction_of_zero_is_the_id() {
    let (plain, _) = shipped("omop", "person.csv", &format!("{PERSON}1,8507,1970\n"));
    let (real, read) = shipped("omop", "person.csv", &format!("{PERSON}1.0,8507.0,1970.0\n"));
    assert_eq!((read.records, read.quarantined), (1, 0));
    assert_eq!(plain.records, real.records);
    let head = "measurement_id,person_id,measurement_concept_id,measurement_date,visit_occurrence_id\n";
    let (plain, _) = shipped("omop", "measurement.csv", &format!("{head}5,1,3000963,2020-01-02,7\n"));
    let (real, _) = shipped("omop", "measurement.csv", &format!("{head}5.0,1.0,3000963.0,2020-01-02,7.0\n"));
    assert_eq!(plain.records, real.records);
    // A code is a text: ICD's 250.0 is not 250.
    let head = "DIAGNOSISID,PATID,ENCOUNTERID,DX,DX_TYPE,DX_DATE,ADMIT_DATE,ENC_TYPE,DX_SOURCE,PDX\n";
    let (seen, _) =
        shipped("pcornet", "diagnosis.csv", &format!("{head}1.0,1.0,2.0,250.0,09,2020-01-02,2020-01-02,IP,FI,P\n"));
    assert_eq!(texts(&seen, "code"), ["250.0"]);
}

fn texts(seen: &Seen, column: &str) -> Vec<String> {
    let text = |cell: &Cell| match cell {
        Cell::Text(text) => text.to_string(),
        Cell::Null => String::new(),
        other => format!("{other:?}"),
    };
    seen.records.iter().map(|r| text(r.get(column))).collect()
}

const VISITS: &str = "visit_occurrence_id,person_id,visit_concept_id,visit_start_date,visit_end_date\n";

#[test]
fn an_end_that_never_comes_is_open_and_a_bad_one_costs_the_field() {
    let rows = |ends: &[&str]| -> String {
        let row = |(i, end): (usize, &&str)| format!("{i},{i},9201,2020-01-0{},{end}\n", i % 9 + 1);
        ends.iter().enumerate().map(row).collect()
    };
    // A quarter of them never come, which contradicts nothing.
    let ends: Vec<&str> = ["2020-02-01", "9999-12-31", "2020-02-01", "31DEC9999", "12/31/2999"].repeat(8);
    let (seen, read) = shipped("omop", "visit_occurrence.csv", &format!("{VISITS}{}", rows(&ends)));
    assert_eq!((read.records, read.quarantined), (40, 0), "{:?}", seen.bad.first());
    let open = |r: &Record| (r.get("end_date") == &Cell::Null, r.get("open") == &Cell::Flag(true));
    let want: Vec<_> = ends.iter().map(|e| (*e != "2020-02-01", *e != "2020-02-01")).collect();
    assert_eq!(seen.records.iter().map(open).collect::<Vec<_>>(), want);

    let (seen, read) = shipped("omop", "visit_occurrence.csv", &format!("{VISITS}{}", rows(&["2020-02-31"])));
    assert_eq!((read.records, read.quarantined), (1, 1));
    assert_eq!(open(&seen.records[0]), (true, false), "it ended, on no known day");
    let said = &seen.bad[0];
    assert_eq!(said.reason, Reason::BadDate);
    assert!(said.detail.contains("\"visit_end_date\"") && said.detail.contains("the row is kept"), "{}", said.detail);

    // All ends the other way round: none of them is read, and the visits stay.
    let (seen, read) = shipped("omop", "visit_occurrence.csv", &format!("{VISITS}{}", rows(&["31.12.2020"; 30])));
    assert_eq!((read.records, read.quarantined), (30, 30));
    assert!(seen.bad.iter().all(|q| q.reason == Reason::Contradiction && q.detail.contains("kept without it")));
}

#[test]
fn a_time_that_cannot_be_read_gives_way_to_the_date_beside_it() {
    let head = "measurement_id,person_id,measurement_concept_id,measurement_date,measurement_datetime\n";
    let read = |times: &[&str]| {
        let row = |(i, time): (usize, &&str)| format!("{i},1,3000963,2020-01-0{},{time}\n", i % 9 + 1);
        let rows: String = times.iter().enumerate().map(row).collect();
        shipped("omop", "measurement.csv", &format!("{head}{rows}"))
    };
    let (seen, tally) = read(&["2020-01-01 08:15:00+00", "2020-01-02 08:15:00 UTC", "2020/01/03 08:15", ""]);
    assert_eq!((tally.records, tally.quarantined), (4, 1));
    assert_eq!(texts(&seen, "t_prec"), ["second", "second", "day", "day"]);
    let said = &seen.bad[0];
    assert!(said.reason == Reason::BadDate && said.detail.contains("\"measurement_datetime\""), "{}", said.detail);
    assert!(said.detail.contains("kept with the time of column \"measurement_date\""), "{}", said.detail);

    // Where many can't be read, those that seem to fit are not believed.
    let (seen, tally) = read(&["31/12/2020", "01/02/2020"].repeat(15));
    assert_eq!((tally.records, tally.quarantined), (30, 30));
    assert!(seen.bad.iter().all(|q| q.detail.contains("kept with")), "{:?}", seen.bad[0]);
    let days: Vec<_> = seen.records.iter().map(|r| r.get("event_date").clone()).collect();
    assert_eq!(days[1], Cell::Date(18_263), "2020-01-02, by the other column");

    // A death at midnight in UTC is of the day that is written.
    let (seen, _) =
        shipped("omop", "death.csv", "person_id,death_date,death_datetime\n1,2020-01-02,2020-01-02T00:00:00Z\n");
    assert_eq!(
        (texts(&seen, "t_prec"), seen.records[0].get("death_date")),
        (vec!["day".to_owned()], &Cell::Date(18_263))
    );
}

#[test]
fn a_bad_birth_costs_the_field_and_not_the_patient() {
    let head = "PATIENT_NUM,SEX_CD,BIRTH_DATE\n";
    let rows = "1,F,01-MAR-70 00.00.00\n2,M,3/1/1970 0:00\n3,F,01-MAR-1970 00.00.00\n4,M,1970-03-01\n5,F,01-MAR-1970 12.00.00.000000 AM\n";
    let (seen, read) = shipped("i2b2", "patient_dimension.csv", &format!("{head}{rows}"));
    // Oracle's years of two digits are read; 31 February is none.
    assert_eq!((read.records, read.quarantined), (5, 0));
    let born: Vec<_> = seen.records.iter().map(|r| r.get("birth_year").clone()).collect();
    assert_eq!(born, vec![Cell::Int(1970); 5]);
    assert_eq!(texts(&seen, "sex"), ["F", "M", "F", "M", "F"]);
    let (seen, read) = shipped("i2b2", "patient_dimension.csv", &format!("{head}1,F,31-FEB-70\n"));
    assert_eq!((read.records, read.quarantined, seen.records[0].get("birth_year")), (1, 1, &Cell::Null));
    let (seen, read) = shipped("omop", "person.csv", &format!("{PERSON}1,8507,70\n"));
    assert_eq!((read.records, read.quarantined, &seen.bad[0].reason), (1, 1, &Reason::BadDate));
    assert!(seen.bad[0].detail.contains("\"year_of_birth\""), "the file's own column is named: {}", seen.bad[0].detail);
}

#[test]
fn two_people_under_one_id_are_told() {
    let rows = "1,8507,1970\n1,8532,1999\n2,8532,1980\n2,8532,1980\n3,0,1990\n3,8507,1990\n4,8507,1990\n4,8507,1991\n";
    let (seen, read) = shipped("omop", "person.csv", &format!("{PERSON}{rows}"));
    let got: Vec<_> = seen.bad.iter().map(|q| (q.line, q.reason)).collect();
    assert_eq!(got, [(3, Reason::IdReused), (9, Reason::IdReused)]);
    assert_eq!(read.records, 6);
    assert!(seen.bad[0].detail.contains("\"person_id\""), "{}", seen.bad[0].detail);
}

#[test]
fn repeats_are_the_same_however_they_are_cut_into_files() {
    let head = "DATE,PATIENT,ENCOUNTER,CODE,DESCRIPTION,VALUE,UNITS,TYPE\n";
    let row = |value: &str| format!("2020-01-02T00:00:00Z,p,e,8302-2,Height,{value},cm,numeric\n");
    let keys = |parts: &[String]| {
        let mut keys: Vec<String> = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            let (seen, _) = shipped("synthea-csv", &format!("observations/part-{i}.csv"), &format!("{head}{part}"));
            keys.extend(texts(&seen, "record_key"));
        }
        keys.sort();
        keys
    };
    let (a, b) = (row("170"), row("180"));
    let together = keys(&[a.clone() + &b]);
    assert_eq!(together, keys(&[a.clone(), b.clone()]));
    assert_eq!(together, keys(&[b.clone() + &a]));
    assert_ne!(together[0], together[1]);
    // Equal rows of one file are so many.
    let equal = keys(&[a.clone() + &a]);
    assert_ne!(equal[0], equal[1]);
}

#[test]
fn i2b2_says_none_by_an_at_sign_and_only_loinc_codes_are_loinc() {
    let head = "ENCOUNTER_NUM,PATIENT_NUM,CONCEPT_CD,START_DATE,MODIFIER_CD,VALTYPE_CD,TVAL_CHAR,NVAL_NUM,UNITS_CD,INSTANCE_NUM\n";
    let row = |code: &str, sign: &str, n: u32| format!("1,1,{code},2020-01-02,@,N,{sign},5,@,{n}\n");
    let rows = row("LCS-I2B2:pO2", "E", 1) + &row("LOINC:4548-4", "L", 2) + &row("LOINC:4548-4", "NE", 3);
    let (seen, _) = shipped("i2b2", "observation_fact.csv", &format!("{head}{rows}"));
    assert_eq!(texts(&seen, "code_system"), ["urn:insitu:i2b2", "http://loinc.org"], "{:?}", seen.bad);
    assert_eq!(texts(&seen, "code"), ["LCS-I2B2:pO2", "4548-4"]);
    assert_eq!(texts(&seen, "unit_src"), ["", ""]);
    assert_eq!(texts(&seen, "comparator"), ["eq", "lt"]);
    assert_eq!(seen.bad.iter().map(|q| q.reason).collect::<Vec<_>>(), [Reason::UnknownLevel]);
}

#[test]
fn a_source_value_of_two_words_is_a_code_of_the_site() {
    let head =
        "drug_exposure_id,person_id,drug_concept_id,drug_exposure_start_date,drug_type_concept_id,drug_source_value\n";
    let (seen, read) = shipped("omop", "drug_exposure.csv", &format!("{head}1,1,0,2020-01-02,32818,Paracetamol 500\n"));
    assert_eq!((read.records, texts(&seen, "code")), (1, vec!["Paracetamol 500".to_owned()]));
    assert_eq!(texts(&seen, "code_system"), ["urn:insitu:omop-source"]);
}

#[test]
fn an_ndc_of_any_spelling_has_eleven_digits() {
    let head = "DISPENSINGID,PATID,DISPENSE_DATE,NDC\n";
    let (seen, _) = shipped(
        "pcornet",
        "dispensing.csv",
        &format!("{head}1,1,2020-01-02,0093-0058-01\n2,1,2020-01-02,00093005801\n"),
    );
    assert_eq!(texts(&seen, "code"), ["00093005801", "00093005801"], "{:?}", seen.bad);
}

#[test]
fn a_class_that_is_not_listed_costs_no_visit() {
    let head = "Id,START,STOP,PATIENT,ENCOUNTERCLASS,CODE\n";
    let (seen, read) = shipped(
        "synthea-csv",
        "encounters.csv",
        &format!("{head}e,2020-01-02T00:00:00Z,2020-01-03T00:00:00Z,p,telehealth,1\n"),
    );
    assert_eq!((read.records, read.quarantined), (1, 1));
    assert_eq!((texts(&seen, "class"), seen.bad[0].reason), (vec!["OP".to_owned()], Reason::Unmapped));
}

#[test]
fn older_extracts_of_synthea_and_dentists_codes() {
    let head = "DATE,PATIENT,ENCOUNTER,CODE,DESCRIPTION,VALUE,UNITS\n";
    let rows = "2018-01-02,p,e,8302-2,Height,170.5,cm\n2018-01-02,p,e,72166-2,Smoking,Never smoker,\n";
    let (seen, read) = shipped("synthea-csv", "observations.csv", &format!("{head}{rows}"));
    assert_eq!((read.records, read.quarantined), (2, 0), "{:?}", seen.bad);
    assert_eq!(
        (seen.records[0].get("value_num"), texts(&seen, "flag")),
        (&Cell::Real(170.5), vec![String::new(), "text".to_owned()])
    );
    let (seen, _) =
        shipped("synthea-csv", "encounters.csv", "ID,START,STOP,PATIENT,CODE\ne,2018-01-02,2018-01-02,p,1\n");
    assert_eq!(texts(&seen, "class"), ["OP"]);
    let head = "START,STOP,PATIENT,ENCOUNTER,SYSTEM,CODE\n";
    let rows = "2020-01-02,,p,e,http://snomed.info/sct,430193006\n2020-01-02,,p,e,http://www.ada.org/cdt,D0120\n2020-01-02,,p,e,,D0120\n2020-01-02,,p,e,,430193006\n";
    let (seen, _) = shipped("synthea-csv", "procedures.csv", &format!("{head}{rows}"));
    let (snomed, cdt) = ("http://snomed.info/sct", "http://www.ada.org/cdt");
    assert_eq!(texts(&seen, "code_system"), [snomed, cdt, cdt, snomed], "{:?}", seen.bad);
}

#[test]
fn a_result_in_words_leaves_the_number_beside_it() {
    let head = "labevent_id,subject_id,itemid,charttime,value,valuenum,valueuom,flag\n";
    let rows = ["see comment,5.5", "GREATER THAN 10,10", "<0.1,0.1", "NEG,", "7,7"].iter().enumerate();
    let rows: String = rows.map(|(i, r)| format!("{i},1,50912,2150-01-02 10:00:00,{r},mg/dL,\n")).collect();
    let (seen, read) = shipped("mimic-iv", "labevents.csv", &format!("{head}{rows}"));
    assert_eq!((read.records, read.quarantined), (5, 0), "{:?}", seen.bad);
    let numbers: Vec<_> = seen.records.iter().map(|r| r.get("value_num").clone()).collect();
    assert_eq!(numbers, [Cell::Real(5.5), Cell::Real(10.0), Cell::Real(0.1), Cell::Null, Cell::Real(7.0)]);
    assert_eq!(texts(&seen, "comparator"), ["eq", "gt", "lt", "eq", "eq"]);
}

#[test]
fn a_bound_in_the_source_value_is_kept_where_no_number_was_made_of_it() {
    let head = "measurement_id,person_id,measurement_concept_id,measurement_date,value_as_number,value_source_value\n";
    let rows = "1,1,3000963,2020-01-02,,<5\n2,1,3000963,2020-01-02,,trace\n3,1,3000963,2020-01-02,7,<5\n4,1,3000963,2020-01-02,,8\n";
    let (seen, read) = shipped("omop", "measurement.csv", &format!("{head}{rows}"));
    assert_eq!((read.records, read.quarantined), (4, 0), "{:?}", seen.bad);
    let numbers: Vec<_> = seen.records.iter().map(|r| r.get("value_num").clone()).collect();
    assert_eq!(numbers, [Cell::Real(5.0), Cell::Null, Cell::Real(7.0), Cell::Null]);
    assert_eq!(texts(&seen, "comparator"), ["lt", "eq", "eq", "eq"]);
}

#[test]
fn a_line_that_names_the_delimiter_is_no_header_and_an_empty_file_says_so() {
    let (seen, read) = shipped("omop", "person.csv", &format!("sep=,\n{PERSON}1,8507,1970\n"));
    assert_eq!((read.records, seen.bad.len()), (1, 0));
    let (seen, _) = shipped("omop", "person.csv", &format!("sep=;\r\n{}1;8507;1970\r\n", PERSON.replace(',', ";")));
    assert_eq!(seen.records.len(), 1);
    let (seen, _) = shipped("omop", "person.csv", "");
    assert!(seen.bad[0].detail.contains("empty"), "{:?}", seen.bad);
}

#[test]
fn a_file_without_a_header_is_told_without_a_cell_of_it() {
    let adapter = crate::open("omop", None, "").unwrap();
    let bytes = b"4711,Schmidt,8507,1970\n".to_vec();
    let extract = Extract { name: "person.csv", reader: Box::new(Cursor::new(bytes)) };
    let error = adapter.read(&context(), extract, &mut Seen::default()).unwrap_err().to_string();
    assert!(error.contains("looks like data") && !error.contains("Schmidt") && !error.contains("4711"), "{error}");
}

/// A system that is not known is not one that is.
#[test]
fn codes_of_a_system_that_is_not_known_are_not_snomed() {
    let head = "START,STOP,PATIENT,ENCOUNTER,SYSTEM,CODE,DESCRIPTION\n";
    let rows: String = [
        "http://hl7.org/fhir/sid/icd-10-cm",
        "ICD-10-CM",
        "ICD10CM",
        "SNOMED-CT",
        "http://snomed.info/sct",
        "",
        "local",
    ]
    .iter()
    .enumerate()
    .map(|(i, system)| format!("2020-03-0{}T10:00:00.000Z,,a,v1,{system},I10,x\n", i + 1))
    .collect();
    let (seen, read) = shipped("synthea-csv", "conditions.csv", &format!("{head}{rows}"));
    let (icd, snomed) = ("http://hl7.org/fhir/sid/icd-10-cm", "http://snomed.info/sct");
    assert_eq!(texts(&seen, "code_system"), [icd, icd, icd, snomed, snomed, snomed]);
    assert_eq!((read.quarantined, seen.bad[0].reason), (1, Reason::UnknownCodeSystem));
    let head = "LAB_RESULT_CM_ID,PATID,LAB_LOINC,LAB_PX,LAB_PX_TYPE,SPECIMEN_DATE,RESULT_DATE,RESULT_NUM,RESULT_MODIFIER,RESULT_UNIT\n";
    let rows = "1,a,,80061,C4,2020-01-01,2020-01-01,5,EQ,mg/dL\n2,a,,X1,OT,2020-01-01,2020-01-01,5,EQ,mg/dL\n";
    let (seen, _) = shipped("pcornet", "lab_result_cm.csv", &format!("{head}{rows}"));
    assert_eq!(texts(&seen, "code_system"), ["http://www.ama-assn.org/go/cpt", "urn:insitu:pcornet-lab-px"]);
}

#[test]
fn small_words_of_the_shipped_formats() {
    let (seen, _) = shipped(
        "i2b2",
        "visit_dimension.csv",
        "ENCOUNTER_NUM,PATIENT_NUM,START_DATE,END_DATE,INOUT_CD,LOCATION_CD\n1,1,04-FEB-85,05-FEB-85,I,@\n",
    );
    assert_eq!((seen.records[0].get("ward"), texts(&seen, "class")), (&Cell::Null, vec!["IP".to_owned()]));
    assert!(seen.records[0].get("start_date") != &Cell::Null);
    let person = "person_id,gender_concept_id,year_of_birth,month_of_birth,birth_datetime\n";
    let rows = "1,8507,1970,,1970-05-04 00:00:00\n2,8507,1970,,1970-01-01 00:00:00\n3,8507,1970,7,1970-05-04T00:00:00\n4,8507,1970,0,\n";
    let (seen, _) = shipped("omop", "person.csv", &format!("{person}{rows}"));
    let months: Vec<_> = seen.records.iter().map(|r| r.get("birth_month").clone()).collect();
    assert_eq!(months, [Cell::Int(5), Cell::Null, Cell::Int(7), Cell::Null]);
    let head = "subject_id,hadm_id,starttime,stoptime,drug,ndc\n";
    let rows = "1,1,2180-01-01 10:00:00,,Insulin,0.0\n";
    let (seen, _) = shipped("mimic-iv", "prescriptions.csv", &format!("{head}{rows}"));
    assert_eq!(texts(&seen, "code_system"), ["urn:mimic:drug"]);
}
