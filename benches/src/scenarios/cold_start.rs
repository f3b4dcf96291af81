//! From the start of a node that holds data to the first acknowledgement of every partition.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use flotilla_client::{
    Client, ClientConfig, NewTopic, OffsetSpec, PartitionIndex, ProducerConfig, ProducerRecord,
    TopicName,
};
use flotilla_tests::cluster::{Cluster, Node};
use flotilla_tests::http::get;
use flotilla_tests::phase::phase;
use futures::future::try_join_all;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::Context;
use crate::arguments::ColdStartArgs;
use crate::payloads::Payloads;
use crate::process::Process;
use crate::report::{Figure, Judged, Report};
use crate::scratch::{drop_page_cache, stored_bytes};

const RECORD_BYTES: usize = 1_024;
/// A node that is not ready by then has failed.
const START_LIMIT: Duration = Duration::from_secs(120);
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

pub(super) async fn run(context: &Context, args: &ColdStartArgs) -> Result<Report> {
    let start_count = context.common.or(args.starts, 5, 2);
    let partition_count = context.common.or(args.partitions, 100, 20);
    let bytes = context.common.or(args.megabytes, 1_000, 100) * 1_000_000;
    context.scratch.ensure_room(4 * bytes)?;
    let mut report = context.begin("cold-start").await?;
    let mut cluster = Cluster::start(1).await;
    let topic = TopicName::parse("cold")?;
    let client = cluster.client().await;
    let new = NewTopic::new(topic.clone()).partitions(partition_count);
    client
        .admin()
        .create_topic(new.replication_factor(1))
        .await?;
    let mut stored = Stored {
        partition_count,
        record_count: bytes.div_ceil(RECORD_BYTES as u64),
        topic,
    };
    stored.fill(&client).await?;
    drop(client);

    let mut starts = Vec::new();
    let mut was_cold = true;
    for number in 0..start_count {
        let node = cluster.nodes()[0].id();
        cluster.node_mut(node).kill();
        let on_disk = stored_bytes(&cluster.node(node).data_dir())?;
        was_cold &= drop_page_cache();
        let begun = Instant::now();
        cluster.node_mut(node).start();
        let mut start = Start::watch(cluster.node(node), &stored, begun).await?;
        stored.record_count += u64::from(partition_count);
        start.bytes_on_disk = on_disk;
        stored.ensure_complete(&cluster.client().await).await?;
        phase(format_args!("cold-start: start {}: {start}", number + 1));
        report.detail(&start)?;
        starts.push(start);
    }
    report.figures = figures(&starts);
    report.notes.push(format!(
        "{partition_count} partitions, {} MB of records of {RECORD_BYTES} bytes, killed with SIGKILL; \
         the page cache was {} before each start; counted from the start of the process, by a client \
         that tries every few milliseconds",
        bytes / 1_000_000,
        if was_cold { "dropped" } else { "NOT dropped (that takes root)" },
    ));
    Ok(report)
}

/// What the node holds.
struct Stored {
    topic: TopicName,
    partition_count: u32,
    record_count: u64,
}

impl Stored {
    async fn fill(&self, client: &Client) -> Result<()> {
        let begun = Instant::now();
        let producer = client.producer(ProducerConfig::default())?;
        let values = Payloads::new(1, RECORD_BYTES).pool(4_096);
        let partitions = (0..self.partition_count).map(PartitionIndex::new).cycle();
        let records = values.iter().cycle().zip(partitions);
        for (value, partition) in records.take(usize::try_from(self.record_count)?) {
            let record = ProducerRecord::new(self.topic.clone(), value.clone());
            // `flush` tells of the first record that failed.
            drop(producer.send(record.partition(partition)).await?);
        }
        producer.flush().await?;
        producer.close().await?;
        phase(format_args!(
            "cold-start: stored {} records in {} partitions in {:.1} s",
            self.record_count,
            self.partition_count,
            begun.elapsed().as_secs_f64()
        ));
        Ok(())
    }

