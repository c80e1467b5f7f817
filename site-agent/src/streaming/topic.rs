//! `topic = { … }` of a job: messages of a Kafka topic as its events, one JSON object each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "kafka"))]
mod message;

/// A topic, and where a message says what.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Topic {
    /// Servers of the cluster, `host:port`, with commas.
    pub brokers: String,
    /// The topic's name.
    pub name: String,
    /// How many partitions it has. Each has a watermark of its own.
    #[serde(default = "one")]
    pub partitions: u16,
    /// Where a message has the event's time, as a JSON pointer such as `/effective`: RFC 3339, or milliseconds since 1970.
    pub time: String,
    /// Where it has the patient's number; it becomes a pseudonym at once.
    pub patient: String,
    /// Where it has the group, such as a code or a ward; without it all are one group.
    #[serde(default)]
    pub group: Option<String>,
    /// Where it has a number. Messages without one are left out.
    #[serde(default)]
    pub value: Option<String>,
    /// Where it has its own identity: a message that comes again counts once, and a later one of the same identity takes its place.
    #[serde(default)]
    pub id: Option<String>,
    /// What more the client is told, by librdkafka's names, such as `"security.protocol" = "ssl"`.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
}

fn one() -> u16 {
    1
}

impl Topic {
    /// What is wrong with it, and what would be right.
    pub(super) fn objection(&self) -> Option<String> {
        if !cfg!(feature = "kafka") {
            return Some("`topic`: this agent was built without Kafka; build it with --features kafka".to_owned());
        }
        let pointers =
            [Some(&self.time), Some(&self.patient), self.group.as_ref(), self.value.as_ref(), self.id.as_ref()];
        if let Some(wrong) = pointers.into_iter().flatten().find(|p| !p.starts_with('/')) {
            return Some(format!("`topic`: '{wrong}' is no JSON pointer; write it like /patient/id"));
        }
        // What the positions rest on is not to be changed.
        let own =
            ["group.id", "enable.auto.commit", "enable.auto.offset.store", "auto.offset.reset", "enable.partition.eof"];
        if let Some(own) = own.iter().find(|own| self.properties.contains_key(**own)) {
            return Some(format!("`topic`: {own} is the agent's own; leave it out"));
        }
        let wrong = [
            (self.brokers.is_empty() || self.name.is_empty(), "`topic` needs `brokers` and `name`"),
            (!(1..=1024).contains(&self.partitions), "`topic`: `partitions` must be 1 to 1024"),
        ];
        wrong.into_iter().find_map(|(is, says)| is.then(|| says.to_owned()))
    }

    /// What its rows are, for state that must not be taken over by others.
    pub(super) fn made_of(&self) -> String {
        let part = |p: &Option<String>| p.clone().unwrap_or_default();
        let (group, value, id) = (part(&self.group), part(&self.value), part(&self.id));
        format!("topic {} {} {} {group} {value} {id} of {}", self.name, self.time, self.patient, self.partitions)
    }
}
