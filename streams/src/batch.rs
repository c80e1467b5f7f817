//! A batch of events, in columns: what one reading of a source gives.

use crate::source::Position;

/// A patient, by pseudonym. It never leaves the site.
pub type Key = u128;

/// Which channel a batch came by: its place among those that the job was told of.
pub type ChannelId = u16;

/// Rows of one channel, in the order in which they came. It has no `Debug`: its rows are patients' events.
#[derive(Clone, Default)]
pub struct EventBatch {
    /// Which channel.
    pub channel: ChannelId,
    /// Event time of each row, in microseconds since 1970.
    pub time: Vec<i64>,
    /// The patient of each row.
    pub key: Vec<Key>,
    /// What each row counts for, such as its code or its ward, as a number of [`names`](Self::names).
    pub group: Vec<u32>,
    /// A whole number of each row: its value in a fixed point, or the end of what lasts.
    pub value: Vec<i64>,
    /// `1` adds a row, `-1` takes back one that was added before. Empty where all rows add.
    pub sign: Vec<i8>,
    /// What each row is, over its revisions; empty where rows have no identity.
    pub id: Vec<u128>,
    /// Which revision each row is; a later one takes the place of an earlier one.
    pub rev: Vec<u32>,
    /// Set on the last batch of a whole reading: rows of this channel that it did not bring, of an earlier revision than this and
    /// not before this time, are gone.
    pub whole: Option<(u32, i64)>,
    /// How many rows the source knows of that it did not bring, since they are older than what is remembered.
    pub too_old: u64,
    /// How many rows the source met that it can't read.
    pub unreadable: u64,
    /// More rows follow that were known at the same moment, such as those of one version of a table: the watermark stands still until
    /// a batch without this.
    pub holds: bool,
    /// Groups seen for the first time. They follow those of all batches before, so that a group is a place in one list.
    pub names: Vec<String>,
    /// The source's position after the last row.
    pub end: Option<Position>,
}

impl EventBatch {
    /// How many rows.
    pub fn len(&self) -> usize {
        self.time.len()
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.time.is_empty()
    }

    /// Whether every column has a cell for every row.
    pub fn is_whole(&self) -> bool {
        let n = self.len();
        self.key.len() == n
            && self.group.len() == n
            && self.value.len() == n
            && (self.sign.is_empty() || self.sign.len() == n)
            && (self.id.is_empty() || self.id.len() == n)
            && self.rev.len() == self.id.len()
    }

    /// `1`, or `-1` for a row that is taken back.
    pub fn sign_of(&self, row: usize) -> i64 {
        self.sign.get(row).map_or(1, |s| i64::from(*s))
    }

    /// A batch of some of the rows, with all else as it was.
    pub fn rows(&self, rows: &[usize]) -> EventBatch {
        fn of<T: Copy>(column: &[T], rows: &[usize]) -> Vec<T> {
            rows.iter().filter_map(|r| column.get(*r).copied()).collect()
        }
        EventBatch {
            channel: self.channel,
            time: of(&self.time, rows),
            key: of(&self.key, rows),
            group: of(&self.group, rows),
            value: of(&self.value, rows),
            sign: of(&self.sign, rows),
            id: of(&self.id, rows),
            rev: of(&self.rev, rows),
            whole: self.whole,
            too_old: self.too_old,
            unreadable: self.unreadable,
            holds: self.holds,
            names: self.names.clone(),
            end: self.end.clone(),
        }
    }
}
