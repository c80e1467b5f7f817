//! What an operator may do: the same commands whether the coordinator runs (over mTLS, as operator) or not (straight on the
//! store).

use certs::Role;
use platform::{Clock, Entropy};
use proto::SiteId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::anchors::Anchors;
use crate::federation::Federation;
use crate::registry::{Registry, RegistryError};

/// A command.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Operation {
    /// Invites.
    Invite {
        /// `site` or `analyst`.
        role: Role,
        /// Whom.
        id: String,
        /// Of which country; empty for analysts.
        country: String,
        /// Though it is enrolled already.
        #[serde(default)]
        again: bool,
    },
    /// Revokes.
    Revoke {
        /// `site` or `analyst`.
        role: Role,
        /// Whom.
        id: String,
    },
    /// Takes back what invitations were not used.
    Withdraw {
        /// `site` or `analyst`.
        role: Role,
        /// Whose.
        id: String,
    },
    /// Lists.
    List {
        /// `site` or `analyst`.
        role: Role,
    },
    /// The copy of a site's ledger.
    Ledger {
        /// Whose.
        site: SiteId,
    },
}

/// Carries a command out.
///
/// # Errors
/// The registry says no.
pub fn execute(
    federation: &Federation,
    registry: &Registry,
    anchors: &Anchors,
    operation: &Operation,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<Value, RegistryError> {
    Ok(match operation {
        Operation::Invite { role, id, country, again } => {
            if !again && registry.member(*role, id)?.is_some_and(|m| m.serial.is_some() && !m.revoked) {
                let why = format!(
                    "{role} {id} is enrolled; an invitation would let its holder take its place. For a new machine, invite it with --again"
                );
                return Err(RegistryError::Refused(why));
            }
            let invitation = registry.invite(federation, *role, id, country, clock, entropy)?;
            json!({ "invitation": invitation.to_text()?, "for": invitation.subject, "expires_seconds": invitation.expires_seconds })
        }
        Operation::Revoke { role, id } => json!({ "revoked": registry.revoke(*role, id, clock)? }),
        Operation::Withdraw { role, id } => json!({ "withdrawn": registry.withdraw(*role, id)? }),
        Operation::Ledger { site } => {
            let copy = anchors.copy(site)?;
            if copy.get("head").is_none_or(Value::is_null) {
                return Err(RegistryError::Refused(format!("nothing was seen of the ledger of {site} yet")));
            }
            copy
        }
        Operation::List { role } => json!({ "members": registry.members(*role)? }),
    })
}
