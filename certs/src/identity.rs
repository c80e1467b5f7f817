//! A key with its certificate.

use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::CertError;
use crate::peer::Peer;

/// A new Ed25519 key, as PKCS#8 PEM.
///
/// # Errors
/// The generator failed.
pub fn new_key() -> Result<Zeroizing<String>, CertError> {
    let key = KeyPair::generate_for(&PKCS_ED25519).map_err(|e| CertError::unmade("key", &e))?;
    Ok(Zeroizing::new(key.serialize_pem()))
}

/// A signing request for a key. It carries the public key and nothing else of weight: the authority sets the name.
///
/// # Errors
/// The key can't be read.
pub fn request(key_pem: &str) -> Result<Vec<u8>, CertError> {
    let key = KeyPair::from_pem(key_pem).map_err(|e| CertError::unreadable("key", &e))?;
    let params = CertificateParams::new(Vec::new()).map_err(|e| CertError::unmade("request", &e))?;
    let csr = params.serialize_request(&key).map_err(|e| CertError::unmade("request", &e))?;
    Ok(csr.der().to_vec())
}

/// A key, its certificate, and the federation's authority. It has no `Debug`: the key is never printed.
#[derive(Clone)]
pub struct Identity {
    /// The certificate and what is between it and the authority, PEM.
    pub chain_pem: String,
    /// The private key, PKCS#8 PEM.
    pub key_pem: Zeroizing<String>,
    /// The federation's authority, PEM.
    pub ca_pem: String,
}

impl Identity {
    /// Who this is, as the certificate says.
    ///
    /// # Errors
    /// The certificate can't be read.
    pub fn peer(&self) -> Result<Peer, CertError> {
        let chain = chain(&self.chain_pem)?;
        let first = chain.first().ok_or_else(|| CertError::unreadable("certificate", &"there is none"))?;
        Peer::of(first)
    }

    pub(crate) fn key(&self) -> Result<PrivateKeyDer<'static>, CertError> {
        PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).map_err(|e| CertError::unreadable("key", &e))
    }
}

/// The certificates of a PEM text.
///
/// # Errors
/// It is no PEM.
pub fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, CertError> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| CertError::unreadable("certificate", &e))
}
