//! Consent: whose data a study may read now.
//!
//! ```toml
//! [consent]
//! opt_out = "opt-outs.csv"     # who objected: source_system,person_id[,purpose][,from][,until]
//! opt_in = "consents.csv"      # who consented, where a law asks for it
//! purposes = ["research"]      # the purposes it asks for it
//! ```
//!
//! The lists are read again for each release, so that a withdrawal counts from the next one on, without a new ingestion. A list
//! that is named and missing, or has one row that can't be read, stops every release. How many patients are listed leaves the site
//! nowhere: the filter is a part of the data, and of the version of the data that answers are kept under.

use std::collections::BTreeSet;

use adapters::people::{self, ListError, Listed};
use chrono::NaiveDate;
use platform::Micros;
use proto::Hash;
use schema::Key;
use schema::record::Pseudonyms;

use crate::config::Config;

/// Whose data may be read for a purpose on a day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permitted {
    /// Those who objected.
    pub objected: BTreeSet<Key>,
    /// Those who consented, where only they count.
    pub consented: Option<BTreeSet<Key>>,
}

/// Why it can't be said whose data may be read.
#[derive(Debug, thiserror::Error)]
pub enum ConsentError {
    /// A list can't be used.
    #[error("{0}; no study is answered until the list can be read")]
    List(#[from] ListError),
    /// The site's key is not there.
    #[error("{0}; no study is answered until it can be read")]
    Key(String),
    /// There is no such purpose.
    #[error("[consent] purposes: '{0}' is none of research, public_health, quality")]
    Purpose(String),
}

impl Permitted {
    /// Reads the site's lists.
    ///
    /// # Errors
    /// A list or the site's key can't be read.
    pub fn read(config: &Config, purpose: &str, now: Micros) -> Result<Permitted, ConsentError> {
        let c = &config.consent;
        if let Some(other) = c.purposes.iter().find(|p| !study::check::PURPOSES.contains(&p.as_str())) {
            return Err(ConsentError::Purpose(other.clone()));
        }
        if c.opt_out.is_none() && c.opt_in.is_none() {
            return Ok(Permitted::default());
        }
        let key = config.state_dir().join("pseudonym.key");
        let secret = std::fs::read(&key).map_err(|e| ConsentError::Key(format!("{}: {e}", key.display())))?;
        let secret: [u8; 32] =
            secret.try_into().map_err(|_| ConsentError::Key(format!("{} must hold 32 bytes", key.display())))?;
        let pseudonyms = Pseudonyms::new(&secret);
        let systems: Vec<&str> = config.sources.iter().map(|s| s.name.as_str()).collect();
        let today = today(config, now);
        let list = |file: &std::path::Path| -> Result<BTreeSet<Key>, ListError> {
            let all = people::read(&config.home.join(file), &pseudonyms, &systems, study::check::PURPOSES)?;
            Ok(all.into_iter().filter(|l| l.holds(purpose, today)).map(|l: Listed| l.person).collect())
        };
        let asked = c.purposes.is_empty() || c.purposes.iter().any(|p| p == purpose);
        Ok(Permitted {
            objected: c.opt_out.as_deref().map(list).transpose()?.unwrap_or_default(),
            consented: c.opt_in.as_deref().filter(|_| asked).map(list).transpose()?,
        })
    }

    /// Whether everyone counts.
    pub fn is_everyone(&self) -> bool {
        self.objected.is_empty() && self.consented.is_none()
    }

    /// The version of the data that is read: of gold, and of whom it is read without. Without lists it is gold's own.
    pub fn version(&self, gold: u64) -> u64 {
        if self.is_everyone() {
            return gold;
        }
        let joined = |keys: &BTreeSet<Key>| keys.iter().flatten().copied().collect::<Vec<u8>>();
        let consented = self.consented.as_ref().map(joined);
        let hash = Hash::of_parts(&[
            b"insitu consent v1\0",
            &gold.to_le_bytes(),
            &self.objected.len().to_le_bytes(),
            &joined(&self.objected),
            if consented.is_some() { b"in" } else { b"all" },
            &consented.unwrap_or_default(),
        ]);
        hash.0.iter().take(8).fold(0, |v, b| v << 8 | u64::from(*b))
    }
}

/// The day at the hospital.
pub(crate) fn today(config: &Config, now: Micros) -> NaiveDate {
    let utc = chrono::DateTime::from_timestamp(now.seconds(), 0).unwrap_or_default();
    config.zone().map_or_else(|_| utc.date_naive(), |zone| utc.with_timezone(&zone).date_naive())
}
