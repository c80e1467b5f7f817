//! What a listener must know of a message to answer it, and the answer: HL7's acknowledgements in original and enhanced mode.
//!
//! | verdict | original | accept (MSH-15) | application (MSH-16) |
//! |---|---|---|---|
//! | taken | AA | CA | AA |
//! | the content is at fault, or could not be stored | AE | CE | AE |
//! | the structure is at fault, or the type has no place here | AR | CR | AR |
//!
//! A message asks for enhanced mode by MSH-15 or MSH-16, where one of them is of table 0155, in letters of either case; any other text says
//! nothing. There an empty one of the two is `NE`. An answer repeats the sender's
//! separators, version, processing id, character set and control id byte for byte, and holds nothing else of the message.

use super::framing::{Bounds, Frame, Frames};
use super::scan::{Fields, Separators};
use crate::sink::{Adapter, AdapterError, Context, Extract, Quarantined, Reason, Sink};

/// What is at fault, by HL7's table 0357, and in words that hold nothing of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The code of table 0357.
    pub code: u16,
    /// The same in words.
    pub text: &'static str,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is taken, if need be without a part that is at fault.
    Taken,
    /// Nothing of its content can be taken, or it could not be stored.
    Error(Fault),
    /// Its structure or its type is not one that is taken.
    Reject(Fault),
}

impl Verdict {
    /// The letter behind A or C in MSA-1.
    fn letter(self) -> u8 {
        match self {
            Verdict::Taken => b'A',
            Verdict::Error(_) => b'E',
            Verdict::Reject(_) => b'R',
        }
    }

    /// Whether the message is kept: what is at fault goes to quarantine. What has no place here is not this hospital's to keep, and what
    /// no answer can name comes again.
    pub fn is_kept(self) -> bool {
        !self.fault().is_some_and(|fault| [NO_PLACE, TRAINING, NO_ID, BROKEN].contains(&fault))
    }

    /// What is at fault.
    pub fn fault(self) -> Option<Fault> {
        match self {
            Verdict::Taken => None,
            Verdict::Error(fault) | Verdict::Reject(fault) => Some(fault),
        }
    }
}

/// The message could not be stored; the sender is to send it again.
pub const NOT_STORED: Fault = Fault { code: 207, text: "not stored; send it again" };
/// Bytes outside any frame.
pub const UNFRAMED: Fault = Fault { code: 100, text: "bytes outside an MLLP frame" };
/// A frame over the limit.
pub const TOO_LONG: Fault = Fault { code: 102, text: "the message is over the limit of this receiver" };
/// A frame that another one began in: the sender broke off, and sends the message again.
pub const BROKEN: Fault = Fault { code: 100, text: "the frame is not finished; send the message again" };
/// A message without a control id: no answer could name it.
pub const NO_ID: Fault = Fault { code: 101, text: "MSH-10 is empty" };
/// A message of training or debugging.
pub const TRAINING: Fault = Fault { code: 202, text: "messages of training and debugging are not taken here" };
/// Nothing that begins with a readable MSH.
const NO_HEADER: Fault = Fault { code: 100, text: "no readable MSH" };
/// A type that has no place in the schema.
pub const NO_PLACE: Fault = Fault { code: 200, text: "messages of this type are not taken here" };

/// The messages of a frame that is a batch (FHS, BHS), or that holds several: each is answered by itself, as one in a frame of its own
/// is. None where the frame is one message, or nothing that is one.
pub fn each_of(frame: &[u8]) -> Option<Vec<Vec<u8>>> {
    let more = |start: &[u8; 4]| memchr::memmem::find(frame, start).is_some();
    let head = frame.trim_ascii_start();
    let batch = head.starts_with(b"FHS") || head.starts_with(b"BHS");
    if !batch && !more(b"\rMSH") && !more(b"\nMSH") {
        return None;
    }
    let (mut frames, mut out) = (Frames::new(frame, Bounds::default()), Vec::new());
    loop {
        match frames.advance() {
            Ok(Frame::Message) => {
                let (bytes, spans) = frames.message();
                let segments = spans.iter().filter_map(|s| bytes.get(s.start..s.end));
                out.push(segments.flat_map(|s| s.iter().copied().chain([b'\r'])).collect());
            }
            Ok(Frame::Stray | Frame::Over(_)) => out.push(Vec::new()),
            Ok(Frame::End | Frame::Truncated) | Err(_) => break,
        }
    }
    (out.len() > 1 || (batch && !out.is_empty())).then_some(out)
}

