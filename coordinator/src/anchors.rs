//! What the coordinator keeps of each site's ledger: the chain of its entries, the heads that the site signed, one a day and the
//! newest, with the coordinator's own signature beside. A site that comes back with an older ledger is told what was seen, and
//! stops; the copy brings the missing entries back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use certs::bundle::{Bundle, FORMAT, Proven, SitePart};
use certs::entry::{Entry, follows};
use certs::head::{Cosignature, SignedHead};
use platform::store::SharedStore;
use platform::{Durability, StoreError, Transaction};
use privacy::secagg::{Identity, IdentityKey};
use proto::merkle::Frontier;
use proto::wire;
use proto::{Hash, SiteId, StudyId, merkle};
use serde_json::{Value, json};

/// News of a ledger that are not taken.
#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// They do not fit what was seen before.
    #[error("the ledger of {site} does not go on from what was seen before: {what}")]
    Fork {
        /// Whose.
        site: SiteId,
        /// What does not fit.
        what: String,
    },
}

/// The anchors of a federation's ledgers.
#[derive(Clone)]
pub struct Anchors {
    store: SharedStore,
    /// Where each ledger stands, of those that sent news since the start.
    held: Arc<Mutex<BTreeMap<SiteId, Seen>>>,
}

/// Where a ledger stands: enough to take what follows.
#[derive(Default)]
struct Seen {
    last: Option<Entry>,
    tree: Frontier,
}

fn key(site: &SiteId, rest: &str) -> String {
    format!("anchor/{site}/{rest}")
}

fn entry_key(site: &SiteId, sequence: u64) -> String {
    key(site, &format!("entry/{sequence:020}"))
}

/// The identity key that a site told, where it proved that it is its own: by a head of its ledger that names the site.
pub fn identity_of(site: &SiteId, hello: &wire::Hello) -> Option<Identity> {
    let told = Identity(<[u8; 32]>::try_from(hello.identity.as_ref()).ok()?);
    let head: SignedHead = serde_json::from_slice(&hello.signed_head).ok()?;
    (head.head.site == *site && head.verify().is_ok_and(|signer| signer == told)).then_some(told)
}

/// What a site is told of its own ledger, as it signed it.
pub fn welcome(seen: Option<&SignedHead>) -> wire::Welcome {
    let (anchor_entries, last) = seen.map_or((0, Hash([0; 32])), |s| (s.head.entries, s.head.last));
    let anchor_signed = seen.and_then(|s| serde_json::to_vec(s).ok()).unwrap_or_default().into();
    wire::Welcome { anchor_entries, anchor_head: last.0.to_vec().into(), anchor_signed, ..wire::Welcome::default() }
}

impl Anchors {
    /// Over a store.
    pub fn new(store: SharedStore) -> Anchors {
        Anchors { store, held: Arc::default() }
    }

    fn load(&self, site: &SiteId) -> Result<Seen, StoreError> {
        let mut seen = Seen::default();
        for bytes in self.entries(site)? {
            if let Ok(entry) = serde_json::from_slice::<Entry>(&bytes) {
                seen.tree.push(merkle::leaf(&entry.hash().0));
                seen.last = Some(entry);
            }
        }
        Ok(seen)
    }

    /// The newest head of a site, with the coordinator's signature.
    ///
    /// # Errors
    /// The store fails.
    pub fn head(&self, site: &SiteId) -> Result<Option<(SignedHead, Cosignature)>, StoreError> {
        Ok(self.store.get(key(site, "head").as_bytes())?.and_then(|v| serde_json::from_slice(&v).ok()))
    }

    /// A site's entries, as they came.
    ///
    /// # Errors
    /// The store fails.
    pub fn entries(&self, site: &SiteId) -> Result<Vec<Vec<u8>>, StoreError> {
        Ok(self.store.scan(key(site, "entry/").as_bytes())?.into_iter().map(|(_, v)| v).collect())
    }

    /// What a site's ledger has of a study.
    ///
    /// # Errors
    /// The store fails.
    pub fn of_study(&self, site: &SiteId, study: &StudyId) -> Result<Vec<Entry>, StoreError> {
        let all = self.entries(site)?.into_iter().filter_map(|bytes| serde_json::from_slice::<Entry>(&bytes).ok());
        Ok(all.filter(|e| e.round.study == *study).collect())
    }

