//! The demo: real records go in, a node is killed half way, everything comes out again.
//!
//! ```text
//!   changelogs -> Input -> feed ----------------------> topic of 12 partitions on three nodes
//!                   |        acknowledged: 1/2  7/8          |
//!                   |                       |    |           |
//!                   |                    kill    restart     |
//!                   +------> Comparison <------- replay -----+
//! ```
//!
//! It tells on stdout what it does, with figures, and its last line is the verdict. It uses the
//! public client only, with its default settings.

mod account;
mod failover;
mod feeding;
mod fleet;
mod input;
mod replay;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use flotilla_client::{
    Client, ClusterDescription, NewTopic, NodeId, PartitionIndex, TopicDescription, TopicName,
};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use self::account::{Account, grouped, megabytes, rate};
use self::failover::Failover;
use self::feeding::{Feeding, feed};
use self::fleet::Fleet;
use self::input::Input;
use self::replay::replay;
use crate::replicas::has_caught_up;

pub use self::fleet::ForeignFleet;

const PARTITION_COUNT: u32 = 12;
const REPLICATION_FACTOR: u32 = 3;

/// A node that was started again and has not caught up by then never will.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// What the demo does, and where.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    pub record_count: usize,
    /// Where the packages have their directories.
    pub documents: PathBuf,
    pub topic: TopicName,
    /// A cluster that runs already. Without one, the demo starts its own.
    pub foreign: Option<ForeignFleet>,
}

/// What the demo says in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass(String),
    Fail(String),
}

/// Runs the demo to its verdict. An error means that it could not be judged.
pub async fn run(options: DemoOptions) -> anyhow::Result<Verdict> {
    let account = Account::begin();
    account.line("Flotilla: three nodes, one is killed, nothing is lost");
    let input = read_input(&options, &account).await?;
    let mut fleet = start_fleet(&options, &account).await?;
    let told = tell(&options, &input, &mut fleet, &account).await;
    if !matches!(told, Ok(Verdict::Pass(_))) {
        fleet.show_logs();
    }
    told
}

async fn tell(
    options: &DemoOptions,
    input: &Arc<Input>,
    fleet: &mut Fleet,
    account: &Account,
) -> anyhow::Result<Verdict> {
    let client = fleet.client().await?;
    let topic = create_topic(&client, &options.topic, account).await?;

    let (acknowledged, progress) = watch::channel(0);
    let feeding = feed(&client, &topic, Arc::clone(input), acknowledged);
    let disturbing = disturb(fleet, &client, progress, input, account);
    let (feeding, loss) = tokio::try_join!(feeding, disturbing)?;
    tell_feeding(input, &feeding, account);
    let failover = Failover::measure(&feeding, &loss.led, loss.killed_at)
        .context("no partition of the dead node was written after its death")?;
    tell_failover(&loss, &failover, account);

    catch_up(&client, &options.topic, &loss, account).await?;
    let comparison = replay(&client, &options.topic, input, &feeding).await?;
    account.line(format_args!(
        "replayed {} records, {}, from all partitions in {:.2} s: {}",
        grouped(comparison.record_count),
        megabytes(comparison.byte_count),
        comparison.elapsed.as_secs_f64(),
        rate(
            comparison.record_count,
            comparison.byte_count,
            comparison.elapsed
        ),
    ));
    account.line(format_args!("compared with the input: {comparison}"));
    let took = account.elapsed().as_secs_f64();
    let gap = failover.first.as_millis();
    let summary = format!("{comparison}; failover gap {gap} ms; took {took:.1} s");
    Ok(match comparison.is_exact() {
        true => Verdict::Pass(summary),
        false => Verdict::Fail(summary),
    })
}

async fn read_input(options: &DemoOptions, account: &Account) -> anyhow::Result<Arc<Input>> {
    let DemoOptions {
        record_count,
        documents,
        ..
    } = options.clone();
    let reading = tokio::task::spawn_blocking(move || Input::read(&documents, record_count));
    let input = reading.await??;
    account.line(format_args!(
        "read {} different lines of the {} of {} packages below {}",
        grouped(input.line_count()),
        input.kind(),
        grouped(input.package_count()),
        options.documents.display(),
    ));
    account.line(format_args!(
        "the input is {} records, {}, keyed by package, each with a running number",
        grouped(input.len()),
        megabytes(input.byte_count()),
    ));
    Ok(Arc::new(input))
}

async fn start_fleet(options: &DemoOptions, account: &Account) -> anyhow::Result<Fleet> {
    let fleet = match &options.foreign {
        Some(foreign) => Fleet::Foreign(foreign.clone()),
        None => Fleet::start_own().await,
    };
    account.line(format_args!("{fleet}"));
    Ok(fleet)
}

