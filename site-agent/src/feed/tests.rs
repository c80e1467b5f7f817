//! The listener over real sockets: what is answered, what is on disk, who is let in, and what a stop or a crash leaves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use platform::{MemoryStore, OsEntropy, SystemClock};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;
use crate::lake::Lake;

struct Site {
    dir: tempfile::TempDir,
    config: Config,
    feed: Arc<Feed>,
    at: SocketAddr,
    stop: watch::Sender<bool>,
    served: JoinHandle<()>,
}

fn open(home: &std::path::Path, settings: &str) -> (Config, Arc<Feed>) {
    let toml = format!(
        "id = \"s-1\"\nname = \"A\"\ncountry = \"DE\"\ntime_zone = \"Europe/Berlin\"\n[[source]]\nname = \"live\"\nkind = \"mllp\"\n\
         listen = \"127.0.0.1:0\"\n{settings}\n"
    );
    std::fs::write(home.join("site.toml"), toml).unwrap();
    let config = Config::read(home).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    std::fs::create_dir_all(config.state_dir()).unwrap();
    let feed = Feed::open(&config, &config.sources[0], &clock, &OsEntropy).unwrap().unwrap();
    (config, feed)
}

impl Site {
    async fn new(settings: &str) -> Site {
        Site::at(tempfile::tempdir().unwrap(), settings).await
    }

    async fn at(dir: tempfile::TempDir, settings: &str) -> Site {
        let settings = if settings.contains("peers") {
            settings.to_owned()
        } else {
            format!("peers = [\"127.0.0.1\"]\n{settings}")
        };
        let (config, feed) = open(dir.path(), &settings);
        let listener = listener::Listener::bind(feed.clone()).await.unwrap();
        let at = listener.address();
        let (stop, stopped) = watch::channel(false);
        let served = tokio::spawn(listener.run(stopped));
        Site { dir, config, feed, at, stop, served }
    }

    async fn connect(&self) -> Sender<TcpStream> {
        Sender::new(TcpStream::connect(self.at).await.unwrap())
    }

    /// Ends without closing anything, as a crash does; what is on disk stays.
    async fn crash(self) -> tempfile::TempDir {
        self.served.abort();
        let _ = self.served.await;
        self.dir
    }

    async fn ingested(&self) -> crate::lake::IngestReport {
        let lake = Lake::open(self.config.state_dir().join("lake"), Arc::new(MemoryStore::new())).unwrap();
        self.feed.seal().await;
        lake.ingest_feeds(&self.config, &SystemClock, &OsEntropy).await.unwrap()
    }
}

struct Sender<S> {
    stream: S,
    buffer: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Sender<S> {
    fn new(stream: S) -> Sender<S> {
        Sender { stream, buffer: Vec::new() }
    }

    async fn send(&mut self, message: &str) {
        let mut frame = vec![0x0b];
        frame.extend_from_slice(message.as_bytes());
        frame.extend_from_slice(&[0x1c, 0x0d]);
        self.stream.write_all(&frame).await.unwrap();
    }

    /// The next answer; `None` where the connection ends.
    async fn answer(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == 0x1c) {
                let frame: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Some(String::from_utf8_lossy(&frame[1..end]).into_owned());
            }
            let mut chunk = [0; 4096];
            match tokio::time::timeout(Duration::from_secs(20), self.stream.read(&mut chunk)).await.unwrap() {
                Ok(0) | Err(_) => return None,
                Ok(n) => self.buffer.extend_from_slice(&chunk[..n]),
            }
        }
    }

    async fn ask(&mut self, message: &str) -> String {
        self.send(message).await;
        self.answer().await.unwrap()
    }
}

fn oru(id: &str, value: &str) -> String {
    format!(
        "MSH|^~\\&|LAB|H|EHR|H|20240301120000||ORU^R01|{id}|P|2.5\rPID|1||P{id}^^^H^MR||DOE^X||19500615|F\r\
         OBR|1||F{id}|PANEL|||20240301090000\rOBX|1|NM|2345-7^Glucose^LN||{value}|mmol/L|||||F\r"
    )
}

fn msa(answer: &str) -> (String, String) {
    let fields: Vec<&str> = answer.split('\r').find(|s| s.starts_with("MSA")).unwrap().split('|').collect();
    (fields[1].to_owned(), fields[2].to_owned())
}

fn pair(code: &str, id: &str) -> (String, String) {
    (code.to_owned(), id.to_owned())
}

