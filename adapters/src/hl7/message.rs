//! What a message says of itself: its kind, its time, and so its place among the others.
//!
//! **Order.** The latest revision of a record wins, so a revision is the message's time, in seconds, and not the
//! order of arrival: a feed that comes shuffled or twice gives what it gives in order. MSH-7 is the time, else EVN-2;
//! a message without either comes before all others.
//!
//! Times of an hour that the clock shows twice are one place: nothing tells which is the later. Within one second a sender's own
//! sequence decides, where it has one.
//!
//! **Mentions.** An ADT message is a snapshot of the patient and the visit. Results and orders mention both, with
//! fewer fields, so a mention has a revision below all snapshots: it counts where no ADT message says anything.

use schema::{Cell, Key, Record, Table};

use super::identity::{Authorities, Number, Plain};
use super::segment::{No, Segment};
use super::{patient, visit};
use crate::envelope::Envelope;
use crate::sink::Reason;
use crate::time::{Precision, When};

/// 1990-01-01, from which revisions count seconds for 68 years.
const EPOCH: i64 = 631_152_000;
/// Revisions of snapshots begin here; those of mentions lie below.
const SNAPSHOT: i64 = 1 << 31;
/// How far a sender's clock may be ahead, in microseconds.
const AHEAD: i64 = 86_400_000_000;

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Admissions, discharges, transfers, and the patient's data.
    Adt,
    /// Results.
    Oru,
    /// Orders of drugs as the physician wrote them (ORM, OMP).
    Order,
    /// Orders of drugs as the pharmacy encoded them.
    Rde,
    /// Drugs handed out.
    Rds,
    /// Drugs given.
    Ras,
    /// Vaccinations.
    Vxu,
    /// Documents, of which only the patient and the visit are read.
    Mdm,
    /// Charges and accounts, of which diagnoses and procedures are read.
    Dft,
}

impl Kind {
    /// What observations are called that have no place in messages of the kind.
    pub(crate) fn observations(self) -> &'static str {
        match self {
            Kind::Adt => "OBX of ADT",
            Kind::Oru => "OBX of ORU",
            Kind::Order => "OBX of ORM",
            Kind::Rde => "OBX of RDE",
            Kind::Rds => "OBX of RDS",
            Kind::Ras => "OBX of RAS",
            Kind::Vxu => "OBX of VXU",
            Kind::Mdm => "OBX of MDM",
            Kind::Dft => "OBX of DFT",
        }
    }
}

/// A message's own words about itself.
pub(crate) struct Header {
    /// What it is about.
    pub(crate) kind: Kind,
    /// The trigger event, such as A01.
    pub(crate) trigger: [u8; 3],
    /// When it was sent.
    pub(crate) sent: Option<When>,
    /// When the event was (EVN-6, else EVN-2).
    pub(crate) event: Option<When>,
    seconds: i64,
    /// Which of the sender's messages of one second it is, where it says so.
    pub(crate) seq: Option<i64>,
}

impl Header {
    /// Reads MSH and EVN. `None` for a message that has no place in the schema.
    pub(crate) fn read(
        msh: &Segment<'_, 19>,
        evn: Option<&Segment<'_, 8>>,
        env: &Envelope<'_>,
    ) -> Result<Option<Header>, No> {
        let field = msh.field(9);
        let code = field.component(1).bytes();
        let split = code.iter().position(|b| *b == b'_');
        let (code, inner) = match split {
            Some(at) => (code.get(..at).unwrap_or_default(), code.get(at + 1..).unwrap_or_default()),
            None => (code, [].as_slice()),
        };
        if code.is_empty() {
            return Err(msh.bad(9, Reason::Incomplete, "the type of the message is missing; have the sender set it"));
        }
        let mut trigger = field.component(2).bytes();
        if trigger.is_empty() {
            trigger =
                if inner.is_empty() { evn.map_or([].as_slice(), |e| e.field(1).component(1).bytes()) } else { inner };
        }
        let kind = match code {
            b"ADT" => Kind::Adt,
            b"ORU" | b"OUL" => Kind::Oru,
            b"ORM" | b"OMP" => Kind::Order,
            b"RDE" => Kind::Rde,
            b"RDS" => Kind::Rds,
            b"RAS" => Kind::Ras,
            b"VXU" => Kind::Vxu,
            b"MDM" => Kind::Mdm,
            b"DFT" | b"BAR" => Kind::Dft,
            _ => return Ok(None),
        };
        let sent = msh.time(7, env)?;
        // A time of EVN that can't be read is told where EVN is read; it costs no message.
        let lenient = |n| evn.and_then(|evn| evn.time(n, env).ok().flatten());
        let (recorded, occurred) = (lenient(2), lenient(6));
        let micros = sent.as_ref().or(recorded.as_ref()).map(|when| when.place(env.zone()));
        if micros.is_some_and(|m| m > env.ingested().saturating_add(AHEAD)) {
            let remedy =
                "the message is of more than a day from now, and would outlive every later one; set the sender's clock";
            return Err(msh.bad(7, Reason::BadDate, remedy));
        }
        let seconds = micros.map_or(0, |m| m.div_euclid(1_000_000).saturating_sub(EPOCH).clamp(1, SNAPSHOT - 1));
        let trigger = <[u8; 3]>::try_from(trigger).unwrap_or_default();
        let event = occurred.or(recorded);
        let seq = sequence(msh, sent.as_ref());
        Ok(Some(Header { kind, trigger, sent, event, seconds, seq }))
    }

