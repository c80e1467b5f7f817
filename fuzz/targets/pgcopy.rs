//! Changed bytes for chunks of a PostgreSQL table: rows behind a line that says every type that is read.

#![no_main]

use std::sync::LazyLock;

use adapters::Adapter;
use adapters::pgcopy::{Column, Header};

const MAPPING: &str = include_str!("../mappings/pgcopy.toml");

static ADAPTER: LazyLock<Box<dyn Adapter>> = LazyLock::new(|| match adapters::open("csv", Some(MAPPING), "mapping.toml") {
    Ok(adapter) => adapter,
    Err(e) => panic!("{e}"),
});

/// One column of each type, the key first.
static HEAD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let columns = [
        ("id", 20), ("born", 1082), ("sex", 1042), ("code", 25), ("value", 1700), ("low", 701), ("high", 700), ("unit", 1043),
        ("at", 1184), ("day", 1114), ("small", 21), ("whole", 23), ("yes", 16),
    ];
    let columns = columns.map(|(name, oid)| Column { name: name.to_owned(), oid });
    let header = Header { table: "x".to_owned(), columns: columns.to_vec(), after: None, upto: None, last: false, rows: 0 };
    header.line(0)
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // One input in eight is a whole file, so that the first line is changed too.
    match bytes.split_first() {
        Some((first, rest)) if first % 8 != 0 => {
            let mut file = HEAD.clone();
            file.extend_from_slice(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
            file.extend_from_slice(rest);
            insitu_fuzz::read(&**ADAPTER, "x.pgcopy", &file);
        }
        _ => insitu_fuzz::read(&**ADAPTER, "x.pgcopy", bytes),
    }
});
