//! A plan changed by one byte is refused: by the coordinator, and by an agent that is sent it all the same.

use crate::harness::{COUNT, Federation, read_plan, study};
use certs::Folder;
use coordinator::analyst;
use site_agent::policy;

#[test]
fn one_byte_is_enough() {
    let f = Federation::new();
    let file = f.write_study("study.toml", &study("changed", "min_sites = 1", COUNT));
    let plan = read_plan(&file);
    let (identity, _) = Folder::new(&f.path("ada")).load().unwrap();
    let signed = analyst::sign(&plan, &identity, false).unwrap();
    let now = 1_800_000_000.min(i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap());
    assert!(policy::verify(&signed, &identity.ca_pem, "test", now).is_ok());

    let mut bytes = signed.plan.to_vec();
    let place = bytes.windows(3).position(|w| w == b"0.8").unwrap();
    bytes[place + 2] = b'9';
    let mut changed = signed.clone();
    changed.plan = bytes.into();
    let objection = policy::verify(&changed, &identity.ca_pem, "test", now).unwrap_err();
    assert_eq!(objection.code, "signature_invalid");
    assert_eq!(policy::verify(&signed, &identity.ca_pem, "other", now).unwrap_err().code, "other_federation");

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let refused = runtime.block_on(async {
        let (mut client, _, _) = analyst::connect(&f.path("ada")).await.unwrap();
        client.submit(changed).await.unwrap_err()
    });
    assert!(refused.message().contains("signature"), "{refused}");
}
