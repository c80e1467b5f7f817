//! Quotes, encodings, and files that are none.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use std::io::Cursor;

fn read(bytes: &[u8], encoding: &'static Encoding) -> Vec<Result<Vec<String>, (u64, Reason)>> {
    let layout = Layout { encoding, delimiters: vec![';'], quote: Some(Some('"')), ..Layout::default() };
    let mut rows = Delimited::new(Box::new(Cursor::new(bytes.to_vec())), &layout);
    let mut out = Vec::new();
    loop {
        match rows.advance().unwrap() {
            Next::End => return out,
            Next::Bad(line, reason, _) => out.push(Err((line, reason))),
            Next::Row(_) => {
                let f = rows.fields();
                out.push(Ok((0..f.len()).map(|i| f.get(i).unwrap().to_owned()).collect()));
            }
        }
    }
}

fn row(fields: &[&str]) -> Result<Vec<String>, (u64, Reason)> {
    Ok(fields.iter().map(|f| (*f).to_owned()).collect())
}

#[test]
fn quotes_hold_delimiters_line_ends_and_quotes() {
    let got = read(b"a;\"b;c\nd \"\"e\"\"\";f\r\n\n;\n\"x\"y;z", encoding_rs::UTF_8);
    assert_eq!(got, [row(&["a", "b;c\nd \"e\"", "f"]), row(&["", ""]), row(&["xy", "z"])]);
}

#[test]
fn a_quote_that_is_never_closed_costs_one_line() {
    let got = read(b"a;\"b\nc;d\ne;f\n", encoding_rs::UTF_8);
    assert_eq!(got, [Err((1, Reason::OpenQuote)), row(&["c", "d"]), row(&["e", "f"])]);
    let mut long = b"a;\"b\n".to_vec();
    for _ in 0..5000 {
        long.extend_from_slice(b"c;d\n");
    }
    let got = read(&long, encoding_rs::UTF_8);
    assert_eq!((got.len(), got.iter().filter(|r| r.is_err()).count()), (5001, 1));
}

#[test]
fn encodings() {
    assert_eq!(read(b"M\xfcller;1\n", encoding_rs::WINDOWS_1252), [row(&["Müller", "1"])]);
    assert_eq!(read(b"M\xfcller;1\nx;2", encoding_rs::UTF_8), [Err((1, Reason::NotUtf8)), row(&["x", "2"])]);
    assert_eq!(read("\u{feff}Müller;1".as_bytes(), encoding_rs::WINDOWS_1252), [row(&["Müller", "1"])]);
    let mut utf16 = vec![0xff, 0xfe];
    for unit in "Ü;1\nß;2\n".encode_utf16() {
        utf16.extend_from_slice(&unit.to_le_bytes());
    }
    assert_eq!(read(&utf16, encoding_rs::UTF_8), [row(&["Ü", "1"]), row(&["ß", "2"])]);
    assert_eq!(read(b"a\0b;c\nd;e", encoding_rs::UTF_8), [Err((1, Reason::NotText)), row(&["d", "e"])]);
}
