//! Records with message ids over HTTP. Whoever gets no clear answer sends the same again through another
//! node, and some send again what was stored: every answer has to name the place of the first.

use std::time::Duration;

use flotilla_checker::history::{ClientKind, Offset, Place, Produce, Produced, RecordValue};
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::Value;
use tokio::task::JoinSet;

use super::Workload;
use super::field::{Field, LoadedTopic};
use super::pace::Pace;
use crate::http::{HttpCall, HttpFailure, HttpReply, call};
use crate::payload::encode;
use crate::recorder::{Pending, ProcessLog};

const PROCESSES: u32 = 2;
const TRIES_MAX: u32 = 5;
const LIMIT: Duration = Duration::from_secs(3);
/// One record in so many is sent again though it is stored.
const AGAIN_ONE_IN: u32 = 10;

pub(super) fn start(field: &Field, processes: &mut JoinSet<()>) -> anyhow::Result<()> {
    let topic = field.topic(Workload::Http.name())?;
    for _ in 0..PROCESSES {
        let log = field.process(ClientKind::Http);
        let publisher = Publisher {
            addresses: field.http_addresses().to_vec(),
            topic: topic.clone(),
            rng: field.rng(&log),
            log,
        };
        let pace = Pace::of_rate(field.rate(), (PROCESSES, 1), field.stop());
        processes.spawn(publisher.run(pace));
    }
    Ok(())
}

struct Publisher {
    addresses: Vec<String>,
    topic: LoadedTopic,
    log: ProcessLog,
    rng: StdRng,
}

impl Publisher {
    async fn run(mut self, mut pace: Pace) {
        while pace.next().await {
            let value = self.log.next_value();
            let partition = self.rng.random_range(0..self.topic.partitions);
            let first_node = self.rng.random_range(0..self.addresses.len());
            let send_again = self.rng.random_ratio(1, AGAIN_ONE_IN);
            for (attempt, node) in (0..TRIES_MAX).zip(first_node..) {
                let address = self.addresses[node % self.addresses.len()].clone();
                let is_stored = self.publish(&address, value, partition).await;
                if is_stored && !(send_again && attempt == 0) {
                    break;
                }
            }
        }
    }

    /// Whether it is known to be stored.
    async fn publish(&self, address: &str, value: RecordValue, partition: u32) -> bool {
        let id = format!("id-{value}");
        let name = self
            .topic
            .partition(flotilla_client::PartitionIndex::new(partition));
        let mut request = Produce::new(name, [value]);
        request.records[0].message_id = Some(id.clone());
        let path = format!("/publish/{}", self.topic.name);
        let (headers, body) = (
            [
                ("Idempotency-Key", id),
                ("Flotilla-Partition", partition.to_string()),
                ("Content-Type", "application/octet-stream".to_owned()),
            ],
            encode(value),
        );
        let http = HttpCall {
            method: "POST",
            path: &path,
            headers: &headers,
            body: &body,
        };
        let pending = self.log.begin(request);
        match call(address, &http, LIMIT).await {
            Ok(reply) => settle(pending, &reply),
            Err(HttpFailure::NotConnected(error)) => {
                pending.failed(&error.to_string());
                false
            }
            Err(HttpFailure::Broken(error)) => {
                pending.unknown(&error.to_string());
                false
            }
        }
    }
}

/// An answer that says neither where the record is nor that nothing happened leaves it unknown.
fn settle(pending: Pending<Produce>, reply: &HttpReply) -> bool {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    if reply.status == 200
        && let Some(offset) = body["offset"].as_u64()
    {
        let place = Place {
            offset: Offset::new(offset),
            is_duplicate: body["duplicate"].as_bool().unwrap_or_default(),
        };
        pending.ok(Produced {
            places: vec![place],
        });
        return true;
    }
    let reason = format!("{}: {}", reply.status, body["code"]);
    if body["definite"].as_bool() == Some(true) {
        pending.failed(&reason);
    } else {
        pending.unknown(&reason);
    }
    false
}

#[cfg(test)]
mod tests {
    use flotilla_checker::history::{Outcome, TopicPartition};

    use super::*;
    use crate::recorder::Recorder;

    fn outcome_of(status: u16, body: &str) -> Outcome<()> {
        let recorder = Recorder::new();
        let mut log = recorder.process(ClientKind::Http);
        let value = log.next_value();
        let request = Produce::new(TopicPartition::new("http", 0), [value]);
        let reply = HttpReply {
            status,
            body: body.as_bytes().to_vec(),
        };
        settle(log.begin(request), &reply);
        let history = recorder.history();
        history.operations()[0].action.outcome().unwrap()
    }

    #[test]
    fn an_answer_that_is_not_clear_leaves_the_record_unknown() {
        assert!(
            outcome_of(200, r#"{"offset":3,"duplicate":true}"#)
                .ok()
                .is_some()
        );
        assert!(outcome_of(503, r#"{"definite":true}"#).is_failed());
        assert!(outcome_of(503, r#"{"definite":false}"#).is_unknown());
        assert!(outcome_of(400, "not JSON").is_unknown());
        assert!(outcome_of(200, "{}").is_unknown());
    }
}
