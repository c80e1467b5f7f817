use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use platform::{ManualClock, Micros, OsEntropy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::asking::{Order, all, with_retries};
use super::*;
use crate::config::Config;

/// A terminology server for these tests: it notes what it is asked, and has moods.
struct Terminology {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    at_once: Arc<AtomicUsize>,
}

fn found(code: &str) -> String {
    format!(
        r#"{{"resourceType":"Parameters","parameter":[{{"name":"result","valueBoolean":true}},{{"name":"match","part":[{{"name":"equivalence","valueCode":"equivalent"}},{{"name":"concept","valueCoding":{{"system":"http://loinc.org","code":"{code}"}}}}]}}]}}"#
    )
}

const NONE: &str = r#"{"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":false}]}"#;

/// Whether a request is there to its end.
fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length =
        head.lines().find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok());
    length.is_some_and(|n| body.len() >= n)
}

trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Stream for S {}

/// REFUSED is refused, and so is who shows another token than `Bearer right`, where one is shown at all; GLU and NA have a target, K is answered at the second time, SLOW never, all others have no target.
async fn terminology(down: bool) -> Terminology {
    served(down, None).await
}

/// The same, over TLS where it is given.
async fn served(down: bool, tls: Option<tokio_rustls::TlsAcceptor>) -> Terminology {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (asked, at_once): (Arc<Mutex<Vec<String>>>, _) = (Arc::default(), Arc::new(AtomicUsize::new(0)));
    let (now, list, most) = (Arc::new(AtomicUsize::new(0)), asked.clone(), at_once.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (now, list, most, tls) = (now.clone(), list.clone(), most.clone(), tls.clone());
            tokio::spawn(async move {
                let mut stream: Box<dyn Stream> = match tls {
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => Box::new(stream),
                        Err(_) => return,
                    },
                    None => Box::new(stream),
                };
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let mut text = String::new();
                let mut buffer = [0u8; 4096];
                while !is_whole(&text) {
                    let n = stream.read(&mut buffer).await.unwrap_or(0);
                    if n == 0 {
                        break;
                    }
                    text.push_str(&String::from_utf8_lossy(&buffer[..n]));
                }
                let code =
                    text.split("\"valueCode\":\"").nth(1).and_then(|t| t.split('"').next()).unwrap_or("").to_owned();
                list.lock().unwrap().push(text);
                let times = list.lock().unwrap().iter().filter(|t| t.contains(&format!("\"{code}\""))).count();
                tokio::time::sleep(Duration::from_millis(20)).await;
                let shown = text_of(&list, "authorization: ");
                let (status, body) = match code.as_str() {
                    _ if shown.is_some_and(|shown| shown != "Bearer right") => ("401 Unauthorized", String::new()),
                    "REFUSED" => ("400 Bad Request", String::new()),
                    "UNKNOWN" => ("404 Not Found", r#"{"resourceType":"OperationOutcome"}"#.to_owned()),
                    "PAGE" => ("404 Not Found", "<html>no such page</html>".to_owned()),
                    _ if down => ("503 Service Unavailable", String::new()),
                    "GLU" => ("200 OK", found("2345-7")),
                    "NA" => ("200 OK", found("2951-2")),
                    "K" if times < 2 => ("503 Service Unavailable", String::new()),
                    "K" => ("200 OK", found("2823-3")),
                    "SLOW" => {
                        tokio::time::sleep(Duration::from_secs(30)).await;
                        ("200 OK", NONE.to_owned())
                    }
                    _ => ("200 OK", NONE.to_owned()),
                };
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Type: application/fhir+json\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
                now.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    Terminology { port, asked, at_once }
}

/// A header of the last request.
fn text_of(list: &Mutex<Vec<String>>, name: &str) -> Option<String> {
    let list = list.lock().unwrap();
    let (head, _) = list.last()?.split_once("\r\n\r\n")?;
    head.lines().find_map(|l| l.strip_prefix(name).map(str::to_owned))
}

impl Terminology {
    fn codes(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let code =
            |t: &String| t.split("\"valueCode\":\"").nth(1).and_then(|t| t.split('"').next()).unwrap_or("").to_owned();
        let mut codes: Vec<String> = asked.iter().map(code).collect();
        codes.sort();
        codes
    }
}

/// A site whose patients have so many results of each code.
async fn site(port: u16, settings: &str, codes: &[(&str, usize)]) -> (tempfile::TempDir, Agent, Arc<ManualClock>) {
    let dir = tempfile::tempdir().unwrap();
    let toml = format!(
        "id = \"s-1\"\nname = \"S\"\ncountry = \"DE\"\ntime_zone = \"UTC\"\n[[source]]\nname = \"lab\"\nformat = \"csv\"\npath = \"extract\"\n\
         mapping = \"m.toml\"\n[lookup]\nurl = \"http://127.0.0.1:{port}/fhir\"\nmin_patients = 3\n{settings}\n\
         [[lookup.from]]\nsystem = \"urn:hospital:lab\"\nto = \"loinc\"\n"
    );
    let mapping = "format = \"csv\"\n[[file]]\nmatch = \"*.csv\"\ndates = [\"%Y-%m-%d\"]\nperson = { column = \"id\" }\n[[file.row]]\n\
                   table = \"measurement\"\n[file.row.set]\ncode_system = \"urn:hospital:lab\"\ncode = { column = \"code\" }\n\
                   value_num = { column = \"v\" }\nunit_src = \"mmol/L\"\nevent = { column = \"day\" }\n";
    std::fs::write(dir.path().join("site.toml"), toml).unwrap();
    std::fs::write(dir.path().join("m.toml"), mapping).unwrap();
    std::fs::create_dir(dir.path().join("extract")).unwrap();
    let mut rows = "id,v,day,code\n".to_owned();
    for (code, patients) in codes {
        (0..*patients).for_each(|p| rows += &format!("{p},5,2027-02-03,{code}\n"));
    }
    std::fs::write(dir.path().join("extract/a.csv"), rows).unwrap();
    let clock = Arc::new(ManualClock::at(Micros(1_802_217_600_000_000)));
    let config = Config::read(dir.path()).unwrap();
    let agent = Agent::open(config, Box::new(privacy::DiscreteGaussian), clock.clone(), Arc::new(OsEntropy)).unwrap();
    agent.ingest(&mut |_, _, _| ()).await.unwrap();
    (dir, agent, clock)
}

/// The codes of gold with their standard ones.
async fn standard(agent: &Agent) -> BTreeMap<String, String> {
    let unmapped = coverage::unmapped(&agent.config, &agent.lake).await.unwrap();
    let standards = crate::lake::Standards::read(&agent.config, agent.clock.now()).unwrap();
    let left: BTreeSet<String> = unmapped.into_iter().map(|(_, code, _)| code).collect();
    let of = |code: &str| {
        standards.mappings().find(schema::Table::Measurement, "urn:hospital:lab", code).map(|t| t.code.clone())
    };
    ["GLU", "NA", "K", "ODD"]
        .into_iter()
        .filter(|c| !left.contains(*c))
        .filter_map(|c| Some((c.to_owned(), of(c)?)))
        .collect()
}

#[tokio::test]
async fn codes_of_enough_patients_are_asked_for_once_and_come_into_gold() {
    let server = terminology(false).await;
    let codes = [("GLU", 5), ("NA", 3), ("K", 4), ("ODD", 4), ("RARE", 2), ("Meier: see note", 9), ("GLU/x y", 9)];
    let (_dir, agent, clock) = site(server.port, "", &codes).await;
    assert!(standard(&agent).await.is_empty());
    let report = once(&agent).await.unwrap();
    assert_eq!((report.due, report.answered, report.changed, report.failed), (4, 4, 3, 0), "{report:?}");
    // K was asked for again after a moment; what few have, and what somebody typed, was not asked for at all.
    assert_eq!(server.codes(), ["GLU", "K", "K", "NA", "ODD"]);
    let want = [("GLU", "2345-7"), ("K", "2823-3"), ("NA", "2951-2")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(standard(&agent).await, want.into());
    assert_eq!(report.gold_version, agent.lake.gold().unwrap().unwrap().version);
    // Nothing of a patient is in what was asked.
    for text in server.asked.lock().unwrap().iter() {
        let body = text.split("\r\n\r\n").nth(1).unwrap();
        let keys: Vec<&str> = body.matches("\"name\":\"").collect();
        assert!(keys.len() == 3 && text.starts_with("POST /fhir/ConceptMap/$translate HTTP/1.1"), "{text}");
        assert!(!body.contains("2027") && !body.contains("mmol"), "{body}");
    }
    // All is known, the code without a target too; after a month it is asked for again, with those that have one.
    assert_eq!(once(&agent).await.unwrap().due, 0);
    clock.advance_seconds(31 * 86_400);
    let again = once(&agent).await.unwrap();
    assert_eq!((again.due, again.changed, again.gold_version), (4, 0, report.gold_version));
}

#[tokio::test]
async fn a_server_that_is_down_or_slow_holds_nothing_up_and_no_more_than_a_few_are_asked_at_a_time() {
    let down = terminology(true).await;
    let codes: Vec<(String, usize)> = (0..20).map(|i| (format!("C{i:02}"), 3)).collect();
    let codes: Vec<(&str, usize)> = codes.iter().map(|(c, n)| (c.as_str(), *n)).collect();
    let (_dir, agent, _) = site(down.port, "retries = 0\nin_flight = 2", &codes).await;
    let report = once(&agent).await.unwrap();
    assert_eq!((report.due, report.answered, report.failed), (20, 0, u64::from(FAILED_IN_A_ROW) + 1), "{report:?}");
    assert!(report.reason.contains("503"), "{report:?}");
    assert!(down.asked.lock().unwrap().len() <= 5 && down.at_once.load(Ordering::SeqCst) <= 2);

    let slow = terminology(false).await;
    let (_dir, agent, _) =
        site(slow.port, "retries = 0\ntimeout_seconds = 1\nin_flight = 4", &[("GLU", 3), ("SLOW", 3), ("NA", 3)]).await;
    let begun = std::time::Instant::now();
    let report = once(&agent).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!((report.answered, report.failed, standard(&agent).await.len()), (2, 1, 2), "{report:?}");
    // What failed is due the next time.
    assert_eq!(once(&agent).await.unwrap().due, 1);
}

/// A server that knows no code says so in FHIR; a page that is not there is a wrong address, and no answer.
#[tokio::test]
async fn a_page_that_is_not_there_is_no_answer() {
    let server = terminology(false).await;
    let (_dir, agent, _) = site(server.port, "retries = 0", &[("PAGE", 3), ("UNKNOWN", 3)]).await;
    let report = once(&agent).await.unwrap();
    assert_eq!((report.due, report.answered, report.failed), (2, 1, 1), "{report:?}");
    assert!(report.reason.contains("look at url"), "{report:?}");
    assert_eq!(once(&agent).await.unwrap().due, 1);
}

#[tokio::test]
async fn a_code_that_is_refused_is_asked_for_again_a_day_later() {
    let server = terminology(false).await;
    let (_dir, agent, clock) = site(server.port, "", &[("GLU", 3), ("REFUSED", 3)]).await;
    let report = once(&agent).await.unwrap();
    assert_eq!((report.due, report.answered, report.failed), (2, 1, 1), "{report:?}");
    assert!(report.reason.contains("400"), "{report:?}");
    assert_eq!(once(&agent).await.unwrap().due, 0);
    clock.advance_seconds(86_401);
    assert_eq!((once(&agent).await.unwrap().due, server.codes().len()), (1, 3));
}

/// The server's certificate is checked against its authority alone, and the token is shown inside.
#[tokio::test]
async fn a_server_is_asked_over_tls_with_its_token() {
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let config = certs::tls::feed(&own.cert.pem(), &own.signing_key.serialize_pem(), None).unwrap();
    let server = served(false, Some(config.into())).await;
    for (authority, token, answered, says) in
        [(&own, "right", 1, ""), (&own, "wrong", 0, "token_file"), (&other, "right", 0, "no TLS with the server")]
    {
        let settings = "retries = 0\nca_file = \"ca.pem\"\ntoken_file = \"token\"";
        let (dir, mut agent, _) = site(server.port, settings, &[("GLU", 3)]).await;
        std::fs::write(dir.path().join("ca.pem"), authority.cert.pem()).unwrap();
        platform::files::write_secret(&dir.path().join("token"), token.as_bytes()).unwrap();
        agent.config.lookup.as_mut().unwrap().url = format!("https://localhost:{}/fhir", server.port);
        let report = once(&agent).await.unwrap();
        assert_eq!((report.due, report.answered), (1, answered), "{report:?}");
        assert!(report.reason.contains(says), "{report:?}");
        let shown = text_of(&server.asked, "authorization: ");
        assert!(authority.cert.pem() == other.cert.pem() || shown == Some(format!("Bearer {token}")), "{shown:?}");
    }
}

#[tokio::test]
async fn answers_come_in_their_order_or_as_they_are_there() {
    let keys: Vec<u64> = vec![40, 1, 20, 2];
    let ask = |ms: u64| async move {
        tokio::time::sleep(Duration::from_millis(5 * ms)).await;
        ms
    };
    for (order, want) in [(Order::Kept, vec![40, 1, 20, 2]), (Order::Any, vec![1, 2, 20, 40])] {
        let mut seen = Vec::new();
        all(&keys, (order, 4), ask, |key, value| {
            assert_eq!(key, value);
            seen.push(key);
            true
        })
        .await;
        assert_eq!(seen, want, "{order:?}");
    }
    let mut seen = 0;
    all(&keys, (Order::Kept, 1), ask, |_, _| {
        seen += 1;
        seen < 2
    })
    .await;
    assert_eq!(seen, 2, "it stops where it is told to");
    let mut seen = Vec::new();
    all(&keys, (Order::Any, 3), ask, |_, ms| {
        seen.push(ms);
        false
    })
    .await;
    assert_eq!(seen, [1, 20, 40], "what the server has is waited for, and no more is asked");
}

#[tokio::test]
async fn what_fails_for_now_is_asked_again_and_what_fails_for_good_is_not() {
    let ms = Duration::from_millis;
    for (failed, tries) in [(Failed::ForNow("busy".into()), 4), (Failed::ForGood("no".into()), 1)] {
        let count = AtomicUsize::new(0);
        let once = || async {
            count.fetch_add(1, Ordering::SeqCst);
            Err::<(), _>(failed.clone())
        };
        assert_eq!(with_retries((3, ms(200), ms(1)), once).await, Err(failed.clone()));
        assert_eq!(count.load(Ordering::SeqCst), tries);
    }
    let late = || async {
        tokio::time::sleep(ms(500)).await;
        Ok(())
    };
    assert!(matches!(with_retries((1, ms(20), ms(1)), late).await, Err(Failed::ForNow(_))));
}

#[test]
fn settings_that_would_send_codes_in_the_clear_are_refused() {
    let good = "url = \"https://tx.example/fhir\"\nca_file = \"ca.pem\"\n[[from]]\nsystem = \"urn:hospital:lab\"\nto = \"loinc\"\n";
    let of = |text: &str| toml::from_str::<Lookup>(text).unwrap().objection().unwrap_or_default();
    assert_eq!(of(good), "");
    for (from, to, says) in [
        ("https://tx", "http://tx", "https:// alone"),
        ("https://tx.example/fhir", "tx.example", "write https://server/path"),
        ("ca_file = \"ca.pem\"\n", "", "ca_file"),
        ("/fhir\"", "/fhir?x=1\"", "base address alone"),
        ("url", "in_flight = 0\nurl", "in_flight"),
        ("url", "min_patients = 0\nurl", "min_patients"),
        ("[[from]]\nsystem = \"urn:hospital:lab\"\nto = \"loinc\"\n", "", "[[lookup.from]]"),
    ] {
        assert!(of(&good.replace(from, to)).contains(says), "{to}: {}", of(&good.replace(from, to)));
    }
    assert_eq!(of(&good.replace("https://tx.example", "http://127.0.0.1:8080")), "");
}
