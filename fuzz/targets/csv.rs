//! Changed bytes for the adapter `csv`.

#![no_main]

use std::sync::LazyLock;

use adapters::Adapter;

/// Every kind of setter once, and columns without a header, so that the bytes reach them.
const MAPPING: &str = r#"
format = "csv"
[[file]]
match = "*.csv"
header = false
columns = ["id", "born", "sex", "code", "value", "unit", "at"]
decimal = ","
thousands = "."
dates = ["%d.%m.%Y %H:%M", "%d.%m.%Y", "%Y-%m-%dT%H:%M:%S"]
person = { column = "id" }
[[file.row]]
table = "patient"
[file.row.set]
sex = { column = "sex", map = { m = "M", w = "F" }, unmapped = "null" }
birth = { column = "born" }
[[file.row]]
table = "measurement"
require = ["code"]
[file.row.set]
code_system = "loinc"
code = { column = "code" }
value_num = { column = "value" }
unit_src = { column = "unit" }
event = { column = "at" }
"#;

static ADAPTER: LazyLock<Box<dyn Adapter>> = LazyLock::new(|| match adapters::open("csv", Some(MAPPING), "mapping.toml") {
    Ok(adapter) => adapter,
    Err(e) => panic!("{e}"),
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| insitu_fuzz::read(&**ADAPTER, "x.csv", bytes));
