//! `[[streams.job]]` of `site.toml`: what the hospital counts for itself, as it happens.

use std::time::Duration;

use schema::{Kind, Table};
use serde::{Deserialize, Serialize};

/// A job over the lake's rows. Its answers stay at the site.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct JobSettings {
    /// Its name, of lower-case letters, digits and `-`.
    pub name: String,
    /// The table whose rows are its events.
    pub table: String,
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
    /// The gap of sessions and eras.
    pub gap: Option<String>,
    /// A second table, for `followed`: which rows of it follow within `within`.
    pub then: Option<String>,
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
        let named = |name: &str| {
            Table::parse(name)
                .ok_or(format!("there is no table '{name}'; tables are those of the schema, such as measurement"))
        };
        let table = match named(&self.table) {
            Ok(table) => table,
            Err(e) => return Some(e),
        };
        if let Some(e) = self.then.as_deref().and_then(|t| named(t).err()) {
            return Some(e);
        }
        let column = |field: &str, name: &Option<String>, kinds: &[Kind]| {
            let name = name.as_ref()?;
            let found = table.column(name).filter(|c| kinds.contains(&c.kind));
            found
                .is_none()
                .then(|| format!("`{field}`: the table '{}' has no column '{name}' of that kind", self.table))
        };
        let lengths = [
            ("window", self.window.as_deref()),
            ("step", self.step.as_deref()),
            ("lateness", self.lateness.as_deref()),
            ("gap", self.gap.as_deref()),
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
        let lacks = |field: &str| Some(format!("`tell` = \"{}\" needs `{field}`", self.word()));
        match self.tell {
            Tell::Sessions | Tell::Eras if self.gap.is_none() => return lacks("gap"),
            Tell::Followed if self.then.is_none() || self.within.is_none() => return lacks("then` and `within"),
            Tell::Counts | Tell::Patients | Tell::PatientsSketch | Tell::Quantiles | Tell::Totals
                if self.window.is_none() =>
            {
                return lacks("window");
            }
            Tell::Quantiles if self.value.is_none() => return lacks("value"),
            Tell::Eras if table.column("end_date").is_none() => {
                return Some(format!(
                    "rows of '{}' do not last; eras are of drug_exposure, condition or visit",
                    self.table
                ));
            }
            _ => {}
        }
        if let (Some(window), Some(step)) = (self.window.as_deref().and_then(span), self.step.as_deref().and_then(span))
        {
            if step.is_zero() || window < step || window.as_secs() % step.as_secs() != 0 {
                return Some("`window` must be a whole multiple of `step`".to_owned());
            }
        }
        if self.window.as_deref().and_then(span).is_some_and(|w| w.is_zero()) {
            return Some("`window` must be longer than nothing".to_owned());
        }
        column("group", &self.group, &[Kind::Category])
            .or_else(|| column("value", &self.value, &[Kind::Real, Kind::Integer]))
    }

    /// Its word in `site.toml`.
    pub(super) fn word(&self) -> String {
        serde_json::to_value(self.tell).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
    }
}
