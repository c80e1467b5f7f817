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

/// Sessions by patient, or by patient and group.
pub struct Sessions {
    gap: i64,
    span: Span,
    by_group: bool,
    open: Keyed<Open>,
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
        Ok(Sessions { gap, span, by_group, open, timers, watermark: place.watermark })
    }

    /// Takes a row out of the open session that has it. How far the session reaches stays: what else it is made of is not known.
    fn forget(&mut self, (group, key): (u32, Key), row: Session, watermark: i64) -> Result<bool, StateError> {
        let gap = self.gap;
        self.open.update(SlotKey { window: 0, group, key }, |open| {
            let mut sessions: Vec<_> = open.iter().flat_map(Open::all).copied().collect();
            let has = |s: &Session| s.first <= row.first && row.last <= s.last && s.last + gap - 1 > watermark;
            let Some(at) = sessions.iter().position(has) else { return false };
            sessions[at].count -= 1;
            sessions.retain(|s| s.count > 0);
            *open = (!sessions.is_empty()).then(|| Open::from(sessions));
            true
        })
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
        let gap = self.gap;
        for row in rows.each() {
            let Row { place: row, watermark, time, key, group, value, sign } = row;
            let time = time.clamp(-TIME_RANGE, TIME_RANGE);
            let last = match self.span {
                Span::Instant => time,
                Span::ToValue => value.clamp(time, TIME_RANGE),
            };
            let mut new = Session { first: time, last, count: 1 };
            let group = if self.by_group { group } else { 0 };
            if sign < 0 {
                if !self.forget((group, key), new, watermark)? {
                    out.aside(rows.batch, row, Why::CannotForget, watermark);
                }
                continue;
            }
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
                    new = Session {
                        first: s.first.min(new.first),
                        last: s.last.max(new.last),
                        count: s.count + new.count,
                    };
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
            for session in closed.into_iter().flatten().chain(more_closed) {
                Self::tell((group, key), session, out);
            }
            if late {
                out.aside(rows.batch, row, Why::Late, watermark);
            }
            if let Some(last) = timer {
                self.timers.set(last + gap - 1, (group, key));
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
        vec![&self.open]
    }

    fn tables_mut(&mut self) -> Vec<&mut dyn Table> {
        vec![&mut self.open]
    }
}
