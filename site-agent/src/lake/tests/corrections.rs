//! What a feed of HL7 takes back or sets right is gone from gold: results, drugs, diagnoses, visits, and who is who.

use super::hl7::{HL7, hospital, rows};
use super::*;

pub(super) const PID: &str = "PID|1||100^^^H^MR||DOE^X||19500101|M";
pub(super) const STAY: &str = "PV1|1|I|W||||||||||||||||V1";

/// A message of 2022-01-01, of a time such as `10`, `1000` or `100000`.
pub(super) fn message(kind: &str, time: &str, control: &str, segments: &[&str]) -> String {
    let head = format!("MSH|^~\\&|HIS|H|E|H|20220101{time}||{kind}|{control}|P|2.5");
    [&[head.as_str()], segments].concat().join("\r") + "\r"
}

pub(super) fn of<'r>(rows: &'r [String], table: &str) -> Vec<&'r str> {
    rows.iter().filter(|r| r.starts_with(&format!("{table} "))).map(String::as_str).collect()
}

fn value<'r>(row: &'r str, column: &str) -> &'r str {
    row.split(&format!(" {column}=")).nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default()
}

/// The values of a column of one table of gold, and how many items are in quarantine.
pub(super) async fn told(source: &str, messages: &[String], table: &str, column: &str) -> (Vec<String>, u64) {
    let hospital = hospital(source, &[("feed.hl7", messages.concat())]);
    let report = hospital.ingest().await;
    let got = rows(&hospital, &[]);
    let values = of(&got, table).into_iter().map(|r| value(r, column).to_owned()).collect();
    (values, report.files.iter().map(|f| f.quarantined).sum())
}

/// The same, whatever order the messages come in.
pub(super) async fn gold(messages: &[String], table: &str, column: &str) -> Vec<String> {
    let back: Vec<String> = messages.iter().rev().cloned().collect();
    let (mut want, _) = told(HL7, messages, table, column).await;
    let (mut got, _) = told(HL7, &back, table, column).await;
    want.sort();
    got.sort();
    assert_eq!(want, got, "the order makes a difference");
    want
}

/// A visit that was cancelled and is opened again by a message that does not say of what class it is, or says none that is known: gold is
/// built, of this patient and of everybody else.
#[tokio::test]
async fn a_visit_that_is_opened_again_without_a_class_is_in_gold() {
    let admit = |time: &str, class: &str| {
        message("ADT^A01", time, time, &[PID, &STAY.replacen("|I|", &format!("|{class}|"), 1)])
    };
    let cancel = message("ADT^A11", "0900", "2", &[PID, STAY]);
    for class in ["", "Q"] {
        let three = [admit("0800", "I"), cancel.clone(), admit("1000", class)];
        assert_eq!(gold(&three, "visit", "class").await, ["OP"], "{class:?}");
    }
}

fn oru(time: &str, control: &str, obx: &str) -> String {
    message("ORU^R01", time, control, &[PID, "OBR|1||L1^LAB|1^C^LN|||20220101", obx])
}

pub(super) fn potassium(value: &str, status: &str) -> String {
    format!("OBX|1|NM|2823-3^K^LN||{value}|mmol/L|||||{status}")
}

#[tokio::test]
async fn a_result_that_is_not_there_after_all_is_gone() {
    for status in ["N", "I", "O", "D", "W"] {
        let both = [oru("1000", "", &potassium("9.9", "P")), oru("1100", "", &potassium("", status))];
        assert_eq!(gold(&both, "measurement", "value_num").await, [""; 0], "{status}");
    }
    // One that waits for its result says nothing of a result of the same minute.
    let both = [oru("1000", "", &potassium("4.1", "F")), oru("1000", "", &potassium("", "I"))];
    assert_eq!(gold(&both, "measurement", "value_num").await, ["4.1"]);
}

#[tokio::test]
async fn a_result_whose_status_alone_has_changed_keeps_its_value() {
    let first = oru("1000", "", &potassium("4.1", "P"));
    let done = oru("1100", "", "OBX|1||2823-3^K^LN||||||||U");
    let both = [first.clone(), done.clone()];
    assert_eq!(gold(&both, "measurement", "value_num").await, ["4.1"]);
    assert_eq!(gold(&both, "measurement", "status").await, ["final"]);
    assert_eq!(gold(&both, "measurement", "unit_src").await, ["mmol/L"]);
    // One with a value says it.
    let valued = oru("1100", "", &potassium("4.2", "U"));
    assert_eq!(gold(&[first.clone(), valued], "measurement", "value_num").await, ["4.2"]);
    // What was taken back stays so.
    let back = [first, oru("1030", "", &potassium("", "D")), done.clone()];
    assert_eq!(gold(&back, "measurement", "value_num").await, [""; 0]);
    // Its repetitions are not told again, and stay.
    let many = oru("1000", "", "OBX|1|CWE|600-7^C^LN||A^a^L~B^b^L||||||P");
    let both = [many, oru("1100", "", "OBX|1||600-7^C^LN||||||||U")];
    assert_eq!(gold(&both, "measurement", "value_code").await, ["A", "B"]);
}

