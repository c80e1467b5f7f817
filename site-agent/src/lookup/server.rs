//! One question to a FHIR terminology server, over HTTP/1.1.

use std::path::Path;
use std::sync::Arc;

use adapters::terminology::{Mapping, translate};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::LookupError;
use super::asking::Failed;
use super::settings::{From, Lookup};

/// No answer is longer.
const LONGEST: usize = 1 << 20;

/// A terminology server.
pub(super) struct Server {
    release: translate::Release,
    host: String,
    port: u16,
    path: String,
    token: Option<HeaderValue>,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Server {
    /// Of the settings, which were checked.
    pub(super) fn open(home: &Path, settings: &Lookup) -> Result<Server, LookupError> {
        let wrong = |reason: String| LookupError::Settings(reason);
        let (scheme, rest) =
            settings.url.split_once("://").ok_or_else(|| wrong("url: write https://server/path".into()))?;
        let (authority, base) = rest.split_once('/').unwrap_or((rest, ""));
        let secure = scheme == "https";
        let (host, port) =
            match authority.rsplit_once(':').filter(|(host, _)| !host.ends_with(':') && !authority.ends_with(']')) {
                Some((host, port)) => (host, port.parse().map_err(|_| wrong(format!("url: '{port}' is no port")))?),
                None => (authority, if secure { 443 } else { 80 }),
            };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let token = settings.token(home).map_err(|e| wrong(format!("token_file: {e}")))?;
        let token = token.map(|t| HeaderValue::from_str(&format!("Bearer {}", *t))).transpose();
        let mut token = token.map_err(|_| wrong("token_file: it holds more than a token".into()))?;
        token.iter_mut().for_each(|t| t.set_sensitive(true));
        let tls = match settings.ca_file.as_ref().filter(|_| secure) {
            Some(file) => {
                let path = home.join(file);
                let pem = std::fs::read_to_string(&path).map_err(|e| wrong(format!("{}: {e}", path.display())))?;
                let name = ServerName::try_from(host.clone()).map_err(|e| wrong(format!("url: {e}")))?;
                Some((certs::tls::trusting(&pem).map_err(|e| wrong(format!("ca_file: {e}")))?, name))
            }
            None => None,
        };
        let path = format!("/{}/ConceptMap/$translate", base.trim_matches('/')).replace("//", "/");
        Ok(Server { release: settings.fhir, host, port, path, token, tls })
    }

    /// Asks for one code, once.
    pub(super) async fn translate(&self, from: &From, code: &str) -> Result<Vec<Mapping>, Failed> {
        let (system, to) = (from.system(), from.to());
        let body = translate::request(self.release, (&system, code), &to, from.map.as_deref());
        let down = |what: &str, e: &dyn std::fmt::Display| Failed::ForNow(format!("{what}: {e}"));
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = stream.map_err(|e| down("the server can't be reached", &e))?;
        let answer = match &self.tls {
            Some((config, name)) => {
                let stream = TlsConnector::from(config.clone()).connect(name.clone(), stream).await;
                self.exchange(TokioIo::new(stream.map_err(|e| down("no TLS with the server", &e))?), body).await?
            }
            None => self.exchange(TokioIo::new(stream), body).await?,
        };
        translate::answer(&answer, (&system, code), &to).map_err(Failed::ForGood)
    }

    async fn exchange<S>(&self, stream: S, body: Vec<u8>) -> Result<Bytes, Failed>
    where
        S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        let broken = |e: &dyn std::fmt::Display| Failed::ForNow(format!("the connection broke: {e}"));
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.map_err(|e| broken(&e))?;
        // It ends with the answer, or when this future is dropped with `sender`.
        let driven = tokio::spawn(connection);
        let mut request = hyper::Request::post(self.path.as_str())
            .header(HOST, format!("{}:{}", self.host, self.port))
            .header(CONTENT_TYPE, "application/fhir+json")
            .header(ACCEPT, "application/fhir+json");
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        let request = request.body(Full::new(Bytes::from(body)));
        let request = request.map_err(|e| Failed::ForGood(format!("the request can't be made: {e}")))?;
        let answer = sender.send_request(request).await.map_err(|e| broken(&e))?;
        let status = answer.status();
        let read = Limited::new(answer.into_body(), LONGEST).collect().await.map(|body| body.to_bytes());
        driven.abort();
        match status.as_u16() {
            200..=299 => read.map_err(|e| broken(&e)),
            // A server that is overloaded, restarting or behind a gateway that is.
            408 | 425 | 429 | 500..=599 => Err(Failed::ForNow(format!("the server said {status}"))),
            // That is of the asking, and not of the code.
            401 | 403 => Err(Failed::ForNow(format!("the server said {status}: look at token_file"))),
            // FHIR servers say so where they know no map for the code.
            404 | 422 if read.as_ref().is_ok_and(|body| is_fhir(body)) => Ok(Bytes::from_static(
                br#"{"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":false}]}"#,
            )),
            404 => Err(Failed::ForNow(format!("the server said {status}, and not as FHIR says it: look at url"))),
            _ => Err(Failed::ForGood(format!("the server said {status}"))),
        }
    }
}

/// Whether an answer is FHIR's: another server, or another path of it, has pages of its own for what it does not know.
fn is_fhir(body: &[u8]) -> bool {
    let value: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    value.is_some_and(|v| v.get("resourceType").is_some_and(serde_json::Value::is_string))
}
