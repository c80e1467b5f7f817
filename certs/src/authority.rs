//! The certificate authority and its revocation list.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ED25519, RevokedCertParams,
    SanType, SerialNumber, date_time_ymd,
};
use zeroize::Zeroizing;

use crate::CertError;
use crate::name::{Name, Role};

/// The DNS name in the coordinator's certificate, whatever its address in the network is.
pub const SERVER_NAME: &str = "coordinator.insitu.internal";

const CA_YEARS: u64 = 10;
/// Certificates begin this much before now, for clocks that are a little behind.
pub(crate) const CLOCK_SKEW_SECONDS: u64 = 300;

/// A federation's authority: its key and its certificate.
pub struct Authority {
    key_pem: Zeroizing<String>,
    ca_pem: String,
}

/// A revoked certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// The serial number, as hexadecimal digits.
    pub serial: String,
    /// When, in seconds since 1970.
    pub at_seconds: u64,
}

impl Authority {
    /// A new authority.
    ///
    /// # Errors
    /// The generator failed, or the federation's name is malformed.
    pub fn create(federation: &str, now_seconds: u64) -> Result<Authority, CertError> {
        let wrong = |e: rcgen::Error| CertError::unmade("authority", &e);
        let _ = Name::new(federation, Role::Coordinator, "coordinator")?;
        let key = KeyPair::generate_for(&PKCS_ED25519).map_err(wrong)?;
        let mut params = CertificateParams::new(Vec::new()).map_err(wrong)?;
        params.distinguished_name.push(DnType::CommonName, format!("{federation} federation authority"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before =
            date_time_ymd(1970, 1, 1) + Duration::from_secs(now_seconds.saturating_sub(CLOCK_SKEW_SECONDS));
        params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(now_seconds + CA_YEARS * 365 * 86_400);
        let cert = params.self_signed(&key).map_err(wrong)?;
        Ok(Authority { key_pem: Zeroizing::new(key.serialize_pem()), ca_pem: cert.pem() })
    }

    /// An authority from its stored key and certificate.
    ///
    /// # Errors
    /// They can't be read, or do not belong together.
    pub fn load(key_pem: &str, ca_pem: &str) -> Result<Authority, CertError> {
        let authority = Authority { key_pem: Zeroizing::new(key_pem.to_owned()), ca_pem: ca_pem.to_owned() };
        authority.issuer()?;
        Ok(authority)
    }

    /// The authority's certificate.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The authority's key, to be stored where only the operator reads.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    fn issuer(&self) -> Result<Issuer<'static, KeyPair>, CertError> {
        let key = KeyPair::from_pem(&self.key_pem).map_err(|e| CertError::unreadable("authority's key", &e))?;
        Issuer::from_ca_cert_pem(&self.ca_pem, key).map_err(|e| CertError::unreadable("authority", &e))
    }

    /// A certificate for the key of a signing request, under a name that the authority chooses. `serial` must be fresh.
    ///
    /// # Errors
    /// The request is malformed or not signed by its own key.
    pub fn issue(
        &self,
        csr_der: &[u8],
        name: &Name,
        serial: [u8; 16],
        now_seconds: u64,
        valid_seconds: u64,
    ) -> Result<String, CertError> {
        let mut csr = CertificateSigningRequestParams::from_der(&csr_der.to_vec().into())
            .map_err(|e| CertError::unreadable("signing request", &e))?;
        let wrong = |e: rcgen::Error| CertError::unmade("certificate", &e);
        let mut params = CertificateParams::new(Vec::new()).map_err(wrong)?;
        params.distinguished_name.push(DnType::CommonName, format!("{} {}", name.role, name.id));
        let uri = name.to_string().try_into().map_err(wrong)?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if name.role == Role::Coordinator {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            params.subject_alt_names.push(SanType::DnsName(SERVER_NAME.try_into().map_err(wrong)?));
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        let mut serial = serial;
        serial[0] &= 0x7f; // a positive number
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.not_before =
            date_time_ymd(1970, 1, 1) + Duration::from_secs(now_seconds.saturating_sub(CLOCK_SKEW_SECONDS));
        params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(now_seconds + valid_seconds);
        csr.params = params;
        Ok(csr.signed_by(&self.issuer()?).map_err(wrong)?.pem())
    }

    /// The revocation list, DER. It is made anew whenever it is needed, so that it never grows stale.
    ///
    /// # Errors
    /// It could not be signed.
    pub fn revocation_list(&self, revoked: &[Revoked], number: u64, now_seconds: u64) -> Result<Vec<u8>, CertError> {
        let time = |s: u64| date_time_ymd(1970, 1, 1) + Duration::from_secs(s);
        let bytes = |hex: &str| -> Vec<u8> {
            hex.as_bytes()
                .chunks(2)
                .filter_map(|c| std::str::from_utf8(c).ok().and_then(|t| u8::from_str_radix(t, 16).ok()))
                .collect()
        };
        let params = CertificateRevocationListParams {
            this_update: time(now_seconds.saturating_sub(CLOCK_SKEW_SECONDS)),
            next_update: time(now_seconds + CA_YEARS * 365 * 86_400),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked
                .iter()
                .map(|r| RevokedCertParams {
                    serial_number: SerialNumber::from_slice(&bytes(&r.serial)),
                    revocation_time: time(r.at_seconds),
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let crl = params.signed_by(&self.issuer()?).map_err(|e| CertError::unmade("revocation list", &e))?;
        Ok(crl.der().to_vec())
    }
}
