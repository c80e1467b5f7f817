//! The decoder against an encoder of its own, and against bytes that are none. (A real server is the end-to-end tests' part.)
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{BufReader, Cursor};

use proptest::prelude::*;

use super::*;

/// A value, as a test thinks of it.
#[derive(Clone, Debug)]
enum Value {
    Null,
    Int(i64),
    Real(f64),
    /// Digits without the point, how many are behind it, whether it is below zero.
    Numeric(String, usize, bool),
    Text(String),
    Date(i32),
    Stamp(i64),
    Bool(bool),
}

/// The value's bytes as a server sends them.
fn bytes(oid: u32, value: &Value) -> Option<Vec<u8>> {
    Some(match (oid, value) {
        (_, Value::Null) => return None,
        (21, Value::Int(i)) => i16::try_from(*i).unwrap().to_be_bytes().to_vec(),
        (23, Value::Int(i)) => i32::try_from(*i).unwrap().to_be_bytes().to_vec(),
        (20, Value::Int(i)) => i.to_be_bytes().to_vec(),
        (700, Value::Real(r)) => (*r as f32).to_be_bytes().to_vec(),
        (701, Value::Real(r)) => r.to_be_bytes().to_vec(),
        (1700, Value::Numeric(digits, behind, minus)) => numeric(digits, *behind, *minus),
        (25 | 1042 | 1043, Value::Text(t)) => t.as_bytes().to_vec(),
        (1082, Value::Date(d)) => d.to_be_bytes().to_vec(),
        (1114 | 1184, Value::Stamp(t)) => t.to_be_bytes().to_vec(),
        (16, Value::Bool(b)) => vec![u8::from(*b)],
        other => panic!("{other:?}"),
    })
}

/// A decimal in digits to the base 10,000, without zeros at either end, as the server stores it.
fn numeric(digits: &str, behind: usize, minus: bool) -> Vec<u8> {
    let before = digits.len() - behind;
    let head = "0".repeat((4 - before % 4) % 4);
    let tail = "0".repeat((4 - behind % 4) % 4);
    let padded = format!("{head}{digits}{tail}");
    let mut words: Vec<u16> =
        padded.as_bytes().chunks(4).map(|c| std::str::from_utf8(c).unwrap().parse().unwrap()).collect();
    let mut weight = (head.len() + before) as i16 / 4 - 1;
    while words.first() == Some(&0) {
        words.remove(0);
        weight -= 1;
    }
    while words.last() == Some(&0) {
        words.pop();
    }
    if words.is_empty() {
        weight = 0;
    }
    let sign = if minus && !words.is_empty() { 0x4000u16 } else { 0 };
    let mut out = Vec::new();
    for word in [words.len() as u16, weight as u16, sign, behind as u16].into_iter().chain(words) {
        out.extend(word.to_be_bytes());
    }
    out
}

pub(crate) fn header(oids: &[u32]) -> Header {
    let columns = oids.iter().enumerate().map(|(i, oid)| Column { name: format!("c{i}"), oid: *oid }).collect();
    Header { table: "t".to_owned(), columns, after: None, upto: None, last: true, rows: 0 }
}

