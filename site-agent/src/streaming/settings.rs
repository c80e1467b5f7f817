//! `[[streams.job]]` of `site.toml`: what the hospital counts for itself, as it happens.

use std::time::Duration;

use schema::{Kind, Table};
use serde::{Deserialize, Serialize};

use super::source::FIXED;
use super::topic::Topic;

/// A job over the lake's rows. Its answers stay at the site.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct JobSettings {
    /// Its name, of lower-case letters, digits and `-`.
    pub name: String,
    /// The table whose rows are its events; empty where there is a topic.
    #[serde(default)]
    pub table: String,
    /// The Kafka topic whose messages are its events, in the place of a table.
    #[serde(default)]
    pub topic: Option<Topic>,
    /// What is told.
    pub tell: Tell,
    /// A column of categories by which is told, such as `std_code` or `class`; without it all rows are one group.
    pub group: Option<String>,
    /// A column of numbers, for sums and quantiles. Rows without one are left out.
    pub value: Option<String>,
    /// The length of a window, such as `24h`.
    pub window: Option<String>,
    /// How far windows are apart; without it they stand end to end.
    pub step: Option<String>,
    /// How long after its end a window takes late rows in and is told once more.
    pub lateness: Option<String>,
    /// Of `counts`: how many groups of each window are told, those with the most rows.
    #[serde(default)]
    pub most: Option<usize>,
    /// Of `totals`, in the place of `window`: told at every so many rows of a group.
    #[serde(default)]
    pub every_rows: Option<i64>,
    /// Of `totals`, in the place of `window`: told whenever a group's sum has moved by so much.
    #[serde(default)]
    pub every_sum: Option<f64>,
    /// Of `totals`: how long after its last row a group is forgotten. One that comes again begins anew.
    #[serde(default)]
    pub forget: Option<String>,
    /// The gap of sessions and eras.
    pub gap: Option<String>,
    /// A second table, for `followed`: which rows of it follow within `within`.
    pub then: Option<String>,
    /// A column of numbers of the second table.
    pub then_value: Option<String>,
    /// A column of categories of the second table.
    pub then_group: Option<String>,
    /// From when to when a row counts as following, such as `["0d", "14d"]`.
    pub within: Option<[String; 2]>,
    /// How far out of order events come.
    #[serde(default = "hour")]
    pub out_of_order: String,
    /// How long a row is remembered, so that a later revision takes it back.
    #[serde(default = "quarter")]
    pub remembered: String,
    /// Where state is kept: `heap` or `rocksdb`.
    #[serde(default)]
    pub backend: Kept,
    /// How often a checkpoint is taken.
    #[serde(default = "ten_seconds")]
    pub checkpoint: String,
    /// How many checkpoints can be restored.
    #[serde(default = "three")]
    pub keep: usize,
    /// How many shards work at a time.
    #[serde(default = "one")]
    pub shards: u16,
}

fn hour() -> String {
    "1h".to_owned()
}

fn quarter() -> String {
    "90d".to_owned()
}

fn ten_seconds() -> String {
    "10s".to_owned()
}

fn three() -> usize {
    3
}

fn one() -> u16 {
    1
}

/// What a job tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tell {
    /// The count of rows of each window, and the sum of their values.
    Counts,
    /// How many patients each window has, exactly.
    Patients,
    /// About how many, by a sketch: for windows of many steps.
    PatientsSketch,
    /// Quartiles of the values of each window.
    Quantiles,
    /// Episodes of care: rows of a patient that follow each other within the gap.
    Sessions,
    /// Eras: rows that last, of a patient and group, within the gap.
    Eras,
    /// Counts and sums since the beginning, told once a window.
    Totals,
    /// Each row of a patient with the rows of the second table that follow it.
    Followed,
}

/// Where state is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kept {
    /// In memory.
    #[default]
    Heap,
    /// In `RocksDB`.
    Rocksdb,
}

/// A length of time: a whole number with `s`, `m`, `h` or `d`.
pub(super) fn span(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<u64>().ok().filter(|n| *n <= 1_000_000).map(|n| Duration::from_secs(n * seconds))
}

