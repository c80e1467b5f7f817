//! Changed bytes for the adapter `ccda`.

#![no_main]

use std::sync::LazyLock;

use adapters::Adapter;

static ADAPTER: LazyLock<Box<dyn Adapter>> = LazyLock::new(|| match adapters::open("ccda", None, "") {
    Ok(adapter) => adapter,
    Err(e) => panic!("{e}"),
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| insitu_fuzz::read(&**ADAPTER, "x.xml", bytes));
