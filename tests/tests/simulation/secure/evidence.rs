//! What somebody sees who sees everything: all that left each site and all that the coordinator told, over every crash.

use std::collections::BTreeMap;

use coordinator::journal::{Journal, State};
use proto::wire::{self, from_site, secure_message, secure_reply::Body, to_site};
use proto::{Hash, Manifest, RoundId, SiteId};

use super::answers::Drawn;

/// A site in an attempt at a round.
pub(super) type At = (SiteId, RoundId, u32);

/// What a site said once, and whether it reached the coordinator's machine.
struct Once<T> {
    said: T,
    reached: bool,
}

/// Of one kind of message: what each site said in each attempt.
struct Fixed<T>(BTreeMap<At, Once<T>>);

impl<T> Default for Fixed<T> {
    fn default() -> Fixed<T> {
        Fixed(BTreeMap::new())
    }
}

impl<T: PartialEq> Fixed<T> {
    fn say(&mut self, at: &At, said: T, what: &str) -> Result<(), String> {
        match self.0.get(at) {
            Some(first) if first.said != said => {
                Err(format!("{} {what} for {} attempt {} than before", at.0, at.1, at.2))
            }
            Some(_) => Ok(()),
            None => {
                self.0.insert(at.clone(), Once { said, reached: false });
                Ok(())
            }
        }
    }

    fn reached(&mut self, at: &At) {
        if let Some(once) = self.0.get_mut(at) {
            once.reached = true;
        }
    }

    /// Bytes that never reached anybody, of a site whose state is now older than they.
    fn unsay(&mut self, site: &SiteId) {
        self.0.retain(|at, once| at.0 != *site || once.reached);
    }
}

/// The bytes of a release: its manifest and its payload.
pub(super) type Bytes = (Vec<u8>, Vec<u8>);

