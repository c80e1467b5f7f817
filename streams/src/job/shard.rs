//! Shards: each has every operator, for a range of key groups, and works on the rows of those.

use std::ops::Range;

use super::skew::{self, Part, Stage};
use super::{JobError, Settings};
use crate::backend::StateError;
use crate::batch::EventBatch;
use crate::keyed::{SharedBackend, Table, TableSpec};
use crate::keys::{KEY_GROUPS, key_group};
use crate::operator::{Maker, Operator, OperatorError, Place, Rows, Spread};
use crate::out::{Emission, Out};

/// The number of an operator's first table. Each has four.
pub fn first_table(operator: usize) -> u8 {
    u8::try_from(1 + 4 * operator).unwrap_or(u8::MAX - 3)
}

/// How many operators a job may have, so that their tables have numbers.
const MOST_OPERATORS: usize = 60;

/// A batch as the shards see it.
struct Work<'a> {
    batch: &'a EventBatch,
    /// The watermark that each row met.
    met: &'a [i64],
    /// The watermark after the batch.
    after: i64,
    /// The rows by patient and by group, for this shard.
    by_patient: &'a [u32],
    by_group: &'a [u32],
    /// The rows by group without those of hot groups, and the operators that take them apart.
    cold: &'a [u32],
    stages: &'a [Stage],
    /// What these take of the hot groups that are this shard's.
    parts: Vec<Part>,
}

struct Shard {
    operators: Vec<Box<dyn Operator>>,
}

impl Shard {
    fn work(&mut self, work: &mut Work<'_>, out: &mut Out) -> Result<(), OperatorError> {
        for (i, operator) in self.operators.iter_mut().enumerate() {
            if let Some(stage) = work.stages.iter().find(|stage| stage.operator == i) {
                let (closed, late) = (out.closed.len(), out.late.len());
                apart(operator.as_mut(), stage, work, out)?;
                mark(i, closed, late, out);
                continue;
            }
            let rows = match operator.spread() {
                Spread::ByPatient => work.by_patient,
                Spread::ByGroup => work.by_group,
            };
            let (closed, late) = (out.closed.len(), out.late.len());
            let met = |row: &u32| work.met.get(*row as usize).copied().unwrap_or(work.after);
            let mut rest = rows;
            while let Some(first) = rest.first() {
                // Windows that close between two rows close between them here too.
                if operator.deadline().is_some_and(|d| met(first) >= d) {
                    operator.passed(met(first), out)?;
                    continue;
                }
                let until = match operator.deadline() {
                    Some(deadline) => rest.partition_point(|row| met(row) < deadline),
                    None => rest.len(),
                };
                let (now, later) = rest.split_at(until);
                operator.rows(Rows { batch: work.batch, rows: now, watermarks: work.met }, out)?;
                rest = later;
            }
            operator.passed(work.after, out)?;
            mark(i, closed, late, out);
        }
        Ok(())
    }

    fn passed(&mut self, watermark: i64, out: &mut Out) -> Result<(), OperatorError> {
        for (i, operator) in self.operators.iter_mut().enumerate() {
            let (closed, late) = (out.closed.len(), out.late.len());
            operator.passed(watermark, out)?;
            mark(i, closed, late, out);
        }
        Ok(())
    }
}

/// An operator whose rows of hot groups were summed apart: stretch by stretch, so that windows close where they would.
fn apart(operator: &mut dyn Operator, stage: &Stage, work: &mut Work<'_>, out: &mut Out) -> Result<(), OperatorError> {
    let (own, others) = std::mem::take(&mut work.parts).into_iter().partition(|part| part.operator == stage.operator);
    work.parts = others;
    let mut parts: Vec<Part> = own;
    parts.sort_by_key(|part| part.stretch);
    let mut parts = parts.into_iter().peekable();
    let mut rest = work.cold;
    for (stretch, from) in stage.stretches.iter().enumerate() {
        if let (true, Some(met)) = (stretch > 0, work.met.get(*from)) {
            operator.passed(*met, out)?;
        }
        let end = stage.stretches.get(stretch + 1).copied().unwrap_or(usize::MAX);
        let (now, later) = rest.split_at(rest.partition_point(|row| (*row as usize) < end));
        rest = later;
        operator.rows(Rows { batch: work.batch, rows: now, watermarks: work.met }, out)?;
        while let Some(part) = parts.next_if(|part| part.stretch == stretch) {
            operator.absorb(part.sum)?;
        }
    }
    operator.passed(work.after, out)
}

