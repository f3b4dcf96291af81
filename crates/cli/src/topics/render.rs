//! Topics as tables and as JSON.

use std::collections::BTreeMap;

use flotilla_client::{
    NodeId, Offset, PartitionDescription, PartitionIndex, TopicDescription, TopicName,
    TopicPartition, TopicSummary,
};
use serde::Serialize;

use crate::Output;
use crate::failure::Failure;
use crate::output::{OutputFormat, Table, or_dash};

#[derive(Serialize)]
struct SummaryJson<'a> {
    name: &'a str,
    id: u64,
    partitions: u32,
    replication_factor: u32,
}

#[derive(Serialize)]
struct TopicJson<'a> {
    name: &'a str,
    id: u64,
    replication_factor: u32,
    config: &'a BTreeMap<String, String>,
    partitions: Vec<PartitionJson>,
}

#[derive(Serialize)]
struct PartitionJson {
    index: u32,
    leader: Option<u64>,
    leader_epoch: Option<u64>,
    replicas: Vec<u64>,
    #[serde(flatten)]
    log: Option<LogJson>,
}

/// Absent where nobody has asked.
#[derive(Serialize)]
struct LogJson {
    log_start: Option<u64>,
    high_watermark: Option<u64>,
    stored_bytes: Option<u64>,
}

/// What the leaders say of the logs, for those that asked them.
pub(super) type Logs<'a> = Option<&'a [PartitionDescription]>;

pub(super) fn summaries(
    topics: &[TopicSummary],
    format: OutputFormat,
    output: &mut Output,
) -> Result<(), Failure> {
    match format {
        OutputFormat::Table => {
            let mut table = Table::new(["TOPIC", "PARTITIONS", "REPLICATION", "ID"]);
            for topic in topics {
                table.row([
                    topic.name.to_string(),
                    topic.partitions.to_string(),
                    topic.replication_factor.to_string(),
                    topic.id.to_string(),
                ]);
            }
            output.line(table)
        }
        OutputFormat::Json => {
            let topics: Vec<_> = topics.iter().map(summary_json).collect();
            output.json(&serde_json::json!({ "topics": topics }))
        }
    }
}

pub(super) fn topics(
    topics: &[TopicDescription],
    logs: Logs<'_>,
    format: OutputFormat,
    output: &mut Output,
) -> Result<(), Failure> {
    match format {
        OutputFormat::Table => {
            for (position, topic) in topics.iter().enumerate() {
                if position > 0 {
                    output.line("")?;
                }
                describe(topic, logs, output)?;
            }
            Ok(())
        }
        OutputFormat::Json => {
            let topics = topics.iter().map(|topic| topic_json(topic, logs));
            let topics: Vec<_> = topics.collect();
            output.json(&serde_json::json!({ "topics": topics }))
        }
    }
}

/// Where the logs of a topic begin now.
pub(super) fn log_starts(
    topic: &TopicName,
    log_starts: &[(PartitionIndex, Offset)],
    format: OutputFormat,
    output: &mut Output,
) -> Result<(), Failure> {
    match format {
        OutputFormat::Table => {
            let mut table = Table::new(["PARTITION", "LOG START"]);
            for (partition, log_start) in log_starts {
                table.row([partition.to_string(), log_start.to_string()]);
            }
            output.line(table)
        }
        OutputFormat::Json => {
            let partitions = log_starts.iter().map(|(partition, log_start)| {
                serde_json::json!({ "partition": partition.get(), "log_start": log_start.get() })
            });
            let partitions: Vec<_> = partitions.collect();
            output.json(&serde_json::json!({ "topic": topic.as_str(), "partitions": partitions }))
        }
    }
}

fn describe(topic: &TopicDescription, logs: Logs<'_>, output: &mut Output) -> Result<(), Failure> {
    output.line(format_args!(
        "topic {} (id {}): {} partitions, replication factor {}",
        topic.name,
        topic.id,
        topic.partitions.len(),
        topic.replication_factor
    ))?;
    for (key, value) in &topic.config {
        output.line(format_args!("  {key}={value}"))?;
    }
    let Some(logs) = logs else {
        let mut table = Table::new(["PARTITION", "LEADER", "EPOCH", "REPLICAS"]);
        for partition in &topic.partitions {
            table.row(placement(partition));
        }
        return output.line(table);
    };
    let mut table = Table::new([
        "PARTITION",
        "LEADER",
        "EPOCH",
        "REPLICAS",
        "LOG START",
        "HIGH WATERMARK",
        "STORED BYTES",
    ]);
    for partition in &topic.partitions {
        let log = log_of(topic, partition, logs);
        let offset = |of: fn(&PartitionDescription) -> Option<Offset>| {
            or_dash(log.and_then(of).map(Offset::get))
        };
        let [index, leader, epoch, replicas] = placement(partition);
        table.row([
            index,
            leader,
            epoch,
            replicas,
            offset(|log| log.log_start),
            offset(|log| log.high_watermark),
            or_dash(log.and_then(|log| log.stored_bytes)),
        ]);
    }
    output.line(table)
}

