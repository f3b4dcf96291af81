//! A fourth node joins a cluster that holds data and is under load, and gets its share of the replicas.
//!
//! ```text
//!   three nodes, 30 partitions, 3 GB ─► load ─► p99 before ─► node 4 joins
//!     ─► `flotilla cluster add-node 4 --yes --wait` ─► every node has its share ─► p99 meanwhile
//! ```

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use flotilla_client::{Client, ClusterDescription, PartitionIndex, ProducerConfig, TopicName};
use flotilla_tests::cluster::{Cluster, flotilla_binary, next_port};
use flotilla_tests::condition::until;
use flotilla_tests::http::get;
use flotilla_tests::phase::phase;
use serde::Serialize;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::Context;
use super::steady_load::SteadyLoad;
use super::throughput::flotilla_bench;
use crate::arguments::GrowArgs;
use crate::compare::servers::Server;
use crate::report::{Figure, Judged, Report};
use crate::scratch::settle_disk;
use crate::summary::quantile_of_sorted;

const NODE_COUNT: u64 = 3;
const NEW_NODE: u64 = 4;
const PARTITION_COUNT: u32 = 30;
const REPLICA_COUNT: u32 = 3;
const RECORD_BYTES: usize = 1_024;
/// How long the load is watched before the node joins.
const BEFORE_TIME: Duration = Duration::from_secs(30);
const BEFORE_TIME_QUICK: Duration = Duration::from_secs(5);
const JOIN_LIMIT: Duration = Duration::from_secs(60);
const BALANCE_LIMIT: Duration = Duration::from_secs(600);

pub(super) async fn run(context: &Context, args: &GrowArgs) -> Result<Report> {
    let run_count = context.common.or(args.runs, 3, 1);
    let rate = context.common.or(args.rate, 5_000, 1_000);
    let megabytes = context.common.or(args.megabytes, 3_000, 200);
    // Three replicas, the journals, and those that move.
    context.scratch.ensure_room(5 * megabytes * 1_000_000)?;
    let mut report = context.begin("grow").await?;
    let mut growths = Vec::new();
    for number in 0..run_count {
        let growth = Growth::make(context, rate, megabytes).await?;
        phase(format_args!("grow: {}: {growth}", number + 1));
        report.detail(&growth)?;
        growths.push(growth);
    }
    report.figures = figures(&growths);
    report.notes.push(format!(
        "node {NEW_NODE} was added to {NODE_COUNT} that held {PARTITION_COUNT} partitions with \
         {REPLICA_COUNT} replicas and {megabytes} MB, under {rate} records per second of {RECORD_BYTES} \
         bytes, all of them acknowledged; balanced: from `flotilla cluster add-node` until it is over \
         and every node has its share of the replicas, with nothing moving any more; the goal for p99 \
         is three times the one before, or 20 ms more, whatever is larger"
    ));
    Ok(report)
}

/// One cluster that grew.
#[derive(Debug, Serialize)]
struct Growth {
    /// Until the new node was ready.
    joined_seconds: f64,
    balanced_seconds: f64,
    before_p99_ms: f64,
    meanwhile_p99_ms: f64,
    meanwhile_max_ms: f64,
    records: u64,
}

impl Growth {
    async fn make(context: &Context, rate: u32, megabytes: u64) -> Result<Self> {
        let cluster = Cluster::start(NODE_COUNT).await;
        let client = cluster.client().await;
        let topic = TopicName::parse("grown")?;
        store(&cluster, megabytes).await?;
        settle_disk();
        let producer = client.producer(ProducerConfig::default())?;
        let period = Duration::from_secs(1) * PARTITION_COUNT / rate;
        let load = SteadyLoad::start(&producer, &topic, PARTITION_COUNT, (period, RECORD_BYTES));
        // As long as the time that is looked at.
        sleep(context.common.or(None, BEFORE_TIME, BEFORE_TIME_QUICK)).await;
        let before = latencies(&load);
        load.forget();

        let joining = Instant::now();
        let directory = context.scratch.fresh("node-4")?;
        let _node = join(&client, &directory).await?;
        let joined_seconds = joining.elapsed().as_secs_f64();
        let adding = Instant::now();
        add_node(&cluster).await?;
        until("every node has its share", BALANCE_LIMIT, async || {
            let described = client.admin().describe_cluster().await.ok()?;
            is_balanced(&described, &topic).then_some(())
        })
        .await;
        let balanced_seconds = adding.elapsed().as_secs_f64();
        let meanwhile = latencies(&load);
        let records = load.stop().await?;
        producer.close().await?;
        let at = |latencies: &[u64], share| {
            let latency = quantile_of_sorted(latencies, share).context("records were written")?;
            anyhow::Ok(latency as f64 / 1e3)
        };
        Ok(Self {
            joined_seconds,
            balanced_seconds,
            before_p99_ms: at(&before, 0.99)?,
            meanwhile_p99_ms: at(&meanwhile, 0.99)?,
            meanwhile_max_ms: at(&meanwhile, 1.0)?,
            records,
        })
    }
}

