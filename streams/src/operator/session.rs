//! Sessions: what follows itself within a gap. Episodes of care from single rows; eras from rows that last.

use super::timers::Timers;
use super::{Operator, OperatorError, Place, Row, Rows, Spread};
use crate::backend::StateError;
use crate::batch::Key;
use crate::keyed::{Keyed, Table, Value};
use crate::keys::SlotKey;
use crate::out::{Closed, Emission, Out, Why};
use crate::window::{TIME_RANGE, Window};
use platform::Micros;

/// How long a row lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// An instant.
    Instant,
    /// From its time to its value, both inside: for eras. A value before the time counts as the time.
    ToValue,
}

/// A stretch of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Session {
    /// The first instant of its rows.
    pub first: i64,
    /// The last instant.
    pub last: i64,
    /// How many rows.
    pub count: i64,
}

/// The open sessions of one patient and group, in order of time. Most have one, which needs no memory of its own.
#[derive(Clone, Debug, Default)]
struct Open {
    one: Option<Session>,
    more: Vec<Session>,
}

impl Open {
    fn all(&self) -> impl Iterator<Item = &Session> {
        self.one.iter().chain(&self.more)
    }

    fn is_empty(&self) -> bool {
        self.one.is_none()
    }

    fn from(mut sessions: Vec<Session>) -> Open {
        match sessions.len() {
            0 => Open::default(),
            1 => Open { one: sessions.pop(), more: Vec::new() },
            _ => Open { one: Some(sessions.remove(0)), more: sessions },
        }
    }
}

impl Value for Open {
    const KIND: &'static str = "sessions";

    fn write(&self) -> Vec<u8> {
        self.all().flat_map(|s| [s.first, s.last, s.count]).flat_map(i64::to_le_bytes).collect()
    }

    fn read(bytes: &[u8]) -> Option<Open> {
        let (numbers, rest) = bytes.as_chunks::<8>();
        let numbers: Vec<_> = numbers.iter().map(|b| i64::from_le_bytes(*b)).collect();
        let (sessions, over) = numbers.as_chunks::<3>();
        let sessions =
            sessions.iter().map(|[first, last, count]| Session { first: *first, last: *last, count: *count });
        (rest.is_empty() && over.is_empty()).then(|| Open::from(sessions.collect()))
    }
}

/// The rows of the open sessions of one patient and group: from when until when, in order.
#[derive(Clone, Debug, Default)]
struct Rest(Vec<(i64, i64)>);

impl Value for Rest {
    const KIND: &'static str = "session-rows";

    fn write(&self) -> Vec<u8> {
        self.0.iter().flat_map(|(first, last)| [*first, *last]).flat_map(i64::to_le_bytes).collect()
    }

    fn read(bytes: &[u8]) -> Option<Rest> {
        let (numbers, rest) = bytes.as_chunks::<8>();
        let numbers: Vec<_> = numbers.iter().map(|b| i64::from_le_bytes(*b)).collect();
        let (rows, over) = numbers.as_chunks::<2>();
        (rest.is_empty() && over.is_empty()).then(|| Rest(rows.iter().map(|[first, last]| (*first, *last)).collect()))
    }
}

/// Sessions by patient, or by patient and group.
pub struct Sessions {
    gap: i64,
    span: Span,
    by_group: bool,
    open: Keyed<Open>,
    /// What the open sessions are made of, where rows may be taken back.
    made_of: Option<Keyed<Rest>>,
    /// When to look at a session: each open one stands here, at or before the time it may close at the earliest.
    timers: Timers<(u32, Key)>,
    watermark: i64,
}

impl Sessions {
    /// Sessions whose rows follow each other within `gap` microseconds: exactly the gap is still within. By patient, and by
    /// group where `by_group`.
    ///
    /// # Errors
    /// The state failed.
    pub fn open(gap: i64, span: Span, by_group: bool, place: &Place) -> Result<Sessions, OperatorError> {
        let gap = gap.clamp(1, TIME_RANGE);
        let open = Keyed::open(place.table, "sessions", place.groups.clone(), place.backend.clone(), place.most)?;
        let mut timers = Timers::new(gap / 8);
        open.each(&mut |k, sessions: &Open| {
            if let Some(last) = sessions.all().map(|s| s.last).min() {
                timers.set(last + gap - 1, (k.group, k.key));
            }
            true
        })?;
        Ok(Sessions { gap, span, by_group, open, made_of: None, timers, watermark: place.watermark })
    }

