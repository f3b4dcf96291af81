//! Some nodes with real storage and real links in one process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use flotilla_net::Source;
use flotilla_storage::{Seams, Storage, StorageConfig};
use flotilla_types::batch::BatchProducer;
use flotilla_types::{
    BatchBuilder, ClusterId, Compression, NodeId, Offset, ProducerEpoch, ProducerId, RaftGroupId,
    RecordBatch, Sequence, Timestamp, TopicConfig,
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::{GroupKind, GroupSpec, Opened, Partition, RaftConfig, RaftNode, TcpConnector};

pub(crate) const GROUP: RaftGroupId = RaftGroupId::new(1);
pub(crate) const LIMIT: Duration = Duration::from_secs(20);
pub(crate) const BIRTH_PATIENCE: Duration = Duration::from_millis(500);

pub(crate) struct Cluster {
    config: RaftConfig,
    directories: Vec<TempDir>,
    addresses: Vec<SocketAddr>,
    pub(crate) nodes: Vec<Option<Running>>,
}

pub(crate) struct Running {
    pub(crate) node: Arc<RaftNode>,
    storage: Storage,
    server: JoinHandle<()>,
}

/// The group as it is born, on the first three nodes.
pub(crate) fn spec() -> GroupSpec {
    GroupSpec {
        id: GROUP,
        kind: GroupKind::Partition,
        replicas: (1..=3).map(NodeId::new).collect(),
        is_new_member: false,
    }
}

impl Cluster {
    async fn start() -> Self {
        Self::start_nodes(3).await
    }

    pub(crate) async fn start_nodes(count: usize) -> Self {
        Self::start_with(count, RaftConfig::default()).await
    }

    pub(crate) async fn start_with(count: usize, config: RaftConfig) -> Self {
        show_logs();
        let mut cluster = Self {
            config: RaftConfig {
                birth_patience_ms: BIRTH_PATIENCE.as_millis() as u64,
                ..config
            },
            directories: (0..count).map(|_| TempDir::new().unwrap()).collect(),
            addresses: Vec::new(),
            nodes: Vec::new(),
        };
        let mut listeners = Vec::new();
        for _ in 0..count {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            cluster.addresses.push(listener.local_addr().unwrap());
            listeners.push(listener);
        }
        for (at, listener) in listeners.into_iter().enumerate() {
            let running = cluster.run(at, listener);
            let id = running.node.id();
            if spec().replicas.contains(&id) {
                let opened = running.node.open_group(spec()).await.unwrap();
                assert_eq!(opened, Opened::Serving);
            }
            cluster.nodes.push(Some(running));
        }
        cluster
    }

    fn run(&self, at: usize, listener: TcpListener) -> Running {
        let mut config = StorageConfig::new(self.directories[at].path());
        config.journal_file_bytes = 4 << 20;
        config.segment_bytes_target = 1 << 20;
        let storage = Storage::open(config, Seams::real()).unwrap();
        let identity = storage
            .adopt_identity(ClusterId::new([7; 16]), NodeId::new(at as u64 + 1))
            .unwrap();
        let connector = Arc::new(TcpConnector::new(Source::Any, None));
        let node = RaftNode::start(self.config.clone(), storage.clone(), identity, connector);
        for (peer, address) in self.addresses.iter().enumerate() {
            node.set_peer(NodeId::new(peer as u64 + 1), &address.to_string(), None);
        }
        let peers = node.peer_server();
        let server = tokio::spawn(async move {
            let mut links = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let peers = peers.clone();
                links.spawn(async move { peers.serve(stream, None).await });
            }
        });
        Running {
            node,
            storage,
            server,
        }
    }

    /// Stops a node without warning the others: nothing is handed over.
    pub(crate) async fn stop(&mut self, at: usize) {
        let running = self.nodes[at].take().unwrap();
        running.server.abort();
        running.node.shutdown(Duration::ZERO).await;
        let storage = running.storage.clone();
        tokio::task::spawn_blocking(move || storage.close())
            .await
            .unwrap();
    }

    /// Starts a node again, with its replica if it has one.
    pub(crate) async fn restart(&mut self, at: usize) {
        let listener = TcpListener::bind(self.addresses[at]).await.unwrap();
        let running = self.run(at, listener);
        if running.node.stored_groups().contains(&GROUP) {
            running.node.open_group(spec()).await.unwrap();
        }
        self.nodes[at] = Some(running);
    }

    pub(crate) fn node(&self, at: usize) -> &Arc<RaftNode> {
        &self.nodes[at].as_ref().unwrap().node
    }

    pub(crate) fn partition(&self, at: usize) -> Partition {
        self.node(at).partition(GROUP).unwrap()
    }

    /// The node that leads, once one does and knows it.
    pub(crate) async fn leader(&self) -> usize {
        let running = self.nodes.iter().flatten();
        let mut partitions = running.filter_map(|running| running.node.partition(GROUP));
        let watching = partitions.next().unwrap();
        let running = |node: NodeId| self.nodes[node.get() as usize - 1].is_some();
        let leadership =
            watching.wait_leadership(|leadership| leadership.leader.is_some_and(running));
        let leadership = timeout(LIMIT, leadership).await.unwrap().unwrap();
        leadership.leader.unwrap().get() as usize - 1
    }

    /// Appends on whichever node leads, again and again until it is acknowledged.
    pub(crate) async fn append(&self, batch: &RecordBatch) -> Offset {
        let appending = async {
            loop {
                let partition = self.partition(self.leader().await);
                let outcome = match partition.submit(batch, now()).await {
                    Ok(ticket) => ticket.wait().await,
                    Err(error) => Err(error),
                };
                match outcome {
                    Ok(appended) => return appended.base_offset,
                    Err(error) => tracing::info!(%error, "appending again"),
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(LIMIT, appending).await.unwrap()
    }

    pub(crate) async fn assert_holds(&self, at: usize, from: u64, end: u64) {
        let partition = self.partition(at);
        let caught_up = partition.wait_readable(Offset::new(end - 1));
        timeout(LIMIT, caught_up).await.unwrap();
        let mut next = Offset::new(from);
        let mut cursor = None;
        while next.get() < end {
            let read = partition
                .read(next, cursor, 1 << 20, Offset::ZERO)
                .await
                .unwrap();
            for bytes in read.batches {
                let batch = RecordBatch::parse(bytes).unwrap();
                assert_eq!(batch.base_offset(), next);
                let records = batch.records().unwrap();
                assert_eq!(
                    records[0].value.as_deref(),
                    Some(value(next.get()).as_slice())
                );
                next = batch.end_offset();
            }
            cursor = read.cursor;
        }
        assert_eq!(next.get(), end);
    }
}

/// What happened is printed when a test fails and `RUST_LOG` asks for it.
pub(crate) fn show_logs() {
    // A test before this one may have done it.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_test_writer()
        .try_init();
}

pub(crate) fn now() -> Timestamp {
    let since_epoch = std::time::UNIX_EPOCH.elapsed().unwrap();
    Timestamp::from_millis(since_epoch.as_millis() as i64)
}

fn value(number: u64) -> Vec<u8> {
    let mut value = number.to_be_bytes().to_vec();
    value.resize(64 << 10, number as u8);
    value
}

pub(crate) fn batch(number: u64) -> RecordBatch {
    let mut builder = BatchBuilder::new(Compression::None);
    builder
        .push(now(), None, Some(&value(number)), &[])
        .unwrap();
    let producer = BatchProducer {
        id: ProducerId::new(9),
        epoch: ProducerEpoch::new(0),
        base_sequence: Sequence::new(number as u32),
    };
    builder.build(Some(producer)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_leader_goes_on_where_the_old_one_stopped() {
    let mut cluster = Cluster::start().await;
    for number in 0..20 {
        assert_eq!(cluster.append(&batch(number)).await, Offset::new(number));
    }
    let leader = cluster.leader().await;
    cluster.stop(leader).await;
    for number in 20..40 {
        assert_eq!(cluster.append(&batch(number)).await, Offset::new(number));
    }
    cluster.restart(leader).await;
    for at in 0..3 {
        cluster.assert_holds(at, 0, 40).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_batch_keeps_its_offset_across_leaders() {
    let mut cluster = Cluster::start().await;
    for number in 0..3 {
        cluster.append(&batch(number)).await;
    }
    let leader = cluster.leader().await;
    cluster.stop(leader).await;
    assert_eq!(cluster.append(&batch(2)).await, Offset::new(2));
    assert_eq!(cluster.append(&batch(3)).await, Offset::new(3));
}

/// The trap: a snapshot of the latest state would make the follower skip retained records.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_whose_records_were_retired_gets_every_record_that_is_left() {
    let mut cluster = Cluster::start().await;
    cluster.append(&batch(0)).await;
    let leader = cluster.leader().await;
    let away = (leader + 1) % 3;
    cluster.stop(away).await;
    // Three checkpoint intervals of 32 MiB, of which retention by size keeps the newest two.
    let records = 3 * (32 << 20) / (64 << 10) + 200;
    for number in 1..records {
        cluster.append(&batch(number)).await;
    }
    let mut config = TopicConfig::default();
    config.set("retention_bytes", "41943040").unwrap();
    let partition = cluster.partition(leader);
    while partition.retain(now(), &config).await.unwrap() {}
    let log_start = partition.trimmed_to();
    assert!(log_start > Offset::ZERO);
    let group = partition.group().clone();
    let purged = async {
        while group.log.bounds().last_purged.is_none() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, purged).await.unwrap();

    cluster.restart(away).await;
    cluster.assert_holds(away, log_start.get(), records).await;
    let behind = cluster
        .partition(away)
        .read(Offset::ZERO, None, 1, Offset::ZERO)
        .await;
    assert!(matches!(behind, Err(crate::ReadError::OutOfRange { .. })));
}

/// The leader's clock jumps back by a year between two batches, and later it is right again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_back_loses_nothing() {
    const YEAR_MS: i64 = 365 * 24 * 60 * 60 * 1_000;
    let cluster = Cluster::start().await;
    cluster.append(&batch(0)).await;
    let partition = cluster.partition(cluster.leader().await);
    let year_ago = Timestamp::from_millis(now().as_millis() - YEAR_MS);
    let ticket = partition.submit(&batch(1), year_ago).await.unwrap();
    let appended = timeout(LIMIT, ticket.wait()).await.unwrap().unwrap();
    assert_eq!(appended.base_offset, Offset::new(1));
    assert_eq!(cluster.append(&batch(2)).await, Offset::new(2));

    // The default keeps a week. By neither clock is anything older than that.
    for clock in [year_ago, now()] {
        while (partition.retain(clock, &TopicConfig::default()).await).unwrap() {}
        assert_eq!(partition.trimmed_to(), Offset::ZERO);
    }
    for at in 0..3 {
        cluster.assert_holds(at, 0, 3).await;
    }
}

/// A node that starts meets partitions in its metadata that it has removed already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_was_removed_is_not_opened_again() {
    let cluster = Cluster::start().await;
    cluster.append(&batch(0)).await;
    let node = cluster.nodes[0].as_ref().unwrap().node.clone();
    node.remove_group(GROUP).await;
    let opened = node.open_group(spec()).await.unwrap();
    assert_eq!(opened, Opened::Removed);
    assert!(node.partition(GROUP).is_none());
}

/// The batch that was the oldest at the last look may be gone, and its place purged, at the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_start_is_found_after_all_was_deleted_and_purged() {
    let cluster = Cluster::start().await;
    for number in 0..5 {
        cluster.append(&batch(number)).await;
    }
    let leader = cluster.leader().await;
    let partition = cluster.partition(leader);
    let hour_ago = Some(now().minus_millis(3_600_000));
    assert_eq!(partition.log_start(hour_ago).await.unwrap(), Offset::ZERO);
    let end = Offset::new(5);
    partition.delete_records(end, now()).await.unwrap();
    assert_eq!(partition.log_start(hour_ago).await.unwrap(), end);
    let config = TopicConfig::default();
    while partition.retain(now(), &config).await.unwrap() {}
    let group = partition.group().clone();
    let purged = async {
        while group.log.bounds().last_purged.is_none() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, purged).await.unwrap();
    assert_eq!(cluster.append(&batch(5)).await, end);
    assert_eq!(partition.log_start(hour_ago).await.unwrap(), end);
    let read = partition.read(end, None, 1 << 20, end).await.unwrap();
    assert_eq!(read.next_offset, Offset::new(6));

    // A later bound hides the record, and an earlier one shows it again.
    let in_an_hour = Some(Timestamp::from_millis(now().as_millis() + 3_600_000));
    let hidden = partition.log_start(in_an_hour).await.unwrap();
    assert_eq!(hidden, Offset::new(6));
    assert_eq!(partition.log_start(hour_ago).await.unwrap(), end);
}
