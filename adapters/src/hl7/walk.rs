//! The segments of a message, one after the other, and what they give to those behind them.

use schema::{Record, Table};

use super::drug::{self, Order};
use super::message::{Kind, Told};
use super::patient::{self, Person};
use super::quick::Results;
use super::result::{self, Report};
use super::scan::Separators;
use super::segment::{No, Raw, Segment};
use super::visit::{self, Visit};
use super::{code, diagnosis};
use crate::sink::{AdapterError, Out, Reason};

/// One message on its way through.
pub(crate) struct Walk<'m, 'o, 'f> {
    /// What makes its rows.
    pub(crate) told: Told<'m>,
    /// Its separators.
    pub(crate) seps: Separators,
    /// The authority of linkage ids.
    pub(crate) linkage: Option<&'m str>,
    /// Its number in the file.
    pub(crate) number: u64,
    /// Where its rows go.
    pub(crate) out: &'o mut Out<'f>,
    /// The results that are known.
    pub(crate) results: &'o mut Results,
}

/// What segments before the current one said.
#[derive(Default)]
struct State<'m> {
    pid: Option<Segment<'m, 31>>,
    person: Option<Person>,
    visit: Visit,
    order: Order,
    report: Option<Report<'m>>,
    /// The last ORC.
    orc: Option<Raw<'m>>,
    /// Whether it was said that observations are left out.
    passed_over: bool,
    /// The last SPM, and whether specimens stand behind the orders that they are of, as in ORU, or before them, as in OUL^R22.
    specimen: Option<Raw<'m>>,
    specimens_behind: Option<bool>,
    /// What is merged, which waits for the visit behind it.
    merge: Option<Raw<'m>>,
    /// Whether it was said that the diagnoses are all that the visit has.
    diagnosed: bool,
    /// A drug that waits for its route and its timing, which come behind it.
    drug: Option<(Record, Raw<'m>)>,
}

impl<'m> Walk<'m, '_, '_> {
    /// Reads the segments. What is at fault is quarantined, and the rest goes on.
    pub(crate) fn run(&mut self, segments: impl Iterator<Item = Raw<'m>>) -> Result<bool, AdapterError> {
        let mut state = State::default();
        let before = (self.out.tally.records, self.out.tally.quarantined);
        for raw in segments {
            if matches!(raw.name(), b"PID" | b"MRG") {
                self.finish_merge(&mut state)?;
            }
            if matches!(raw.name(), b"PID" | b"ORC" | b"RXO" | b"RXE" | b"RXD" | b"RXA") {
                self.finish_drug(&mut state)?;
            }
            if raw.name() == b"OBX" {
                match self.told.header.kind {
                    Kind::Oru => self.result(&raw, &mut state)?,
                    // A document is text.
                    Kind::Mdm => {}
                    _ if std::mem::replace(&mut state.passed_over, true) => {}
                    kind => self.out.skip(kind.observations()),
                }
                continue;
            }
            let got = self.segment(&raw, &mut state);
            self.put(got, raw.line())?;
            if let (b"PID" | b"PV1", Some(person), Some(number)) = (raw.name(), &state.person, &state.visit.id)
                && let Some(row) = self.told.stands_for(Table::Visit, person.key, number)
            {
                self.out.record(row, raw.line())?;
            }
        }
        self.finish_drug(&mut state)?;
        self.finish_merge(&mut state)?;
        Ok((self.out.tally.records, self.out.tally.quarantined) != before)
    }

    /// Hands rows over, or says what is wrong.
    pub(crate) fn put(&mut self, rows: Result<Vec<Record>, No>, line: u64) -> Result<(), AdapterError> {
        match rows {
            Ok(rows) => rows.into_iter().try_for_each(|row| self.out.record(row, line)),
            Err(no) => {
                no.instead.into_iter().try_for_each(|row| self.out.record(row, line))?;
                let detail = format!("message {}, {}", self.number, no.detail);
                self.out.quarantine(no.line, no.reason, detail)
            }
        }
    }

