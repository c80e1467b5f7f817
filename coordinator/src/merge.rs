//! Sums of releases: O(lanes) memory, however many sites.

use std::collections::BTreeMap;

use privacy::mechanism::{MOST_GRID_BITS, grid};
use proto::parse::Release;
use proto::{Hash, PartManifest, SiteId};
use serde::{Deserialize, Serialize};
use summaries::{Lanes, MergedRelease, MergedRound};

/// What a part of the round must look like.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// Its name.
    pub name: String,
    /// Its lanes.
    pub lanes: usize,
    /// The least noise scale that the plan allows, in lane units.
    pub sigma: f64,
}

/// What every release of a round must say.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// The plan.
    pub plan_hash: Hash,
    /// The parameters.
    pub parameters_hash: Hash,
    /// The cost, in billionths of ρ.
    pub rho_nano: u64,
    /// The parts.
    pub parts: Vec<Expected>,
    /// The mechanism's word.
    pub mechanism: &'static str,
    /// Whether releases without noise are taken: in a simulation alone.
    pub simulation: bool,
}

/// Two million patients in fixed point, or any number of patients in whole numbers. Sixty sums of it fit a lane, so that no
/// one site can make another's overflow.
const MOST_IN_A_LANE: u64 = 1 << 57;

/// A release that does not fit the round.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: the release's {what}")]
pub struct Misfit {
    /// A name for programs.
    pub code: &'static str,
    /// What does not fit.
    pub what: &'static str,
}

/// A release that is in the sum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Its id.
    pub release: Hash,
    /// The hash of its bytes.
    pub payload_hash: Hash,
    /// Its cost, in billionths of ρ.
    pub rho_nano: u64,
}

/// The sum of one part, on the finest grid that came in.
#[derive(Clone)]
struct Sum {
    lanes: Lanes,
    grid_bits: u32,
    /// In squared lane units.
    variance: f64,
}

impl Sum {
    /// With one more vector; `None` where a lane overflows.
    fn plus(&self, own: &[i64], part: &PartManifest) -> Option<Sum> {
        let grid_bits = self.grid_bits.max(part.grid_bits);
        let (up, down) = (1i64 << (grid_bits - self.grid_bits), 1i64 << (grid_bits - part.grid_bits));
        let add = |(a, b): (&i64, &i64)| a.checked_mul(up)?.checked_add(b.checked_mul(down)?);
        let lanes = self.lanes.values().iter().zip(own).map(add).collect::<Option<Vec<i64>>>()?;
        let sigma = part.sigma().ok()? / grid(part.grid_bits);
        Some(Sum { lanes: Lanes::from_values(lanes), grid_bits, variance: self.variance + sigma * sigma })
    }
}

/// A running sum.
#[derive(Clone)]
pub struct Merge {
    terms: Terms,
    parts: Vec<Sum>,
    /// Each site's own parts, where the analysis tells them.
    own: Option<BTreeMap<SiteId, Vec<Sum>>>,
    taken: BTreeMap<SiteId, Taken>,
}

impl Merge {
    /// An empty sum.
    pub fn new(terms: Terms) -> Merge {
        let parts = empty(&terms);
        Merge { terms, parts, own: None, taken: BTreeMap::new() }
    }

    /// The same, which keeps each site's own parts beside the sum.
    #[must_use]
    pub fn with_own(mut self, keeps: bool) -> Merge {
        self.own = keeps.then(BTreeMap::new);
        self
    }

    /// Checks a release against the round's terms. It is not taken yet.
    ///
    /// # Errors
    /// What does not fit.
    pub fn check(&self, release: &Release) -> Result<(), Misfit> {
        let m = &release.manifest;
        let no = |code, what| Err(Misfit { code, what });
        if m.plan_hash != self.terms.plan_hash {
            return no("other_plan", "plan is another");
        }
        if m.parameters_hash != self.terms.parameters_hash {
            return no("other_parameters", "parameters are others");
        }
        if m.secure.is_some() || m.attempt != 0 {
            return no("other_aggregation", "aggregation is not the plan's");
        }
        if m.rho_nano != if m.reused.is_some() { 0 } else { self.terms.rho_nano } {
            return no("other_charge", "charge is not the plan's");
        }
        let noisy = m.mechanism == self.terms.mechanism;
        let simulated = self.terms.simulation && m.mechanism == "none";
        if !noisy && !simulated {
            return no("other_mechanism", "mechanism is not the plan's");
        }
        let shape = m.parts.len() == self.terms.parts.len()
            && m.parts.iter().zip(&self.terms.parts).all(|(a, b)| a.name == b.name && a.lanes == b.lanes as u64);
        if !shape || release.lanes.len() as u64 != m.lanes() {
            return no("other_shape", "parts or lanes are not the round's");
        }
        if release.lanes.iter().any(|v| v.unsigned_abs() > MOST_IN_A_LANE) {
            return no("implausible", "lanes are larger than any hospital's");
        }
        for (part, expected) in m.parts.iter().zip(&self.terms.parts) {
            let Ok(sigma) = part.sigma() else { return no("malformed", "noise scale is no number") };
            if part.grid_bits > MOST_GRID_BITS {
                return no("malformed", "grid is finer than any");
            }
            // The answer to an equal question that was better paid may have less noise.
            let least = expected.sigma * (1.0 - 1e-6) * if m.reused.is_some() { 0.0 } else { grid(part.grid_bits) };
            if noisy && (sigma < least || sigma <= 0.0) {
                return no("too_little_noise", "noise is smaller than the plan's");
            }
        }
        Ok(())
    }

