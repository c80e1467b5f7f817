//! What every target does: bytes from outside go through an adapter, and must give records and quarantined items, whatever they are.

#![forbid(unsafe_code)]

use adapters::{Adapter, AdapterError, Context, Extract, Quarantined, Sink};
use schema::Record;
use schema::record::Pseudonyms;

/// Checks what an adapter hands over.
#[derive(Default)]
struct Checked {
    records: u64,
    quarantined: u64,
}

impl Sink for Checked {
    fn record(&mut self, record: Record) -> Result<(), AdapterError> {
        self.records += 1;
        assert!(record.missing().is_none(), "a record without a column that its table requires");
        let mut columns = record.table().columns();
        let fits = record.cells().iter().all(|cell| columns.next().is_some_and(|c| cell.fits(c.kind)));
        assert!(fits, "a cell that its column can't hold");
        Ok(())
    }

    fn quarantine(&mut self, item: Quarantined) -> Result<(), AdapterError> {
        self.quarantined += 1;
        assert!(item.detail.chars().count() <= 240 && !item.detail.chars().any(char::is_control), "a detail is one short line");
        Ok(())
    }
}

/// Reads bytes as a file of an adapter. What it counts must be what it handed over.
pub fn read(adapter: &dyn Adapter, name: &str, bytes: &[u8]) {
    let context = Context {
        source_system: "fuzz".to_owned(),
        zone: chrono_tz::Europe::Berlin,
        pseudonyms: Pseudonyms::new(&[7; 32]),
        linkage: None,
        ingest_micros: 1_700_000_000_000_000,
        revision: 1,
    };
    let mut sink = Checked::default();
    match adapter.read(&context, Extract { name, reader: Box::new(bytes) }, &mut sink) {
        Ok(read) => assert_eq!((read.records, read.quarantined), (sink.records, sink.quarantined)),
        // A header that lacks the mapping's columns contradicts it; nothing else ends a file.
        Err(AdapterError::Mapping { .. }) => {}
        Err(e) => panic!("{e}"),
    }
}
