//! Whose number it is, in a feed of HL7: authorities, bare numbers, merges that lack a part, and messages of nobody.

use super::corrections::{PID, STAY, gold, message, of, person, potassium, told};
use super::hl7::{HL7, hospital, rows};
use super::*;

#[tokio::test]
async fn one_number_of_two_authorities_is_not_one_person() {
    let a01 = |time: &str, pid: &str, visit: &str| {
        message("ADT^A01", time, "", &[pid, &STAY.replace("|V1", &format!("|{visit}"))])
    };
    let (a, b) = (person("7^^^HOSPA^MR", 1950, "M"), person("7^^^HOSPB^MR", 1980, "F"));
    let both = [a01("1000", &a, "V1"), a01("1001", &b, "V2")];
    // Without a setting each number counts together with its authority, in whatever files and order they come.
    assert_eq!(gold(&both, "patient", "birth_year").await, ["1950", "1980"]);
    let apart = hospital(HL7, &[("a.hl7", both[1].clone())]);
    apart.ingest().await;
    std::fs::write(apart.file("b.hl7"), &both[0]).unwrap();
    let report = apart.ingest().await;
    assert_eq!(report.files.iter().map(|f| f.quarantined).sum::<u64>(), 0, "{report:?}");
    assert_eq!(of(&rows(&apart, &[]), "visit").len(), 2);
    // With one that is named, and with all of them.
    for (setting, want, bad) in [
        ("HOSPB", &["1980"][..], 1),
        ("HOSPB^MR", &["1980"], 1),
        ("HOSPA\", \"HOSPC", &["1950"], 1),
        ("*", &["1950", "1980"], 0),
        ("HOSPA\", \"*", &["1950", "1980"], 0),
    ] {
        let source = format!("{HL7}\nauthorities = [\"{setting}\"]");
        let (mut born, quarantined) = told(&source, &both, "patient", "birth_year").await;
        born.sort();
        assert_eq!(
            (born.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), quarantined),
            (want, bad),
            "{setting}"
        );
    }
    // Visits of one number as well, and the list of those who object writes the key's own text.
    let same = [a01("1000", &a, "V1^^^HOSPA"), a01("1001", &b, "V1^^^HOSPB")];
    let every = format!("{HL7}\nauthorities = [\"*\"]");
    assert_eq!(told(&every, &same, "visit", "visit_key").await.0.len(), 2);
    let pseudonyms = schema::record::Pseudonyms::new(&[5; 32]);
    let hex = |id: &str| pseudonyms.key(&["person", "his", id]).iter().map(|b| format!("{b:02x}")).collect::<String>();
    let (mut keys, mut want) =
        (told(&every, &both, "patient", "person_key").await.0, vec![hex("7^^^HOSPA"), hex("7^^^HOSPB")]);
    keys.sort();
    want.sort();
    assert_eq!(keys, want);
    // The numbers of an authority that is named are plain, as those of every other format.
    let own = format!("{HL7}\nauthority = \"HOSPA\"");
    assert_eq!(told(&own, &both[..1], "patient", "person_key").await.0, [hex("7")]);
    let beside = format!("{HL7}\nauthority = [\"HOSPA\", \"*\"]");
    let (mut keys, mut want) =
        (told(&beside, &both, "patient", "person_key").await.0, vec![hex("7"), hex("7^^^HOSPB")]);
    keys.sort();
    want.sort();
    assert_eq!(keys, want);
}

/// One stray message used to lock the source on its authority, and the rest of the feed went to quarantine.
#[tokio::test]
async fn whatever_comes_first_a_feed_is_read() {
    let one = |id: u32, whose: &str| {
        let time = format!("10{:02}", id % 60);
        message(
            "ADT^A01",
            &time,
            "",
            &[&person(&format!("{id}^^^{whose}"), 1950 + id % 40, "M"), &STAY.replace("|V1", &format!("|V{id}"))],
        )
    };
    let mut messages: Vec<String> =
        vec![one(105, "TEST"), "MSH|^~\\&|HIS|H|E|H|202201011000||ADT^A01|x|P|2.5\rPID|1||1^^^HO\r".to_owned()];
    messages.extend((1..30).map(|id| one(id, "HOSP^MR")));
    let (keys, bad) = told(HL7, &messages, "patient", "person_key").await;
    assert_eq!((keys.len(), bad), (31, 0));
    assert_eq!(gold(&messages, "visit", "person_key").await.len(), 30);
}