fn chunk(oids: &[u32], rows: &[Vec<Value>]) -> Vec<u8> {
    let mut out = header(oids).line(0);
    out.extend(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
    for row in rows {
        out.extend((row.len() as i16).to_be_bytes());
        for (oid, value) in oids.iter().zip(row) {
            match bytes(*oid, value) {
                None => out.extend((-1i32).to_be_bytes()),
                Some(bytes) => {
                    out.extend((bytes.len() as i32).to_be_bytes());
                    out.extend(bytes);
                }
            }
        }
    }
    out.extend((-1i16).to_be_bytes());
    out
}

/// What the decoder says: each row's texts, or where it stopped.
fn decode(bytes: &[u8], window: usize) -> Result<Vec<Vec<Option<String>>>, String> {
    let mut reader = BufReader::with_capacity(window, Cursor::new(bytes));
    let header = Header::read(&mut reader).map_err(|e| e.to_string())?;
    let kinds: Vec<Kind> = header.columns.iter().map(|c| Kind::of(c.oid).unwrap()).collect();
    let mut tuples = Tuples::new(reader, kinds.len()).map_err(|e| e.to_string())?;
    let mut out = Vec::new();
    loop {
        let mut row = Vec::new();
        let mut fault = None;
        let tuple = tuples.advance(&mut |at, bytes| {
            let mut text = String::new();
            if let Some(bytes) = bytes
                && let Err(e) = kinds[at].write(bytes, &mut text)
            {
                fault = Some(format!("{e:?}"));
            }
            row.push(bytes.map(|_| text));
        });
        match (tuple.unwrap(), fault) {
            (_, Some(fault)) => return Err(fault),
            (Tuple::Row, None) => out.push(row),
            (Tuple::End, None) => return Ok(out),
            (other, None) => return Err(format!("{other:?}")),
        }
    }
}

/// The text of a value, from its meaning and not from its bytes.
fn text(oid: u32, value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Int(i) => i.to_string(),
        Value::Real(r) if oid == 700 => (*r as f32).to_string(),
        Value::Real(r) => r.to_string(),
        Value::Numeric(digits, behind, minus) => {
            let (whole, rest) = digits.split_at(digits.len() - behind);
            let whole = whole.trim_start_matches('0');
            let sign = if *minus && digits.bytes().any(|b| b != b'0') { "-" } else { "" };
            let point = if *behind > 0 { "." } else { "" };
            format!("{sign}{}{point}{rest}", if whole.is_empty() { "0" } else { whole })
        }
        Value::Text(t) => t.clone(),
        Value::Date(d) => {
            let date = chrono::NaiveDate::from_ymd_opt(2000, 1, 1).unwrap() + chrono::TimeDelta::days(i64::from(*d));
            date.to_string()
        }
        Value::Stamp(t) => {
            let epoch = chrono::NaiveDate::from_ymd_opt(2000, 1, 1).unwrap().and_hms_opt(0, 0, 0).unwrap();
            let at = epoch + chrono::TimeDelta::microseconds(*t);
            format!("{}{}", at.format("%Y-%m-%dT%H:%M:%S%.f"), if oid == 1184 { "+00:00" } else { "" })
        }
        Value::Bool(b) => b.to_string(),
    })
}

fn value(oid: u32) -> BoxedStrategy<Value> {
    let some = match oid {
        21 => any::<i16>().prop_map(|i| Value::Int(i.into())).boxed(),
        23 => any::<i32>().prop_map(|i| Value::Int(i.into())).boxed(),
        20 => any::<i64>().prop_map(Value::Int).boxed(),
        700 => any::<f32>().prop_filter("finite", |f| f.is_finite()).prop_map(|f| Value::Real(f.into())).boxed(),
        701 => any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::Real).boxed(),
        1700 => ("[0-9]{1,40}", 0..40usize, any::<bool>())
            .prop_map(|(digits, behind, minus)| {
                let behind = behind.min(digits.len() - 1);
                Value::Numeric(digits, behind, minus)
            })
            .boxed(),
        16 => any::<bool>().prop_map(Value::Bool).boxed(),
        // From 4713 BC to the year 10000: texts have four digits of year where OMOP has dates.
        1082 => (-730_000..2_900_000i32).prop_map(Value::Date).boxed(),
        1114 | 1184 => (-60_000_000_000_000_000..250_000_000_000_000_000i64).prop_map(Value::Stamp).boxed(),
        _ => "[^\\x00]{0,20}".prop_map(Value::Text).boxed(),
    };
    prop_oneof![1 => Just(Value::Null), 5 => some].boxed()
}

/// A key, and columns of any types with their rows.
fn table() -> impl Strategy<Value = (Vec<u32>, Vec<Vec<Value>>)> {
    let oids =
        proptest::collection::vec(proptest::sample::select(Kind::ALL.iter().map(|k| k.0).collect::<Vec<_>>()), 1..8);
    oids.prop_flat_map(|oids| {
        let row: Vec<_> = oids.iter().map(|o| value(*o)).collect();
        (Just(oids), proptest::collection::vec(row, 0..20))
    })
}

proptest! {
    /// What was encoded is read, in whatever pieces the bytes come.
    #[test]
    fn every_value_comes_back((oids, rows) in table(), window in 1..300usize) {
        let want: Vec<Vec<_>> =
            rows.iter().map(|r| oids.iter().zip(r).map(|(o, v)| text(*o, v)).collect()).collect();
        prop_assert_eq!(decode(&chunk(&oids, &rows), window).unwrap(), want);
    }

    /// A chunk that lacks an end is never taken for a whole one, wherever it breaks off.
    #[test]
    fn a_part_is_no_whole((oids, rows) in table(), at in any::<proptest::sample::Index>()) {
        let whole = chunk(&oids, &rows);
        let part = &whole[..at.index(whole.len())];
        prop_assert!(decode(part, 64).is_err());
        prop_assert!(check(Cursor::new(part)).is_err());
    }

    /// No bytes make it panic, and none make it take more than the bytes that are there.
    #[test]
    fn any_bytes_are_survived((oids, rows) in table(), edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = chunk(&oids, &rows);
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = decode(&bytes, 64);
        let _ = check(Cursor::new(&bytes));
    }

    #[test]
    fn any_field_of_any_type_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        for (_, _, kind) in Kind::ALL {
            let _ = kind.write(&bytes, &mut String::new());
        }
    }
}

