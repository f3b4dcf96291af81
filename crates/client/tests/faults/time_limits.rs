//! What a client promises about time when the nodes say nothing at all: they keep their connections,
//! as frozen processes do.

use std::sync::mpsc;
use std::time::Duration;

use flotilla_client::{
    Client, ClientConfig, ClientError, ConsumerConfig, ErrorCode, OffsetSpec, ProducerConfig,
    ProducerRecord,
};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::fake_cluster::{FakeCluster, partition, topic};

const LIMIT: Duration = Duration::from_secs(1);
/// What a busy machine may add. It is far below one attempt per node.
const TOLERANCE: Duration = Duration::from_secs(2);

/// Nodes that all run on one thread, so that they can be frozen by blocking it.
struct Freezable {
    cluster: FakeCluster,
    runtime: Option<Runtime>,
    /// The thread is blocked until this is gone.
    frozen: Option<mpsc::Sender<()>>,
}

impl Freezable {
    async fn start() -> Self {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
        let cluster = runtime.spawn(FakeCluster::start(3, 1)).await.unwrap();
        Self {
            cluster,
            runtime: Some(runtime),
            frozen: None,
        }
    }

    async fn freeze(&mut self) {
        let (until_dropped, thaw) = mpsc::channel::<()>();
        let (blocked, is_blocked) = tokio::sync::oneshot::channel();
        let runtime = self.runtime.as_ref().unwrap();
        runtime.spawn(async move {
            blocked.send(()).unwrap();
            // Always an error: nobody sends anything.
            let _ = thaw.recv();
        });
        is_blocked.await.unwrap();
        self.frozen = Some(until_dropped);
    }

    fn client_config(&self) -> ClientConfig {
        ClientConfig {
            deadline: LIMIT,
            ..self.cluster.client_config()
        }
    }

    async fn client(&self) -> Client {
        Client::connect(self.client_config()).await.unwrap()
    }
}

impl Drop for Freezable {
    fn drop(&mut self) {
        self.frozen = None;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Expects that it was given up, neither too early nor much too late.
fn assert_gave_up(error: &ClientError, began: Instant) {
    let ClientError::GaveUp { last, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(error.code(), ErrorCode::Timeout);
    assert!(!last.message.contains("gave up"), "{}", last.message);
    let took = began.elapsed();
    assert!(took < LIMIT + TOLERANCE, "it took {took:?}: {error:?}");
}

#[tokio::test]
async fn looking_for_a_cluster_of_silent_nodes_ends_at_the_deadline() {
    let mut nodes = Freezable::start().await;
    nodes.freeze().await;
    let began = Instant::now();
    let error = Client::connect(nodes.client_config()).await.unwrap_err();
    assert_gave_up(&error, began);
    assert!(began.elapsed() >= LIMIT);
}

#[tokio::test]
async fn an_administrative_call_to_silent_nodes_ends_at_the_deadline() {
    let mut nodes = Freezable::start().await;
    let client = nodes.client().await;
    nodes.freeze().await;
    let began = Instant::now();
    let error = client.admin().list_topics().await.unwrap_err();
    assert_gave_up(&error, began);
    assert!(began.elapsed() >= LIMIT);
}

#[tokio::test]
async fn a_record_for_silent_nodes_is_given_up_in_time() {
    for has_delivered in [false, true] {
        let mut nodes = Freezable::start().await;
        let client = nodes.client().await;
        let config = ProducerConfig {
            delivery_timeout: LIMIT,
            ..ProducerConfig::default()
        };
        let producer = client.producer(config).unwrap();
        let record = || ProducerRecord::new(topic(), "x").partition(partition(0));
        if has_delivered {
            producer.send(record()).await.unwrap().await.unwrap();
        } else {
            // The topic is known, an identity is not.
            let mut consumer = client.consumer(ConsumerConfig::default()).unwrap();
            let start = OffsetSpec::Earliest;
            consumer.assign_topic(&topic(), start).await.unwrap();
        }
        nodes.freeze().await;
        let began = Instant::now();
        let error = producer.send(record()).await.unwrap().await.unwrap_err();
        assert_gave_up(&error, began);
        assert_eq!(error.is_definite(), !has_delivered, "{error:?}");
    }
}

#[tokio::test]
async fn a_consumer_of_silent_nodes_says_so_in_time() {
    let mut nodes = Freezable::start().await;
    let client = nodes.client().await;
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let record = ProducerRecord::new(topic(), "x").partition(partition(0));
    producer.send(record).await.unwrap().await.unwrap();
    let config = ConsumerConfig {
        retry_timeout: LIMIT,
        ..ConsumerConfig::default()
    };
    for has_read in [true, false] {
        let mut consumer = client.consumer(config.clone()).unwrap();
        consumer.assign(&topic(), partition(0), OffsetSpec::Earliest);
        if has_read {
            assert_eq!(consumer.poll(1).await.unwrap().len(), 1);
            nodes.freeze().await;
        }
        let began = Instant::now();
        let error = consumer.poll(1).await.unwrap_err();
        assert_gave_up(&error, began);
    }
}

/// An address at which connections are made and nothing is ever said, as by a node that is frozen.
struct Mute {
    address: String,
    _listener: TcpListener,
}

impl Mute {
    async fn start() -> Self {
        // The kernel completes connections that nobody accepts.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            address: listener.local_addr().unwrap().to_string(),
            _listener: listener,
        }
    }
}

#[tokio::test]
async fn one_silent_node_does_not_use_up_the_time_of_the_others() {
    let cluster = FakeCluster::start(1, 1).await;
    let mute = Mute::start().await;
    for deadline in [LIMIT / 2, LIMIT, 2 * LIMIT] {
        let mut bootstrap = vec![mute.address.clone()];
        bootstrap.extend(cluster.client_config().bootstrap);
        let config = ClientConfig {
            bootstrap,
            deadline,
            ..cluster.client_config()
        };
        let client = Client::connect(config).await.unwrap();
        client.admin().list_topics().await.unwrap();
    }
}

#[tokio::test]
async fn limits_without_end_are_no_reason_to_stop() {
    let cluster = FakeCluster::start(1, 1).await;
    let config = ClientConfig {
        deadline: Duration::MAX,
        ..cluster.client_config()
    };
    let client = Client::connect(config).await.unwrap();
    let config = ProducerConfig {
        delivery_timeout: Duration::MAX,
        ..ProducerConfig::default()
    };
    let producer = client.producer(config).unwrap();
    let record = ProducerRecord::new(topic(), "x").partition(partition(0));
    producer.send(record).await.unwrap().await.unwrap();
    let config = ConsumerConfig {
        retry_timeout: Duration::MAX,
        ..ConsumerConfig::default()
    };
    let mut consumer = client.consumer(config).unwrap();
    consumer.assign(&topic(), partition(0), OffsetSpec::Earliest);
    assert_eq!(consumer.poll(1).await.unwrap().len(), 1);
}
