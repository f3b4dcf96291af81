//! `cluster add-node`, `drain`, `replace` and `rebalance`: which nodes hold what.
//!
//! What is shown before a change is the cluster's own answer to a dry run, and the change is made only
//! if the placement is still the one that was looked at. From then on the cluster goes on by itself.

use std::time::Duration;

use clap::Args;
use flotilla_client::{
    Admin, ClusterDescription, MoveSubject, NodeId, PlacementChange, PlacementGoal, PlacementMove,
    PlacementOptions,
};
use serde::Serialize;
use tokio::time::sleep;

use crate::failure::Failure;
use crate::output::{OutputFormat, Table};
use crate::prompt::{Ask, Prompt};
use crate::values::parse_node;
use crate::{Exit, Output};

/// Between two looks at what still moves.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Args, Clone, Debug)]
pub struct AddNodeArgs {
    /// The node, which was started with --join
    #[arg(value_name = "NODE", value_parser = parse_node)]
    pub(super) node: NodeId,
    #[command(flatten)]
    pub(super) change: ChangeArgs,
}

#[derive(Args, Clone, Debug)]
pub struct DrainArgs {
    /// The node
    #[arg(value_name = "NODE", value_parser = parse_node)]
    pub(super) node: NodeId,
    /// Let the node take its share again
    #[arg(long)]
    pub(super) cancel: bool,
    #[command(flatten)]
    pub(super) change: ChangeArgs,
}

#[derive(Args, Clone, Debug)]
pub struct ReplaceArgs {
    /// The node that is gone
    #[arg(value_name = "NODE", value_parser = parse_node)]
    pub(super) node: NodeId,
    /// The node that takes its place; otherwise those share it that hold the least
    #[arg(long, value_name = "NODE", value_parser = parse_node)]
    pub(super) with: Option<NodeId>,
    /// Replace the node although it is up
    #[arg(long)]
    pub(super) force: bool,
    #[command(flatten)]
    pub(super) change: ChangeArgs,
}

#[derive(Args, Clone, Debug)]
pub struct RebalanceArgs {
    #[command(flatten)]
    pub(super) change: ChangeArgs,
}

#[derive(Args, Clone, Debug)]
pub(super) struct ChangeArgs {
    /// Only show what would change
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    /// Do not ask before anything changes
    #[arg(long, short)]
    yes: bool,
    /// Wait until nothing in the cluster moves any more
    #[arg(long)]
    wait: bool,
}

#[derive(Serialize)]
struct ChangeJson {
    applied: bool,
    placement_version: u64,
    duties: Vec<DutyJson>,
    moves: Vec<MoveJson>,
}

#[derive(Serialize)]
struct DutyJson {
    node: u64,
    before: &'static str,
    after: &'static str,
}

#[derive(Serialize)]
pub(super) struct MoveJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    coordinator: Option<u32>,
    raft_group: u32,
    from: Vec<u64>,
    to: Vec<u64>,
}

