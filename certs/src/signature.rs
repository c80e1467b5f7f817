//! Signatures over plans: Ed25519 over a domain prefix and the plan's hash.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use rustls_pki_types::{PrivateKeyDer, UnixTime};
use std::time::Duration;

use crate::CertError;
use crate::identity::{Identity, chain};
use crate::name::Role;
use crate::peer::Peer;
use crate::tls;

const DOMAIN: &[u8] = b"insitu plan signature v1\0";

fn message(hash: &[u8; 32]) -> Vec<u8> {
    [DOMAIN, hash].concat()
}

/// Signs a plan's hash.
///
/// # Errors
/// The key can't be read.
pub fn sign(identity: &Identity, hash: &[u8; 32]) -> Result<Vec<u8>, CertError> {
    let PrivateKeyDer::Pkcs8(der) = identity.key()? else {
        return Err(CertError::unreadable("key", &"it is not in PKCS#8"));
    };
    let key = Ed25519KeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|e| CertError::unreadable("key", &e))?;
    Ok(key.sign(&message(hash)).as_ref().to_vec())
}

/// Checks a signature: the signer's certificate chains to the authority, is in its time, has the role of an analyst, and its
/// key made the signature. Returns the signer.
///
/// # Errors
/// Which of these does not hold.
pub fn verify(
    ca_pem: &str,
    signer_chain_pem: &str,
    hash: &[u8; 32],
    signature: &[u8],
    now_seconds: u64,
) -> Result<Peer, CertError> {
    let chain = chain(signer_chain_pem)?;
    let (first, rest) =
        chain.split_first().ok_or_else(|| CertError::unreadable("signer's certificate", &"there is none"))?;
    tls::verifier(ca_pem, None)?
        .verify_client_cert(first, rest, UnixTime::since_unix_epoch(Duration::from_secs(now_seconds)))
        .map_err(|e| CertError::Untrusted(e.to_string()))?;
    let peer = Peer::of(first)?;
    if peer.name.role != Role::Analyst {
        return Err(CertError::Role { has: peer.name.role, needs: Role::Analyst });
    }
    UnparsedPublicKey::new(&ED25519, &peer.public_key)
        .verify(&message(hash), signature)
        .map_err(|_| CertError::Signature)?;
    Ok(peer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::{Authority, Revoked};
    use crate::identity;
    use crate::name::Name;
    use zeroize::Zeroizing;

    const NOW: u64 = 1_800_000_000;

    fn holder(authority: &Authority, role: Role, id: &str) -> Identity {
        let key = identity::new_key().unwrap();
        let csr = identity::request(&key).unwrap();
        let name = Name::new("north", role, id).unwrap();
        let chain_pem = authority.issue(&csr, &name, [9; 16], NOW, 3600).unwrap();
        Identity { chain_pem, key_pem: Zeroizing::new(key.to_string()), ca_pem: authority.ca_pem().to_owned() }
    }

    #[test]
    fn only_an_analyst_of_this_federation_in_time_signs() {
        let authority = Authority::create("north", NOW).unwrap();
        let ada = holder(&authority, Role::Analyst, "ada");
        let hash = [3; 32];
        let signature = sign(&ada, &hash).unwrap();
        let check = |ca: &str, chain: &str, hash: &[u8; 32], sig: &[u8], now| verify(ca, chain, hash, sig, now);
        let peer = check(authority.ca_pem(), &ada.chain_pem, &hash, &signature, NOW).unwrap();
        assert_eq!(peer.name.to_string(), "spiffe://north/analyst/ada");

        assert!(matches!(
            check(authority.ca_pem(), &ada.chain_pem, &[4; 32], &signature, NOW),
            Err(CertError::Signature)
        ));
        assert!(matches!(
            check(authority.ca_pem(), &ada.chain_pem, &hash, &signature, NOW + 7200),
            Err(CertError::Untrusted(_))
        ));
        let site = holder(&authority, Role::Site, "de-01");
        let by_site = sign(&site, &hash).unwrap();
        assert!(matches!(
            check(authority.ca_pem(), &site.chain_pem, &hash, &by_site, NOW),
            Err(CertError::Role { has: Role::Site, .. })
        ));
        let other = Authority::create("south", NOW).unwrap();
        let stranger = holder(&other, Role::Analyst, "ada");
        let forged = sign(&stranger, &hash).unwrap();
        assert!(matches!(
            check(authority.ca_pem(), &stranger.chain_pem, &hash, &forged, NOW),
            Err(CertError::Untrusted(_))
        ));
    }

    #[test]
    fn a_revoked_serial_is_refused_and_others_are_not() {
        let authority = Authority::create("north", NOW).unwrap();
        let site = holder(&authority, Role::Site, "de-01");
        let peer = site.peer().unwrap();
        let list =
            authority.revocation_list(&[Revoked { serial: peer.serial.clone(), at_seconds: NOW }], 1, NOW).unwrap();
        let empty = authority.revocation_list(&[], 1, NOW).unwrap();
        let cert = chain(&site.chain_pem).unwrap();
        let at = UnixTime::since_unix_epoch(Duration::from_secs(NOW));
        let with = |l| tls::verifier(authority.ca_pem(), Some(l)).unwrap();
        assert!(with(list).verify_client_cert(&cert[0], &[], at).is_err());
        assert!(with(empty).verify_client_cert(&cert[0], &[], at).is_ok());
    }
}
