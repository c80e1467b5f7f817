//! What is planned for a schedule, before it runs: who takes part, with which budgets and wishes, and what goes wrong when.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coordinator::round::Decision;
use privacy::{Cap, Caps, Rho};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{CALM, Fault, Happening, PATIENT, RECOVER, SECOND, START, Tally, World};
use crate::hospital::Hospital;
use crate::machine::Machine;
use crate::oracles::Evidence;
use crate::study::{MOST_SITES, Prepared, prepared};

impl World {
    pub(crate) fn new(seed: u64, fault: Fault) -> World {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let sites = rng.random_range(3..=MOST_SITES);
        let min_sites = rng.random_range(2..=sites as u32);
        let attempts = if rng.random_bool(0.15) { 2 } else { PATIENT };
        let names: &[&str] = if rng.random_bool(0.4) { &["marks-a", "marks-b"] } else { &["marks-a"] };
        let plans: Vec<_> = names.iter().map(|n| prepared(n, min_sites, attempts)).collect();
        let all = plans.iter().fold(Rho::ZERO, |sum, p| sum.plus(p.total()));
        let weather = (rng.random_range(0.0..0.3), rng.random_range(0.0..0.4));
        let deadly = rng.random_range(0.0..0.7);
        let mut w = World::over(plans, fault, rng);
        (w.weather, w.deadly) = (weather, deadly);
        let mut able = 0;
        for place in 0..sites {
            let rich = w.rng.random_bool(0.75);
            let caps = w.caps(rich, all);
            let mut wish = BTreeMap::new();
            let mut willing = true;
            for plan in &w.plans.clone() {
                let first = match w.rng.random_range(0..20) {
                    0 => Decision::Refused,
                    1..=4 => Decision::Pending,
                    _ => Decision::Approved,
                };
                willing &= first != Decision::Refused;
                wish.insert(plan.id().clone(), first);
                if first == Decision::Pending {
                    w.within(1, 80, Happening::Wish(place, plan.id().clone(), Decision::Approved));
                }
            }
            let late = w.rng.random_bool(0.2);
            let revoked = w.rng.random_bool(0.04);
            able += u32::from(rich && willing && !late && !revoked);
            w.within(i64::from(late) * 10, if late { 60 } else { 1 }, Happening::Join(place));
            if revoked {
                w.within(1, 60, Happening::Revoke(place));
            }
            w.hospitals.push(Hospital::new(place, caps, wish, fault));
        }
        w.must_end = able >= min_sites && attempts == PATIENT;
        w.calamities(sites);
        w
    }

    /// Nothing is planned yet, and the network is calm.
    fn over(plans: Vec<Arc<Prepared>>, fault: Fault, rng: ChaCha8Rng) -> World {
        World {
            must_end: false,
            machine: Arc::new(Machine::new(fault == Fault::CoordinatorDiskLies)),
            hospitals: Vec::new(),
            evidence: Evidence::default(),
            tally: Tally { schedules: 1, ..Tally::default() },
            rng,
            now: START,
            number: 0,
            queue: BTreeMap::new(),
            coordinator: None,
            process: 0,
            joined: BTreeSet::new(),
            connected: BTreeSet::new(),
            weather: (0.0, 0.0),
            deadly: 0.0,
            sentence: None,
            calm: false,
            fault,
            plans,
        }
    }

    /// Three willing sites and a network that loses nothing. One machine, the coordinator's or a site's, dies at the commit
    /// after so many, which is still written or not.
    pub(crate) fn quiet(victim: Option<usize>, commits: u32, written: bool) -> World {
        let plans = vec![prepared("marks-a", 3, PATIENT)];
        let all = plans[0].total();
        let mut w = World::over(plans, Fault::None, ChaCha8Rng::seed_from_u64(u64::from(commits)));
        w.must_end = true;
        w.sentence = Some((victim, commits, written));
        for place in 0..3 {
            let wish = BTreeMap::from([(w.plans[0].id().clone(), Decision::Approved)]);
            w.hospitals.push(Hospital::new(place, Caps::flat(all), wish, Fault::None));
            w.within(0, 1, Happening::Join(place));
        }
        w.within(1, 2, Happening::Submit(0));
        w.clockwork();
        w
    }

    fn caps(&mut self, rich: bool, all: Rho) -> Caps {
        let study = self.plans[0].total();
        let caps = |study, year, lifetime| {
            let cap = |rho| Cap::new(rho, 1.0);
            Caps { study: cap(study), year: cap(year), tranche: cap(year), lifetime: cap(lifetime) }
        };
        if rich {
            // To the last billionth.
            return caps(study, all, all);
        }
        let part = self.rng.random_range(0.0..1.0);
        let of = |rho: Rho| Rho::from_nano((rho.nano() as f64 * part) as u64);
        match self.rng.random_range(0..3) {
            0 => caps(of(study), all, all),
            1 => caps(study, of(all), all),
            _ => caps(study, all, of(all)),
        }
    }

    fn calamities(&mut self, sites: usize) {
        for study in 0..self.plans.len() {
            self.within(1, if study == 0 { 3 } else { 30 }, Happening::Submit(study));
        }
        for _ in 0..self.rng.random_range(0..14) {
            let site = self.rng.random_range(0..sites);
            let happening = match self.rng.random_range(0..10) {
                0..=2 => Happening::CrashSite(site),
                3..=5 => Happening::CrashCoordinator,
                6..=8 => Happening::Break(site),
                _ => {
                    let study = self.plans[self.rng.random_range(0..self.plans.len())].id().clone();
                    Happening::Wish(site, study, Decision::Paused)
                }
            };
            self.within(2, 85, happening);
        }
        self.clockwork();
    }

    fn clockwork(&mut self) {
        self.at(START, Happening::StartCoordinator);
        self.at(START + SECOND / 2, Happening::Tick);
        self.at(CALM, Happening::Calm);
        self.at(RECOVER, Happening::Recover);
    }
}
