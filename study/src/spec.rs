//! What a study says, as a whole.

use std::collections::BTreeMap;

use proto::StudyId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::analysis::Analysis;
use crate::cohort::Cohort;
use crate::feature::Feature;
use crate::stream::Stream;
use crate::subgroup::Subgroup;

/// Codes by the alias of their code system; a code may end in `*`, which stands for any ending.
pub type ConceptSet = BTreeMap<String, Vec<String>>;

/// A study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// Its id: 1 to 64 of a–z, 0–9 and -.
    #[schemars(with = "String")]
    pub id: StudyId,
    /// Its version, for people.
    pub version: String,
    /// What it is about, in one line.
    #[serde(default)]
    pub title: String,
    /// The range of the common schema that it was written for.
    pub schema: String,
    /// Why: `research`, `public_health`, `quality`.
    pub purpose: String,
    /// The last day, `YYYY-MM-DD`, on which a site may take part.
    pub expires: String,
    /// How precise the day of an event must be known for it to count.
    #[serde(default, skip_serializing_if = "Precision::is_day")]
    pub precision: Precision,
    /// Rounds.
    #[serde(default)]
    pub rounds: Rounds,
    /// Names for code systems of one's own.
    #[serde(default)]
    pub code_systems: BTreeMap<String, String>,
    /// Concept sets by name.
    #[serde(default)]
    pub concept_sets: BTreeMap<String, ConceptSet>,
    /// Cohorts by name; an analysis uses `target` unless it says otherwise.
    pub cohorts: BTreeMap<String, Cohort>,
    /// Subgroups that are declared in advance, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub subgroups: BTreeMap<String, Subgroup>,
    /// Features by name.
    #[serde(default)]
    pub features: BTreeMap<String, Feature>,
    /// The analyses, in order.
    pub analysis: Vec<Analysis>,
    /// The windows of a continuous study.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<Stream>,
    /// Privacy.
    pub privacy: Privacy,
    /// What a site's data must be like before anything is asked of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dq_gate: Option<QualityGate>,
    /// Small numbers.
    #[serde(default)]
    pub suppression: Suppression,
    /// Reporting.
    #[serde(default)]
    pub report: Report,
}

impl Study {
    /// Whether a cohort or a feature is said in SQL.
    pub fn has_sql(&self) -> bool {
        self.cohorts.values().any(|c| c.sql.is_some())
            || self.features.values().any(|f| matches!(f, Feature::Sql { .. }))
    }
}

/// How precise the day of an event is known. An event of a year stands at its first day in gold, and that day is not meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// The year is enough.
    Year,
    /// The month is.
    Month,
    /// The day.
    #[default]
    Day,
}

impl Precision {
    fn is_day(&self) -> bool {
        *self == Precision::Day
    }

    /// The schema's words for what is coarser.
    pub fn coarser(self) -> &'static [&'static str] {
        match self {
            Precision::Year => &[],
            Precision::Month => &["year"],
            Precision::Day => &["year", "month"],
        }
    }
}

/// How rounds are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rounds {
    /// A round with fewer sites fails.
    pub min_sites: u32,
    /// How long a round waits for its sites, in seconds.
    pub deadline_seconds: u32,
    /// How long the first round waits for sites to approve and come online, once `min_sites` have, in seconds.
    pub gather_seconds: u32,
    /// How often a failed round is tried again. Sites send the same bytes again and pay nothing.
    pub attempts: u32,
}

impl Default for Rounds {
    fn default() -> Rounds {
        Rounds { min_sites: 3, deadline_seconds: 600, gather_seconds: 30, attempts: 5 }
    }
}

