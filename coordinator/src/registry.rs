//! Who is in: invitations, sites, analysts, and revoked certificates.

use certs::authority::Revoked;
use certs::{Invitation, Name, Peer, Role, identity};
use platform::store::SharedStore;
use platform::{Clock, Durability, Entropy, Micros, StoreError, Transaction};
use proto::{Hash, SiteId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::federation::{Federation, FederationError};

/// A member: a site or an analyst.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its id.
    pub id: String,
    /// ISO 3166 country code; empty for analysts.
    pub country: String,
    /// The serial of its newest certificate; none before it has enrolled.
    pub serial: Option<String>,
    /// When it enrolled, in microseconds since 1970.
    pub enrolled_micros: Option<i64>,
    /// Whether it is revoked.
    pub revoked: bool,
}

/// An invitation, as the coordinator remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Invited {
    role: Role,
    id: String,
    country: String,
    expires_seconds: i64,
    /// The key that it was used for, and the certificate that was given.
    used: Option<(Hash, String)>,
}

/// Why a registry said no.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The federation's folder.
    #[error(transparent)]
    Federation(#[from] FederationError),
    /// Certificates.
    #[error(transparent)]
    Cert(#[from] certs::CertError),
    /// Random bytes.
    #[error(transparent)]
    Entropy(#[from] platform::entropy::EntropyError),
    /// Not allowed as things stand.
    #[error("{0}")]
    Refused(String),
}

fn refused<T>(text: impl Into<String>) -> Result<T, RegistryError> {
    Err(RegistryError::Refused(text.into()))
}

/// The registry of a federation.
#[derive(Clone)]
pub struct Registry {
    store: SharedStore,
}

fn member_key(role: Role, id: &str) -> String {
    format!("member/{role}/{id}")
}

impl Registry {
    /// Over a store.
    pub fn new(store: SharedStore) -> Registry {
        Registry { store }
    }

    fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StoreError> {
        Ok(self.store.get(key.as_bytes())?.and_then(|v| serde_json::from_slice(&v).ok()))
    }

    fn all<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<T>, StoreError> {
        Ok(self.store.scan(prefix.as_bytes())?.iter().filter_map(|(_, v)| serde_json::from_slice(v).ok()).collect())
    }

    /// Invites a site or an analyst. A member who was not revoked may be invited again, for a new machine.
    ///
    /// # Errors
    /// The id is malformed or revoked.
    pub fn invite(
        &self,
        federation: &Federation,
        role: Role,
        id: &str,
        country: &str,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> Result<Invitation, RegistryError> {
        if role != Role::Site && role != Role::Analyst {
            return refused("only sites and analysts are invited");
        }
        Name::new(&federation.settings.name, role, id)?;
        if role == Role::Site && !(country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase())) {
            return refused(format!("'{country}' is no country; give two letters of ISO 3166, such as DE"));
        }
        if self.member(role, id)?.is_some_and(|m| m.revoked) {
            return refused(format!("{role} {id} was revoked; invite it under a new id"));
        }
        let now = clock.now().seconds();
        let expires_seconds = now + i64::try_from(federation.settings.invitation_seconds).unwrap_or(i64::MAX / 4);
        let mut serial = [0; 16];
        entropy.fill(&mut serial)?;
        let nonce: String = serial.iter().map(|b| format!("{b:02x}")).collect();
        let key_pem = identity::new_key()?;
        let csr = identity::request(&key_pem)?;
        let name = Name::new(&federation.settings.name, Role::Invitation, &nonce)?;
        let seconds = federation.settings.invitation_seconds;
        let chain_pem =
            federation.authority.issue(&csr, &name, serial, u64::try_from(now).unwrap_or_default(), seconds)?;
        let invited = Invited { role, id: id.to_owned(), country: country.to_owned(), expires_seconds, used: None };
        let mut t = Transaction::new("registry/invite");
        t.put(format!("invitation/{nonce}"), json(&invited));
        self.store.commit(t, Durability::Synced)?;
        Ok(Invitation {
            federation: federation.settings.name.clone(),
            subject: format!("{role}/{id}"),
            address: federation.settings.address.clone(),
            ca_pem: federation.authority.ca_pem().to_owned(),
            chain_pem,
            key_pem: key_pem.to_string(),
            expires_seconds: u64::try_from(expires_seconds).unwrap_or_default(),
        })
    }

    /// Takes back the invitations of a site or an analyst that were not used; how many.
    ///
    /// # Errors
    /// The store fails.
    pub fn withdraw(&self, role: Role, id: &str) -> Result<usize, RegistryError> {
        let mut t = Transaction::new("registry/withdraw");
        let mut withdrawn = 0;
        for (key, value) in self.store.scan(b"invitation/")? {
            let open = serde_json::from_slice::<Invited>(&value)
                .is_ok_and(|i| i.role == role && i.id == id && i.used.is_none());
            if open {
                t.delete(key);
                withdrawn += 1;
            }
        }
        self.store.commit(t, Durability::Synced)?;
        Ok(withdrawn)
    }

    /// Uses an invitation: once, in time. The same key gets the same certificate again, so that a lost answer costs nothing.
    ///
    /// # Errors
    /// The invitation is unknown, used or over.
    pub fn enroll(
        &self,
        federation: &Federation,
        nonce: &str,
        csr_der: &[u8],
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> Result<(Member, Role, String), RegistryError> {
        let key = format!("invitation/{nonce}");
        let Some(mut invited) = self.get::<Invited>(&key)? else {
            return refused("the invitation is not known here");
        };
        let key_hash = Hash::of(csr_der);
        let role = invited.role;
        if let Some((used_for, chain)) = &invited.used {
            if *used_for != key_hash {
                return refused("the invitation was used; ask for a new one");
            }
            let member = self.member(role, &invited.id)?;
            return match member {
                Some(m) => Ok((m, role, chain.clone())),
                None => refused("the invitation was used; ask for a new one"),
            };
        }
        let now = clock.now();
        if now.seconds() > invited.expires_seconds {
            return refused("the invitation is over; ask for a new one");
        }
        let chain = self.issue(federation, role, &invited.id, csr_der, now, entropy)?;
        let serial = serial_of(&chain)?;
        let member = Member {
            id: invited.id.clone(),
            country: invited.country.clone(),
            serial: Some(serial),
            enrolled_micros: Some(now.0),
            revoked: false,
        };
        invited.used = Some((key_hash, chain.clone()));
        let mut t = Transaction::new("registry/enroll");
        t.put(key, json(&invited));
        t.put(member_key(role, &member.id), json(&member));
        self.store.commit(t, Durability::Synced)?;
        Ok((member, role, chain))
    }

    fn issue(
        &self,
        federation: &Federation,
        role: Role,
        id: &str,
        csr_der: &[u8],
        now: Micros,
        entropy: &dyn Entropy,
    ) -> Result<String, RegistryError> {
        let name = Name::new(&federation.settings.name, role, id)?;
        let mut serial = [0; 16];
        entropy.fill(&mut serial)?;
        let seconds = u64::try_from(now.seconds()).unwrap_or_default();
        Ok(federation.authority.issue(csr_der, &name, serial, seconds, federation.settings.certificate_seconds)?)
    }

    /// Gives a member a certificate for a new key.
    ///
    /// # Errors
    /// The member is not known or revoked.
    pub fn renew(
        &self,
        federation: &Federation,
        peer: &Peer,
        csr_der: &[u8],
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> Result<String, RegistryError> {
        let Some(mut member) = self.member(peer.name.role, &peer.name.id)?.filter(|m| !m.revoked) else {
            return refused("only members who are not revoked renew");
        };
        let chain = self.issue(federation, peer.name.role, &member.id, csr_der, clock.now(), entropy)?;
        member.serial = Some(serial_of(&chain)?);
        let mut t = Transaction::new("registry/renew");
        t.put(member_key(peer.name.role, &member.id), json(&member));
        self.store.commit(t, Durability::Synced)?;
        Ok(chain)
    }

    /// Revokes a member: the newest certificate goes on the list, and the id on every connection is refused.
    ///
    /// # Errors
    /// There is no such member.
    pub fn revoke(&self, role: Role, id: &str, clock: &dyn Clock) -> Result<Member, RegistryError> {
        let Some(mut member) = self.member(role, id)? else {
            return refused(format!("there is no {role} '{id}'; see coordinator {role} list"));
        };
        member.revoked = true;
        let at_seconds = u64::try_from(clock.now().seconds()).unwrap_or_default();
        let mut t = Transaction::new("registry/revoke");
        t.put(member_key(role, id), json(&member));
        if let Some(serial) = &member.serial {
            t.put(format!("revoked/{serial}"), json(&at_seconds));
        }
        self.store.commit(t, Durability::Synced)?;
        Ok(member)
    }

    /// A member.
    ///
    /// # Errors
    /// The store fails.
    pub fn member(&self, role: Role, id: &str) -> Result<Option<Member>, StoreError> {
        self.get(&member_key(role, id))
    }

    /// All members of a role.
    ///
    /// # Errors
    /// The store fails.
    pub fn members(&self, role: Role) -> Result<Vec<Member>, StoreError> {
        self.all(&format!("member/{role}/"))
    }

    /// The sites that are not revoked.
    ///
    /// # Errors
    /// The store fails.
    pub fn sites(&self) -> Result<Vec<(SiteId, Member)>, StoreError> {
        let members = self.members(Role::Site)?;
        Ok(members.into_iter().filter(|m| !m.revoked).filter_map(|m| Some((SiteId::parse(&m.id).ok()?, m))).collect())
    }

    /// Whether a holder may speak: a member who is not revoked, or an operator.
    ///
    /// # Errors
    /// The store fails.
    pub fn may_speak(&self, peer: &Peer) -> Result<bool, StoreError> {
        match peer.name.role {
            Role::Operator | Role::Invitation => Ok(true),
            Role::Coordinator => Ok(false),
            role => Ok(self.member(role, &peer.name.id)?.is_some_and(|m| !m.revoked)),
        }
    }

    /// Revoked certificates.
    ///
    /// # Errors
    /// The store fails.
    pub fn revoked(&self) -> Result<Vec<Revoked>, StoreError> {
        let entries = self.store.scan(b"revoked/")?;
        Ok(entries
            .iter()
            .filter_map(|(k, v)| {
                let serial = std::str::from_utf8(k).ok()?.strip_prefix("revoked/")?.to_owned();
                Some(Revoked { serial, at_seconds: serde_json::from_slice(v).ok()? })
            })
            .collect())
    }
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn serial_of(chain_pem: &str) -> Result<String, RegistryError> {
    let chain = identity::chain(chain_pem)?;
    match chain.first() {
        Some(first) => Ok(Peer::of(first)?.serial),
        None => refused("the certificate is empty"),
    }
}
