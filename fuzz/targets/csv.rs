//! Changed bytes for the adapter `csv`.

#![no_main]

use std::sync::LazyLock;

use adapters::Adapter;

const MAPPING: &str = include_str!("../mappings/csv.toml");

static ADAPTER: LazyLock<Box<dyn Adapter>> = LazyLock::new(|| match adapters::open("csv", Some(MAPPING), "mapping.toml") {
    Ok(adapter) => adapter,
    Err(e) => panic!("{e}"),
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| insitu_fuzz::read(&**ADAPTER, "x.csv", bytes));