    /// The same, where rows may be taken back: it keeps the rows of open sessions, which shrink and fall apart.
    ///
    /// # Errors
    /// The state failed.
    pub fn revised(mut self, place: &Place) -> Result<Sessions, OperatorError> {
        let rest = Keyed::open(place.table + 1, "rows", place.groups.clone(), place.backend.clone(), place.most)?;
        self.made_of = Some(rest);
        Ok(self)
    }

    /// The row as a session of its own.
    fn alone(&self, row: &Row) -> Session {
        let first = row.time.clamp(-TIME_RANGE, TIME_RANGE);
        let last = match self.span {
            Span::Instant => first,
            Span::ToValue => row.value.clamp(first, TIME_RANGE),
        };
        Session { first, last, count: 1 }
    }

    fn whose(&self, row: &Row) -> (u32, Key) {
        (if self.by_group { row.group } else { 0 }, row.key)
    }

    /// Notes that sessions are closed, and of a new row.
    fn keep(&mut self, (group, key): (u32, Key), closed: &[Session], new: Option<Session>) -> Result<(), StateError> {
        let Some(made_of) = &mut self.made_of else { return Ok(()) };
        made_of.update(SlotKey { window: 0, group, key }, |rest| {
            let rows = &mut rest.get_or_insert_default().0;
            for s in closed {
                rows.retain(|(first, _)| !(s.first..=s.last).contains(first));
            }
            if let Some(row) = new.map(|s| (s.first, s.last)) {
                rows.insert(rows.partition_point(|r| *r <= row), row);
            }
            rest.take_if(|rest| rest.0.is_empty());
        })
    }

    /// Takes a row out of the open session that has it, which may fall apart. `false` where no open one has it.
    fn take_back(&mut self, row: &Row) -> Result<bool, StateError> {
        let (gap, whom, alone) = (self.gap, self.whose(row), self.alone(row));
        let slot = SlotKey { window: 0, group: whom.0, key: whom.1 };
        let has = |s: &&Session| s.first <= alone.first && alone.last <= s.last && s.last + gap - 1 > row.watermark;
        let found = self.open.get(slot)?.and_then(|open| open.all().find(has).copied());
        let (Some(session), Some(made_of)) = (found, &mut self.made_of) else { return Ok(false) };
        let pieces = made_of.update(slot, |rest| {
            let rows = &mut rest.as_mut()?.0;
            let place = rows.binary_search(&(alone.first, alone.last)).ok()?;
            rows.remove(place);
            let mut pieces: Vec<Session> = Vec::new();
            for (first, last) in rows.iter().filter(|(first, _)| (session.first..=session.last).contains(first)) {
                match pieces.last_mut().filter(|s| first - s.last <= gap) {
                    Some(s) => *s = Session { last: s.last.max(*last), count: s.count + 1, ..*s },
                    None => pieces.push(Session { first: *first, last: *last, count: 1 }),
                }
            }
            rest.take_if(|rest| rest.0.is_empty());
            Some(pieces)
        })?;
        let Some(pieces) = pieces else { return Ok(false) };
        for piece in pieces.iter().filter(|p| p.last != session.last) {
            self.timers.set(piece.last + gap - 1, whom);
        }
        self.open.update(slot, |open| {
            let others = open.iter().flat_map(Open::all).copied().filter(|s| *s != session);
            let mut all: Vec<_> = others.chain(pieces).collect();
            all.sort_unstable();
            *open = (!all.is_empty()).then(|| Open::from(all));
        })?;
        Ok(true)
    }

