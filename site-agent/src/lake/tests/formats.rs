//! The same patients by CSV and by clinical documents give the same gold.

use std::fmt::Write as _;
use std::io::Write as _;

use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::*;

const MAPPING: &str = r#"
format = "csv"
[[file]]
match = "patients.csv"
dates = ["%Y-%m-%d"]
person = { column = "pid" }
[[file.row]]
table = "patient"
[file.row.set]
sex = { column = "sex" }
birth = { column = "born" }
[[file.row]]
table = "death"
require = ["died"]
[file.row.set]
event = { column = "died" }
[[file]]
match = "visits.csv"
dates = ["%Y-%m-%d %H:%M"]
person = { column = "pid" }
[[file.row]]
table = "visit"
[file.row.set]
visit = { column = "vid" }
class = { column = "class" }
start = { column = "start" }
end = { column = "end" }
discharge_to = { column = "to" }
end_kind = "explicit"
[[file]]
match = "problems.csv"
dates = ["%Y-%m-%d", "%Y-%m"]
person = { column = "pid" }
[[file.row]]
table = "condition"
[file.row.set]
code_system = "snomed"
code = { column = "code" }
event = { column = "onset" }
end = { column = "gone" }
[[file]]
match = "results.csv"
dates = ["%Y-%m-%d %H:%M:%S"]
person = { column = "pid" }
[[file.row]]
table = "measurement"
[file.row.set]
code_system = "loinc"
code = { column = "code" }
value_num = { column = "value" }
unit_src = { column = "unit" }
event = { column = "at" }
[[file]]
match = "drugs.csv"
dates = ["%Y-%m-%d"]
person = { column = "pid" }
[[file.row]]
table = "drug_exposure"
[file.row.set]
kind = { column = "kind" }
code_system = { column = "system" }
code = { column = "code" }
event = { column = "from" }
end = { column = "to" }
end_kind = { column = "ends" }
qty = { column = "qty" }
unit = { column = "unit" }
[[file]]
match = "procedures.csv"
dates = ["%Y-%m-%d"]
person = { column = "pid" }
[[file.row]]
table = "procedure"
[file.row.set]
code_system = "snomed"
code = { column = "code" }
event = { column = "on" }
"#;

const TABLES: [(&str, &str); 6] = [
    ("patients.csv", "pid,sex,born,died\n1.2|a,F,1950-07-02,\n1.2|b,M,1948-01-31,2023-03-04\n"),
    ("visits.csv", "pid,vid,class,start,end,to\n1.2|a,1.3|v1,IP,2023-01-02 10:30,2023-01-09 09:00,01\n"),
    ("problems.csv", "pid,code,onset,gone\n1.2|a,44054006,2019-03,\n1.2|b,233604007,2023-01-05,2023-02-01\n"),
    (
        "results.csv",
        "pid,code,value,unit,at\n1.2|a,4548-4,7.0,%,2023-01-03 08:15:00\n1.2|a,1988-5,<5,mg/L,2023-01-03 08:15:00\n\
         1.2|b,8480-6,142,mm[Hg],2023-03-26 02:30:00\n",
    ),
    (
        "drugs.csv",
        "pid,kind,system,code,from,to,ends,qty,unit\n1.2|a,reported,rxnorm,197361,2023-01-03,2023-06-30,explicit,,\n\
         1.2|b,given,cvx,88,2022-11-01,,,0.5,mL\n",
    ),
    ("procedures.csv", "pid,code,on\n1.2|a,73761001,2023-01-04\n"),
];

fn document(patient: &str, visit: &str, entries: &[&str]) -> String {
    let sections = entries.iter().fold(String::new(), |mut out, e| {
        let _ = write!(out, "<component><section><text>told in words</text><entry>{e}</entry></section></component>");
        out
    });
    format!(
        r#"<?xml version="1.0"?><ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:sdtc="urn:hl7-org:sdtc" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<effectiveTime value="20230901"/><recordTarget><patientRole>{patient}</patientRole></recordTarget>{visit}
<component><structuredBody>{sections}</structuredBody></component></ClinicalDocument>"#
    )
}

