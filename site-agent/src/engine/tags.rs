//! The linkage tags of a cohort, for counting distinct patients across hospitals.

use arrow::array::{Array, AsArray};
use schema::linkage::{LinkageKey, LinkageTag};
use study::Plan;

use super::readable::{Readable, TAGS};
use super::{Engine, EngineError};
use crate::config::Config;
use crate::lake::Lake;

const NO_KEY: &str = "the site holds no linkage key; ask the custodian with site-agent keys linkage request";
const OTHER_KEY: &str = "the site's linkage tags are not of the key that it holds; run site-agent ingest";

/// The tags of a cohort's patients, at most one each. It has no `Debug` and no codec: how many there are is about patients.
pub struct CohortTags {
    /// The tags, in no order that matters. A person with two records may come twice.
    pub tags: Vec<LinkageTag>,
    /// Patients of the cohort without a tag: they have no linkage id, and a count leaves them out.
    pub without: usize,
    /// The version of what may be read.
    pub version: u64,
}

impl CohortTags {
    /// The tags of one release, each under the release's own key: see [`LinkageKey::for_release`].
    pub fn for_release(&self, key: &LinkageKey, instance: &[u8; 32]) -> Vec<[u8; 32]> {
        let key = key.for_release(instance);
        self.tags.iter().map(|tag| key.tag(tag)).collect()
    }
}

impl Engine {
    /// The linkage tags of an analysis' cohort, of those who entered in the years of some blocks, made with the key given. The key
    /// is what [`crate::linkage::key`] reads.
    ///
    /// # Errors
    /// There is no data, no key, or gold's tags are of another key; or the query fails.
    pub async fn linkage_tags(
        &self,
        config: &Config,
        lake: &Lake,
        plan: &Plan,
        analysis: u32,
        blocks: &[privacy::Block],
        key: Option<&LinkageKey>,
    ) -> Result<CohortTags, EngineError> {
        let readable = Readable::open(config, lake, &plan.study, self.clock.now())?;
        let key = key.ok_or(EngineError::Linkage(NO_KEY))?;
        if readable.gold.linkage.as_ref() != Some(&key.id()) {
            return Err(EngineError::Linkage(OTHER_KEY));
        }
        let study = &plan.study;
        let a = study
            .analysis
            .get(analysis as usize)
            .ok_or_else(|| EngineError::Plan("the plan has no such analysis".into()))?;
        let queries = query::of(study, &a.cohort, &[], config.id.as_str()).map_err(EngineError::Plan)?;
        let ctx = readable.cohort(&queries.cohort).await?;
        readable.register_tags(&ctx).await?;
        let all = format!(
            "SELECT c.person_key, t.linkage_tag FROM {} c JOIN {TAGS} t ON t.person_key = c.person_key",
            query::COHORT
        );
        let all = query::entered(&all, config.budget.first_block, blocks);
        let sorted = format!("SELECT * FROM ({all}) s ORDER BY person_key, linkage_tag NULLS LAST");
        let mut out = CohortTags { tags: Vec::new(), without: 0, version: readable.version() };
        let mut last: Option<Vec<u8>> = None;
        for batch in ctx.sql(&sorted).await?.collect().await? {
            let wrong = || EngineError::Query("a key has another type than in the schema".to_owned());
            let people = batch.column(0).as_fixed_size_binary_opt().ok_or_else(wrong)?;
            let tags = batch.column(1).as_fixed_size_binary_opt().ok_or_else(wrong)?;
            for row in 0..batch.num_rows() {
                // One tag a patient: more would move the count more than the bound says.
                let person = people.value(row);
                if last.as_deref() == Some(person) {
                    continue;
                }
                last = Some(person.to_vec());
                match tags.is_valid(row).then(|| <[u8; 32]>::try_from(tags.value(row))) {
                    Some(Ok(tag)) => out.tags.push(LinkageTag::from_bytes(tag)),
                    _ => out.without += 1,
                }
            }
        }
        Ok(out)
    }
}
