//! A connection that can only read.

use std::path::Path;
use std::time::Duration;

use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls};

use super::error::{PullError, connecting, file};
use super::settings::{Postgres, Tls};
use super::tls::Connector;

/// How long the server may take to answer at all.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a table may be locked by others before the pull gives way.
const LOCK_SECONDS: u32 = 5;
/// The oldest server that knows `FETCH FIRST … WITH TIES`.
const OLDEST: i64 = 130_000;

/// Opens a session whose transactions can only read, whoever the role is.
pub(super) async fn open(home: &Path, settings: &Postgres) -> Result<Client, PullError> {
    let mut config = Config::new();
    config
        .host(&settings.host)
        .port(settings.port)
        .dbname(&settings.dbname)
        .user(&settings.user)
        .application_name("insitu site-agent")
        .connect_timeout(CONNECT)
        .keepalives_idle(Duration::from_secs(60));
    if let Some(secret) = settings.secret(home)? {
        config.password(secret.as_bytes());
    }
    let wrong = |e: &tokio_postgres::Error| connecting(settings, e);
    let client = if settings.tls == Tls::Off || settings.is_local() {
        config.ssl_mode(SslMode::Disable);
        let (client, connection) = config.connect(NoTls).await.map_err(|e| wrong(&e))?;
        drive(connection);
        client
    } else {
        let path = home.join(settings.ca_file.as_deref().unwrap_or(Path::new("ca.pem")));
        let authority = std::fs::read_to_string(&path).map_err(|e| file(&path, &e))?;
        config.ssl_mode(SslMode::Require);
        let connector = Connector::new(certs::tls::trusting(&authority)?);
        let (client, connection) = config.connect(connector).await.map_err(|e| wrong(&e))?;
        drive(connection);
        client
    };
    let settings_of_session = format!(
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; \
         SET default_transaction_read_only = on; \
         SET statement_timeout = '{}s'; SET lock_timeout = '{LOCK_SECONDS}s'; \
         SET idle_in_transaction_session_timeout = '60s'",
        settings.statement_seconds
    );
    client.batch_execute(&settings_of_session).await.map_err(|e| wrong(&e))?;
    let row = client
        .query_one("SELECT current_setting('server_version_num')::int8, current_setting('server_version')", &[])
        .await
        .map_err(|e| wrong(&e))?;
    let number: i64 = row.try_get(0).map_err(|e| wrong(&e))?;
    if number < OLDEST {
        return Err(PullError::Old { version: row.try_get(1).map_err(|e| wrong(&e))? });
    }
    Ok(client)
}

/// Moves the session's bytes until it ends; who waits for an answer hears how it ended.
fn drive<S, T>(connection: tokio_postgres::Connection<S, T>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        if let Err(e) = connection.await {
            tracing::debug!("the connection to PostgreSQL ended: {e}");
        }
    });
}
