//! The privacy filter: the only place where a charge is minted.
//!
//! A site's patients are in blocks, by the year in which they entered. A charge is admitted where every block that it touches
//! holds it under each of its caps. A cap is one Rényi order, fixed by the cap before anything is spent, and the most that may
//! be spent at it: a Rényi filter of one order, valid for costs that are chosen adaptively (Feldman and Zrnic 2021, "Individual
//! privacy accounting via a Rényi filter", theorem 4.3). A δ slot beside it bounds what adds up by itself.

use serde::{Deserialize, Serialize};

use crate::accounting::Rho;
use crate::accounting::orders::ORDERS;
use crate::continual::Continual;
use crate::cost::{Cost, DeltaSlot};

/// The year in which a block's patients entered.
pub type Block = u16;

/// The most that may be spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cap {
    /// As ρ: αρ at the cap's order α.
    pub rho: Rho,
    /// Of δ that adds up.
    pub delta: DeltaSlot,
}

/// The δ at which a cap's order is best.
const REFERENCE_DELTA: f64 = 1e-6;

impl Cap {
    /// Of these.
    pub fn new(rho: Rho, delta: f64) -> Cap {
        Cap { rho, delta: DeltaSlot::allowance(delta) }
    }

    /// The place in the grid of the order that the cap watches: the one next to 1 + √(ln(1/δ)/ρ), where the conversion of the
    /// cap to ε at δ = 1e-6 has its minimum.
    pub fn order(&self) -> usize {
        let best = 1.0 + ((1.0 / REFERENCE_DELTA).ln() / self.rho.value().max(1e-9)).sqrt();
        let far = |alpha: &f64| (alpha.ln() - best.ln()).abs();
        (0..ORDERS.len())
            .min_by(|a, b| far(ORDERS.get(*a).unwrap_or(&1.0)).total_cmp(&far(ORDERS.get(*b).unwrap_or(&1.0))))
            .unwrap_or_default()
    }

    /// Whether it holds a sum.
    pub fn holds(&self, sum: &Cost) -> bool {
        if sum.delta > self.delta {
            return false;
        }
        if sum.rdp.is_zero() {
            return sum.rho <= self.rho; // The same at every order, and exact.
        }
        let order = self.order();
        sum.at(order) <= Cost::gaussian(self.rho).at(order)
    }

    /// How much Gaussian noise it still holds beside a sum.
    pub fn left(&self, sum: &Cost) -> Rho {
        if sum.delta > self.delta {
            return Rho::ZERO;
        }
        if sum.rdp.is_zero() {
            return self.rho.minus(sum.rho);
        }
        let order = self.order();
        let room = Cost::gaussian(self.rho).at(order).saturating_sub(sum.at(order));
        let alpha = ORDERS.get(order).copied().unwrap_or(f64::INFINITY);
        // Two billionths to the safe side: sums round up.
        Rho::from_nano(((room as f64 / alpha) as u64).saturating_sub(2))
    }
}

/// What may be spent of a block at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caps {
    /// By one study.
    pub study: Cap,
    /// By all studies, in the calendar year in which the block is first open.
    pub year: Cap,
    /// By all studies, in every later calendar year: the declared tranche.
    pub tranche: Cap,
    /// By all studies, ever.
    pub lifetime: Cap,
}

impl Default for Caps {
    /// Study ρ = 0.02 (ε 0.83 at δ = 1e-6), a year and each tranche 0.10 (2.00), lifetime 0.50 (4.89); δ slots of 1e-6, 5e-6 and
    /// 2.5e-5.
    fn default() -> Caps {
        let cap = |nano, delta| Cap::new(Rho::from_nano(nano), delta);
        Caps {
            study: cap(20_000_000, 1e-6),
            year: cap(100_000_000, 5e-6),
            tranche: cap(100_000_000, 5e-6),
            lifetime: cap(500_000_000, 2.5e-5),
        }
    }
}

impl Caps {
    /// One ρ for all of them; for tests and previews.
    pub fn flat(rho: Rho) -> Caps {
        let cap = Cap::new(rho, 1.0);
        Caps { study: cap, year: cap, tranche: cap, lifetime: cap }
    }
}

/// What has been spent of a block, as the ledger has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// By this study.
    pub study: Cost,
    /// In this calendar year.
    pub year: Cost,
    /// Ever.
    pub lifetime: Cost,
    /// Whether the block was open in an earlier calendar year: then its tranche counts.
    pub old: bool,
}

/// A permission to spend once. It can't be copied, and only [`PrivacyFilter::admit`], [`Prepaid::charge`] and [`crate::sampled::FixedPlan`] make
/// one.
#[derive(Debug, PartialEq, Eq)]
pub struct Charge {
    cost: Cost,
    /// What the noise is drawn for: the cost's own, or a part of what was paid before.
    noise: Rho,
    blocks: Vec<Block>,
    /// Where noises of a series hang together: then [`Charge::rho`] is of one that is drawn, and no other noise may be.
    series: Option<Continual>,
}