#[tokio::test]
async fn results_that_differ_in_their_names_alone_are_two() {
    let obx = "OBX|1|NM|2823-3^K^LN||4.1|mmol/L|||||F\rOBX|2|NM|2823-3^Kalium^LN||4.2|mmol/L|||||F";
    assert_eq!(gold(&[oru("1000", "", obx)], "measurement", "value_num").await, ["4.1", "4.2"]);
}

#[tokio::test]
async fn a_vaccination_is_known_by_its_number() {
    let vxu = |time: &str, number: &str, rxa: &str| {
        message(
            "VXU^V04",
            time,
            "",
            &[PID, &format!("ORC|RE||{number}^LAB"), &format!("RXA|0|1|{rxa}|0.5|mL^^UCUM||||||||||||CP|A")],
        )
    };
    // Another day and another vaccine: one vaccination, corrected.
    let both = [vxu("1000", "V1", "20220101||140^Flu^CVX"), vxu("1100", "V1", "20220103||88^Flu^CVX")];
    assert_eq!(gold(&both, "drug_exposure", "event_date").await, ["2022-01-03"]);
    assert_eq!(gold(&both, "drug_exposure", "code").await, ["88"]);
    // 9999 is no number, and two RXA of one order are two.
    let none = [vxu("1000", "9999", "20220101||140^Flu^CVX"), vxu("1100", "9999", "20220103||88^Flu^CVX")];
    assert_eq!(gold(&none, "drug_exposure", "code").await, ["140", "88"]);
    let two = vxu("1000", "V1", "20220101||140^Flu^CVX|0.5\rRXA|0|1|20220101||88^Flu^CVX");
    assert_eq!(gold(&[two], "drug_exposure", "code").await, ["140", "88"]);
}

#[tokio::test]
async fn a_specimen_is_told_by_its_own_segment() {
    let (obr, other) = ("OBR|1||L1^LAB|1^C^LN|||20220101", "OBR|2||L2^LAB|1^C^LN|||20220101");
    let (obx, serum, urine) = (potassium("4.1", "F"), "SPM|1|||SER^Serum^HL70487", "SPM|1|||UR^Urine^HL70487");
    let oru = message("ORU^R01", "1000", "", &[PID, obr, &obx, serum, other, &obx, urine]);
    let oul = message("OUL^R22", "1000", "", &[PID, serum, obr, &obx, urine, other, &obx]);
    for feed in [oru, oul] {
        let (both, _) = told(HL7, std::slice::from_ref(&feed), "measurement", "specimen").await;
        let mut sorted = both.clone();
        sorted.sort();
        assert_eq!(sorted, ["SER", "UR"], "{feed:?}");
    }
    // OBR-15 is the order's own word.
    let own = message("ORU^R01", "1000", "", &[PID, &format!("{obr}||||||||BLD"), &obx, serum]);
    assert_eq!(told(HL7, &[own], "measurement", "specimen").await.0, ["BLD"]);
}

#[tokio::test]
async fn repetitions_that_are_not_repeated_are_gone() {
    let coded = |value: &str, status: &str| format!("OBX|1|CWE|600-7^C^LN||{value}||||||{status}");
    let first = oru("1000", "", &coded("A^a^L~B^b^L~C^c^L", "F"));
    for status in ["C", "F"] {
        let both = [first.clone(), oru("1100", "", &coded("A^a^L", status))];
        assert_eq!(gold(&both, "measurement", "value_code").await, ["A"], "{status}");
    }
    assert!(gold(&[first.clone(), oru("1100", "", &coded("\"\"", "D"))], "measurement", "value_code").await.is_empty());
    let more = [first.clone(), oru("1100", "", &coded("A^a^L", "C")), oru("1200", "", &coded("X^x^L~Y^y^L", "C"))];
    assert_eq!(gold(&more, "measurement", "value_code").await, ["X", "Y"]);
}

