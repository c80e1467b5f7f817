//! A synthetic federation on disk: hospitals of eight countries, each with its own EHR dialect, and the truth.
//!
//! [`generate`] writes for each site `site.toml`, for CSV sites `mapping.toml`, and the extract files; and beside
//! them `truth.csv`, what a perfect reader would find. The same options always give the same bytes.
//!
//! * `chance`: the random numbers. `world`: the patients, before any dialect.
//! * `sites`: which site is where, how large, and how it writes. `dialects`: the ways of writing.
//! * `files`: text files in the site's encoding, plain or gzip. `truth`: the answers.
//!
//! The truth is computed from the texts that stand in the extracts, after their rounding, by the schema's own unit
//! rules. The age is the year of the index date minus the year of birth, as the engine computes it. Persons outside
//! the cohort have only their sex filled.

mod chance;
mod dialects;
mod files;
mod sites;
mod truth;
mod world;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use self::chance::Chance;
use self::sites::Site;
use self::truth::Truth;

/// What to generate.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many sites; the eight countries take turns.
    pub sites: usize,
    /// The mean number of patients at a site. Sites have half to twice as many.
    pub patients: usize,
    /// The seed. The same seed gives the same bytes.
    pub seed: u64,
    /// Where to write; the folder is made.
    pub out: PathBuf,
}

/// What was generated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The sites, in order.
    pub sites: Vec<SiteSummary>,
}

/// What was generated for one site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteSummary {
    /// Its id, such as `de-01`.
    pub id: String,
    /// Its dialect, in a few words.
    pub dialect: &'static str,
    /// Its patients.
    pub patients: u64,
    /// Patients of the cohort: those with type 2 diabetes.
    pub cohort: u64,
    /// Patients of the cohort with heart failure within a year.
    pub outcomes: u64,
    /// Rows, or resources, in its extract.
    pub rows: u64,
    /// Rows among them that are malformed on purpose.
    pub dirty: u64,
}

impl Summary {
    /// Patients at all sites.
    pub fn patients(&self) -> u64 {
        self.sites.iter().map(|s| s.patients).sum()
    }
    /// Patients of the cohort at all sites.
    pub fn cohort(&self) -> u64 {
        self.sites.iter().map(|s| s.cohort).sum()
    }
    /// Rows at all sites.
    pub fn rows(&self) -> u64 {
        self.sites.iter().map(|s| s.rows).sum()
    }
    /// Malformed rows at all sites.
    pub fn dirty(&self) -> u64 {
        self.sites.iter().map(|s| s.dirty).sum()
    }
}

/// Why nothing, or not all, was generated.
#[derive(Debug)]
pub enum GenerateError {
    /// A file could not be written.
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The options ask for nothing.
    Nothing {
        /// Which option.
        what: &'static str,
    },
}

impl fmt::Display for GenerateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GenerateError::Io { path, source } => {
                write!(f, "{}: {source}; check the folder and the free space", path.display())
            }
            GenerateError::Nothing { what } => write!(f, "{what} is 0; ask for at least 1"),
        }
    }
}

impl std::error::Error for GenerateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            GenerateError::Io { source, .. } => Some(source),
            GenerateError::Nothing { .. } => None,
        }
    }
}

impl GenerateError {
    fn io(path: &Path, source: io::Error) -> GenerateError {
        GenerateError::Io { path: path.to_owned(), source }
    }
}

/// Writes a federation. `progress` hears the patients written so far and the patients in all.
///
/// # Errors
/// The disk, or options that ask for nothing.
pub fn generate(options: &Options, progress: &mut dyn FnMut(u64, u64)) -> Result<Summary, GenerateError> {
    for (count, what) in [(options.sites, "sites"), (options.patients, "patients")] {
        if count == 0 {
            return Err(GenerateError::Nothing { what });
        }
    }
    let sites = sites::plan(options.sites, options.patients, options.seed);
    let total: u64 = sites.iter().map(|s| s.patients).sum();
    folder(&options.out)?;
    let mut truth = Truth::create(&options.out)?;
    let mut summary = Summary::default();
    let mut done = 0;
    for site in &sites {
        let written = one(site, options, &mut truth, &mut |n| progress(done + n, total))?;
        done += written.patients;
        summary.sites.push(written);
    }
    truth.finish()?;
    Ok(summary)
}

fn one(
    site: &Site,
    options: &Options,
    truth: &mut Truth,
    progress: &mut dyn FnMut(u64),
) -> Result<SiteSummary, GenerateError> {
    let root = options.out.join(&site.id);
    let extract = root.join("extract");
    folder(&extract)?;
    write(&root.join("site.toml"), &site.toml())?;
    let mut chance = Chance::new(options.seed, site.stream);
    let mut writer = dialects::open(site, &extract)?;
    if let Some(mapping) = writer.mapping() {
        write(&root.join("mapping.toml"), &mapping)?;
    }
    let mut summary = SiteSummary {
        id: site.id.clone(),
        dialect: site.dialect.name(),
        patients: site.patients,
        cohort: 0,
        outcomes: 0,
        rows: 0,
        dirty: 0,
    };
    let mut numbers = world::Numbers::default();
    for nth in 1..=site.patients {
        let person = world::person(&mut numbers, &mut chance);
        let id = site.person_id(nth);
        writer.person(&id, &person, &mut chance)?;
        let row = truth.person(site, &id, &person)?;
        summary.cohort += u64::from(row.in_cohort);
        summary.outcomes += u64::from(row.outcome);
        if nth % 100 == 0 || nth == site.patients {
            progress(nth);
        }
    }
    let counts = writer.finish()?;
    (summary.rows, summary.dirty) = (counts.rows, counts.dirty);
    Ok(summary)
}

fn folder(path: &Path) -> Result<(), GenerateError> {
    fs::create_dir_all(path).map_err(|e| GenerateError::io(path, e))
}

fn write(path: &Path, text: &str) -> Result<(), GenerateError> {
    fs::write(path, text).map_err(|e| GenerateError::io(path, e))
}

#[cfg(test)]
mod tests;
