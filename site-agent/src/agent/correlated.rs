//! The noises of a series of windows, where they hang together: kept with the releases that they are in.
//!
//! What was drawn for a window is entered in the transaction that seals the release, so that after a kill the window is either told with
//! it or was never told. It is as confidential as gold, stays here, and is removed when the study is over.

use platform::store::SharedStore;
use platform::{Durability, StoreError, Transaction};
use privacy::continual::History;
use privacy::{Charge, Mechanism, MechanismError, Part, Released, ReleasedPart};
use proto::StudyId;
use study::Study;
use study::schedule::Schedule;

use crate::releases::Order;

/// A window of a series, and what was drawn for those before.
pub(super) struct Window {
    number: u32,
    history: History,
    prefix: String,
}

fn of_study(study: &StudyId) -> String {
    format!("noise/{study}/")
}

impl Window {
    /// The window of an order, with what the store has of its series. `None` where noises do not hang together.
    ///
    /// # Errors
    /// The store fails.
    pub(super) fn of(store: &SharedStore, study: &Study, order: &Order) -> Result<Option<Window>, StoreError> {
        let round = &order.round;
        let series = order.prepaid.and_then(|prepaid| prepaid.correlated());
        let emission = series.and_then(|_| Schedule::of(study)?.emission(round.round).copied());
        let Some(emission) = emission else { return Ok(None) };
        let prefix = format!("{}{:06}/", of_study(&round.study), round.analysis);
        let mut history = History::default();
        for (name, bytes) in store.scan(prefix.as_bytes())? {
            let number = name.strip_prefix(prefix.as_bytes()).and_then(|n| std::str::from_utf8(n).ok()?.parse().ok());
            if let Some(number) = number {
                history.take(number, &bytes);
            }
        }
        Ok(Some(Window { number: emission.window, history, prefix }))
    }

    /// Noises the window's sums.
    pub(super) fn release(
        &mut self,
        mechanism: &dyn Mechanism,
        parts: Vec<Part>,
        charge: Charge,
    ) -> Result<Released<Vec<ReleasedPart>>, MechanismError> {
        mechanism.release_window(self.number, parts, charge, &mut self.history)
    }

    /// Enters what was drawn, beside the release.
    pub(super) fn enter(&self, t: &mut Transaction) {
        for (number, bytes) in self.history.drawn() {
            t.put(format!("{}{number:06}", self.prefix), bytes.to_vec());
        }
    }
}

/// Removes the noises of a study that is over.
///
/// # Errors
/// The store fails.
pub(super) fn forget(store: &SharedStore, study: &StudyId) -> Result<(), StoreError> {
    let mut t = Transaction::new("noise/forget");
    let kept = store.scan(of_study(study).as_bytes())?;
    if kept.is_empty() {
        return Ok(());
    }
    for (name, _) in kept {
        t.delete(name);
    }
    store.commit(t, Durability::Synced)
}
