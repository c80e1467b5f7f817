//! Somebody who holds the coordinator: tells a site other survivors, other keys, or signatures on other survivors.

use proto::wire::{self, secure_reply, to_site};
use rand::RngExt;

use super::world::{Happening, World};

impl World {
    /// Other survivors, other keys, or signatures on other survivors, to a site on its own stream.
    pub(super) fn forge(&mut self, place: usize) -> Result<(), String> {
        let Some(session) = self.sites[place].session else { return Ok(()) };
        let Some((reply, roster)) = self.evidence.last.clone() else { return Ok(()) };
        let Some(secure_reply::Body::Keys(keys)) = &reply.body else { return Ok(()) };
        let Some(own) = roster.iter().position(|s| *s == self.sites[place].id) else { return Ok(()) };
        let rng = &mut self.rng;
        let body = match rng.random_range(0..4) {
            0 => {
                // One site fewer: each advertisement begins with its place.
                let mut list = keys.advertisements.clone();
                let out = rng.random_range(0..list.len());
                list.remove(out);
                secure_reply::Body::Keys(wire::Advertisements { advertisements: list })
            }
            1 | 2 => {
                let left = rng.random_range(0..roster.len());
                let places = (0..roster.len()).filter(|p| *p == own || *p != left).map(|p| p as u32).collect();
                secure_reply::Body::Survivors(wire::Survivors { places })
            }
            _ => {
                let sets: Vec<_> = self.evidence.consents.iter().collect();
                if sets.is_empty() {
                    return Ok(());
                }
                let (_, signed) = sets[rng.random_range(0..sets.len())];
                let one = |(place, s): (&u32, &Vec<u8>)| wire::Consent { place: *place, signature: s.clone().into() };
                secure_reply::Body::Consents(wire::Consents { consents: signed.iter().map(one).collect() })
            }
        };
        self.tally.forged += 1;
        let forged = wire::SecureReply { body: Some(body), ..reply };
        self.post(place, session, Happening::ToSite(place, session, to_site::Message::Secure(forged)));
        Ok(())
    }
}
