//! The counters of the hospital's streams for its own Prometheus: plain HTTP on a loopback address, nothing else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::Jobs;

/// A request longer than this is no request of Prometheus.
const LONGEST: u64 = 8192;

/// Answers `GET /metrics` until the agent ends.
///
/// # Errors
/// The address is taken.
pub async fn serve(jobs: Arc<Jobs>, address: SocketAddr) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await.map_err(|e| {
        std::io::Error::new(
            e.kind(),
            format!("the metrics can't be told at {address}: {e}; give another `metrics` under [streams]"),
        )
    })?;
    tracing::info!(%address, "metrics of streams");
    loop {
        let (stream, _) = listener.accept().await?;
        let jobs = jobs.clone();
        tokio::spawn(async move { tokio::time::timeout(Duration::from_secs(5), answer(stream, &jobs)).await });
    }
}

async fn answer(mut stream: TcpStream, jobs: &Jobs) -> std::io::Result<()> {
    let (read, mut write) = stream.split();
    let mut lines = BufReader::new(read.take(LONGEST)).lines();
    let first = lines.next_line().await?.unwrap_or_default();
    while lines.next_line().await?.is_some_and(|line| !line.is_empty()) {}
    let (status, body) = match first.split(' ').collect::<Vec<_>>().as_slice() {
        ["GET", "/metrics", ..] => ("200 OK", jobs.prometheus()),
        ["GET", ..] => ("404 Not Found", "ask for /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "ask with GET\n".to_owned()),
    };
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    write.write_all(head.as_bytes()).await?;
    write.write_all(body.as_bytes()).await?;
    write.shutdown().await
}