/// Counts what an adapter makes of one message.
#[derive(Default)]
struct Count {
    records: u64,
    first: Option<Reason>,
    training: bool,
}

impl Sink for Count {
    fn record(&mut self, _: schema::Record) -> Result<(), AdapterError> {
        self.records += 1;
        Ok(())
    }
    fn quarantine(&mut self, item: Quarantined) -> Result<(), AdapterError> {
        self.first.get_or_insert(item.reason);
        Ok(())
    }
    fn skipped(&mut self, kind: &str) {
        self.training |= kind.starts_with(super::PROCESSING);
    }
}

/// What an HL7 adapter would make of a message: the same that it makes of it later, with nothing stored.
pub fn examine(adapter: &dyn Adapter, ctx: &Context, message: &[u8]) -> Verdict {
    match Asked::of(message) {
        None => return Verdict::Reject(NO_HEADER),
        Some(asked) if matches!(asked.field(10), b"" | b"\"\"") => return Verdict::Reject(NO_ID),
        Some(_) => {}
    }
    let mut count = Count::default();
    let read = adapter.read(ctx, Extract { name: "message", reader: Box::new(message) }, &mut count);
    let reject = |code, text| Verdict::Reject(Fault { code, text });
    let error = |code, text| Verdict::Error(Fault { code, text });
    match (read, count) {
        (Err(_), _) => Verdict::Error(NOT_STORED),
        (Ok(_), Count { records: 1.., .. }) => Verdict::Taken,
        (Ok(_), Count { first: Some(reason), .. }) => match reason {
            Reason::NotHl7 => reject(100, "the segments of the message are not in order"),
            Reason::Incomplete => reject(101, "a field that is required is empty"),
            Reason::MessageTooLong => Verdict::Reject(TOO_LONG),
            Reason::MissingPatient | Reason::MissingId | Reason::MissingCode => {
                error(101, "an identifier or a code that is required is empty")
            }
            Reason::UnknownLevel | Reason::UnknownCharset => error(103, "a value is in no table that is known here"),
            _ => error(102, "a value does not fit its type"),
        },
        (Ok(_), Count { training: true, .. }) => Verdict::Reject(TRAINING),
        (Ok(read), _) if read.skipped > 0 => Verdict::Reject(NO_PLACE),
        (Ok(_), _) => reject(100, "the message holds nothing"),
    }
}

/// On what a sender wants an answer (HL7's table 0155).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    Always,
    Never,
    OnError,
    OnSuccess,
}

impl Wants {
    /// None for a text that the table does not have.
    fn of(field: &[u8]) -> Option<Wants> {
        match field.trim_ascii().to_ascii_uppercase().as_slice() {
            b"AL" => Some(Wants::Always),
            b"NE" => Some(Wants::Never),
            b"ER" => Some(Wants::OnError),
            b"SU" => Some(Wants::OnSuccess),
            _ => None,
        }
    }

    fn this(self, verdict: Verdict) -> bool {
        match self {
            Wants::Always => true,
            Wants::Never => false,
            Wants::OnError => verdict != Verdict::Taken,
            Wants::OnSuccess => verdict == Verdict::Taken,
        }
    }
}

/// The header of a message, as far as an answer needs it.
pub struct Asked {
    seps: Separators,
    /// MSH-1 to MSH-18, as they were sent.
    fields: Vec<Vec<u8>>,
}

impl Asked {
    /// Reads the header. `None` where the message does not begin with an MSH whose separators are told apart.
    pub fn of(message: &[u8]) -> Option<Asked> {
        let mut head = message;
        while let [0xef, 0xbb, 0xbf, rest @ ..] | [b'\r' | b'\n', rest @ ..] = head {
            head = rest;
        }
        let end = memchr::memchr2(b'\r', b'\n', head).unwrap_or(head.len());
        let head = head.get(..end)?;
        let seps = Separators::of(head)?;
        let fields = Fields::<19>::of(head, seps);
        let fields = (0..19).map(|n| fields.get(n).bytes().to_vec()).collect();
        Some(Asked { seps, fields })
    }

    fn field(&self, n: usize) -> &[u8] {
        self.fields.get(n).map(Vec::as_slice).unwrap_or_default()
    }

