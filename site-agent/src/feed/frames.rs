//! MLLP's frames out of a stream of bytes: `0B` message `1C 0D`.
//!
//! White space between frames is passed over. Anything else there is told once for each stretch of it. A frame over the limit
//! is passed over, and of it only the beginning is kept, which names the message. A start block within a frame is text, since some
//! senders let a vertical tab through; but one with a header behind it begins a frame, and the one before it was broken off.

/// What of a frame over the limit is kept.
const HEAD: usize = 4096;

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A whole frame, without its blocks.
    Frame(Vec<u8>),
    /// A frame that another one began in.
    Broken(Vec<u8>),
    /// Bytes outside any frame.
    Junk,
    /// A frame over the limit: its beginning.
    Over(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Between,
    Inside,
    Over,
}

/// A stream on its way into frames.
pub(super) struct Frames {
    max: usize,
    place: Place,
    buffer: Vec<u8>,
    junk: u64,
    told: bool,
}

impl Frames {
    pub(super) fn new(max: usize) -> Frames {
        Frames { max, place: Place::Between, buffer: Vec::new(), junk: 0, told: false }
    }

    /// Bytes held of a frame that is not whole yet.
    pub(super) fn held(&self) -> usize {
        self.buffer.len()
    }

    /// Whether a frame has begun.
    pub(super) fn inside(&self) -> bool {
        self.place != Place::Between
    }

    /// Bytes outside frames so far.
    pub(super) fn junk(&self) -> u64 {
        self.junk
    }

    /// Takes bytes in, and gives what they complete.
    pub(super) fn push(&mut self, mut bytes: &[u8], out: &mut Vec<Event>) {
        while !bytes.is_empty() {
            if self.place == Place::Between {
                let at = bytes.iter().position(|b| *b == 0x0b);
                let before = bytes.get(..at.unwrap_or(bytes.len())).unwrap_or_default();
                let junk = before.iter().filter(|b| !b.is_ascii_whitespace()).count();
                self.junk += junk as u64;
                if junk > 0 && !std::mem::replace(&mut self.told, true) {
                    out.push(Event::Junk);
                }
                let Some(at) = at else { return };
                bytes = bytes.get(at + 1..).unwrap_or_default();
                self.place = Place::Inside;
                continue;
            }
            let end = bytes.iter().position(|b| *b == 0x1c);
            let text = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
            if self.place == Place::Inside {
                let room = self.max - self.buffer.len();
                self.buffer.extend_from_slice(text.get(..room).unwrap_or(text));
                if text.len() > room {
                    self.buffer.truncate(HEAD);
                    self.buffer.shrink_to(HEAD);
                    self.place = Place::Over;
                }
            }
            let Some(end) = end else { return };
            bytes = bytes.get(end + 1..).unwrap_or_default();
            let buffer = std::mem::take(&mut self.buffer);
            if self.place == Place::Over {
                out.push(Event::Over(buffer));
            } else {
                parted(buffer, out);
            }
            self.place = Place::Between;
            self.told = false;
        }
    }
}

/// The starts of a frame that no text has.
const STARTS: [&[u8]; 3] = [b"\x0bMSH", b"\x0bFHS", b"\x0bBHS"];

/// A frame, and before it those that it began in.
fn parted(frame: Vec<u8>, out: &mut Vec<Event>) {
    let next = |from: usize| {
        let rest = frame.get(from..).unwrap_or_default();
        rest.windows(4).position(|four| STARTS.contains(&four)).map(|at| from + at)
    };
    let mut from = 0;
    while let Some(at) = next(from) {
        out.push(Event::Broken(frame.get(from..at).unwrap_or_default().to_vec()));
        from = at + 1;
    }
    out.push(Event::Frame(if from == 0 { frame } else { frame.get(from..).unwrap_or_default().to_vec() }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(bytes: &[u8], step: usize, max: usize) -> (Vec<Event>, bool, u64) {
        let (mut frames, mut out) = (Frames::new(max), Vec::new());
        for part in bytes.chunks(step) {
            frames.push(part, &mut out);
            assert!(frames.held() <= max.max(HEAD));
        }
        (out, frames.inside(), frames.junk())
    }

    #[test]
    fn frames_junk_and_what_is_over_the_limit() {
        let frame = |t: &str| Event::Frame(t.as_bytes().to_vec());
        let got = all(b"\x0bab\x1c\r\n\x0bc\x0bd\x1c\r junk more \x0b\x1c\r\x0b123456\x1cx\x0by", 100, 4);
        let want =
            vec![frame("ab"), frame("c\x0bd"), Event::Junk, frame(""), Event::Over(b"1234".to_vec()), Event::Junk];
        assert_eq!(got, (want, true, 9));
    }

    #[test]
    fn a_frame_that_begins_in_another_is_one_and_the_other_is_broken() {
        let got = all(b"\x0bMSH|1\rPID|\x0bMSH|2\x0bx\r\x1c\r", 3, 100);
        let want = vec![Event::Broken(b"MSH|1\rPID|".to_vec()), Event::Frame(b"MSH|2\x0bx\r".to_vec())];
        assert_eq!(got, (want, false, 0));
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_give_the_same(bytes in proptest::collection::vec(prop_oneof![Just(0x0bu8), Just(0x1c), Just(b'\r'), any::<u8>()], 0..300), step in 1usize..50) {
            prop_assert_eq!(all(&bytes, step, 20), all(&bytes, 1000, 20));
        }
    }
}