/// Releases that were paid for at once: a patient is in so many of them at most, whichever these are.
///
/// The vector of all releases moves with one patient in at most `most` of its parts, by the parts' own sensitivity Δ in each, so by
/// Δ·√most together, and noise of ρ/most on each part costs ρ for all, however many parts there are (zero-concentrated privacy of Gaussian
/// noise composes by sums of ρ: Bun and Steinke 2016, lemma 2.3; also where a part's question hangs on the answers before it).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepaid {
    whole: Rho,
    most: u32,
    series: Option<Continual>,
}

impl Prepaid {
    /// `whole` for releases of which a patient is in `most`, at least one.
    pub fn new(whole: Rho, most: u32) -> Prepaid {
        Prepaid { whole, most: most.max(1), series: None }
    }

    /// `whole` for a series of windows with correlated noise.
    pub fn series(whole: Rho, series: Continual) -> Prepaid {
        Prepaid { whole, most: 1, series: Some(series) }
    }

    /// How the noises hang together, where they do.
    pub fn correlated(&self) -> Option<Continual> {
        self.series
    }

    /// What is paid at once.
    pub fn cost(&self) -> Cost {
        Cost::gaussian(self.whole)
    }

    /// What the noise of one release is drawn for. Of a series it is what one noise that is drawn would cost alone; all of them together
    /// cost [`Continual::squared`] times as much, since a patient is in so many of the strategy's sums.
    pub fn noise(&self) -> Rho {
        self.whole.share(1.0, self.series.map_or(f64::from(self.most), |series| series.squared()))
    }

    /// A charge of nothing for one of the releases; `None` unless each of the blocks has paid for them all.
    pub fn charge(&self, paid: &[(Block, Rho)]) -> Option<Charge> {
        let all = !paid.is_empty() && paid.iter().all(|(_, rho)| *rho >= self.whole);
        let blocks = paid.iter().map(|(block, _)| *block).collect();
        all.then(|| Charge { cost: Cost::default(), noise: self.noise(), blocks, series: self.series })
    }
}

impl Charge {
    /// Of nothing, for noise that was paid for before.
    pub(crate) fn of_paid(noise: Rho, blocks: Vec<Block>) -> Charge {
        Charge { cost: Cost::default(), noise, blocks, series: None }
    }

    /// How much.
    pub fn cost(&self) -> &Cost {
        &self.cost
    }

    /// What Gaussian noise is drawn for.
    pub fn rho(&self) -> Rho {
        self.noise
    }

    /// The series of which the release is a window, where the noises hang together.
    pub fn series(&self) -> Option<Continual> {
        self.series
    }

    /// Of which blocks.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }
}

/// A charge was refused. The text has sums of budgets alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the {cap} budget of the patients of {block} is spent: {asked} asked, {spent} spent of ρ {}, δ {:.1e}; \
     raise the cap in site.toml, wait for the next year's tranche, or ask for later years", limit.rho, limit.delta.value()
)]
pub struct Refusal {
    /// Which cap: `study`, `site-year`, `tranche` or `lifetime`.
    pub cap: &'static str,
    /// Which block.
    pub block: Block,
    /// What was asked.
    pub asked: Box<Cost>,
    /// What is spent.
    pub spent: Box<Cost>,
    /// The cap.
    pub limit: Cap,
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

    /// Whether one block holds a cost.
    ///
    /// # Errors
    /// The first cap that does not.
    pub fn holds(&self, cost: &Cost, block: Block, spent: &Spent) -> Result<(), Refusal> {
        let (name, yearly) = if spent.old { ("tranche", self.caps.tranche) } else { ("site-year", self.caps.year) };
        let caps = [
            ("study", &spent.study, self.caps.study),
            (name, &spent.year, yearly),
            ("lifetime", &spent.lifetime, self.caps.lifetime),
        ];
        for (cap, spent, limit) in caps {
            if !limit.holds(&spent.plus(cost)) {
                return Err(Refusal {
                    cap,
                    block,
                    asked: Box::new(cost.clone()),
                    spent: Box::new(spent.clone()),
                    limit,
                });
            }
        }
        Ok(())
    }

    /// A charge to all of these blocks, where every cap of each holds it.
    ///
    /// # Errors
    /// The first cap that does not.
    pub fn admit(&self, cost: Cost, blocks: &[(Block, Spent)]) -> Result<Charge, Refusal> {
        let noise = cost.rho;
        self.admit_with(cost, noise, blocks)
    }

