//! The caller's end of a connection: mutual TLS 1.3 over TCP, HTTP/2 on top.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};

/// A connection could not be made.
#[derive(Debug, thiserror::Error)]
#[error("{address} can't be reached: {reason}")]
pub struct ConnectError {
    /// Where to.
    pub address: String,
    /// Why not.
    pub reason: String,
}

/// What was agreed in the handshake, for the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handshake {
    /// The protocol version.
    pub version: String,
    /// The key exchange group.
    pub group: String,
    /// The cipher suite.
    pub suite: String,
}

/// What was agreed on a connection.
pub fn handshake(connection: &tokio_rustls::rustls::CommonState) -> Handshake {
    Handshake {
        version: connection.protocol_version().map(|v| format!("{v:?}")).unwrap_or_default(),
        group: connection.negotiated_key_exchange_group().map(|g| format!("{:?}", g.name())).unwrap_or_default(),
        suite: connection.negotiated_cipher_suite().map(|s| format!("{:?}", s.suite())).unwrap_or_default(),
    }
}

/// Connects to `address` (`host:port`) and checks that the other side's certificate has the DNS name `server_name`.
///
/// # Errors
/// The address can't be reached, or the other side is not accepted or does not accept this one.
pub async fn connect(
    address: &str,
    server_name: &'static str,
    config: Arc<tokio_rustls::rustls::ClientConfig>,
) -> Result<(Channel, Handshake), ConnectError> {
    let wrong = |reason: String| ConnectError { address: address.to_owned(), reason };
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|e| wrong(e.to_string()))?
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(60))
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(8 << 20);
    let seen = Arc::new(std::sync::Mutex::new(Handshake::default()));
    let out = seen.clone();
    let target = address.to_owned();
    let connector = tower::service_fn(move |_: Uri| {
        let (config, target, out) = (config.clone(), target.clone(), out.clone());
        async move {
            let tcp = tokio::time::timeout(Duration::from_secs(10), TcpStream::connect(&target))
                .await
                .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
            tcp.set_nodelay(true)?;
            let name =
                tokio_rustls::rustls::pki_types::ServerName::try_from(server_name).map_err(std::io::Error::other)?;
            let tls = TlsConnector::from(config).connect(name, tcp).await?;
            if let Ok(mut slot) = out.lock() {
                *slot = handshake(tls.get_ref().1);
            }
            Ok::<_, std::io::Error>(TokioIo::new(tls))
        }
    });
    let channel = endpoint.connect_with_connector(connector).await.map_err(|e| {
        let mut text = e.to_string();
        let mut source = std::error::Error::source(&e);
        while let Some(s) = source {
            text = format!("{text}: {s}");
            source = s.source();
        }
        wrong(text)
    })?;
    let agreed = seen.lock().map(|h| h.clone()).unwrap_or_default();
    Ok((channel, agreed))
}

/// Why no certificate came.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// The coordinator can't be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The coordinator refused.
    #[error("the coordinator refused: {0}")]
    Refused(String),
}

/// Sends a signing request over a connection with an invitation's certificate. Returns the certificate's chain, PEM.
///
/// # Errors
/// The coordinator can't be reached, or refuses: the invitation is used, revoked or over.
pub async fn enroll(
    address: &str,
    server_name: &'static str,
    config: Arc<tokio_rustls::rustls::ClientConfig>,
    csr_der: Vec<u8>,
) -> Result<String, EnrollError> {
    let (channel, _) = connect(address, server_name, config).await?;
    let mut client = crate::wire::federation_client::FederationClient::new(channel);
    let reply = client.enroll(crate::wire::EnrollRequest { csr_der: csr_der.into() }).await;
    Ok(reply.map_err(|s| EnrollError::Refused(s.message().to_owned()))?.into_inner().chain_pem)
}
