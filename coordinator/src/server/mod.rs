//! The coordinator's end of every connection: one port, mutual TLS 1.3, the role read from the certificate.
//!
//! * [`accept`]: TLS, with a configuration that can be changed while it runs.
//! * [`attach`]: a site's stream.
//! * [`service`]: everything that is asked.

pub mod accept;
pub mod attach;
pub mod service;

use std::sync::Arc;
use std::time::Duration;

use certs::Role;
use platform::store::SharedStore;
use platform::{Clock, Entropy, RocksStore};
use proto::wire::federation_server::FederationServer;
use tonic::transport::Server;

use crate::anchors::Anchors;
use crate::conductor;
use crate::federation::Federation;
use crate::journal::Journal;
use crate::registry::Registry;
use accept::Tls;

/// How often the coordinator looks whether its own certificate should be renewed.
const RENEWAL: Duration = Duration::from_secs(5);

/// Serves until the future ends.
///
/// # Errors
/// The store is in use, the port is taken, or a certificate can't be read.
pub async fn serve(
    federation: Federation,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    simulation: bool,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let store: SharedStore = Arc::new(RocksStore::open(&federation.store())?);
    let registry = Registry::new(store.clone());
    let anchors = Anchors::new(store.clone());
    let journal = Journal::new(store);
    // The coordinator's own certificate is made anew at every start; nobody stores it.
    let identity = federation.own(Role::Coordinator, "server", clock.as_ref(), entropy.as_ref())?;
    let tls = Tls::new(&federation, &registry, identity, clock.as_ref())?;
    let listener = accept::listen(&federation.settings.address).await?;
    let conductor = conductor::start(journal.clone(), registry.clone(), clock.clone(), simulation)?;
    tracing::info!(address = %federation.settings.address, federation = %federation.settings.name, "coordinator started");
    let federation = Arc::new(federation);
    let own = Arc::new(federation.identity(entropy.as_ref())?);
    let service = service::Service {
        anchors,
        own,
        federation: federation.clone(),
        registry: registry.clone(),
        journal,
        conductor,
        tls: tls.clone(),
        clock: clock.clone(),
        entropy: entropy.clone(),
        simulation,
        sessions: Arc::default(),
    };
    let renewing = tokio::spawn(renew(federation, registry, tls.clone(), clock, entropy));
    let incoming = accept::incoming(listener, tls);
    Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(60)))
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(2 << 20)
        .add_service(
            FederationServer::new(service).max_decoding_message_size(16 << 20).max_encoding_message_size(64 << 20),
        )
        .serve_with_incoming_shutdown(incoming, stop)
        .await?;
    renewing.abort();
    tracing::info!("coordinator stopped");
    Ok(())
}

async fn renew(
    federation: Arc<Federation>,
    registry: Registry,
    tls: Tls,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
) {
    let mut tick = tokio::time::interval(RENEWAL);
    loop {
        tick.tick().await;
        if !tls.should_renew(clock.now().seconds()) {
            continue;
        }
        let new = federation
            .own(Role::Coordinator, "server", clock.as_ref(), entropy.as_ref())
            .map_err(anyhow::Error::from)
            .and_then(|identity| tls.replace(&federation, &registry, identity, clock.as_ref()));
        // The operator's identity lives on this machine as well.
        let operator = federation.own(Role::Operator, "operator", clock.as_ref(), entropy.as_ref());
        match (new, operator) {
            (Ok(()), Ok(_)) => tracing::info!("the coordinator's certificate was renewed"),
            (Err(e), _) => tracing::error!("renewal: {e}"),
            (_, Err(e)) => tracing::error!("renewal of the operator's certificate: {e}"),
        }
    }
}
