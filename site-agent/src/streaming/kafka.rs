//! A partition of a Kafka topic as a source of events. Its position is the offset of the next message, kept in the job's checkpoints and
//! nowhere else: the cluster's own record of what a group has read is not used.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use schema::record::Pseudonyms;
use streams::batch::EventBatch;
use streams::source::{Polled, Position, Source, SourceError};

use super::topic::Topic;

/// How long a batch is filled.
const FILL: Duration = Duration::from_millis(100);

/// A partition.
pub(super) struct Partition {
    id: String,
    topic: Topic,
    number: u16,
    pseudonyms: Pseudonyms,
    consumer: Option<BaseConsumer>,
    names: HashMap<String, u32>,
    next: i64,
    /// Whether all that there was has been read.
    at_end: bool,
}

impl Partition {
    pub(super) fn new(topic: &Topic, number: u16, pseudonyms: Pseudonyms) -> Partition {
        Partition {
            id: format!("{}/{number}", topic.name),
            topic: topic.clone(),
            number,
            pseudonyms,
            consumer: None,
            names: HashMap::new(),
            next: 0,
            at_end: false,
        }
    }

    fn failed(&self, reason: &dyn std::fmt::Display) -> SourceError {
        SourceError { source_id: self.id.clone(), reason: reason.to_string() }
    }

    fn open(&self, from: Offset) -> Result<BaseConsumer, KafkaError> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.topic.brokers)
            .set("client.id", "insitu-site-agent")
            // Needed by the client; no offset is ever kept under it.
            .set("group.id", "insitu-site-agent")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            // What was read up to a checkpoint and is gone since is an error, and no gap.
            .set("auto.offset.reset", "error");
        self.topic.properties.iter().for_each(|(name, value)| {
            config.set(name, value);
        });
        let consumer: BaseConsumer = config.create()?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic.name, i32::from(self.number), from)?;
        consumer.assign(&list)?;
        Ok(consumer)
    }

    fn take(&mut self, batch: &mut EventBatch, payload: &[u8], offset: i64) {
        self.next = offset.saturating_add(1);
        let Some(message) = self.topic.read(payload, &self.pseudonyms) else {
            batch.unreadable += 1;
            return;
        };
        batch.time.push(message.time);
        batch.key.push(message.key);
        batch.value.push(message.value);
        let next = self.names.len() as u32;
        let group = *self.names.entry(message.group).or_insert_with_key(|name| {
            batch.names.push(name.clone());
            next
        });
        batch.group.push(group);
        if let Some(id) = message.id {
            batch.id.push(id);
            // A later message of the same identity, in the same partition as Kafka has it for one key, takes the place.
            batch.rev.push(u32::try_from(offset).unwrap_or(u32::MAX));
        }
    }
}

impl Source for Partition {
    fn id(&self) -> &str {
        &self.id
    }

    fn seek(&mut self, after: Option<&Position>, names: &[String]) -> Result<(), SourceError> {
        self.names = names.iter().enumerate().map(|(i, name)| (name.clone(), i as u32)).collect();
        self.at_end = false;
        let from = match after {
            Some(position) => {
                let next = position.0.parse().map_err(|_| self.failed(&format!("'{}' is no offset", position.0)))?;
                self.next = next;
                Offset::Offset(next)
            }
            None => Offset::Beginning,
        };
        self.consumer = None;
        self.consumer = Some(self.open(from).map_err(|e| self.failed(&e))?);
        Ok(())
    }

    fn poll(&mut self, most_rows: usize) -> Result<Polled, SourceError> {
        let consumer = self.consumer.take().ok_or_else(|| self.failed(&"it was not opened"))?;
        let mut batch = EventBatch { channel: self.number, ..EventBatch::default() };
        let (begun, was, mut wrong) = (Instant::now(), self.next, None);
        while batch.len() < most_rows {
            let left = FILL.saturating_sub(begun.elapsed());
            match consumer.poll(left) {
                Some(Ok(message)) => {
                    self.at_end = false;
                    self.take(&mut batch, message.payload().unwrap_or_default(), message.offset());
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    self.at_end = true;
                    break;
                }
                // The client connects again by itself.
                Some(Err(KafkaError::MessageConsumption(
                    RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure,
                ))) => {}
                Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset))) => {
                    wrong = Some(
                        "messages that were not read yet are gone from the topic; remove the stream's folder under state/streams to begin \
                         anew with what is left, and keep messages longer"
                            .to_owned(),
                    );
                    break;
                }
                Some(Err(e)) => {
                    wrong = Some(e.to_string());
                    break;
                }
                None => break,
            }
        }
        self.consumer = Some(consumer);
        if let Some(wrong) = wrong {
            return Err(self.failed(&wrong));
        }
        if batch.is_empty() && self.next == was && self.at_end {
            return Ok(Polled::Idle);
        }
        // Without news from the cluster it is not known that there is nothing: then the batch is empty, and the source is not idle.
        batch.end = Some(Position(self.next.to_string()));
        Ok(Polled::Batch(batch))
    }
}

#[cfg(test)]
mod tests;
