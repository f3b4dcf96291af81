//! The cluster's status as tables and as JSON.

use flotilla_client::{NodeDescription, NodeHoldings, NodeId, PartitionDescription};
use serde::Serialize;

use super::placement::{MoveJson, move_json};
use super::status::{Behind, NodeLoad, Status, UnderReplicated};
use crate::Output;
use crate::failure::Failure;
use crate::output::{OutputFormat, Table};

#[derive(Serialize)]
struct StatusJson<'a> {
    cluster_id: String,
    answered_by: u64,
    is_well: bool,
    metadata_leader: Option<u64>,
    nodes: Vec<NodeJson<'a>>,
    partitions: Vec<PartitionJson<'a>>,
    partitions_without_leader: Vec<PartitionNameJson<'a>>,
    under_replicated: Vec<UnderReplicatedJson<'a>>,
    moves: Vec<MoveJson>,
    removed_nodes: Vec<u64>,
}

#[derive(Serialize)]
struct NodeJson<'a> {
    id: u64,
    alive: bool,
    address: &'a str,
    leaders: usize,
    replicas: usize,
    duty: &'static str,
    drained: bool,
    replicas_leaving: u32,
    replicas_arriving: u32,
}

#[derive(Serialize)]
struct PartitionNameJson<'a> {
    topic: &'a str,
    partition: u32,
}

#[derive(Serialize)]
struct PartitionJson<'a> {
    topic: &'a str,
    partition: u32,
    leader: Option<u64>,
    leader_epoch: Option<u64>,
    log_start: Option<u64>,
    high_watermark: Option<u64>,
    stored_bytes: Option<u64>,
    replicas: Vec<ReplicaJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    moving_to: Vec<u64>,
}

#[derive(Serialize)]
struct UnderReplicatedJson<'a> {
    topic: &'a str,
    partition: u32,
    behind: Vec<ReplicaJson>,
}

#[derive(Serialize)]
struct ReplicaJson {
    node: u64,
    lag_entries: Option<u64>,
}

pub(super) fn status(
    status: &Status<'_>,
    format: OutputFormat,
    output: &mut Output,
) -> Result<(), Failure> {
    match format {
        OutputFormat::Table => write_tables(status, output),
        OutputFormat::Json => output.json(&status_json(status)),
    }
}

fn write_tables(status: &Status<'_>, output: &mut Output) -> Result<(), Failure> {
    let cluster = status.cluster;
    output.line(format_args!(
        "cluster {}: {} partitions, {} without a leader, {} under-replicated",
        cluster.cluster_id,
        cluster.partitions.len(),
        status.leaderless.len(),
        status.under_replicated.len()
    ))?;
    match cluster.metadata_leader {
        Some(leader) => output.line(format_args!("node {} leads the metadata", leader.node))?,
        None => output.line("the metadata has no leader")?,
    }
    if !cluster.moves.is_empty() {
        output.line(format_args!(
            "{} partitions and coordinators are moving",
            cluster.moves.len()
        ))?;
    }
    if !cluster.removed_nodes.is_empty() {
        let removed: Vec<_> = cluster
            .removed_nodes
            .iter()
            .map(NodeId::to_string)
            .collect();
        output.line(format_args!(
            "removed for good: node {}",
            removed.join(", ")
        ))?;
    }
    let mut nodes = Table::new([
        "NODE", "ALIVE", "DUTY", "LEADERS", "REPLICAS", "MOVING", "ADDRESS",
    ]);
    for (node, load) in cluster.nodes.iter().zip(&status.nodes) {
        nodes.row([
            node.id.to_string(),
            if node.alive { "yes" } else { "no" }.to_owned(),
            match node.is_drained {
                true => "drained".to_owned(),
                false => node.duty.as_str().to_owned(),
            },
            load.leaders.to_string(),
            load.replicas.to_string(),
            describe_moving(&node.holdings),
            node.addresses.client.clone(),
        ]);
    }
    output.line(nodes)?;
    let mut troubled = Table::new(["PARTITION", "LEADER", "REPLICAS BEHIND"]);
    for partition in &status.leaderless {
        let name = format!("{}/{}", partition.topic, partition.index);
        troubled.row([name, "none".to_owned(), "-".to_owned()]);
    }
    for UnderReplicated { partition, behind } in &status.under_replicated {
        let name = format!("{}/{}", partition.topic, partition.index);
        let leader = partition.leader.map(|leader| leader.node.to_string());
        let behind: Vec<_> = behind.iter().map(describe_behind).collect();
        troubled.row([name, leader.unwrap_or_default(), behind.join(", ")]);
    }
    if troubled.is_empty() {
        return Ok(());
    }
    output.line("")?;
    output.line(troubled)
}

/// What arrives and what leaves, coordinators included.
fn describe_moving(holdings: &NodeHoldings) -> String {
    match (holdings.arriving, holdings.leaving) {
        (0, 0) => "-".to_owned(),
        (arriving, 0) => format!("+{arriving}"),
        (0, leaving) => format!("-{leaving}"),
        (arriving, leaving) => format!("+{arriving} -{leaving}"),
    }
}

