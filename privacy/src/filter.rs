//! The privacy filter: the only place where a charge is minted.

use serde::{Deserialize, Serialize};

use crate::accounting::Rho;

/// What may be spent at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caps {
    /// By one study.
    pub study: Rho,
    /// By all studies in one calendar year.
    pub year: Rho,
    /// By all studies, ever.
    pub lifetime: Rho,
}

impl Default for Caps {
    /// Study ρ = 0.02 (ε 0.90 at δ = 1e-6 by the tight conversion), year 0.10 (2.14), lifetime 0.50 (5.22).
    fn default() -> Caps {
        Caps {
            study: Rho::from_nano(20_000_000),
            year: Rho::from_nano(100_000_000),
            lifetime: Rho::from_nano(500_000_000),
        }
    }
}

/// What has been spent, as the ledger has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// By this study.
    pub study: Rho,
    /// In this year.
    pub year: Rho,
    /// Ever.
    pub lifetime: Rho,
}

/// A permission to spend once. It can't be copied, and only [`PrivacyFilter::admit`] makes one.
#[derive(Debug, PartialEq, Eq)]
pub struct Charge {
    rho: Rho,
}

impl Charge {
    /// How much.
    pub fn rho(&self) -> Rho {
        self.rho
    }
}

/// A charge was refused. The text has sums of budgets alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {cap} budget is spent: {asked} asked, {spent} of {limit} spent, {} left (ρ); raise the cap in site.toml or wait", limit.minus(*spent))]
pub struct Refusal {
    /// Which cap: `study`, `site-year` or `lifetime`.
    pub cap: &'static str,
    /// What was asked.
    pub asked: Rho,
    /// What is spent.
    pub spent: Rho,
    /// The cap.
    pub limit: Rho,
}

/// Admits charges under caps.
#[derive(Clone, Copy, Debug)]
pub struct PrivacyFilter {
    caps: Caps,
}

impl PrivacyFilter {
    /// A filter with these caps.
    pub fn new(caps: Caps) -> PrivacyFilter {
        PrivacyFilter { caps }
    }

    /// A charge, where each cap holds it.
    ///
    /// # Errors
    /// The first cap that does not.
    pub fn admit(&self, rho: Rho, spent: &Spent) -> Result<Charge, Refusal> {
        for (cap, spent, limit) in [
            ("study", spent.study, self.caps.study),
            ("site-year", spent.year, self.caps.year),
            ("lifetime", spent.lifetime, self.caps.lifetime),
        ] {
            if spent.plus(rho) > limit {
                return Err(Refusal { cap, asked: rho, spent, limit });
            }
        }
        Ok(Charge { rho })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever is asked, in whatever order: no cap is ever passed.
        #[test]
        fn no_sequence_passes_a_cap(asks in prop::collection::vec((0u8..3, 0u64..9_000_000), 0..200)) {
            let caps = Caps::default();
            let filter = PrivacyFilter::new(caps);
            let mut studies = [Rho::ZERO; 3];
            let mut all = Rho::ZERO;
            for (study, nano) in asks {
                let study = usize::from(study);
                let spent = Spent { study: studies[study], year: all, lifetime: all };
                if let Ok(charge) = filter.admit(Rho::from_nano(nano), &spent) {
                    studies[study] = studies[study].plus(charge.rho());
                    all = all.plus(charge.rho());
                }
                prop_assert!(studies[study] <= caps.study && all <= caps.year && all <= caps.lifetime);
            }
        }
    }

    #[test]
    fn the_last_billionth_is_admitted_and_no_more() {
        let filter = PrivacyFilter::new(Caps::default());
        let spent = Spent { study: Rho::from_nano(19_999_999), ..Spent::default() };
        assert!(filter.admit(Rho::from_nano(1), &spent).is_ok());
        let refused = filter.admit(Rho::from_nano(2), &spent).unwrap_err();
        assert_eq!(refused.cap, "study");
        assert!(refused.to_string().contains("budget is spent"));
    }
}
