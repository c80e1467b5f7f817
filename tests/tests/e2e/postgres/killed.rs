//! A pull that is killed, or whose connection breaks, goes on behind the last chunk that is on disk.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::server::Server;
use super::site::{Site, postgres, same, shared};
use crate::harness::until;

/// The beginnings of the queries for chunks, as the log has them: a table and a key.
fn asked(log: &str) -> Vec<String> {
    let copies = log.lines().filter(|l| l.contains("execute ") && l.contains("COPY (SELECT"));
    let mut out = Vec::new();
    for line in copies {
        let table = line.split("FROM \"cdm\".\"").nth(1).unwrap().split('"').next().unwrap();
        let key = line.split(" WHERE ").nth(1).unwrap().split(" ORDER").next().unwrap();
        let after = key.split("> ").nth(1).map(|k| k.split(' ').next().unwrap());
        out.push(after.map_or_else(|| format!("{table}/start.pgcopy"), |k| format!("{table}/after-{k}.pgcopy")));
    }
    out
}

#[test]
fn no_finished_chunk_is_asked_for_again() {
    let Some(folder) = shared("omop-synthea-1k") else { return };
    let files = Site::new(&format!("format = \"omop\"\npath = \"{}\"", folder.display()));
    files.ingest();
    let server = Server::start();
    server.load(&folder);
    let site = Site::pulling(&server, "schema = \"cdm\", chunk_rows = 2000, mib_per_second = 2");
    for round in 0..6u32 {
        let (there, before) = (site.chunks(), server.log().len());
        let mut child = site.begin();
        // After it has moved on, never at the same point.
        until("a chunk has come", || site.chunks().len() > there.len() + round as usize);
        std::thread::sleep(Duration::from_millis(u64::from(7 * round)));
        child.kill().unwrap();
        child.wait().unwrap();
        let now = asked(&server.log()[before..]);
        let again: Vec<&String> = now.iter().filter(|c| there.contains(c)).collect();
        assert!(!now.is_empty() && again.is_empty(), "asked for again: {again:?}");
    }
    let before = server.log().len();
    let there = site.chunks();
    site.set(&postgres(server.port, "schema = \"cdm\", chunk_rows = 2000, mib_per_second = 0"));
    let report = site.ingest();
    assert_eq!(report["pulls"][0]["chunks_before"], there.len(), "{}", report["pulls"]);
    let again: Vec<String> = asked(&server.log()[before..]).into_iter().filter(|c| there.contains(c)).collect();
    assert!(again.is_empty(), "asked for again: {again:?}");
    same(&files.gold(), &site.gold());
}

/// A way to the server that lets so many bytes through, then breaks.
fn proxy(server: u16, left: Arc<AtomicI64>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let upstream = TcpStream::connect(("127.0.0.1", server)).unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            let (mut from, mut to, left) = (upstream, client, left.clone());
            std::thread::spawn(move || {
                let mut buffer = [0; 8192];
                while let Ok(n) = from.read(&mut buffer) {
                    let over = left.fetch_sub(n as i64, Ordering::SeqCst) < n as i64;
                    if n == 0 || over || to.write_all(&buffer[..n]).is_err() {
                        break;
                    }
                }
                let _ = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
            });
        }
    });
    port
}

#[test]
fn a_connection_that_breaks_in_a_chunk_loses_nothing() {
    let server = Server::start();
    server.omop(
        "CREATE SCHEMA cdm; GRANT USAGE ON SCHEMA cdm TO reader;\n\
         CREATE TABLE cdm.person AS SELECT g AS person_id, 8507 AS gender_concept_id, 1950 AS year_of_birth, 3 AS month_of_birth, \
           repeat('M', 40) AS gender_source_value FROM generate_series(1, 10000) g;\n\
         ALTER TABLE cdm.person ADD PRIMARY KEY (person_id); GRANT SELECT ON cdm.person TO reader; ANALYZE;",
    );
    // Some chunks, and then a part of one.
    let left = Arc::new(AtomicI64::new(400_000));
    let port = proxy(server.port, left.clone());
    let site = Site::new(&postgres(port, "schema = \"cdm\", chunk_rows = 1000, mib_per_second = 0"));
    let said = site.failure();
    assert!(
        said.contains("source cdm") && said.contains("broke while person was read") && said.contains("go on"),
        "{said}"
    );
    let there = site.chunks();
    assert!(!there.is_empty() && there.len() < 10, "{there:?}");
    left.store(i64::MAX, Ordering::SeqCst);
    let before = server.log().len();
    let report = site.ingest();
    assert_eq!(report["pulls"][0]["chunks_before"], there.len());
    let now = asked(&server.log()[before..]);
    assert!(now.iter().all(|c| !there.contains(c)), "{now:?}");
    assert_eq!(site.gold()["patient"].len(), 10_000);
}
