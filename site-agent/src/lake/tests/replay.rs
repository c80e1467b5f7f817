//! A feed of HL7 gives one gold: fields that are left out stay, `""` deletes, and neither order nor repetition of messages matters.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::hl7::{HL7, hospital, rows};
use super::*;

/// A message of patient `P1` and visit `V1`, of an hour of the day. PV1 is given by its fields' numbers.
fn adt(event: &str, hour: u32, pid: &str, pv1: &[(usize, &str)], more: &str) -> String {
    let mut fields = vec![String::new(); 46];
    fields[0] = "PV1".to_owned();
    for (at, text) in [(2, "I"), (19, "V1")].iter().chain(pv1) {
        fields[*at] = (*text).to_owned();
    }
    let time = format!("20220210{hour:02}0000");
    format!(
        "MSH|^~\\&|HIS|H|E|H|{time}||ADT^{event}|{event}{hour}|P|2.5\rEVN|{event}|{time}\rPID|1||P1^^^H^MR||DOE^X||{pid}\r{}\r{more}",
        fields.join("|").trim_end_matches('|')
    )
}

async fn gold(messages: &[String]) -> Vec<String> {
    let hospital = hospital(HL7, &[("feed.hl7", messages.concat())]);
    let report = hospital.ingest().await;
    assert!(report.files.iter().all(|f| f.quarantined == 0), "{report:?}");
    rows(&hospital, &["t_ingest", "rev", "t_known", "record_key", "person_key", "visit_key"])
}

fn of<'r>(rows: &'r [String], table: &str) -> Vec<&'r str> {
    rows.iter().filter(|r| r.starts_with(&format!("{table} "))).map(String::as_str).collect()
}

fn says(row: &str, column: &str, value: &str) -> bool {
    format!("{row} ").contains(&format!(" {column}={value} "))
}

#[tokio::test]
async fn what_a_later_message_leaves_out_stays_and_what_it_deletes_goes() {
    let whole = adt("A01", 8, "19500615|F", &[(3, "W1"), (14, "7"), (44, "20220210080000")], "");
    // A discharge that repeats neither the admission, nor the sex, nor the ward.
    let discharge = adt("A03", 20, "|", &[(36, "01")], "");
    let got = gold(&[whole.clone(), discharge.clone()]).await;
    let (patient, visit) = (of(&got, "patient")[0], of(&got, "visit")[0]);
    assert!(says(patient, "sex", "F") && says(patient, "birth_year", "1950"), "{patient}");
    for (column, value) in [
        ("start_date", "2022-02-10"),
        ("end_date", "2022-02-10"),
        ("ward", "W1"),
        ("admit_from", "7"),
        ("discharge_to", "01"),
        ("open", "false"),
        ("status", "final"),
        ("t_prec", "second"),
    ] {
        assert!(says(visit, column, value), "{column}: {visit}");
    }
    // A correction of the patient's data does not open the stay again, and `""` deletes.
    let update = adt("A08", 21, "\"\"|", &[(3, "\"\""), (14, "\"\"")], "");
    let got = gold(&[whole.clone(), discharge.clone(), update]).await;
    let (patient, visit) = (of(&got, "patient")[0], of(&got, "visit")[0]);
    assert!(says(patient, "birth_year", "") && says(patient, "sex", "F"), "{patient}");
    assert!(says(visit, "ward", "") && says(visit, "open", "false") && says(visit, "discharge_to", "01"), "{visit}");
    // A discharge that is cancelled, whatever the segment still says; then another one.
    let cancelled = adt("A13", 21, "|", &[(36, "01"), (45, "20220210200000")], "");
    let got = gold(&[whole.clone(), discharge.clone(), cancelled.clone()]).await;
    let visit = of(&got, "visit")[0];
    assert!(
        says(visit, "open", "true") && says(visit, "end_date", "") && says(visit, "status", "preliminary"),
        "{visit}"
    );
    assert!(says(visit, "discharge_to", "") && says(visit, "start_date", "2022-02-10"), "{visit}");
    let again = adt("A03", 22, "|", &[], "");
    let got = gold(&[again, cancelled, discharge, whole.clone()]).await;
    assert!(says(of(&got, "visit")[0], "t_end", "2022-02-10T21:00:00Z"), "{got:?}");
    // A date that is only a day is not given the hour of an earlier one.
    let day = adt("A08", 9, "|", &[(44, "20220209")], "");
    let got = gold(&[whole.clone(), day]).await;
    let visit = of(&got, "visit")[0];
    assert!(
        says(visit, "start_date", "2022-02-09") && says(visit, "t_start", "") && says(visit, "t_event", ""),
        "{visit}"
    );
    // An admission that is cancelled is gone with all it said; what comes after begins anew.
    let never = adt("A11", 9, "|", &[], "");
    assert!(of(&gold(&[whole.clone(), never.clone()]).await, "visit").is_empty());
    let anew = adt("A01", 10, "|", &[(3, "W2")], "");
    let got = gold(&[whole, never, anew]).await;
    let visit = of(&got, "visit")[0];
    assert!(
        says(visit, "ward", "W2") && says(visit, "admit_from", "") && says(visit, "t_start", "2022-02-10T09:00:00Z"),
        "{visit}"
    );
}

