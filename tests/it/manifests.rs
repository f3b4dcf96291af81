//! The topics of a cluster are what a manifest says, or stay as they are.

use flotilla_client::{
    ApiError, ApplyOptions, Client, ErrorCode, Manifest, NewTopic, TopicChange, TopicChangeKind,
    TopicSpec,
};
use flotilla_protocol::v1;
use flotilla_protocol::v1::manifests_client::ManifestsClient;
use flotilla_tests::cluster::Cluster;
use flotilla_tests::phase::phase;

use crate::raw_api::RawNode;
use crate::topics::name;

const ORDER: &str = r#"{"type":"object","properties":{"id":{"type":"string"}}}"#;

fn spec(text: &str) -> TopicSpec {
    TopicSpec::new(name(text))
}

fn manifest(topics: &[TopicSpec]) -> Manifest {
    Manifest {
        topics: topics.to_vec(),
    }
}

async fn topic_names(client: &Client) -> Vec<String> {
    let topics = client.admin().list_topics().await.unwrap();
    topics.iter().map(|topic| topic.name.to_string()).collect()
}

fn kinds(changes: &[TopicChange]) -> Vec<(&str, TopicChangeKind)> {
    let changes = changes.iter();
    changes
        .map(|change| (change.topic.as_str(), change.kind))
        .collect()
}

/// Goal: a manifest makes topics what it says, all of them or none, and what was exported changes
/// nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_is_applied_whole_or_not_at_all() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let admin = client.admin();
    let apply = ApplyOptions::default();
    let dry_run = ApplyOptions {
        dry_run: true,
        ..ApplyOptions::default()
    };
    let mut orders = spec("orders");
    orders.partitions = Some(3);
    orders.schema = Some(ORDER.to_owned());
    orders.config = [("retention_ms".to_owned(), "60000".to_owned())].into();
    let topics = [orders.clone(), spec("payments")];

    phase("one impossible topic among good ones");
    let mut impossible = spec("impossible");
    impossible.replication_factor = Some(4);
    let all = manifest(&[orders.clone(), impossible, spec("payments")]);
    let before = admin.export_manifest().await.unwrap();
    for options in [&apply, &dry_run] {
        let refused = admin.apply_manifest(&all, options).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::NotEnoughNodes);
        assert!(refused.to_string().contains("impossible"), "{refused}");
    }
    let invalid = TopicSpec {
        schema: Some("{".to_owned()),
        ..spec("zebras")
    };
    let all = manifest(&[orders.clone(), invalid]);
    let refused = admin.apply_manifest(&all, &apply).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::SchemaInvalid);
    assert_eq!(admin.export_manifest().await.unwrap(), before);

    phase("only look");
    let all = manifest(&topics);
    let planned = admin.apply_manifest(&all, &dry_run).await.unwrap();
    let created = [
        ("orders", TopicChangeKind::Create),
        ("payments", TopicChangeKind::Create),
    ];
    assert_eq!(kinds(&planned.changes), created);
    assert_eq!(planned.etag, before.etag);
    assert_eq!(admin.export_manifest().await.unwrap(), before);

    phase("apply, twice");
    let applied = admin.apply_manifest(&all, &apply).await.unwrap();
    assert_eq!(applied.changes, planned.changes);
    let exported = admin.export_manifest().await.unwrap();
    assert_eq!(exported.etag, applied.etag);
    assert_eq!(topic_names(&client).await, ["orders", "payments"]);
    let again = admin.apply_manifest(&all, &apply).await.unwrap();
    assert_eq!((again.changes.len(), again.unchanged), (0, 2));
    assert_eq!(again.etag, applied.etag);
    let described = admin.describe_topic(&orders.name).await.unwrap();
    assert_eq!(described.partitions.len(), 3);
    assert_eq!(described.config["retention_ms"], "60000");
    let schemas = admin.list_schemas(&orders.name).await.unwrap();
    assert_eq!(schemas[0].schema, ORDER);

    phase("what was exported changes nothing, and what it lacks is put back");
    let same = admin.apply_manifest(&exported.manifest, &apply).await;
    assert_eq!(same.unwrap().changes, []);
    orders.config.clear();
    orders.partitions = Some(4);
    let changed = manifest(&[orders.clone()]);
    let updated = admin.apply_manifest(&changed, &apply).await.unwrap();
    assert_eq!(
        kinds(&updated.changes),
        [("orders", TopicChangeKind::Update)]
    );
    let fields = updated.changes[0].fields.iter();
    let fields: Vec<_> = fields.map(|field| field.name.as_str()).collect();
    assert_eq!(fields, ["partitions", "retention_ms"]);

    phase("what cannot be undone is refused");
    orders.partitions = Some(1);
    let fewer = manifest(&[orders.clone()]);
    let fewer = admin.apply_manifest(&fewer, &apply).await;
    assert_eq!(fewer.unwrap_err().code(), ErrorCode::InvalidArgument);
    orders.partitions = None;
    orders.replication_factor = Some(2);
    let other = admin.apply_manifest(&manifest(&[orders]), &apply).await;
    assert_eq!(other.unwrap_err().code(), ErrorCode::InvalidArgument);
}