    /// A charge for noise that costs something else than its ρ. Whether it does is for the caller to prove.
    pub(crate) fn admit_with(&self, cost: Cost, noise: Rho, blocks: &[(Block, Spent)]) -> Result<Charge, Refusal> {
        for (block, spent) in blocks {
            self.holds(&cost, *block, spent)?;
        }
        Ok(Charge { noise, cost, blocks: blocks.iter().map(|(b, _)| *b).collect(), series: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever is asked of whichever blocks, in whatever order: no cap of any block is ever passed.
        #[test]
        fn no_sequence_passes_a_cap(asks in prop::collection::vec((0u8..3, 1u8..8, 0u64..9_000_000, any::<bool>()), 0..200)) {
            let caps = Caps::default();
            let filter = PrivacyFilter::new(caps);
            let mut studies = vec![vec![Cost::default(); 3]; 3];
            let mut all = vec![Cost::default(); 3];
            for (study, set, nano, laplace) in asks {
                let study = usize::from(study);
                let blocks: Vec<usize> = (0..3).filter(|b| set >> b & 1 == 1).collect();
                let spent = |b: &usize| {
                    (*b as u16, Spent { study: studies[*b][study].clone(), year: all[*b].clone(), lifetime: all[*b].clone(), old: *b == 0 })
                };
                let cost = if laplace { Cost::laplace(40.0) } else { Cost::gaussian(Rho::from_nano(nano)) };
                if let Ok(charge) = filter.admit(cost, &blocks.iter().map(spent).collect::<Vec<_>>()) {
                    for b in blocks {
                        studies[b][study] = studies[b][study].plus(charge.cost());
                        all[b] = all[b].plus(charge.cost());
                    }
                }
                for b in 0..3 {
                    prop_assert!(caps.study.holds(&studies[b][study]) && caps.year.holds(&all[b]) && caps.lifetime.holds(&all[b]));
                }
            }
        }
    }

    #[test]
    fn what_was_not_paid_for_is_not_released_and_all_parts_together_cost_what_was_paid() {
        let prepaid = Prepaid::new(Rho::from_nano(20_000_001), 6);
        assert!(prepaid.noise().nano() * 6 <= 20_000_001 && prepaid.noise().nano() * 6 > 20_000_001 - 6);
        let paid = |nano| [(2020, Rho::from_nano(20_000_001)), (2021, Rho::from_nano(nano))];
        assert_eq!(prepaid.charge(&paid(20_000_000)), None);
        assert_eq!(prepaid.charge(&[]), None);
        let charge = prepaid.charge(&paid(20_000_001)).unwrap();
        assert_eq!(
            (charge.cost(), charge.rho(), charge.blocks()),
            (&Cost::default(), prepaid.noise(), [2020, 2021].as_slice())
        );
    }

    proptest! {
        /// What is said to be left is held, and hardly more is.
        #[test]
        fn what_is_left_is_held(cap in 1_000_000u64..500_000_000, part in 0.0..1.0f64, checks in 0u32..30) {
            let cap = Cap::new(Rho::from_nano(cap), 1e-6);
            let mut spent = Cost::gaussian(Rho::from_nano((cap.rho.nano() as f64 * part) as u64));
            (0..checks).for_each(|_| spent = spent.plus(&Cost::laplace(20.0)));
            let left = cap.left(&spent);
            if cap.holds(&spent) {
                prop_assert!(left == Rho::ZERO || cap.holds(&spent.plus(&Cost::gaussian(left))));
                prop_assert!(!cap.holds(&spent.plus(&Cost::gaussian(Rho::from_nano(left.nano() + 5)))));
            } else {
                prop_assert_eq!(left, Rho::ZERO);
            }
        }
    }

    #[test]
    fn the_last_billionth_is_admitted_and_no_more() {
        let filter = PrivacyFilter::new(Caps::default());
        let spent = Spent { study: Cost::gaussian(Rho::from_nano(19_999_999)), ..Spent::default() };
        let ask = |nano| filter.admit(Cost::gaussian(Rho::from_nano(nano)), &[(2020, spent.clone())]);
        assert!(ask(1).is_ok());
        let refused = ask(2).unwrap_err();
        assert_eq!((refused.cap, refused.block), ("study", 2020));
        assert!(refused.to_string().contains("budget of the patients of 2020 is spent"), "{refused}");
    }

    #[test]
    fn one_spent_block_refuses_for_all_and_an_old_block_has_its_tranche() {
        let caps = Caps { tranche: Cap::new(Rho::from_nano(1_000_000), 1e-6), ..Caps::default() };
        let filter = PrivacyFilter::new(caps);
        let cost = || Cost::gaussian(Rho::from_nano(2_000_000));
        let (new, old) = (Spent::default(), Spent { old: true, ..Spent::default() });
        assert!(filter.admit(cost(), &[(2026, new.clone())]).is_ok());
        assert_eq!(filter.admit(cost(), &[(2026, new), (2020, old)]).unwrap_err().cap, "tranche");
    }

    #[test]
    fn the_delta_slot_is_a_cap_of_its_own() {
        let filter = PrivacyFilter::new(Caps::default());
        let cost = |delta| Cost { delta: DeltaSlot::cost(delta), ..Cost::default() };
        assert!(filter.admit(cost(1e-6), &[(1, Spent::default())]).is_ok());
        assert_eq!(filter.admit(cost(1.1e-6), &[(1, Spent::default())]).unwrap_err().cap, "study");
    }
}
