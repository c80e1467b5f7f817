//! Clinical documents in the lake: what comes in every document is there once, and what a document takes back is gone.

use super::fhir::values;
use super::*;

struct Document<'d> {
    id: &'d str,
    time: &'d str,
    /// What stands in the header behind the patient.
    header: &'d str,
    patient: &'d str,
    entries: &'d [String],
}

fn document(d: &Document<'_>) -> String {
    let entries: String = d.entries.iter().map(|e| format!("<entry>{e}</entry>")).collect();
    format!(
        r#"<?xml version="1.0"?><ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:sdtc="urn:hl7-org:sdtc" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<id root="1.5" extension="{}"/><effectiveTime value="{}"/><recordTarget><patientRole><id root="1.2" extension="a"/><patient>
<administrativeGenderCode code="F"/>{}</patient></patientRole></recordTarget>{}
<component><structuredBody><component><section>{entries}</section></component></structuredBody></component></ClinicalDocument>"#,
        d.id, d.time, d.patient, d.header
    )
}

fn plain<'d>(id: &'d str, time: &'d str, entries: &'d [String]) -> Document<'d> {
    Document { id, time, header: "", patient: "", entries }
}

fn potassium(id: &str, value: &str, author: &str) -> String {
    format!(
        r#"<observation moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.22.4.2"/>{id}<code code="2823-3" codeSystem="2.16.840.1.113883.6.1"/><statusCode code="completed"/><effectiveTime value="20230102"/><value xsi:type="PQ" value="{value}" unit="mmol/L"/><author><time value="{author}"/></author></observation>"#
    )
}

fn problem(id: &str, attributes: &str, status: &str, high: &str) -> String {
    format!(
        r#"<observation moodCode="EVN" {attributes}><templateId root="2.16.840.1.113883.10.20.22.4.4"/>{id}<statusCode code="{status}"/><effectiveTime><low value="20190301"/>{high}</effectiveTime><value xsi:type="CD" code="44054006" codeSystem="2.16.840.1.113883.6.96"/></observation>"#
    )
}

async fn of(files: &[(&str, String)]) -> Hospital {
    let hospital = Hospital::new("format = \"ccda\"", ".none", "");
    for (name, text) in files {
        hospital.put(name, text);
    }
    let report = hospital.ingest().await;
    assert!(report.files.iter().all(|f| f.quarantined == 0), "{report:?}");
    hospital
}

/// The same two documents in both orders.
async fn both(one: &Document<'_>, other: &Document<'_>) -> [Hospital; 2] {
    let (one, other) = (document(one), document(other));
    [of(&[("a.xml", one.clone()), ("b.xml", other.clone())]).await, of(&[("a.xml", other), ("b.xml", one)]).await]
}

