//! A topic with a schema takes what fits it, and an invalid record is refused alone.

use flotilla_client::{Client, PartitionIndex};
use flotilla_tests::cluster::{Cluster, Node};
use flotilla_tests::http::{HttpConnection, HttpRequest, ask};
use flotilla_tests::phase::phase;
use flotilla_tests::text::{TextConnection, publication};
use futures::future::join_all;
use serde_json::json;

use crate::doors::{assert_problem, place, places, values};
use crate::topics::{FIRST, create, name};

const ORDER: &str = r#"{"type":"object","properties":{"id":{"type":"string"}},"required":["id"]}"#;
const PUBLISHERS: usize = 9;
const RECORDS: usize = 60;

async fn register(node: &Node) {
    let request = HttpRequest::post("/v1/topics/orders/schemas", ORDER);
    let answer = ask(&node.http_address(), &request).await.unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
}

async fn cluster_with_schema(nodes: u64, partitions: u32) -> (Cluster, Client) {
    let cluster = Cluster::start(nodes).await;
    let client = cluster.client().await;
    create(&client, &name("orders"), partitions, nodes as u32).await;
    register(&cluster.nodes()[0]).await;
    (cluster, client)
}

#[track_caller]
fn assert_in_order(values: &[String]) {
    // What comes first of each payload is its number.
    let late = values.windows(2).find(|pair| pair[0] > pair[1]);
    let brief = |value: &String| value.chars().take(15).collect::<String>();
    let late = late.map(|pair| [brief(&pair[0]), brief(&pair[1])]);
    assert_eq!(late, None, "the second one was sent before the first");
}

/// Goal: of many who publish at the same time, those with invalid records are told so, and all others
/// have theirs stored.
#[tokio::test(flavor = "multi_thread")]
async fn invalid_records_among_many_are_refused_one_by_one() {
    let (cluster, client) = cluster_with_schema(3, 2).await;
    let publishers = (0..PUBLISHERS).map(|publisher| {
        let address = cluster.nodes()[publisher % 3].http_address();
        async move {
            let mut connection = HttpConnection::open(&address).await.unwrap();
            let mut stored = Vec::new();
            for number in 0..RECORDS {
                let id = format!("{publisher}-{number}");
                let is_valid = !(number + publisher).is_multiple_of(4);
                let body = match is_valid {
                    true => json!({"id": id}),
                    false => json!({"id": number, "of": publisher}),
                };
                let mut request = HttpRequest::post("/publish/orders", body.to_string());
                if publisher % 2 == 0 {
                    request = request.header("Idempotency-Key", id);
                }
                let answer = connection.ask(&request).await.unwrap();
                match is_valid {
                    true => {
                        assert_eq!(answer.status, 200, "{}", answer.text());
                        stored.push((body.to_string(), place(&answer)));
                    }
                    false => {
                        assert_problem(&answer, 422, "RECORD_INVALID");
                        assert_eq!(answer.json()["definite"], true);
                        assert_eq!(answer.json()["retryable"], false);
                    }
                }
            }
            stored
        }
    });
    let stored = join_all(publishers).await.concat();
    let found = places(&client, &name("orders"), 2).await;
    assert_eq!(found, stored.into_iter().collect());
}

/// Goal: in a request of many records the valid ones are stored in their order, wherever among them the
/// invalid ones are.
#[tokio::test(flavor = "multi_thread")]
async fn valid_records_of_a_request_keep_their_order_around_invalid_ones() {
    let (cluster, client) = cluster_with_schema(1, 1).await;
    // Far more than fits into one batch.
    let padding = "x".repeat(1_500);
    let records = (0..3_000).map(|number| match number % 500 {
        250 => json!({"value": {"id": number, "padding": padding}}),
        _ => json!({"value": {"id": format!("{number:05}"), "padding": padding}}),
    });
    let body = json!(records.collect::<Vec<_>>()).to_string();
    let request = HttpRequest::post("/v1/topics/orders/records", body);
    let address = cluster.nodes()[0].http_address();
    let answer = ask(&address, &request).await.unwrap();
    assert_eq!(answer.status, 207, "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["published"], 2_994);
    for (number, outcome) in body["outcomes"].as_array().unwrap().iter().enumerate() {
        let code = (number % 500 == 250).then_some("RECORD_INVALID");
        assert_eq!(outcome["code"].as_str(), code, "{number}: {outcome}");
    }
    let values = values(&client, &name("orders"), FIRST).await;
    assert_eq!(values.len(), 2_994);
    assert_in_order(&values);
}

/// Goal: the same for what one connection of the text protocol sends without a wait for answers.
#[tokio::test(flavor = "multi_thread")]
async fn pipelined_records_keep_their_order_around_invalid_ones() {
    let (cluster, client) = cluster_with_schema(1, 1).await;
    let address = cluster.nodes()[0].text_address();
    let TextConnection {
        mut reader,
        mut writer,
    } = TextConnection::open(&address).await.unwrap();
    let is_valid = |number: usize| number % 100 != 50;
    let sending = async {
        for number in 0..1_000 {
            let payload = match is_valid(number) {
                true => json!({"id": format!("{number:05}")}),
                false => json!({"id": number}),
            };
            let bytes = publication("orders", payload.to_string().as_bytes());
            writer.write(bytes).await.unwrap();
        }
    };
    let reading = async {
        for number in 0..1_000 {
            let line = reader.line().await.unwrap();
            let expected = match is_valid(number) {
                true => "OK ",
                false => "ERR RECORD_INVALID ",
            };
            assert!(line.starts_with(expected), "{number}: {line}");
        }
    };
    tokio::join!(sending, reading);
    phase("read it back");
    let values = values(&client, &name("orders"), PartitionIndex::new(0)).await;
    assert_eq!(values.len(), 990);
    assert_in_order(&values);
}
