//! One FHIR NDJSON extract of many organisations into sites, as if each group of organisations were a hospital of its own. A
//! patient belongs to the organisation that provided most of the patient's encounters.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use serde_json::Value;

/// A site that was made.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Made {
    /// Its id.
    pub id: String,
    /// Its organisations.
    pub organisations: usize,
    /// Its patients.
    pub patients: usize,
    /// Its lines.
    pub lines: usize,
}

fn files(from: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut out: Vec<PathBuf> = std::fs::read_dir(from)
        .with_context(|| format!("{} can't be read", from.display()))?
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.to_string_lossy().contains(".ndjson"))
        .collect();
    out.sort();
    ensure!(!out.is_empty(), "{} has no .ndjson file", from.display());
    Ok(out)
}

/// The id behind a reference such as `Patient/x`.
fn reference(v: &Value, key: &str) -> Option<String> {
    Some(v.get(key)?.get("reference")?.as_str()?.rsplit('/').next()?.to_owned())
}

fn patient_of(v: &Value) -> Option<String> {
    if v.get("resourceType")?.as_str()? == "Patient" {
        return Some(v.get("id")?.as_str()?.to_owned());
    }
    reference(v, "subject").or_else(|| reference(v, "patient"))
}

fn each(path: &Path, mut f: impl FnMut(&str, &Value) -> anyhow::Result<()>) -> anyhow::Result<()> {
    for line in adapters::reader(path)?.lines() {
        let line = line.with_context(|| format!("{} can't be read", path.display()))?;
        if let Ok(v) = serde_json::from_str::<Value>(&line) {
            f(&line, &v)?;
        }
    }
    Ok(())
}

/// Splits an extract into so many sites.
///
/// # Errors
/// The extract can't be read, or the sites can't be written.
pub fn split(from: &Path, out: &Path, sites: usize) -> anyhow::Result<Vec<Made>> {
    let files = files(from)?;
    let mut encounters: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for path in files.iter().filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("Encounter"))) {
        each(path, |_, v| {
            if let (Some(p), Some(o)) = (patient_of(v), reference(v, "serviceProvider")) {
                *encounters.entry(p).or_default().entry(o).or_default() += 1;
            }
            Ok(())
        })?;
    }
    let mut homes: BTreeMap<String, String> = BTreeMap::new();
    let mut sizes: BTreeMap<String, usize> = BTreeMap::new();
    for (patient, counts) in &encounters {
        if let Some((organisation, _)) = counts.iter().max_by_key(|(o, n)| (**n, std::cmp::Reverse((*o).clone()))) {
            homes.insert(patient.clone(), organisation.clone());
            *sizes.entry(organisation.clone()).or_default() += 1;
        }
    }
    // The largest organisations first, each to the site that has the fewest patients so far.
    let mut order: Vec<(&String, &usize)> = sizes.iter().collect();
    order.sort_by_key(|(o, n)| (std::cmp::Reverse(**n), (*o).clone()));
    let mut made: Vec<Made> =
        (0..sites.max(1)).map(|i| Made { id: format!("synthea-{:02}", i + 1), ..Made::default() }).collect();
    let mut of: BTreeMap<String, usize> = BTreeMap::new();
    for (organisation, n) in order {
        let least = made.iter().enumerate().min_by_key(|(i, m)| (m.patients, *i)).map_or(0, |(i, _)| i);
        of.insert(organisation.clone(), least);
        if let Some(m) = made.get_mut(least) {
            m.patients += n;
            m.organisations += 1;
        }
    }
    for m in &made {
        let home = out.join(&m.id);
        std::fs::create_dir_all(home.join("extract"))?;
        let text = format!(
            "id = \"{}\"\nname = \"Synthea organisations {}\"\ncountry = \"US\"\ntime_zone = \"America/New_York\"\n\n\
             [[source]]\nname = \"synthea\"\nformat = \"fhir-ndjson\"\npath = \"extract\"\n\n[approval]\nmode = \"manual\"\n",
            m.id, m.id
        );
        std::fs::write(home.join("site.toml"), text)?;
    }
    for path in &files {
        let name = path.file_name().unwrap_or_default().to_string_lossy().trim_end_matches(".gz").to_owned();
        let mut writers = made
            .iter()
            .map(|m| Ok(BufWriter::new(File::create(out.join(&m.id).join("extract").join(&name))?)))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let mut used: BTreeSet<usize> = BTreeSet::new();
        each(path, |line, v| {
            let site = patient_of(v).and_then(|p| homes.get(&p)).and_then(|o| of.get(o)).copied();
            if let Some((i, w)) = site.and_then(|i| Some((i, writers.get_mut(i)?))) {
                writeln!(w, "{line}")?;
                used.insert(i);
                if let Some(m) = made.get_mut(i) {
                    m.lines += 1;
                }
            }
            Ok(())
        })?;
        for (i, mut w) in writers.into_iter().enumerate() {
            w.flush()?;
            if let (false, Some(m)) = (used.contains(&i), made.get(i)) {
                std::fs::remove_file(out.join(&m.id).join("extract").join(&name))?;
            }
        }
    }
    Ok(made)
}