    /// Adds a checked release. A site is added once.
    ///
    /// # Errors
    /// It does not fit, or a lane overflows; the sum stays as it was.
    pub fn take(&mut self, site: &SiteId, release: &Release) -> Result<(), Misfit> {
        self.check(release)?;
        if self.taken.contains_key(site) {
            return Ok(());
        }
        let overflow = Misfit { code: "overflow", what: "lanes leave the range of the sum" };
        let sums = plus(&self.parts, release).ok_or(overflow)?;
        if let Some(own) = &mut self.own {
            own.extend(plus(&empty(&self.terms), release).map(|alone| (site.clone(), alone)));
        }
        self.parts = sums;
        let m = &release.manifest;
        let taken = Taken { release: release.id, payload_hash: m.payload_hash, rho_nano: m.rho_nano };
        self.taken.insert(site.clone(), taken);
        Ok(())
    }

    /// The release of a site that is in the sum.
    pub fn taken(&self) -> &BTreeMap<SiteId, Taken> {
        &self.taken
    }

    /// Each site's own round, where they are kept.
    pub fn own(&mut self) -> Vec<(SiteId, MergedRound)> {
        let own = self.own.take().unwrap_or_default();
        own.into_iter().map(|(site, parts)| (site, round(parts, 1))).collect()
    }

    /// The sum.
    pub fn finish(self) -> (MergedRound, BTreeMap<SiteId, Taken>) {
        (round(self.parts, self.taken.len()), self.taken)
    }
}

/// Sums with a release's parts; `None` where a lane overflows.
fn plus(sums: &[Sum], release: &Release) -> Option<Vec<Sum>> {
    let mut rest = release.lanes.as_slice();
    let mut out = Vec::with_capacity(sums.len());
    for (sum, part) in sums.iter().zip(&release.manifest.parts) {
        let (own, after) = rest.split_at_checked(sum.lanes.len()).unwrap_or((rest, &[]));
        rest = after;
        out.push(sum.plus(own, part)?);
    }
    Some(out)
}

fn empty(terms: &Terms) -> Vec<Sum> {
    let zero = |p: &Expected| Sum { lanes: Lanes::zeros(p.lanes), grid_bits: 0, variance: 0.0 };
    terms.parts.iter().map(zero).collect()
}

