//! What a certificate says of its holder.

use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use crate::CertError;
use crate::authority::CLOCK_SKEW_SECONDS;
use crate::name::Name;

/// The holder of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The name.
    pub name: Name,
    /// The certificate's serial number, hexadecimal.
    pub serial: String,
    /// The public key, raw.
    pub public_key: Vec<u8>,
    /// Until when it is valid, in seconds since 1970.
    pub not_after_seconds: i64,
    /// From when.
    pub not_before_seconds: i64,
}

impl Peer {
    /// Reads a certificate, DER. The chain is not checked here: a TLS handshake or [`crate::signature`] has done so.
    ///
    /// # Errors
    /// It is no certificate, or has not exactly one name of a federation.
    pub fn of(der: &[u8]) -> Result<Peer, CertError> {
        let (_, cert) = parse_x509_certificate(der).map_err(|e| CertError::unreadable("certificate", &e))?;
        let sans = cert
            .subject_alternative_name()
            .map_err(|e| CertError::unreadable("certificate", &e))?
            .ok_or_else(|| CertError::unreadable("certificate", &"it has no subject alternative name"))?;
        let mut uris = sans.value.general_names.iter().filter_map(|n| match n {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
        let (Some(uri), None) = (uris.next(), uris.next()) else {
            return Err(CertError::unreadable("certificate", &"it must have one SPIFFE name"));
        };
        Ok(Peer {
            name: Name::parse(uri)?,
            serial: cert.raw_serial().iter().map(|b| format!("{b:02x}")).collect(),
            public_key: cert.public_key().subject_public_key.data.to_vec(),
            not_after_seconds: cert.validity().not_after.timestamp(),
            not_before_seconds: cert.validity().not_before.timestamp(),
        })
    }

    /// Whether two thirds of its life are over, so that it should be renewed. The life is counted from when it was issued, not
    /// from the moment before it that allows for clocks that are behind.
    pub fn should_renew(&self, now_seconds: i64) -> bool {
        let skew = i64::try_from(CLOCK_SKEW_SECONDS).unwrap_or_default();
        let life = (self.not_after_seconds - self.not_before_seconds - skew).max(0);
        now_seconds >= self.not_after_seconds - life / 3
    }
}
