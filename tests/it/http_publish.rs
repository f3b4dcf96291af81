//! Records come in over HTTP, as bytes or as JSON, through whichever node.

use std::collections::BTreeSet;

use flotilla_client::{Client, NewTopic, PartitionIndex};
use flotilla_tests::cluster::{Cluster, Node};
use flotilla_tests::http::{HttpAnswer, HttpConnection, HttpRequest, ask};
use flotilla_tests::phase::phase;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::doors::{assert_problem, header, place, places, records, value, values};
use crate::topics::{FIRST, create, name};

/// What a payload may have if nobody said otherwise.
const PAYLOAD_BYTES: usize = 65_536;

async fn post(node: &Node, path: &str, body: impl Into<Vec<u8>>) -> HttpAnswer {
    let request = HttpRequest::post(path, body);
    ask(&node.http_address(), &request).await.unwrap()
}

/// Publishes these records as JSON, and returns the status and each outcome.
async fn publish_many(node: &Node, topic: &str, body: &Value) -> (u16, Vec<Value>) {
    let path = format!("/v1/topics/{topic}/records");
    let request = HttpRequest::post(path, body.to_string());
    let request = request.header("Content-Type", "application/json");
    let answer = ask(&node.http_address(), &request).await.unwrap();
    let body = answer.json();
    let outcomes = body["outcomes"].as_array();
    let outcomes = outcomes.unwrap_or_else(|| panic!("{}", answer.text()));
    let stored = outcomes.iter().filter(|outcome| outcome["code"].is_null());
    assert_eq!(body["published"], stored.count());
    (answer.status, outcomes.clone())
}

/// The code of each problem, and nothing for what is stored.
fn codes(outcomes: &[Value]) -> Vec<Option<&str>> {
    let codes = outcomes.iter().map(|outcome| outcome["code"].as_str());
    codes.collect()
}

async fn create_with(client: &Client, topic: &str, key: &str, value: &str) {
    let new = NewTopic::new(name(topic)).partitions(1).config(key, value);
    client.admin().create_topic(new).await.unwrap();
}

/// Goal: what is posted to a topic is its next record, byte for byte, whatever it is said to be.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_posted_is_stored_byte_for_byte() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("my-topic");
    create(&client, &topic, 1, 3).await;
    let order = r#"{ "orderId": "123",  "status": "completed" }"#;
    let bytes: Vec<u8> = (0..=255).collect();
    let requests = [
        HttpRequest::post("/publish/my-topic", order)
            .header("Content-Type", "application/json")
            .header("Authorization", "Bearer a-token"),
        HttpRequest::post("/publish/my-topic", order),
        HttpRequest::post("/publish/my-topic", bytes.clone())
            .header("Content-Type", "application/octet-stream"),
        HttpRequest::post("/publish/my-topic", ""),
        HttpRequest::post("/publish/my-topic", "not JSON")
            .header("Content-Type", "application/json; charset=utf-8"),
    ];
    let mut ids = Vec::new();
    for (number, (request, node)) in requests
        .iter()
        .zip(cluster.nodes().iter().cycle())
        .enumerate()
    {
        let answer = ask(&node.http_address(), request).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        let mut body = answer.json();
        let id = body["id"].take();
        ids.push(id.as_str().unwrap().to_owned());
        let expected = json!({
            "id": null, "topic": "my-topic", "partition": 0, "offset": number, "duplicate": false,
        });
        assert_eq!(body, expected);
    }
    let stored = records(&client, &topic, FIRST).await;
    let expected = [order.as_bytes(), order.as_bytes(), &bytes, b"", b"not JSON"];
    let found: Vec<_> = stored
        .iter()
        .map(|record| record.value.as_deref())
        .collect();
    assert_eq!(found, expected.map(Some));
    for (record, id) in stored.iter().zip(&ids) {
        assert_eq!(header(record, "message-id").as_ref(), Some(id));
        assert_eq!(record.key, None);
    }
    let kinds: Vec<_> = stored
        .iter()
        .map(|record| header(record, "content-type"))
        .collect();
    let kinds: Vec<_> = kinds.iter().map(Option::as_deref).collect();
    assert_eq!(
        kinds,
        [
            Some("application/json"),
            None,
            Some("application/octet-stream"),
            None,
            Some("application/json; charset=utf-8"),
        ]
    );
    let ids: BTreeSet<_> = ids.into_iter().collect();
    assert_eq!(ids.len(), requests.len(), "ids that are made up differ");
}

