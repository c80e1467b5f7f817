//! What an analysis asks for, and how it is called.

use super::{Analysis, What};

impl Analysis {
    /// The features that its patients are asked for, in the order of their columns.
    pub fn columns(&self) -> Vec<String> {
        let mut out = self.what.features();
        for feature in &self.beside {
            if !out.contains(feature) {
                out.push(feature.clone());
            }
        }
        out
    }

    /// Whether a hospital can go on by itself from the common coefficients.
    pub fn has_own_steps(&self) -> bool {
        matches!(self.what, What::Logistic { .. } | What::Poisson { .. } | What::Cox { .. })
    }

    /// Without noise: see [`What::exact`]. Hospitals go on to their own maxima, which costs nothing then.
    pub fn exact(&mut self) {
        self.what.exact();
        if self.by_hospital && self.has_own_steps() {
            self.own_steps = self.own_steps.max(50);
        }
    }

    /// Its name in results.
    pub fn label(&self) -> String {
        if self.name.is_empty() { self.what.kind().to_owned() } else { self.name.clone() }
    }
}
