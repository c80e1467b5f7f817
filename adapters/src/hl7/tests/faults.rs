//! A fault costs what it is in, and what has no place is told.

use schema::{Cell, Table};

use super::*;
use crate::sink::Reason;

#[derive(Default)]
struct Kept {
    rows: Vec<Record>,
    bad: Vec<Quarantined>,
    skipped: Vec<String>,
}

impl crate::Sink for Kept {
    fn record(&mut self, record: Record) -> Result<(), AdapterError> {
        assert_eq!(record.missing(), None);
        self.rows.push(record);
        Ok(())
    }
    fn quarantine(&mut self, item: Quarantined) -> Result<(), AdapterError> {
        self.bad.push(item);
        Ok(())
    }
    fn skipped(&mut self, kind: &str) {
        self.skipped.push(kind.to_owned());
    }
}

impl Kept {
    fn of(&self, table: Table) -> Vec<&Record> {
        self.rows.iter().filter(|r| r.table() == table).collect()
    }
    fn one(&self, table: Table) -> &Record {
        let rows = self.of(table);
        assert_eq!(rows.len(), 1, "{rows:?} {:?}", self.bad);
        rows[0]
    }
    fn reasons(&self) -> Vec<Reason> {
        self.bad.iter().map(|q| q.reason).collect()
    }
}

fn read(text: &str) -> Kept {
    let mut kept = Kept::default();
    let reader = Box::new(Cursor::new(text.as_bytes().to_vec()));
    Hl7::new(None, &["HOSP".to_owned()], true).read(&context(), Extract { name: "a.hl7", reader }, &mut kept).unwrap();
    kept
}

fn message(kind: &str, segments: &[&str]) -> String {
    format!("MSH|^~\\&|A|H|B|H|20240301120000||{kind}|7|P|2.5\r{}\r", segments.join("\r"))
}

const PID: &str = "PID|1||9^^^HOSP^MR||DOE||19610215|F";
const OBR: &str = "OBR|1|P1|F1|PANEL|||20240301080000|||||||||||||||20240301110000|||F";

/// A segment of a name with some of its fields.
fn segment(name: &str, fields: &[(usize, &str)]) -> String {
    let most = fields.iter().map(|(n, _)| *n).max().unwrap_or_default();
    let mut all = vec![String::new(); most + 1];
    all[0] = name.to_owned();
    fields.iter().for_each(|(n, text)| all[*n] = (*text).to_owned());
    all.join("|")
}

fn obx(fields: &[(usize, &str)]) -> String {
    let usual = [(1, "1"), (2, "NM"), (3, "718-7^Hb^LN"), (5, "13"), (11, "F")];
    segment("OBX", &usual.into_iter().chain(fields.iter().copied()).collect::<Vec<_>>())
}

fn of_result(fields: &[(usize, &str)]) -> Kept {
    read(&message("ORU^R01", &[PID, OBR, &obx(fields)]))
}

#[test]
fn a_time_that_a_row_can_do_without_costs_itself_alone() {
    let kept = read(&message("ADT^A08", &["PID|1||9^^^HOSP^MR||DOE||15.02.1961|F"]));
    assert_eq!((kept.one(Table::Patient).get("birth_year"), kept.reasons()), (&Cell::Null, vec![Reason::BadDate]));
    assert!(kept.bad[0].detail.contains("PID[1]-7") && kept.bad[0].detail.contains("kept"), "{:?}", kept.bad[0]);

    let died = |day: &str, dead: &str| {
        let pid = segment("PID", &[(3, "9^^^HOSP^MR"), (29, day), (30, dead)]);
        read(&message("ADT^A08", &[&pid]))
    };
    let kept = died("unknown", "Y");
    assert_eq!((kept.one(Table::Death).get("death_date"), kept.reasons()), (&Cell::Null, vec![Reason::BadDate]));
    assert!(died("unknown", "").of(Table::Death).is_empty());

    let kept = of_result(&[(19, "soon")]);
    let row = kept.one(Table::Measurement);
    assert_eq!((row.get("value_num"), row.get("t_result")), (&Cell::Real(13.0), &Cell::Null));
    assert_eq!((row.get("op"), kept.reasons()), (&Cell::from("upsert"), vec![Reason::BadDate]));

    // The report's own time is told once, however many results it has.
    let obr = OBR.replace("20240301110000", "later");
    let kept = read(&message("ORU^R01", &[PID, &obr, &obx(&[]), &obx(&[(3, "2160-0^K^LN")])]));
    assert_eq!((kept.of(Table::Measurement).len(), kept.reasons()), (2, vec![Reason::BadDate]));

    // When a value was taken is the event itself.
    let kept = of_result(&[(14, "soon")]);
    assert_eq!((kept.one(Table::Measurement).get("op"), kept.bad.len()), (&Cell::from("retract"), 1));
}

