//! A live source's settings: one address, who may connect, TLS, and bounds. Read once, and refused where they open too much.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{Source, SourceKind};

/// TLS of a listener: files relative to `site.toml`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate's chain, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// The authority of the senders' certificates, PEM: then each sender must show one. None: only the listener shows one.
    #[serde(default)]
    pub client_authority: Option<PathBuf>,
}

/// What the senders of a feed may use of the machine.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Whether `listen` may be every address of the machine.
    pub every_interface: bool,
    /// The longest message, in KiB.
    pub max_message_kib: usize,
    /// Connections at a time.
    pub max_connections: usize,
    /// Messages in memory that are not on disk yet, in MiB, beside 64 KiB a connection.
    pub in_flight_mib: usize,
    /// Seconds between two messages after which a connection is closed.
    pub idle_seconds: u64,
    /// Seconds that a message may take from its first byte to its last, and an answer to be taken.
    pub read_seconds: u64,
    /// Size of a segment of the spool, in MiB.
    pub segment_mib: u64,
    /// Seconds between two ingestions into the lake.
    pub ingest_seconds: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            every_interface: false,
            max_message_kib: 16 << 10,
            max_connections: 64,
            in_flight_mib: 64,
            idle_seconds: 3600,
            read_seconds: 60,
            segment_mib: 64,
            ingest_seconds: 900,
        }
    }
}

/// A setting that is refused, and what to write instead.
#[derive(Debug, thiserror::Error)]
#[error("source '{source_name}': {reason}")]
pub struct SettingsError {
    /// The source.
    pub source_name: String,
    /// What is wrong, and what would fit.
    pub reason: String,
}

/// An address or a network that may connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    base: IpAddr,
    bits: u32,
}

/// An address as a number, and how many bits it has.
fn number(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32),
        IpAddr::V6(v6) => (u128::from(v6), 128),
    }
}

impl Network {
    /// Reads `10.1.2.3`, `10.1.2.0/24`, `fd00::/64`. The error says what would fit.
    fn parse(text: &str) -> Result<Network, String> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let wrong = || format!("'{text}' is no address and no network; write 10.1.2.3 or 10.1.2.0/24");
        let base: IpAddr = address.parse().map_err(|_| wrong())?;
        let (value, width) = number(base);
        let bits = match bits {
            Some(bits) => bits.parse().ok().filter(|b| *b <= width).ok_or_else(wrong)?,
            None => width,
        };
        if bits == 0 || base.is_unspecified() {
            return Err(format!("'{text}' lets every machine in; name the interface engine's address"));
        }
        if bits < width && value.trailing_zeros().min(width) < width - bits {
            return Err(format!("'{text}' has bits behind its prefix; did you mean the one machine '{address}'?"));
        }
        Ok(Network { base, bits })
    }

    /// Whether an address is in it.
    pub(super) fn holds(&self, peer: IpAddr) -> bool {
        let ((base, width), (peer, peer_width)) = (number(self.base), number(peer.to_canonical()));
        let shift = width - self.bits;
        width == peer_width && base.checked_shr(shift).unwrap_or(0) == peer.checked_shr(shift).unwrap_or(0)
    }
}

/// Settings that were checked.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) address: SocketAddr,
    pub(super) peers: Vec<Network>,
    pub(super) tls: Option<Tls>,
    /// Bytes.
    pub(super) max_message: usize,
    pub(super) max_connections: usize,
    /// Bytes.
    pub(super) in_flight: usize,
    pub(super) idle: Duration,
    pub(super) read: Duration,
    /// Bytes.
    pub(super) segment: u64,
    pub(super) ingest_every: Duration,
}

impl Settings {
    /// Those of a source, or `None` where it is none that listens. Files of TLS are looked for from `home`.
    pub(super) fn of(source: &Source, home: &Path) -> Result<Option<Settings>, SettingsError> {
        check(source)?;
        let (SourceKind::Mllp, Some(address)) = (source.kind, source.listen) else { return Ok(None) };
        let refuse = |reason| SettingsError { source_name: source.name.clone(), reason };
        let peers = source.peers.iter().map(|p| Network::parse(p).map_err(refuse)).collect::<Result<_, _>>()?;
        let l = &source.feed;
        let tls = source.tls.clone().map(|t| Tls {
            certificate: home.join(t.certificate),
            key: home.join(t.key),
            client_authority: t.client_authority.map(|a| home.join(a)),
        });
        Ok(Some(Settings {
            address,
            peers,
            tls,
            max_message: l.max_message_kib << 10,
            max_connections: l.max_connections,
            in_flight: l.in_flight_mib << 20,
            idle: Duration::from_secs(l.idle_seconds),
            read: Duration::from_secs(l.read_seconds),
            segment: l.segment_mib << 20,
            ingest_every: Duration::from_secs(l.ingest_seconds),
        }))
    }
}

