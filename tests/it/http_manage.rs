//! Topics, schemas and consumer groups are managed over HTTP, through any node.

use std::collections::BTreeSet;

use flotilla_client::{GroupConfig, GroupId, Offset, Subscription};
use flotilla_tests::cluster::{Cluster, Node};
use flotilla_tests::http::{HttpAnswer, HttpRequest, ask};
use flotilla_tests::phase::phase;
use serde_json::{Value, json};

use crate::doors::assert_problem;
use crate::topics::{create, name};

async fn call(node: &Node, method: &'static str, path: &str, body: Value) -> HttpAnswer {
    let request = HttpRequest::new(method, path);
    let request = match body {
        Value::Null => request,
        body => request
            .header("Content-Type", "application/json")
            .body(body.to_string()),
    };
    ask(&node.http_address(), &request).await.unwrap()
}

#[track_caller]
fn names(answer: &HttpAnswer, list: &str, key: &str) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    let lines = body[list].as_array().unwrap().iter();
    lines
        .map(|line| line[key].as_str().unwrap().to_owned())
        .collect()
}

/// Goal: a topic is created, described, changed and deleted, each time through another node.
#[tokio::test(flavor = "multi_thread")]
async fn topics_are_managed_through_any_node() {
    let cluster = Cluster::start(3).await;
    let [one, two, three] = cluster.nodes() else {
        panic!("there are three")
    };
    let new = json!({"name": "orders", "partitions": 2, "config": {"retention_ms": "3600000"}});
    let created = call(one, "POST", "/v1/topics", new.clone()).await;
    assert_eq!(created.status, 201, "{}", created.text());
    assert_eq!(created.header("location"), Some("/v1/topics/orders"));
    let described = call(two, "GET", "/v1/topics/orders", Value::Null).await;
    assert_eq!(described.status, 200);
    let body = described.json();
    assert_eq!(body["name"], "orders");
    assert_eq!(body["replication_factor"], 3);
    assert_eq!(body["config"]["retention_ms"], "3600000");
    assert_eq!(body["partitions"][1]["partition"], 1);
    let replicas = body["partitions"][1]["replicas"].as_array().unwrap();
    let replicas: BTreeSet<_> = replicas.iter().map(|node| node.as_u64().unwrap()).collect();
    assert_eq!(replicas, BTreeSet::from([1, 2, 3]));
    let again = call(three, "POST", "/v1/topics", new).await;
    assert_problem(&again, 409, "TOPIC_EXISTS");

    phase("change it");
    let change =
        json!({"config": {"retention_ms": null, "max_record_bytes": "5000"}, "partitions": 3});
    let changed = call(two, "PATCH", "/v1/topics/orders", change).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    let body = changed.json();
    assert_eq!(body["config"]["max_record_bytes"], "5000");
    assert_ne!(body["config"]["retention_ms"], "3600000");
    assert_eq!(body["partitions"].as_array().unwrap().len(), 3);
    for (change, code) in [
        (json!({"config": {"retention": "1"}}), "CONFIG_INVALID"),
        (
            json!({"config": {"retention_ms": "long"}}),
            "CONFIG_INVALID",
        ),
        (json!({"partitions": 1}), "INVALID_ARGUMENT"),
        (json!({"partition": 4}), "INVALID_ARGUMENT"),
        (json!([]), "INVALID_ARGUMENT"),
    ] {
        let refused = call(one, "PATCH", "/v1/topics/orders", change).await;
        assert_problem(&refused, 400, code);
    }
    for (new, code) in [
        (json!({"name": "a b"}), "INVALID_TOPIC_NAME"),
        (json!({"name": "a", "partitions": 0}), "INVALID_ARGUMENT"),
        (json!({"name": "a", "partitions": -1}), "INVALID_ARGUMENT"),
        (json!({"partitions": 1}), "INVALID_ARGUMENT"),
    ] {
        assert_problem(&call(one, "POST", "/v1/topics", new).await, 400, code);
    }
    let request = HttpRequest::post("/v1/topics", "name=a");
    let request = request.header("Content-Type", "application/xml");
    let refused = ask(&one.http_address(), &request).await.unwrap();
    assert_problem(&refused, 415, "UNSUPPORTED_MEDIA_TYPE");

    phase("list topics, page by page");
    for topic in ["a", "b", "c"] {
        let created = call(three, "POST", "/v1/topics", json!({"name": topic})).await;
        assert_eq!(created.status, 201, "{}", created.text());
    }
    let page = call(one, "GET", "/v1/topics?limit=2", Value::Null).await;
    assert_eq!(names(&page, "topics", "name"), ["a", "b"]);
    assert_eq!(page.json()["next"], "b");
    let page = call(two, "GET", "/v1/topics?limit=2&after=b", Value::Null).await;
    assert_eq!(names(&page, "topics", "name"), ["c", "orders"]);
    assert_eq!(page.json()["next"], Value::Null);

    phase("delete it");
    let deleted = call(three, "DELETE", "/v1/topics/orders", Value::Null).await;
    assert_eq!((deleted.status, deleted.text().as_str()), (204, ""));
    for (node, method) in [(one, "GET"), (two, "DELETE"), (three, "PATCH")] {
        let missing = call(node, method, "/v1/topics/orders", json!({})).await;
        assert_problem(&missing, 404, "UNKNOWN_TOPIC");
    }
}

