//! Schemas of topics come in versions that fit one another, and every node knows them.

use std::collections::BTreeMap;

use flotilla_client::{ApiError, CheckedSchema, ErrorCode, RegisteredSchema};
use flotilla_protocol::v1;
use flotilla_protocol::v1::schema_admin_client::SchemaAdminClient;
use flotilla_tests::cluster::Cluster;
use flotilla_tests::phase::phase;

use crate::raw_api::RawNode;
use crate::topics::{create, name};

const ORDER: &str = r#"{"type":"object","properties":{"id":{"type":"string"}},"required":["id"]}"#;
const ORDER_OTHERWISE_SPACED: &str = r#"{ "required": ["id"], "type": "object",
    "properties": { "id": { "type": "string" } } }"#;
const ORDER_WITH_NOTE: &str = r#"{"type":"object","properties":{"id":{"type":"string"},
    "note":{"type":"string"}},"required":["id"]}"#;
const NUMBERED_ORDER: &str =
    r#"{"type":"object","properties":{"id":{"type":"integer"}},"required":["id"]}"#;

/// Goal: a topic gets versions of its schema that are compatible, one after the other, and refuses
/// others with the reason.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_takes_schemas_that_fit_its_latest_one() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let admin = client.admin();
    let topic = name("orders");
    create(&client, &topic, 1, 3).await;
    assert!(admin.list_schemas(&topic).await.unwrap().is_empty());

    phase("the first version");
    let checked = admin.check_schema(&topic, ORDER).await.unwrap();
    assert_eq!((checked.version, checked.is_new), (1, true));
    assert!(admin.list_schemas(&topic).await.unwrap().is_empty());
    let first = admin.register_schema(&topic, ORDER, Some(0)).await.unwrap();
    assert_eq!((first.version, first.created), (1, true));

    phase("the same one is no new version, however it is spaced");
    let same = admin.register_schema(&topic, ORDER_OTHERWISE_SPACED, None);
    let expected = RegisteredSchema {
        version: 1,
        created: false,
    };
    assert_eq!(same.await.unwrap(), expected);
    let checked = admin.check_schema(&topic, ORDER).await.unwrap();
    let expected = CheckedSchema {
        version: 1,
        is_new: false,
    };
    assert_eq!(checked, expected);

    phase("what does not fit is refused with its place");
    let checked = admin.check_schema(&topic, NUMBERED_ORDER).await;
    let registered = admin.register_schema(&topic, NUMBERED_ORDER, None).await;
    for refused in [checked.map(drop), registered.map(drop)] {
        let error = refused.unwrap_err();
        assert_eq!(error.code(), ErrorCode::SchemaIncompatible);
        assert!(error.to_string().contains("/properties/id"), "{error}");
        assert!(error.is_definite());
    }
    let wrong = admin.register_schema(&topic, r#"{"type":"colour"}"#, None);
    assert_eq!(wrong.await.unwrap_err().code(), ErrorCode::SchemaInvalid);

    phase("who goes by an old version is told");
    let stale = admin.register_schema(&topic, ORDER_WITH_NOTE, Some(0));
    assert_eq!(stale.await.unwrap_err().code(), ErrorCode::VersionConflict);
    let next = admin.register_schema(&topic, ORDER_WITH_NOTE, Some(1));
    assert_eq!(next.await.unwrap().version, 2);

    phase("another mode lets in what did not fit");
    let none = BTreeMap::from([("schema_compatibility".to_owned(), "none".to_owned())]);
    admin.alter_topic(&topic, none, Vec::new()).await.unwrap();
    let third = admin.register_schema(&topic, NUMBERED_ORDER, None).await;
    assert_eq!(third.unwrap().version, 3);
    let versions = admin.list_schemas(&topic).await.unwrap();
    let texts: Vec<_> = versions.iter().map(|version| &*version.schema).collect();
    assert_eq!(texts, [ORDER, ORDER_WITH_NOTE, NUMBERED_ORDER]);
    let numbers: Vec<_> = versions.iter().map(|version| version.version).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert!(versions[0].created_at.as_millis() > 0);
}

/// Goal: any node takes a schema, and every other knows it at once.
#[tokio::test(flavor = "multi_thread")]
async fn every_node_takes_and_tells_schemas() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    create(&client, &name("orders"), 1, 3).await;
    let schemas = |node| SchemaAdminClient::new(RawNode::of(node).channel());
    let list = v1::ListSchemasRequest {
        topic: "orders".to_owned(),
    };
    for (node, version) in cluster.nodes().iter().zip(1..) {
        phase(format_args!("version {version}"));
        let properties = (1..=version).map(|number| format!(r#""p{number}":{{"type":"string"}}"#));
        let properties = properties.collect::<Vec<_>>().join(",");
        let request = v1::RegisterSchemaRequest {
            topic: "orders".to_owned(),
            schema: format!(r#"{{"type":"object","properties":{{{properties}}}}}"#),
            latest_version: Some(version - 1),
        };
        let registered = schemas(node).register_schema(request).await.unwrap();
        assert_eq!(registered.into_inner().version, version);
        for node in cluster.nodes() {
            let versions = schemas(node).list_schemas(list.clone()).await.unwrap();
            assert_eq!(versions.into_inner().versions.len(), version as usize);
        }
    }
    for node in cluster.nodes() {
        let missing = v1::ListSchemasRequest {
            topic: "missing".to_owned(),
        };
        let refused = schemas(node).list_schemas(missing).await.unwrap_err();
        assert_eq!(ApiError::from(refused).code, ErrorCode::UnknownTopic);
    }

    phase("they survive a start of all nodes");
    cluster.kill_all();
    cluster.start_all().await;
    let versions = client.admin().list_schemas(&name("orders")).await;
    assert_eq!(versions.unwrap().len(), 3);
}