/// Shows the plan, asks, changes, and waits if that is wanted.
pub(super) async fn change(
    goal: PlacementGoal,
    args: &ChangeArgs,
    admin: &Admin,
    format: OutputFormat,
    (output, user): (&mut Output, Option<&mut (dyn Ask + 'static)>),
) -> Result<Exit, Failure> {
    let look = PlacementOptions {
        dry_run: true,
        ..PlacementOptions::default()
    };
    let plan = ask_cluster(goal, look, admin).await?;
    let changes_nothing = plan.duties.is_empty() && plan.moves.is_empty();
    if args.dry_run || changes_nothing {
        show(&plan, !args.dry_run, format, output)?;
    } else {
        if format == OutputFormat::Table {
            print_plan(&plan, output)?;
            // The plan comes before the question.
            output.flush()?;
        }
        if !args.yes && !is_confirmed(goal, &plan, format, (&mut *output, user)).await? {
            output.note("nothing was changed");
            return Ok(Exit::Failed);
        }
        let change = PlacementOptions {
            dry_run: false,
            if_placement_version: Some(plan.placement_version),
        };
        let changed = ask_cluster(goal, change, admin).await?;
        match format {
            OutputFormat::Table => output.line("the cluster does so from now on")?,
            OutputFormat::Json => output.json(&to_json(&changed, true))?,
        }
    }
    if args.wait {
        output.flush()?;
        wait_until_settled(admin, output).await?;
    } else if !args.dry_run && !changes_nothing {
        output.note("`cluster status` shows what still moves; --wait waits for it");
    }
    Ok(Exit::Done)
}

async fn ask_cluster(
    goal: PlacementGoal,
    options: PlacementOptions,
    admin: &Admin,
) -> Result<PlacementChange, Failure> {
    let doing = match goal {
        PlacementGoal::AddNode(node) => format!("add node {node}"),
        PlacementGoal::DrainNode(node) => format!("drain node {node}"),
        PlacementGoal::CancelDrain(node) => format!("cancel the drain of node {node}"),
        PlacementGoal::ReplaceNode { node, .. } => format!("replace node {node}"),
        PlacementGoal::Rebalance => "spread replicas and leaders evenly".to_owned(),
    };
    let changed = admin.change_placement(goal, options).await;
    changed.map_err(Failure::cluster(doing))
}

async fn is_confirmed(
    goal: PlacementGoal,
    plan: &PlacementChange,
    format: OutputFormat,
    (output, user): (&mut Output, Option<&mut (dyn Ask + 'static)>),
) -> Result<bool, Failure> {
    let mut prompt = Prompt::new(user, output);
    if !prompt.has_user() {
        if format == OutputFormat::Json {
            output.json(&to_json(plan, false))?;
            output.flush()?;
        }
        let message = "nothing was changed: --yes changes it without asking";
        return Err(Failure::usage(message));
    }
    let question = match goal {
        PlacementGoal::ReplaceNode { node, .. } => {
            format!("Remove node {node} for good, and never use its id again (y/n)")
        }
        _ => "Change the placement like this (y/n)".to_owned(),
    };
    prompt.confirm(&question).await
}

/// Until the user has enough of it: what moves goes on without being watched.
async fn wait_until_settled(admin: &Admin, output: &mut Output) -> Result<(), Failure> {
    let shows_progress = output.can_show_progress(false);
    let mut is_first = true;
    loop {
        let cluster = admin.describe_cluster().await;
        let cluster = cluster.map_err(Failure::cluster("look at what still moves"))?;
        if cluster.moves.is_empty() {
            output.note("nothing moves any more");
            return Ok(());
        }
        let progress = describe_progress(&cluster);
        if shows_progress {
            output.progress(progress);
        } else if std::mem::take(&mut is_first) {
            output.note(progress);
        }
        sleep(LOOK_INTERVAL).await;
    }
}

fn describe_progress(cluster: &ClusterDescription) -> String {
    let partitions = cluster.partitions.iter();
    let arriving = partitions.flat_map(|partition| {
        let replicas = partition.replicas.iter();
        replicas.filter(|replica| {
            partition.moving_to.contains(&replica.node) && replica.is_voter != Some(true)
        })
    });
    let lags: Vec<_> = arriving.map(|replica| replica.lag_entries).collect();
    let behind: u64 = lags.iter().flatten().sum();
    format!(
        "{} moves left; {} replicas get what they lack, {behind} log entries together",
        cluster.moves.len(),
        lags.len()
    )
}

fn show(
    plan: &PlacementChange,
    is_applied: bool,
    format: OutputFormat,
    output: &mut Output,
) -> Result<(), Failure> {
    match format {
        OutputFormat::Table => print_plan(plan, output),
        OutputFormat::Json => output.json(&to_json(plan, is_applied)),
    }
}

fn print_plan(plan: &PlacementChange, output: &mut Output) -> Result<(), Failure> {
    if plan.duties.is_empty() && plan.moves.is_empty() {
        return output.line("nothing to change");
    }
    for change in &plan.duties {
        output.line(format_args!(
            "node {} is {} and becomes {}",
            change.node,
            change.before.as_str(),
            change.after.as_str()
        ))?;
    }
    let copies: usize = plan.moves.iter().map(|one| one.added().count()).sum();
    output.line(format_args!(
        "{} partitions and coordinators change, {copies} replicas are copied",
        plan.moves.len()
    ))?;
    let mut table = Table::new(["WHAT", "FROM", "TO"]);
    for one in &plan.moves {
        table.row([subject(one), join(&one.from), join(&one.to)]);
    }
    match table.is_empty() {
        true => Ok(()),
        false => output.line(table),
    }
}

fn subject(one: &PlacementMove) -> String {
    match &one.subject {
        MoveSubject::Partition(topic, index) => format!("{topic}/{index}"),
        MoveSubject::Coordinator(number) => format!("coordinator {number}"),
    }
}

fn join(nodes: &[NodeId]) -> String {
    let nodes: Vec<_> = nodes.iter().map(NodeId::to_string).collect();
    nodes.join(", ")
}

fn to_json(change: &PlacementChange, applied: bool) -> ChangeJson {
    let duties = change.duties.iter().map(|change| DutyJson {
        node: change.node.get(),
        before: change.before.as_str(),
        after: change.after.as_str(),
    });
    ChangeJson {
        applied,
        placement_version: change.placement_version,
        duties: duties.collect(),
        moves: change.moves.iter().map(move_json).collect(),
    }
}

pub(super) fn move_json(one: &PlacementMove) -> MoveJson {
    let (topic, partition, coordinator) = match &one.subject {
        MoveSubject::Partition(topic, index) => (Some(topic.to_string()), Some(index.get()), None),
        MoveSubject::Coordinator(number) => (None, None, Some(*number)),
    };
    MoveJson {
        topic,
        partition,
        coordinator,
        raft_group: one.raft_group.get(),
        from: one.from.iter().map(|node| node.get()).collect(),
        to: one.to.iter().map(|node| node.get()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use flotilla_client::{DutyChange, NodeDuty, PartitionIndex, TopicName};
    use flotilla_types::RaftGroupId;

    use super::*;
    use crate::output::Captured;

    fn plan() -> PlacementChange {
        let nodes = |ids: [u64; 3]| ids.map(NodeId::new).to_vec();
        let topic = TopicName::parse("orders").unwrap();
        PlacementChange {
            placement_version: 9,
            duties: vec![DutyChange {
                node: NodeId::new(4),
                before: NodeDuty::Spare,
                after: NodeDuty::Active,
            }],
            moves: vec![
                PlacementMove {
                    raft_group: RaftGroupId::new(2),
                    subject: MoveSubject::Partition(topic, PartitionIndex::new(1)),
                    from: nodes([1, 2, 3]),
                    to: nodes([4, 2, 3]),
                },
                PlacementMove {
                    raft_group: RaftGroupId::new(7),
                    subject: MoveSubject::Coordinator(3),
                    from: nodes([2, 1, 3]),
                    to: nodes([1, 2, 3]),
                },
            ],
        }
    }

    #[test]
    fn a_plan_says_what_is_copied_and_where_to() {
        let (mut output, captured) = Captured::new();
        show(&plan(), false, OutputFormat::Table, &mut output).unwrap();
        assert_eq!(
            captured.data(),
            "node 4 is spare and becomes active\n\
             2 partitions and coordinators change, 1 replicas are copied\n\
             WHAT           FROM     TO\n\
             orders/1       1, 2, 3  4, 2, 3\n\
             coordinator 3  2, 1, 3  1, 2, 3\n"
        );
    }

    #[test]
    fn json_tells_partitions_from_coordinators() {
        let (mut output, captured) = Captured::new();
        show(&plan(), true, OutputFormat::Json, &mut output).unwrap();
        let told: serde_json::Value = serde_json::from_str(&captured.data()).unwrap();
        assert_eq!(told["applied"], true);
        assert_eq!(told["duties"][0]["after"], "active");
        assert_eq!(told["moves"][0]["topic"], "orders");
        assert_eq!(told["moves"][0]["to"][0], 4);
        assert_eq!(told["moves"][1]["coordinator"], 3);
        assert_eq!(told["moves"][1].get("topic"), None);
    }
}
