//! What is planned for a schedule, before it runs.

use std::sync::Arc;

use coordinator::round::Decision;
use privacy::{Caps, Rho};
use proto::SiteId;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use site_agent::identity::Pins;
use study::spec::{Privacy, Rounds};

use super::site::{Site, key};
use super::world::{CALM, Happening, RECOVER, SECOND, START, World};
use super::{Fault, roll};
use crate::study::{MOST_SECURE, Prepared, secured};

/// More than any schedule needs.
const PATIENT: u32 = 10_000;
const GENEROUS: u32 = 60;

fn rounds(min_sites: u32, attempts: u32) -> Rounds {
    Rounds { min_sites, deadline_seconds: 6, gather_seconds: 3, attempts }
}

/// Everybody has compared fingerprints with everybody.
fn pins() -> Arc<Pins> {
    let mut pins = Pins::default();
    for place in 0..MOST_SECURE {
        pins.pin(SiteId::parse(&roll::name(place)).unwrap(), key(place).public().fingerprint());
    }
    Arc::new(pins)
}

/// What a site spends that pays for every rerun: to the last billionth.
fn whole(plan: &Prepared) -> Rho {
    let dearest = plan.allocation.iter().flatten().copied().max().unwrap_or_default();
    (0..plan.plan.study.privacy.reruns).fold(plan.total(), |sum, _| sum.plus(dearest))
}

impl World {
    pub(super) fn new(seed: u64, fault: Fault) -> World {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let sites = if rng.random_bool(0.05) { MOST_SECURE } else { rng.random_range(4..=6) };
        let min_sites = rng.random_range(3..=(sites as u32 * 2 / 3).max(3));
        let attempts = if rng.random_bool(0.1) { 3 } else { PATIENT };
        let reruns = if rng.random_bool(0.7) { GENEROUS } else { rng.random_range(0..3) };
        let analyses = if rng.random_bool(0.2) { 2 } else { 1 };
        let colluders = u32::from(rng.random_bool(0.2));
        let threshold = rng.random_bool(0.15).then(|| min_sites + rng.random_range(0..2));
        let set = |p: &mut Privacy| (p.reruns, p.colluders, p.threshold) = (reruns, colluders, threshold);
        let plan = secured(rounds(min_sites, attempts), analyses, set);
        let weather = (rng.random_range(0.0..0.06), rng.random_range(0.0..0.3));
        let deadly = rng.random_range(0.0..0.7);
        let mut w = World::over(plan, fault, rng);
        (w.weather, w.deadly) = (weather, deadly);
        w.malicious = fault.needs_forger() || w.rng.random_bool(0.15);
        let backups = fault == Fault::NeverCompares || !w.malicious && w.rng.random_bool(0.25);
        let pins = pins();
        let mut able = 0;
        for place in 0..sites {
            let rich = w.rng.random_bool(0.85);
            let caps = w.caps(rich);
            let mut site = Site::new(place, w.plan.clone(), pins.clone(), caps, fault);
            site.wish = match w.rng.random_range(0..20) {
                0 => Decision::Refused,
                1 => Decision::Pending,
                _ => Decision::Approved,
            };
            let late = w.rng.random_bool(0.1);
            let revoked = w.rng.random_bool(0.03);
            let leaves = w.rng.random_bool(0.08);
            let restored = backups && w.rng.random_bool(0.5);
            able += u32::from(rich && site.wish != Decision::Refused && !late && !revoked && !leaves && !restored);
            if site.wish == Decision::Pending {
                w.within(1, 30, Happening::Wish(place, Decision::Approved));
            }
            w.sites.push(site);
            w.within(i64::from(late) * 5, if late { 30 } else { 1 }, Happening::Join(place));
            if revoked {
                w.within(1, 40, Happening::Revoke(place));
            }
            if leaves {
                w.within(2, 40, Happening::Leave(place));
            }
            if restored {
                w.within(3, 20, Happening::BackUp(place));
                w.within(8, 42, Happening::Restore(place));
            }
        }
        w.must_close = able >= min_sites.max(threshold.unwrap_or(0)) && !w.malicious;
        w.must_end = w.must_close && attempts == PATIENT && reruns == GENEROUS;
        w.calamities(sites);
        w
    }

    fn caps(&mut self, rich: bool) -> Caps {
        let all = whole(&self.plan);
        if rich {
            return Caps::flat(all);
        }
        let part = self.rng.random_range(0.0..1.0);
        Caps::flat(Rho::from_nano((all.nano() as f64 * part) as u64))
    }

    fn calamities(&mut self, sites: usize) {
        self.within(1, 3, Happening::Submit);
        for _ in 0..self.rng.random_range(0..12) {
            let site = self.rng.random_range(0..sites);
            let happening = match self.rng.random_range(0..10) {
                0..=2 => Happening::CrashSite(site),
                3..=5 => Happening::CrashCoordinator,
                6..=8 => Happening::Cut(site),
                _ => Happening::Wish(site, Decision::Paused),
            };
            self.within(2, 42, happening);
        }
        if self.malicious {
            for _ in 0..40 {
                let site = self.rng.random_range(0..sites);
                self.within(4, 30, Happening::Forge(site));
            }
        }
        self.clockwork();
    }

    fn clockwork(&mut self) {
        self.at(START, Happening::StartCoordinator);
        self.at(START + SECOND / 4, Happening::Tick);
        self.at(CALM, Happening::Calm);
        self.at(RECOVER, Happening::Recover);
    }

    /// Four willing sites, a network that loses nothing, and a plan that pays for nothing twice. One machine, the coordinator's
    /// or a site's, dies at the commit after so many, which is still written or not, and is back at once.
    pub(super) fn quiet(victim: Option<usize>, commits: u32, written: bool, fault: Fault) -> World {
        let plan = secured(rounds(4, 1), 2, |p| p.reruns = 0);
        let mut w = World::over(plan, fault, ChaCha8Rng::seed_from_u64(u64::from(commits)));
        (w.must_end, w.away, w.calm) = (true, 1, true);
        w.sentence = Some((victim, commits, written));
        let (pins, caps) = (pins(), Caps::flat(whole(&w.plan)));
        for place in 0..4 {
            w.sites.push(Site::new(place, w.plan.clone(), pins.clone(), caps, fault));
            w.within(0, 1, Happening::Join(place));
        }
        w.within(1, 2, Happening::Submit);
        w.at(START, Happening::StartCoordinator);
        w.at(START + SECOND / 4, Happening::Tick);
        w
    }

    /// Four willing sites of which all are needed. The last approves while another, which had approved, is away; that one's return
    /// makes up the number.
    pub(super) fn returning() -> World {
        let mut w = World::quiet(None, PATIENT, false, Fault::None);
        w.sites[3].wish = Decision::Pending;
        w.at(START + 4 * SECOND, Happening::Leave(2));
        w.at(START + 8 * SECOND, Happening::Wish(3, Decision::Approved));
        w.at(START + 10 * SECOND, Happening::Return(2));
        w
    }
}