/// Says of what came since that it is this operator's.
fn mark(operator: usize, closed: usize, late: usize, out: &mut Out) {
    let operator = operator as u32;
    out.closed.iter_mut().skip(closed).for_each(|c| c.operator = operator);
    out.late.iter_mut().skip(late).for_each(|l| l.operator = operator);
}

pub(super) struct Shards {
    shards: Vec<Shard>,
    /// The shard of each key group.
    of: Vec<u8>,
    /// The rows of each shard, kept for their memory.
    by_patient: Vec<Vec<u32>>,
    by_group: Vec<Vec<u32>>,
    cold: Vec<Vec<u32>>,
    /// How far every operator has been told that event time has come.
    watermark: i64,
    spread_hot: bool,
}

impl Shards {
    pub(super) fn open(
        makers: &[Maker],
        backend: &SharedBackend,
        settings: &Settings,
        watermark: i64,
    ) -> Result<Shards, JobError> {
        if makers.is_empty() || makers.len() > MOST_OPERATORS {
            let message = format!("a stream job has 1 to {MOST_OPERATORS} operators, not {}", makers.len());
            return Err(OperatorError::Settings(message).into());
        }
        let n = settings.shards.clamp(1, KEY_GROUPS);
        let open = |groups: Range<u16>| {
            let most = settings.most_values / usize::from(n) / makers.len();
            let place =
                |i| Place { table: first_table(i), groups: groups.clone(), backend: backend.clone(), most, watermark };
            let operators = makers.iter().enumerate().map(|(i, make)| make(&place(i))).collect::<Result<_, _>>()?;
            Ok::<_, OperatorError>(Shard { operators })
        };
        let shards = (0..n).map(|s| open(Self::groups(s, n))).collect::<Result<Vec<_>, _>>()?;
        let lists = || vec![Vec::new(); usize::from(n)];
        let of = |group: u16| (0..n).position(|s| Self::groups(s, n).contains(&group)).unwrap_or_default() as u8;
        let of = (0..KEY_GROUPS).map(of).collect();
        Ok(Shards {
            shards,
            of,
            by_patient: lists(),
            by_group: lists(),
            cold: lists(),
            watermark,
            spread_hot: settings.spread_hot,
        })
    }

    /// The key groups of a shard: an even range.
    fn groups(shard: u16, of: u16) -> Range<u16> {
        let at = |s: u16| (u32::from(s) * u32::from(KEY_GROUPS) / u32::from(of)) as u16;
        at(shard)..at(shard + 1)
    }

