//! The plan: what is signed.

use proto::Hash;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::budget;
use crate::check::{self, Problem};
use crate::spec::Study;

/// The format of the canonical bytes.
pub const FORMAT: &str = "insitu-plan-2";
/// No plan is larger.
pub const MOST_BYTES: usize = 1 << 20;

/// A study that passed every check, for one federation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`FORMAT`].
    pub format: String,
    /// The federation it is for: a plan can't be replayed in another.
    pub federation: String,
    /// The study.
    pub study: Study,
}

/// Bytes that are no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// They do not parse.
    #[error("the plan can't be read: {0}")]
    Unreadable(String),
    /// They are not the canonical bytes of what they say.
    #[error("the plan is not in canonical form; submit it with this version's command line")]
    NotCanonical,
    /// The study has problems.
    #[error("the plan is not valid: {0}")]
    Invalid(String),
}

impl Plan {
    /// A plan from a study.
    ///
    /// # Errors
    /// All that is wrong with the study.
    pub fn new(federation: &str, study: Study) -> Result<Plan, Vec<Problem>> {
        let mut problems = check::check(&study);
        let written = study.clone();
        let study = crate::subgroup::expanded(&study);
        let plan = Plan { format: FORMAT.to_owned(), federation: federation.to_owned(), study };
        if problems.is_empty() {
            problems = check::check(&plan.study);
        }
        if problems.is_empty()
            && let Err(reason) = budget::allocate(&plan)
        {
            problems.push(Problem::at(&["privacy", "epsilon"], reason, "raise epsilon, or ask for less"));
        }
        let reads_back = plan.canonical().ok().and_then(|b| Plan::parse(&b).ok()).is_some_and(|p| p == plan);
        if problems.is_empty() && !reads_back {
            let path = changed(&written).unwrap_or_default();
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let message = "the number does not read back as it was written";
            problems.push(Problem::at(&path, message, "write it with fewer than 16 digits"));
        }
        if problems.is_empty() { Ok(plan) } else { Err(problems) }
    }

    /// The canonical bytes: JSON in the order of the types' fields, maps in the order of their keys, no spaces, numbers in
    /// their shortest form that reads back the same.
    ///
    /// # Errors
    /// A number is not finite.
    pub fn canonical(&self) -> Result<Vec<u8>, PlanError> {
        serde_json::to_vec(self).map_err(|e| PlanError::Unreadable(e.to_string()))
    }

    /// Reads canonical bytes; checks the form and everything that [`check`] checks.
    ///
    /// # Errors
    /// Which of these fails.
    pub fn parse(bytes: &[u8]) -> Result<Plan, PlanError> {
        if bytes.len() > MOST_BYTES {
            return Err(PlanError::Unreadable(format!("it is larger than {MOST_BYTES} bytes")));
        }
        let plan: Plan = serde_json::from_slice(bytes).map_err(|e| PlanError::Unreadable(e.to_string()))?;
        if plan.format != FORMAT {
            return Err(PlanError::Unreadable(format!("its format is '{}', and {FORMAT} is needed", plan.format)));
        }
        if plan.canonical()? != bytes {
            return Err(PlanError::NotCanonical);
        }
        let problems = check::check(&plan.study);
        match problems.first() {
            Some(p) => Err(PlanError::Invalid(p.to_string())),
            None => Ok(plan),
        }
    }

    /// The hash that is signed.
    ///
    /// # Errors
    /// As [`Plan::canonical`].
    pub fn hash(&self) -> Result<Hash, PlanError> {
        Ok(hash_of(&self.canonical()?))
    }
}

/// Where a study's first number lies that its JSON does not read back as it is.
fn changed(study: &Study) -> Option<Vec<String>> {
    let before = serde_json::to_value(study).ok()?;
    let after = serde_json::from_slice(&serde_json::to_vec(study).ok()?).ok()?;
    differs(&before, &after)
}

fn differs(a: &Value, b: &Value) -> Option<Vec<String>> {
    let below = |key: String, a: &Value, b: Option<&Value>| {
        let mut path = differs(a, b.unwrap_or(&Value::Null))?;
        path.insert(0, key);
        Some(path)
    };
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => a.iter().find_map(|(k, v)| below(k.clone(), v, b.get(k))),
        (Value::Array(a), Value::Array(b)) => a.iter().enumerate().find_map(|(i, v)| below(i.to_string(), v, b.get(i))),
        (a, b) => (a != b).then(Vec::new),
    }
}

/// The hash of canonical bytes.
pub fn hash_of(canonical: &[u8]) -> Hash {
    Hash::of_parts(&[b"insitu plan v1\0", canonical])
}