/// Goal: a topic's schema gets versions that fit one another.
#[tokio::test(flavor = "multi_thread")]
async fn schemas_of_a_topic_are_managed_through_any_node() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    create(&client, &name("orders"), 1, 3).await;
    let [one, two, three] = cluster.nodes() else {
        panic!("there are three")
    };
    let path = "/v1/topics/orders/schemas";
    let order = json!({"type": "object", "properties": {"id": {"type": "string"}}});
    let noted = json!({"type": "object", "properties": {"id": {"type": "string"}, "note": {"type": "string"}}});
    let numbered = json!({"type": "object", "properties": {"id": {"type": "integer"}}});
    let none = call(one, "GET", &format!("{path}/latest"), Value::Null).await;
    assert_problem(&none, 404, "UNKNOWN_SCHEMA");
    for (node, schema, status, version) in [
        (one, &order, 201, 1),
        (two, &order, 200, 1),
        (three, &noted, 201, 2),
    ] {
        let registered = call(node, "POST", path, schema.clone()).await;
        assert_eq!(registered.status, status, "{}", registered.text());
        let expected = json!({"version": version, "created": status == 201});
        assert_eq!(registered.json(), expected);
    }
    let refused = call(one, "POST", path, numbered.clone()).await;
    assert_problem(&refused, 409, "SCHEMA_INCOMPATIBLE");
    let refused = call(two, "POST", path, json!({"type": "colour"})).await;
    assert_problem(&refused, 400, "SCHEMA_INVALID");
    let stale = format!("{path}?latest_version=1");
    let refused = call(three, "POST", &stale, numbered).await;
    assert_problem(&refused, 409, "VERSION_CONFLICT");

    let versions = call(one, "GET", path, Value::Null).await.json();
    assert_eq!(versions["versions"][0]["schema"], order);
    assert_eq!(versions["versions"][1]["schema"], noted);
    assert!(versions["versions"][0]["created_at"].is_string());
    for (version, expected) in [("1", &order), ("2", &noted), ("latest", &noted)] {
        let shown = call(two, "GET", &format!("{path}/{version}"), Value::Null).await;
        assert_eq!(shown.json()["schema"], *expected);
    }
    let missing = call(one, "GET", &format!("{path}/3"), Value::Null).await;
    assert_problem(&missing, 404, "UNKNOWN_SCHEMA");
    let wrong = call(one, "GET", &format!("{path}/first"), Value::Null).await;
    assert_problem(&wrong, 400, "INVALID_ARGUMENT");
}