fn placement(partition: &TopicPartition) -> [String; 4] {
    let leader = partition.leader;
    [
        partition.index.to_string(),
        or_dash(leader.map(|leader| leader.node.get())),
        or_dash(leader.map(|leader| leader.epoch.get())),
        join_nodes(&partition.replicas),
    ]
}

fn log_of<'a>(
    topic: &TopicDescription,
    partition: &TopicPartition,
    logs: &'a [PartitionDescription],
) -> Option<&'a PartitionDescription> {
    let mut logs = logs.iter();
    logs.find(|log| log.topic == topic.name && log.index == partition.index)
}

fn join_nodes(nodes: &[NodeId]) -> String {
    let nodes: Vec<_> = nodes.iter().map(NodeId::to_string).collect();
    nodes.join(",")
}

fn summary_json(topic: &TopicSummary) -> SummaryJson<'_> {
    SummaryJson {
        name: topic.name.as_str(),
        id: topic.id.get(),
        partitions: topic.partitions,
        replication_factor: topic.replication_factor,
    }
}

fn topic_json<'a>(topic: &'a TopicDescription, logs: Logs<'_>) -> TopicJson<'a> {
    let partitions = topic.partitions.iter();
    TopicJson {
        name: topic.name.as_str(),
        id: topic.id.get(),
        replication_factor: topic.replication_factor,
        config: &topic.config,
        partitions: partitions
            .map(|partition| partition_json(topic, partition, logs))
            .collect(),
    }
}

fn partition_json(
    topic: &TopicDescription,
    partition: &TopicPartition,
    logs: Logs<'_>,
) -> PartitionJson {
    let log = logs.map(|logs| {
        let log = log_of(topic, partition, logs);
        LogJson {
            log_start: log.and_then(|log| log.log_start).map(Offset::get),
            high_watermark: log.and_then(|log| log.high_watermark).map(Offset::get),
            stored_bytes: log.and_then(|log| log.stored_bytes),
        }
    });
    PartitionJson {
        index: partition.index.get(),
        leader: partition.leader.map(|leader| leader.node.get()),
        leader_epoch: partition.leader.map(|leader| leader.epoch.get()),
        replicas: partition.replicas.iter().map(|node| node.get()).collect(),
        log,
    }
}

#[cfg(test)]
mod tests {
    use flotilla_client::{PartitionIndex, PartitionLeader, TopicName};
    use flotilla_types::{LeaderEpoch, TopicId};

    use super::*;
    use crate::output::Captured;

    fn orders() -> TopicDescription {
        let leader = PartitionLeader {
            node: NodeId::new(2),
            epoch: LeaderEpoch::new(17),
        };
        let partition = |index, leader| TopicPartition {
            index: PartitionIndex::new(index),
            leader,
            replicas: [2, 3].map(NodeId::new).to_vec(),
        };
        TopicDescription {
            id: TopicId::new(9),
            name: TopicName::parse("orders").unwrap(),
            replication_factor: 2,
            config: BTreeMap::from([("retention_ms".to_owned(), "-1".to_owned())]),
            partitions: vec![partition(0, Some(leader)), partition(1, None)],
        }
    }

    #[test]
    fn a_topic_shows_configuration_leaders_and_replicas() {
        let (mut output, captured) = Captured::new();
        topics(&[orders()], None, OutputFormat::Table, &mut output).unwrap();
        assert_eq!(
            captured.data(),
            "topic orders (id 9): 2 partitions, replication factor 2\n\
             \x20 retention_ms=-1\n\
             PARTITION  LEADER  EPOCH  REPLICAS\n\
             \x20       0       2     17  2,3\n\
             \x20       1       -      -  2,3\n"
        );
    }

    #[test]
    fn a_partition_without_a_leader_is_null_in_json() {
        let (mut output, captured) = Captured::new();
        topics(&[orders()], None, OutputFormat::Json, &mut output).unwrap();
        let told: serde_json::Value = serde_json::from_str(&captured.data()).unwrap();
        let partitions = &told["topics"][0]["partitions"];
        assert_eq!(partitions[0]["leader"], 2);
        assert_eq!(partitions[1]["leader"], serde_json::Value::Null);
        assert_eq!(partitions[1]["replicas"], serde_json::json!([2, 3]));
    }

    #[test]
    fn logs_are_shown_where_their_leaders_were_asked() {
        let log = PartitionDescription {
            topic: TopicName::parse("orders").unwrap(),
            index: PartitionIndex::new(0),
            raft_group: flotilla_types::RaftGroupId::new(4),
            leader: None,
            log_start: Some(Offset::new(10)),
            high_watermark: Some(Offset::new(70)),
            stored_bytes: Some(5_000),
            replicas: Vec::new(),
            moving_to: Vec::new(),
        };
        let (mut output, captured) = Captured::new();
        let logs = Some(std::slice::from_ref(&log));
        topics(&[orders()], logs, OutputFormat::Table, &mut output).unwrap();
        let told = captured.data();
        let lines: Vec<Vec<_>> = told
            .lines()
            .skip(3)
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines[0], ["0", "2", "17", "2,3", "10", "70", "5000"]);
        assert_eq!(lines[1], ["1", "-", "-", "2,3", "-", "-", "-"]);
    }
}
