//! One example of every statistic, so that each is fuzzed for its sensitivity and its noise by being listed.

use std::sync::Arc;

use crate::attrition::Attrition;
use crate::by_group::{ByGroup, Contrast};
use crate::codes::Codes;
use crate::compare::Compare;
use crate::competing::Competing;
use crate::count::Count;
use crate::crosstab::CrossTab;
use crate::distinct::{Distinct, DistinctPatients};
use crate::histogram::Histogram;
use crate::mantel_haenszel::MantelHaenszel;
use crate::moments::Moments;
use crate::pca::{Pca, Scale};
use crate::prevalence::Prevalence;
use crate::quantiles::Quantiles;
use crate::rank_sum::RankSum;
use crate::rate::Rate;
use crate::statistic::Statistic;
use crate::survival::{Grid, Survival};
use crate::top_codes::key::key;
use crate::top_codes::{Alphabet, Prefixes};

/// One example of each statistic of this room.
pub fn examples() -> Vec<Box<dyn Statistic>> {
    let mut out: Vec<Box<dyn Statistic>> =
        vec![Box::new(Count), Box::new(CrossTab::new(vec![2, 4])), Box::new(Codes::new(50, 5))];
    out.push(Box::new(Attrition::new(["entry", "adults", "no cancer"].map(str::to_owned).to_vec())));
    out.push(Box::new(Prevalence::new((2018..2024).map(|year| (year.to_string(), f64::from(year))).collect())));
    let beginnings = ["E1", "I1"].map(|b| key(b).iter().take(2).copied().collect()).to_vec();
    out.push(Box::new(Prefixes { beginnings, more: 1, alphabet: Alphabet::Letters, per_patient: 3 }));
    out.extend(Histogram::new(vec![0.0, 10.0, 20.0, 50.0]).map(|s| Box::new(s) as Box<dyn Statistic>));
    out.extend(Moments::new(-3.0, 7.0).map(|s| Box::new(s) as Box<dyn Statistic>));
    out.extend(Quantiles::new(0.0, 100.0, 4, 3, vec![0.5]).map(|s| Box::new(s) as Box<dyn Statistic>));
    out.extend(Compare::new(0.0, 50.0, 3).map(|s| Box::new(s) as Box<dyn Statistic>));
    out.extend(RankSum::new(0.0, 50.0, 20).map(|s| Box::new(s) as Box<dyn Statistic>));
    out.extend(Rate::new(3.0, 50.0, Some(2), 1000.0).map(|s| Box::new(s) as Box<dyn Statistic>));
    let grid = Grid::new(1.0, 30.0);
    out.extend(grid.and_then(|g| Survival::new(g, Some(2), Some(3))).map(|s| Box::new(s) as Box<dyn Statistic>));
    let grid = Grid::new(1.0, 30.0);
    out.extend(grid.and_then(|g| Competing::new(g, 3, Some(2), Vec::new())).map(|s| Box::new(s) as Box<dyn Statistic>));
    out.extend(MantelHaenszel::new(3).map(|s| Box::new(s) as Box<dyn Statistic>));
    out.extend(Pca::new(vec![[-3.0, 7.0], [0.0, 50.0]], Scale::Sd).map(|s| Box::new(s) as Box<dyn Statistic>));
    let moments = Moments::new(-3.0, 7.0).and_then(|m| ByGroup::new(Arc::new(m), 3, Contrast::Number));
    out.extend(moments.map(|s| Box::new(s) as Box<dyn Statistic>));
    // Nearly every tag is kept, so that the gates see one.
    out.extend(Distinct::new(16, 4, 16.0).map(|s| Box::new(DistinctPatients::new(s)) as Box<dyn Statistic>));
    out
}