/// Goal: nobody's change is lost to somebody who looked before it, and a manifest for another cluster
/// does nothing here.
#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_goes_by_what_was_seen_and_where() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let admin = client.admin();
    let seen = admin.export_manifest().await.unwrap();

    phase("somebody else creates a topic");
    let theirs = NewTopic::new(name("theirs"));
    admin.create_topic(theirs).await.unwrap();
    let ours = manifest(&[spec("ours")]);
    let stale = ApplyOptions {
        prune: true,
        if_etag: Some(seen.etag.clone()),
        ..ApplyOptions::default()
    };
    let refused = admin.apply_manifest(&ours, &stale).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::VersionConflict);
    assert_eq!(topic_names(&client).await, ["theirs"]);

    phase("another cluster");
    let elsewhere = ApplyOptions {
        cluster_id: Some("0".repeat(32)),
        ..ApplyOptions::default()
    };
    let refused = admin.apply_manifest(&ours, &elsewhere).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::ClusterMismatch);
    assert_eq!(topic_names(&client).await, ["theirs"]);

    phase("after another look");
    let seen = admin.export_manifest().await.unwrap();
    let fresh = ApplyOptions {
        if_etag: Some(seen.etag),
        cluster_id: Some(seen.cluster_id),
        ..ApplyOptions::default()
    };
    admin.apply_manifest(&ours, &fresh).await.unwrap();
    assert_eq!(topic_names(&client).await, ["ours", "theirs"]);
}

/// Goal: prune deletes what a manifest does not name, and never what is protected.
#[tokio::test(flavor = "multi_thread")]
async fn prune_spares_the_protected() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let admin = client.admin();
    let mut kept = spec("kept");
    kept.config = [("protected".to_owned(), "true".to_owned())].into();
    let all = manifest(&[kept, spec("named"), spec("surplus")]);
    admin
        .apply_manifest(&all, &ApplyOptions::default())
        .await
        .unwrap();
    let prune = ApplyOptions {
        prune: true,
        ..ApplyOptions::default()
    };
    let named = manifest(&[spec("named")]);
    let pruned = admin.apply_manifest(&named, &prune).await.unwrap();
    assert_eq!(
        kinds(&pruned.changes),
        [("surplus", TopicChangeKind::Delete)]
    );
    assert_eq!(pruned.protected, [name("kept")]);
    assert_eq!(pruned.unchanged, 1);
    assert_eq!(topic_names(&client).await, ["kept", "named"]);

    phase("a request without a manifest prunes nothing");
    let request = v1::ApplyManifestRequest {
        prune: true,
        ..v1::ApplyManifestRequest::default()
    };
    let mut manifests = ManifestsClient::new(RawNode::of(&cluster.nodes()[0]).channel());
    let refused = manifests.apply_manifest(request).await.unwrap_err();
    assert_eq!(ApiError::from(refused).code, ErrorCode::InvalidArgument);
    assert_eq!(topic_names(&client).await, ["kept", "named"]);
}

/// Goal: any node applies a manifest, and every other exports it at once.
#[tokio::test(flavor = "multi_thread")]
async fn every_node_applies_and_exports_manifests() {
    let cluster = Cluster::start(3).await;
    // More than the default limit of a message, so that it also has to get to the leader.
    let long = format!(r#"{{"description":"{}"}}"#, "x".repeat(60_000));
    for (node, number) in cluster.nodes().iter().zip(1..) {
        phase(format_args!("manifest {number}"));
        let topics = (0..100).map(|topic| v1::TopicSpec {
            name: format!("topic-{number}-{topic}"),
            replication_factor: Some(1),
            schema: Some(long.clone()),
            ..v1::TopicSpec::default()
        });
        let request = v1::ApplyManifestRequest {
            manifest: Some(v1::Manifest {
                topics: topics.collect(),
            }),
            prune: true,
            ..v1::ApplyManifestRequest::default()
        };
        let mut manifests = ManifestsClient::new(RawNode::of(node).channel());
        let applied = manifests.apply_manifest(request.clone()).await.unwrap();
        let applied = applied.into_inner();
        for node in cluster.nodes() {
            let manifests = ManifestsClient::new(RawNode::of(node).channel());
            let mut manifests = manifests.max_decoding_message_size(16 << 20);
            let exported = manifests.export_manifest(v1::ExportManifestRequest {});
            let exported = exported.await.unwrap().into_inner();
            assert_eq!(exported.etag, applied.etag);
            assert_eq!(exported.manifest.unwrap().topics.len(), 100);
        }
    }
}
