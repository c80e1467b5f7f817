//! Each statement, its odd forms, and the traps of clinical documents. `acts`: drugs, procedures, visits.
//! `hostile`: what is refused.
#![allow(clippy::unwrap_used)]

mod acts;
mod hostile;

use super::*;
use crate::sink::Quarantined;
use schema::{Cell, Record, Table};
use std::io::Cursor;

#[derive(Default)]
pub(super) struct Seen {
    pub(super) records: Vec<Record>,
    pub(super) bad: Vec<Quarantined>,
}

impl crate::Sink for Seen {
    fn record(&mut self, r: Record) -> Result<(), AdapterError> {
        self.records.push(r);
        Ok(())
    }
    fn quarantine(&mut self, q: Quarantined) -> Result<(), AdapterError> {
        self.bad.push(q);
        Ok(())
    }
}

impl Seen {
    pub(super) fn of(&self, table: Table) -> Vec<&Record> {
        self.records.iter().filter(|r| r.table() == table).collect()
    }
}

fn context() -> Context {
    Context {
        source_system: "ehr".to_owned(),
        zone: chrono_tz::America::New_York,
        pseudonyms: schema::record::Pseudonyms::new(&[1; 32]),
        linkage: None,
        ingest_micros: 1_700_000_000_000_000,
        revision: 1,
    }
}

pub(super) fn read(bytes: &[u8]) -> (Seen, Read) {
    read_from(Box::new(Cursor::new(bytes.to_vec())))
}

pub(super) fn read_from(reader: Box<dyn std::io::BufRead + '_>) -> (Seen, Read) {
    let mut seen = Seen::default();
    let read = Ccda::new(None).read(&context(), Extract { name: "d.xml", reader }, &mut seen).unwrap();
    assert_eq!((read.records, read.quarantined), (seen.records.len() as u64, seen.bad.len() as u64));
    (seen, read)
}

const HEADER: &str = r#"<effectiveTime value="20150301101500-0500"/><recordTarget><patientRole>
<id root="2.16.840.1.113883.4.1" extension="111-22-3333"/><id root="1.2.3" extension="p1"/><patient>
<administrativeGenderCode code="F"/><birthTime value="195007"/></patient></patientRole></recordTarget>"#;

/// A document of this patient with the sections.
pub(super) fn document(header: &str, sections: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:sdtc="urn:hl7-org:sdtc" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
{header}<component><structuredBody>{sections}</structuredBody></component></ClinicalDocument>"#
    )
}

fn section(code: &str, entries: &str) -> String {
    let entries: String = entries.split("||").map(|e| format!("<entry>{e}</entry>")).collect();
    format!(
        r#"<component><section><code code="{code}" codeSystem="2.16.840.1.113883.6.1"/><text>n</text>{entries}</section></component>"#
    )
}

/// What the document's body gives; the patient's row is left out.
fn body(sections: &str) -> (Vec<Record>, Read, Seen) {
    let (seen, read) = read(document(HEADER, sections).as_bytes());
    for record in &seen.records {
        assert_eq!(record.missing(), None);
    }
    (seen.records.iter().filter(|r| r.table() != Table::Patient).cloned().collect(), read, seen)
}

fn one(code: &str, entry: &str) -> Record {
    let (records, _, seen) = body(&section(code, entry));
    assert!(seen.bad.is_empty(), "{:?}", seen.bad);
    assert_eq!(records.len(), 1, "{records:?}");
    records.into_iter().next().unwrap()
}

fn none(code: &str, entry: &str) {
    let (records, read, seen) = body(&section(code, entry));
    assert!(records.is_empty() && seen.bad.is_empty(), "{records:?} {:?}", seen.bad);
    assert_eq!(read.skipped, 1);
}

/// What an entry says is taken back, and nothing is told.
fn denied(code: &str, entry: &str) {
    let (records, read, seen) = body(&section(code, entry));
    assert!(seen.bad.is_empty() && records.iter().all(|r| r.get("op") == &Cell::from("retract")), "{records:?}");
    assert_eq!((records.len(), read.skipped), (1, 1));
}

fn result(value: &str) -> String {
    format!(
        r#"<organizer><templateId root="2.16.840.1.113883.10.20.22.4.1"/><statusCode code="completed"/><component><observation moodCode="EVN">
<templateId root="2.16.840.1.113883.10.20.22.4.2"/><id root="1.9" extension="o"/><code code="1988-5" codeSystem="2.16.840.1.113883.6.1"/>
<statusCode code="completed"/><effectiveTime value="20150101"/>{value}</observation></component></organizer>"#
    )
}

