//! Signed heads, and the anchor: the coordinator remembers the longest head that it saw. A ledger that does not go through it is
//! a copy from a backup, and the agent stops: what was spent since would be spent again.
//!
//! To go on, the missing entries are taken from the coordinator's copy. They must continue the chain up to a head that this site
//! itself signed, so a coordinator can't make entries up. The bytes of releases that were lost with the state are gone; their
//! rounds are charged, and are not answered again. The secrets of secure rounds that the old state holds are deleted with it: they
//! may have been used since.

use certs::head::{Cosignature, Head, SignedHead};
use platform::{Durability, Micros, Transaction};
use privacy::secagg::IdentityKey;
use proto::{Hash, SiteId, StudyId};

use certs::entry::{Entry, follows};

use super::{Ledger, LedgerError, Place, SEEN, write};

/// Ranges of entries that were brought back, as sequences with both ends.
const RECOVERED: &[u8] = b"ledger/recovered";
/// The newest head that the coordinator signed beside the site.
const COSIGNED: &[u8] = b"ledger/cosigned";

impl Ledger {
    /// Signs the head as it is now.
    pub fn signed_head(&self, site: &SiteId, key: &IdentityKey, at: Micros) -> SignedHead {
        let (entries, last, root) = {
            let t = self.totals();
            (t.hashes.len() as u64, t.hashes.last().copied().unwrap_or(Hash([0; 32])), t.tree.root())
        };
        SignedHead::sign(Head { site: site.clone(), entries, last, root, at_micros: at.0 }, key)
    }

    /// Compares with what the coordinator has seen. Where it has seen more, or another history, charges are refused from now on: for
    /// good, where the head is shown as this site signed it; else until the coordinator says otherwise.
    ///
    /// # Errors
    /// The ledger is an old copy, or the store fails.
    pub fn anchored(
        &self,
        (entries, last): (u64, Hash),
        shown: Option<&SignedHead>,
        site: &SiteId,
        key: &IdentityKey,
    ) -> Result<(), LedgerError> {
        let signed = shown.filter(|s| s.head.site == *site && s.verify().is_ok_and(|signer| signer == key.public()));
        {
            let mut must = self.must.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            must.said = (entries > 0).then_some(Place { entries, last });
            if let Some(head) = signed.map(|s| &s.head).filter(|h| h.entries > must.seen.map_or(0, |p| p.entries)) {
                let place = Place { entries: head.entries, last: head.last };
                let mut t = Transaction::new("ledger/seen");
                t.put(SEEN, serde_json::to_vec(&place).unwrap_or_default());
                self.store.commit(t, Durability::Synced)?;
                must.seen = Some(place);
            }
        }
        self.admits()
    }

    /// Keeps a head that the coordinator signed: the site's receipt that these entries were seen. An older one is not kept.
    ///
    /// # Errors
    /// It can't be read, a signature does not verify, or it is not a head of this ledger.
    pub fn keep_cosigned(&self, bytes: &[u8], key: &IdentityKey) -> Result<(), LedgerError> {
        let no = |why: &dyn std::fmt::Display| LedgerError::Receipt(why.to_string());
        let (head, cosignature): (SignedHead, Cosignature) = serde_json::from_slice(bytes).map_err(|e| no(&e))?;
        let signer = head.verify().map_err(|e| no(&e))?;
        head.verify_cosignature(&cosignature).map_err(|e| no(&e))?;
        if signer != key.public() || !self.goes_through(&head.head) {
            return Err(no(&"it is not a head of this ledger"));
        }
        if self.cosigned()?.is_some_and(|(kept, _)| kept.head.at_micros > head.head.at_micros) {
            return Ok(());
        }
        let mut t = Transaction::new("ledger/cosigned");
        t.put(COSIGNED, bytes.to_vec());
        Ok(self.store.commit(t, Durability::Buffered)?)
    }

    /// The newest head that the coordinator signed, if any.
    ///
    /// # Errors
    /// The store fails.
    pub fn cosigned(&self) -> Result<Option<(SignedHead, Cosignature)>, LedgerError> {
        Ok(self.store.get(COSIGNED)?.and_then(|v| serde_json::from_slice(&v).ok()))
    }

    /// Whether a head is one of this ledger, now or earlier.
    pub fn goes_through(&self, head: &Head) -> bool {
        match head.entries {
            0 => head.last == Hash([0; 32]),
            entries => self.hash_at(entries) == Some(head.last),
        }
    }

    fn brought_back(&self) -> Result<Vec<[u64; 2]>, LedgerError> {
        Ok(self.store.get(RECOVERED)?.and_then(|v| serde_json::from_slice(&v).ok()).unwrap_or_default())
    }

    /// Whether an entry was brought back from the coordinator's copy: then its bytes may be gone.
    ///
    /// # Errors
    /// The store fails.
    pub fn recovered(&self, sequence: u64) -> Result<bool, LedgerError> {
        Ok(self.brought_back()?.iter().any(|[from, to]| (from..=to).contains(&&sequence)))
    }

    /// Whether any entry of a study was brought back: what was kept beside its releases may be gone.
    ///
    /// # Errors
    /// The store fails, or the chain is broken.
    pub fn recovered_of(&self, study: &StudyId) -> Result<bool, LedgerError> {
        let ranges = self.brought_back()?;
        if ranges.is_empty() {
            return Ok(false);
        }
        let back = |e: &Entry| ranges.iter().any(|[from, to]| (from..=to).contains(&&e.sequence));
        Ok(self.entries()?.iter().any(|e| e.round.study == *study && back(e)))
    }

    /// Takes in entries that were lost, up to a head that this site signed, in one transaction, to which `also` may add. Returns
    /// how many.
    ///
    /// # Errors
    /// The head is not this site's, the entries do not continue the ledger up to it, or the store fails. Nothing was taken in.
    pub fn recover(
        &self,
        entries: &[Vec<u8>],
        signed: &SignedHead,
        site: &SiteId,
        key: &IdentityKey,
        also: impl FnOnce(&mut Transaction) -> Result<(), platform::StoreError>,
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
        let seen = self.must.lock().unwrap_or_else(std::sync::PoisonError::into_inner).seen;
        if let Some(seen) = seen.filter(|s| s.entries > signed.head.entries) {
            let why = format!(
                "this site has signed a head of {} entries, and these end at {}",
                seen.entries, signed.head.entries
            );
            return Err(no(&why));
        }
        if let (Some(first), Some(end)) = (new.first(), new.last()) {
            let mut ranges = self.brought_back()?;
            ranges.push([first.sequence, end.sequence]);
            t.put(RECOVERED, serde_json::to_vec(&ranges).unwrap_or_default());
        }
        also(&mut t)?;
        self.store.commit(t, Durability::Synced)?;
        new.iter().for_each(|e| self.committed(e));
        // What was said without proof is asked anew by the next connection.
        self.must.lock().unwrap_or_else(std::sync::PoisonError::into_inner).said = None;
        Ok(new.len() as u64)
    }
}
