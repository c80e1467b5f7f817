//! The linkage key goes from its custodian to two hospitals in files; the coordinator, logs and disks see neither key nor id.

use std::path::Path;
use std::process::{Command, Output};

use crate::harness::{Federation, program, run, text};

pub fn custodian(f: &Federation, args: &[&str]) -> Output {
    let mut c = Command::new(program("custodian"));
    c.arg("--dir").arg(f.path("custodian")).args(args);
    run(c)
}

pub fn json(out: &Output) -> serde_json::Value {
    serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{}", text(out)))
}

/// A site asks for the key, gets it sealed, and takes it in; both fingerprints were compared.
pub fn hand_over(f: &Federation, site: &str, custodians: &str) {
    let (request, sealed) = (f.path(&format!("{site}.request")), f.path(&format!("{site}.sealed")));
    let (request, sealed) = (request.to_str().unwrap(), sealed.to_str().unwrap());
    let own = f.agent_json(site, &["keys", "show"])["fingerprint"].as_str().unwrap().to_owned();
    let done = |out: Output| assert!(out.status.success(), "{}", text(&out));
    done(f.agent_command(site, &["keys", "linkage", "request", "--out", request]));
    done(custodian(f, &["seal", "--request", request, "--fingerprint", &own, "--out", sealed]));
    done(f.agent_command(site, &["keys", "linkage", "accept", sealed, "--custodian", custodians]));
}

/// Every file below a folder that holds some bytes.
fn holding(dir: &Path, what: &[u8]) -> Vec<String> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(holding(&path, what));
        } else if std::fs::read(&path).is_ok_and(|b| b.windows(what.len()).any(|w| w == what)) {
            out.push(path.display().to_string());
        }
    }
    out
}

#[test]
fn two_hospitals_get_the_key_and_nobody_else() {
    let f = Federation::new();
    let made = custodian(&f, &["init", "--federation", "test", "--json"]);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made));
    let print = json(&made)["fingerprint"].as_str().unwrap().to_owned();
    assert_eq!(custodian(&f, &["init", "--federation", "test"]).status.code(), Some(1), "a key is not made twice");
    assert_eq!(custodian(&f, &["seal"]).status.code(), Some(2));
    let mut said = String::new();
    for site in ["s-1", "s-2"] {
        f.add_site(site, 5, "");
        let home = f.site_home(site);
        let mapping = std::fs::read_to_string(home.join("mapping.toml")).unwrap();
        let mapping = mapping.replace("birth = {", "linkage = { column = \"nr\" }\nbirth = {");
        std::fs::write(home.join("mapping.toml"), mapping).unwrap();
        std::fs::write(
            home.join("extract/patients.csv"),
            "id,sex,birth,sbp,day,nr\np1,f,1950-01-02,120,2023-05-06,ZZ-QXKW-0815\n",
        )
        .unwrap();
        let without = f.agent_command(site, &["ingest"]);
        assert!(text(&without).contains("no linkage key: linkage ids were not read"), "{}", text(&without));
        let (request, sealed) = (f.path(&format!("{site}.request")), f.path(&format!("{site}.sealed")));
        let (request, sealed) = (request.to_str().unwrap(), sealed.to_str().unwrap());
        assert_eq!(f.agent_command(site, &["keys", "linkage", "request", "--out", request]).status.code(), Some(0));
        let own = f.agent_json(site, &["keys", "show"])["fingerprint"].as_str().unwrap().to_owned();
        let seal =
            |print: &str| custodian(&f, &["seal", "--request", request, "--fingerprint", print, "--out", sealed]);
        let refused = seal(&print);
        assert_eq!(refused.status.code(), Some(3), "{}", text(&refused));
        assert!(!Path::new(sealed).exists(), "nothing is sealed for another fingerprint");
        assert_eq!(seal(&own).status.code(), Some(0));
        let accept = |print: &str| f.agent_command(site, &["keys", "linkage", "accept", sealed, "--custodian", print]);
        assert_eq!(accept(&own).status.code(), Some(1), "the custodian's fingerprint is compared");
        let taken = accept(&print);
        assert_eq!(taken.status.code(), Some(0), "{}", text(&taken));
        assert_eq!(accept(&print).status.code(), Some(1), "a file is taken once");
        let ingested = f.agent_command(site, &["ingest"]);
        assert!(ingested.status.success() && text(&ingested).contains("read again"), "{}", text(&ingested));
        let lake = f.agent_json(site, &["lake"]);
        let shown = f.agent_json(site, &["keys", "linkage", "show"]);
        assert_eq!((&lake["gold"]["linkage"], &shown["held"]), (&shown["key_id"], &true.into()));
        said += &(text(&without) + &text(&ingested) + &text(&taken) + &lake.to_string() + &shown.to_string());
        for part in ["QXKW-0815", "ZZQXKW0815"] {
            assert_eq!(holding(&home.join("state"), part.as_bytes()), Vec::<String>::new());
        }
    }
    let list = json(&custodian(&f, &["list", "--json"]));
    assert_eq!(list.as_array().unwrap().len(), 2);
    said += &text(&custodian(&f, &["show"]));
    let key = std::fs::read(f.path("custodian/linkage.key")).unwrap();
    let key = &key[key.len() - 32..];
    let hex: String = key.iter().map(|b| format!("{b:02x}")).collect();
    assert!(!said.contains(&hex) && !said.contains("QXKW"), "{said}");
    let mut held = holding(f.dir.path(), key);
    held.sort();
    let ends = ["custodian/linkage.key", "s-1/state/linkage/key", "s-2/state/linkage/key"];
    assert_eq!(held.len(), 3, "{held:?}");
    assert!(held.iter().zip(ends).all(|(h, e)| h.ends_with(e)), "{held:?}");
    assert_eq!(holding(f.dir.path(), hex.as_bytes()), Vec::<String>::new());
    // A new key, and the way out.
    assert_eq!(json(&custodian(&f, &["rotate", "--json"]))["generation"], 2);
    assert_eq!(f.agent_command("s-1", &["keys", "linkage", "forget"]).status.code(), Some(0));
    assert_eq!(f.agent_json("s-1", &["ingest"])["linkage"]["untagged"], 1);
    assert_eq!(f.agent_json("s-1", &["keys", "linkage", "show"])["held"], false);
}

#[test]
fn every_command_shows_an_example() {
    for verb in ["init", "show", "seal", "rotate", "list"] {
        let help = run({
            let mut c = Command::new(program("custodian"));
            c.args([verb, "--help"]);
            c
        });
        assert!(help.status.success() && text(&help).contains("Example:"), "{verb}");
    }
    for verb in ["request", "accept", "show", "forget"] {
        let help = run({
            let mut c = Command::new(program("site-agent"));
            c.args(["keys", "linkage", verb, "--help"]);
            c
        });
        assert!(help.status.success() && text(&help).contains("Example:"), "{verb}");
    }
}
