//! What producers feel when a partition gets another leader on purpose.
//!
//! The load is that of `failover`. One partition after the other is handed to the next of its replicas, and
//! the longest time between two of its acknowledgements is what is felt of it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use flotilla_client::{
    Client, ClientConfig, NewTopic, NodeId, PartitionIndex, ProducerConfig, TopicName,
};
use flotilla_tests::cluster::Cluster;
use flotilla_tests::condition::until;
use flotilla_tests::phase::phase;
use serde::Serialize;
use tokio::time::Instant;

use super::Context;
use super::steady_load::{SteadyLoad, first_after, longest_silence};
use crate::arguments::LeadershipMoveArgs;
use crate::report::{Figure, Judged, Report};

const NODE_COUNT: u64 = 3;
const PARTITION_COUNT: u32 = 12;
const RECORD_BYTES: usize = 1_024;
/// How long acknowledgements are watched after a move: a second stall counts, too.
const WATCH_TIME: Duration = Duration::from_millis(500);
/// A move that is not over by then has failed.
const MOVE_LIMIT: Duration = Duration::from_secs(30);

pub(super) async fn run(context: &Context, args: &LeadershipMoveArgs) -> Result<Report> {
    let move_count = context.common.or(args.moves, 60, 12);
    let rate = context.common.or(args.rate, 200, 100);
    context.scratch.ensure_room(2 << 30)?;
    let mut report = context.begin("leadership-move").await?;
    let cluster = Cluster::start(NODE_COUNT).await;
    let client = Client::connect(ClientConfig::new(cluster.bootstrap())).await?;
    let topic = TopicName::parse("moved")?;
    let new = NewTopic::new(topic.clone()).partitions(PARTITION_COUNT);
    let admin = client.admin();
    admin.create_topic(new.replication_factor(3)).await?;
    cluster.wait_for_leaders(&client).await;
    let producer = client.producer(ProducerConfig::default())?;
    let period = Duration::from_secs(1) / rate;
    let load = SteadyLoad::start(&producer, &topic, PARTITION_COUNT, (period, RECORD_BYTES));

    let mut moves = Vec::new();
    for number in 0..move_count {
        let partition = PartitionIndex::new(u32::try_from(number)? % PARTITION_COUNT);
        let moved = Move::make(&client, partition, &load).await?;
        phase(format_args!(
            "leadership-move: {}: partition {} from node {} to {}: silence {:.1} ms, the call took {:.1} ms",
            number + 1,
            moved.partition,
            moved.from,
            moved.to,
            moved.silence_ms,
            moved.call_ms
        ));
        report.detail(&moved)?;
        moves.push(moved);
    }
    let count = load.stop().await?;
    producer.close().await?;
    let figure = |name: &str, read: fn(&Move) -> f64| {
        Figure::new(name, "ms", moves.iter().map(read).collect())
    };
    let silence = |moved: &Move| moved.silence_ms;
    report.figures = vec![
        figure("leadership_move.silence_worst", silence).judged(Judged::Worst, 300.0, 100.0),
        figure("leadership_move.call", |moved| moved.call_ms),
        figure("leadership_move.before", |moved| moved.before_ms),
    ];
    report.notes.push(format!(
        "silence is the longest time between two acknowledgements of the partition from the request on, \
         before is that of the time since the move before; {count} records of {RECORD_BYTES} bytes were \
         written meanwhile, {rate} per second and partition, all of them acknowledged"
    ));
    Ok(report)
}

/// One partition that got another leader.
#[derive(Debug, Serialize)]
struct Move {
    partition: u32,
    from: u64,
    to: u64,
    /// Until the request was answered.
    call_ms: f64,
    silence_ms: f64,
    /// The longest silence of the partition before, when nothing happened to it.
    before_ms: f64,
}

impl Move {
    async fn make(client: &Client, partition: PartitionIndex, load: &SteadyLoad) -> Result<Self> {
        let (from, to) = leader_and_next(client, load.topic(), partition).await?;
        let asked_at = Instant::now();
        let admin = client.admin();
        let asked = admin.transfer_leader(load.topic(), partition, to);
        asked
            .await
            .with_context(|| format!("partition {partition} cannot go to node {to}"))?;
        let call_ms = millis(asked_at.elapsed());
        until("the partition goes on", MOVE_LIMIT, async || {
            let first = first_after(&load.acknowledgements(partition), asked_at)?;
            (first.elapsed() >= WATCH_TIME).then_some(())
        })
        .await;
        let all = load.acknowledgements(partition);
        // In order of their times, so the last one before the request begins what is felt of it.
        let split = all.partition_point(|one| one.at <= asked_at);
        let before = &all[..split];
        let around = &all[split.saturating_sub(1)..];
        let begun = before.first().map_or(asked_at, |first| first.at);
        load.forget();
        Ok(Self {
            partition: partition.get(),
            from: from.get(),
            to: to.get(),
            call_ms,
            silence_ms: millis(longest_silence(around, asked_at)),
            before_ms: millis(longest_silence(before, begun)),
        })
    }
}

/// Who leads the partition, and the replica that comes after it.
async fn leader_and_next(
    client: &Client,
    topic: &TopicName,
    partition: PartitionIndex,
) -> Result<(NodeId, NodeId)> {
    let described = client.admin().describe_topic(topic).await?;
    let mut partitions = described.partitions.iter();
    let described = partitions.find(|known| known.index == partition);
    let described = described.context("the topic has this partition")?;
    let leader = described.leader.context("somebody leads")?.node;
    let replicas = &described.replicas;
    let position = replicas.iter().position(|replica| *replica == leader);
    let next = position.context("a replica leads")? + 1;
    Ok((leader, replicas[next % replicas.len()]))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