    /// Takes a row into the session that it goes on with, or a new one.
    fn take(&mut self, row: &Row, rows: Rows<'_>, out: &mut Out) -> Result<(), StateError> {
        let (gap, watermark, (group, key)) = (self.gap, row.watermark, self.whose(row));
        let alone = self.alone(row);
        let mut new = alone;
        let over = |s: &Session| s.last + gap - 1 <= watermark;
        let (mut closed, mut late, mut timer) = ([None; 1], false, None);
        let mut more_closed = Vec::new();
        self.open.update(SlotKey { window: 0, group, key }, |open| {
            let now = open.get_or_insert_default();
            // The usual case without a list: at most one session, and this row goes on with it, or begins anew.
            if now.more.is_empty() {
                if let Some(s) = now.one.filter(|s| !over(s)) {
                    if new.first - s.last <= gap && s.first - new.last <= gap {
                        now.one = Some(Session {
                            first: s.first.min(new.first),
                            last: s.last.max(new.last),
                            count: s.count + 1,
                        });
                        return;
                    }
                } else {
                    closed[0] = now.one.take();
                    if over(&new) {
                        late = true;
                        *open = None;
                        return;
                    }
                    // A session that closes here leaves its timer behind, which finds the new one.
                    timer = closed[0].is_none().then_some(new.last);
                    now.one = Some(new);
                    return;
                }
            }
            let had = !now.is_empty();
            let (done, mut rest): (Vec<_>, Vec<_>) = now.all().copied().partition(|s| over(s));
            more_closed = done;
            let touching = |s: &Session, n: &Session| n.first - s.last <= gap && s.first - n.last <= gap;
            while let Some(at) = rest.iter().position(|s| touching(s, &new)) {
                let s = rest.remove(at);
                new = Session { first: s.first.min(new.first), last: s.last.max(new.last), count: s.count + new.count };
            }
            late = over(&new);
            if !late {
                rest.push(new);
                rest.sort_unstable();
            }
            // The timer may stand after the new session's closing: stand once more, before it.
            timer = (!late && (!had || rest.first() == Some(&new))).then_some(new.last);
            let left = Open::from(rest);
            *open = (!left.is_empty()).then_some(left);
        })?;
        more_closed.extend(closed.into_iter().flatten());
        self.keep((group, key), &more_closed, (!late).then_some(alone))?;
        for session in more_closed {
            Self::tell((group, key), session, out);
        }
        if late {
            out.aside(rows.batch, row.place, Why::Late, watermark);
        }
        if let Some(last) = timer {
            self.timers.set(last + gap - 1, (group, key));
        }
        Ok(())
    }

    fn tell((group, key): (u32, Key), session: Session, out: &mut Out) {
        let window = Window { start: Micros(session.first), end: Micros(session.last) };
        out.closed.push(Closed {
            operator: 0,
            window,
            group,
            key,
            emission: Emission::First,
            count: session.count,
            sum: 0,
            more: Vec::new(),
        });
    }
}

impl Operator for Sessions {
    fn spread(&self) -> Spread {
        Spread::ByPatient
    }

    /// A session is judged at each of its rows, by the watermark that the row met.
    fn deadline(&self) -> Option<i64> {
        None
    }

    fn rows(&mut self, rows: Rows<'_>, out: &mut Out) -> Result<(), OperatorError> {
        let mut each = rows.each().peekable();
        while let Some(row) = each.next() {
            if row.sign > 0 {
                self.take(&row, rows, out)?;
                continue;
            }
            // A revision is two rows that follow each other. The new one comes first, so that what the old one held together does not
            // fall apart between them.
            let follows = |new: &Row| new.sign > 0 && new.place == row.place + 1 && self.whose(new) == self.whose(&row);
            if let Some(new) = each.next_if(follows) {
                self.take(&Row { watermark: row.watermark, ..new }, rows, out)?;
            }
            if !self.take_back(&row)? {
                out.aside(rows.batch, row.place, Why::CannotForget, row.watermark);
            }
        }
        Ok(())
    }

    fn passed(&mut self, watermark: i64, out: &mut Out) -> Result<(), OperatorError> {
        if watermark <= self.watermark {
            return Ok(());
        }
        self.watermark = watermark;
        let mut closed = Vec::new();
        while let Some((group, key)) = self.timers.due(watermark) {
            let slot = SlotKey { window: 0, group, key };
            let Some(open) = self.open.get(slot)? else { continue };
            let (done, rest): (Vec<_>, Vec<_>) = open.all().copied().partition(|s| s.last + self.gap - 1 <= watermark);
            let next = rest.iter().map(|s| s.last).min();
            if !done.is_empty() {
                let left = Open::from(rest);
                self.open.update(slot, |open| *open = (!left.is_empty()).then_some(left))?;
                self.keep((group, key), &done, None)?;
                closed.extend(done.into_iter().map(|s| (s, group, key)));
            }
            if let Some(last) = next {
                self.timers.set(last + self.gap - 1, (group, key));
            }
        }
        closed.sort_unstable();
        for (session, group, key) in closed {
            Self::tell((group, key), session, out);
        }
        Ok(())
    }

    fn tables(&self) -> Vec<&dyn Table> {
        let made_of = self.made_of.as_ref().map(|m| m as &dyn Table);
        std::iter::once(&self.open as &dyn Table).chain(made_of).collect()
    }

    fn tables_mut(&mut self) -> Vec<&mut dyn Table> {
        let made_of = self.made_of.as_mut().map(|m| m as &mut dyn Table);
        std::iter::once(&mut self.open as &mut dyn Table).chain(made_of).collect()
    }
}
