//! What is spent, by block: a cache over the entries, built anew at every start.

use std::collections::{BTreeMap, BTreeSet};

use chrono::Datelike as _;
use privacy::{Block, Cost, Rho, Spent};
use proto::merkle::{Frontier, leaf};
use proto::{Hash, RoundId, StudyId};

use super::{Entry, Kind};

/// A block, from which round on it has paid at once, and how much.
type Paid = (Block, u32, Cost);

#[derive(Default)]
struct BlockTotals {
    /// The calendar year of the first charge.
    opened: Block,
    lifetime: Cost,
    years: BTreeMap<Block, Cost>,
    studies: BTreeMap<StudyId, Cost>,
}

#[derive(Default)]
pub(super) struct Totals {
    pub(super) hashes: Vec<Hash>,
    /// The tree over them.
    pub(super) tree: Frontier,
    blocks: BTreeMap<Block, BlockTotals>,
    /// The blocks that each study was charged for.
    studies: BTreeMap<StudyId, BTreeSet<Block>>,
    /// What each block has paid at once for a study's releases.
    prepaid: BTreeMap<StudyId, BTreeMap<Block, Rho>>,
    /// What each block has paid at once for the rounds of a study's analysis, and from which round on.
    plans: BTreeMap<(StudyId, u32), Vec<Paid>>,
    /// Attempts at rounds that were charged, or answered for nothing.
    attempts: BTreeMap<StudyId, BTreeMap<(u32, u32), BTreeSet<u32>>>,
}

impl Totals {
    pub(super) fn add(&mut self, entry: &Entry) {
        let hash = entry.hash();
        self.hashes.push(hash);
        self.tree.push(leaf(&hash.0));
        let year = chrono::DateTime::from_timestamp_micros(entry.at_micros).map_or(0, |t| t.year());
        let year = Block::try_from(year).unwrap_or_default();
        let study = &entry.round.study;
        for block in entry.blocks() {
            let totals =
                self.blocks.entry(block).or_insert_with(|| BlockTotals { opened: year, ..BlockTotals::default() });
            totals.lifetime = totals.lifetime.plus(&entry.cost);
            let own = totals.years.entry(year).or_default();
            *own = own.plus(&entry.cost);
            let own = totals.studies.entry(study.clone()).or_default();
            *own = own.plus(&entry.cost);
        }
        self.studies.entry(study.clone()).or_default().extend(entry.blocks());
        if entry.kind == Kind::Prepaid {
            let paid = self.prepaid.entry(study.clone()).or_default();
            for block in entry.blocks() {
                let own = paid.entry(block).or_insert(Rho::ZERO);
                *own = own.plus(entry.cost.rho);
            }
            let RoundId { analysis, round, .. } = entry.round;
            let of = self.plans.entry((study.clone(), analysis)).or_default();
            of.extend(entry.blocks().map(|block| (block, round, entry.cost.clone())));
        }
        if !entry.kind.decides() {
            let RoundId { analysis, round, .. } = entry.round;
            self.attempts.entry(study.clone()).or_default().entry((analysis, round)).or_default().insert(entry.attempt);
        }
    }

    pub(super) fn spent(&self, study: &StudyId, year: Block, block: Block) -> Spent {
        let Some(totals) = self.blocks.get(&block) else { return Spent::default() };
        Spent {
            study: totals.studies.get(study).cloned().unwrap_or_default(),
            year: totals.years.get(&year).cloned().unwrap_or_default(),
            lifetime: totals.lifetime.clone(),
            old: totals.opened < year,
        }
    }

    pub(super) fn all(&self, year: Block) -> Vec<(Block, Spent)> {
        let none = StudyId::unreadable();
        self.blocks.keys().map(|b| (*b, self.spent(&none, year, *b))).collect()
    }

    pub(super) fn blocks_of(&self, study: &StudyId) -> Option<Vec<Block>> {
        self.studies.get(study).map(|blocks| blocks.iter().copied().collect())
    }

    pub(super) fn prepaid(&self, study: &StudyId) -> Vec<(Block, Rho)> {
        self.prepaid.get(study).into_iter().flatten().map(|(block, rho)| (*block, *rho)).collect()
    }

    pub(super) fn planned(&self, study: &StudyId, analysis: u32) -> Vec<(Block, u32, Cost)> {
        self.plans.get(&(study.clone(), analysis)).cloned().unwrap_or_default()
    }

    /// The attempts at a round that stand in the ledger.
    pub(super) fn attempts(&self, round: &RoundId) -> Option<&BTreeSet<u32>> {
        self.attempts.get(&round.study)?.get(&(round.analysis, round.round))
    }

    /// Attempts beyond the first, over all rounds of a study.
    pub(super) fn reruns(&self, study: &StudyId) -> u32 {
        let rounds = self.attempts.get(study).into_iter().flat_map(BTreeMap::values);
        rounds.map(|a| (a.len() as u32).saturating_sub(1)).sum()
    }
}
