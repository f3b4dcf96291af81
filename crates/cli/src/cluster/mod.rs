//! `cluster`: what state it is in, moving leaders, and which nodes hold what.

mod placement;
mod render;
mod status;

use clap::{Args, Subcommand};
use flotilla_client::{Client, NodeId, PartitionIndex, PlacementGoal, TopicName};
use placement::{AddNodeArgs, DrainArgs, RebalanceArgs, ReplaceArgs};

use crate::failure::Failure;
use crate::output::OutputFormat;
use crate::values::{parse_node, parse_partition};
use crate::{Exit, GlobalOptions, Io, Output};
use status::Status;

#[derive(Clone, Debug, Subcommand)]
pub enum ClusterCommand {
    /// Show nodes and leaders, and partitions that are not well
    Status(StatusArgs),
    /// Move the leadership of a partition to another of its replicas
    TransferLeader(TransferLeaderArgs),
    /// Give a node that joined its share of replicas and leaders
    AddNode(AddNodeArgs),
    /// Move everything away from a node, so that it can be stopped
    Drain(DrainArgs),
    /// Let others take over for good what a node held that is gone
    Replace(ReplaceArgs),
    /// Spread replicas and leaders evenly over the nodes
    Rebalance(RebalanceArgs),
}

#[derive(Args, Clone, Debug)]
pub struct StatusArgs {
    /// Log entries by which a replica may be behind its leader and still count as well
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    lag_max: u64,
    /// Exit with 1 unless all nodes are alive, all partitions have leaders and all replicas are well
    #[arg(long)]
    check: bool,
}

#[derive(Args, Clone, Debug)]
pub struct TransferLeaderArgs {
    /// Topic of the partition
    #[arg(value_parser = TopicName::parse)]
    topic: TopicName,
    /// Number of the partition
    #[arg(value_parser = parse_partition)]
    partition: PartitionIndex,
    /// The node that shall lead
    #[arg(long, value_name = "NODE", value_parser = parse_node)]
    to: NodeId,
}

pub(crate) async fn run(
    command: ClusterCommand,
    global: &GlobalOptions,
    io: &mut Io,
) -> Result<Exit, Failure> {
    let Io {
        output,
        interrupt,
        user,
        ..
    } = io;
    let work = async {
        let client = global.connect().await?;
        let (goal, change) = match command {
            ClusterCommand::Status(args) => {
                return status(args, &client, global.output, output).await;
            }
            ClusterCommand::TransferLeader(args) => {
                return transfer_leader(args, &client, global.output, output).await;
            }
            ClusterCommand::AddNode(args) => (PlacementGoal::AddNode(args.node), args.change),
            ClusterCommand::Drain(args) => match args.cancel {
                true => (PlacementGoal::CancelDrain(args.node), args.change),
                false => (PlacementGoal::DrainNode(args.node), args.change),
            },
            ClusterCommand::Replace(args) => {
                let ReplaceArgs {
                    node,
                    with,
                    force,
                    change,
                } = args;
                (PlacementGoal::ReplaceNode { node, with, force }, change)
            }
            ClusterCommand::Rebalance(args) => (PlacementGoal::Rebalance, args.change),
        };
        let people = (output, user.as_deref_mut());
        placement::change(goal, &change, &client.admin(), global.output, people).await
    };
    interrupt.unless_raised(work).await
}

async fn status(
    args: StatusArgs,
    client: &Client,
    format: OutputFormat,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let cluster = client.admin().describe_cluster().await;
    let cluster = cluster.map_err(Failure::cluster("describe the cluster"))?;
    let status = Status::of(&cluster, args.lag_max);
    render::status(&status, format, output)?;
    if args.check && !status.is_well() {
        return Err(Failure::Check {
            message: "the cluster is not well".to_owned(),
        });
    }
    Ok(Exit::Done)
}

async fn transfer_leader(
    args: TransferLeaderArgs,
    client: &Client,
    format: OutputFormat,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let TransferLeaderArgs {
        topic,
        partition,
        to,
    } = args;
    let admin = client.admin();
    let doing = format!("make node {to} the leader of {topic}/{partition}");
    let leader = admin.transfer_leader(&topic, partition, to).await;
    let leader = leader.map_err(Failure::cluster(doing))?;
    match format {
        OutputFormat::Table => output.line(format_args!(
            "node {} leads {topic}/{partition} in epoch {}",
            leader.node, leader.epoch
        ))?,
        OutputFormat::Json => output.json(&serde_json::json!({
            "topic": topic.as_str(),
            "partition": partition.get(),
            "leader": leader.node.get(),
            "leader_epoch": leader.epoch.get(),
        }))?,
    }
    Ok(Exit::Done)
}