/// Whether a source's settings fit each other: files have a folder and a format, a feed an address and peers.
///
/// # Errors
/// They do not; the text says what to write.
pub fn check(source: &Source) -> Result<(), SettingsError> {
    let refuse = |reason: String| Err(SettingsError { source_name: source.name.clone(), reason });
    if source.kind == SourceKind::Files {
        return match (source.listen, source.format.is_empty(), source.path.as_os_str().is_empty()) {
            (Some(_), ..) => refuse("it has `listen`; write kind = \"mllp\", or remove it".to_owned()),
            (_, true, _) => refuse(format!("it has no `format`; there are: {}", adapters::FORMATS.join(", "))),
            (_, _, true) if source.postgres.is_none() => {
                refuse("it has no `path`, the folder with its files".to_owned())
            }
            _ => Ok(()),
        };
    }
    // Its name is the name of a folder.
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if source.name.is_empty() || !source.name.chars().all(plain) {
        return refuse("the name of a feed has letters, digits, - and _ alone".to_owned());
    }
    if source.format != "hl7v2" || source.mapping.is_some() || !source.path.as_os_str().is_empty() {
        return refuse("a feed is hl7v2; it has no other `format`, no `path` and no `mapping`".to_owned());
    }
    let Some(address) = source.listen else {
        return refuse("a feed needs `listen`, such as listen = \"10.1.2.3:2575\"".to_owned());
    };
    if address.ip().is_unspecified() && !source.feed.every_interface {
        return refuse(format!(
            "listen = \"{address}\" is every interface of the machine; name one address of the hospital's network, or write \
             feed = {{ every_interface = true }}"
        ));
    }
    if source.peers.is_empty() {
        return refuse("a feed needs `peers`, who may connect, such as peers = [\"10.1.2.10\"]".to_owned());
    }
    if let Some(Err(reason)) = source.peers.iter().map(|p| Network::parse(p)).find(Result::is_err) {
        return refuse(reason);
    }
    let l = &source.feed;
    let bounds = [
        ("max_message_kib", l.max_message_kib as u64, 1, 16 << 10),
        ("max_connections", l.max_connections as u64, 1, 4096),
        ("in_flight_mib", l.in_flight_mib as u64, 1, 4096),
        ("idle_seconds", l.idle_seconds, 1, 7 * 86_400),
        ("read_seconds", l.read_seconds, 1, 3600),
        ("segment_mib", l.segment_mib, 1, 4096),
        ("ingest_seconds", l.ingest_seconds, 1, 86_400),
    ];
    for (name, value, least, most) in bounds {
        if !(least..=most).contains(&value) {
            return refuse(format!("{name} = {value} is not from {least} to {most}"));
        }
    }
    if l.in_flight_mib << 10 < l.max_message_kib {
        return refuse("in_flight_mib has no room for one message of max_message_kib".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(toml: &str) -> String {
        let toml = format!("name = \"his\"\n{toml}");
        match toml::from_str::<Source>(&toml) {
            Ok(mut source) => {
                source.settle();
                check(&source).err().map(|e| e.to_string()).unwrap_or_default()
            }
            Err(e) => e.to_string(),
        }
    }

    #[test]
    fn a_feed_that_opens_too_much_is_refused() {
        let good = "kind = \"mllp\"\nlisten = \"10.1.2.3:2575\"\npeers = [\"10.1.2.10\", \"10.1.3.0/24\"]\n";
        assert_eq!(refused(good), "");
        assert_eq!(refused(&good.replace("kind = \"mllp\"", "format = \"hl7v2\"")), "");
        for (from, to, says) in [
            ("10.1.2.3:2575", "0.0.0.0:2575", "every interface"),
            ("10.1.2.3:2575", "[::]:2575", "every interface"),
            ("10.1.2.3:2575", "lab:2575", "invalid"),
            ("[\"10.1.2.10\", \"10.1.3.0/24\"]", "[]", "needs `peers`"),
            ("10.1.3.0/24", "10.1.3.1/24", "one machine"),
            ("10.1.3.0/24", "0.0.0.0/0", "every machine"),
            ("10.1.3.0/24", "10.1.3.0/33", "no network"),
            ("kind = \"mllp\"", "kind = \"mllp\"\npath = \"x\"", "no `path`"),
            ("kind = \"mllp\"", "kind = \"files\"\nformat = \"hl7v2\"\npath = \"x\"", "kind = \"mllp\""),
            ("kind = \"mllp\"", "kind = \"mllp\"\nfeed = { in_flight_mib = 1 }", "no room"),
            ("kind = \"mllp\"", "kind = \"mllp\"\nfeed = { max_connections = 0 }", "max_connections"),
        ] {
            let text = refused(&good.replace(from, to));
            assert!(text.contains(says), "{to}: {text}");
        }
        let every = good.replace("10.1.2.3", "0.0.0.0").replace("kind = \"mllp\"", "feed = { every_interface = true }");
        assert_eq!(refused(&every), "");
        assert!(refused("kind = \"mllp\"\npeers = [\"10.1.2.10\"]").contains("needs `listen`"));
        assert!(refused("format = \"csv\"").contains("no `path`"));
    }

    #[test]
    fn networks_hold_their_addresses_alone() {
        let holds = |net: &str, ip: &str| Network::parse(net).unwrap().holds(ip.parse().unwrap());
        assert!(holds("10.1.2.0/24", "10.1.2.255") && !holds("10.1.2.0/24", "10.1.3.0"));
        assert!(holds("10.1.2.3", "10.1.2.3") && !holds("10.1.2.3", "10.1.2.4"));
        assert!(holds("10.1.2.3", "::ffff:10.1.2.3") && !holds("10.0.0.0/8", "fd00::1"));
        assert!(holds("fd00::/16", "fd00::1") && !holds("fd00::/16", "fe80::1"));
        assert!(holds("128.0.0.0/1", "255.1.1.1") && !holds("128.0.0.0/1", "127.0.0.1"));
    }
}