#[tokio::test]
async fn batches_broken_frames_training_and_messages_without_a_number() {
    let site = Site::new("production_only = true").await;
    let mut a = site.connect().await;
    // A batch in one frame: an answer for each message.
    a.send(&format!("FHS|^~\\&|LAB\rBHS|^~\\&|LAB\r{}{}BTS|2\rFTS|1\r", oru("1", "5.5"), oru("2", "5.6"))).await;
    for id in ["1", "2"] {
        assert_eq!(msa(&a.answer().await.unwrap()), pair("AA", id));
    }
    // A frame that breaks off, and the message again on the same connection.
    let half = oru("3", "5.5");
    let half = &half[..half.len() / 2];
    a.stream.write_all(&[b"\x0b", half.as_bytes()].concat()).await.unwrap();
    a.send(&oru("3", "5.5")).await;
    assert_eq!(msa(&a.answer().await.unwrap()), pair("AR", "3"));
    assert_eq!(msa(&a.answer().await.unwrap()), pair("AA", "3"));
    assert_eq!(msa(&a.ask(&oru("", "5.5")).await), pair("AR", ""));
    let training = oru("5", "5.5").replace("|P|2.5", "|T|2.5");
    let answer = a.ask(&training).await;
    assert!(msa(&answer) == pair("AR", "5") && answer.contains("202^"), "{answer}");
    // Words that ask for no mode that there is.
    assert_eq!(msa(&a.ask(&oru("6", "5.5").replace("|P|2.5", "|P|2.5|||YES")).await), pair("AA", "6"));
    assert_eq!(msa(&a.ask(&oru("7", "5.5").replace("|P|2.5", "|P|2.5|||al")).await), pair("CA", "7"));
    let report = site.ingested().await;
    let sum = |of: fn(&crate::lake::FileReport) -> u64| report.files.iter().map(of).sum::<u64>();
    assert_eq!((sum(|f| f.items), sum(|f| f.quarantined), sum(|f| f.skipped)), (5, 0, 0), "{report:?}");
}

#[tokio::test]
async fn each_message_is_answered_and_what_is_taken_comes_into_the_lake() {
    let site = Site::new("feed = { max_message_kib = 8 }").await;
    let mut a = site.connect().await;
    assert_eq!(msa(&a.ask(&oru("1", "5.5")).await), pair("AA", "1"));
    // The content is at fault: nothing of it can be taken. It is kept for the quarantine, and the next message is taken.
    assert_eq!(msa(&a.ask(&oru("2", "5.5").replace("P2^^^H^MR", "")).await), pair("AE", "2"));
    // A part is at fault, and the patient's row is not.
    assert_eq!(msa(&a.ask(&oru("3", "five")).await), pair("AA", "3"));
    // Structure and type.
    assert_eq!(msa(&a.ask("what is this?").await), pair("AR", ""));
    assert_eq!(msa(&a.ask(&oru("4", "1").replace("ORU^R01", "SIU^S12")).await), pair("AR", "4"));
    assert_eq!(msa(&a.ask(&oru("5", &"9".repeat(9000))).await), pair("AR", "5"));
    // Bytes outside frames, once for a stretch of them.
    a.stream.write_all(b"MSH|no frame\rPID|1\r").await.unwrap();
    assert_eq!(msa(&a.answer().await.unwrap()), pair("AR", ""));
    // Enhanced mode: on disk, then taken.
    let enhanced = oru("6", "6.6").replace("|P|2.5\r", "|P|2.5|||AL|AL\r");
    assert_eq!(msa(&a.ask(&enhanced).await), pair("CA", "6"));
    assert_eq!(msa(&a.answer().await.unwrap()), pair("AA", "6"));
    // An answer is not answered, and the sender's separators come back.
    a.send("MSH|^~\\&|L||E||||ACK^A01|9|P|2.4\rMSA|AA|1\r").await;
    let own = oru("7", "7.7").replace('|', "#");
    assert!(a.ask(&own).await.starts_with("MSH#^~\\&#EHR#H#LAB#H#20"), "no answer to the answer came first");
    let report = site.ingested().await;
    // Bytes that are no message are kept and quarantined, and are no item.
    assert_eq!((report.files.len(), report.files[0].items), (1, 5), "{report:?}");
    assert_eq!(report.files[0].quarantined, 3);
    let of = |t: &str| report.gold_rows.iter().find(|(n, _)| n == t).unwrap().1;
    assert_eq!((of("patient"), of("measurement")), (4, 3));
    assert!(platform::log::sealed(&folder(&site.config, "live")).unwrap().is_empty(), "bronze has the segment now");
    let numbers = site.feed.counts.numbers();
    assert_eq!((numbers.stored, numbers.answers["AA"], numbers.answers["AR 200"]), (6, 4, 1), "{numbers:?}");
    let quarantine = std::fs::read_to_string(report.files[0].quarantine.as_ref().unwrap()).unwrap();
    assert!(quarantine.contains("missing_patient") && quarantine.contains("not_hl7") && !quarantine.contains("five"));
}

