//! Enrolment and renewal: the key is made here and stays here; only a signing request travels.

use certs::authority::SERVER_NAME;
use certs::folder::Coordinator;
use certs::{CertError, Folder, Identity, Invitation, Role, identity, tls};
use proto::channel::EnrollError;
use proto::wire::RenewRequest;
use proto::wire::federation_client::FederationClient;
use tonic::transport::Channel;

use crate::config::Config;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An invitation, a key or a certificate is wrong.
    #[error(transparent)]
    Cert(#[from] CertError),
    /// The coordinator gave none.
    #[error(transparent)]
    Enroll(#[from] EnrollError),
    /// The invitation is for somebody else.
    #[error(
        "the invitation is for {invited}, and site.toml says site/{own}; ask for one with this id, or change site.toml"
    )]
    Other {
        /// Whom it is for.
        invited: String,
        /// Who this is.
        own: String,
    },
}

/// The folder of a site's identity.
pub fn folder(config: &Config) -> Folder {
    Folder::new(&config.state_dir().join("identity"))
}

/// Enrols with an invitation.
///
/// # Errors
/// The invitation is for another site, or the coordinator refuses.
pub async fn enroll(config: &Config, invitation: &Invitation) -> Result<Identity, Error> {
    let own = format!("{}/{}", Role::Site, config.id);
    if invitation.subject != own {
        return Err(Error::Other { invited: invitation.subject.clone(), own: config.id.to_string() });
    }
    let folder = folder(config);
    let key_pem = folder.pending_key()?;
    let csr = identity::request(&key_pem)?;
    let tls = tls::client(&invitation.identity())?;
    let chain_pem = proto::channel::enroll(&invitation.address, SERVER_NAME, tls, csr).await?;
    let identity = Identity { chain_pem, key_pem, ca_pem: invitation.ca_pem.clone() };
    let coordinator = Coordinator { federation: invitation.federation.clone(), address: invitation.address.clone() };
    folder.store(&identity, &coordinator)?;
    Ok(identity)
}

/// Asks for a certificate for a new key under the same name, and stores it.
///
/// # Errors
/// The coordinator refuses, or the disk fails.
pub async fn renew(config: &Config, channel: Channel) -> Result<Identity, Error> {
    let folder = folder(config);
    let (old, coordinator) = folder.load()?;
    let key_pem = folder.pending_key()?;
    let csr = identity::request(&key_pem)?;
    let reply = FederationClient::new(channel).renew(RenewRequest { csr_der: csr.into() }).await;
    let chain_pem = reply.map_err(|s| EnrollError::Refused(s.message().to_owned()))?.into_inner().chain_pem;
    let identity = Identity { chain_pem, key_pem, ca_pem: old.ca_pem };
    folder.store(&identity, &coordinator)?;
    Ok(identity)
}