#[derive(Default)]
pub(super) struct Evidence {
    pub(super) drawn: Drawn,
    /// Checkpoints, parameters, acknowledgements.
    pub(super) durable: crate::oracles::Evidence,
    masked: Fixed<Bytes>,
    keys: Fixed<Vec<Vec<u8>>>,
    survivors: Fixed<Vec<u32>>,
    reveals: Fixed<BTreeMap<u32, (bool, Vec<u8>)>>,
    /// Signatures by what was signed.
    pub(super) consents: BTreeMap<(RoundId, u32, Vec<u32>), BTreeMap<u32, Vec<u8>>>,
    told: BTreeMap<(RoundId, u32, &'static str, Option<SiteId>), String>,
    highest: BTreeMap<(SiteId, RoundId), u32>,
    /// Where the study stood before what is told now was done.
    pub(super) before: Option<State>,
    /// The keys and the roster of the attempt that was told last.
    pub(super) last: Option<(wire::SecureReply, Vec<SiteId>)>,
    roster: Vec<SiteId>,
    pub(super) asked: BTreeMap<RoundId, Vec<u64>>,
}

fn at(site: &SiteId, round: &Option<wire::RoundRef>, attempt: u32) -> Result<At, String> {
    Ok((site.clone(), proto::parse::round(round.clone()).map_err(|e| e.to_string())?, attempt))
}

impl Evidence {
    /// A site says something, to what it was told.
    pub(super) fn left(
        &mut self,
        site: &SiteId,
        to: &to_site::Message,
        said: &from_site::Message,
    ) -> Result<(), String> {
        match said {
            from_site::Message::Release(r) => {
                let manifest = Manifest::parse(&r.manifest).map_err(|e| e.to_string())?;
                let at = at(site, &r.round, manifest.attempt)?;
                self.masked.say(&at, (r.manifest.to_vec(), r.payload.to_vec()), "sent other masked bytes")
            }
            from_site::Message::Secure(m) => {
                let at = at(site, &m.round, m.attempt)?;
                let told = match to {
                    to_site::Message::Secure(reply) => reply.body.as_ref(),
                    _ => None,
                };
                match (&m.body, told) {
                    (Some(secure_message::Body::Shares(_)), Some(Body::Keys(keys))) => {
                        let keys = keys.advertisements.iter().map(|a| a.to_vec()).collect();
                        self.keys.say(&at, keys, "answered another list of keys")
                    }
                    (Some(secure_message::Body::Consent(signature)), Some(Body::Survivors(s))) => {
                        let place = self.place(site);
                        let signed = self.consents.entry((at.1.clone(), at.2, s.places.clone())).or_default();
                        signed.insert(place, signature.to_vec());
                        self.survivors.say(&at, s.places.clone(), "signed another set of survivors")
                    }
                    (Some(secure_message::Body::Reveal(reveal)), _) => self.revealed(&at, reveal),
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn place(&self, site: &SiteId) -> u32 {
        self.roster.iter().position(|s| s == site).map_or(u32::MAX, |p| p as u32)
    }

    fn revealed(&mut self, at: &At, reveal: &wire::Reveal) -> Result<(), String> {
        let mut of: BTreeMap<u32, (bool, Vec<u8>)> = BTreeMap::new();
        for s in &reveal.shares {
            if of.insert(s.of, (s.mask_key, s.share.to_vec())).is_some_and(|other| other.0 != s.mask_key) {
                return Err(format!("{} revealed both secrets of {} in {} attempt {}", at.0, s.of, at.1, at.2));
            }
        }
        self.reveals.say(at, of, "revealed other secrets")
    }

    /// A site's message came to the coordinator's machine.
    pub(super) fn reached(&mut self, site: &SiteId, m: &from_site::Message) {
        match m {
            from_site::Message::Release(r) => {
                let attempt = Manifest::parse(&r.manifest).map_or(0, |m| m.attempt);
                if let Ok(at) = at(site, &r.round, attempt) {
                    self.masked.reached(&at);
                }
            }
            from_site::Message::Secure(m) => {
                let Ok(at) = at(site, &m.round, m.attempt) else { return };
                match m.body {
                    Some(secure_message::Body::Shares(_)) => self.keys.reached(&at),
                    Some(secure_message::Body::Consent(_)) => self.survivors.reached(&at),
                    Some(secure_message::Body::Reveal(_)) => self.reveals.reached(&at),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// A site's state was replaced by an older one: what nobody has seen was not said.
    pub(super) fn restored(&mut self, site: &SiteId) {
        self.masked.unsay(site);
        self.keys.unsay(site);
        self.survivors.unsay(site);
        self.reveals.unsay(site);
    }

    /// The masked input that left a site in an attempt.
    pub(super) fn masked(&self, at: &At) -> Option<&Bytes> {
        self.masked.0.get(at).map(|once| &once.said)
    }

    /// All masked inputs that left a site.
    pub(super) fn masked_by(&self, site: &SiteId) -> impl Iterator<Item = (&At, &Bytes)> {
        self.masked.0.iter().filter(move |(at, _)| at.0 == *site).map(|(at, once)| (at, &once.said))
    }

    fn once(
        &mut self,
        round: &RoundId,
        attempt: u32,
        kind: &'static str,
        to: Option<&SiteId>,
        said: String,
    ) -> Result<(), String> {
        let first = self.told.entry((round.clone(), attempt, kind, to.cloned())).or_insert_with(|| said.clone());
        if *first == said {
            return Ok(());
        }
        Err(format!("the coordinator told other {kind} for {round} attempt {attempt} than before"))
    }

    /// The coordinator tells a site: in one attempt always the same, never again of an attempt that came to nothing, and that
    /// something is durable when it is.
    pub(super) fn told(
        &mut self,
        site: &SiteId,
        m: &to_site::Message,
        journal: Option<&Journal>,
    ) -> Result<(), String> {
        let (round, attempt) = match m {
            to_site::Message::Round(order) => {
                let secure = order.secure.as_ref().ok_or("an order of a secure study that is not secure")?;
                let (_, round, attempt) = at(site, &order.round, secure.attempt)?;
                self.roster = secure.roster.iter().filter_map(|m| SiteId::parse(&m.site).ok()).collect();
                self.once(&round, attempt, "roster", None, format!("{:?}", secure.roster))?;
                let bits: Vec<u64> = order.parameters.iter().map(|p| p.to_bits()).collect();
                if *self.asked.entry(round.clone()).or_insert_with(|| bits.clone()) != bits {
                    return Err(format!("{round} was asked with other parameters than before"));
                }
                (round, attempt)
            }
            to_site::Message::Secure(reply) => {
                let (_, round, attempt) = at(site, &reply.round, reply.attempt)?;
                let body = format!("{:?}", reply.body);
                match reply.body {
                    Some(Body::Keys(_)) => {
                        self.last = Some((reply.clone(), self.roster.clone()));
                        self.once(&round, attempt, "keys", None, body)?;
                    }
                    Some(Body::Shares(_)) => self.once(&round, attempt, "shares", Some(site), body)?,
                    Some(Body::Survivors(_)) => self.once(&round, attempt, "survivors", None, body)?,
                    Some(Body::Consents(_)) => self.once(&round, attempt, "signatures", None, body)?,
                    None => {}
                }
                (round, attempt)
            }
            to_site::Message::Acknowledged(a) => {
                let (_, round, attempt) = at(site, &a.round, a.attempt)?;
                let sent = self.masked(&(site.clone(), round.clone(), attempt));
                let id = sent.and_then(|(manifest, _)| Manifest::parse(manifest).and_then(|m| m.id()).ok());
                if id != Hash::from_slice(&a.release_id).ok() {
                    return Err(format!("{site} is told that {round} is durable with another release than it sent"));
                }
                let Some(journal) = journal else { return Ok(()) };
                let there = journal.checkpoints(&round.study).map_err(|e| e.to_string())?;
                let there = there.iter().any(|c| (c.analysis, c.round) == (round.analysis, round.round));
                return if there { Ok(()) } else { Err(format!("{round} was acknowledged before it was durable")) };
            }
            _ => return Ok(()),
        };
        let highest = self.highest.entry((site.clone(), round.clone())).or_insert(attempt);
        *highest = attempt.max(*highest);
        let abandoned = self
            .before
            .as_ref()
            .is_some_and(|s| (s.analysis, s.round) == (round.analysis, round.round) && attempt < s.past.next);
        if attempt < *highest || abandoned {
            return Err(format!("the coordinator goes on with attempt {attempt} at {round}, which came to nothing"));
        }
        Ok(())
    }
}