#[tokio::test]
async fn many_senders_share_a_sync_and_one_sender_need_not_wait() {
    let site = Arc::new(Site::new("").await);
    let mut senders = Vec::new();
    for s in 0..24 {
        let site = site.clone();
        senders.push(tokio::spawn(async move {
            let mut c = site.connect().await;
            // All at once, and the answers in order.
            for i in 0..30 {
                c.send(&oru(&format!("{s}x{i}"), "5.5")).await;
            }
            for i in 0..30 {
                assert_eq!(msa(&c.answer().await.unwrap()), pair("AA", &format!("{s}x{i}")));
            }
        }));
    }
    for sender in senders {
        sender.await.unwrap();
    }
    let n = site.feed.counts.numbers();
    assert_eq!((n.stored, n.answers["AA"]), (720, 720));
    assert!(n.syncs < 720, "{} syncs for 720 messages", n.syncs);
}

#[tokio::test]
async fn memory_is_bounded_and_the_socket_waits() {
    let site = Arc::new(Site::new("feed = { max_message_kib = 900, in_flight_mib = 1 }").await);
    let long = "x".repeat(800 << 10);
    let mut senders = Vec::new();
    for s in 0..8 {
        let (site, long) = (site.clone(), long.clone());
        senders.push(tokio::spawn(async move {
            let mut c = site.connect().await;
            for i in 0..3 {
                let message = oru(&format!("{s}x{i}"), "5.5") + &format!("NTE|1||{long}\r");
                assert_eq!(msa(&c.ask(&message).await), pair("AA", &format!("{s}x{i}")));
            }
        }));
    }
    for sender in senders {
        sender.await.unwrap();
    }
    let n = site.feed.counts.numbers();
    assert!(n.stored == 24 && n.waited > 0, "{n:?}");
}