fn statement(element: &str, template: &str, id: &str, rest: &str) -> String {
    format!(
        r#"<{element} moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.22.4.{template}"/><id root="1.9" extension="{id}"/><statusCode code="completed"/>{rest}</{element}>"#
    )
}

fn anna() -> String {
    let problem = r#"<effectiveTime><low value="201903"/></effectiveTime><value xsi:type="CD" code="44054006" codeSystem="2.16.840.1.113883.6.96"/>"#;
    let result = |code: &str, value: &str| {
        format!(
            r#"<code code="{code}" codeSystem="2.16.840.1.113883.6.1"/><effectiveTime value="202301030815{sec}"/>{value}"#,
            sec = "00"
        )
    };
    let hba1c = result("4548-4", r#"<value xsi:type="PQ" value="7.0" unit="%"/>"#);
    let crp = result("1988-5", r#"<value xsi:type="IVL_PQ"><high value="5" unit="mg/L" inclusive="false"/></value>"#);
    let drug = r#"<effectiveTime xsi:type="IVL_TS"><low value="20230103"/><high value="20230630"/></effectiveTime><consumable><manufacturedProduct><manufacturedMaterial><code nullFlavor="OTH"><translation code="197361" codeSystem="2.16.840.1.113883.6.88"/></code></manufacturedMaterial></manufacturedProduct></consumable>"#;
    let operation = r#"<code code="73761001" codeSystem="2.16.840.1.113883.6.96"/><effectiveTime value="20230104"/>"#;
    document(
        r#"<id root="1.2" extension="a"/><patient><administrativeGenderCode code="F"/><birthTime value="19500702"/></patient>"#,
        r#"<componentOf><encompassingEncounter><id root="1.3" extension="v1"/><code code="IMP" codeSystem="2.16.840.1.113883.5.4"/><effectiveTime><low value="202301021030+0100"/><high value="202301090900+0100"/></effectiveTime><dischargeDispositionCode code="01"/></encompassingEncounter></componentOf>"#,
        &[
            &statement("observation", "4", "c", problem),
            &statement("observation", "2", "h", &hba1c),
            &statement("observation", "2", "crp", &crp),
            &statement("substanceAdministration", "16", "m", drug),
            &statement("procedure", "14", "p", operation),
        ],
    )
}

fn bert() -> String {
    let problem = r#"<effectiveTime><low value="20230105"/><high value="20230201"/></effectiveTime><value xsi:type="CD" code="233604007" codeSystem="2.16.840.1.113883.6.96"/>"#;
    // An hour that the clock of Berlin skips.
    let pressure = r#"<code code="8480-6" codeSystem="2.16.840.1.113883.6.1"/><effectiveTime value="20230326023000"/><value xsi:type="PQ" value="142" unit="mm[Hg]"/>"#;
    let shot = r#"<effectiveTime value="20221101"/><doseQuantity value="0.5" unit="mL"/><consumable><manufacturedProduct><manufacturedMaterial><code code="88" codeSystem="2.16.840.1.113883.12.292"/></manufacturedMaterial></manufacturedProduct></consumable>"#;
    document(
        r#"<id root="1.2" extension="b"/><patient><administrativeGenderCode code="M"/><birthTime value="19480131"/><sdtc:deceasedInd value="true"/><sdtc:deceasedTime value="20230304"/></patient>"#,
        "",
        &[
            &statement("observation", "4", "c", problem),
            &statement("observation", "27", "s", pressure),
            &statement("substanceAdministration", "52", "i", shot),
        ],
    )
}

/// Columns that say how a row came, and not what it says.
const OF_THE_WAY: [&str; 5] = ["record_key", "rev", "src_format", "t_ingest", "t_zone_src"];

impl Hospital {
    /// Every row of gold as text, without what says how it came.
    fn gold_rows(&self) -> Vec<String> {
        let mut rows = Vec::new();
        for table in Table::ALL {
            let Some(file) = self.lake.gold_file(&self.gold(), table) else { continue };
            for batch in batches(&file) {
                let options = FormatOptions::default();
                for i in 0..batch.num_rows() {
                    let mut row = table.name().to_owned();
                    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                        // That a visit's time came with an offset is known by one format alone.
                        let way = OF_THE_WAY.contains(&field.name().as_str())
                            && !(field.name() == "t_zone_src" && table != Table::Visit);
                        if !way {
                            let cell = ArrayFormatter::try_new(column, &options).unwrap();
                            let _ = write!(row, " {}={}", field.name(), cell.value(i));
                        }
                    }
                    rows.push(row);
                }
            }
        }
        rows.sort();
        rows
    }

    fn same_key(self) -> Hospital {
        let state = self.config.state_dir();
        std::fs::create_dir_all(&state).unwrap();
        platform::files::write_secret(&state.join("pseudonym.key"), &[5; 32]).unwrap();
        self
    }
}

fn gzip(text: &str) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(text.as_bytes()).unwrap();
    out.finish().unwrap()
}

