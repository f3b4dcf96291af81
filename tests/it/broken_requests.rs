//! Clients that speak badly, stop in the middle or make no sense at all.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use flotilla_client::{ApiError, Client, ClientConfig, ErrorCode, OffsetSpec};
use flotilla_tests::cluster::{Cluster, ClusterOptions, Node};
use flotilla_tests::http::get;
use flotilla_tests::phase::phase;
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::{Code, Status};

use crate::raw_api::{RawNode, record_request};
use crate::topics::{FIRST, create, name};

const PRODUCE: &str = "/flotilla.v1.Produce/Produce";
const PRODUCE_STREAM: &str = "/flotilla.v1.Produce/ProduceStream";
const FETCH: &str = "/flotilla.v1.Fetch/Fetch";
const CREATE_TOPIC: &str = "/flotilla.v1.TopicAdmin/CreateTopic";
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A gRPC message as it travels: a flag, the length that it claims, and its bytes.
fn message(length: usize, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(length).unwrap().to_be_bytes();
    [&[0][..], &length, bytes].concat()
}

/// Makes a call with this body, and returns what it ends with.
async fn call(node: &RawNode, path: &str, body: Vec<u8>) -> Status {
    let request = http::Request::post(format!("http://node{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(Full::new(Bytes::from(body))))
        .unwrap();
    let mut channel = node.channel();
    let calling = async {
        poll_fn(|context| channel.poll_ready(context))
            .await
            .unwrap();
        let (head, body) = channel.call(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or_default();
        let both = [head.headers, trailers];
        both.iter().find_map(Status::from_header_map)
    };
    let status = timeout(ANSWER_LIMIT, calling).await;
    let status = status.expect("every call is answered");
    status.expect("every call has a status")
}

/// The call is refused with a detail that says that nothing has happened.
#[track_caller]
fn assert_unreadable(status: &Status, what: &str) {
    assert!(!status.details().is_empty(), "{what}: {status:?}");
    let error = ApiError::from_status(status);
    assert_eq!(error.code, ErrorCode::InvalidArgument, "{what}: {error}");
}

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Headers as HPACK writes them when it compresses nothing.
fn headers(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let field = |(name, value): &(&str, &str)| [vec![0], text(name), text(value)].concat();
    fields.iter().flat_map(field).collect()
}

/// A connection on which a produce call has begun and half of its message has been sent.
fn half_a_call(path: &str) -> Vec<u8> {
    const HEADERS: u8 = 1;
    const END_HEADERS: u8 = 4;
    let head = headers(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "node"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]);
    let settings = frame(4, 0, 0, &[]);
    let head = frame(HEADERS, END_HEADERS, 1, &head);
    let data = frame(0, 0, 1, &message(1_000, &[0; 100]));
    [HTTP2_PREFACE, &settings, &head, &data].concat()
}

/// Sends the bytes and hangs up.
async fn send_and_hang_up(node: &Node, bytes: &[u8]) {
    let mut stream = TcpStream::connect(node.client_address()).await.unwrap();
    // A node that has understood that this is no use may hang up first.
    let _ = stream.write_all(bytes).await;
}

/// Sends the bytes and waits until the node hangs up.
async fn send_and_be_hung_up_on(node: &Node, bytes: &[u8]) {
    let mut stream = TcpStream::connect(node.client_address()).await.unwrap();
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    // How it hangs up does not matter.
    let ended = timeout(ANSWER_LIMIT, stream.read_to_end(&mut answer)).await;
    let _ = ended.expect("the node hangs up");
}

/// Goal: calls that cannot be understood are refused one by one, and change nothing.
#[tokio::test(flavor = "multi_thread")]
async fn malformed_messages_are_refused() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 1, 1).await;
    let node = RawNode::of(&cluster.nodes()[0]);

    let noise = [0xFF; 64];
    // Field 2, a string, of more bytes than there are.
    let overlong = [0x12, 0x7F, b'x'];
    // Field 2, a string that is not UTF-8.
    let no_text = [0x12, 0x01, 0x80];
    for path in [PRODUCE, PRODUCE_STREAM, FETCH, CREATE_TOPIC] {
        phase(path);
        for (what, body) in [
            ("noise", message(noise.len(), &noise)),
            (
                "a field that is longer than the message",
                message(3, &overlong),
            ),
            ("a missing end", message(1_000, &noise)),
            ("half a head", vec![0, 0]),
            ("an enormous length", message(0xFFFF_FFFF, &noise)),
            (
                "a compression that nobody agreed on",
                [&[1][..], &message(3, &no_text)[1..]].concat(),
            ),
        ] {
            assert_unreadable(&call(&node, path, body).await, &format!("{path}: {what}"));
        }
    }
    for path in [PRODUCE, FETCH] {
        let status = call(&node, path, message(3, &no_text)).await;
        assert_unreadable(&status, &format!("{path}: a name that is no text"));
        let status = call(&node, path, Vec::new()).await;
        assert_unreadable(&status, &format!("{path}: no message"));
    }
    let status = call(&node, "/flotilla.v1.Produce/Destroy", message(0, &[])).await;
    assert_eq!(status.code(), Code::Unimplemented);
    assert_unreadable(&status, "a method that does not exist");

    phase("a sound call works");
    let stored = node.produce(record_request(&topic, FIRST, "first")).await;
    assert_eq!(stored.unwrap().base_offset, 0);
}