async fn create_topic(
    client: &Client,
    name: &TopicName,
    account: &Account,
) -> anyhow::Result<TopicDescription> {
    let topic = NewTopic::new(name.clone())
        .partitions(PARTITION_COUNT)
        .replication_factor(REPLICATION_FACTOR);
    let created = client.admin().create_topic(topic).await;
    let topic = created.with_context(|| format!("cannot create topic {name}"))?;
    account.line(format_args!(
        "created topic {name}: {PARTITION_COUNT} partitions with {REPLICATION_FACTOR} replicas each"
    ));
    Ok(topic)
}

/// The death of a node in the middle of it all.
struct Loss {
    node: NodeId,
    /// What the node led when it died.
    led: Vec<PartitionIndex>,
    killed_at: Instant,
    acknowledged: usize,
}

/// Kills the node that leads most partitions when half of the records are acknowledged, and starts
/// it again when seven eighths are: by then its partitions have other leaders.
async fn disturb(
    fleet: &mut Fleet,
    client: &Client,
    mut progress: watch::Receiver<usize>,
    input: &Input,
    account: &Account,
) -> anyhow::Result<Loss> {
    let stopped = "the producer stopped early";
    let half = input.len() / 2;
    progress
        .wait_for(|count| *count >= half)
        .await
        .context(stopped)?;
    let cluster = client.admin().describe_cluster().await?;
    let (node, led) = busiest_node(&cluster).context("no partition has a leader")?;
    let acknowledged = *progress.borrow();
    let killed_at = Instant::now();
    fleet.kill(node).await?;
    account.line(format_args!(
        "killed node {node} with SIGKILL at {} acknowledged records; it led {} of {} partitions",
        grouped(acknowledged),
        led.len(),
        cluster.partitions.len(),
    ));
    let most = input.len() / 8 * 7;
    progress
        .wait_for(|count| *count >= most)
        .await
        .context(stopped)?;
    let acknowledged_then = *progress.borrow();
    let begun = Instant::now();
    fleet.restart(node, client).await?;
    account.line(format_args!(
        "started node {node} again at {} acknowledged records; ready after {:.2} s",
        grouped(acknowledged_then),
        begun.elapsed().as_secs_f64(),
    ));
    Ok(Loss {
        node,
        led,
        killed_at,
        acknowledged,
    })
}

fn busiest_node(cluster: &ClusterDescription) -> Option<(NodeId, Vec<PartitionIndex>)> {
    let led_by = |node: NodeId| -> Vec<PartitionIndex> {
        let led = cluster.partitions.iter();
        led.filter(|partition| partition.leader.is_some_and(|leader| leader.node == node))
            .map(|partition| partition.index)
            .collect()
    };
    let nodes = cluster.nodes.iter().map(|node| (node.id, led_by(node.id)));
    nodes
        .max_by_key(|(_, led)| led.len())
        .filter(|(_, led)| !led.is_empty())
}

fn tell_feeding(input: &Input, feeding: &Feeding, account: &Account) {
    account.line(format_args!(
        "all {} records are acknowledged after {:.2} s of producing, failure included: {}",
        grouped(input.len()),
        feeding.elapsed.as_secs_f64(),
        rate(input.len(), input.byte_count(), feeding.elapsed),
    ));
}

fn tell_failover(loss: &Loss, failover: &Failover, account: &Account) {
    account.line(format_args!(
        "failover gap: {} ms from the kill to the first acknowledgement of a partition of node {}, \
         {} ms until all its {} partitions went on",
        failover.first.as_millis(),
        loss.node,
        failover.last.as_millis(),
        failover.partition_count,
    ));
    account.line(format_args!(
        "the longest silence after the kill, over all partitions, was {} ms; {} records came after it",
        failover.silence.as_millis(),
        grouped(failover.records_after(loss.acknowledged)),
    ));
}

/// Waits until the node that was away has everything, and makes it lead again what it led when it
/// died, so that the replay reads those partitions from its copy.
async fn catch_up(
    client: &Client,
    topic: &TopicName,
    loss: &Loss,
    account: &Account,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !has_caught_up(&client.admin().describe_cluster().await?, topic, loss.node) {
        ensure!(
            begun.elapsed() < CATCH_UP_LIMIT,
            "node {} has not caught up in {CATCH_UP_LIMIT:?}",
            loss.node
        );
        // Another process cannot wake this one, so it is asked again.
        sleep(PAUSE).await;
    }
    account.line(format_args!(
        "node {} has every entry of all {PARTITION_COUNT} partitions again, {:.2} s after the last \
         acknowledgement",
        loss.node,
        begun.elapsed().as_secs_f64(),
    ));
    let admin = client.admin();
    for partition in &loss.led {
        let moved = admin.transfer_leader(topic, *partition, loss.node).await;
        moved.with_context(|| format!("node {} cannot lead {partition}", loss.node))?;
    }
    account.line(format_args!(
        "node {} leads its {} partitions again, so they are replayed from its own copy",
        loss.node,
        loss.led.len(),
    ));
    Ok(())
}