    fn segment(&self, raw: &Raw<'m>, state: &mut State<'m>) -> Result<Vec<Record>, No> {
        let kind = self.told.header.kind;
        match raw.name() {
            b"EVN" => {
                let evn = raw.fields::<8>(self.seps);
                evn.time(2, self.told.env)?;
                evn.time(6, self.told.env)?;
                Ok(Vec::new())
            }
            b"PID" => self.pid(raw, state),
            b"PV1" => {
                let pv1 = raw.fields::<46>(self.seps);
                let (Some(pid), Some(person)) = (&state.pid, &state.person) else { return Ok(Vec::new()) };
                state.visit = visit::visit(Some(&pv1), pid, &self.told)?;
                visit::rows(&pv1, &state.visit, person, &self.told)
            }
            b"MRG" if self.told.header.is(patient::MERGES) => match &state.person {
                Some(person) => patient::merge(&raw.fields(self.seps), person, &self.told),
                None => Ok(Vec::new()),
            },
            b"MRG" if self.told.header.is(visit::MERGES) || self.told.header.is(visit::GIVEN) => {
                state.merge = Some(*raw);
                Ok(Vec::new())
            }
            b"DG1" if matches!(kind, Kind::Adt | Kind::Dft) => match &state.person {
                Some(person) => {
                    let dg1 = raw.fields(self.seps);
                    let mut rows = diagnosis::condition(&dg1, &state.visit, person, &self.told);
                    if kind == Kind::Adt
                        && !state.diagnosed
                        && let Some(row) = diagnosis::snapshot(&dg1, &state.visit, person, &self.told)
                    {
                        state.diagnosed = true;
                        match &mut rows {
                            Ok(rows) => rows.push(row),
                            Err(no) => no.instead.push(row),
                        }
                    }
                    rows
                }
                None => Ok(Vec::new()),
            },
            b"PR1" if matches!(kind, Kind::Adt | Kind::Dft) => match &state.person {
                Some(person) => diagnosis::procedure(&raw.fields(self.seps), &state.visit, person, &self.told),
                None => Ok(Vec::new()),
            },
            b"ORC" => {
                (state.order, state.orc) = (Order::default(), Some(*raw));
                // In OUL an order's ORC stands behind its OBR, and its results behind both.
                if raw.preceding().find(|name| !matches!(*name, b"NTE" | b"PRT")) != Some(b"OBR".as_slice()) {
                    state.report = None;
                }
                let orc = raw.fields(self.seps);
                state.order = Order::read(&orc)?;
                // An order whose time can't be read keeps its numbers.
                state.order.when = Order::time(&orc, &self.told)?;
                // A cancellation needs not repeat the drug. One of a laboratory's order has OBR.
                let bare = state.order.cancelled
                    && matches!(kind, Kind::Order | Kind::Rde)
                    && !raw.following().any(|name| matches!(name, b"OBR" | b"RXO" | b"RXE"));
                Ok(match &state.person {
                    Some(person) if bare => state.order.retracted(person, &self.told),
                    _ => Vec::new(),
                })
            }
            b"OBR" if kind == Kind::Oru => {
                state.report = None;
                let behind = *state.specimens_behind.get_or_insert(state.specimen.is_none());
                let spm = if behind { raw.first_behind(b"SPM") } else { state.specimen };
                let spm = spm.map(|spm| spm.fields(self.seps));
                let report = Report::new(raw.fields(self.seps), state.order.filler.clone(), spm.as_ref())?;
                let report = state.report.insert(report);
                // A time of the results that can't be read costs them nothing else.
                report.obr.time(22, self.told.env).map_err(|no| no.without(Vec::new()))?;
                Ok(Vec::new())
            }
            b"FT1" if kind == Kind::Dft => match &state.person {
                Some(person) => {
                    let told = raw.all().filter(|r| matches!(r.name(), b"DG1" | b"PR1"));
                    let codes: Vec<_> = told.map(|r| r.fields::<4>(self.seps).field(3).component(1).bytes()).collect();
                    diagnosis::charged(&raw.fields(self.seps), &codes, &state.visit, person, &self.told)
                }
                None => Ok(Vec::new()),
            },
            b"SPM" => {
                state.specimen = Some(*raw);
                Ok(Vec::new())
            }
            b"RXO" if kind == Kind::Order => self.drug(raw, state),
            b"RXE" if kind == Kind::Rde => self.drug(raw, state),
            b"RXD" if kind == Kind::Rds => self.drug(raw, state),
            b"RXA" if matches!(kind, Kind::Ras | Kind::Vxu) => self.drug(raw, state),
            b"RXR" => {
                if let Some((row, _)) = &mut state.drug
                    && row.get("route") == &schema::Cell::Null
                {
                    row.set("route", code::bare(&raw.fields::<3>(self.seps), 1)?);
                }
                Ok(Vec::new())
            }
            b"TQ1" => {
                let tq1 = raw.fields::<9>(self.seps);
                state.order.start = tq1.time(7, self.told.env)?;
                state.order.end = tq1.time(8, self.told.env)?;
                self.timed(state);
                Ok(Vec::new())
            }
            _ => Ok(Vec::new()),
        }
    }