#[tokio::test]
async fn a_diagnosis_keeps_its_day_and_a_death_too() {
    let first = adt("A01", 8, "19500615|F", &[(44, "20220210080000")], "DG1|1||I21.0^x^I10||20220211|F|||||||||1\r");
    let later = adt("A08", 9, "|", &[(44, "20220210080000")], "DG1|1||I21.0^x^I10|||F\r");
    let got = gold(&[first, later.clone()]).await;
    let condition = of(&got, "condition")[0];
    assert!(says(condition, "event_date", "2022-02-11") && says(condition, "rank", "1"), "{condition}");
    let got = gold(&[later]).await;
    assert!(says(of(&got, "condition")[0], "event_date", "2022-02-10"), "the visit's start stands in");
    let died = |hour, day: &str, flag: &str| adt("A08", hour, &format!("|{}{day}|{flag}", "|".repeat(21)), &[], "");
    let got = gold(&[died(8, "20220210070000", "Y"), died(9, "", "Y")]).await;
    assert!(says(of(&got, "death")[0], "death_date", "2022-02-10"), "{got:?}");
    assert!(of(&gold(&[died(8, "20220210070000", "Y"), died(9, "", "N")]).await, "death").is_empty());
}

#[tokio::test]
async fn an_unlink_takes_a_merge_back() {
    let person = |n: u32| format!("PID|1||P{n}^^^H^MR||DOE^X||195{n}0615|F\r");
    let head =
        |event: &str, hour: u32| format!("MSH|^~\\&|HIS|H|E|H|20220210{hour:02}0000||ADT^{event}|{event}|P|2.5\r");
    let merge = head("A40", 9) + &person(1) + "MRG|P2^^^H^MR\r";
    let before = [head("A31", 7) + &person(1), head("A31", 8) + &person(2), merge];
    assert_eq!(of(&gold(&before).await, "patient").len(), 1);
    let unlink = head("A37", 10) + &person(1) + &person(2);
    let after: Vec<String> = before.iter().cloned().chain([unlink]).collect();
    assert_eq!(of(&gold(&after).await, "patient").len(), 2);
}

#[tokio::test]
async fn a_visit_that_gets_another_number_is_one_visit_with_all_that_was_said() {
    let first = adt("A01", 8, "19500615|F", &[(3, "W1"), (44, "20220210080000")], "DG1|1||I21.0^x^I10||20220210|F\r");
    for event in ["A50", "A42"] {
        let renamed = adt(event, 9, "|", &[(19, "V9")], "").replace("\rPV1", "\rMRG|P1^^^H^MR||||V1\rPV1");
        let later = adt("A03", 20, "|", &[(19, "V9"), (36, "01")], "");
        for order in [[&first, &renamed, &later], [&later, &renamed, &first]] {
            let hospital = hospital(HL7, &[("feed.hl7", order.map(String::as_str).concat())]);
            hospital.ingest().await;
            let got = rows(&hospital, &[]);
            let (visits, conditions) = (of(&got, "visit"), of(&got, "condition"));
            assert_eq!((visits.len(), conditions.len()), (1, 1), "{event}");
            for (column, value) in
                [("ward", "W1"), ("start_date", "2022-02-10"), ("discharge_to", "01"), ("open", "false")]
            {
                assert!(says(visits[0], column, value), "{event}, {column}: {}", visits[0]);
            }
            let key = |row: &str| row.split(" visit_key=").nth(1).unwrap().split(' ').next().unwrap().to_owned();
            assert_eq!(key(visits[0]), key(conditions[0]), "{event}");
        }
    }
}