/// Goal: a group begins with the offsets that it is given, shows how far it lags, and goes.
#[tokio::test(flavor = "multi_thread")]
async fn groups_are_managed_through_any_node() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    create(&client, &name("orders"), 2, 3).await;
    let [one, two, three] = cluster.nodes() else {
        panic!("there are three")
    };
    let records: Vec<_> = (0..10)
        .map(|number| json!({"value": number, "partition": 0}))
        .collect();
    let stored = call(one, "POST", "/v1/topics/orders/records", json!(records)).await;
    assert_eq!(stored.status, 200, "{}", stored.text());
    let unknown = call(one, "GET", "/v1/groups/billing", Value::Null).await;
    assert_problem(&unknown, 404, "UNKNOWN_GROUP");

    phase("offsets make a group");
    let path = "/v1/groups/billing/offsets";
    let offsets = json!({"offsets": [
        {"topic": "orders", "partition": 0, "offset": 4},
        {"topic": "orders", "partition": 1, "offset": 0},
    ]});
    let set = call(two, "PUT", path, offsets).await;
    assert_eq!((set.status, set.text().as_str()), (204, ""));
    let described = call(three, "GET", "/v1/groups/billing", Value::Null).await;
    assert_eq!(described.status, 200, "{}", described.text());
    let body = described.json();
    assert_eq!(
        (&body["group"], &body["members"]),
        (&json!("billing"), &json!([]))
    );
    let first = &body["partitions"][0];
    assert_eq!(first["committed_offset"], 4);
    assert_eq!(first["high_watermark"], 10);
    assert_eq!(first["lag"], 6);
    assert!(first["lag_seconds"].as_f64().unwrap() >= 0.0);
    assert_eq!(body["partitions"][1]["lag"], 0);
    let listed = call(one, "GET", "/v1/groups", Value::Null).await;
    assert_eq!(names(&listed, "groups", "group"), ["billing"]);
    let at = |topic: &str, offset: u64| json!({"offsets": [{"topic": topic, "partition": 0, "offset": offset}]});
    for (offsets, status, code) in [
        (at("missing", 1), 404, "UNKNOWN_TOPIC"),
        (json!({"offsets": []}), 400, "INVALID_ARGUMENT"),
        (json!({"offset": 1}), 400, "INVALID_ARGUMENT"),
        (
            json!({"offsets": [
                {"topic": "orders", "partition": 0, "offset": 1},
                {"topic": "orders", "partition": 0, "offset": 2},
            ]}),
            400,
            "INVALID_ARGUMENT",
        ),
    ] {
        assert_problem(&call(two, "PUT", path, offsets).await, status, code);
    }

    phase("a member goes on from there, and keeps others from moving the group");
    let group = GroupId::parse("billing").unwrap();
    let config = GroupConfig::new(group, Subscription::Topics(vec![name("orders")]));
    let mut member = client.group_consumer(config).unwrap();
    let record = member.poll(1).await.unwrap();
    assert_eq!(record[0].offset, Offset::new(4));
    let refused = call(one, "PUT", path, at("orders", 0)).await;
    assert_problem(&refused, 409, "GROUP_NOT_EMPTY");
    let refused = call(two, "DELETE", "/v1/groups/billing", Value::Null).await;
    assert_problem(&refused, 409, "GROUP_NOT_EMPTY");
    let described = call(three, "GET", "/v1/groups/billing", Value::Null).await;
    assert_eq!(described.json()["members"].as_array().unwrap().len(), 1);
    member.close().await.unwrap();

    phase("it goes");
    let deleted = call(one, "DELETE", "/v1/groups/billing", Value::Null).await;
    assert_eq!(deleted.status, 204, "{}", deleted.text());
    let unknown = call(two, "DELETE", "/v1/groups/billing", Value::Null).await;
    assert_problem(&unknown, 404, "UNKNOWN_GROUP");
}