fn describe_behind(behind: &Behind) -> String {
    match behind.lag_entries {
        _ if !behind.is_alive => format!("node {} is down", behind.node),
        Some(lag) => format!("node {} by {lag} entries", behind.node),
        None => format!("node {} by an unknown number of entries", behind.node),
    }
}

fn status_json<'a>(status: &Status<'a>) -> StatusJson<'a> {
    let cluster = status.cluster;
    let nodes = cluster.nodes.iter().zip(&status.nodes);
    let leaderless = status.leaderless.iter();
    let under_replicated = status.under_replicated.iter();
    StatusJson {
        cluster_id: cluster.cluster_id.to_string(),
        answered_by: cluster.answered_by.get(),
        is_well: status.is_well(),
        metadata_leader: cluster.metadata_leader.map(|leader| leader.node.get()),
        nodes: nodes.map(|(node, load)| node_json(node, load)).collect(),
        partitions: cluster.partitions.iter().map(partition_json).collect(),
        partitions_without_leader: leaderless
            .map(|partition| PartitionNameJson {
                topic: partition.topic.as_str(),
                partition: partition.index.get(),
            })
            .collect(),
        under_replicated: under_replicated.map(under_replicated_json).collect(),
        moves: cluster.moves.iter().map(move_json).collect(),
        removed_nodes: cluster
            .removed_nodes
            .iter()
            .map(|node| node.get())
            .collect(),
    }
}

fn node_json<'a>(node: &'a NodeDescription, load: &NodeLoad) -> NodeJson<'a> {
    NodeJson {
        id: node.id.get(),
        alive: node.alive,
        address: &node.addresses.client,
        leaders: load.leaders,
        replicas: load.replicas,
        duty: node.duty.as_str(),
        drained: node.is_drained,
        replicas_leaving: node.holdings.leaving,
        replicas_arriving: node.holdings.arriving,
    }
}

fn partition_json(partition: &PartitionDescription) -> PartitionJson<'_> {
    let replicas = partition.replicas.iter();
    PartitionJson {
        topic: partition.topic.as_str(),
        partition: partition.index.get(),
        leader: partition.leader.map(|leader| leader.node.get()),
        leader_epoch: partition.leader.map(|leader| leader.epoch.get()),
        log_start: partition.log_start.map(|offset| offset.get()),
        high_watermark: partition.high_watermark.map(|offset| offset.get()),
        stored_bytes: partition.stored_bytes,
        replicas: replicas
            .map(|replica| ReplicaJson {
                node: replica.node.get(),
                lag_entries: replica.lag_entries,
            })
            .collect(),
        moving_to: partition.moving_to.iter().map(|node| node.get()).collect(),
    }
}

fn under_replicated_json<'a>(troubled: &UnderReplicated<'a>) -> UnderReplicatedJson<'a> {
    let behind = troubled.behind.iter();
    UnderReplicatedJson {
        topic: troubled.partition.topic.as_str(),
        partition: troubled.partition.index.get(),
        behind: behind
            .map(|behind| ReplicaJson {
                node: behind.node.get(),
                lag_entries: behind.lag_entries,
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::status::tests::cluster;
    use super::*;
    use crate::output::Captured;

    #[test]
    fn what_is_not_well_is_listed_below_the_nodes() {
        let mut cluster = cluster(
            &[3],
            &[(Some(1), [Some(0), Some(11), Some(5)]), (None, [None; 3])],
        );
        cluster.nodes[1].holdings.arriving = 3;
        cluster.nodes[2].is_drained = true;
        let (mut output, captured) = Captured::new();
        status(&Status::of(&cluster, 10), OutputFormat::Table, &mut output).unwrap();
        assert_eq!(
            captured.data(),
            "cluster 07070707070707070707070707070707: 2 partitions, 1 without a leader, \
             1 under-replicated\n\
             node 1 leads the metadata\n\
             NODE  ALIVE  DUTY     LEADERS  REPLICAS  MOVING  ADDRESS\n\
             \x20  1  yes    active         1         2  -       127.0.0.1:7410\n\
             \x20  2  yes    active         0         2  +3      127.0.0.1:7420\n\
             \x20  3  no     drained        0         2  -       127.0.0.1:7430\n\
             \n\
             PARTITION  LEADER  REPLICAS BEHIND\n\
             orders/1   none    -\n\
             orders/0   1       node 2 by 11 entries, node 3 is down\n"
        );
    }

    #[test]
    fn json_says_what_is_unknown_with_null() {
        let cluster = cluster(&[], &[(None, [None; 3])]);
        let (mut output, captured) = Captured::new();
        status(&Status::of(&cluster, 10), OutputFormat::Json, &mut output).unwrap();
        let told: serde_json::Value = serde_json::from_str(&captured.data()).unwrap();
        assert_eq!(told["is_well"], false);
        assert_eq!(told["partitions"][0]["leader"], serde_json::Value::Null);
        assert_eq!(told["partitions_without_leader"][0]["topic"], "orders");
    }
}