/// What a generated feed may say, at an hour, of one of four persons and visits.
fn message(kind: usize, who: u32, hour: u32, filled: u8) -> String {
    let has = |bit: u8, text: &str| if filled & (1 << bit) == 0 { String::new() } else { text.to_owned() };
    let null = |bit: u8, text: &str| match (filled >> bit) & 3 {
        0 => String::new(),
        1 => "\"\"".to_owned(),
        _ => text.to_owned(),
    };
    let pid = format!("{}|{}", has(0, &format!("195{who}0615")), has(1, "F"));
    let (ward, end) = (null(2, &format!("W{hour}")), has(4, &format!("20220210{hour:02}3000")));
    let pv1 = [(3, ward.as_str()), (44, &*has(5, "20220210070000")), (45, end.as_str())];
    let dx = has(6, &format!("DG1|1||I2{}.0^x^I10||{}|F\r", hour % 3, has(7, "20220210")));
    let event = ["A01", "A02", "A03", "A08", "A11", "A12", "A13", "A08"][kind % 8];
    let dx = if filled & 0x30 == 0x30 { format!("{dx}DG1|2||E11.9^x^I10|||F\r") } else { dx };
    let text = match kind {
        8 => adt("A40", hour, &pid, &[], "").replace("\rPV1", &format!("\rMRG|P{}^^^H^MR\rPV1", who % 4 + 1)),
        11 => {
            adt("A45", hour, &pid, &[], "").replace("\rPV1", &format!("\rMRG|P{}^^^H^MR||||V{who}\rPV1", who % 4 + 1))
        }
        9 | 10 => {
            let status = ["F", "C", "P", "W", "N"][hour as usize % 5];
            let order = format!("OBR|1||F{}|PANEL|||20220210090000\r", hour % 2);
            let more = if filled.is_multiple_of(3) { format!("~{hour}") } else { String::new() };
            let result = format!("OBX|1|NM|2345-7^Glucose^LN||{}{more}|mmol/L|||||{status}\r", filled % 9);
            adt("R01", hour, &pid, &[], &(order + &result)).replace("ADT^", "ORU^")
        }
        _ => adt(event, hour, &pid, &pv1, &dx),
    };
    text.replace("P1^", &format!("P{who}^"))
        .replace("|V1", &format!("|V{who}"))
        .replace("||F0", &format!("||F{who}-0"))
        .replace("||F1", &format!("||F{who}-1"))
}

/// The messages in another order, some of them twice, in files that come one after the other.
async fn replayed(source: &str, messages: &[String], seed: u64) -> Vec<String> {
    let mut all: Vec<&String> = messages.iter().chain(messages.iter().skip(seed as usize % 3).step_by(2)).collect();
    let mut state = seed.wrapping_add(1);
    for i in (1..all.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        all.swap(i, (state >> 33) as usize % (i + 1));
    }
    let hospital = hospital(source, &[]);
    let part = all.len().div_ceil(2).max(1);
    for (i, files) in all.chunks(part).enumerate() {
        let text = files.iter().fold(String::new(), |mut text, m| {
            let _ = write!(text, "{m}");
            text
        });
        std::fs::write(hospital.file(&format!("{i}.hl7")), text).unwrap();
        hospital.ingest().await;
    }
    rows(&hospital, &["t_ingest"])
}

async fn in_order(source: &str, messages: &[String]) -> Vec<String> {
    let hospital = hospital(source, &[("feed.hl7", messages.concat())]);
    hospital.ingest().await;
    rows(&hospital, &["t_ingest"])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_feed_in_any_order_and_number_gives_one_gold(
        said in proptest::collection::vec((0usize..12, 1u32..5, 0u32..24, any::<u8>()), 1..30),
        seed in any::<u64>(),
    ) {
        let messages: Vec<String> = said.iter().map(|(kind, who, hour, filled)| message(*kind, *who, *hour, *filled)).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (want, got) = runtime.block_on(async { (in_order(HL7, &messages).await, replayed(HL7, &messages, seed).await) });
        prop_assert_eq!(want, got);
    }
}

/// Real messages of every sender at hand: each folder's messages in order, and again shuffled and repeated.
#[tokio::test]
async fn the_messages_at_hand_give_one_gold_in_any_order() {
    let root = std::env::var_os("INSITU_SHARED_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    for folder in ["microsoft", "simhospital", "hl7-parser-rs", "linuxforhealth"] {
        let dir = root.join("hl7v2").join(folder);
        if !dir.is_dir() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{folder} is missing; set INSITU_SHARED_DATA");
            println!("skipped: {folder} is not here; set INSITU_SHARED_DATA to run this test");
            continue;
        }
        let mut messages: Vec<String> = Vec::new();
        let mut paths = walk(&dir);
        paths.sort();
        for path in paths {
            let mut text = Vec::new();
            std::io::Read::read_to_end(&mut adapters::reader(&path).unwrap(), &mut text).unwrap();
            let text = String::from_utf8_lossy(&text).replace("\r\n", "\r").replace('\n', "\r");
            messages.extend(
                text.split("MSH|").skip(1).map(|m| format!("MSH|{}\r", m.trim_end_matches(['\r', '\u{feff}']))),
            );
        }
        // They are of many senders, whose numbers are their own; and most say that they are of training.
        let source = HL7.to_owned();
        let want = in_order(&source, &messages).await;
        assert!(want.len() > 3, "{folder}: {} rows of {} messages", want.len(), messages.len());
        for seed in [3, 8] {
            let got = replayed(&source, &messages, seed).await;
            for (a, b) in want.iter().zip(&got) {
                assert_eq!(a, b, "{folder}");
            }
            assert_eq!(want.len(), got.len(), "{folder}");
        }
    }
}