#[test]
fn times_without_end_numbers_that_are_none_and_wrong_lengths() {
    let write = |kind: Kind, bytes: &[u8]| {
        let mut out = String::new();
        kind.write(bytes, &mut out).map(|()| out)
    };
    assert_eq!(write(Kind::Date, &i32::MAX.to_be_bytes()).unwrap(), "infinity");
    assert_eq!(write(Kind::Timestamp, &i64::MIN.to_be_bytes()).unwrap(), "-infinity");
    assert_eq!(write(Kind::Float8, &f64::NAN.to_be_bytes()).unwrap(), "");
    assert_eq!(write(Kind::Numeric, &[0, 0, 0, 0, 0xc0, 0, 0, 0]).unwrap(), "");
    assert_eq!(write(Kind::Numeric, &[0, 0, 0, 0, 0, 0, 0, 2]).unwrap(), "0.00");
    // A digit above 9,999; fewer digits than it says; a weight that would fill the memory.
    for bad in [
        &[0, 1, 0, 0, 0, 0, 0, 0, 0x27, 0x10][..],
        &[0, 2, 0, 0, 0, 0, 0, 0, 0, 1],
        &[0, 0, 0x7f, 0xff, 0, 0, 0x7f, 0xff],
    ] {
        assert_eq!(write(Kind::Numeric, bad).err(), Some(Fault::Bytes), "{bad:?}");
    }
    assert_eq!(write(Kind::Int4, &[0; 3]), Err(Fault::Bytes));
    assert_eq!(write(Kind::Text, b"\xff"), Err(Fault::NotUtf8));
}

#[test]
fn a_header_keeps_its_width_when_its_figures_come() {
    let mut header = header(&[20, 1043]);
    let first = header.line(0);
    header.after = Some(i64::MIN);
    header.upto = Some(i64::MIN);
    header.rows = u64::MAX;
    let second = header.line(first.len());
    assert_eq!(first.len(), second.len());
    assert_eq!(Header::read(&mut Cursor::new(second)).unwrap(), header);
    let unread = Header { columns: vec![Column { name: "j".to_owned(), oid: 114 }], ..header };
    let error = Header::read(&mut Cursor::new(unread.line(0))).unwrap_err().to_string();
    assert!(error.contains("column j") && error.contains("double precision"), "{error}");
}

#[test]
fn a_check_counts_rows_and_wants_keys_in_order() {
    let rows = |keys: &[i64]| keys.iter().map(|k| vec![Value::Int(*k)]).collect::<Vec<_>>();
    let checked = check(Cursor::new(chunk(&[20], &rows(&[-5, 3, 3, 9])))).unwrap();
    assert_eq!(checked, Checked { rows: 4, last_key: Some(9) });
    assert!(check(Cursor::new(chunk(&[20], &rows(&[3, 2])))).unwrap_err().to_string().contains("row 2"));
    assert!(check(Cursor::new(chunk(&[20], &[vec![Value::Null]]))).is_err());
    assert!(check(Cursor::new(chunk(&[25], &[]))).unwrap_err().to_string().contains("no key"));
    let mut behind = chunk(&[20], &rows(&[1]));
    behind.push(0);
    assert!(check(Cursor::new(behind)).is_err());
}

#[test]
fn a_field_beyond_all_bounds_costs_its_row_and_no_other() {
    let long = "x".repeat(crate::lines::MAX_LINE + 1);
    let rows: Vec<Vec<Value>> = ["a", &long, "b"]
        .iter()
        .enumerate()
        .map(|(i, t)| vec![Value::Int(i as i64), Value::Text((*t).to_owned())])
        .collect();
    let bytes = chunk(&[20, 25], &rows);
    let mut reader = Cursor::new(&bytes);
    Header::read(&mut reader).unwrap();
    let mut tuples = Tuples::new(reader, 2).unwrap();
    let mut said = Vec::new();
    loop {
        match tuples.advance(&mut |_, _| ()).unwrap() {
            Tuple::End => break,
            other => said.push(other),
        }
    }
    assert_eq!(said, [Tuple::Row, Tuple::TooLong(1), Tuple::Row]);
    assert_eq!(check(Cursor::new(&bytes)).unwrap().rows, 3);
}
