//! Records go out over HTTP: from any place, page by page, and as they come.

use std::collections::BTreeSet;
use std::time::Duration;

use flotilla_tests::cluster::{Cluster, ClusterOptions, Node};
use flotilla_tests::condition::until;
use flotilla_tests::http::{EventStream, HttpAnswer, HttpRequest, ServerEvent, ask, get};
use flotilla_tests::phase::phase;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::doors::assert_problem;
use crate::topics::{create, name};

const LIMIT: Duration = Duration::from_secs(20);
/// 2023-11-14T22:13:20Z, the age of the first record.
const FIRST_MS: u64 = 1_700_000_000_000;

async fn look(node: &Node, query: &str) -> HttpAnswer {
    let path = format!("/v1/topics/orders/records{query}");
    get(&node.http_address(), &path).await.unwrap()
}

async fn publish(node: &Node, partition: usize, value: usize) {
    let request = HttpRequest::post("/publish/orders", value.to_string());
    let request = request.header("Flotilla-Partition", partition.to_string());
    let answer = ask(&node.http_address(), &request).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Stores 25 records in partition 0, a second apart.
async fn publish_a_second_apart(node: &Node) {
    let records = (0..25).map(|number| {
        json!({"value": number, "partition": 0, "timestamp_ms": FIRST_MS + number * 1_000})
    });
    let body = json!(records.collect::<Vec<_>>()).to_string();
    let request = HttpRequest::post("/v1/topics/orders/records", body);
    let answer = ask(&node.http_address(), &request).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn offsets(answer: &HttpAnswer) -> Vec<u64> {
    let body = answer.json();
    let records = body["records"].as_array().unwrap().iter();
    records
        .map(|record| record["offset"].as_u64().unwrap())
        .collect()
}

/// Goal: a reader without a position of its own gets from any node what it asks for, and goes from
/// answer to answer to the end.
#[tokio::test(flavor = "multi_thread")]
async fn records_are_read_from_any_place_and_any_node() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    create(&client, &name("orders"), 2, 1).await;
    publish_a_second_apart(&cluster.nodes()[0]).await;
    for node in cluster.nodes() {
        let mut next = 0;
        let mut read = Vec::new();
        loop {
            let answer = look(node, &format!("?offset={next}&limit=10")).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(answer.json()["start_offset"], next);
            read.extend(offsets(&answer));
            next = answer.json()["next_offset"].as_u64().unwrap();
            assert_eq!(next, read.len() as u64);
            if answer.json()["high_watermark"] == next {
                break;
            }
            assert_eq!(read.len() % 10, 0, "a page is full unless it is the last");
        }
        assert!(read.iter().copied().eq(0..25));

        for (query, expected) in [
            ("", 0..25),
            ("?offset=earliest&limit=3", 0..3),
            ("?offset=latest", 25..25),
            ("?offset=25", 25..25),
            ("?offset=24&partition=0", 24..25),
            ("?partition=1", 0..0),
            ("?max_bytes=1&offset=7", 7..8),
            ("?time=2023-11-14T22:13:20Z&limit=2", 0..2),
            ("?time=2023-11-14T22:13:23.5Z&limit=1", 4..5),
            ("?time=2023-11-14T23:13:24%2B01:00&limit=1", 4..5),
            ("?time=1700000010000", 10..25),
            ("?time=1700000024001", 25..25),
            ("?time=0&limit=1", 0..1),
        ] {
            let answer = look(node, query).await;
            assert_eq!(answer.status, 200, "{query}: {}", answer.text());
            let body = answer.json();
            assert_eq!(body["start_offset"], expected.start, "{query}");
            assert_eq!(body["next_offset"], expected.end, "{query}");
            assert!(offsets(&answer).into_iter().eq(expected), "{query}");
        }
    }
    let answer = look(&cluster.nodes()[1], "?offset=4&limit=1").await;
    let mut record = answer.json()["records"][0].clone();
    let id = record["headers"][0]["value"].take();
    assert_eq!(id.as_str().map(str::len), Some(36));
    let expected = json!({
        "partition": 0, "offset": 4, "timestamp_ms": FIRST_MS + 4_000, "time": "2023-11-14T22:13:24.000Z",
        "value": "4", "headers": [{"key": "message-id", "value": null}],
    });
    assert_eq!(record, expected);
}

/// Goal: a read that makes no sense is told which one would.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_makes_no_sense_is_refused() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    create(&client, &name("orders"), 1, 1).await;
    let node = &cluster.nodes()[0];
    publish_a_second_apart(node).await;
    for (query, status, code) in [
        ("?offset=26", 416, "OFFSET_OUT_OF_RANGE"),
        ("?offset=18446744073709551615", 416, "OFFSET_OUT_OF_RANGE"),
        ("?offset=18446744073709551616", 400, "INVALID_ARGUMENT"),
        ("?offset=-1", 400, "INVALID_ARGUMENT"),
        ("?offset=first", 400, "INVALID_ARGUMENT"),
        ("?offset=1&time=1", 400, "INVALID_ARGUMENT"),
        ("?time=yesterday", 400, "INVALID_ARGUMENT"),
        ("?limit=0", 400, "INVALID_ARGUMENT"),
        ("?limit=10001", 400, "INVALID_ARGUMENT"),
        ("?max_bytes=0", 400, "INVALID_ARGUMENT"),
        ("?max_bytes=8388609", 400, "INVALID_ARGUMENT"),
        ("?wait_ms=30001", 400, "INVALID_ARGUMENT"),
        ("?lmit=1", 400, "INVALID_ARGUMENT"),
        ("?partition=1", 404, "UNKNOWN_PARTITION"),
        ("?partition=x", 400, "INVALID_ARGUMENT"),
    ] {
        phase(query);
        assert_problem(&look(node, query).await, status, code);
    }
    let address = node.http_address();
    let missing = get(&address, "/v1/topics/missing/records").await.unwrap();
    assert_problem(&missing, 404, "UNKNOWN_TOPIC");
    let missing = get(&address, "/v1/topics/missing/tail").await.unwrap();
    assert_problem(&missing, 404, "UNKNOWN_TOPIC");
    for (query, status, code) in [
        ("?from=3", 400, "INVALID_ARGUMENT"),
        ("?from=x", 400, "INVALID_ARGUMENT"),
        ("?form=latest", 400, "INVALID_ARGUMENT"),
        ("?partition=1", 404, "UNKNOWN_PARTITION"),
        ("?partition=1&from=0", 404, "UNKNOWN_PARTITION"),
        ("?partition=0&from=26", 416, "OFFSET_OUT_OF_RANGE"),
    ] {
        let path = format!("/v1/topics/orders/tail{query}");
        assert_problem(&get(&address, &path).await.unwrap(), status, code);
    }
}