    fn component(&self, field: usize, n: usize) -> &[u8] {
        self.field(field).split(|b| *b == self.seps.component).nth(n - 1).unwrap_or_default()
    }

    /// Whether it is an acknowledgement itself, which is never answered.
    pub fn is_answer(&self) -> bool {
        matches!(self.component(9, 1), b"ACK" | b"MCF")
    }

    /// The answers that the sender wants, in order: one in original mode; in enhanced mode the accept acknowledgement, then the
    /// application's. `time` is MSH-7 and `id` the answer's own MSH-10, both in letters and digits.
    pub fn answers(&self, verdict: Verdict, time: &str, id: &str) -> Vec<Vec<u8>> {
        let (accept, application) = (Wants::of(self.field(15)), Wants::of(self.field(16)));
        if accept.is_none() && application.is_none() {
            return vec![self.answer(b'A', verdict, time, id)];
        }
        let modes = [(b'C', accept, "C"), (b'A', application, "A")];
        let wanted = modes.into_iter().filter(|(_, wants, _)| wants.unwrap_or(Wants::Never).this(verdict));
        wanted.map(|(mode, _, mark)| self.answer(mode, verdict, time, &format!("{id}{mark}"))).collect()
    }

    fn answer(&self, mode: u8, verdict: Verdict, time: &str, id: &str) -> Vec<u8> {
        let version = self.component(12, 1);
        let old = [b"2.1".as_slice(), b"2.2", b""].contains(&version);
        let mut kind = b"ACK".to_vec();
        if !old {
            let trigger = self.component(9, 2);
            for part in [trigger, b"ACK"].into_iter().filter(|_| !trigger.is_empty()) {
                kind.push(self.seps.component);
                kind.extend_from_slice(part);
            }
        }
        // The sender's own bytes, so that they come back in its own character set.
        let own = [5, 6, 3, 4].map(|n| self.field(n));
        let mut fields: Vec<&[u8]> = vec![self.field(2)];
        fields.extend(own);
        fields.extend([time.as_bytes(), b"", &kind, id.as_bytes(), self.field(11), version]);
        let charset = self.field(18);
        if !charset.is_empty() {
            fields.extend([b"".as_slice(); 5]);
            fields.push(charset);
        }
        let mut out = self.segment(b"MSH", &fields);
        let fault = verdict.fault();
        let text = fault.map_or("", |f| f.text);
        let code = [mode, verdict.letter()];
        let mut msa: Vec<&[u8]> = vec![&code, self.field(10)];
        if !text.is_empty() {
            msa.push(text.as_bytes());
        }
        out.extend(self.segment(b"MSA", &msa));
        if let (Some(fault), b"2.5" | b"2.5.1" | b"2.6" | b"2.7" | b"2.7.1" | b"2.8" | b"2.8.1" | b"2.8.2" | b"2.9") =
            (fault, version)
        {
            let mut coded = fault.code.to_string().into_bytes();
            for part in [fault.text.as_bytes(), b"HL70357"] {
                coded.push(self.seps.component);
                coded.extend_from_slice(part);
            }
            out.extend(self.segment(b"ERR", &[b"", b"", &coded, b"E"]));
        }
        out
    }

    /// A segment out of its fields. MSH-1 is the separator behind the name.
    fn segment(&self, name: &[u8], fields: &[&[u8]]) -> Vec<u8> {
        let mut out = name.to_vec();
        for field in fields {
            out.push(self.seps.field);
            out.extend_from_slice(field);
        }
        out.push(b'\r');
        out
    }
}

