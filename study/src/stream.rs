//! A continuous study: windows of days or hours, and when each is told.
//!
//! A window's question is the study's own with the cohort's entry between the window's first and last day, so that whatever a study can
//! ask, a window can. When it is told is a function of the plan alone: nothing of a patient moves it.

use std::fmt;

use privacy::Correlation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The windows of a continuous study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// The first day of the first window, `YYYY-MM-DD`, by each hospital's own calendar.
    pub from: String,
    /// The last day that a window may have.
    pub until: String,
    /// `tumbling 1d`, or `sliding 7d every 1d`: whole days, `d`, or weeks, `w`; or hours of UTC, `h`, as in `tumbling 6h`.
    #[schemars(with = "String")]
    pub window: Window,
    /// When a window is told, after its end: `+24h:preliminary`, `+7d:final`, `+30d:correction`. Each is a release, and is paid for.
    #[serde(default = "week_later")]
    #[schemars(with = "Vec<String>")]
    pub emit: Vec<Emit>,
    /// In how many windows a patient counts at most; what is in more of them is left out of the later ones. All, where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows_per_patient: Option<u32>,
    /// How the windows' noises hang together. `tree` and `toeplitz` make sums over many windows precise, and each window less so.
    #[serde(default, skip_serializing_if = "Noise::is_independent")]
    pub noise: Noise,
    /// What is looked for in the finished windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm: Option<Alarm>,
}

fn week_later() -> Vec<Emit> {
    vec![Emit { hours: 7 * 24, word: Word::Final }]
}

/// How the noises of windows hang together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Noise {
    /// Each window has its own.
    #[default]
    Independent,
    /// Nodes of a binary tree over the windows.
    Tree,
    /// The square root of the prefix sums.
    Toeplitz,
}

impl Noise {
    fn is_independent(&self) -> bool {
        *self == Noise::Independent
    }

    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Noise::Independent => "independent",
            Noise::Tree => "tree",
            Noise::Toeplitz => "toeplitz",
        }
    }

    /// How they hang together, where they do.
    pub fn correlation(self) -> Option<Correlation> {
        match self {
            Noise::Independent => None,
            Noise::Tree => Some(Correlation::Tree),
            Noise::Toeplitz => Some(Correlation::Toeplitz),
        }
    }
}

/// A window: how many hours it has, and how many lie between the beginnings of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Window {
    /// Its hours.
    pub hours: u32,
    /// The hours from one window's beginning to the next one's: at most `hours`.
    pub every: u32,
}

impl Window {
    /// Whether it is of whole days, by each hospital's own calendar; else it is of hours of UTC.
    pub fn is_of_days(&self) -> bool {
        self.hours.is_multiple_of(24) && self.every.is_multiple_of(24)
    }

    /// Whether windows stand end to end.
    pub fn is_tumbling(&self) -> bool {
        self.hours == self.every
    }
}

/// When a window is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Emit {
    /// Hours after the window's end.
    pub hours: u32,
    /// As what.
    pub word: Word,
}

/// What a telling is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// Not all is known yet.
    Preliminary,
    /// What counts.
    Final,
    /// Once more, with what came later.
    Correction,
}

impl Word {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Word::Preliminary => "preliminary",
            Word::Final => "final",
            Word::Correction => "correction",
        }
    }
}

/// Which rule raises an alarm, on numbers that were released: it costs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alarm {
    /// The rule.
    pub method: Rule,
    /// Where it raises one; the rule's usual value where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
}

/// A rule of surveillance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// EARS C1: against the seven windows before.
    EarsC1,
    /// EARS C2: against seven windows, with two between.
    EarsC2,
    /// EARS C3: what C2 was above 1, over three windows.
    EarsC3,
    /// The upper cumulative sum of standard scores.
    Cusum,
}

/// Days or hours of `7d`, `1w`, `24h`, in hours.
fn hours(text: &str) -> Option<u32> {
    let unit = text.chars().last()?;
    let number: u32 = text.strip_suffix(unit)?.parse().ok()?;
    let each = match unit {
        'h' => 1,
        'd' => 24,
        'w' => 7 * 24,
        _ => return None,
    };
    number.checked_mul(each).filter(|h| (1..=24 * 3660).contains(h))
}

impl TryFrom<String> for Window {
    type Error = String;

    fn try_from(text: String) -> Result<Window, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let read = match words.as_slice() {
            ["tumbling", size] => hours(size).map(|hours| Window { hours, every: hours }),
            ["sliding", size, "every", step] => match (hours(size), hours(step)) {
                (Some(hours), Some(every)) if every <= hours => Some(Window { hours, every }),
                _ => None,
            },
            _ => None,
        };
        read.ok_or_else(|| {
            format!("'{text}' is no window; write \"tumbling 1d\", \"tumbling 6h\" or \"sliding 7d every 1d\", the step no longer than the window")
        })
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, each) = if self.is_of_days() { ("d", 24) } else { ("h", 1) };
        match self.is_tumbling() {
            true => write!(f, "tumbling {}{unit}", self.hours / each),
            false => write!(f, "sliding {}{unit} every {}{unit}", self.hours / each, self.every / each),
        }
    }
}

impl From<Window> for String {
    fn from(window: Window) -> String {
        window.to_string()
    }
}

impl TryFrom<String> for Emit {
    type Error = String;

    fn try_from(text: String) -> Result<Emit, String> {
        let read = text.strip_prefix('+').and_then(|t| t.split_once(':')).and_then(|(after, word)| {
            let word = [Word::Preliminary, Word::Final, Word::Correction].into_iter().find(|w| w.as_str() == word)?;
            Some(Emit { hours: hours(after)?, word })
        });
        read.ok_or_else(|| {
            format!("'{text}' is no telling; write \"+24h:preliminary\", \"+7d:final\" or \"+30d:correction\"")
        })
    }
}

impl fmt::Display for Emit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.hours % 24 {
            0 => write!(f, "+{}d:{}", self.hours / 24, self.word.as_str()),
            _ => write!(f, "+{}h:{}", self.hours, self.word.as_str()),
        }
    }
}

impl From<Emit> for String {
    fn from(emit: Emit) -> String {
        emit.to_string()
    }
}