/// Goal: what a request says in its headers is found by whoever reads the record.
#[tokio::test(flavor = "multi_thread")]
async fn key_partition_and_headers_of_a_request_are_those_of_the_record() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 8, 1).await;
    let node = &cluster.nodes()[0];
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = HttpRequest::post("/publish/orders", "1")
        .header("X-KB-MessageID", "order-1")
        .header("Flotilla-Key", "customer-7")
        .header("Content-Type", "text/plain")
        .header("traceparent", trace)
        .header("tracestate", "shop=1")
        .header("Flotilla-Header-Source", "shop")
        .header("X-Request-Id", "not for the record");
    let answer = ask(&node.http_address(), &request).await.unwrap();
    assert_eq!(answer.json()["id"], "order-1");
    let (partition, _) = place(&answer);
    let stored = records(&client, &topic, PartitionIndex::new(partition)).await;
    assert_eq!(stored[0].key.as_deref(), Some(&b"customer-7"[..]));
    let found: BTreeSet<_> = stored[0]
        .headers
        .iter()
        .map(|found| (found.key.clone(), header(&stored[0], &found.key).unwrap()))
        .collect();
    let expected = [
        ("message-id", "order-1"),
        ("content-type", "text/plain"),
        ("traceparent", trace),
        ("tracestate", "shop=1"),
        ("source", "shop"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(found, BTreeSet::from(expected));

    phase("records with the same key stay together, and a partition that is named is taken");
    for number in 0..5 {
        let request = HttpRequest::post("/publish/orders", format!("with the key {number}"));
        let request = request.header("Flotilla-Key", "customer-7");
        let answer = ask(&node.http_address(), &request).await.unwrap();
        assert_eq!(place(&answer).0, partition);
    }
    for partition in 0..8 {
        let request = HttpRequest::post("/publish/orders", format!("in {partition}"));
        let request = request.header("Flotilla-Partition", partition.to_string());
        let answer = ask(&node.http_address(), &request).await.unwrap();
        assert_eq!(place(&answer).0, partition);
    }
    for (partition, status, code) in [
        ("8", 404, "UNKNOWN_PARTITION"),
        ("-1", 400, "INVALID_ARGUMENT"),
        ("first", 400, "INVALID_ARGUMENT"),
    ] {
        let request = HttpRequest::post("/publish/orders", "nowhere");
        let request = request.header("Flotilla-Partition", partition);
        let answer = ask(&node.http_address(), &request).await.unwrap();
        assert_problem(&answer, status, code);
    }
    assert_problem(
        &post(node, "/publish/missing", "x").await,
        404,
        "UNKNOWN_TOPIC",
    );
    assert_problem(
        &post(node, "/publish/no%20name", "x").await,
        400,
        "INVALID_TOPIC_NAME",
    );
}

/// Goal: a message id counts on every node, under both of its names.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_sent_through_two_nodes_is_stored_once() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 4, 3).await;
    let named = |header: &str, id: &str| {
        HttpRequest::post("/publish/orders", "the first").header(header, id)
    };
    let requests = [
        named("X-KB-MessageID", "order-1"),
        named("Idempotency-Key", "order-1"),
        named("Idempotency-Key", "\"order-1\"").header("X-KB-MessageID", "order-1"),
    ];
    let mut answers = Vec::new();
    for (node, request) in cluster.nodes().iter().zip(&requests) {
        answers.push(ask(&node.http_address(), request).await.unwrap());
    }
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(place(answer), place(&answers[0]));
        assert_eq!(answer.json()["duplicate"], number > 0);
        assert_eq!(answer.json()["id"], "order-1");
    }
    let node = &cluster.nodes()[0].http_address();
    let torn = named("X-KB-MessageID", "order-1").header("Idempotency-Key", "order-2");
    assert_problem(&ask(node, &torn).await.unwrap(), 400, "INVALID_ARGUMENT");
    for wrong in ["", "\"\"", &"x".repeat(257)] {
        let answer = ask(node, &named("Idempotency-Key", wrong)).await.unwrap();
        assert_problem(&answer, 400, "INVALID_ARGUMENT");
    }

    phase("many send the same messages at the same time through all nodes");
    let publishers = (0..9).map(|number| {
        let address = cluster.nodes()[number % 3].http_address();
        async move {
            let mut connection = HttpConnection::open(&address).await.unwrap();
            let mut places = Vec::new();
            for message in 0..30 {
                let request = HttpRequest::post("/publish/orders", format!("message {message}"));
                let request = request.header("Idempotency-Key", format!("message-{message}"));
                let answer = connection.ask(&request).await.unwrap();
                assert_eq!(answer.status, 200, "{}", answer.text());
                places.push(place(&answer));
            }
            places
        }
    });
    let answers = join_all(publishers).await;
    assert!(answers.iter().all(|places| *places == answers[0]));
    assert_eq!(places(&client, &topic, 4).await.len(), 31);
}