/// The answer to what has no readable header: the usual separators, and no control id.
pub fn nak(fault: Fault, time: &str, id: &str) -> Vec<u8> {
    let text = fault.text;
    format!("MSH|^~\\&|||||{time}||ACK|{id}|P|2.5\rMSA|AR||{text}\rERR|||{}^{text}^HL70357|E\r", fault.code)
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    fn answers(message: &str, verdict: Verdict) -> Vec<String> {
        Asked::of(message.as_bytes()).unwrap().answers(verdict, "20240301", "7").iter().map(|a| text(a)).collect()
    }

    const FAULT: Fault = Fault { code: 102, text: "x" };

    #[test]
    fn original_mode_in_the_senders_own_words() {
        let asked = "MSH|^~\\&|LAB|H|EHR|X|20240301||ORU^R01^ORU_R01|C\\T\\1|T|2.5.1||||||8859/1\rPID|1";
        assert_eq!(
            answers(asked, Verdict::Taken),
            ["MSH|^~\\&|EHR|X|LAB|H|20240301||ACK^R01^ACK|7|T|2.5.1||||||8859/1\rMSA|AA|C\\T\\1\r"]
        );
        assert_eq!(
            answers("MSH#@~\\&#LAB#H#EHR#X###ORU@R01#9#P#2.3\r", Verdict::Error(FAULT)),
            ["MSH#@~\\&#EHR#X#LAB#H#20240301##ACK@R01@ACK#7#P#2.3\rMSA#AE#9#x\r"]
        );
        assert_eq!(
            answers("MSH|^~\\&|L||E||||ADT|9|P|2.2", Verdict::Reject(FAULT)),
            ["MSH|^~\\&|E||L||20240301||ACK|7|P|2.2\rMSA|AR|9|x\r"]
        );
        let told = answers("MSH|^~\\&|L||E||||ADT^A01|9|P|2.5", Verdict::Reject(FAULT));
        assert!(told[0].ends_with("MSA|AR|9|x\rERR|||102^x^HL70357|E\r"), "{told:?}");
    }

    #[test]
    fn enhanced_mode_answers_what_was_asked_for() {
        let codes = |accept: &str, application: &str, verdict| -> Vec<String> {
            let asked = format!("MSH|^~\\&|L||E||||ADT^A01|9|P|2.4|||{accept}|{application}");
            answers(&asked, verdict).iter().map(|a| a.split("MSA|").nth(1).unwrap()[..2].to_owned()).collect()
        };
        let (taken, error) = (Verdict::Taken, Verdict::Error(FAULT));
        assert_eq!(codes("AL", "AL", taken), ["CA", "AA"]);
        assert_eq!(codes("AL", "", taken), ["CA"]);
        assert_eq!(codes("NE", "AL", Verdict::Reject(FAULT)), ["AR"]);
        assert_eq!(codes("ER", "SU", taken), ["AA"]);
        assert_eq!(codes("ER", "SU", error), ["CE"]);
        assert_eq!(codes("NE", "NE", error), Vec::<String>::new());
        assert_eq!(codes("\"\"", "", taken), ["AA"]);
        // Letters of either case; a word that the table does not have asks for nothing.
        assert_eq!(codes("al", "er", taken), ["CA"]);
        assert_eq!(codes("YES", "", taken), ["AA"]);
        assert_eq!(codes("YES", "Al", error), ["AE"]);
    }

    #[test]
    fn a_batch_in_a_frame_is_its_messages() {
        let message = |id: &str| format!("MSH|^~\\&|L||E||||ADT^A01|{id}|P|2.4\rPID|1||7\r");
        let batch = format!("FHS|^~\\&|L\rBHS|^~\\&|L\r{}{}BTS|2\rFTS|1\r", message("1"), message("2"));
        let told: Vec<String> = each_of(batch.as_bytes()).unwrap().iter().map(|m| text(m)).collect();
        assert_eq!(told, [message("1"), message("2")]);
        assert_eq!(each_of(format!("{}{}", message("1"), message("2")).as_bytes()).unwrap().len(), 2);
        let one = format!("BHS|^~\\&|L\n{}BTS|1", message("1").replace('\r', "\n"));
        assert_eq!(each_of(one.as_bytes()).unwrap().len(), 1);
        assert!(each_of(message("1").as_bytes()).is_none() && each_of(b"FHS|^~\\&|L\r").is_none());
    }

    #[test]
    fn what_is_no_message_and_what_is_an_answer() {
        assert!(Asked::of(b"").is_none() && Asked::of(b"MSH").is_none() && Asked::of(b"MSH||||").is_none());
        assert!(Asked::of(b"\xef\xbb\xbfMSH|^~\\&|A\r").is_some());
        assert!(Asked::of(b"MSH|^~\\&|L||E||||ACK^A01|9|P|2.4\rMSA|AA|1").unwrap().is_answer());
        let told = text(&nak(UNFRAMED, "20240301", "7"));
        assert!(told.contains("MSA|AR||") && Asked::of(told.as_bytes()).unwrap().is_answer());
    }
}
