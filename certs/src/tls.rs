//! rustls configurations: TLS 1.3 alone, certificates on both sides, hybrid post-quantum key exchange preferred.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, version};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateRevocationListDer, PrivateKeyDer};

use crate::CertError;
use crate::identity::{Identity, chain};

fn provider() -> Arc<CryptoProvider> {
    // With the `prefer-post-quantum` feature X25519MLKEM768 comes first.
    Arc::new(aws_lc_rs::default_provider())
}

fn roots(ca_pem: &str) -> Result<RootCertStore, CertError> {
    let mut roots = RootCertStore::empty();
    for cert in chain(ca_pem)? {
        roots.add(cert).map_err(|e| CertError::unreadable("authority", &e))?;
    }
    if roots.is_empty() {
        return Err(CertError::unreadable("authority", &"there is none"));
    }
    Ok(roots)
}

/// A verifier of client certificates: chained to the authority, in their time, not on the revocation list.
///
/// # Errors
/// The authority or the list can't be read.
pub fn verifier(ca_pem: &str, revocation_list: Option<Vec<u8>>) -> Result<Arc<dyn ClientCertVerifier>, CertError> {
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca_pem)?), provider());
    if let Some(list) = revocation_list {
        builder = builder.with_crls([CertificateRevocationListDer::from(list)]);
    }
    builder.build().map_err(|e| CertError::unreadable("authority", &e))
}

/// The coordinator's configuration.
///
/// # Errors
/// The identity, the authority or the list can't be read.
pub fn server(identity: &Identity, revocation_list: Vec<u8>) -> Result<Arc<ServerConfig>, CertError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(|e| CertError::unmade("TLS configuration", &e))?
        .with_client_cert_verifier(verifier(&identity.ca_pem, Some(revocation_list))?)
        .with_single_cert(chain(&identity.chain_pem)?, identity.key()?)
        .map_err(|e| CertError::unmade("TLS configuration", &e))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session would skip the check against the revocation list.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// The configuration of a hospital's own port for its senders: with certificates of the hospital, not of the federation. With an
/// authority each sender must show a certificate of it.
///
/// # Errors
/// A certificate or the key can't be read, or they do not belong together.
pub fn feed(
    chain_pem: &str,
    key_pem: &str,
    client_authority_pem: Option<&str>,
) -> Result<Arc<ServerConfig>, CertError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(|e| CertError::unmade("TLS configuration", &e))?;
    let builder = match client_authority_pem {
        Some(authority) => builder.with_client_cert_verifier(verifier(authority, None)?),
        None => builder.with_no_client_auth(),
    };
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|e| CertError::unreadable("key", &e))?;
    let config =
        builder.with_single_cert(chain(chain_pem)?, key).map_err(|e| CertError::unmade("TLS configuration", &e))?;
    Ok(Arc::new(config))
}

/// The configuration of a caller without a certificate of its own, to a server of another authority, such as a hospital's
/// database.
///
/// # Errors
/// The authority can't be read.
pub fn trusting(ca_pem: &str) -> Result<Arc<ClientConfig>, CertError> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(|e| CertError::unmade("TLS configuration", &e))?
        .with_root_certificates(roots(ca_pem)?)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// A caller's configuration.
///
/// # Errors
/// The identity can't be read.
pub fn client(identity: &Identity) -> Result<Arc<ClientConfig>, CertError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(|e| CertError::unmade("TLS configuration", &e))?
        .with_root_certificates(roots(&identity.ca_pem)?)
        .with_client_auth_cert(chain(&identity.chain_pem)?, identity.key()?)
        .map_err(|e| CertError::unmade("TLS configuration", &e))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}
