//! What a message says.

use chrono::DateTime;
use schema::record::Pseudonyms;
use serde_json::Value;

use super::Topic;
use crate::streaming::source::FIXED;

/// An event of a message.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::streaming) struct Message {
    pub(in crate::streaming) time: i64,
    pub(in crate::streaming) key: u128,
    pub(in crate::streaming) group: String,
    pub(in crate::streaming) value: i64,
    pub(in crate::streaming) id: Option<u128>,
}

impl Topic {
    /// Reads a message; `None` where it is no such object.
    pub(in crate::streaming) fn read(&self, bytes: &[u8], pseudonyms: &Pseudonyms) -> Option<Message> {
        let all: Value = serde_json::from_slice(bytes).ok()?;
        let text = |at: &str| match all.pointer(at)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let time = match all.pointer(&self.time)? {
            Value::String(text) => DateTime::parse_from_rfc3339(text).ok()?.timestamp_micros(),
            Value::Number(number) => number.as_i64()?.checked_mul(1000)?,
            _ => return None,
        };
        let value = match &self.value {
            Some(at) => Some(all.pointer(at)?.as_f64()? * FIXED).filter(|v| v.abs() < 9e18)?.round() as i64,
            None => 0,
        };
        let key = |kind: &str, text: &str| u128::from_be_bytes(pseudonyms.key(&[kind, &self.name, text]));
        let patient = text(&self.patient).filter(|p| !p.is_empty())?;
        let id = match &self.id {
            Some(at) => Some(key("topic-row", &text(at)?)),
            None => None,
        };
        let group = self.group.as_ref().and_then(|at| text(at)).unwrap_or_default();
        Some(Message { time, key: key("topic-patient", &patient), group, value, id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic() -> Topic {
        toml::from_str(
            "brokers = \"b:9092\"\nname = \"lab\"\ntime = \"/t\"\npatient = \"/p/id\"\ngroup = \"/code\"\nvalue = \"/v\"\nid = \"/id\"\n",
        )
        .unwrap()
    }

    #[test]
    fn a_message_is_read_by_its_pointers_and_the_patient_is_a_pseudonym() {
        let (topic, keys) = (topic(), Pseudonyms::new(&[7; 32]));
        let text = r#"{"t":"2027-02-03T10:00:00+01:00","p":{"id":4711},"code":"GLU","v":5.25,"id":"a"}"#;
        let read = |text: &str| topic.read(text.as_bytes(), &keys);
        let message = read(text).unwrap();
        assert_eq!((message.time, message.value, message.group.as_str()), (1_801_645_200_000_000, 5_250_000, "GLU"));
        assert!(message.key != 4711 && message.id.is_some());
        let again = read(&text.replace("\"2027-02-03T10:00:00+01:00\"", "1801645200000")).unwrap();
        assert_eq!(again, message);
        assert_ne!(read(&text.replace("4711", "4712")).unwrap().key, message.key);
        for (from, to) in
            [("5.25", "\"high\""), ("\"p\":", "\"q\":"), ("2027-02", "2027-20"), ("{\"t", "[{\"t"), ("\"a\"", "null")]
        {
            assert_eq!(read(&text.replacen(from, to, 1)), None, "{to}");
        }
    }
}