/// Goal: whoever waits at the end of the log is woken by the next record, and no later.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_ends_with_the_record_that_it_waits_for() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    create(&client, &name("orders"), 1, 3).await;
    let [first, second, third] = cluster.nodes() else {
        panic!("there are three")
    };
    let begun = Instant::now();
    let answer = look(second, "?wait_ms=300").await;
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!((answer.status, offsets(&answer)), (200, vec![]));

    let begun = Instant::now();
    let publishing = async {
        // As long as this takes, the others wait.
        look(first, "?wait_ms=500").await;
        publish(first, 0, 1).await;
        begun.elapsed()
    };
    let (one, other, published_after) = tokio::join!(
        look(second, "?offset=0&wait_ms=30000"),
        look(third, "?offset=latest&wait_ms=30000"),
        publishing,
    );
    assert!(begun.elapsed() < published_after + Duration::from_secs(10));
    assert_eq!(offsets(&one), [0]);
    assert_eq!(offsets(&other), [0]);
}

/// Number and payload of the record of an event.
fn number(event: &ServerEvent) -> (u64, usize) {
    assert_eq!(event.kind, "record", "{event:?}");
    let record: Value = serde_json::from_str(&event.data).unwrap();
    let value = record["value"].as_str().unwrap();
    (
        record["partition"].as_u64().unwrap(),
        value.parse().unwrap(),
    )
}

