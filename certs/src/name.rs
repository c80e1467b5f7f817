//! Names and roles.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::CertError;

/// What a certificate lets its holder do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Runs rounds.
    Coordinator,
    /// A hospital's agent.
    Site,
    /// Signs and submits plans.
    Analyst,
    /// Invites and revokes.
    Operator,
    /// Holds an invitation, and may enrol with it once.
    Invitation,
}

impl Role {
    const ALL: [Role; 5] = [Role::Coordinator, Role::Site, Role::Analyst, Role::Operator, Role::Invitation];

    /// The role's word in a name.
    pub fn word(self) -> &'static str {
        match self {
            Role::Coordinator => "coordinator",
            Role::Site => "site",
            Role::Analyst => "analyst",
            Role::Operator => "operator",
            Role::Invitation => "invitation",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A name: `spiffe://federation/role/id`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// The federation; the trust domain.
    pub federation: String,
    /// The role.
    pub role: Role,
    /// Who.
    pub id: String,
}

fn fits(word: &str) -> bool {
    (1..=64).contains(&word.len())
        && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !word.starts_with('-')
}

impl Name {
    /// A name of parts; each is 1 to 64 of `a-z 0-9 -`.
    ///
    /// # Errors
    /// A part is not.
    pub fn new(federation: &str, role: Role, id: &str) -> Result<Name, CertError> {
        if fits(federation) && fits(id) {
            Ok(Name { federation: federation.to_owned(), role, id: id.to_owned() })
        } else {
            Err(CertError::Name(format!("{federation}/{role}/{id}").chars().take(160).collect()))
        }
    }

    /// Parses a SPIFFE URI.
    ///
    /// # Errors
    /// It is none of a federation's.
    pub fn parse(uri: &str) -> Result<Name, CertError> {
        let wrong = || CertError::Name(uri.chars().take(160).collect());
        let rest = uri.strip_prefix("spiffe://").ok_or_else(wrong)?;
        let mut parts = rest.split('/');
        let (Some(federation), Some(role), Some(id), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong());
        };
        let role = Role::ALL.into_iter().find(|r| r.word() == role).ok_or_else(wrong)?;
        Name::new(federation, role, id)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/{}/{}", self.federation, self.role, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_nothing_else_parses() {
        let n = Name::new("north", Role::Site, "de-01").unwrap();
        assert_eq!(Name::parse(&n.to_string()).unwrap(), n);
        for bad in
            ["spiffe://a/site", "spiffe://a/king/b", "spiffe://a/site/b/c", "http://a/site/b", "spiffe://a/site/"]
        {
            assert!(Name::parse(bad).is_err(), "{bad}");
        }
        assert!(Name::new("a", Role::Site, "../b").is_err());
    }
}
