//! Releases that are paid for at once: a year of windows, of which a patient is in a few.
//!
//! What all of them cost is entered for each year of entry, once, before the first window that has its patients. It stands whatever
//! comes of them. The releases then cost nothing, and each gives the noise of its part.

use platform::{Durability, Micros, Transaction};
use privacy::{Block, Charge, Prepaid};
use proto::Hash;

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
        if !due.is_empty() {
            let mut t = Transaction::new("release/prepay");
            let draft = Draft {
                kind: Kind::Prepaid,
                round: order.round.clone(),
                attempt: order.attempt,
                plan_hash: order.plan_hash,
                cost: charge.cost().clone(),
                blocks: due,
                release: Hash([0; 32]),
                payload_hash: Hash([0; 32]),
            };
            let entry = ledger.charge(&mut t, draft, at);
            self.store.commit(t, Durability::Synced)?;
            ledger.committed(&entry);
        }
        let paid = ledger.prepaid(&order.round.study);
        let own: Vec<_> = paid.into_iter().filter(|(block, _)| order.blocks.contains(block)).collect();
        // Every block of the order is among them, or it was refused above.
        let all = order.blocks.iter().all(|b| own.iter().any(|(block, _)| block == b));
        prepaid.charge(&own).filter(|_| all).ok_or_else(|| ReleaseError::Lost(order.round.clone()))
    }
}
