//! What hospitals have in common in a regression.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether each hospital has a baseline of its own: an intercept, or of a Cox model the hazard. Only in secure rounds, whose sum can't be
/// taken apart, is the baseline common whatever is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// One for each: only patients of one hospital are compared.
    #[default]
    Hospital,
    /// One for all: the fit of all patients together, as if of one hospital.
    Common,
}

impl Baseline {
    /// Whether it is the default.
    pub fn is_hospital(&self) -> bool {
        *self == Baseline::Hospital
    }
}
