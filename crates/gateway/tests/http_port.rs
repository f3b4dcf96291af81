//! The HTTP port as a client sees it: over a real socket.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flotilla_client::{
    ApiError, Client, ClientConfig, ClientError, ErrorCode, NodeChannel, Principal, Routing, Shown,
};
use flotilla_gateway::{
    Check, CheckOutcome, Doorkeeper, Doors, HttpConfig, HttpServer, NodeStatus, StatusReport,
};
use flotilla_net::Security;
use flotilla_protocol::v1;
use flotilla_protocol::v1::metadata_server::{Metadata, MetadataServer};
use flotilla_types::{ClusterId, NodeId};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tower::util::BoxCloneSyncService;

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

/// Lets in whoever shows nothing.
struct Sentry;

impl Doorkeeper for Sentry {
    fn identify<'a>(&'a self, shown: Shown<'a>) -> BoxFuture<'a, Result<Principal, ClientError>> {
        let identified = match shown.token {
            None => Ok(Principal::anonymous()),
            Some(_) => {
                let message = "the token expired 5 s ago";
                Err(ApiError::new(ErrorCode::Unauthenticated, message).into())
            }
        };
        async { identified }.boxed()
    }
}

/// A cluster of which nothing is known but that it is there.
struct EmptyCluster;

#[tonic::async_trait]
impl Metadata for EmptyCluster {
    async fn get_metadata(
        &self,
        _: Request<v1::GetMetadataRequest>,
    ) -> Result<Response<v1::GetMetadataResponse>, Status> {
        Ok(Response::new(v1::GetMetadataResponse {
            cluster_id: "00".repeat(16),
            ..v1::GetMetadataResponse::default()
        }))
    }

    async fn allocate_producer_id(
        &self,
        _: Request<v1::AllocateProducerIdRequest>,
    ) -> Result<Response<v1::AllocateProducerIdResponse>, Status> {
        Err(Status::unimplemented("nobody gets as far as to produce"))
    }
}

async fn client_of_the_empty_cluster() -> Client {
    let service = BoxCloneSyncService::new(MetadataServer::new(EmptyCluster));
    let node = NodeChannel::local(service);
    let config = ClientConfig {
        routing: Routing::ThroughBootstrap,
        ..ClientConfig::new(["node:1"])
    };
    let client = Client::over(Arc::new(move |_| Ok(node.clone())), config);
    client.await.unwrap()
}

struct Port {
    address: String,
    node: Arc<FakeNode>,
    doors: Doors,
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

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value)
    }

    /// The answer is a problem with this status and code.
    #[track_caller]
    fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{}", self.head);
        assert!(self.has_header("content-type: application/problem+json"));
        assert_eq!(self.json()["code"], code);
        assert_eq!(self.json()["status"], status);
    }

    fn has_header(&self, line: &str) -> bool {
        self.head
            .lines()
            .any(|found| found.eq_ignore_ascii_case(line))
    }
}

const CONFIG: HttpConfig = HttpConfig {
    body_bytes_max: 1_000,
    bodies_bytes_max: 100_000,
    body_limit: Duration::from_secs(10),
    header_timeout: Duration::from_secs(10),
    write_stall_limit: Duration::from_secs(10),
    connections_max: 8,
    tails_max: 8,
    drain_limit: Duration::from_secs(10),
};

impl Port {
    /// The doors are closed, as those of a node that is starting.
    async fn open(config: HttpConfig) -> Self {
        Self::open_with(config, "flotilla_up 1\n".to_owned()).await
    }