#[tokio::test]
async fn strangers_and_too_many_are_not_let_in_and_slow_senders_are_closed() {
    let site = Site::new("peers = [\"10.9.8.7\"]").await;
    assert_eq!(site.connect().await.answer().await, None);
    assert_eq!(site.feed.counts.numbers().strangers, 1);
    let site = Site::new("feed = { max_connections = 1, read_seconds = 1, idle_seconds = 2 }").await;
    let mut first = site.connect().await;
    first.ask(&oru("1", "5.5")).await;
    assert_eq!(site.connect().await.answer().await, None);
    assert_eq!(site.feed.counts.numbers().over_connections, 1);
    // A byte now and then does not keep a frame open.
    let began = std::time::Instant::now();
    first.stream.write_all(b"\x0bMSH").await.unwrap();
    let (mut read, mut write) = first.stream.into_split();
    let drip = tokio::spawn(async move {
        while write.write_all(b"|").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let mut end = Vec::new();
    let _ = read.read_to_end(&mut end).await;
    assert!(end.is_empty() && began.elapsed() < Duration::from_millis(1900), "{:?}", began.elapsed());
    drop(read);
    drip.abort();
    // Silence between messages has its own, longer time.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut quiet = site.connect().await;
    quiet.ask(&oru("2", "5.5")).await;
    let began = std::time::Instant::now();
    assert_eq!(quiet.answer().await, None);
    assert!(began.elapsed() > Duration::from_millis(1800));
    let mut babble = site.connect().await;
    let _ = babble.stream.write_all(&vec![b'x'; 80 << 10]).await;
    assert_eq!(msa(&babble.answer().await.unwrap()), pair("AR", ""));
    assert_eq!(babble.answer().await, None);
}

#[tokio::test]
async fn a_repeated_message_is_stored_once_also_after_a_crash() {
    let site = Site::new("").await;
    let mut c = site.connect().await;
    for _ in 0..2 {
        assert_eq!(msa(&c.ask(&oru("1", "5.5")).await), pair("AA", "1"));
    }
    let n = site.feed.counts.numbers();
    assert_eq!((n.stored, n.repeated), (1, 1));
    drop(c);
    let site = Site::at(site.crash().await, "").await;
    let mut c = site.connect().await;
    assert_eq!(msa(&c.ask(&oru("1", "5.5")).await), pair("AA", "1"));
    assert_eq!(msa(&c.ask(&oru("2", "5.5")).await), pair("AA", "2"));
    let n = site.feed.counts.numbers();
    assert_eq!((n.stored, n.repeated), (1, 1), "the first run's message is known");
    let report = site.ingested().await;
    assert_eq!(report.files.iter().map(|f| f.items).sum::<u64>(), 2);
}

#[tokio::test]
async fn a_stop_answers_what_has_begun() {
    let site = Site::new("").await;
    let mut idle = site.connect().await;
    let mut busy = site.connect().await;
    idle.ask(&oru("1", "5.5")).await;
    let message = oru("2", "5.5");
    let (first, last) = message.split_at(60);
    busy.stream.write_all(format!("\x0b{first}").as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    site.stop.send(true).unwrap();
    assert_eq!(idle.answer().await, None);
    busy.stream.write_all(format!("{last}\x1c\r").as_bytes()).await.unwrap();
    assert_eq!(msa(&busy.answer().await.unwrap()), pair("AA", "2"));
    assert_eq!(busy.answer().await, None);
    site.served.await.unwrap();
    assert!(TcpStream::connect(site.at).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_disk_that_fails_acknowledges_nothing() {
    let site = Site::new("").await;
    let mut c = site.connect().await;
    assert_eq!(msa(&c.ask(&oru("1", "5.5")).await), pair("AA", "1"));
    site.feed.seal().await;
    // The folder is gone, so that no further segment can be begun.
    let spool = folder(&site.config, "live");
    std::fs::rename(&spool, spool.with_extension("away")).unwrap();
    let answer = c.ask(&oru("2", "5.5")).await;
    assert_eq!(msa(&answer), pair("AE", "2"));
    assert!(answer.contains("ERR|||207^not stored; send it again^HL70357|E"), "{answer}");
    std::fs::rename(spool.with_extension("away"), &spool).unwrap();
    assert_eq!(msa(&c.ask(&oru("2", "5.5")).await), pair("AA", "2"));
    assert_eq!(site.feed.counts.numbers().stored, 2);
}

#[tokio::test]
async fn tls_asks_the_sender_for_a_certificate() {
    use certs::{Authority, Identity, Name, Role};
    let now = u64::try_from(SystemClock.now().seconds()).unwrap();
    let authority = Authority::create("north", now).unwrap();
    let holder = |authority: &Authority, role, id| {
        let key = certs::identity::new_key().unwrap();
        let name = Name::new("north", role, id).unwrap();
        let request = certs::identity::request(&key).unwrap();
        let chain_pem = authority.issue(&request, &name, [9; 16], now, 3600).unwrap();
        Identity { chain_pem, key_pem: key, ca_pem: authority.ca_pem().to_owned() }
    };
    let server = holder(&authority, Role::Coordinator, "coordinator");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("feed.crt"), &server.chain_pem).unwrap();
    std::fs::write(dir.path().join("feed.key"), server.key_pem.as_bytes()).unwrap();
    std::fs::write(dir.path().join("engine.crt"), &server.ca_pem).unwrap();
    let tls = "tls = { certificate = \"feed.crt\", key = \"feed.key\", client_authority = \"engine.crt\" }";
    let site = Site::at(dir, tls).await;
    let connect = async |identity: &Identity| {
        let connector = tokio_rustls::TlsConnector::from(certs::tls::client(identity).unwrap());
        let name = certs::authority::SERVER_NAME.try_into().unwrap();
        connector.connect(name, TcpStream::connect(site.at).await.unwrap()).await
    };
    let mut engine = Sender::new(connect(&holder(&authority, Role::Site, "engine")).await.unwrap());
    assert_eq!(msa(&engine.ask(&oru("1", "5.5")).await), pair("AA", "1"));
    // Of another authority, though it knows the listener's.
    let other = Authority::create("north", now).unwrap();
    let stranger = Identity { ca_pem: server.ca_pem.clone(), ..holder(&other, Role::Site, "engine") };
    if let Ok(stream) = connect(&stranger).await {
        let mut stranger = Sender::new(stream);
        let _ = stranger.stream.write_all(b"\x0bMSH").await;
        assert_eq!(stranger.answer().await, None);
    }
    let plain = site.connect().await.stream;
    let mut plain = Sender::new(plain);
    plain.send(&oru("2", "5.5")).await;
    assert!(plain.answer().await.is_none_or(|a| !a.contains("MSA")));
    let n = site.feed.counts.numbers();
    assert_eq!((n.stored, n.tls_failed), (1, 2), "{n:?}");
}
