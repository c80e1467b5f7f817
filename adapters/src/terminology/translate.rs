//! FHIR's `$translate`: what a terminology server is asked of one code, and what it answers. R4 and R5.

use schema::codes;
use serde::Deserialize;
use serde_json::json;

use super::concept_map::relation_of;
use super::{Mapping, Relation};

/// A release of FHIR, by what the operation's parameters are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Release {
    /// R4, R4B.
    #[default]
    R4,
    /// R5.
    R5,
}

/// The body of the request: a code, its system and the system that it is wanted in. Nothing else.
pub fn request(release: Release, (system, code): (&str, &str), to: &str, map: Option<&str>) -> Vec<u8> {
    let (code_is, to_is) = match release {
        Release::R4 => ("code", "targetsystem"),
        Release::R5 => ("sourceCode", "targetSystem"),
    };
    let mut parameters = vec![
        json!({ "name": code_is, "valueCode": code }),
        json!({ "name": "system", "valueUri": system }),
        json!({ "name": to_is, "valueUri": to }),
    ];
    parameters.extend(map.map(|url| json!({ "name": "url", "valueUri": url })));
    json!({ "resourceType": "Parameters", "parameter": parameters }).to_string().into_bytes()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    resource_type: String,
    #[serde(default)]
    parameter: Vec<Parameter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameter {
    name: String,
    value_boolean: Option<bool>,
    value_code: Option<String>,
    value_uri: Option<String>,
    value_canonical: Option<String>,
    value_coding: Option<Coding>,
    #[serde(default)]
    part: Vec<Parameter>,
}

#[derive(Deserialize)]
struct Coding {
    system: Option<String>,
    code: Option<String>,
}

/// The mappings that an answer says, of a code; none where the server knows none.
///
/// # Errors
/// The answer is no `Parameters` of the operation. The text has nothing of it.
pub fn answer(bytes: &[u8], (system, code): (&str, &str), to: &str) -> Result<Vec<Mapping>, String> {
    let wrong = |what: &str| format!("the answer is no result of $translate: {what}");
    let read: Parameters = serde_json::from_slice(bytes).map_err(|_| wrong("it is no JSON of Parameters"))?;
    if read.resource_type != "Parameters" {
        return Err(wrong("it is another resource"));
    }
    let found = read.parameter.iter().find(|p| p.name == "result").and_then(|p| p.value_boolean);
    let Some(found) = found else { return Err(wrong("it has no result")) };
    let mut out = Vec::new();
    for found in read.parameter.iter().filter(|p| found && p.name == "match") {
        let part = |names: &[&str]| found.part.iter().find(|p| names.contains(&p.name.as_str()));
        let Some(coding) = part(&["concept"]).and_then(|p| p.value_coding.as_ref()) else { continue };
        let word = part(&["equivalence", "relationship"]).and_then(|p| p.value_code.as_deref());
        let relation = word.map_or(Ok(Some(Relation::Related)), relation_of)?;
        // With another code beside it, it is no mapping of one code to one.
        let plain = part(&["product", "dependsOn"]).is_none();
        let target = codes::canonical(coding.system.as_deref().unwrap_or(to));
        let (Some(relation), Some(to_system), Some(to_code)) = (relation, target, coding.code.clone()) else {
            continue;
        };
        let map = part(&["source", "originMap"]).and_then(|p| p.value_uri.as_ref().or(p.value_canonical.as_ref()));
        let map = map.and_then(|m| m.rsplit('/').next()).unwrap_or("translate");
        out.push(Mapping {
            system: system.to_owned(),
            code: code.to_owned(),
            table: None,
            to_system,
            to_code,
            relation: if plain { relation } else { Relation::Related },
            confidence: None,
            from: None,
            to: None,
            withdrawn: false,
            id: format!("{map}#{code}"),
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_a_code_its_system_and_where_to() {
        let of = |r| {
            let bytes = request(r, ("urn:hl7:99LAB", "GLU"), "http://loinc.org", None);
            serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()["parameter"].clone()
        };
        let names = |code: &str, to: &str| {
            json!([
                { "name": code, "valueCode": "GLU" },
                { "name": "system", "valueUri": "urn:hl7:99LAB" },
                { "name": to, "valueUri": "http://loinc.org" },
            ])
        };
        assert_eq!(of(Release::R4), names("code", "targetsystem"));
        assert_eq!(of(Release::R5), names("sourceCode", "targetSystem"));
    }

    #[test]
    fn an_answer_is_read_in_both_releases_and_what_is_none_is_refused() {
        let of = |text: &str| answer(text.as_bytes(), ("urn:hl7:99LAB", "GLU"), "http://loinc.org");
        let r4 = r#"{"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":true},
            {"name":"match","part":[{"name":"equivalence","valueCode":"equivalent"},{"name":"concept","valueCoding":{"system":"http://loinc.org","code":"2345-7"}},{"name":"source","valueUri":"http://h/ConceptMap/lab"}]},
            {"name":"match","part":[{"name":"equivalence","valueCode":"unmatched"},{"name":"concept","valueCoding":{"code":"1-1"}}]},
            {"name":"match","part":[{"name":"equivalence","valueCode":"equal"},{"name":"concept","valueCoding":{"code":"9-9"}},{"name":"product"}]}]}"#;
        let found = of(r4).unwrap();
        let told: Vec<_> = found.iter().map(|m| (m.to_code.as_str(), m.relation, m.id.as_str())).collect();
        assert_eq!(told, [("2345-7", Relation::Exact, "lab#GLU"), ("9-9", Relation::Related, "translate#GLU")]);
        assert_eq!(found[0].to_system, "http://loinc.org");
        let r5 = r4.replace(
            "\"equivalence\",\"valueCode\":\"equivalent\"",
            "\"relationship\",\"valueCode\":\"source-is-broader-than-target\"",
        );
        assert_eq!(of(&r5).unwrap()[0].relation, Relation::Narrow);
        assert_eq!(of(&r4.replace("true", "false")).unwrap(), []);
        for wrong in ["", "[]", r#"{"resourceType":"OperationOutcome"}"#, r#"{"resourceType":"Parameters"}"#] {
            assert!(of(wrong).unwrap_err().contains("no result of $translate"), "{wrong}");
        }
        assert!(of(&r4.replace("\"equal\"", "\"same\"")).is_err());
    }
}
