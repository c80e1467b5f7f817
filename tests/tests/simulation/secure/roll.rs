//! The sites' memberships: made once by a real registry, with invitations and certificates, and then entered where they are needed.

use std::sync::{Arc, LazyLock};

use certs::{Role, identity};
use coordinator::federation::{Federation, Settings};
use coordinator::registry::Registry;
use platform::entropy::OsEntropy;
use platform::store::{Entry, SharedStore};
use platform::{ManualClock, MemoryStore, Micros};

use crate::oracles::NEW_YEAR;
use crate::study::MOST_SECURE;

pub(super) fn name(place: usize) -> String {
    format!("site-{place}")
}

fn enrolled() -> Vec<Entry> {
    let home = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(Micros(NEW_YEAR - 86_400_000_000));
    let settings = Settings {
        name: "simulated".to_owned(),
        address: "localhost:1".to_owned(),
        certificate_seconds: 86_400,
        invitation_seconds: 86_400,
    };
    let federation = Federation::init(home.path(), settings, &clock, &OsEntropy).unwrap();
    let store: SharedStore = Arc::new(MemoryStore::new());
    let registry = Registry::new(store.clone());
    for place in 0..MOST_SECURE {
        let invitation = registry.invite(&federation, Role::Site, &name(place), "DE", &clock, &OsEntropy).unwrap();
        let nonce = invitation.identity().peer().unwrap().name.id;
        let request = identity::request(&identity::new_key().unwrap()).unwrap();
        registry.enroll(&federation, &nonce, &request, &clock, &OsEntropy).unwrap();
    }
    store.scan(b"member/").unwrap()
}

/// The entry by which a registry knows a site.
pub(super) fn membership(place: usize) -> Entry {
    static ROLL: LazyLock<Vec<Entry>> = LazyLock::new(enrolled);
    ROLL[place].clone()
}