    /// The revision of its rows.
    pub(crate) fn revision(&self, snapshot: bool) -> i64 {
        self.seconds + if snapshot { SNAPSHOT } else { 0 }
    }

    /// Whether it makes two numbers one, or gives one to somebody else, and so needs MRG.
    pub(crate) fn merges(&self) -> bool {
        let patients = self.is(patient::MERGES) && !self.is(patient::OF_OTHERS);
        patients || self.is(visit::MERGES) || self.is(visit::GIVEN)
    }

    /// Whether it is an ADT snapshot of a visit.
    pub(crate) fn is(&self, triggers: &[&[u8; 3]]) -> bool {
        self.kind == Kind::Adt && triggers.contains(&&self.trigger)
    }
}

/// Which of the messages of one second it is: MSH-13, else the fraction of the second, else MSH-10 where it is a counter: digits, behind
/// letters at most.
fn sequence(msh: &Segment<'_, 19>, sent: Option<&When>) -> Option<i64> {
    let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.parse::<i64>().ok().filter(|n| *n >= 0);
    let fraction = sent.filter(|when| when.precision >= Precision::Milli).and_then(|when| match when.instant_cell() {
        Cell::Instant(micros) => Some(micros.rem_euclid(1_000_000)),
        _ => None,
    });
    let counter = || {
        let id = msh.field(10).bytes();
        let letters = id.iter().take_while(|b| b.is_ascii_alphabetic()).count();
        number(id.get(letters..)?)
    };
    number(msh.field(13).bytes()).or(fraction).or_else(counter)
}

/// What makes the rows of one message.
pub(crate) struct Told<'e> {
    /// What rows begin with.
    pub(crate) env: &'e Envelope<'e>,
    /// Whose numbers are the patients' and the visits'.
    pub(crate) authorities: &'e Authorities,
    /// The bare numbers that the file told of.
    pub(crate) plain: &'e Plain,
    /// The message's header.
    pub(crate) header: Header,
}

impl Told<'_> {
    /// A whole row of the message.
    pub(crate) fn row(&self, table: Table, person: Key, record: Key) -> Record {
        self.at(self.env.row(table, person, record), true)
    }

    /// A row that says what the message says, and leaves the rest to the messages before it: of a snapshot in an ADT message, of a
    /// mention in any other.
    pub(crate) fn says(&self, table: Table, person: Key, record: Key) -> Record {
        self.at(self.env.row(table, person, record).patch(), self.header.kind == Kind::Adt)
    }

    /// The same where every message counts alike: a diagnosis is told by charges as well.
    pub(crate) fn at_once(&self, table: Table, person: Key, record: Key) -> Record {
        self.at(self.env.row(table, person, record).patch(), true)
    }

    /// A row that takes back what was said of a record.
    pub(crate) fn retracts(&self, table: Table, person: Key, record: Key) -> Record {
        self.row(table, person, record).with("op", "retract").with("status", "error")
    }

    /// A row that only names what another message tells.
    pub(crate) fn names(&self, table: Table, person: Key, record: Key) -> Record {
        self.at(self.env.row(table, person, record).patch(), false)
    }

    /// Says of a number with an authority that it is the one that a bare number may mean, and of a bare one that it is used: a retraction
    /// of a record of the bare number's own, which no other row names, and which is never in gold. Told once of each in a file.
    pub(crate) fn stands_for(&self, table: Table, person: Key, number: &Number) -> Option<Record> {
        let plain = number.plain.as_deref().filter(|_| self.plain.is_new(table, number))?;
        let (whole, bare) = match table {
            Table::Visit => (self.env.visit(&number.id), self.env.visit(plain)),
            _ => (person, self.env.person(plain)),
        };
        let row = self.names(table, person, bare).with("op", "retract").with("status", "preliminary");
        Some(if table == Table::Visit { row.with("visit_key", whole) } else { row })
    }

    fn at(&self, mut row: Record, snapshot: bool) -> Record {
        row.set("rev", self.header.revision(snapshot));
        row.set_sequence(self.header.seq);
        if let Some(sent) = &self.header.sent {
            row.set("t_known", sent.instant_cell());
        }
        row
    }
}
