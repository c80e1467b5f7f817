//! FHIR `ConceptMap`, R4 and R5: groups of two code systems, elements with targets.

use std::path::Path;

use serde::Deserialize;

use super::read::{self, Settings};
use super::{Loaded, Mapping, Problem, Relation, TerminologyError};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    resource_type: String,
    url: Option<String>,
    version: Option<String>,
    status: Option<String>,
    #[serde(default)]
    group: Vec<Group>,
    #[serde(default)]
    entry: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    resource: Option<Box<Resource>>,
}

#[derive(Deserialize)]
struct Group {
    source: Option<String>,
    target: Option<String>,
    #[serde(default)]
    element: Vec<Element>,
}

#[derive(Deserialize)]
struct Element {
    code: Option<String>,
    #[serde(default)]
    target: Vec<To>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct To {
    code: Option<String>,
    equivalence: Option<String>,
    relationship: Option<String>,
    #[serde(default)]
    depends_on: Vec<serde::de::IgnoredAny>,
    #[serde(default)]
    product: Vec<serde::de::IgnoredAny>,
}

impl To {
    /// How the target stands to the source; none where it says that there is no target.
    fn relation(&self) -> Result<Option<Relation>, String> {
        let word =
            self.relationship.as_deref().or(self.equivalence.as_deref()).ok_or("the target has no relationship")?;
        let Some(relation) = relation_of(word)? else { return Ok(None) };
        // What holds under a condition, or with another code beside it, is no mapping of one code to one.
        let plain = self.depends_on.is_empty() && self.product.is_empty();
        Ok(Some(if plain { relation } else { Relation::Related }))
    }
}

/// How a target stands to the source by a word of R4's equivalence or R5's relationship; none where it says that there is no target.
pub(super) fn relation_of(word: &str) -> Result<Option<Relation>, String> {
    Ok(Some(match word {
        "equal" | "equivalent" => Relation::Exact,
        "narrower" | "specializes" | "source-is-broader-than-target" => Relation::Narrow,
        "wider" | "subsumes" | "source-is-narrower-than-target" => Relation::Broad,
        "relatedto" | "related-to" => Relation::Related,
        "inexact" => Relation::Close,
        "unmatched" | "disjoint" | "not-related-to" => return Ok(None),
        other => return Err(format!("'{other}' is no relationship of FHIR")),
    }))
}

fn take(map: Resource, settings: &Settings, file: &str, out: &mut Loaded) {
    let name = map.url.as_deref().and_then(|u| u.rsplit('/').next()).unwrap_or(file).to_owned();
    let version = map.version.map(|v| format!("@{v}")).unwrap_or_default();
    let withdrawn = map.status.as_deref() == Some("retired");
    let mut number = 0;
    for group in map.group {
        let system =
            |uri: &Option<String>| uri.as_deref().and_then(|u| settings.system(u.split('|').next().unwrap_or(u)));
        let (from, to) = (system(&group.source), system(&group.target));
        for element in group.element {
            number += 1;
            let mut problem = |detail: &str| out.problems.push(Problem { line: number, detail: detail.to_owned() });
            let (Some(from), Some(to)) = (&from, &to) else {
                problem("the group's source or target is no code system");
                continue;
            };
            let Some(code) = element.code else {
                problem("the element has no code");
                continue;
            };
            for target in element.target {
                let found = target.relation().map(|r| r.zip(target.code.clone()));
                match found {
                    Err(detail) => problem(&detail),
                    Ok(None) => {}
                    Ok(Some((relation, to_code))) => out.rows.push(Mapping {
                        system: from.clone(),
                        code: code.clone(),
                        table: None,
                        to_system: to.clone(),
                        to_code,
                        relation,
                        confidence: None,
                        from: None,
                        to: None,
                        withdrawn,
                        id: format!("{name}{version}#{number}"),
                    }),
                }
            }
        }
    }
}

pub(super) fn load(path: &Path, settings: &Settings) -> Result<Loaded, TerminologyError> {
    let reader = crate::reader(path).map_err(|e| read::wrong(path, e))?;
    // The text of serde_json says where, in line and column.
    let resource: Resource =
        serde_json::from_reader(reader).map_err(|e| read::wrong(path, format!("no ConceptMap: {e}")))?;
    let (file, mut out) = (read::label(path), Loaded::default());
    let bundled = resource.resource_type == "Bundle";
    let all: Vec<Resource> = if bundled {
        resource.entry.into_iter().filter_map(|e| e.resource).map(|r| *r).collect()
    } else {
        vec![resource]
    };
    let maps: Vec<Resource> = all.into_iter().filter(|r| r.resource_type == "ConceptMap").collect();
    if maps.is_empty() {
        return Err(read::wrong(path, "there is no ConceptMap in it"));
    }
    for map in maps {
        take(map, settings, &file, &mut out);
    }
    Ok(out)
}