    async fn open_with(config: HttpConfig, metrics: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let node = Arc::new(FakeNode::default());
        let doors = Doors::new(Arc::new(Sentry), Duration::from_secs(1));
        let text = Arc::new(move || metrics.clone());
        let server = HttpServer::new(config, doors.clone(), node.clone(), text);
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server.serve(listener, Security::default(), stop.clone()));
        Self {
            address,
            node,
            doors,
            stop,
            serving,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.unwrap()
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "").await
    }

    /// A request without a body; `headers` are lines that end with CRLF.
    async fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        self.send(&format!(
            "{method} {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n{headers}\r\n"
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

/// Asks again and again until the answer is there.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    let answer = tokio::time::timeout(PATIENCE, asking).await;
    answer.unwrap_or_else(|_| panic!("waited in vain until {what}"))
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
    missing.assert_problem(404, "ROUTE_NOT_FOUND");
    let detail = "GET /no/such/thing: /openapi.json says what there is";
    assert_eq!(missing.json()["detail"], detail);
    assert_eq!(missing.json()["type"], "about:blank");
    assert_eq!(missing.json()["definite"], true);
    assert_eq!(missing.json()["retryable"], false);
}

#[tokio::test]
async fn a_method_that_a_path_does_not_take_is_told_those_that_it_takes() {
    let port = Port::open(CONFIG).await;
    for (method, path, allowed) in [
        ("DELETE", "/health", "GET,HEAD"),
        ("POST", "/openapi.json", "GET,HEAD"),
        ("OPTIONS", "/metrics", "GET,HEAD"),
        ("GET", "/publish/orders", "POST"),
        ("HEAD", "/publish/orders", "POST"),
        ("OPTIONS", "/publish/orders", "POST"),
        ("DELETE", "/v1/topics", "GET,HEAD,POST"),
        ("PUT", "/v1/topics/orders", "DELETE,GET,HEAD,PATCH"),
        ("OPTIONS", "/v1/topics/orders/records", "GET,HEAD,POST"),
        ("PATCH", "/v1/topics/orders/tail", "GET,HEAD"),
        ("POST", "/v1/groups/billing", "DELETE,GET,HEAD"),
        ("GET", "/v1/groups/billing/offsets", "PUT"),
    ] {
        let answer = port.ask(method, path, "").await;
        let mut allow: Vec<_> = answer.header("allow").unwrap().split(',').collect();
        allow.sort_unstable();
        assert_eq!(allow.join(","), allowed, "{method} {path}");
        assert_eq!(answer.status, 405);
        match method {
            "HEAD" => assert_eq!(answer.body, ""),
            _ => answer.assert_problem(405, "METHOD_NOT_ALLOWED"),
        }
    }
    for path in ["/livez", "/readyz", "/health", "/metrics", "/openapi.json"] {
        let answer = port.ask("HEAD", path, "").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{path}");
    }
}

#[tokio::test]
async fn every_path_is_in_the_document_that_describes_them() {
    let port = Port::open(CONFIG).await;
    let answer = port.get("/openapi.json").await;
    assert_eq!(answer.status, 200);
    assert!(answer.has_header("content-type: application/json"));
    let document = answer.json();
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let paths = document["paths"].as_object().unwrap();
    let mut told: Vec<_> = paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().keys();
            methods.map(move |method| format!("{method} {path}"))
        })
        .collect();
    told.sort();
    assert_eq!(
        told,
        [
            "delete /v1/groups/{group}",
            "delete /v1/topics/{topic}",
            "get /v1/groups",
            "get /v1/groups/{group}",
            "get /v1/topics",
            "get /v1/topics/{topic}",
            "get /v1/topics/{topic}/records",
            "get /v1/topics/{topic}/schemas",
            "get /v1/topics/{topic}/schemas/{version}",
            "get /v1/topics/{topic}/tail",
            "patch /v1/topics/{topic}",
            "post /publish/{topic}",
            "post /v1/topics",
            "post /v1/topics/{topic}/records",
            "post /v1/topics/{topic}/schemas",
            "put /v1/groups/{group}/offsets",
        ]
    );
    for operation in told {
        let (method, path) = operation.split_once(' ').unwrap();
        let path = path.replace(['{', '}'], "");
        let answer = port.ask(&method.to_uppercase(), &path, "").await;
        answer.assert_problem(503, "NODE_STARTING");
    }
}

#[tokio::test]
async fn a_node_that_is_starting_says_when_to_come_back() {
    let port = Port::open(CONFIG).await;
    let publish = ["POST", "/publish/orders"];
    let read = ["GET", "/v1/topics/orders/records"];
    for [method, path] in [publish, read] {
        let answer = port.ask(method, path, "authorization: Bearer x\r\n").await;
        answer.assert_problem(503, "NODE_STARTING");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.json()["retryable"], true);
        assert_eq!(answer.json()["definite"], true);
    }
}