fn of_documents() -> Hospital {
    let hospital = Hospital::new("format = \"ccda\"", "anna.xml", &anna()).same_key();
    std::fs::write(hospital.file("bert.xml.gz"), gzip(&bert())).unwrap();
    hospital
}

#[tokio::test]
async fn tables_and_documents_give_the_same_gold() {
    let tables = Hospital::new("format = \"csv\"\nmapping = \"mapping.toml\"", TABLES[0].0, TABLES[0].1).same_key();
    std::fs::write(tables.dir.path().join("mapping.toml"), MAPPING).unwrap();
    for (name, text) in TABLES {
        std::fs::write(tables.file(name), text).unwrap();
    }
    let report = tables.ingest().await;
    assert!(report.files.iter().all(|f| f.quarantined == 0), "{report:?}");
    let documents = of_documents();
    let report = documents.ingest().await;
    assert!(report.files.iter().all(|f| f.quarantined == 0), "{report:?}");
    let (csv, ccda) = (tables.gold_rows(), documents.gold_rows());
    assert!(ccda.len() > 14, "{ccda:#?}");
    for (a, b) in csv.iter().zip(&ccda) {
        assert_eq!(a, b);
    }
    assert_eq!(csv.len(), ccda.len());
}

#[tokio::test]
async fn the_newest_document_is_in_gold_whatever_the_order_and_a_bad_one_is_named() {
    let born = |hospital: &Hospital| hospital.tags().into_keys().collect::<Vec<_>>();
    let hospital = of_documents();
    hospital.ingest().await;
    assert_eq!(born(&hospital), [Some(1948), Some(1950)]);
    // Older, and ingested later; newer, and ingested earlier than it.
    let other =
        |year: &str, time: &str| anna().replace("19500702", year).replace("\"20230901\"", &format!("\"{time}\""));
    std::fs::write(hospital.file("z.xml"), other("1900", "20210101")).unwrap();
    std::fs::write(hospital.file("a.xml"), other("1951", "20230902")).unwrap();
    std::fs::write(hospital.file("bomb.xml"), anna().replacen("?>", "?><!DOCTYPE d [<!ENTITY a \"b\">]>", 1)).unwrap();
    std::fs::write(hospital.file("note.txt"), "no document").unwrap();
    let report = hospital.ingest().await;
    assert_eq!(born(&hospital), [Some(1948), Some(1951)]);
    assert_eq!(report.ignored, ["note.txt"]);
    let bomb = report.files.iter().find(|f| f.file == "bomb.xml").unwrap();
    let said = std::fs::read_to_string(bomb.quarantine.as_ref().unwrap()).unwrap();
    assert!(bomb.records == 0 && said.contains("dtd_forbidden") && said.contains("bomb.xml"), "{said}");
}

#[tokio::test]
async fn an_id_for_linkage_is_tagged_and_stored_nowhere() {
    let text = anna().replace(
        "<id root=\"1.2\" extension=\"a\"/>",
        "<id root=\"1.77\" extension=\"A-123 456 789\"/><id root=\"1.2\" extension=\"a\"/>",
    );
    let hospital = Hospital::new("format = \"ccda\"\nlinkage_system = \"urn:oid:1.77\"", "anna.xml", &text);
    install(&hospital.config, 7, 1);
    let report = hospital.ingest().await;
    assert_eq!(hospital.tags()[&Some(1950)], tag(7));
    let said = serde_json::to_string(&report).unwrap() + &hospital.everything();
    assert!(RAW.iter().all(|raw| !said.contains(raw)));
}