async fn store(cluster: &Cluster, megabytes: u64) -> Result<()> {
    let records = megabytes * 1_000_000 / RECORD_BYTES as u64;
    flotilla_bench(&[
        "bench",
        "produce",
        &cluster.bootstrap_argument(),
        "-o=json",
        "--topic=grown",
        &format!("--records={records}"),
        &format!("--partitions={PARTITION_COUNT}"),
        &format!("--replication-factor={REPLICA_COUNT}"),
        &format!("--record-size={RECORD_BYTES}"),
    ])
    .await?;
    Ok(())
}

/// Starts the new node beside the others, and waits until it is ready.
async fn join(client: &Client, directory: &TempDir) -> Result<Server> {
    let described = client.admin().describe_cluster().await?;
    let peers = described
        .nodes
        .iter()
        .map(|node| node.addresses.peer.to_string());
    let peers: Vec<_> = peers.collect();
    let http = next_port();
    let settings = format!(
        "node.id = {NEW_NODE}\nnode.data_dir = \"data\"\nlisten.client = {}\nlisten.peer = {}\n\
         listen.http = {http}\nlisten.text = {}\n",
        next_port(),
        next_port(),
        next_port()
    );
    fs::write(directory.path().join("flotilla.toml"), settings)?;
    let mut command = Command::new(flotilla_binary());
    command.args(["server", "--join", &peers.join(",")]);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FLOTILLA_") {
            command.env_remove(name);
        }
    }
    let mut server = Server::start(command, directory.path())?;
    server.wait_listening(http).await?;
    let address = format!("127.0.0.1:{http}");
    until("the new node is ready", JOIN_LIMIT, async || {
        let answer = get(&address, "/readyz").await.ok()?;
        (answer.status == 200).then_some(())
    })
    .await;
    Ok(server)
}

async fn add_node(cluster: &Cluster) -> Result<()> {
    let mut command = tokio::process::Command::new(flotilla_binary());
    let node = NEW_NODE.to_string();
    let bootstrap = cluster.bootstrap_argument();
    command.args(["cluster", "add-node", &node, &bootstrap, "--yes", "--wait"]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    let status = command.status().await?;
    ensure!(status.success(), "the node was not added: {status}");
    Ok(())
}

/// Whether all nodes have as many replicas of the topic as they can have alike, and none too many.
fn is_balanced(cluster: &ClusterDescription, topic: &TopicName) -> bool {
    let partitions = cluster
        .partitions
        .iter()
        .filter(|partition| partition.topic == *topic);
    let replicas = partitions.clone().flat_map(|partition| &partition.replicas);
    let counts = cluster.nodes.iter().map(|node| {
        let held = replicas.clone().filter(|replica| replica.node == node.id);
        held.count()
    });
    let counts: Vec<_> = counts.collect();
    let (least, most) = (counts.iter().min(), counts.iter().max());
    let is_even = least
        .zip(most)
        .is_some_and(|(least, most)| most - least <= 1);
    let total = (PARTITION_COUNT * REPLICA_COUNT) as usize;
    counts.len() as u64 == NEW_NODE && is_even && counts.iter().sum::<usize>() == total
}

/// From sending to the acknowledgement, of all partitions, in microseconds, sorted.
fn latencies(load: &SteadyLoad) -> Vec<u64> {
    let partitions = (0..PARTITION_COUNT).map(PartitionIndex::new);
    let all = partitions.flat_map(|partition| load.acknowledgements(partition));
    let micros = all.map(|one| (one.at - one.sent_at).as_micros());
    let mut micros: Vec<_> = micros
        .map(|micros| u64::try_from(micros).unwrap_or(u64::MAX))
        .collect();
    micros.sort_unstable();
    micros
}

impl std::fmt::Display for Growth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "joined in {:.1} s, balanced in {:.1} s, p99 {:.2} ms before, {:.2} ms meanwhile, worst \
             {:.0} ms",
            self.joined_seconds,
            self.balanced_seconds,
            self.before_p99_ms,
            self.meanwhile_p99_ms,
            self.meanwhile_max_ms,
        )
    }
}

fn figures(growths: &[Growth]) -> Vec<Figure> {
    let samples = |read: fn(&Growth) -> f64| growths.iter().map(read).collect::<Vec<_>>();
    let figure = |name: &str, unit, read: fn(&Growth) -> f64| {
        Figure::new(format!("grow.{name}"), unit, samples(read))
    };
    let before = figure("p99_before", "ms", |growth| growth.before_p99_ms);
    let must = super::tail::ratio_allowed(before.summary.median);
    let ratio = |growth: &Growth| growth.meanwhile_p99_ms / growth.before_p99_ms;
    vec![
        figure("balanced", "s", |growth| growth.balanced_seconds).judged(
            Judged::Worst,
            120.0,
            60.0,
        ),
        figure("p99_ratio", "meanwhile/before", ratio).judged(Judged::Median, must, 1.5),
        before,
        figure("p99_meanwhile", "ms", |growth| growth.meanwhile_p99_ms),
        figure("worst_meanwhile", "ms", |growth| growth.meanwhile_max_ms),
        figure("joined", "s", |growth| growth.joined_seconds),
    ]
}