    /// Gives how many rows were of groups that all shards have summed together.
    pub(super) fn rows(&mut self, batch: EventBatch, met: &[i64], after: i64, out: &mut Out) -> Result<u64, JobError> {
        let n = self.shards.len();
        let hot = if self.spread_hot { skew::hot(&batch.group, n) } else { Vec::new() };
        let stages = if hot.is_empty() { Vec::new() } else { self.stages(met) };
        let shard = |group: u16| self.of.get(usize::from(group)).map_or(0, |s| usize::from(*s));
        self.by_patient.iter_mut().chain(&mut self.by_group).chain(&mut self.cold).for_each(Vec::clear);
        for row in 0..batch.len() as u32 {
            let i = row as usize;
            let (patient, group) = match n {
                1 => (0, 0),
                _ => (shard(key_group(batch.key[i])), shard(key_group(u128::from(batch.group[i])))),
            };
            self.by_patient[patient].push(row);
            self.by_group[group].push(row);
            if !stages.is_empty() && hot.binary_search(&batch.group[i]).is_err() {
                self.cold[group].push(row);
            }
        }
        let spread = if stages.is_empty() { 0 } else { batch.len() - self.cold.iter().map(Vec::len).sum::<usize>() };
        let mut parts: Vec<Vec<Part>> = (0..n).map(|_| Vec::new()).collect();
        if !stages.is_empty() {
            for part in skew::summed(&stages, (&batch, met), &hot, n, out)? {
                parts[shard(key_group(u128::from(part.group)))].push(part);
            }
        }
        self.watermark = self.watermark.max(after);
        let rows = self.by_patient.iter().zip(&self.by_group).zip(&self.cold).zip(parts);
        let works = rows.map(|(((by_patient, by_group), cold), parts)| Work {
            batch: &batch,
            met,
            after,
            by_patient,
            by_group,
            cold,
            stages: &stages,
            parts,
        });
        if n == 1 {
            for (shard, mut work) in self.shards.iter_mut().zip(works) {
                shard.work(&mut work, out)?;
            }
            return Ok(0);
        }
        let outs = std::thread::scope(|scope| {
            let run = |(shard, work): (_, Work<'_>)| run(shard, work);
            let threads: Vec<_> =
                self.shards.iter_mut().zip(works).map(|both| scope.spawn(move || run(both))).collect();
            threads.into_iter().map(|t| t.join().map_err(|_| JobError::Thread)).collect::<Vec<_>>()
        });
        join(outs, out).map(|()| spread as u64)
    }

    /// The operators that take hot groups apart, and where their windows close in a batch. All shards' operators are alike.
    fn stages(&self, met: &[i64]) -> Vec<Stage> {
        let operators = self.shards.first().map(|s| s.operators.as_slice()).unwrap_or_default();
        let stage = |(operator, o): (usize, &dyn Operator)| {
            let combiner = o.combiner()?;
            let stretches = skew::stretches(combiner.as_ref(), met, self.watermark);
            Some(Stage { operator, combiner, stretches })
        };
        operators.iter().map(AsRef::as_ref).enumerate().filter_map(stage).collect()
    }

    pub(super) fn passed(&mut self, watermark: i64, out: &mut Out) -> Result<(), JobError> {
        self.watermark = self.watermark.max(watermark);
        let each = |shard: &mut Shard| {
            let mut out = Out::default();
            shard.passed(watermark, &mut out).map(|()| out)
        };
        let outs = self.shards.iter_mut().map(|s| Ok(each(s))).collect();
        join(outs, out)
    }

    /// For each operator, how many groups of a window are told.
    pub(super) fn most(&self) -> Vec<Option<usize>> {
        let operators = self.shards.first().map(|s| s.operators.as_slice()).unwrap_or_default();
        operators.iter().map(|o| o.most()).collect()
    }

    /// Every operator has all in its tables then.
    pub(super) fn settle(&mut self) -> Result<(), StateError> {
        self.shards.iter_mut().flat_map(|s| &mut s.operators).try_for_each(|o| o.settle())
    }

    /// Every table of every shard.
    pub(super) fn tables(&self) -> impl Iterator<Item = &dyn Table> {
        self.shards.iter().flat_map(|s| &s.operators).flat_map(|o| o.tables())
    }

    /// The same, to be changed.
    pub(super) fn tables_mut(&mut self) -> impl Iterator<Item = &mut dyn Table> {
        self.shards.iter_mut().flat_map(|s| &mut s.operators).flat_map(|o| o.tables_mut())
    }

    /// The tables as savepoints know them: those of one shard, since all shards have the same.
    pub(super) fn specs(&self) -> Vec<TableSpec> {
        self.shards
            .first()
            .map(|s| s.operators.iter().flat_map(|o| o.tables()).map(|t| t.spec()).collect())
            .unwrap_or_default()
    }
}

fn run(shard: &mut Shard, mut work: Work<'_>) -> Result<Out, OperatorError> {
    let mut out = Out::default();
    shard.work(&mut work, &mut out)?;
    Ok(out)
}

/// What the shards told of one window and group is one row.
fn join(outs: Vec<Result<Result<Out, OperatorError>, JobError>>, out: &mut Out) -> Result<(), JobError> {
    let mut several = Out::default();
    let many = outs.len() > 1;
    for part in outs {
        let mut part = part??;
        several.closed.append(&mut part.closed);
        several.late.append(&mut part.late);
    }
    if many {
        several.closed.sort_by(|a, b| {
            (a.operator, a.window.end, a.window, a.group, a.key, a.emission).cmp(&(
                b.operator,
                b.window.end,
                b.window,
                b.group,
                b.key,
                b.emission,
            ))
        });
        several.closed.dedup_by(|b, a| {
            // Of what goes on, several tellings may stand at one time; they come from one shard.
            let same = a.key == 0
                && a.emission != Emission::Running
                && (a.operator, a.window, a.group, a.key, a.emission)
                    == (b.operator, b.window, b.group, b.key, b.emission);
            if same {
                a.count = a.count.wrapping_add(b.count);
                a.sum = a.sum.wrapping_add(b.sum);
            }
            same
        });
        several.late.sort_unstable();
    }
    out.closed.append(&mut several.closed);
    out.late.append(&mut several.late);
    Ok(())
}