/// What the study may cost a patient.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Privacy {
    /// ε of the whole study, at each site.
    pub epsilon: f64,
    /// δ of the whole study.
    #[serde(default = "default_delta")]
    pub delta: f64,
    /// Who is protected.
    #[serde(default)]
    pub unit: Unit,
    /// In how many hospitals of the federation one patient may be. Above 1, the noise is scaled so that ε holds for a patient of
    /// so many hospitals: `m²` times less ρ under secure aggregation, `m` times less with local noise.
    #[serde(default = "one")]
    pub hospitals_per_patient: u32,
    /// How the sites' sums meet.
    #[serde(default)]
    pub aggregation: Aggregation,
    /// Under secure aggregation: how many sites must come through; more than two thirds of those asked, where not given.
    #[serde(default)]
    pub threshold: Option<u32>,
    /// Under secure aggregation: how many sites may help the coordinator. The noise is sized for the threshold less these.
    #[serde(default)]
    pub colluders: u32,
    /// Under secure aggregation: how many failed rounds, over the whole study, may be paid for again. Each costs a round's charge
    /// on top of the study's.
    #[serde(default = "one")]
    pub reruns: u32,
    /// Only patients who entered in these years, the first and the last; only their budget is charged. None: all.
    #[serde(default)]
    pub entered: Option<[u16; 2]>,
}

impl Privacy {
    /// How many of so many sites must come through a secure round: as the plan fixes it, else more than two thirds, and more where
    /// colluders ask for more: twice the threshold is above sites and colluders together.
    pub fn threshold(&self, sites: usize) -> usize {
        let holds = (sites + self.colluders as usize) / 2 + 1;
        self.threshold.map_or_else(|| privacy::secagg::default_threshold(sites).max(holds), |t| t as usize)
    }

    /// How many sites a secure round may have at most: for more, a threshold that the plan fixes would not hold.
    pub fn most_sites(&self) -> usize {
        self.threshold.map_or(usize::MAX, |t| (2 * t as usize).saturating_sub(self.colluders as usize + 1))
    }

    /// Who is protected, in words.
    pub fn unit(&self) -> String {
        match self.hospitals_per_patient {
            0 | 1 => "patient at a hospital".to_owned(),
            m => format!("patient of at most {m} hospitals"),
        }
    }
}

fn default_delta() -> f64 {
    1e-6
}

fn one() -> u32 {
    1
}

/// Who is protected. A patient of m hospitals has m times the local cost; the name says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Unit {
    /// A patient's data at one hospital, or at `hospitals_per_patient`.
    #[default]
    #[serde(rename = "patient at a hospital")]
    PatientAtHospital,
}

/// How the sites' sums meet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Aggregation {
    /// Each site's release is private by itself.
    #[default]
    Local,
    /// The coordinator sees the sum alone, and the sites share the noise.
    Secure,
}

/// Small numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Suppression {
    /// Numbers of patients below this are not shown.
    pub k: u64,
    /// A site whose noisy number of patients in a cohort is below this does not answer for it; the site's own least holds as well.
    pub min_cohort: u64,
    /// On which value the rule is applied.
    pub basis: Basis,
}

/// On which value suppression is decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// The noisy one: costs nothing and leaks nothing.
    #[default]
    Noisy,
}

impl Default for Suppression {
    fn default() -> Suppression {
        Suppression { k: 11, min_cohort: 0, basis: Basis::Noisy }
    }
}

/// Checks of data quality that a site must pass. Each looks at the mean over patients of the share of their rows that are bad; a
/// site decides on that with noise, before it reads an outcome, and nothing but the decision leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QualityGate {
    /// The most that is tolerated, in per cent, by the name of the check in [`crate::quality`].
    pub require: BTreeMap<String, f64>,
    /// ε of all checks together, beside the study's own, once a site and version of its data.
    #[serde(default = "gate_epsilon")]
    pub epsilon: f64,
    /// What becomes of a site where the noise is larger than the margin.
    #[serde(default)]
    pub unknown: Unknown,
}

/// 0.1 a refresh of the data.
fn gate_epsilon() -> f64 {
    0.1
}

/// What becomes of a site of which a check says neither yes nor no.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// It stays in.
    #[default]
    Keep,
    /// It is left out.
    LeaveOut,
}

/// Reporting.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Report {
    /// The level of intervals.
    pub confidence: f64,
}

impl Default for Report {
    fn default() -> Report {
        Report { confidence: 0.95 }
    }
}
