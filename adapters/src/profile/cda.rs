//! CDA: the sections and the templates of a document, and what its entries say.

use std::io::BufRead;

use super::contents::Contents;
use crate::ccda::{self, Walked};

/// Takes in a document; `false` where it breaks off or is none.
pub(super) fn take(reader: Box<dyn BufRead + '_>, into: &mut Contents) -> bool {
    ccda::walk(reader, &mut |above, element| {
        let of = |name: &str| element.get(name);
        match element.name() {
            "templateId" => {
                if let Some(root) = of("root") {
                    let extension = of("extension").filter(|e| !e.is_empty() && e.len() <= 20);
                    let name = extension.map_or_else(|| root.to_owned(), |e| format!("{root}:{e}"));
                    into.item(&format!("template {name}"), [above.to_owned()]);
                }
            }
            "code" if above == "section" => {
                into.item(&format!("section {}", of("code").unwrap_or("without a code")), [])
            }
            "observation" | "act" | "procedure" | "substanceAdministration" | "supply" | "encounter" | "organizer" => {
                into.item(element.name(), []);
            }
            "id" if above == "patientRole" => {
                into.authority(&of("root").map(|r| format!("urn:oid:{r}")).unwrap_or_default())
            }
            "effectiveTime" | "low" | "high" | "center" => {
                if let Some(value) = of("value") {
                    into.date(value);
                }
            }
            _ => {}
        }
        if let Some(unit) = of("unit") {
            into.unit(unit);
        }
        if let (Some(system), Some(_)) = (of("codeSystem"), of("code")) {
            into.system(system);
        }
    }) == Walked::Whole
}
