//! FHIR: the types of a file's resources, and what they say.

use serde_json::{Map, Value};

use super::contents::Contents;

/// Times that are no event's: when the server wrote something down, and births.
const NO_EVENTS: [&str; 4] = ["meta", "birthDate", "text", "extension"];
/// The deepest that is looked into.
const DEEPEST: usize = 24;

/// Takes in a resource, and gives its type; `None` where it has none.
pub(super) fn take(resource: &Value, into: &mut Contents) -> Option<String> {
    let object = resource.as_object()?;
    let kind = object.get("resourceType")?.as_str()?.to_owned();
    let is_name = |name: &str| name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let fields = object.keys().filter(|key| key.as_str() != "resourceType" && is_name(key.as_str())).cloned();
    into.item(if is_name(&kind) { &kind } else { "other" }, fields);
    look(object, into, 0);
    if kind == "Patient" {
        for identifier in object.get("identifier").and_then(Value::as_array).into_iter().flatten() {
            into.authority(text(identifier.as_object(), "system").unwrap_or_default());
        }
    }
    Some(kind)
}

fn text<'v>(object: Option<&'v Map<String, Value>>, key: &str) -> Option<&'v str> {
    object?.get(key)?.as_str()
}

fn look(object: &Map<String, Value>, into: &mut Contents, depth: usize) {
    if depth > DEEPEST {
        return;
    }
    let of = |key: &str| text(Some(object), key);
    if object.get("value").is_some_and(Value::is_number) {
        into.unit(of("code").or(of("unit")).unwrap_or_default());
    } else if let (Some(system), Some(_)) = (of("system"), of("code")) {
        into.system(system);
    }
    for (key, value) in object.iter().filter(|(key, _)| !NO_EVENTS.contains(&key.as_str())) {
        inner(key, value, into, depth);
    }
}

fn inner(key: &str, value: &Value, into: &mut Contents, depth: usize) {
    match value {
        Value::Object(object) => look(object, into, depth + 1),
        Value::Array(list) => list.iter().for_each(|v| inner(key, v, into, depth + 1)),
        // A date is written with its dashes; a number of a patient may be eight digits.
        Value::String(text) if text.get(4..5) == Some("-") && text.get(7..8) == Some("-") && key != "value" => {
            into.date(text);
        }
        _ => {}
    }
}