    /// A result: one that is known goes straight into columns.
    fn result(&mut self, raw: &Raw<'m>, state: &mut State<'m>) -> Result<(), AdapterError> {
        let Some(person) = &state.person else { return Ok(()) };
        let obx: Segment<'m, 20> = raw.fields(self.seps);
        if state.report.is_none() {
            match (state.orc, state.order.filler.clone()) {
                (Some(orc), Some(filler)) => state.report = Some(Report::of_order(orc, self.seps, filler)),
                _ if std::mem::replace(&mut state.passed_over, true) => {}
                // Of the specimen, and not of the patient.
                _ if state.specimen.is_some() => self.out.skip("OBX of SPM"),
                _ => {
                    let remedy = "no OBR before it, and no ORC-3, so that a correction could not find the result; have the \
                                  sender set either";
                    self.put(Err(obx.bad(3, Reason::MissingId, remedy)), raw.line())?;
                }
            }
        }
        let Some(report) = &mut state.report else { return Ok(()) };
        let nth = report.before(&obx);
        if self.results.take(&obx, nth, report, &state.visit, person, &self.told, self.seps, self.out)? {
            return Ok(());
        }
        let rows = result::rows(&obx, nth, report, &state.visit, person, &self.told);
        if let Ok(rows) = &rows {
            self.results.learn(&obx, report, self.seps, rows);
        }
        self.put(rows, raw.line())
    }

    fn pid(&self, raw: &Raw<'m>, state: &mut State<'m>) -> Result<Vec<Record>, No> {
        *state = State::default();
        let pid = raw.fields::<31>(self.seps);
        let person = patient::person(&pid, &self.told)?;
        let visit = visit::visit(None, &pid, &self.told)?;
        let rows = patient::rows(&pid, &person, &self.told, self.linkage);
        (state.visit, state.pid, state.person) = (visit, Some(pid), Some(person));
        rows
    }

    fn drug(&self, raw: &Raw<'m>, state: &mut State<'m>) -> Result<Vec<Record>, No> {
        let Some(person) = &state.person else { return Ok(Vec::new()) };
        let rows = drug::row(&raw.fields(self.seps), raw.name(), &state.order, &state.visit, person, &self.told)?;
        let mut rows = rows.into_iter();
        state.drug = rows.next().map(|row| (row, *raw));
        Ok(rows.collect())
    }

    /// A drug takes its timing from the TQ1 behind it.
    fn timed(&self, state: &mut State<'m>) {
        let (Some(person), Some((old, raw))) = (&state.person, &state.drug) else { return };
        let (raw, route) = (*raw, old.get("route").clone());
        if let Ok(rows) = drug::row(&raw.fields(self.seps), raw.name(), &state.order, &state.visit, person, &self.told)
        {
            let routed = |row: Record| if route == schema::Cell::Null { row } else { row.with("route", route) };
            state.drug = rows.into_iter().next().map(|row| (routed(row), raw));
        }
    }

    /// A visit that has another number now, or is another patient's. Its new number may come in PV1, behind MRG.
    fn finish_merge(&mut self, state: &mut State<'m>) -> Result<(), AdapterError> {
        let (Some(raw), Some(pid), Some(person)) = (state.merge.take(), &state.pid, &state.person) else {
            return Ok(());
        };
        let tell = if self.told.header.is(visit::GIVEN) { visit::given } else { visit::moved };
        let rows = tell(&raw.fields(self.seps), pid, &state.visit, person, &self.told);
        self.put(rows, raw.line())
    }

    fn finish_drug(&mut self, state: &mut State<'m>) -> Result<(), AdapterError> {
        match state.drug.take() {
            Some((row, raw)) => self.out.record(row, raw.line()),
            None => Ok(()),
        }
    }
}