fn problem(rest: &str) -> String {
    format!(
        r#"<act moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.22.4.3"/><statusCode code="active"/><entryRelationship>
<observation moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.22.4.4"/><id root="1.9" extension="c"/>{rest}</observation>
</entryRelationship></act>"#
    )
}

const SNOMED: &str = r#"<value xsi:type="CD" code="233604007" codeSystem="2.16.840.1.113883.6.96"/>"#;

#[test]
fn the_patient_and_the_death_of_the_header() {
    let dead = HEADER
        .replace("</patient>", r#"<sdtc:deceasedInd value="true"/><sdtc:deceasedTime value="20150102"/></patient>"#);
    let (seen, _) = read(document(&dead, "").as_bytes());
    let (patient, death) = (&seen.records[0], &seen.records[1]);
    assert_eq!((patient.get("birth_year"), patient.get("birth_month")), (&Cell::Int(1950), &Cell::Int(7)));
    assert_eq!(patient.get("sex"), &Cell::from("F"));
    assert_eq!((death.table(), death.get("t_prec")), (Table::Death, &Cell::from("day")));
    let ctx = context();
    let key = Envelope::new(&ctx, "ccda").person("1.2.3|p1");
    assert_eq!(patient.get("person_key"), &Cell::Key(key), "the hospital's number, not the social security number");
    let unknown = HEADER.replace("</patient>", r#"<sdtc:deceasedInd value="true"/></patient>"#);
    let (seen, _) = read(document(&unknown, "").as_bytes());
    assert_eq!(seen.of(Table::Death)[0].get("death_date"), &Cell::Null);
    let alive = HEADER.replace("</patient>", r#"<sdtc:deceasedInd value="false"/></patient>"#);
    let (seen, _) = read(document(&alive, "").as_bytes());
    assert_eq!(seen.of(Table::Death)[0].get("op"), &Cell::from("retract"));
    assert!(read(document(HEADER, "").as_bytes()).0.of(Table::Death).is_empty(), "nothing is said");
}

#[test]
fn a_death_told_in_the_body_counts_once() {
    let told = r#"<observation moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.22.4.79"/><id root="1.9" extension="d"/>
<effectiveTime><low value="20150203"/></effectiveTime><value xsi:type="CD" code="419099009"/></observation>"#;
    let death = one("11450-4", told);
    assert_eq!((death.table(), death.get("t_prec")), (Table::Death, &Cell::from("day")));
    let dead = HEADER.replace("</patient>", r#"<sdtc:deceasedTime value="20150202"/></patient>"#);
    let (seen, _) = read(document(&dead, &section("11450-4", told)).as_bytes());
    assert_eq!(seen.of(Table::Death).len(), 1);
}

#[test]
fn values_of_every_type() {
    let of = |value: &str| one("30954-2", &result(value));
    let pq = of(
        r#"<value xsi:type="PQ" value="7.20" unit="mg/L"/><interpretationCode code="H"/><referenceRange><observationRange>
<value xsi:type="IVL_PQ"><low value="0"/><high value="5"/></value></observationRange></referenceRange>"#,
    );
    assert_eq!((pq.get("value_num"), pq.get("value_scale")), (&Cell::Real(7.2), &Cell::Int(2)));
    assert_eq!((pq.get("ref_lo"), pq.get("ref_hi")), (&Cell::Real(0.0), &Cell::Real(5.0)));
    assert_eq!((pq.get("flag"), pq.get("comparator")), (&Cell::from("H"), &Cell::from("eq")));
    assert_eq!((pq.get("t_prec"), pq.get("t_event")), (&Cell::from("day"), &Cell::Null));
    let bound = of(
        r#"<value xsi:type="IVL_PQ"><low nullFlavor="NINF"/><high value="5" unit="mg/L" inclusive="false"/></value>"#,
    );
    assert_eq!((bound.get("comparator"), bound.get("value_hi")), (&Cell::from("lt"), &Cell::Real(5.0)));
    assert_eq!(bound.get("unit_src"), &Cell::from("mg/L"));
    let open = of(r#"<value xsi:type="IVL_PQ"><low value="5" unit="mg/L"/><high nullFlavor="PINF"/></value>"#);
    assert_eq!((open.get("comparator"), open.get("value_lo")), (&Cell::from("ge"), &Cell::Real(5.0)));
    let range = of(r#"<value xsi:type="IVL_PQ"><low value="1"/><high value="3"/></value>"#);
    assert_eq!((range.get("value_lo"), range.get("value_num")), (&Cell::Real(1.0), &Cell::Null));
    let coded = of(
        r#"<value xsi:type="CE" nullFlavor="OTH"><translation code="260385009" codeSystem="2.16.840.1.113883.6.96"/></value>"#,
    );
    assert_eq!((coded.get("value_code"), coded.get("flag")), (&Cell::from("260385009"), &Cell::Null));
    assert_eq!(of(r#"<value xsi:type="INT" value="7"/>"#).get("value_num"), &Cell::Real(7.0));
    assert_eq!(of(r#"<value value="7" unit="mg/L"/>"#).get("value_num"), &Cell::Real(7.0), "no xsi:type");
    assert_eq!(of(r#"<value xsi:type="BL" value="false"/>"#).get("value_code"), &Cell::from("false"));
    let ratio = of(r#"<value xsi:type="RTO"><numerator value="1"/><denominator value="128"/></value>"#);
    assert_eq!((ratio.get("flag"), ratio.get("value_num")), (&Cell::Null, &Cell::Real(1.0 / 128.0)));
    let text = of(r#"<value xsi:type="ST">&lt; 5</value>"#);
    assert_eq!((text.get("comparator"), text.get("value_num")), (&Cell::from("lt"), &Cell::Real(5.0)));
    assert_eq!(of(r#"<value xsi:type="ST">1.234</value>"#).get("flag"), &Cell::from("text"), "no mark is guessed");
    assert_eq!(of(r#"<value xsi:type="ST"><![CDATA[turbid]]></value>"#).get("flag"), &Cell::from("text"));
}

#[test]
fn what_is_not_there_says_why() {
    let of = |null: &str| one("30954-2", &result(&format!(r#"<value xsi:type="PQ" nullFlavor="{null}"/>"#)));
    assert_eq!(of("NI").get("flag"), &Cell::from("absent:NI"));
    assert_eq!(of("NA").get("flag"), &Cell::from("absent:NA"), "NI is not NA");
    assert_eq!(of("NI").get("value_num"), &Cell::Null);
    // Beyond what could be measured: the comparator, and the bound where one stands there.
    for (null, comparator) in [("PINF", "gt"), ("NINF", "lt")] {
        let row = of(null);
        assert_eq!((row.get("comparator"), row.get("value_num")), (&Cell::from(comparator), &Cell::Null));
        assert_eq!(row.get("flag"), &Cell::from(format!("absent:{null}")));
        let bound = format!(r#"<value xsi:type="PQ" nullFlavor="{null}" value="500" unit="mg/L"/>"#);
        let row = one("30954-2", &result(&bound));
        assert_eq!((row.get("comparator"), row.get("value_num")), (&Cell::from(comparator), &Cell::Real(500.0)));
        assert_eq!(row.get("flag"), &Cell::Null);
    }
}

#[test]
fn a_problem_with_its_code_in_a_translation() {
    let c = one(
        "11450-4",
        &problem(
            r#"<statusCode code="completed"/><effectiveTime><low value="201203"/><high value="20120415"/></effectiveTime>
<value xsi:type="CD" nullFlavor="UNK"><translation code="X1" codeSystem="9.9.9"/><translation code="J18.9" codeSystem="2.16.840.1.113883.6.90"/></value>
<author><time value="20120501"/></author>"#,
        ),
    );
    assert_eq!(
        (c.get("code"), c.get("code_system")),
        (&Cell::from("J18.9"), &Cell::from("http://hl7.org/fhir/sid/icd-10-cm"))
    );
    assert_eq!((c.get("t_prec"), c.get("role")), (&Cell::from("month"), &Cell::from("problem")));
    assert_ne!(c.get("end_date"), &Cell::Null);
    let both = r#"<value xsi:type="CD" nullFlavor="OTH" code="1" codeSystem="2.16.840.1.113883.6.96"><translation code="Y" codeSystem="1.2"/></value>"#;
    assert_eq!(one("11450-4", &problem(both)).get("code"), &Cell::from("Y"), "a null code is none");
    let local = one("11450-4", &problem(r#"<value xsi:type="CD" code="X" codeSystem="1.2.3.4"/>"#));
    assert_eq!((local.get("code_system"), local.get("event_date")), (&Cell::from("urn:oid:1.2.3.4"), &Cell::Null));
    let recorded = one(
        "11450-4",
        &problem(&format!(
            r#"{SNOMED}<effectiveTime><low nullFlavor="UNK"/></effectiveTime><author><time value="20120501"/></author>"#
        )),
    );
    assert_eq!(recorded.get("t_prec"), &Cell::from("day"));
}

#[test]
fn what_was_not_so_is_dropped() {
    let negated = problem(SNOMED).replacen("<observation moodCode", "<observation negationInd=\"true\" moodCode", 1);
    denied("11450-4", &negated);
    none("11450-4", &negated.replace("<id root=\"1.9\" extension=\"c\"/>", ""));
    none("11450-4", &problem(r#"<value xsi:type="CD" nullFlavor="NI"/>"#));
    none("11450-4", &problem(r#"<value xsi:type="CD" code="160245001" codeSystem="2.16.840.1.113883.6.96"/>"#));
    denied(
        "10160-0",
        &acts::drug("EVN", "").replacen("<substanceAdministration", "<substanceAdministration negationInd=\"true\"", 1),
    );
    none("47519-4", &acts::procedure("procedure", "14", "INT"));
    // Of a relative.
    none(
        "30954-2",
        &result(SNOMED).replace(
            "<statusCode code=\"completed\"/><effectiveTime",
            "<subject><relatedSubject/></subject><effectiveTime",
        ),
    );
}

#[test]
fn a_nullified_statement_is_a_retraction() {
    let told = one("11450-4", &problem(SNOMED));
    let back = one("11450-4", &problem(&format!(r#"<statusCode code="nullified"/>{SNOMED}"#)));
    assert_eq!((back.get("op"), back.get("status")), (&Cell::from("retract"), &Cell::from("error")));
    assert_eq!(told.get("record_key"), back.get("record_key"));
}

#[test]
fn smoking_is_asked_by_its_question() {
    let old = r#"<observation moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.22.4.78"/><id root="1.9" extension="t"/><code code="ASSERTION" codeSystem="2.16.840.1.113883.5.4"/><statusCode code="completed"/><effectiveTime><low value="2009"/></effectiveTime><value xsi:type="CD" code="8517006" codeSystem="2.16.840.1.113883.6.96"/></observation>"#;
    let r = one("29762-2", old);
    assert_eq!(
        (r.get("code"), r.get("value_code"), r.get("t_prec")),
        (&Cell::from("72166-2"), &Cell::from("8517006"), &Cell::from("year"))
    );
}

#[test]
fn documents_of_other_countries() {
    // IHE's templates, as France, Austria and Italy carry them; an allergy is a problem by its templates too.
    let ihe = problem(SNOMED).replace("2.16.840.1.113883.10.20.22.4.4", "1.3.6.1.4.1.19376.1.5.3.1.4.5");
    assert_eq!(one("11450-4", &ihe).table(), Table::Condition);
    let allergy =
        ihe.replace("<id root=\"1.9\"", "<templateId root=\"1.3.6.1.4.1.19376.1.5.3.1.4.6\"/><id root=\"1.9\"");
    none("48765-2", &allergy);
    let (six, five) = ("1.3.6.1.4.1.19376.1.5.3.1.4.6\"", "1.3.6.1.4.1.19376.1.5.3.1.4.5\"");
    none("48765-2", &allergy.replace(six, "@").replace(five, six).replace('@', five));
    // No template that is known, in a section that is.
    let bare = result(r#"<value xsi:type="PQ" value="3" unit="mg/L"/>"#)
        .replace("2.16.840.1.113883.10.20.22.4.2\"", "1.2.40.0.34.11\"");
    assert_eq!(one("30954-2", &bare).table(), Table::Measurement);
    none("99999-9", &bare);
    // Prefixes are the document's own affair; another namespace is not HL7's.
    let prefixed = document(HEADER, &section("11450-4", &problem(SNOMED)));
    let prefixed = prefixed
        .replace("xmlns=\"urn:hl7-org:v3\"", "xmlns:h=\"urn:hl7-org:v3\"")
        .replace("</", "</h:")
        .replace('<', "<h:");
    let prefixed = prefixed.replace("<h:/h:", "</h:").replace("<h:?xml", "<?xml");
    assert_eq!(read(prefixed.as_bytes()).0.of(Table::Condition).len(), 1);
    let foreign = document(
        HEADER,
        &format!(r#"<x:component xmlns:x="urn:x">{}</x:component>"#, section("11450-4", &problem(SNOMED))),
    );
    assert_eq!(read(foreign.as_bytes()).0.of(Table::Condition).len(), 0);
}

#[test]
fn the_newest_document_wins_in_any_order_of_files() {
    let of = |time: &str| {
        let (seen, _) = read(
            document(&HEADER.replace("20150301101500-0500", time), &section("11450-4", &problem(SNOMED))).as_bytes(),
        );
        let row = seen.of(Table::Condition)[0].clone();
        (
            row.get("record_key").clone(),
            match row.get("rev") {
                Cell::Int(v) => *v,
                _ => -1,
            },
        )
    };
    let (old, new) = (of("20150301101500-0500"), of("201503011016-0500"));
    assert_eq!(old.0, new.0);
    assert!(old.1 < new.1 && new.1 == 1_425_222_960, "{old:?} {new:?}");
    assert_eq!(of("20990101").1, 1_700_000_000, "a document of the future does not win for ever");
    assert_eq!(of("19650101").1, 0);
}

#[test]
fn an_id_that_a_document_uses_again_loses_no_fact() {
    let day = |day: &str, value: &str| {
        result(&format!(r#"<value xsi:type="PQ" value="{value}" unit="mg/L"/>"#)).replace("20150101", day)
    };
    let entries = [day("20150101", "1"), day("20150102", "2"), day("20150102", "3"), day("20150101", "1")].join("||");
    let (records, read, _) = body(&section("30954-2", &entries));
    assert_eq!((records.len(), read.skipped), (3, 1), "told twice is told once");
    let mut keys: Vec<_> = records.iter().map(|r| format!("{:?}", r.get("record_key"))).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 3);
    // Another patient's statement of the same id is another record.
    let (other, _) = read_other(&section("30954-2", &day("20150101", "1")));
    assert_ne!(other.of(Table::Measurement)[0].get("record_key"), records[0].get("record_key"));
    // Without an id, what it says is what it is.
    let bare = day("20150101", "1").replace("<id root=\"1.9\" extension=\"o\"/>", "");
    assert_eq!(one("30954-2", &bare).get("record_key"), one("30954-2", &bare).get("record_key"));
}

fn read_other(sections: &str) -> (Seen, Read) {
    read(document(&HEADER.replace("\"p1\"", "\"p2\""), sections).as_bytes())
}

#[test]
fn narrative_and_embedded_files_are_passed_over_and_counted() {
    let narrative = r#"<component><section><code code="11450-4"/><text><table><tr><td>Pneumonia</td></tr></table>&nbsp;</text></section></component>"#;
    let (records, read, _) = body(narrative);
    assert_eq!((records.len(), read.items, read.skipped), (0, 2, 1));
    let pdf = document(HEADER, "")
        .replace("<structuredBody></structuredBody>", "<nonXMLBody><text>JVBERi0=</text></nonXMLBody>");
    let (_, read) = super::tests::read(pdf.as_bytes());
    assert_eq!(read, Read { items: 2, records: 1, quarantined: 0, skipped: 1 });
}

#[test]
fn a_fault_names_its_place_and_the_rest_goes_on() {
    let bad = result(r#"<value xsi:type="PQ" value="seven" unit="mg/L"/>"#);
    let date = problem(&format!(r#"{SNOMED}<effectiveTime><low value="20150231"/></effectiveTime>"#));
    let good = result(r#"<value xsi:type="PQ" value="7" unit="mg/L"/>"#);
    let (records, _, seen) = body(&section("30954-2", &[bad, date, good].join("||")));
    assert_eq!(records.len(), 1);
    let got: Vec<_> = seen.bad.iter().map(|q| (q.line, q.reason, q.detail.as_str())).collect();
    assert_eq!(got[0].1, Reason::BadNumber);
    assert!(got[0].2.starts_with("section[1]/entry[1]/organizer/observation: value/@value"), "{}", got[0].2);
    assert_eq!((got[0].0, got[1].0, got[1].1), (5, 7, Reason::BadDate));
    assert!(got[1].2.contains("entry[2]/act/observation: effectiveTime/low/@value"), "{}", got[1].2);
    assert!(got.iter().all(|g| !g.2.contains("seven") && !g.2.contains("0231")));
}
