//! Text files of an extract: UTF-8 or windows-1252, plain or gzip.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::GenerateError;

/// The largest stored block of deflate.
const BLOCK: usize = 65_535;

/// One text file being written.
pub(super) struct TextFile {
    path: PathBuf,
    out: BufWriter<File>,
    latin: bool,
    gzip: Option<Gzip>,
}

/// A gzip stream of stored blocks: valid for every reader, and not smaller. It needs no compressor.
struct Gzip {
    waiting: Vec<u8>,
    crc: u32,
    length: u32,
}

impl TextFile {
    /// Creates a file; `latin` writes windows-1252, `gzip` a gzip stream.
    pub(super) fn create(path: &Path, latin: bool, gzip: bool) -> Result<TextFile, GenerateError> {
        let file = File::create(path).map_err(|e| GenerateError::io(path, e))?;
        let mut out = BufWriter::with_capacity(64 * 1024, file);
        let gzip = gzip.then(|| Gzip { waiting: Vec::with_capacity(BLOCK), crc: !0, length: 0 });
        if gzip.is_some() {
            let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
            out.write_all(&head).map_err(|e| GenerateError::io(path, e))?;
        }
        Ok(TextFile { path: path.to_owned(), out, latin, gzip })
    }

    /// Writes a line and its end.
    pub(super) fn line(&mut self, text: &str) -> Result<(), GenerateError> {
        if self.latin {
            // Latin-1 is windows-1252 there; nothing else is written.
            let bytes: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect();
            self.bytes(&bytes)?;
        } else {
            self.bytes(text.as_bytes())?;
        }
        self.bytes(b"\n")
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), GenerateError> {
        let written = match &mut self.gzip {
            Some(gzip) => gzip.take(bytes, &mut self.out),
            None => self.out.write_all(bytes),
        };
        written.map_err(|e| GenerateError::io(&self.path, e))
    }

    /// Ends the file.
    pub(super) fn finish(mut self) -> Result<(), GenerateError> {
        let ended = match &mut self.gzip {
            Some(gzip) => gzip.end(&mut self.out),
            None => Ok(()),
        };
        ended.and_then(|()| self.out.flush()).map_err(|e| GenerateError::io(&self.path, e))
    }
}

impl Gzip {
    fn take(&mut self, bytes: &[u8], out: &mut impl Write) -> std::io::Result<()> {
        for byte in bytes {
            let slot = usize::from((self.crc as u8) ^ byte);
            self.crc = (self.crc >> 8) ^ CRC.get(slot).copied().unwrap_or(0);
            self.length = self.length.wrapping_add(1);
            self.waiting.push(*byte);
            if self.waiting.len() == BLOCK {
                self.block(out, false)?;
            }
        }
        Ok(())
    }

    fn block(&mut self, out: &mut impl Write, last: bool) -> std::io::Result<()> {
        let length = u16::try_from(self.waiting.len()).unwrap_or(u16::MAX);
        out.write_all(&[u8::from(last)])?;
        out.write_all(&length.to_le_bytes())?;
        out.write_all(&(!length).to_le_bytes())?;
        out.write_all(&self.waiting)?;
        self.waiting.clear();
        Ok(())
    }

    fn end(&mut self, out: &mut impl Write) -> std::io::Result<()> {
        self.block(out, true)?;
        out.write_all(&(!self.crc).to_le_bytes())?;
        out.write_all(&self.length.to_le_bytes())
    }
}

/// The table of CRC-32.
const CRC: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut i = 0;
    while i < 256 {
        let mut c = i as u32;
        let mut bit = 0;
        while bit < 8 {
            c = if c & 1 == 1 { 0xedb8_8320 ^ (c >> 1) } else { c >> 1 };
            bit += 1;
        }
        table[i] = c;
        i += 1;
    }
    table
};