fn round(parts: Vec<Sum>, sites: usize) -> MergedRound {
    let part = |sum: Sum| {
        let unit = grid(sum.grid_bits);
        let noise_variance = sum.variance * unit * unit;
        MergedRelease { lanes: sum.lanes.into_values(), noise_variance, unit, sites, shared: 1 }
    };
    MergedRound { parts: parts.into_iter().map(part).collect(), sites }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proto::{Manifest, RoundId, StudyId};

    fn terms(lanes: usize) -> Terms {
        let parts = vec![Expected { name: "a".into(), lanes, sigma: 2.0 }];
        Terms {
            plan_hash: Hash([1; 32]),
            parameters_hash: Hash([2; 32]),
            rho_nano: 5,
            parts,
            mechanism: "discrete-gaussian",
            simulation: false,
        }
    }

    fn release(site: usize, lanes: Vec<i64>) -> (SiteId, Release) {
        let site = SiteId::parse(&format!("s-{site}")).unwrap();
        let payload = proto::payload::encode([lanes.as_slice()]);
        let manifest = Manifest {
            site: site.clone(),
            round: RoundId { study: StudyId::parse("s").unwrap(), analysis: 0, round: 0 },
            attempt: 0,
            plan_hash: Hash([1; 32]),
            parameters_hash: Hash([2; 32]),
            mechanism: "discrete-gaussian".into(),
            rho_nano: 5,
            entered: vec![[2000, 2026]],
            secure: None,
            reused: None,
            parts: vec![PartManifest {
                name: "a".into(),
                lanes: lanes.len() as u64,
                sigma_nano: "2000000000".into(),
                grid_bits: 0,
            }],
            payload_hash: Hash::of(&payload),
        };
        (site, proto::parse::release(manifest, &payload).unwrap())
    }

    proptest! {
        #[test]
        fn the_order_of_sites_does_not_matter(rows in prop::collection::vec(prop::collection::vec(-1_000_000i64..1_000_000, 3), 1..12), turn in 0usize..12) {
            let releases: Vec<_> = rows.iter().cloned().enumerate().map(|(i, r)| release(i, r)).collect();
            let sum = |order: &[(SiteId, Release)]| {
                let mut m = Merge::new(terms(3));
                for (site, r) in order {
                    m.take(site, r).unwrap();
                    m.take(site, r).unwrap();
                }
                m.finish()
            };
            let mut turned = releases.clone();
            turned.rotate_left(turn % releases.len());
            let (a, b) = (sum(&releases), sum(&turned));
            prop_assert_eq!(&a.0, &b.0);
            prop_assert_eq!(a.0.parts[0].noise_variance, 4.0 * rows.len() as f64);
            for lane in 0..3 {
                prop_assert_eq!(a.0.parts[0].lanes[lane], rows.iter().map(|r| r[lane]).sum::<i64>());
            }
        }
    }

    #[test]
    fn less_noise_another_shape_and_no_noise_are_refused() {
        let merge = Merge::new(terms(1));
        let (_, good) = release(0, vec![1]);
        assert!(merge.check(&good).is_ok());
        let mut less = good.clone();
        less.manifest.parts[0].sigma_nano = "1900000000".into();
        assert_eq!(merge.check(&less).unwrap_err().code, "too_little_noise");
        let mut none = good.clone();
        none.manifest.mechanism = "none".into();
        assert_eq!(merge.check(&none).unwrap_err().code, "other_mechanism");
        let mut tree = good.clone();
        tree.manifest.mechanism = "discrete-gaussian-tree".into();
        assert_eq!(merge.check(&tree).unwrap_err().code, "other_mechanism");
        assert_eq!(merge.check(&release(0, vec![1, 2]).1).unwrap_err().code, "other_shape");
    }

    #[test]
    fn each_sites_own_parts_are_kept_where_they_are_asked_for() {
        let mut merge = Merge::new(terms(2)).with_own(true);
        for (i, lanes) in [vec![1, 2], vec![30, 40]].into_iter().enumerate() {
            let (site, r) = release(i, lanes);
            merge.take(&site, &r).unwrap();
            merge.take(&site, &r).unwrap();
        }
        let own = merge.own();
        let told: Vec<_> =
            own.iter().map(|(s, r)| (s.as_str(), r.parts[0].lanes.clone(), r.parts[0].noise_variance)).collect();
        assert_eq!(told, [("s-0", vec![1, 2], 4.0), ("s-1", vec![30, 40], 4.0)]);
        assert_eq!(merge.finish().0.parts[0].lanes, [31, 42]);
        assert!(Merge::new(terms(1)).own().is_empty());
    }

    #[test]
    fn sums_meet_on_the_finest_grid() {
        let mut merge = Merge::new(terms(1));
        let (a, ra) = release(0, vec![3]);
        merge.take(&a, &ra).unwrap();
        let (b, mut rb) = release(1, vec![10]);
        rb.manifest.parts[0].grid_bits = 2;
        rb.manifest.parts[0].sigma_nano = "8000000000".into();
        merge.take(&b, &rb).unwrap();
        let part = merge.finish().0.parts.remove(0);
        let layout = summaries::Layout { lanes: 1, scale: 1.0 };
        assert_eq!((part.value(0, &layout), part.variance(&layout)), (5.5, 8.0));
    }

    #[test]
    fn bytes_that_were_paid_for_before_cost_nothing_and_masked_ones_are_no_sum() {
        let merge = Merge::new(terms(1));
        let (_, good) = release(0, vec![1]);
        let mut reused = good.clone();
        reused.manifest.reused = Some(Hash([7; 32]));
        assert_eq!(merge.check(&reused).unwrap_err().code, "other_charge");
        reused.manifest.rho_nano = 0;
        reused.manifest.parts[0].sigma_nano = "1000000000".into();
        assert!(merge.check(&reused).is_ok());
        let mut masked = good;
        masked.manifest.secure = Some(proto::SecureManifest { instance: Hash([1; 32]), threshold: 2, colluders: 0 });
        assert_eq!(merge.check(&masked).unwrap_err().code, "other_aggregation");
    }

    #[test]
    fn a_lane_that_would_poison_the_sum_is_refused() {
        let mut merge = Merge::new(terms(1));
        let (a, ra) = release(0, vec![i64::MAX]);
        assert_eq!(merge.take(&a, &ra).unwrap_err().code, "implausible");
        let (a, ra) = release(0, vec![i64::MIN]);
        assert_eq!(merge.take(&a, &ra).unwrap_err().code, "implausible");
        let (b, rb) = release(1, vec![1]);
        merge.take(&b, &rb).unwrap();
        assert_eq!(merge.finish().0.parts[0].lanes, [1]);
    }
}