/// Goal: the size of a payload ends where it was promised, unless the topic says something else.
#[tokio::test(flavor = "multi_thread")]
async fn a_payload_has_at_most_64_kib_unless_the_topic_says_otherwise() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    create(&client, &name("orders"), 1, 1).await;
    create_with(&client, "large", "max_record_bytes", "200000").await;
    create_with(&client, "small", "max_record_bytes", "1000").await;
    let node = &cluster.nodes()[0];
    for (path, bytes, is_stored) in [
        ("/publish/orders", PAYLOAD_BYTES, true),
        ("/publish/orders", PAYLOAD_BYTES + 1, false),
        ("/publish/large", PAYLOAD_BYTES + 1, true),
        ("/publish/large", 199_000, true),
        ("/publish/large", 200_001, false),
        ("/publish/small", 900, true),
        ("/publish/small", 1_001, false),
        ("/publish/small", PAYLOAD_BYTES + 1, false),
    ] {
        phase(format_args!("{bytes} bytes to {path}"));
        let body: Vec<_> = (0..bytes).map(|number| number as u8).collect();
        let answer = post(node, path, body.clone()).await;
        if !is_stored {
            assert_eq!(answer.status, 413, "{}", answer.text());
            assert_eq!(answer.json()["definite"], true);
            continue;
        }
        assert_eq!(answer.status, 200, "{}", answer.text());
        let topic = name(path.strip_prefix("/publish/").unwrap());
        let stored = records(&client, &topic, FIRST).await;
        assert_eq!(stored.last().unwrap().value.as_deref(), Some(&*body));
    }
    for (topic, count) in [("orders", 1), ("large", 2), ("small", 1)] {
        assert_eq!(records(&client, &name(topic), FIRST).await.len(), count);
    }
}