fn tail_from(last_event_id: &str) -> HttpRequest {
    // Whoever knows how far they are goes on there, whatever else they say.
    HttpRequest::get("/v1/topics/orders/tail?from=latest").header("Last-Event-ID", last_event_id)
}

/// Goal: a tail shows records as they come, and goes on at another node, after its own was killed, with
/// neither a gap nor a repetition.
#[tokio::test(flavor = "multi_thread")]
async fn a_tail_goes_on_at_another_node_where_it_was_cut_off() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    create(&client, &name("orders"), 2, 3).await;
    publish(&cluster.nodes()[0], 0, 1_000).await;
    let mut seen = Vec::new();

    phase("who begins at the end sees only what comes");
    let latest = HttpRequest::get("/v1/topics/orders/tail");
    let address = cluster.nodes()[0].http_address();
    let mut events = EventStream::open(&address, &latest).await.unwrap();
    for value in 0..20 {
        publish(&cluster.nodes()[1], value % 2, value).await;
        let event = events.next().await.unwrap();
        assert_eq!(number(&event), (value as u64 % 2, value));
        seen.push(event);
    }

    phase("the reader goes, and comes back to another node");
    drop(events);
    for value in 20..40 {
        publish(&cluster.nodes()[1], value % 2, value).await;
    }
    let request = tail_from(&seen.last().unwrap().id);
    let address = cluster.nodes()[2].http_address();
    let mut events = EventStream::open(&address, &request).await.unwrap();
    for _ in 0..7 {
        seen.push(events.next().await.unwrap());
    }

    phase("its node is killed");
    let victim = cluster.nodes()[2].id();
    cluster.node_mut(victim).kill();
    while let Ok(event) = events.next().await {
        seen.push(event);
    }
    for value in 40..60 {
        publish(&cluster.nodes()[0], value % 2, value).await;
    }
    let request = tail_from(&seen.last().unwrap().id);
    let address = cluster.nodes()[1].http_address();
    let mut events = EventStream::open(&address, &request).await.unwrap();
    while seen.len() < 60 {
        seen.push(events.next().await.unwrap());
    }
    let numbers: Vec<_> = seen.iter().map(number).collect();
    let all: BTreeSet<_> = numbers.iter().copied().collect();
    let expected: BTreeSet<_> = (0..60).map(|value| (value as u64 % 2, value)).collect();
    assert_eq!(all, expected);
    for partition in 0..2 {
        let of_it = numbers.iter().filter(|(found, _)| *found == partition);
        assert!(of_it.is_sorted(), "{numbers:?}");
    }

    phase("from the beginning, of one partition");
    let earliest = HttpRequest::get("/v1/topics/orders/tail?partition=0&from=earliest");
    let mut events = EventStream::open(&address, &earliest).await.unwrap();
    assert_eq!(number(&events.next().await.unwrap()), (0, 1_000));
    let third = HttpRequest::get("/v1/topics/orders/tail?partition=0&from=3");
    let mut events = EventStream::open(&address, &third).await.unwrap();
    assert_eq!(number(&events.next().await.unwrap()), (0, 4));
}

/// Goal: one tail too many is told so, and the place of one that has gone is free again.
#[tokio::test(flavor = "multi_thread")]
async fn a_tail_that_has_gone_makes_room_for_another() {
    let cluster = Cluster::start_with(ClusterOptions {
        node_count: 1,
        settings: vec![("http.tails_max", "1".to_owned())],
    })
    .await;
    let client = cluster.client().await;
    create(&client, &name("orders"), 1, 1).await;
    let address = cluster.nodes()[0].http_address();
    let request = HttpRequest::get("/v1/topics/orders/tail");
    let first = EventStream::open(&address, &request).await.unwrap();
    let refused = ask(&address, &request).await.unwrap();
    assert_problem(&refused, 503, "OVERLOADED");
    assert_eq!(refused.header("retry-after"), Some("1"));
    drop(first);
    until("there is room for another tail", LIMIT, async || {
        EventStream::open(&address, &request).await.ok()
    })
    .await;
}
