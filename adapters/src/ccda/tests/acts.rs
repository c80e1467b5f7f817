//! What was done: drugs, procedures, visits.

use schema::{Cell, Table};

use super::{HEADER, SNOMED, body, document, one, problem, read, section};
use crate::sink::Reason;

pub(super) fn drug(mood: &str, rest: &str) -> String {
    format!(
        r#"<substanceAdministration moodCode="{mood}"><templateId root="2.16.840.1.113883.10.20.22.4.16"/><id root="1.9" extension="m"/>
<statusCode code="active"/><effectiveTime xsi:type="PIVL_TS"><period value="6" unit="h"/></effectiveTime>
<effectiveTime xsi:type="IVL_TS"><low value="20150101"/><high value="20150108"/></effectiveTime><routeCode code="C38288" codeSystem="2.16.840.1.113883.3.26.1.1"/>
<doseQuantity value="2" unit="1"/><consumable><manufacturedProduct><manufacturedMaterial><code code="0781-1506" codeSystem="1.1.1">
<translation code="197361" codeSystem="2.16.840.1.113883.6.88"/></code></manufacturedMaterial></manufacturedProduct></consumable>{rest}</substanceAdministration>"#
    )
}

#[test]
fn drugs_ordered_taken_given_and_dispensed() {
    let taken = one("10160-0", &drug("EVN", ""));
    assert_eq!((taken.get("kind"), taken.get("code")), (&Cell::from("reported"), &Cell::from("197361")));
    assert_eq!((taken.get("route"), taken.get("qty")), (&Cell::from("C38288"), &Cell::Null));
    assert_eq!((taken.get("t_prec"), taken.get("end_kind")), (&Cell::from("day"), &Cell::from("explicit")));
    let given = one("29549-3", &drug("EVN", ""));
    assert_eq!(
        (given.get("kind"), given.get("qty"), given.get("unit")),
        (&Cell::from("given"), &Cell::Real(2.0), &Cell::Null)
    );
    let supplies = r#"<entryRelationship><supply moodCode="INT"><templateId root="2.16.840.1.113883.10.20.22.4.17"/><quantity value="30"/></supply></entryRelationship>
<entryRelationship><supply moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.22.4.18"/><id root="1.9" extension="s"/><effectiveTime value="20150102"/><quantity value="15" unit="{tablet}"/></supply></entryRelationship>"#;
    let (records, _, _) = body(&section("10160-0", &drug("INT", supplies)));
    let kinds: Vec<_> =
        records.iter().map(|r| (r.get("kind").clone(), r.get("qty").clone(), r.get("code").clone())).collect();
    let code = Cell::from("197361");
    assert_eq!(
        kinds,
        [(Cell::from("ordered"), Cell::Real(30.0), code.clone()), (Cell::from("dispensed"), Cell::Real(15.0), code)]
    );
    let vaccine = drug("EVN", "")
        .replace("22.4.16", "22.4.52")
        .replace(r#"code="0781-1506" codeSystem="1.1.1""#, r#"code="88" codeSystem="2.16.840.1.113883.12.292""#);
    let shot = one("11369-6", &vaccine);
    assert_eq!(
        (shot.get("kind"), shot.get("code_system")),
        (&Cell::from("given"), &Cell::from("http://hl7.org/fhir/sid/cvx"))
    );
}

pub(super) fn procedure(element: &str, template: &str, mood: &str) -> String {
    format!(
        r#"<{element} moodCode="{mood}"><templateId root="2.16.840.1.113883.10.20.22.4.{template}"/><id root="1.9" extension="p"/>
<code code="73761001" codeSystem="2.16.840.1.113883.6.96"/><statusCode code="completed"/><effectiveTime value="20150101093000-0500"/></{element}>"#
    )
}

#[test]
fn procedures_of_three_kinds() {
    for (element, template) in [("procedure", "14"), ("act", "12"), ("observation", "13"), ("procedure", "13")] {
        let p = one("47519-4", &procedure(element, template, "EVN"));
        assert_eq!((p.table(), p.get("code")), (Table::Procedure, &Cell::from("73761001")));
        assert_eq!((p.get("t_zone_src"), p.get("utc_offset_min")), (&Cell::from("explicit"), &Cell::Int(-300)));
    }
}

fn visit(code: &str, extra: &str) -> String {
    format!(
        r#"<encounter moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.22.4.49"/><id root="1.8" extension="e"/>{code}
<effectiveTime><low value="20150101"/><high value="20150103"/></effectiveTime><sdtc:dischargeDispositionCode code="01"/>{extra}</encounter>"#
    )
}

#[test]
fn visits_of_the_body_and_of_the_header() {
    let code = r#"<code code="99281" codeSystem="2.16.840.1.113883.6.12"/>"#;
    let diagnosis = format!(
        r#"<entryRelationship><act><templateId root="2.16.840.1.113883.10.20.22.4.80"/>{}</act></entryRelationship>"#,
        "<entryRelationship><observation><templateId root=\"2.16.840.1.113883.10.20.22.4.4\"/><id root=\"1.9\" extension=\"c\"/><value xsi:type=\"CD\" code=\"1\" codeSystem=\"2.16.840.1.113883.6.96\"/></observation></entryRelationship>"
    );
    let (records, _, _) = body(&section("46240-8", &visit(code, &diagnosis)));
    let (v, c) = (&records[0], &records[1]);
    assert_eq!(
        (v.get("class"), v.get("discharge_to"), v.get("open")),
        (&Cell::from("ER"), &Cell::from("01"), &Cell::Flag(false))
    );
    assert_eq!((v.get("visit_key"), c.get("role")), (c.get("visit_key"), &Cell::from("secondary")));
    let act = r#"<code code="99999" codeSystem="2.16.840.1.113883.6.12"><translation code="IMP" codeSystem="2.16.840.1.113883.5.4"/></code>"#;
    assert_eq!(one("46240-8", &visit(act, "")).get("class"), &Cell::from("IP"));
    let (kept, _, seen) = body(&section("46240-8", &visit(r#"<code code="x"/>"#, "")));
    assert_eq!(kept[0].get("class"), &Cell::from("OP"));
    assert_eq!(seen.bad[0].reason, Reason::UnknownLevel);
    assert!(seen.bad[0].detail.starts_with("section[1]/entry[1]/encounter: code says"), "{}", seen.bad[0].detail);

    let header = format!(
        "{HEADER}<componentOf>{}</componentOf>",
        visit(act, "")
            .replace("encounter moodCode=\"EVN\"", "encompassingEncounter")
            .replace("/encounter>", "/encompassingEncounter>")
    );
    let admitted = section("46241-6", &problem(SNOMED));
    let (seen, _) = read(document(&header, &admitted).as_bytes());
    let (c, v) = (seen.of(Table::Condition)[0], seen.of(Table::Visit)[0]);
    assert_eq!((c.get("role"), c.get("visit_key")), (&Cell::from("admit"), v.get("visit_key")));
    let (seen, _) = read(document(&header, &section("46240-8", &visit(code, ""))).as_bytes());
    assert_eq!(seen.of(Table::Visit).len(), 1, "the same visit in header and body");
    assert_eq!(seen.of(Table::Visit)[0].get("class"), &Cell::from("ER"), "the body says more");
}
