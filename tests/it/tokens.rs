//! Tokens of an issuer that the cluster trusts.

use std::time::Duration;

use flotilla_client::{
    Client, ClientConfig, ClientError, Credentials, ErrorCode, NewTopic, ProducerRecord,
    Publication,
};
use flotilla_tests::cluster::{Certificates, Cluster, ClusterOptions};
use flotilla_tests::condition::until;
use flotilla_tests::http::{HttpAnswer, HttpRequest, ask};
use flotilla_tests::issuer::Issuer;
use flotilla_tests::phase::phase;
use flotilla_tests::text::{TextConnection, publication};
use tempfile::TempDir;

use crate::doors::{assert_problem, values};
use crate::topics::{FIRST, name};

/// Longer than nodes take to hear of a change.
const PATIENCE: Duration = Duration::from_secs(20);
const SCOPE: &str = "kbroker-inbox.event-publish";
const OWN: &str = "integrations.weather.data";
const OTHER: &str = "integrations.traffic.data";

async fn client(cluster: &Cluster, token: &str) -> Client {
    let connecting = Client::connect(ClientConfig {
        credentials: Some(Credentials::bearer(token).unwrap()),
        ..cluster.client_config()
    });
    connecting.await.unwrap()
}

async fn publish(client: &Client, topic: &str) -> Result<(), ClientError> {
    let record = ProducerRecord::new(name(topic), "over gRPC");
    let mut outcomes = client.publish(vec![Publication::new(record)]).await;
    outcomes.pop().unwrap().map(drop)
}

async fn post(cluster: &Cluster, number: usize, topic: &str, token: &str) -> HttpAnswer {
    let request = HttpRequest::post(format!("/publish/{topic}"), "over HTTP");
    let request = request.header("authorization", format!("Bearer {token}"));
    let address = cluster.nodes()[number].http_address();
    ask(&address, &request).await.unwrap()
}

/// Goal: an integration with a token of the company's issuer publishes to the topic that its claims name, through
/// every door of every node, and to no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_its_own_topic_and_no_other() {
    let directory = TempDir::with_prefix("flotilla-issuer-").unwrap();
    let certificates = Certificates::make(directory.path(), 1, &[]).await;
    let issuer = Issuer::start(&certificates).await;
    let written = format!(
        "[{{ issuer = {:?}, ca_file = {:?} }}]",
        issuer.address(),
        certificates.authority().display().to_string(),
    );
    let cluster = Cluster::start_with(ClusterOptions {
        node_count: 3,
        settings: vec![
            ("auth.enabled", "true".to_owned()),
            ("auth.issuers", written),
            ("auth.administrators", "\"token:ops\"".to_owned()),
        ],
    })
    .await;
    let operator = client(&cluster, &issuer.token("ops", "")).await;
    let admin = operator.admin();
    for topic in [OWN, OTHER] {
        let topic = NewTopic::new(name(topic))
            .partitions(1)
            .replication_factor(3);
        admin.create_topic(topic).await.unwrap();
    }
    let rules = ["publish", "describe"]
        .map(|action| format!("token:* {action} topic:integrations.{{claim:client_id}}.data"));
    admin
        .change_access_rules(rules.to_vec(), Vec::new())
        .await
        .unwrap();

    let weather = issuer.token("weather", SCOPE);
    let grpc = client(&cluster, &weather).await;
    let mut expected = 0;
    for (number, node) in cluster.nodes().iter().enumerate() {
        phase(format_args!("through the doors of node {}", node.id()));
        until("the rule is known there", PATIENCE, async || {
            let answer = post(&cluster, number, OWN, &weather).await;
            (answer.status == 200).then_some(())
        })
        .await;
        let mut lines = TextConnection::open(&node.text_address()).await.unwrap();
        assert_eq!(lines.ask(format!("AUTH {weather}\n")).await.unwrap(), "OK");
        let answer = lines.ask(publication(OWN, b"as lines")).await.unwrap();
        assert!(answer.starts_with("OK "), "{answer}");
        expected += 2;

        assert_problem(
            &post(&cluster, number, OTHER, &weather).await,
            403,
            "PERMISSION_DENIED",
        );
        let answer = lines.ask(publication(OTHER, b"as lines")).await.unwrap();
        assert!(answer.starts_with("ERR PERMISSION_DENIED "), "{answer}");
    }
    publish(&grpc, OWN).await.unwrap();
    let refused = publish(&grpc, OTHER).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::PermissionDenied);

    phase("without the scope it publishes nothing, and says so");
    let refused = post(&cluster, 0, OWN, &issuer.token("weather", "something.else")).await;
    assert_problem(&refused, 403, "PERMISSION_DENIED");
    assert!(refused.text().contains(SCOPE), "{}", refused.text());

    phase("what somebody else has signed counts nowhere");
    let stranger = Issuer::start(&certificates).await;
    for forged in [stranger.token("ops", SCOPE), tampered(&weather)] {
        assert_problem(
            &post(&cluster, 0, OWN, &forged).await,
            401,
            "UNAUTHENTICATED",
        );
    }
    let administrator = client(&cluster, &issuer.token("ops", SCOPE)).await;
    assert_eq!(
        values(&administrator, &name(OWN), FIRST).await.len(),
        expected + 1
    );
    assert_eq!(values(&administrator, &name(OTHER), FIRST).await.len(), 0);
}

/// The token with another claim and the old signature.
fn tampered(token: &str) -> String {
    let mut parts: Vec<_> = token.split('.').map(str::to_owned).collect();
    let middle = parts[1].len() / 2;
    let other = if parts[1].as_bytes()[middle] == b'A' {
        "B"
    } else {
        "A"
    };
    parts[1].replace_range(middle..=middle, other);
    parts.join(".")
}
