//! The port, over real sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use flotilla_gateway::text::{TextConfig, TextServer};
use flotilla_net::Security;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::memory::MemoryBroker;
use super::peer::Peer;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

struct Port {
    address: SocketAddr,
    broker: Arc<MemoryBroker>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Port {
    async fn open(broker: MemoryBroker, config: TextConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let broker = Arc::new(broker);
        let stop = CancellationToken::new();
        let server = TextServer::new(config, Arc::clone(&broker));
        let serving = tokio::spawn(server.serve(listener, Security::default(), stop.clone()));
        Self {
            address,
            broker,
            stop,
            serving,
        }
    }

    async fn connect(&self) -> Peer<TcpStream> {
        Peer::new(TcpStream::connect(self.address).await.unwrap())
    }

    async fn close(self) {
        self.stop.cancel();
        self.serving.await.unwrap();
    }
}

async fn within_patience(story: impl Future<Output = ()>) {
    timeout(PATIENCE, story).await.expect("the story ends");
}

#[tokio::test]
async fn an_order_goes_over_a_real_socket() {
    within_patience(async {
        let port = Port::open(MemoryBroker::new(), TextConfig::default()).await;
        let mut producer = port.connect().await;
        producer
            .send_all("PUB orders 16\r\n{\"order_id\":101}")
            .await;
        assert_eq!(producer.rest().await, "OK 0\r\n");
        let mut consumer = port.connect().await;
        let fetched = consumer.fetch("FETCH orders 0").await;
        assert_eq!(fetched.1, r#"{"order_id":101}"#);
        port.close().await;
        assert!(consumer.rest().await.starts_with("ERR SHUTTING_DOWN "));
    })
    .await;
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    within_patience(async {
        let config = TextConfig {
            connections_max: 1,
            ..TextConfig::default()
        };
        let port = Port::open(MemoryBroker::new(), config).await;
        let mut first = port.connect().await;
        assert_eq!(first.ask("PING").await, "PONG");
        let mut second = port.connect().await;
        second.send("PING\r\n").await;
        let told = second.rest().await;
        assert!(
            told.starts_with("ERR too-many-connections this node has all"),
            "{told}"
        );
        assert_eq!(first.ask("QUIT").await, "BYE");
        assert_eq!(first.rest().await, "");

        // The place is free once the port has noticed.
        loop {
            let mut third = port.connect().await;
            if third.ask("PING").await == "PONG" {
                break;
            }
        }
        port.close().await;
    })
    .await;
}

#[tokio::test]
async fn the_last_words_arrive_although_the_peer_goes_on_sending() {
    within_patience(async {
        let port = Port::open(MemoryBroker::new(), TextConfig::default()).await;
        let mut peer = port.connect().await;
        let line = "x".repeat(5_000);
        peer.send(format!("{line}{}", "more\n".repeat(10_000)))
            .await;
        let told = peer.line().await;
        assert!(told.starts_with("ERR line-too-long "), "{told}");
        port.close().await;
    })
    .await;
}

#[tokio::test]
async fn somebody_who_does_not_read_holds_up_nobody_else() {
    within_patience(async {
        let config = TextConfig {
            write_stall_limit: Duration::from_millis(100),
            ..TextConfig::default()
        };
        let broker = MemoryBroker::new().with_topic("orders", 1);
        let large: &'static str = "x".repeat(900_000).leak();
        broker.store("orders", 0, &[Some(large)]);
        let port = Port::open(broker, config).await;
        let mut slow = port.connect().await;
        slow.send("FETCH orders 0\n".repeat(100)).await;
        let mut other = port.connect().await;
        for offset in 1..100 {
            assert_eq!(other.ask("PUB orders 1\r\nx").await, format!("OK {offset}"));
        }
        // The port closes without a wait for the one that was cut off.
        other.send_all("").await;
        port.close().await;
        assert!(slow.rest().await.len() < 90_000_000);
    })
    .await;
}

#[tokio::test]
async fn a_port_that_closes_waits_for_what_is_in_flight_but_not_forever() {
    within_patience(async {
        let config = TextConfig {
            drain_limit: Duration::from_millis(100),
            ..TextConfig::default()
        };
        let broker = MemoryBroker::new().with_topic("orders", 1);
        let port = Port::open(broker, config).await;
        port.broker.acknowledge(1);
        let mut peer = port.connect().await;
        peer.send("PUB orders 1\naPUB orders 1\nb").await;
        assert_eq!(peer.line().await, "OK 0");
        port.broker.until_queued(2).await;
        port.close().await;
        assert_eq!(peer.rest().await, "", "nobody knows about the second one");
    })
    .await;
}