#[tokio::test]
async fn a_correction_that_cannot_be_read_leaves_no_value_that_is_known_to_be_wrong() {
    let first = oru("1000", "", &potassium("7.7", "F"));
    for bad in [potassium("bad", "C"), potassium("bad", "F"), potassium("4.1", "C") + "|||2022-01-01"] {
        let both = [first.clone(), oru("1100", "", &bad)];
        assert_eq!(told(HL7, &both, "measurement", "value_num").await, (Vec::new(), 1), "{bad}");
        let third = [both.concat(), oru("1200", "", &potassium("4.1", "C"))];
        assert_eq!(told(HL7, &third, "measurement", "value_num").await.0, ["4.1"], "{bad}");
    }
}

#[tokio::test]
async fn a_correction_whose_time_of_report_cannot_be_read_is_one() {
    let both =
        [oru("1000", "", &potassium("7.7", "F")), oru("1100", "", &(potassium("4.1", "C") + "||||||||yesterday"))];
    assert_eq!(told(HL7, &both, "measurement", "value_num").await, (vec!["4.1".to_owned()], 1));
}

#[tokio::test]
async fn of_two_corrections_of_one_minute_the_later_counts() {
    let c = |value: &str| potassium(value, "C");
    let known = |value: &str, at: &str| c(value) + "||||||||202201010959" + at;
    for both in [
        // By when the result was known.
        [oru("1000", "", &known("9.9", "01")), oru("1000", "", &known("4.1", "02"))],
        // By the sender's sequence (MSH-13), by its counter (MSH-10).
        [("7", "9.9"), ("8", "4.1")].map(|(n, v)| oru("1000", "", &c(v)).replacen("|P|2.5", &format!("|P|2.5|{n}"), 1)),
        [oru("1000", "LAB99", &c("9.9")), oru("1000", "LAB100", &c("4.1"))],
        // By the fraction of the second.
        [oru("100000.200", "9", &c("9.9")), oru("100000.300", "1", &c("4.1"))],
        // A correction over what it corrects, though that was known later.
        [oru("1000", "", &(potassium("9.9", "F") + "||||||||20220101095902")), oru("1000", "", &known("4.1", "01"))],
    ] {
        assert_eq!(gold(&both, "measurement", "value_num").await, ["4.1"], "{both:?}");
    }
}

#[tokio::test]
async fn in_the_hour_that_the_clock_shows_twice_a_correction_counts() {
    let at = |time: &str, obx: &str| oru("1000", "", obx).replace("202201011000", time);
    let fold = [at("20221030025000", &potassium("9.9", "F")), at("20221030021000", &potassium("4.1", "C"))];
    assert_eq!(gold(&fold, "measurement", "value_num").await, ["4.1"]);
    let day_after = [at("20221031025000", &potassium("9.9", "F")), at("20221031021000", &potassium("4.1", "C"))];
    assert_eq!(gold(&day_after, "measurement", "value_num").await, ["9.9"]);
}

#[tokio::test]
async fn one_order_is_one_exposure_and_a_cancelled_one_none() {
    let rxo = "RXO|1^X^RXNORM|500||mg";
    let new = message("ORM^O01", "1000", "", &[PID, "ORC|NW|P1^HIS|||||||20220101", rxo]);
    let encoded = message("RDE^O11", "1005", "", &[PID, "ORC|NW|P1^HIS|F1^PH", "RXE||1^X^RXNORM|500||mg"]);
    let pharmacy = message("RDE^O11", "1002", "", &[PID, "ORC|NW||F1^PH", "RXE||1^X^RXNORM|500||mg"]);
    let both = [new.clone(), encoded.clone()];
    assert_eq!(gold(&both, "drug_exposure", "status").await, ["final"]);
    assert_eq!(gold(&[pharmacy.clone(), encoded.clone()], "drug_exposure", "status").await, ["final"]);
    for orc in ["ORC|CA|P1^HIS|F1^PH", "ORC|OC|P1^HIS|F1^PH", "ORC|SC|P1^HIS|F1^PH||CA", "ORC|CA|P1^HIS"] {
        for segments in [&[PID, orc, rxo][..], &[PID, orc]] {
            let cancel = message("ORM^O01", "1100", "", segments);
            let all = [new.clone(), encoded.clone(), cancel];
            assert!(gold(&all, "drug_exposure", "status").await.is_empty(), "{orc}, {}", segments.len());
        }
    }
    let by_pharmacy = [pharmacy, message("RDE^O11", "1100", "", &[PID, "ORC|OC|P1^HIS|F1^PH"])];
    assert!(gold(&by_pharmacy, "drug_exposure", "status").await.is_empty());
    let ended = [new, encoded, message("ORM^O01", "1100", "", &[PID, "ORC|DC|P1^HIS|F1^PH||||||20220103", rxo])];
    assert_eq!(gold(&ended, "drug_exposure", "end_date").await, ["2022-01-03"]);
    assert_eq!(gold(&ended, "drug_exposure", "event_date").await, ["2022-01-01"]);
    // A laboratory's order of the same number is another one.
    let lab = message("ORM^O01", "1100", "", &[PID, "ORC|CA|P1^HIS", "OBR|1|P1^HIS||1^C^LN"]);
    assert_eq!(gold(&[both[0].clone(), lab], "drug_exposure", "status").await, ["final"]);
}