impl JobSettings {
    /// What is wrong with it, in words with the field's name.
    pub(crate) fn objection(&self) -> Option<String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || self.name.len() > 40 || !self.name.chars().all(plain) {
            return Some("`name` must be of lower-case letters, digits and '-', at most 40".to_owned());
        }
        if let Some(topic) = &self.topic {
            let own = [&self.then, &self.group, &self.value].into_iter().any(Option::is_some);
            if !self.table.is_empty() || own {
                return Some(
                    "a job of a `topic` has no `table`, `then`, `group` or `value`; the topic has them".to_owned(),
                );
            }
            if matches!(self.tell, Tell::Eras | Tell::Followed) || self.tell == Tell::Quantiles && topic.value.is_none()
            {
                return Some(format!(
                    "`tell` = \"{}\" is of tables; a topic's messages do not have what it needs",
                    self.word()
                ));
            }
            return topic.objection().or_else(|| self.lengths()).or_else(|| self.needs());
        }
        let named = |name: &str| {
            Table::parse(name)
                .ok_or(format!("there is no table '{name}'; tables are those of the schema, such as measurement"))
        };
        let table = match named(&self.table) {
            Ok(table) => table,
            Err(e) => return Some(e),
        };
        let then = match self.then.as_deref().map(named).transpose() {
            Ok(then) => then,
            Err(e) => return Some(e),
        };
        let column = |field: &str, table: Table, name: &Option<String>, kinds: &[Kind]| {
            let name = name.as_ref()?;
            let found = table.column(name).filter(|c| kinds.contains(&c.kind));
            found
                .is_none()
                .then(|| format!("`{field}`: the table '{}' has no column '{name}' of that kind", table.name()))
        };
        if let Some(wrong) = self.lengths() {
            return Some(wrong);
        }
        if self.tell == Tell::Quantiles && self.value.is_none() {
            return Some("`tell` = \"quantiles\" needs `value`".to_owned());
        }
        if self.tell == Tell::Eras && table.column("end_date").is_none() {
            return Some(format!(
                "rows of '{}' do not last; eras are of drug_exposure, condition or visit",
                self.table
            ));
        }
        self.needs().or_else(|| {
            let numbers = [Kind::Real, Kind::Integer];
            column("group", table, &self.group, &[Kind::Category])
                .or_else(|| column("value", table, &self.value, &numbers))
                .or_else(|| column("then_group", then?, &self.then_group, &[Kind::Category]))
                .or_else(|| column("then_value", then?, &self.then_value, &numbers))
        })
    }

    /// A length of time that is none.
    fn lengths(&self) -> Option<String> {
        let lengths = [
            ("window", self.window.as_deref()),
            ("step", self.step.as_deref()),
            ("lateness", self.lateness.as_deref()),
            ("gap", self.gap.as_deref()),
            ("forget", self.forget.as_deref()),
            ("out_of_order", Some(self.out_of_order.as_str())),
            ("remembered", Some(self.remembered.as_str())),
            ("checkpoint", Some(self.checkpoint.as_str())),
            ("within", self.within.as_ref().map(|w| w[0].as_str())),
            ("within", self.within.as_ref().map(|w| w[1].as_str())),
        ];
        if let Some((field, text)) = lengths.iter().find(|(_, t)| t.is_some_and(|t| span(t).is_none())) {
            return Some(format!(
                "`{field}` = \"{}\" is no length of time; write 90s, 30m, 24h or 30d",
                text.unwrap_or_default()
            ));
        }
        None
    }

    /// What it lacks for what is told, has no use for, or has out of range.
    fn needs(&self) -> Option<String> {
        let lacks = |field: &str| Some(format!("`tell` = \"{}\" needs `{field}`", self.word()));
        match self.tell {
            Tell::Sessions | Tell::Eras if self.gap.is_none() => return lacks("gap"),
            Tell::Followed if self.then.is_none() || self.within.is_none() => return lacks("then` and `within"),
            Tell::Counts | Tell::Patients | Tell::PatientsSketch | Tell::Quantiles if self.window.is_none() => {
                return lacks("window");
            }
            Tell::Totals if self.triggers() != 1 => return lacks("window`, `every_rows` or `every_sum"),
            _ => {}
        }
        if let Some(unused) = self.unused() {
            return Some(format!("`{unused}` does nothing with `tell` = \"{}\"; leave it out", self.word()));
        }
        self.out_of_range()
    }

    /// A setting that what is told has no use for.
    fn unused(&self) -> Option<&'static str> {
        use Tell::{Counts, Eras, Followed, Patients, PatientsSketch, Quantiles, Sessions, Totals};
        let of = |all: &[Tell]| all.contains(&self.tell);
        let windows = of(&[Counts, Patients, PatientsSketch, Quantiles]);
        let pair = of(&[Followed]);
        [
            ("window", self.window.is_some() && !(windows || of(&[Totals]))),
            ("step", self.step.is_some() && !windows),
            ("most", self.most.is_some() && !of(&[Counts])),
            ("every_rows", self.every_rows.is_some() && !of(&[Totals])),
            ("every_sum", self.every_sum.is_some() && !of(&[Totals])),
            ("forget", self.forget.is_some() && !of(&[Totals])),
            ("lateness", self.lateness.is_some() && !of(&[Counts, PatientsSketch, Quantiles])),
            ("gap", self.gap.is_some() && !of(&[Sessions, Eras])),
            ("value", self.value.is_some() && !of(&[Counts, Quantiles, Totals, Followed])),
            ("then", self.then.is_some() && !pair),
            ("then_value", self.then_value.is_some() && !pair),
            ("then_group", self.then_group.is_some() && !pair),
            ("within", self.within.is_some() && !pair),
        ]
        .into_iter()
        .find_map(|(name, unused)| unused.then_some(name))
    }

    /// What is too small, too large, or in the wrong order.
    fn out_of_range(&self) -> Option<String> {
        let seconds = |text: &Option<String>| text.as_deref().and_then(span).map(|d| d.as_secs());
        let (window, step) = (seconds(&self.window), seconds(&self.step));
        let panes = window.zip(step).and_then(|(w, s)| w.checked_div(s));
        let remembered = span(&self.remembered).map_or(0, |d| d.as_secs());
        let needed = window.unwrap_or(0) + seconds(&self.lateness).unwrap_or(0) + seconds(&self.gap).unwrap_or(0);
        let within = self.within.as_ref().map(|[from, to]| (span(from), span(to)));
        let longest = within.map_or(0, |(from, to)| from.max(to).map_or(0, |d| d.as_secs()));
        let wrong = [
            (
                window.zip(step).is_some_and(|(w, s)| s == 0 || w % s != 0),
                "`window` must be a whole multiple of `step`",
            ),
            (
                window.is_some_and(|w| w == 0 || w > 3660 * 86_400),
                "`window` must be longer than nothing, and at most 3660d",
            ),
            (
                self.tell == Tell::Patients && panes.is_some_and(|p| p > 32),
                "`patients` slide over at most 32 steps; take a longer `step`, or patients_sketch",
            ),
            (
                self.most.is_some_and(|most| most == 0 || seconds(&self.lateness).unwrap_or(0) > 0),
                "`most` must be at least 1, and its windows are told once, without `lateness`",
            ),
            (self.every_rows.is_some_and(|n| n < 1), "`every_rows` must be at least 1"),
            (
                self.every_sum.is_some_and(|n| !(FIXED.recip()..=1e12).contains(&n)),
                "`every_sum` must be at least a millionth, and at most 1e12",
            ),
            (seconds(&self.forget) == Some(0), "`forget` must be longer than nothing"),
            (seconds(&self.gap) == Some(0), "`gap` must be longer than nothing"),
            (within.is_some_and(|(from, to)| from > to), "`within` must be from the earlier to the later"),
            (
                self.then.as_ref() == Some(&self.table),
                "`then` must be another table than `table`: each row would follow itself",
            ),
            (panes.is_some_and(|p| p > 10_000), "`window` may have at most 10000 `step`s; take a longer `step`"),
            (
                remembered < longest || remembered < span(&self.out_of_order).map_or(0, |d| d.as_secs()),
                "`remembered` must be at least as long as `within` and `out_of_order`",
            ),
            (span(&self.checkpoint).is_some_and(|c| c.as_secs() == 0), "`checkpoint` must be at least 1s"),
            (self.keep == 0, "`keep` must be at least 1"),
            (!(1..=32).contains(&self.shards), "`shards` must be 1 to 32"),
            (
                remembered < needed.max(1),
                "`remembered` must be at least as long as `window`, `lateness` and `gap` together",
            ),
        ];
        wrong.into_iter().find_map(|(is, says)| is.then(|| says.to_owned()))
    }

    /// How many things say when totals are told.
    fn triggers(&self) -> usize {
        [self.window.is_some(), self.every_rows.is_some(), self.every_sum.is_some()].into_iter().filter(|t| *t).count()
    }

    /// What its operators are, for state that must not be taken over by others.
    pub(super) fn made_of(&self) -> String {
        let part =
            |name: &str, text: &Option<String>| text.as_ref().map(|t| format!(" {name} {t}")).unwrap_or_default();
        let within = self.within.as_ref().map(|[from, to]| format!(" within {from} to {to}")).unwrap_or_default();
        let parts = [
            part("group", &self.group),
            part("value", &self.value),
            part("window", &self.window),
            part("step", &self.step),
            part("lateness", &self.lateness),
            part("gap", &self.gap),
            part("most", &self.most.map(|n| n.to_string())),
            part("every_rows", &self.every_rows.map(|n| n.to_string())),
            part("every_sum", &self.every_sum.map(|n| n.to_string())),
            part("forget", &self.forget),
            part("then", &self.then),
            part("then_group", &self.then_group),
            part("then_value", &self.then_value),
            // Rows that were forgotten would be new to a job that remembers longer.
            part("remembered", &Some(self.remembered.clone()).filter(|r| *r != quarter())),
        ];
        let of = self.topic.as_ref().map_or_else(|| self.table.clone(), Topic::made_of);
        let back = matches!(self.tell, Tell::Patients | Tell::Sessions | Tell::Eras);
        let back = if back { ", rows can be taken back" } else { "" };
        format!("{} of {of}{}{within}{back}", self.word(), parts.concat())
    }

    /// Its word in `site.toml`.
    pub(super) fn word(&self) -> String {
        serde_json::to_value(self.tell).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
    }
}
