//! Flotilla itself, by its public client with default settings, as an application would use it.
//!
//! A topic of one partition, because each peer has one log, too. Its acknowledgements come in the order
//! of its records.

use std::collections::VecDeque;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use flotilla_client::{
    Client, Consumer, ConsumerConfig, Delivery, NewTopic, OffsetSpec, PartitionIndex, Producer,
    ProducerConfig, ProducerRecord, TopicName,
};
use flotilla_tests::cluster::{Cluster, ClusterOptions};
use futures::FutureExt;

use super::generator::{Reader, Volume, Writer};
use super::{Peer, Replayable};

const NODE_COUNT: u64 = 3;
/// Records that one poll may give.
const POLL_MAX: usize = 4_096;
/// Makes every sync a lie, of whatever process loads it. From Debian's package libeatmydata1.
const NO_SYNC_LIBRARY: &str = "libeatmydata.so";

pub(super) struct Flotilla {
    cluster: Cluster,
    client: Client,
}

impl Flotilla {
    pub(super) async fn start() -> Self {
        Self::start_in(&[]).await
    }

    /// Its processes believe that they sync. The binary and its settings are the same.
    pub(super) async fn start_without_sync() -> Result<Self> {
        let this = Self::start_in(&[("LD_PRELOAD", NO_SYNC_LIBRARY)]).await;
        for process in this.processes() {
            let mapped = std::fs::read_to_string(format!("/proc/{process}/maps"))?;
            ensure!(
                mapped.contains("libeatmydata"),
                "{NO_SYNC_LIBRARY} is missing: `make compare` installs it"
            );
        }
        Ok(this)
    }

    async fn start_in(environment: &[(&'static str, &str)]) -> Self {
        let options = ClusterOptions {
            node_count: NODE_COUNT,
            settings: Vec::new(),
        };
        let cluster = Cluster::start_in(options, environment).await;
        let client = cluster.client().await;
        Self { cluster, client }
    }
}

impl Peer for Flotilla {
    type Writer = FlotillaWriter;

    async fn create(&self, log: &str) -> Result<()> {
        let new = NewTopic::new(TopicName::parse(log)?).partitions(1);
        let replicas = u32::try_from(NODE_COUNT)?;
        let admin = self.client.admin();
        admin.create_topic(new.replication_factor(replicas)).await?;
        self.cluster.wait_for_leaders(&self.client).await;
        Ok(())
    }

    async fn writer(&self, log: &str) -> Result<FlotillaWriter> {
        // With connections of its own, as a peer's writer has.
        let client = self.cluster.client().await;
        Ok(FlotillaWriter {
            producer: client.producer(ProducerConfig::default())?,
            topic: TopicName::parse(log)?,
            open: VecDeque::new(),
            next_settled: 0,
        })
    }

    async fn delete(&self, log: &str) -> Result<()> {
        self.client
            .admin()
            .delete_topic(&TopicName::parse(log)?)
            .await?;
        Ok(())
    }

    fn processes(&self) -> Vec<u32> {
        let nodes = self.cluster.nodes().iter();
        nodes
            .filter_map(flotilla_tests::cluster::Node::process_id)
            .collect()
    }
}

impl Replayable for Flotilla {
    type Reader = FlotillaReader;

    async fn reader(&self, log: &str) -> Result<FlotillaReader> {
        let client = self.cluster.client().await;
        Ok(FlotillaReader {
            consumer: client.consumer(ConsumerConfig::default())?,
            unassigned: Some(TopicName::parse(log)?),
        })
    }
}

pub(super) struct FlotillaWriter {
    producer: Producer,
    topic: TopicName,
    open: VecDeque<Delivery>,
    /// The number of the first record in `open`.
    next_settled: u64,
}

impl Writer for FlotillaWriter {
    async fn send(&mut self, value: &Bytes) -> Result<()> {
        let record = ProducerRecord::new(self.topic.clone(), value.clone());
        self.open.push_back(self.producer.send(record).await?);
        Ok(())
    }

    /// The producer sends by itself what is not on its way yet.
    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn acknowledged(&mut self, numbers: &mut Vec<u64>) -> Result<()> {
        let first = self.open.front_mut().context("nothing is on its way")?;
        let mut settled = Some(first.await);
        while let Some(delivered) = settled {
            delivered?;
            self.open.pop_front();
            numbers.push(self.next_settled);
            self.next_settled += 1;
            let next = self.open.front_mut();
            settled = next.and_then(FutureExt::now_or_never);
        }
        Ok(())
    }
}

pub(super) struct FlotillaReader {
    consumer: Consumer,
    /// Fetching begins with the first read, so that all of it is measured.
    unassigned: Option<TopicName>,
}

impl Reader for FlotillaReader {
    async fn read(&mut self) -> Result<Volume> {
        if let Some(topic) = self.unassigned.take() {
            let first = PartitionIndex::new(0);
            self.consumer.assign(&topic, first, OffsetSpec::Earliest);
        }
        let records = self.consumer.poll(POLL_MAX).await?;
        let values = records.iter().map(|record| &record.value);
        let bytes = values.map(|value| value.as_ref().map_or(0, Bytes::len) as u64);
        Ok(Volume {
            records: records.len() as u64,
            bytes: bytes.sum(),
        })
    }
}