    /// Takes news of a ledger: entries that follow what was seen, up to a head that the site signed. Signs it, and makes it durable.
    ///
    /// # Errors
    /// They do not follow, or the head is not theirs.
    pub fn take(
        &self,
        site: &SiteId,
        identity: &Identity,
        news: &[Vec<u8>],
        signed: &SignedHead,
        own: &IdentityKey,
    ) -> Result<Cosignature, AnchorError> {
        let fork = |what: &str| AnchorError::Fork { site: site.clone(), what: what.to_owned() };
        let signer = signed.verify().map_err(|e| fork(&e.to_string()))?;
        if signer != *identity || signed.head.site != *site {
            return Err(fork("the head was not signed by the site's identity"));
        }
        if let Some((before, _)) = self.head(site)?
            && before.identity != signed.identity
        {
            return Err(fork("the site's identity key is another than before"));
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = match held.remove(site) {
            Some(seen) => seen,
            None => self.load(site)?,
        };
        let mut t = Transaction::new("anchor/take");
        for bytes in news {
            let known: Option<Entry> = serde_json::from_slice(bytes).ok();
            let sequence = known.map(|e| e.sequence).filter(|s| (1..=seen.tree.size()).contains(s));
            if let Some(sequence) = sequence {
                if self.store.get(entry_key(site, sequence).as_bytes())?.as_ref() == Some(bytes) {
                    continue; // Sent twice.
                }
                return Err(fork("an entry was changed"));
            }
            let entry =
                follows(seen.last.as_ref(), bytes).map_err(|(at, what)| fork(&format!("entry {at}: {what}")))?;
            t.put(entry_key(site, entry.sequence), bytes.clone());
            seen.tree.push(merkle::leaf(&entry.hash().0));
            seen.last = Some(entry);
        }
        let reached = seen.last.as_ref().map_or((0, Hash([0; 32])), |e| (e.sequence, e.hash()));
        if reached != (signed.head.entries, signed.head.last) || seen.tree.root() != signed.head.root {
            return Err(fork("the head is not that of its entries"));
        }
        let cosignature = signed.cosign(own);
        let value = serde_json::to_vec(&(signed, &cosignature)).unwrap_or_default();
        t.put(key(site, "head"), value.clone());
        t.put(key(site, &format!("day/{:08}", signed.head.day())), value);
        self.store.commit(t, Durability::Synced)?;
        held.insert(site.clone(), seen); // Not before it is durable; after an error it is read anew.
        Ok(cosignature)
    }

    /// A site's ledger as the coordinator has it, for recovery.
    ///
    /// # Errors
    /// The store fails.
    pub fn copy(&self, site: &SiteId) -> Result<Value, StoreError> {
        let entries: Vec<String> = self.entries(site)?.into_iter().filter_map(|e| String::from_utf8(e).ok()).collect();
        Ok(json!({ "entries": entries, "head": self.head(site)?.map(|(h, _)| h) }))
    }

    /// A study's releases with their proofs.
    ///
    /// # Errors
    /// The store fails.
    pub fn bundle(
        &self,
        federation: &str,
        study: &StudyId,
        sites: impl IntoIterator<Item = SiteId>,
        merged: Vec<(SiteId, Hash)>,
    ) -> Result<Bundle, StoreError> {
        let mut parts = BTreeMap::new();
        for site in sites {
            let Some((head, cosignature)) = self.head(&site)? else { continue };
            let all = self.entries(&site)?;
            let leaves = leaves(&all);
            let mut entries = Vec::new();
            for (i, bytes) in all.into_iter().enumerate() {
                let own = serde_json::from_slice::<Entry>(&bytes).is_ok_and(|e| e.round.study == *study);
                if let (true, Ok(entry), Some(proof)) =
                    (own, String::from_utf8(bytes), merkle::inclusion_proof(&leaves, i as u64))
                {
                    entries.push(Proven { entry, proof });
                }
            }
            if !entries.is_empty() {
                parts.insert(site, SitePart { head, cosignature, entries });
            }
        }
        let (format, federation) = (FORMAT.to_owned(), federation.to_owned());
        Ok(Bundle { format, federation, study: study.clone(), sites: parts, merged })
    }
}

fn leaves(entries: &[Vec<u8>]) -> Vec<Hash> {
    let hash = |bytes: &Vec<u8>| serde_json::from_slice::<Entry>(bytes).map_or(Hash([0; 32]), |e| e.hash());
    entries.iter().map(|e| merkle::leaf(&hash(e).0)).collect()
}

#[cfg(test)]
mod tests {
    use certs::head::Head;

    use super::*;

    /// A key that another site holds is taken from nobody.
    #[test]
    fn a_site_proves_the_identity_that_it_tells() {
        let site = |n: u32| SiteId::parse(&format!("s-{n}")).unwrap();
        let (own, other) =
            (IdentityKey::from_seed(&[1; 32].into()).unwrap(), IdentityKey::from_seed(&[2; 32].into()).unwrap());
        let hello = |told: &IdentityKey, of: u32, by: &IdentityKey| {
            let head = Head { site: site(of), entries: 0, last: Hash([0; 32]), root: Hash([0; 32]), at_micros: 1 };
            let signed_head = serde_json::to_vec(&SignedHead::sign(head, by)).unwrap().into();
            wire::Hello { identity: told.public().0.to_vec().into(), signed_head, ..wire::Hello::default() }
        };
        assert_eq!(identity_of(&site(1), &hello(&own, 1, &own)), Some(own.public()));
        assert_eq!(identity_of(&site(1), &hello(&other, 1, &own)), None, "another's key");
        assert_eq!(identity_of(&site(1), &hello(&other, 2, &other)), None, "another's proof");
        assert_eq!(
            identity_of(&site(1), &wire::Hello { signed_head: Vec::new().into(), ..hello(&own, 1, &own) }),
            None
        );
    }
}