/// Goal: connections that end in the middle, or that are none, cost the node nothing.
#[tokio::test(flavor = "multi_thread")]
async fn broken_connections_do_no_harm() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 1, 1).await;
    let node = &cluster.nodes()[0];

    phase("what is not HTTP/2");
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        &[0; 1_000],
        &[0xFF; 1_000],
    ] {
        send_and_be_hung_up_on(node, bytes).await;
    }
    phase("what stops in the middle");
    let half = half_a_call(PRODUCE);
    for end in [
        0,
        5,
        HTTP2_PREFACE.len(),
        HTTP2_PREFACE.len() + 12,
        half.len(),
    ] {
        for _ in 0..20 {
            send_and_hang_up(node, &half[..end]).await;
        }
    }
    send_and_hang_up(node, &half_a_call(PRODUCE_STREAM)).await;
    send_and_hang_up(node, &half_a_call(FETCH)).await;

    phase("the node is well, and nothing was stored");
    let answer = get(&node.http_address(), "/readyz").await.unwrap();
    assert_eq!(answer.status, 200);
    let raw = RawNode::of(node);
    let records = raw.read(&topic, FIRST, OffsetSpec::Earliest).await.unwrap();
    assert_eq!(records, []);
    let stored = raw.produce(record_request(&topic, FIRST, "first")).await;
    assert_eq!(stored.unwrap().base_offset, 0);
    assert!(!node.log().contains("panicked"), "{}", node.log_tail(40));
}

/// Goal: whoever opens more connections than a node serves is told so, and hogs that say nothing lose
/// their places to those who have something to say.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing_give_way() {
    let cluster = Cluster::start_with(ClusterOptions {
        node_count: 1,
        settings: vec![
            ("broker.connections_max", "4".to_owned()),
            ("broker.handshake_limit_ms", "5000".to_owned()),
        ],
    })
    .await;
    let node = &cluster.nodes()[0];
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 1, 1).await;

    phase("all places are taken");
    let mut hogs = Vec::new();
    for _ in 0..4 {
        hogs.push(TcpStream::connect(node.client_address()).await.unwrap());
    }
    let hasty = ClientConfig {
        deadline: Duration::from_millis(100),
        ..ClientConfig::new([node.client_address()])
    };
    let refused = Client::connect(hasty).await.unwrap_err();
    assert!(refused.is_definite() && refused.is_retryable(), "{refused}");
    let mut one_too_many = TcpStream::connect(node.client_address()).await.unwrap();
    let mut said = Vec::new();
    one_too_many.write_all(HTTP2_PREFACE).await.unwrap();
    one_too_many.shutdown().await.unwrap();
    one_too_many.read_to_end(&mut said).await.unwrap();
    let said = String::from_utf8_lossy(&said);
    let cause = "OVERLOADED: this node has 4 connections";
    assert!(said.contains(cause), "{said}");
    let metrics = get(&node.http_address(), "/metrics").await.unwrap().text();
    let refusals = r#"flotilla_grpc_connections_refused_total{port="listen.client"}"#;
    assert!(metrics.contains(refusals), "{metrics}");

    phase("who was connected goes on, and who waits gets a place");
    let admin = client.admin();
    admin.describe_topic(&topic).await.unwrap();
    cluster.client().await;
    drop(hogs);
}
