//! The quick way through lines of one type: a line that is like one that was read before is put straight into columns.
//!
//! An export writes millions of lines that differ in few places. The slow reader reads the first of a kind, and what it gave is kept as a
//! [`Cast`]: the rows, and which places of the line their changing cells come from. `template` says which places those are: the
//! texts and numbers that a cast fills in, and those that nobody reads. All else, names and values alike, must be the same to the byte,
//! so whatever is new about a line, the slow reader takes it. `tree` finds the cast of a line in one walk over it.
//!
//! ```text
//! line ──tree──► cast, places ──► columns
//!          └─unknown─► the slow reader ──► rows, and a new cast
//! ```

mod cast;
mod template;
#[cfg(test)]
mod tests;
mod tree;

use self::cast::Cast;
use self::template::{Piece, cut};
use self::tree::{Hole, Tree};
use super::observation::{self, Observation};
use super::told::Told;
use super::version::versioned;
use super::{Json, leading_type};
use crate::alike::Gain;
use crate::sink::{AdapterError, Out};

/// Kinds of lines that are known at once, and the bytes that they take together.
const MOST: usize = 4096;
const MOST_BYTES: usize = 8 << 20;
/// The longest line that is learned.
const LONGEST: usize = 32 << 10;

/// What is known of the lines of one file.
pub(super) struct Quick {
    tree: Tree<Cast>,
    holes: Vec<Hole>,
    seen: cast::Seen,
    gain: Gain,
    off: bool,
}

impl Quick {
    pub(super) fn new() -> Quick {
        Quick { tree: Tree::new(), holes: Vec::new(), seen: cast::Seen::default(), gain: Gain::default(), off: false }
    }

    /// Takes a line. False where it is to be read slowly; nothing has happened then.
    pub(super) fn take(&mut self, line: &[u8], told: &Told<'_>, out: &mut Out<'_>) -> Result<bool, AdapterError> {
        if self.off || self.tree.is_empty() {
            return Ok(false);
        }
        self.holes.clear();
        let Some(known) = self.tree.find(line, &mut self.holes) else { return Ok(false) };
        told.place.set(out.tally.items);
        let Some(filled) = known.fill(line, &self.holes, told, &mut self.seen) else {
            return Ok(false);
        };
        let Some(columns) = out.columns(known.table())? else {
            self.off = true;
            return Ok(false);
        };
        let rows = known.put(&filled, columns).map_err(|e| AdapterError::Sink(e.to_string()))?;
        out.tally.items += 1;
        self.gain.know();
        out.filled(known.table(), rows)?;
        Ok(true)
    }

    /// Learns from a line that the slow reader has read.
    pub(super) fn learn(&mut self, line: &[u8], told: &Told<'_>) {
        if self.off || line.len() > LONGEST || !is_plain(line) {
            return;
        }
        let Ok(text) = std::str::from_utf8(line) else { return };
        if leading_type(text) != Some("Observation") {
            return;
        }
        if self.tree.len() >= MOST || self.tree.bytes() >= MOST_BYTES {
            self.off = !self.gain.goes_on();
            self.tree = Tree::new();
        }
        self.gain.learn();
        if let Some((cast, pieces)) = observed(text, told) {
            self.tree.insert(&pieces, cast);
        }
    }
}

/// The kind of a line, by what the slow reader makes of it.
fn observed(text: &str, told: &Told<'_>) -> Option<(Cast, Vec<Piece>)> {
    let (pieces, slots) = cut(text)?;
    let json = Json { text, held: false };
    let mut resource: Observation<'_> = json.parse().ok()?;
    resource.look_up(text);
    let rows = versioned(resource.meta.as_ref(), told, observation::rows(&resource, told));
    // What had to be left out was told by the slow reader.
    let whole = told.left_out.take().is_empty();
    let rows = rows.ok().filter(|_| whole)?;
    Some((Cast::new(&resource, rows, &slots)?, pieces))
}

/// Whether texts are as they are written: without escapes and control characters, and in UTF-8.
fn is_plain(bytes: &[u8]) -> bool {
    let (mut odd, mut high) = (false, 0u8);
    for byte in bytes {
        odd |= (*byte < 0x20) | (*byte == b'\\');
        high |= *byte;
    }
    !odd && (high < 0x80 || std::str::from_utf8(bytes).is_ok())
}
