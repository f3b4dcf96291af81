//! The HTTP port as a client sees it: over a real socket.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flotilla_gateway::{Check, CheckOutcome, Gateway, GatewayConfig, NodeStatus, StatusReport};
use flotilla_types::{ClusterId, NodeId};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct FakeNode {
    starting: AtomicBool,
    failed: AtomicBool,
}

impl NodeStatus for FakeNode {
    fn report(&self) -> StatusReport {
        let outcome = if self.failed.load(Ordering::Relaxed) {
            CheckOutcome::Unhealthy
        } else {
            CheckOutcome::Degraded
        };
        let starting = self.starting.load(Ordering::Relaxed);
        StatusReport {
            node: NodeId::new(2),
            cluster: ClusterId::new([0xab; 16]),
            cluster_name: "orders".to_owned(),
            version: "1.2.3",
            uptime: Duration::from_secs(61),
            not_ready: starting
                .then(|| "recovering".to_owned())
                .into_iter()
                .collect(),
            checks: vec![Check {
                name: "peers",
                outcome,
                detail: "1 of 2".to_owned(),
            }],
        }
    }
}

struct Port {
    address: String,
    node: Arc<FakeNode>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn has_header(&self, line: &str) -> bool {
        self.head
            .lines()
            .any(|found| found.eq_ignore_ascii_case(line))
    }
}

const CONFIG: GatewayConfig = GatewayConfig {
    body_bytes_max: 1_000,
    header_timeout: Duration::from_secs(10),
    connections_max: 8,
    drain_limit: Duration::from_secs(10),
};

impl Port {
    async fn open(config: GatewayConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let node = Arc::new(FakeNode::default());
        let text = Arc::new(|| "flotilla_up 1\n".to_owned());
        let gateway = Gateway::new(config, node.clone(), text);
        let stop = CancellationToken::new();
        let serving = tokio::spawn(gateway.serve(listener, stop.clone()));
        Self {
            address,
            node,
            stop,
            serving,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.unwrap()
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n"
        ))
        .await
    }

    async fn send(&self, request: &str) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        read_answer(&mut stream).await
    }
}

async fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut text = String::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut text)).await;
    read.expect("the connection was not closed").unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Answer {
        status: status.unwrap_or_else(|| panic!("no status in {head:?}")),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

#[tokio::test]
async fn a_node_that_is_starting_lives_but_is_not_ready() {
    let port = Port::open(CONFIG).await;
    port.node.starting.store(true, Ordering::Relaxed);
    assert_eq!(port.get("/livez").await.status, 200);
    let answer = port.get("/readyz").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["reasons"][0], "recovering");

    port.node.starting.store(false, Ordering::Relaxed);
    let answer = port.get("/readyz").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["status"], "ready");
}

#[tokio::test]
async fn health_names_the_node_and_what_is_wrong_with_it() {
    let port = Port::open(CONFIG).await;
    let answer = port.get("/health").await;
    assert_eq!(answer.status, 200, "a degraded node still serves");
    let body = answer.json();
    assert_eq!(body["status"], "degraded");
    assert_eq!(body["ready"], true);
    assert_eq!(body["node"], 2);
    assert_eq!(body["cluster"], "orders");
    assert_eq!(body["cluster_id"], "ab".repeat(16));
    assert_eq!(body["version"], "1.2.3");
    assert_eq!(body["uptime_seconds"], 61);
    assert_eq!(body["checks"][0]["name"], "peers");
    assert_eq!(body["checks"][0]["detail"], "1 of 2");

    port.node.failed.store(true, Ordering::Relaxed);
    let answer = port.get("/health").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["status"], "unhealthy");
}

#[tokio::test]
async fn metrics_are_in_the_format_of_prometheus() {
    let port = Port::open(CONFIG).await;
    let answer = port.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.has_header("content-type: text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(answer.body, "flotilla_up 1\n");
}

#[tokio::test]
async fn refusals_are_problems_with_a_stable_code() {
    let port = Port::open(CONFIG).await;
    let missing = port.get("/no/such/thing").await;
    assert_eq!(missing.status, 404);
    assert!(missing.has_header("content-type: application/problem+json"));
    assert_eq!(missing.json()["code"], "ROUTE_NOT_FOUND");
    assert_eq!(missing.json()["status"], 404);
    assert_eq!(missing.json()["detail"], "GET /no/such/thing");

    let wrong = port
        .send("DELETE /health HTTP/1.1\r\nhost: n\r\nconnection: close\r\n\r\n")
        .await;
    assert_eq!(wrong.status, 405);
    assert_eq!(wrong.json()["code"], "METHOD_NOT_ALLOWED");
    assert!(wrong.has_header("allow: GET,HEAD"));
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_is_sent() {
    let port = Port::open(CONFIG).await;
    let head =
        "POST /health HTTP/1.1\r\nhost: n\r\nconnection: close\r\ncontent-length: 1001\r\n\r\n";
    let answer = port.send(head).await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.json()["code"], "BODY_TOO_LARGE");
}

#[tokio::test]
async fn a_connection_that_never_finishes_its_head_is_closed() {
    let config = GatewayConfig {
        header_timeout: Duration::from_millis(100),
        ..CONFIG
    };
    let port = Port::open(config).await;
    let mut stream = port.connect().await;
    stream
        .write_all(b"GET /livez HTTP/1.1\r\nx-slow: ")
        .await
        .unwrap();
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "the connection is still open");
    assert_eq!(port.get("/livez").await.status, 200);
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_their_turn() {
    let port = Port::open(GatewayConfig {
        connections_max: 1,
        ..CONFIG
    })
    .await;
    let mut first = port.connect().await;
    first
        .write_all(b"GET /livez HTTP/1.1\r\nhost: n\r\n")
        .await
        .unwrap();
    let mut second = port.connect().await;
    let request = b"GET /readyz HTTP/1.1\r\nhost: n\r\nconnection: close\r\n\r\n";
    second.write_all(request).await.unwrap();

    first.write_all(b"connection: close\r\n\r\n").await.unwrap();
    assert_eq!(read_answer(&mut first).await.status, 200);
    assert_eq!(read_answer(&mut second).await.status, 200);
}

#[tokio::test]
async fn stopping_closes_idle_connections_and_the_port() {
    let port = Port::open(CONFIG).await;
    let mut idle = port.connect().await;
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: n\r\n\r\n")
        .await
        .unwrap();
    let mut first_byte = [0];
    idle.read_exact(&mut first_byte).await.unwrap();

    port.stop.cancel();
    tokio::time::timeout(PATIENCE, port.serving)
        .await
        .expect("it goes on serving")
        .unwrap();
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, idle.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "the idle connection is still open");
    assert!(TcpStream::connect(&port.address).await.is_err());
}
