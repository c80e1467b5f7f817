//! The resources of a file, one after the other, for whoever asks what is in it.

use std::io::{self, BufRead};

use serde_json::Value;

use super::stream::{Piece, Pieces};
use super::written;
use crate::lines::{Line, Lines};

/// What comes next.
pub(crate) enum Part {
    /// A resource, or what stands where one belongs.
    Resource(Value),
    /// What can't be read.
    Bad,
    /// The end.
    End,
}

enum From<'a> {
    Lines(Lines<Box<dyn BufRead + 'a>>),
    Pieces(Pieces<Box<dyn BufRead + 'a>>),
}

/// The resources of a file: one a line, or the entries of a Bundle, the elements of a list, or one.
pub(crate) struct Parts<'a>(From<'a>);

impl<'a> Parts<'a> {
    /// Of a file of lines.
    pub(crate) fn of_lines(reader: Box<dyn BufRead + 'a>) -> Parts<'a> {
        Parts(From::Lines(Lines::new(reader)))
    }

    /// Of JSON of any form.
    pub(crate) fn of_pieces(reader: Box<dyn BufRead + 'a>) -> Parts<'a> {
        Parts(From::Pieces(Pieces::new(reader)))
    }

    /// The bytes read so far.
    pub(crate) fn read_bytes(&self) -> u64 {
        match &self.0 {
            From::Lines(lines) => lines.read_bytes(),
            From::Pieces(pieces) => pieces.read_bytes(),
        }
    }

    /// Goes to the next one.
    ///
    /// # Errors
    /// The disk's own.
    pub(crate) fn advance(&mut self) -> io::Result<Part> {
        let parsed = |bytes: &[u8]| serde_json::from_slice(bytes).map_or(Part::Bad, Part::Resource);
        match &mut self.0 {
            From::Lines(lines) => loop {
                return Ok(match lines.advance()? {
                    Line::End => Part::End,
                    Line::Here if lines.bytes().iter().all(u8::is_ascii_whitespace) => continue,
                    Line::Here => parsed(lines.bytes()),
                    Line::TooLong | Line::Truncated => Part::Bad,
                });
            },
            From::Pieces(pieces) => Ok(match pieces.advance()? {
                Piece::End => Part::End,
                Piece::Fault(..) => Part::Bad,
                Piece::Whole => parsed(pieces.bytes()),
                // An entry of a Bundle holds its resource; an element of a list is one.
                Piece::Entry(_) => {
                    let text = std::str::from_utf8(pieces.bytes()).unwrap_or_default();
                    match written::member(text, "resource") {
                        Some(resource) => parsed(resource.as_bytes()),
                        None => parsed(pieces.bytes()),
                    }
                }
            }),
        }
    }
}