#[tokio::test]
async fn a_statement_without_an_id_is_there_once_however_many_documents_tell_it() {
    let entries = |n: usize| {
        let high = if n == 2 { r#"<high value="20230501"/>"# } else { "" };
        let status = if n == 2 { "completed" } else { "active" };
        [potassium("", "4.1", &format!("2023040{}", n + 1)), problem("", "", status, high)]
    };
    let files = ["a", "b", "c"].iter().enumerate().map(|(n, id)| {
        (["a.xml", "b.xml", "c.xml"][n], document(&plain(id, &format!("2023050{}", n + 1), &entries(n))))
    });
    let hospital = of(&files.collect::<Vec<_>>()).await;
    assert_eq!(values(&hospital, Table::Measurement, &["value_num"]), ["4.1"]);
    assert_eq!(values(&hospital, Table::Condition, &["code", "end_date"]), ["44054006 2023-05-01"]);
    // Another value is another statement.
    hospital.put("d.xml", &document(&plain("d", "20230504", &[potassium("", "4.2", "20230401")])));
    hospital.ingest().await;
    assert_eq!(values(&hospital, Table::Measurement, &["value_num"]), ["4.1", "4.2"]);
}

const REPLACES: &str = r#"<relatedDocument typeCode="RPLC"><parentDocument><id root="1.5" extension="first"/></parentDocument></relatedDocument>"#;

#[tokio::test]
async fn a_document_that_replaces_another_takes_back_what_it_told() {
    let id = |n: u32| format!(r#"<id root="1.9" extension="{n}"/>"#);
    let wrong = [potassium(&id(1), "9.9", "20230401"), potassium("", "9.8", "20230401")];
    let right = [potassium(&id(2), "4.1", "20230401")];
    let first = plain("first", "20230501", &wrong);
    for (header, time, want) in [
        (REPLACES.to_owned(), "20230502", vec!["4.1"]),
        // Its clock was behind.
        (REPLACES.to_owned(), "20230430", vec!["4.1"]),
        (REPLACES.replace("RPLC", "APND"), "20230502", vec!["4.1", "9.8", "9.9"]),
        (REPLACES.replace("first", "third"), "20230502", vec!["4.1", "9.8", "9.9"]),
    ] {
        let second = Document { header: &header, ..plain("second", time, &right) };
        for hospital in both(&first, &second).await {
            assert_eq!(values(&hospital, Table::Measurement, &["value_num"]), want, "{header}");
            assert_eq!(values(&hospital, Table::Patient, &["sex"]), ["F"]);
        }
    }
    // What a third document tells as well stays, and a document that breaks off takes nobody's place.
    let second = document(&Document { header: REPLACES, ..plain("second", "20230502", &right) });
    let third = document(&plain("third", "20230401", &wrong[..1]));
    let hospital = of(&[("a.xml", document(&first)), ("b.xml", second.clone()), ("c.xml", third)]).await;
    assert_eq!(values(&hospital, Table::Measurement, &["value_num"]), ["4.1", "9.9"]);
    let hospital = of(&[("a.xml", document(&first))]).await;
    hospital.put("b.xml", second.split("</section>").next().unwrap());
    assert_eq!(hospital.ingest().await.files[1].quarantined, 1);
    assert_eq!(values(&hospital, Table::Measurement, &["value_num"]), ["4.1", "9.8", "9.9"]);
}

#[tokio::test]
async fn what_a_later_document_denies_is_taken_back() {
    let id = r#"<id root="1.9" extension="c"/>"#;
    let told = [problem(id, "", "completed", "")];
    let denied = [problem(id, "negationInd=\"true\"", "completed", "")];
    let wrapped = [format!(
        r#"<act negationInd="true"><templateId root="2.16.840.1.113883.10.20.22.4.3"/><entryRelationship>{}</entryRelationship></act>"#,
        told[0]
    )];
    for denied in [&denied, &wrapped] {
        for hospital in both(&plain("1", "20230501", &told), &plain("2", "20230502", denied)).await {
            assert_eq!(values(&hospital, Table::Condition, &["code"]), [""; 0]);
        }
        for hospital in both(&plain("1", "20230503", &told), &plain("2", "20230502", denied)).await {
            assert_eq!(values(&hospital, Table::Condition, &["code"]), ["44054006"], "told again later");
        }
    }
    // In one document, what is told counts.
    let mixed = [denied[0].clone(), told[0].clone()];
    let hospital = of(&[("a.xml", document(&plain("1", "20230501", &mixed)))]).await;
    assert_eq!(values(&hospital, Table::Condition, &["code"]), ["44054006"]);
}

#[tokio::test]
async fn a_death_that_a_later_document_takes_back_is_gone() {
    let of = |time, patient| Document { patient, ..plain(time, time, &[]) };
    let dead = of("20230501", r#"<sdtc:deceasedInd value="true"/>"#);
    for (later, deaths) in [(r#"<sdtc:deceasedInd value="false"/>"#, 0), ("", 1)] {
        for hospital in both(&dead, &of("20230502", later)).await {
            assert_eq!(values(&hospital, Table::Death, &["death_source"]).len(), deaths);
        }
    }
}
