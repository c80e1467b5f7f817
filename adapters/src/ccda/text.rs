//! The document's bytes as UTF-8: by their declaration, bounded in each piece, with lines counted.

use std::io::{self, BufRead, Cursor, Read};

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::Fault;
use crate::lines::broken;
use crate::sink::Reason;

/// The most bytes of one tag, comment or CDATA section. Text that is not kept has no bound: it is passed over.
pub(super) const MAX_PIECE: usize = 8 * 1024 * 1024;
const HEAD: u64 = 512;
const CHUNK: usize = 64 * 1024;

/// A reader of a document's text.
pub(super) struct Text<'a> {
    inner: io::Chain<Cursor<Vec<u8>>, Box<dyn BufRead + 'a>>,
    decoder: Decoder,
    ready: Vec<u8>,
    at: usize,
    done: bool,
    lines: u64,
    read: u64,
    piece: usize,
    /// What stops the reading once what came before it is used up.
    late: Option<Fault>,
    fault: Option<Fault>,
}

impl<'a> Text<'a> {
    /// Opens a document and finds its encoding: a byte order mark, else the shape of the first characters, else the
    /// declaration, else UTF-8.
    pub(super) fn new(mut reader: Box<dyn BufRead + 'a>) -> Result<Text<'a>, Fault> {
        let mut head = Vec::new();
        let mut cut = false;
        match reader.by_ref().take(HEAD).read_to_end(&mut head) {
            Ok(_) => {}
            Err(e) if broken(&e) => cut = true,
            Err(e) => return Err(Fault::Io(e)),
        };
        let (encoding, mark) = encoding(&head)?;
        let mut start = Cursor::new(head);
        start.set_position(mark as u64);
        let rest: Box<dyn BufRead + 'a> = if cut { Box::new(Broken) } else { reader };
        Ok(Text {
            inner: start.chain(rest),
            decoder: encoding.new_decoder_without_bom_handling(),
            ready: Vec::new(),
            at: 0,
            done: false,
            lines: 0,
            read: 0,
            piece: 0,
            late: None,
            fault: None,
        })
    }

    /// The line that is being read, from 1.
    pub(super) fn line(&self) -> u64 {
        self.lines + 1
    }

    /// The bytes taken so far.
    pub(super) fn read_bytes(&self) -> u64 {
        self.read
    }

    /// A new piece begins here.
    pub(super) fn mark(&mut self) {
        self.piece = 0;
    }

    /// What stopped the reading.
    pub(super) fn fault(&mut self) -> Option<Fault> {
        self.fault.take()
    }

    /// Passes over text up to the next `<`, however much there is of it.
    pub(super) fn pass_text(&mut self) -> io::Result<()> {
        loop {
            self.piece = 0;
            let buffer = self.fill_buf()?;
            if buffer.is_empty() {
                return Ok(());
            }
            if let Some(at) = memchr::memchr(b'<', buffer) {
                self.consume(at);
                return Ok(());
            }
            let all = buffer.len();
            self.consume(all);
        }
    }

    fn stop(&mut self, fault: Fault) -> io::Error {
        self.fault = Some(fault);
        io::Error::other("stopped")
    }

    fn decode(&mut self) -> io::Result<()> {
        while self.at >= self.ready.len() && !self.done {
            if let Some(fault) = self.late.take() {
                return Err(self.stop(fault));
            }
            let input = match self.inner.fill_buf() {
                Ok(input) => input,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) if broken(&e) => return Err(self.stop(truncated())),
                Err(e) => return Err(self.stop(Fault::Io(e))),
            };
            let last = input.is_empty();
            self.ready.resize(CHUNK, 0);
            let (result, read, written) = self.decoder.decode_to_utf8_without_replacement(input, &mut self.ready, last);
            self.inner.consume(read);
            self.read += read as u64;
            self.ready.truncate(written);
            self.at = 0;
            if let Some(at) = memchr::memchr(0, &self.ready) {
                self.ready.truncate(at);
                let detail = "NUL bytes; is this an XML file in the encoding that it declares?";
                self.late = Some(Fault::bad(Reason::NotText, detail));
            } else if let DecoderResult::Malformed(..) = result {
                let detail = "bytes that are not text in the encoding that the document declares; export it again";
                self.late = Some(Fault::bad(Reason::NotUtf8, detail));
            }
            self.done = last && result == DecoderResult::InputEmpty;
        }
        Ok(())
    }
}

/// A stream that broke off while its first bytes were read.
struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

impl BufRead for Broken {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
    fn consume(&mut self, _: usize) {}
}

impl Read for Text<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(out)?;
        self.consume(n);
        Ok(n)
    }
}

impl BufRead for Text<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.piece > MAX_PIECE {
            let detail = "a tag, a comment or a CDATA section of over 8 MiB; export without embedded documents";
            return Err(self.stop(Fault::bad(Reason::TooLarge, detail)));
        }
        self.decode()?;
        Ok(self.ready.get(self.at..).unwrap_or_default())
    }

    fn consume(&mut self, n: usize) {
        let end = self.at.saturating_add(n).min(self.ready.len());
        let taken = self.ready.get(self.at..end).unwrap_or_default();
        self.lines += memchr::memchr_iter(b'\n', taken).count() as u64;
        self.piece = self.piece.saturating_add(taken.len());
        self.at = end;
    }
}

/// The stream ends before the document does.
pub(super) fn truncated() -> Fault {
    Fault::bad(Reason::Truncated, "the file breaks off here; copy it again and ingest it again")
}

/// The encoding, and the length of the byte order mark.
fn encoding(head: &[u8]) -> Result<(&'static Encoding, usize), Fault> {
    if let Some(found) = Encoding::for_bom(head) {
        return Ok(found);
    }
    if head.starts_with(b"<\0") {
        return Ok((UTF_16LE, 0));
    }
    if head.starts_with(b"\0<") {
        return Ok((UTF_16BE, 0));
    }
    let end = memchr::memmem::find(head, b"?>").unwrap_or(0);
    let declaration = head.get(..end).unwrap_or_default();
    let Some(at) = memchr::memmem::find(declaration, b"encoding") else { return Ok((UTF_8, 0)) };
    let rest = declaration.get(at + "encoding".len()..).unwrap_or_default();
    let label = rest.split(|b| matches!(b, b'"' | b'\'')).nth(1).unwrap_or_default();
    match Encoding::for_label(label) {
        // It was read byte by byte, so it is not what it says: a program wrote the text of a string into a file.
        Some(found) if found == UTF_16LE || found == UTF_16BE => Ok((UTF_8, 0)),
        Some(found) => Ok((found, 0)),
        None => {
            let detail = "the declared encoding is not known; export as UTF-8";
            Err(Fault::bad(Reason::NotUtf8, detail))
        }
    }
}