#[test]
fn two_laboratories_codes_are_of_two_systems() {
    let system = |coded: &str| of_result(&[(3, coded)]).one(Table::Measurement).get("code_system").clone();
    assert_eq!(system("GLU^Glucose^99LAB"), Cell::from("urn:hl7:99LAB"));
    assert_eq!(system("GLU^Glucose^99lab B"), Cell::from("urn:hl7:99LAB-B"));
    assert_eq!(system("GLU^Glucose"), Cell::Null);
    // A code of a known system goes first, and else the first one.
    assert_eq!(system("GLU^Glucose^99LAB^2345-7^Glucose^LN"), Cell::from("http://loinc.org"));
    assert_eq!(system("GLU^Glucose^^G2^Glucose^99LAB"), Cell::Null);
    assert_eq!(system("E11.9^Diabetes^icd10gm2024"), Cell::from("http://fhir.de/CodeSystem/bfarm/icd-10-gm"));
    // What a record is known by does not tell local systems apart.
    let key = |system: &str| {
        let dg1 = format!("DG1|1||X1^x^{system}|||W");
        let kept = read(&message("ADT^A08", &[PID, "PV1|1|I|||||||||||||||||5", &dg1]));
        kept.of(Table::Condition).iter().map(|r| r.get("record_key").clone()).collect::<Vec<_>>()
    };
    assert_eq!(key("99A"), key(""));
}

#[test]
fn a_visit_without_a_known_class_is_kept() {
    let visit = |event: &str, class: &str, number: &str| {
        let pv1 = segment("PV1", &[(2, class), (19, number), (44, "20240301")]);
        read(&message(&format!("ADT^{event}"), &[PID, &pv1]))
    };
    for class in ["U", "", "X"] {
        let kept = visit("A01", class, "5");
        let rows = kept.of(Table::Visit);
        assert_eq!((rows.len(), kept.reasons()), (2, vec![Reason::UnknownLevel]), "{class}");
        // The class stands below what any message says.
        assert_eq!((rows[0].get("class"), rows[1].get("class")), (&Cell::Null, &Cell::from("OP")));
        let rev = |r: &Record| match r.get("rev") {
            Cell::Int(rev) => *rev,
            _ => 0,
        };
        assert!(rev(rows[1]) < rev(rows[0]));
    }
    let kept = visit("A08", "N", "5");
    assert_eq!((kept.of(Table::Visit).len(), kept.reasons()), (0, vec![Reason::UnknownLevel]));
    assert!(visit("A08", "N", "").bad.is_empty() && visit("A31", "N", "5").bad.is_empty());
}

#[test]
fn a_diagnosis_is_of_the_day_that_its_visit_is_of() {
    let of = |event: &str, pv1: &str| {
        let evn = format!("EVN|{event}|20240301115900");
        let kept = read(&message(&format!("ADT^{event}"), &[&evn, PID, pv1, "DG1|1||E11.9^x^I10|||F"]));
        let dated: Vec<_> =
            kept.of(Table::Condition).into_iter().filter(|r| r.get("event_date") != &Cell::Null).collect();
        dated.iter().map(|r| (r.get("event_date").clone(), r.get("rev").clone())).collect::<Vec<_>>()
    };
    let day = Cell::Date(19_783);
    let pv1 = "PV1|1|I|||||||||||||||||5";
    let first: Vec<_> = of("A01", pv1).into_iter().map(|(d, _)| d).collect();
    assert_eq!(first, std::slice::from_ref(&day));
    // The discharge stands in below every start.
    assert_eq!(of("A03", pv1), [(day, Cell::Int(0))]);
    assert!(of("A08", pv1).is_empty());
}