#[tokio::test]
async fn a_drug_that_was_not_given_after_all_is_gone() {
    let rxa = |status: &str| format!("RXA|0|1|20220101100000|20220101100000|1^X^RXNORM|1|mg|||||||||||||{status}|A");
    let ras = |time: &str, status: &str| message("RAS^O17", time, "", &[PID, "ORC|RE||F9^PH", &rxa(status)]);
    assert_eq!(gold(&[ras("1000", "CP")], "drug_exposure", "kind").await, ["given"]);
    for status in ["NA", "RE"] {
        assert!(gold(&[ras("1000", "CP"), ras("1100", status)], "drug_exposure", "kind").await.is_empty(), "{status}");
    }
}

pub(super) fn person(id: &str, born: u32, sex: &str) -> String {
    format!("PID|1||{id}||DOE^X||{born}0101|{sex}")
}

#[tokio::test]
async fn a_number_that_changes_is_one_patient_and_a_system_that_lags_behind_parts_nobody() {
    let (old, new) = (person("OLD^^^H^MR", 1950, "M"), person("NEW^^^H^MR", 1950, "M"));
    let admitted = message("ADT^A01", "1000", "", &[&old, STAY]);
    for event in ["ADT^A40^ADT_A39", "ADT^A47^ADT_A30", "ADT^A46^ADT_A30", "ADT^A18^ADT_A18"] {
        let merged = message(event, "1100", "", &[&new, "MRG|OLD^^^H^MR"]);
        let both = [admitted.clone(), merged.clone()];
        assert_eq!(gold(&both, "patient", "birth_year").await, ["1950"], "{event}");
        // A discharge and an update under the old number: the patient is one, and the visit ends.
        let later = [
            admitted.clone(),
            merged.clone(),
            message("ADT^A03", "1200", "", &[&old, STAY]),
            message("ADT^A08", "1300", "", &[&old, STAY]),
        ];
        assert_eq!(gold(&later, "patient", "birth_year").await, ["1950"], "{event}");
        let (persons, visits) =
            (gold(&later, "patient", "person_key").await, gold(&later, "visit", "person_key").await);
        assert_eq!(persons, visits, "{event}");
        assert_eq!(gold(&later, "visit", "open").await, ["false"]);
        // An admission under the old number, or an unlink, makes them two again.
        for reopened in ["A01", "A04", "A28", "A37"] {
            let again = message(&format!("ADT^{reopened}"), "1400", "", &[&old]);
            let all = [admitted.clone(), merged.clone(), again];
            assert_eq!(gold(&all, "patient", "birth_year").await.len(), 2, "{event}, {reopened}");
        }
    }
    // Merged the wrong way, then the right way.
    let turned = [
        admitted,
        message("ADT^A40", "1100", "", &[&new, "MRG|OLD^^^H^MR"]),
        message("ADT^A40", "1200", "", &[&old, "MRG|NEW^^^H^MR"]),
    ];
    assert_eq!(gold(&turned, "patient", "birth_year").await, ["1950"]);
}

#[tokio::test]
async fn a_cancelled_admission_stays_cancelled_with_its_diagnoses() {
    let dg1 = "DG1|1||I21.9^X^I10|||A";
    let own = "DG1|1||E11.9^X^I10|||A||||||||||||||D77";
    let adt = |event: &str, time: &str, more: &[&str]| {
        message(&format!("ADT^{event}"), time, "", &[&[PID, STAY], more].concat())
    };
    let cancelled = [adt("A01", "1000", &[dg1, own]), adt("A11", "1100", &[])];
    assert!(gold(&cancelled, "visit", "class").await.is_empty());
    assert!(gold(&cancelled, "condition", "code").await.is_empty());
    for event in ["A08", "A02", "A03", "A13"] {
        let later: Vec<String> = cancelled.iter().cloned().chain([adt(event, "1200", &[dg1])]).collect();
        assert!(gold(&later, "visit", "class").await.is_empty(), "{event}");
        assert!(gold(&later, "condition", "code").await.is_empty(), "{event}");
    }
    for event in ["A01", "A04", "A06", "A07"] {
        let later: Vec<String> = cancelled.iter().cloned().chain([adt(event, "1200", &[dg1])]).collect();
        assert_eq!(gold(&later, "visit", "class").await, ["IP"], "{event}");
        assert_eq!(gold(&later, "condition", "code").await, ["I21.9"], "{event}");
    }
}

