//! Signed heads, and the anchor: the coordinator remembers the longest head that it saw. A ledger that does not go through it is
//! a copy from a backup, and the agent stops: what was spent since would be spent again.
//!
//! To go on, the missing entries are taken from the coordinator's copy. They must continue the chain up to a head that this site
//! itself signed, so a coordinator can't make entries up. The bytes of releases that were lost with the state are gone; that
//! their rounds are not answered again is not enforced yet.

use certs::head::{Head, SignedHead};
use platform::{Durability, Micros, Transaction};
use privacy::secagg::IdentityKey;
use proto::{Hash, SiteId};

use certs::entry::{Entry, follows};

use super::{Ledger, LedgerError, write};

impl Ledger {
    /// Signs the head as it is now.
    pub fn signed_head(&self, site: &SiteId, key: &IdentityKey, at: Micros) -> SignedHead {
        let (entries, last) = self.head();
        SignedHead::sign(Head { site: site.clone(), entries, last, root: self.root(), at_micros: at.0 }, key)
    }

    /// Compares with what the coordinator has seen. Where it has seen more, or another history, charges are refused from now on.
    ///
    /// # Errors
    /// The ledger is an old copy.
    pub fn anchored(&self, entries: u64, last: Hash) -> Result<(), LedgerError> {
        let hashes = self.hashes();
        let held = hashes.len() as u64;
        let place = entries.checked_sub(1).and_then(|i| usize::try_from(i).ok());
        let state = match place.map(|i| hashes.get(i)) {
            None => None,
            Some(Some(hash)) if *hash == last => None,
            Some(Some(_)) => Some((entries, held, true)),
            Some(None) => Some((entries, held, false)),
        };
        *self.halted.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = state;
        self.admits()
    }

    /// Takes in entries that were lost, up to a head that this site signed. Returns how many.
    ///
    /// # Errors
    /// The head is not this site's, the entries do not continue the ledger up to it, or the store fails. Nothing was taken in.
    pub fn recover(
        &self,
        entries: &[Vec<u8>],
        signed: &SignedHead,
        site: &SiteId,
        key: &IdentityKey,
    ) -> Result<u64, LedgerError> {
        let no = |why: &str| LedgerError::Recovery(why.to_owned());
        let signer = signed.verify().map_err(|e| LedgerError::Recovery(e.to_string()))?;
        if signer != key.public() || signed.head.site != *site {
            return Err(no("the head was not signed by this site's identity key"));
        }
        let own = self.entries()?;
        let mut last: Option<Entry> = own.last().cloned();
        let mut t = Transaction::new("ledger/recover");
        let mut new = Vec::new();
        for bytes in entries {
            let entry = follows(last.as_ref(), bytes)
                .map_err(|(at, what)| LedgerError::Recovery(format!("entry {at}: {what}")))?;
            write(&mut t, &entry);
            new.push(entry.clone());
            last = Some(entry);
        }
        let reached = last.as_ref().map(|e| (e.sequence, e.hash()));
        if reached != Some((signed.head.entries, signed.head.last)) {
            return Err(no("the entries do not end at the head that this site signed"));
        }
        self.store.commit(t, Durability::Synced)?;
        new.iter().for_each(|e| self.committed(e));
        *self.halted.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
        Ok(new.len() as u64)
    }
}
