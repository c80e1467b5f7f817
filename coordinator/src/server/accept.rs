//! TLS, with a configuration that can be changed while the server runs: a renewed certificate or a longer revocation list
//! takes effect at the next handshake.

use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use certs::{Identity, Peer, tls};
use platform::Clock;
use proto::channel::{Handshake, handshake};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use crate::federation::Federation;
use crate::registry::Registry;

/// A handshake that takes longer is given up.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes that may be under way at once.
const PENDING: usize = 256;

struct Current {
    identity: Identity,
    config: Arc<ServerConfig>,
}

/// The configuration in use.
#[derive(Clone)]
pub struct Tls {
    current: Arc<RwLock<Current>>,
}

fn config(
    federation: &Federation,
    registry: &Registry,
    identity: &Identity,
    clock: &dyn Clock,
) -> anyhow::Result<Arc<ServerConfig>> {
    let revoked = registry.revoked()?;
    let now = u64::try_from(clock.now().seconds()).unwrap_or_default();
    let list = federation.authority.revocation_list(&revoked, revoked.len() as u64 + 1, now)?;
    Ok(tls::server(identity, list)?)
}

impl Tls {
    /// With an identity and the registry's revocations.
    ///
    /// # Errors
    /// A certificate can't be read.
    pub fn new(
        federation: &Federation,
        registry: &Registry,
        identity: Identity,
        clock: &dyn Clock,
    ) -> anyhow::Result<Tls> {
        let config = config(federation, registry, &identity, clock)?;
        Ok(Tls { current: Arc::new(RwLock::new(Current { identity, config })) })
    }

    fn get(&self) -> Arc<ServerConfig> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).config.clone()
    }

    /// Whether the identity should be renewed.
    pub fn should_renew(&self, now_seconds: i64) -> bool {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.identity.peer().map_or(true, |p| p.should_renew(now_seconds))
    }

    /// Puts another identity in use, with the registry's revocations as they are now.
    ///
    /// # Errors
    /// A certificate can't be read; the old one stays in use.
    pub fn replace(
        &self,
        federation: &Federation,
        registry: &Registry,
        identity: Identity,
        clock: &dyn Clock,
    ) -> anyhow::Result<()> {
        let config = config(federation, registry, &identity, clock)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Current { identity, config };
        Ok(())
    }

    /// Takes the registry's revocations in.
    ///
    /// # Errors
    /// As [`Tls::replace`].
    pub fn reload(&self, federation: &Federation, registry: &Registry, clock: &dyn Clock) -> anyhow::Result<()> {
        let identity = self.current.read().unwrap_or_else(PoisonError::into_inner).identity.clone();
        self.replace(federation, registry, identity, clock)
    }
}

/// Who is at the other end, and what was agreed.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The holder of the certificate.
    pub peer: Peer,
    /// The handshake.
    pub handshake: Handshake,
}

/// A connection after its handshake.
pub struct Connection {
    stream: TlsStream<TcpStream>,
    caller: Option<Caller>,
}

impl Connected for Connection {
    type ConnectInfo = Option<Caller>;
    fn connect_info(&self) -> Option<Caller> {
        self.caller.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Listens on `host:port`.
///
/// # Errors
/// The port is taken.
pub async fn listen(address: &str) -> anyhow::Result<TcpListener> {
    use anyhow::Context as _;
    TcpListener::bind(address).await.with_context(|| format!("{address} can't be listened on; is it taken?"))
}

/// Connections whose handshake went well. Each handshake has its own task, so that a slow one holds nobody up.
pub fn incoming(listener: TcpListener, tls: Tls) -> ReceiverStream<std::io::Result<Connection>> {
    let (out, connections) = tokio::sync::mpsc::channel(PENDING);
    tokio::spawn(async move {
        loop {
            let (tcp, from) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(e) => {
                    tracing::warn!("accept: {e}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let (config, out) = (tls.get(), out.clone());
            if out.is_closed() {
                return;
            }
            tokio::spawn(async move {
                let _ = tcp.set_nodelay(true);
                let shaken = tokio::time::timeout(HANDSHAKE, TlsAcceptor::from(config).accept(tcp)).await;
                match shaken {
                    Ok(Ok(stream)) => {
                        let caller = caller(&stream);
                        let _ = out.send(Ok(Connection { stream, caller })).await;
                    }
                    Ok(Err(e)) => tracing::warn!(%from, "handshake refused: {e}"),
                    Err(_) => tracing::warn!(%from, "handshake took too long"),
                }
            });
        }
    });
    ReceiverStream::new(connections)
}

fn caller(stream: &TlsStream<TcpStream>) -> Option<Caller> {
    let (_, connection) = stream.get_ref();
    let first = connection.peer_certificates()?.first()?;
    let peer = Peer::of(first).ok()?;
    let handshake = handshake(connection);
    tracing::info!(peer = %peer.name, tls = %handshake.version, group = %handshake.group, suite = %handshake.suite, "connection");
    Some(Caller { peer, handshake })
}
