//! The port: who is let in, and how many at a time.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Duration, timeout};
use tokio_rustls::TlsAcceptor;

use super::{Feed, FeedError, connection, stopped};

/// A feed's port.
pub(super) struct Listener {
    feed: Arc<Feed>,
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
}

fn acceptor(feed: &Feed) -> Result<Option<TlsAcceptor>, FeedError> {
    let Some(files) = &feed.settings.tls else { return Ok(None) };
    let wrong = |reason: String| FeedError::Tls { source_name: feed.source.clone(), reason };
    let read = |path: &std::path::Path| {
        std::fs::read_to_string(path).map_err(|e| wrong(format!("{} can't be read: {e}", path.display())))
    };
    let (chain, key) = (read(&files.certificate)?, zeroize::Zeroizing::new(read(&files.key)?));
    let authority = files.client_authority.as_deref().map(read).transpose()?;
    let config = certs::tls::feed(&chain, &key, authority.as_deref()).map_err(|e| wrong(e.to_string()))?;
    Ok(Some(TlsAcceptor::from(config)))
}

impl Listener {
    /// Takes the address.
    pub(super) async fn bind(feed: Arc<Feed>) -> Result<Listener, FeedError> {
        let tls = acceptor(&feed)?;
        let address = feed.settings.address;
        let socket = TcpListener::bind(address).await.map_err(|e| FeedError::Bind {
            source_name: feed.source.clone(),
            address,
            reason: e.to_string(),
        })?;
        tracing::info!(source = %feed.source, %address, tls = tls.is_some(), "feed: listening");
        Ok(Listener { feed, socket, tls })
    }

    /// Where it listens.
    #[cfg(test)]
    pub(super) fn address(&self) -> std::net::SocketAddr {
        self.socket.local_addr().unwrap_or(self.feed.settings.address)
    }

    /// Serves senders until it is told to stop; then waits for those that are within a message.
    pub(super) async fn run(self, mut stop: watch::Receiver<bool>) {
        let places = Arc::new(Semaphore::new(self.feed.settings.max_connections));
        let mut served = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = stopped(&mut stop) => break,
                Some(_) = served.join_next(), if !served.is_empty() => continue,
                accepted = self.socket.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok((stream, from)) => (stream, from.ip()),
                Err(e) => {
                    // Out of file handles, mostly: those that are served will free some.
                    tracing::warn!(source = %self.feed.source, "feed: a connection could not be taken: {e}");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                }
            };
            if !self.feed.settings.peers.iter().any(|n| n.holds(peer)) {
                self.feed.counts.add(|n| n.strangers += 1);
                tracing::warn!(source = %self.feed.source, %peer, "feed: not among the peers; closed");
                continue;
            }
            let Ok(place) = places.clone().try_acquire_owned() else {
                self.feed.counts.add(|n| n.over_connections += 1);
                tracing::warn!(source = %self.feed.source, %peer, "feed: as many connections as are allowed; closed");
                continue;
            };
            self.feed.counts.add(|n| n.connections += 1);
            let (feed, tls, stop) = (self.feed.clone(), self.tls.clone(), stop.clone());
            served.spawn(async move {
                let _place = place;
                let _ = stream.set_nodelay(true);
                encrypted(feed, tls, stream, peer, stop).await;
            });
        }
        drop(self.socket);
        while served.join_next().await.is_some() {}
    }
}

async fn encrypted(
    feed: Arc<Feed>,
    tls: Option<TlsAcceptor>,
    stream: TcpStream,
    peer: std::net::IpAddr,
    stop: watch::Receiver<bool>,
) {
    let Some(tls) = tls else { return connection::serve(feed, stream, peer, stop).await };
    match timeout(feed.settings.read, tls.accept(stream)).await {
        Ok(Ok(stream)) => connection::serve(feed, stream, peer, stop).await,
        Ok(Err(e)) => {
            feed.counts.add(|n| n.tls_failed += 1);
            tracing::warn!(source = %feed.source, %peer, "feed: no TLS connection: {e}");
        }
        Err(_) => feed.counts.add(|n| n.tls_failed += 1),
    }
}