#[tokio::test]
async fn a_bare_number_is_the_one_of_its_digits_where_there_is_one() {
    let adt =
        |id: &str, visit: &str| message("ADT^A01", "1000", "", &[&person(id, 1950, "M"), &STAY.replace("|V1", visit)]);
    let result = |id: &str, visit: &str| {
        let pv1 = STAY.replace("|V1", visit);
        message(
            "ORU^R01",
            "1100",
            "",
            &[&person(id, 1950, "M"), &pv1, "OBR|1||L1^LAB|1^C^LN|||20220101", &potassium("4.1", "F")],
        )
    };
    // The laboratory names no authority.
    let both = [adt("7^^^H^MR", "|V1^^^H"), result("7", "|V1")];
    let persons = gold(&both, "patient", "person_key").await;
    assert_eq!(persons.len(), 1);
    assert_eq!(gold(&both, "measurement", "person_key").await, persons);
    assert_eq!(gold(&both, "measurement", "visit_key").await, gold(&both, "visit", "visit_key").await);
    assert_eq!(gold(&both, "visit", "visit_key").await.len(), 1);
    // Of two that it could be it is neither.
    let three = [both[0].clone(), adt("7^^^G^MR", "|V1^^^G"), both[1].clone()];
    let persons = gold(&three, "patient", "person_key").await;
    let whose = gold(&three, "measurement", "person_key").await;
    assert_eq!((persons.len(), whose.len()), (3, 1));
    assert_eq!(gold(&three, "visit", "visit_key").await.len(), 3);
    let known = gold(&both, "measurement", "person_key").await;
    assert_ne!(whose, known, "nobody's results become another's");
    // A merge that names a bare number is of the authority of the one who stays.
    let merged = [
        adt("7^^^H^MR", "|V1^^^H"),
        message("ADT^A40^ADT_A39", "1200", "", &[&person("8^^^H^MR", 1950, "M"), "MRG|7"]),
        result("7", "|V1"),
    ];
    let persons = gold(&merged, "patient", "person_key").await;
    assert_eq!(persons.len(), 1);
    assert_eq!(gold(&merged, "measurement", "person_key").await, persons);
    assert_eq!(gold(&merged, "visit", "person_key").await, persons);
}

/// Whoever objected is listed by the number alone, as in every other format.
#[tokio::test]
async fn the_list_of_persons_may_have_the_bare_number() {
    let messages = message("ADT^A31", "1000", "", &[&person("7^^^H^MR", 1950, "M")]);
    let hospital = hospital(HL7, &[("feed.hl7", messages)]);
    hospital.ingest().await;
    let gold = hospital.gold();
    let all = batches(&hospital.lake.merged_file(&gold).unwrap());
    let key = |id: &str| schema::record::Pseudonyms::new(&[5; 32]).key(&["person", "his", id]).to_vec();
    let pair = |column: &str| all[0].column_by_name(column).unwrap().as_fixed_size_binary().value(0).to_vec();
    assert_eq!((all[0].num_rows(), pair("old_key"), pair("new_key")), (1, key("7"), key("7^^^H")));
}

#[tokio::test]
async fn a_merge_that_does_not_say_of_whom_is_no_update() {
    let first = message("ADT^A01", "1000", "", &[PID, STAY]);
    for event in ["ADT^A40^ADT_A39", "ADT^A45", "ADT^A50", "ADT^A41"] {
        let half = message(event, "1100", "", &[&PID.replace("1950", "1960")]);
        let (born, bad) = told(HL7, &[first.clone(), half], "patient", "birth_year").await;
        assert_eq!((born, bad), (vec!["1950".to_owned()], 1), "{event}");
    }
}

#[tokio::test]
async fn a_message_of_training_is_left_out_where_the_site_says_so() {
    for mode in ["T", "D", "T^A"] {
        let message = message("ADT^A01", "1000", "", &[PID, STAY]).replace("|P|2.5", &format!("|{mode}|2.5"));
        let real = self::message("ADT^A01", "1000", "", &[&PID.replace("100^", "200^"), STAY]);
        let both = [message, real];
        let source = format!("{HL7}\nproduction_only = true");
        let feed = hospital(&source, &[("feed.hl7", both.concat())]);
        let report = feed.ingest().await;
        assert_eq!((report.files[0].skipped, report.files[0].quarantined), (1, 0), "{mode}");
        assert_eq!(of(&rows(&feed, &[]), "patient").len(), 1, "{mode}");
        assert_eq!(told(HL7, &both, "patient", "birth_year").await.0.len(), 2, "{mode}");
    }
}

#[tokio::test]
async fn the_order_of_the_repetitions_and_a_missing_authority_make_no_other_person() {
    let of = |ids: &str| message("ADT^A31", "1000", "", &[&person(ids, 1950, "M")]);
    let messages = ["9^^^H^MR", "55^^^LAB^PI~9^^^H^MR", "9^^^H^MR~55^^^LAB^PI", "9", "9^^^^MR~8^^^SSA^SS"].map(of);
    for source in [HL7.to_owned(), format!("{HL7}\nauthorities = [\"H\"]")] {
        let (keys, bad) = told(&source, &messages, "patient", "person_key").await;
        assert_eq!((keys.len(), bad), (1, 0), "{source}");
    }
    // Two numbers of one rank: the same is chosen, whichever comes first.
    let pair = ["9^^^H^MR~4^^^G^MR", "4^^^G^MR~9^^^H^MR"].map(of);
    assert_eq!(told(HL7, &pair, "patient", "person_key").await.0.len(), 1);
}