    /// A start that loses records is no start.
    async fn ensure_complete(&self, client: &Client) -> Result<()> {
        let admin = client.admin();
        let listed = admin
            .list_offsets(&self.topic, &[], OffsetSpec::Latest)
            .await?;
        let mut found = 0;
        for partition in listed {
            found += partition.offset?.get();
        }
        ensure!(
            found == self.record_count,
            "the node has {found} of {} records",
            self.record_count
        );
        Ok(())
    }
}

/// One start, in seconds since the process was started.
#[derive(Debug, Serialize)]
struct Start {
    ready: f64,
    /// The first acknowledgement of the first partition that gave one.
    first_acknowledged: f64,
    /// All partitions have acknowledged a record.
    all_acknowledged: f64,
    /// Processor time of the process until then.
    cpu: f64,
    bytes_on_disk: u64,
}

impl Start {
    async fn watch(node: &Node, stored: &Stored, begun: Instant) -> Result<Self> {
        let writing = write_everywhere(node, stored, begun);
        let watching = async { tokio::join!(ready(node, begun), writing) };
        let ended = tokio::time::timeout(START_LIMIT, watching).await;
        let (ready, acknowledged) = ended.context("the node does not start")?;
        let acknowledged = acknowledged?;
        let process = Process::Other(node.process_id().context("the node runs")?);
        Ok(Self {
            ready,
            first_acknowledged: acknowledged.iter().copied().fold(f64::INFINITY, f64::min),
            all_acknowledged: acknowledged.iter().copied().fold(0.0, f64::max),
            cpu: process.cpu()?.total(),
            bytes_on_disk: 0,
        })
    }
}

impl std::fmt::Display for Start {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "ready after {:.3} s, first acknowledgement after {:.3} s, all partitions after {:.3} s, \
             {:.2} s of CPU, {} MB on disk",
            self.ready,
            self.first_acknowledged,
            self.all_acknowledged,
            self.cpu,
            self.bytes_on_disk / 1_000_000,
        )
    }
}

async fn ready(node: &Node, begun: Instant) -> f64 {
    let address = node.http_address();
    loop {
        if get(&address, "/readyz")
            .await
            .is_ok_and(|answer| answer.status == 200)
        {
            return begun.elapsed().as_secs_f64();
        }
        // Another process cannot wake this one, so it is asked again.
        sleep(LOOK_INTERVAL).await;
    }
}

/// Writes a record to each partition as soon as the node takes it. When each was acknowledged.
async fn write_everywhere(node: &Node, stored: &Stored, begun: Instant) -> Result<Vec<f64>> {
    let config = ClientConfig {
        // The measurement should not wait longer than the node.
        backoff_min: LOOK_INTERVAL,
        backoff_max: 4 * LOOK_INTERVAL,
        deadline: START_LIMIT,
        ..ClientConfig::new([node.client_address()])
    };
    let client = Client::connect(config).await?;
    let producer = client.producer(ProducerConfig::default())?;
    let value = Payloads::new(2, RECORD_BYTES).make();
    let partitions = (0..stored.partition_count).map(PartitionIndex::new);
    let writes = partitions.map(|partition| {
        let record = ProducerRecord::new(stored.topic.clone(), value.clone()).partition(partition);
        let producer = &producer;
        async move {
            producer.send(record).await?.await?;
            anyhow::Ok(begun.elapsed().as_secs_f64())
        }
    });
    let acknowledged = try_join_all(writes).await?;
    producer.close().await?;
    Ok(acknowledged)
}

fn figures(starts: &[Start]) -> Vec<Figure> {
    let figure = |name: &str, unit, read: fn(&Start) -> f64| {
        Figure::new(name, unit, starts.iter().map(read).collect())
    };
    let judged = |figure: Figure| figure.judged(Judged::Worst, 10.0, 3.0);
    vec![
        judged(figure("cold_start.ready", "s", |start| start.ready)),
        judged(figure("cold_start.all_partitions", "s", |start| {
            start.all_acknowledged
        })),
        figure("cold_start.first_partition", "s", |start| {
            start.first_acknowledged
        }),
        figure("cold_start.cpu", "CPU s", |start| start.cpu),
        figure("cold_start.on_disk", "MB", |start| {
            start.bytes_on_disk as f64 / 1e6
        }),
    ]
}