/// Goal: each record of a request has an outcome, and what is wrong with one is nothing to the others.
#[tokio::test(flavor = "multi_thread")]
async fn one_bad_record_of_a_request_does_no_harm_to_the_others() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 2, 1).await;
    let node = &cluster.nodes()[0];
    let batch = json!([
        {"key": "k", "value": {"a": [1, 2.5, null]}, "partition": 0},
        {"key": "k", "value": "téxt", "partition": 0, "headers": [{"key": "h", "value": "v"}]},
        {"valu": 1},
        {"key": "k", "value_base64": "AP/+", "partition": 0},
        {"value": "x", "value_base64": "eA=="},
        {"value_base64": "?"},
        {"key": "k", "partition": 0},
        {"partition": 0},
        {"value": "nowhere", "partition": 99},
        {"key_base64": "/w==", "value": false, "partition": 1, "timestamp_ms": 1_700_000_000_000_i64},
        {"value": "once", "partition": 1, "message_id": "m"},
        {"value": "once", "partition": 1, "message_id": "m"},
        {"value": "?", "message_id": ""},
        "no record",
        ["no record either", null, "k"],
    ]);
    let (status, outcomes) = publish_many(node, "orders", &batch).await;
    assert_eq!(status, 207);
    let invalid = Some("INVALID_ARGUMENT");
    assert_eq!(
        codes(&outcomes),
        [
            None,
            None,
            invalid,
            None,
            invalid,
            invalid,
            None,
            invalid,
            Some("UNKNOWN_PARTITION"),
            None,
            None,
            None,
            invalid,
            invalid,
            invalid,
        ]
    );
    assert_eq!(outcomes[11]["duplicate"], true);
    assert_eq!(outcomes[11]["offset"], outcomes[10]["offset"]);

    let stored = records(&client, &topic, FIRST).await;
    let found: Vec<_> = stored
        .iter()
        .map(|record| record.value.as_deref())
        .collect();
    let expected: [Option<&[u8]>; 4] = [
        Some(br#"{"a":[1,2.5,null]}"#),
        Some("téxt".as_bytes()),
        Some(b"\x00\xff\xfe"),
        None,
    ];
    assert_eq!(found, expected, "in the order of the request");
    assert_eq!(header(&stored[1], "h").as_deref(), Some("v"));
    let id = outcomes[0]["id"].as_str();
    assert_eq!(header(&stored[0], "message-id").as_deref(), id);
    let second = records(&client, &topic, PartitionIndex::new(1)).await;
    assert_eq!(second.len(), 2);
    let odd = second.iter().find(|record| record.key.is_some()).unwrap();
    assert_eq!(odd.key.as_deref(), Some(&b"\xff"[..]));
    assert_eq!(value(odd), "false");
    assert_eq!(odd.timestamp.as_millis(), 1_700_000_000_000);

    phase("the same as lines");
    let lines = "{\"value\": 1, \"partition\": 1}\n\n{\"value\": \r\n{\"key\": \"k\", \"partition\": 1}\r\n";
    let request = HttpRequest::post("/v1/topics/orders/records", lines);
    let request = request.header("Content-Type", "application/x-ndjson");
    let answer = ask(&node.http_address(), &request).await.unwrap();
    assert_eq!(answer.status, 207, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let text = answer.text();
    let outcomes: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(codes(&outcomes), [None, invalid, None]);
    let second = records(&client, &topic, PartitionIndex::new(1)).await;
    assert_eq!(value(&second[2]), "1");
    assert_eq!(second[3].value, None, "a tombstone");
}

/// Goal: a request of many records is taken as a whole or not at all where its form is wrong, and keeps
/// its order.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_records_of_one_request_keep_their_order() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 3, 3).await;
    let node = &cluster.nodes()[0];
    let all: Vec<_> = (0..6_000)
        .map(|number| json!({"value": format!("{number:05}"), "partition": number % 3}))
        .collect();
    let (status, outcomes) = publish_many(node, "orders", &json!(all)).await;
    assert_eq!(status, 200);
    for partition in 0..3 {
        let expected: Vec<_> = (partition..6_000).step_by(3).collect();
        let values = values(&client, &topic, PartitionIndex::new(partition)).await;
        assert!(values.is_sorted(), "partition {partition} is out of order");
        assert_eq!(values.len(), expected.len());
        for (offset, number) in expected.into_iter().enumerate() {
            assert_eq!(outcomes[number as usize]["offset"], offset);
        }
    }
    let path = "/v1/topics/orders/records";
    let too_many = format!("[{}1]", "1,".repeat(10_000));
    for wrong in ["[]", "", "{\"value\": 1}", "[1", &too_many] {
        assert_problem(&post(node, path, wrong).await, 400, "INVALID_ARGUMENT");
    }
    let request = HttpRequest::post(path, "[]").header("Content-Type", "text/csv");
    let answer = ask(&node.http_address(), &request).await.unwrap();
    assert_problem(&answer, 415, "UNSUPPORTED_MEDIA_TYPE");
    assert_eq!(places(&client, &topic, 3).await.len(), 6_000);
}