#[test]
fn what_a_charge_is_for() {
    let ft1 = |kind: &str| {
        let fields = [(4, "20240229"), (6, kind), (19, "E11.9^x^I10~I10^y^I10"), (25, "99213^z^C4")];
        segment("FT1", &fields)
    };
    let pv1 = "PV1|1|I|||||||||||||||||5";
    let kept = read(&message("DFT^P03", &[PID, pv1, &ft1("CG")]));
    let conditions = kept.of(Table::Condition);
    let codes: Vec<_> = conditions.iter().map(|r| r.get("code").clone()).collect();
    assert_eq!(codes, [Cell::from("E11.9"), Cell::from("I10")]);
    assert!(conditions.iter().all(|r| r.get("event_date") == &Cell::Date(19_782)));
    let procedure = kept.one(Table::Procedure);
    assert_eq!((procedure.get("code"), procedure.get("event_date")), (&Cell::from("99213"), &Cell::Date(19_782)));
    let keys = |kept: &Kept| kept.rows.iter().map(|r| (r.table(), r.get("record_key").clone())).collect::<Vec<_>>();
    let again = read(&message("DFT^P03", &[PID, pv1, &ft1("CD")]));
    assert_eq!(keys(&kept), keys(&again), "a credit takes the same records back");
    assert_eq!(again.one(Table::Procedure).get("op"), &Cell::from("retract"));
    assert!(read(&message("DFT^P03", &[PID, pv1, &ft1("PY")])).of(Table::Procedure).is_empty());
    // What PR1 and DG1 tell is not told twice.
    let kept =
        read(&message("DFT^P03", &[PID, pv1, &ft1("CG"), "DG1|1||E11.9^x^I10|||F", "PR1|1||99213^z^C4||20240229"]));
    assert_eq!((kept.one(Table::Procedure).get("code"), kept.of(Table::Condition).len()), (&Cell::from("99213"), 2));
}

#[test]
fn observations_without_an_order_do_not_vanish() {
    let result = obx(&[(14, "20240301")]);
    let kept = read(&message("ORU^R01", &[PID, "ORC|RE|P1|F1", &result]));
    assert_eq!((kept.one(Table::Measurement).get("value_num"), kept.bad.len()), (&Cell::Real(13.0), 0));
    let with_obr = read(&message("ORU^R01", &[PID, "ORC|RE|P1|F1", OBR, &result]));
    let key = |kept: &Kept| kept.one(Table::Measurement).get("record_key").clone();
    assert_eq!(key(&kept), key(&with_obr));
    for orc in ["ORC|RE|P1", "NTE|1"] {
        let kept = read(&message("ORU^R01", &[PID, orc, &result, &result]));
        assert_eq!((kept.of(Table::Measurement).len(), kept.reasons()), (0, vec![Reason::MissingId]), "once");
    }
    let kept = read(&message("ADT^A08", &[PID, &result, &result]));
    assert_eq!((kept.skipped, kept.bad.len()), (vec!["OBX of ADT".to_owned()], 0));
}

#[test]
fn a_titre_is_the_number_that_a_ratio_is() {
    let titre = |value: &str| {
        let kept = of_result(&[(2, "SN"), (5, value)]);
        let row = kept.one(Table::Measurement);
        (row.get("value_num").clone(), row.get("comparator").clone(), row.get("flag").clone())
    };
    let number = Cell::Real(1.0 / 128.0);
    assert_eq!(titre("^1^:^128"), (number.clone(), Cell::from("eq"), Cell::Null));
    assert_eq!(titre("<^1^:^128"), (number, Cell::from("lt"), Cell::Null));
    assert_eq!(titre("^1^:^0"), (Cell::Null, Cell::from("eq"), Cell::from("unsupported")));
    assert_eq!(titre("^2^+"), (Cell::Null, Cell::from("eq"), Cell::from("unsupported")));
}

#[test]
fn no_vaccine_is_no_vaccination() {
    let rxa = "RXA|0|1|20240301||998^no vaccine administered^CVX|999";
    let kept = read(&message("VXU^V04", &[PID, "ORC|RE||F9", rxa]));
    assert_eq!(kept.one(Table::DrugExposure).get("op"), &Cell::from("retract"));
}

#[test]
fn a_document_too_long_costs_no_other_result() {
    let document = format!("OBX|2|ED|11502-2^Report^LN||^^PDF^Base64^{}", "A".repeat(9 << 20));
    let kept = read(&message("ORU^R01", &[PID, OBR, &obx(&[]), &document, &obx(&[(3, "2160-0^K^LN")])]));
    assert_eq!((kept.of(Table::Measurement).len(), kept.reasons()), (2, vec![Reason::MessageTooLong]));
    assert_eq!(kept.bad[0].line, 5);
    let text = document.replace("|ED|", "|TX|");
    let kept = read(&message("ORU^R01", &[PID, OBR, &obx(&[]), &text]));
    assert_eq!((kept.of(Table::Measurement).len(), kept.reasons()), (0, vec![Reason::MessageTooLong]));
}
