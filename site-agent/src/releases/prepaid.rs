//! Releases that are paid for at once: a year of windows, of which a patient is in a few; or all rounds of a training that samples patients.
//!
//! What all of them cost is entered for each year of entry, once, before the first window that has its patients. It stands whatever
//! comes of them. The releases then cost nothing, and each gives the noise of its part.

use platform::{Durability, Micros, Transaction};
use privacy::{Block, Charge, Cost, FixedPlan, Prepaid, PrivacyFilter};
use proto::{Hash, RoundId};

use super::{Order, ReleaseError, Releases};
use crate::ledger::{Draft, Kind, Ledger};

/// The blocks of an order that have not paid yet.
fn unpaid(ledger: &Ledger, order: &Order, prepaid: Prepaid) -> Vec<Block> {
    let paid = ledger.prepaid(&order.round.study);
    let has = |block: &Block| paid.iter().any(|(b, rho)| b == block && *rho >= prepaid.cost().rho);
    order.blocks.iter().copied().filter(|block| !has(block)).collect()
}

impl Releases {
    /// Whether every block has paid, or would be admitted to.
    pub(super) fn would_prepay(
        &self,
        ledger: &Ledger,
        order: &Order,
        prepaid: Prepaid,
        at: Micros,
    ) -> Result<(), ReleaseError> {
        let due = unpaid(ledger, order, prepaid);
        self.admit(ledger, prepaid.cost(), &order.round.study, &due, at).map(|_| ())
    }

    /// Has the blocks pay that have not, durably, and gives a charge for the order. The caller has the turn.
    pub(super) fn prepay(
        &self,
        ledger: &Ledger,
        order: &Order,
        prepaid: Prepaid,
        at: Micros,
    ) -> Result<Charge, ReleaseError> {
        let due = unpaid(ledger, order, prepaid);
        let charge = self.admit(ledger, prepaid.cost(), &order.round.study, &due, at)?;
        self.pay(ledger, order, (due, charge.cost().clone()), at)?;
        let paid = ledger.prepaid(&order.round.study);
        let own: Vec<_> = paid.into_iter().filter(|(block, _)| order.blocks.contains(block)).collect();
        // Every block of the order is among them, or it was refused above.
        let all = order.blocks.iter().all(|b| own.iter().any(|(block, _)| block == b));
        prepaid.charge(&own).filter(|_| all).ok_or_else(|| ReleaseError::Lost(order.round.clone()))
    }
}

/// How the blocks of an order stand to the rounds that are paid for at once.
enum Standing {
    /// These have paid nothing yet, and owe what the rounds from this one on cost.
    Owe(Vec<Block>),
    /// All have paid, and the round was released in another attempt.
    Again,
}

/// # Errors
/// A block has paid, but for later rounds alone.
fn standing(ledger: &Ledger, order: &Order) -> Result<Standing, ReleaseError> {
    let RoundId { study, analysis, round } = &order.round;
    let paid = ledger.planned(study, *analysis);
    let first = |block: &Block| paid.iter().filter(|(b, ..)| b == block).map(|(_, from, _)| *from).min();
    let owe: Vec<Block> = order.blocks.iter().copied().filter(|block| first(block).is_none()).collect();
    if order.blocks.iter().filter_map(first).any(|from| from > *round) {
        return Err(ReleaseError::NotPrepaid(order.round.clone()));
    }
    let (again, _) = ledger.reruns(&order.round, order.attempt);
    Ok(if again && owe.is_empty() { Standing::Again } else { Standing::Owe(owe) })
}

impl Releases {
    /// Enters what blocks pay at once, durably. Nothing where there is no block.
    fn pay(
        &self,
        ledger: &Ledger,
        order: &Order,
        (blocks, cost): (Vec<Block>, Cost),
        at: Micros,
    ) -> Result<(), ReleaseError> {
        if blocks.is_empty() {
            return Ok(());
        }
        let mut t = Transaction::new("release/prepay");
        let draft = Draft {
            kind: Kind::Prepaid,
            round: order.round.clone(),
            attempt: order.attempt,
            plan_hash: order.plan_hash,
            cost,
            blocks,
            release: Hash([0; 32]),
            payload_hash: Hash([0; 32]),
        };
        let entry = ledger.charge(&mut t, draft, at);
        self.store.commit(t, Durability::Synced)?;
        ledger.committed(&entry);
        Ok(())
    }

    /// Whether a round of a plan has been paid for, or would be admitted.
    pub(super) fn would_pay_plan(
        &self,
        ledger: &Ledger,
        order: &Order,
        plan: &FixedPlan,
        at: Micros,
    ) -> Result<(), ReleaseError> {
        let (cost, blocks) = match standing(ledger, order)? {
            Standing::Owe(blocks) => (plan.cost_from(order.round.round), blocks),
            Standing::Again => (plan.cost_of(order.round.round), order.blocks.clone()),
        };
        self.admit(ledger, cost, &order.round.study, &blocks, at).map(|_| ())
    }

    /// Has the blocks pay that have not, durably, for this round and all that follow, and gives a charge for it. Another attempt at a round that
    /// was released pays for itself. The caller has the turn.
    pub(super) fn pay_plan(
        &self,
        ledger: &Ledger,
        order: &Order,
        plan: &FixedPlan,
        at: Micros,
    ) -> Result<Charge, ReleaseError> {
        let RoundId { study, analysis, round } = &order.round;
        match standing(ledger, order)? {
            Standing::Again => {
                ledger.admits()?;
                let spent = ledger.spent(study, at, &order.blocks);
                return Ok(plan.admit_again(&PrivacyFilter::new(self.caps), *round, &spent)?);
            }
            Standing::Owe(blocks) => {
                let cost = plan.cost_from(*round);
                self.admit(ledger, cost.clone(), study, &blocks, at)?;
                self.pay(ledger, order, (blocks, cost), at)?;
            }
        }
        let paid = ledger.planned(study, *analysis);
        // A block pays once; were there more entries of it, each has to be enough.
        let own: Vec<_> = paid.into_iter().filter(|(block, ..)| order.blocks.contains(block)).collect();
        let all = order.blocks.iter().all(|b| own.iter().any(|(block, ..)| block == b));
        let charge = plan.charge(*round, &own).filter(|_| all);
        charge.ok_or_else(|| ReleaseError::NotPrepaid(order.round.clone()))
    }
}