#[tokio::test]
async fn whoever_is_not_known_is_challenged_and_not_quoted() {
    const TOKEN: &str = "eyJhbGciOi.secret-of-the-caller";
    let port = Port::open(CONFIG).await;
    port.doors.open(client_of_the_empty_cluster().await);
    for shown in [
        format!("Basic {TOKEN}"),
        format!("Bearer {TOKEN}"),
        format!("bearer   {TOKEN}"),
        format!("Token {TOKEN}"),
        TOKEN.to_owned(),
        "Bearer".to_owned(),
        String::new(),
    ] {
        for path in ["/v1/topics", "/v1/topics/orders/records", "/v1/groups"] {
            let answer = port
                .ask("GET", path, &format!("authorization: {shown}\r\n"))
                .await;
            answer.assert_problem(401, "UNAUTHENTICATED");
            let challenge = answer.header("www-authenticate").unwrap();
            assert!(challenge.starts_with("Bearer realm="), "{challenge}");
            let said = format!("{}{}", answer.head, answer.body);
            assert!(!said.contains("secret-of-the-caller"), "{said}");
        }
    }
    let answer = port
        .ask(
            "GET",
            "/v1/topics",
            &format!("authorization: Bearer {TOKEN}\r\n"),
        )
        .await;
    assert_eq!(answer.json()["detail"], "the token expired 5 s ago");
    // Whoever is let in is told what is wrong with the rest.
    let answer = port.get("/v1/topics/orders/records?limit=0").await;
    answer.assert_problem(400, "INVALID_ARGUMENT");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_is_sent() {
    let port = Port::open(CONFIG).await;
    port.doors.open(client_of_the_empty_cluster().await);
    for path in ["/v1/topics", "/v1/topics/orders/records"] {
        let answer = port.ask("POST", path, "content-length: 1001\r\n").await;
        answer.assert_problem(413, "BODY_TOO_LARGE");
        assert!(answer.has_header("connection: close"));
    }
}

#[tokio::test]
async fn a_body_that_takes_too_long_is_refused() {
    let config = HttpConfig {
        body_limit: Duration::from_millis(100),
        ..CONFIG
    };
    let port = Port::open(config).await;
    port.doors.open(client_of_the_empty_cluster().await);
    let answer = port
        .ask("POST", "/v1/topics", "content-length: 5\r\n")
        .await;
    answer.assert_problem(408, "BODY_TIMEOUT");
    assert_eq!(answer.json()["retryable"], true);
}

#[tokio::test]
async fn bodies_that_together_are_too_much_are_refused() {
    let config = HttpConfig {
        bodies_bytes_max: 1_000,
        ..CONFIG
    };
    let port = Port::open(config).await;
    port.doors.open(client_of_the_empty_cluster().await);
    let mut first = port.connect().await;
    let head =
        "POST /v1/topics HTTP/1.1\r\nhost: n\r\nconnection: close\r\ncontent-length: 900\r\n\r\n";
    first.write_all(head.as_bytes()).await.unwrap();
    until("the first body has taken its room", async || {
        let answer = port.send(&head.replace("900", "101")).await;
        (answer.status == 503).then(|| answer.assert_problem(503, "OVERLOADED"))
    })
    .await;
    first.write_all(&[b' '; 900]).await.unwrap();
    assert_eq!(read_answer(&mut first).await.status, 400, "it is no JSON");
    let answer = port.send(&format!("{head}{}", " ".repeat(900))).await;
    assert_eq!(answer.status, 400, "there is room again");
}

#[tokio::test]
async fn a_connection_that_never_finishes_its_head_is_closed() {
    let config = HttpConfig {
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
async fn one_connection_too_many_is_told_so_and_a_free_place_is_taken() {
    let port = Port::open(HttpConfig {
        connections_max: 1,
        ..CONFIG
    })
    .await;
    let mut first = port.connect().await;
    let request = b"GET /livez HTTP/1.1\r\nhost: n\r\n\r\n";
    first.write_all(request).await.unwrap();
    first.read_exact(&mut [0]).await.unwrap();
    for _ in 0..3 {
        let refused = port.get("/livez").await;
        refused.assert_problem(503, "OVERLOADED");
        assert_eq!(refused.header("retry-after"), Some("1"));
        assert_eq!(refused.header("connection"), Some("close"));
        let length = refused.header("content-length").unwrap();
        assert_eq!(length, refused.body.len().to_string());
    }
    // Whoever says nothing is told as well.
    let refused = read_answer(&mut port.connect().await).await;
    refused.assert_problem(503, "OVERLOADED");
    drop(first);
    until("the place is free", async || {
        (port.get("/livez").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_cut_off() {
    let config = HttpConfig {
        connections_max: 1,
        write_stall_limit: Duration::from_millis(200),
        ..CONFIG
    };
    // More than any socket takes in by itself.
    let port = Port::open_with(config, "x".repeat(64 << 20)).await;
    let mut deaf = port.connect().await;
    let request = b"GET /metrics HTTP/1.1\r\nhost: n\r\n\r\n";
    deaf.write_all(request).await.unwrap();
    deaf.read_exact(&mut [0]).await.unwrap();
    port.get("/livez").await.assert_problem(503, "OVERLOADED");
    until("its place is free", async || {
        (port.get("/livez").await.status == 200).then_some(())
    })
    .await;
    let mut rest = Vec::new();
    let read = tokio::time::timeout(PATIENCE, deaf.read_to_end(&mut rest)).await;
    let _ = read.expect("it is still open");
    assert!(rest.len() < 64 << 20, "it got everything");
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

#[tokio::test]
async fn a_request_that_is_under_way_is_answered_before_the_port_is_closed() {
    let port = Port::open(CONFIG).await;
    port.doors.open(client_of_the_empty_cluster().await);
    let mut half = port.connect().await;
    let head =
        b"POST /v1/topics HTTP/1.1\r\nhost: n\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n";
    half.write_all(head).await.unwrap();
    // The body is waited for.
    let mut expected = [0; 25];
    half.read_exact(&mut expected).await.unwrap();
    assert_eq!(&expected, b"HTTP/1.1 100 Continue\r\n\r\n");

    port.stop.cancel();
    until("nobody is let in any more", async || {
        TcpStream::connect(&port.address)
            .await
            .is_err()
            .then_some(())
    })
    .await;
    half.write_all(b"[]").await.unwrap();
    let answer = read_answer(&mut half).await;
    answer.assert_problem(400, "INVALID_ARGUMENT");
    let stopped = tokio::time::timeout(PATIENCE, port.serving).await;
    stopped.expect("it goes on serving").unwrap();
}