#[tokio::test]
async fn the_diagnoses_of_a_message_are_all_that_the_visit_has() {
    let adt = |event: &str, time: &str, more: &[&str]| {
        message(&format!("ADT^{event}"), time, "", &[&[PID, STAY], more].concat())
    };
    let (working, last) = ("DG1|1||I21.9^X^I10|||W", "DG1|2||E11.9^X^I10|||F");
    let own = "DG1|3||J18.9^X^I10|||F||||||||||||||D77";
    let first = adt("A01", "1000", &[working, last, own]);
    let both = [first.clone(), adt("A08", "1100", &[last])];
    assert_eq!(gold(&both, "condition", "code").await, ["E11.9", "J18.9"]);
    // One without any says nothing of them, nor does one that tells of diagnoses by their identifiers.
    for silent in [adt("A08", "1100", &[]), adt("A08", "1100", &[own]), adt("A08", "1100", &[&format!("{own}|U")])] {
        assert_eq!(gold(&[first.clone(), silent], "condition", "code").await.len(), 3);
    }
    let back = [first, adt("A08", "1100", &[last]), adt("A08", "1200", &[last, working])];
    assert_eq!(gold(&back, "condition", "code").await, ["E11.9", "I21.9", "J18.9"]);
}

#[tokio::test]
async fn a_visit_that_is_given_to_another_patient_takes_its_rows_along() {
    let (wrong, right) = (person("W^^^H^MR", 1950, "M"), person("R^^^H^MR", 1960, "F"));
    let dg1 = "DG1|1||I21.9^X^I10|||A";
    let result = |pid: &str, time: &str, stay: &str, order: &str| {
        message("ORU^R01", time, "", &[pid, stay, &format!("OBR|1||{order}|1^C^LN|||20220101"), &potassium("4.1", "F")])
    };
    let before = [
        message("ADT^A01", "1000", "", &[&wrong, STAY, dg1]),
        message("ADT^A31", "1000", "", &[&right]),
        result(&wrong, "1030", STAY, "L1"),
        // Of the same patient's other visit.
        result(&wrong, "1030", &STAY.replace("|V1", "|V2"), "L2"),
    ];
    let born = |hospital: &Hospital, table: &str| -> Vec<String> {
        let all = rows(hospital, &[]);
        let key = |year: &str| {
            let patient = of(&all, "patient").into_iter().find(|r| value(r, "birth_year") == year);
            patient.map(|r| value(r, "person_key").to_owned()).unwrap_or_default()
        };
        let (w, r) = (key("1950"), key("1960"));
        let year = |row: &&str| match value(row, "person_key") {
            k if k == w => "1950",
            k if k == r => "1960",
            _ => "?",
        };
        let mut out: Vec<String> = of(&all, table).iter().map(|row| year(row).to_owned()).collect();
        out.sort();
        out
    };
    for event in [
        message("ADT^A45^ADT_A45", "1100", "", &[&right, "MRG|W^^^H^MR||||V1", STAY]),
        message("ADT^A45^ADT_A45", "1100", "", &[&right, "MRG|W^^^H^MR", STAY]),
        message("ADT^A44^ADT_A43", "1100", "", &[&format!("{right}||||||||||V1"), "MRG|W^^^H^MR||V1"]),
    ] {
        let late = result(&wrong, "1200", STAY, "L3");
        let all = [&before[..], &[event.clone(), late]].concat();
        let back: Vec<String> = all.iter().rev().cloned().collect();
        for messages in [all, back] {
            let hospital = hospital(HL7, &[("feed.hl7", messages.concat())]);
            hospital.ingest().await;
            assert_eq!(born(&hospital, "patient"), ["1950", "1960"]);
            assert_eq!(born(&hospital, "visit").iter().filter(|y| *y == "1960").count(), 1, "{event}");
            assert_eq!(born(&hospital, "condition"), ["1960"], "{event}");
            assert_eq!(born(&hospital, "measurement"), ["1950", "1960", "1960"], "{event}");
        }
    }
}
