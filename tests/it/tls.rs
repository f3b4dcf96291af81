//! Encrypted connections: every port speaks TLS, nodes prove which they are, and clients may.

use std::time::Duration;

use flotilla_client::{
    Client, ClientConfig, ClientError, ClientTls, ErrorCode, NewTopic, ProducerConfig,
    ProducerRecord, Publication,
};
use flotilla_tests::cluster::{Certificates, Cluster, ClusterOptions, flotilla};
use flotilla_tests::condition::until;
use flotilla_tests::http::{HttpAnswer, HttpRequest, ask, ask_with};
use flotilla_tests::phase::phase;
use flotilla_tests::replicas::{wait_for_leader, wait_until_caught_up};
use flotilla_tests::stream::connect;
use flotilla_tests::text::{TextConnection, publication};
use flotilla_tests::workload::{Writing, read_whole, write};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::join;
use tokio::sync::watch;

use crate::doors::{assert_problem, values};
use crate::topics::{FIRST, create, name};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
const RECORD_COUNT: u64 = 10_000;

async fn start(
    node_count: u64,
    settings: Vec<(&'static str, String)>,
    clients: &[&str],
) -> Cluster {
    let options = ClusterOptions {
        node_count,
        settings,
    };
    Cluster::start_encrypted(options, clients).await
}

fn code<T>(result: Result<T, ClientError>) -> Option<ErrorCode> {
    result.err().map(|error| error.code())
}

/// Goal: with certificates, everything works as without: records through every door, and a leader that is
/// killed costs none.
#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_cluster_keeps_the_promise() {
    let mut cluster = start(3, Vec::new(), &[]).await;
    let client = cluster.client().await;
    let (topic, small) = (name("orders"), name("small"));
    create(&client, &topic, 3, 3).await;
    create(&client, &small, 1, 3).await;

    phase("records come in through every door of every node");
    for (number, node) in cluster.nodes().iter().enumerate() {
        let request = HttpRequest::post("/publish/small", format!("http {number}"));
        let answer = ask_with(&node.http_address(), cluster.tls(), &request).await;
        assert_eq!(answer.unwrap().status, 200);
        let lines = TextConnection::open_with(&node.text_address(), cluster.tls()).await;
        let line = publication("small", format!("text {number}").as_bytes());
        let answer = lines.unwrap().ask(line).await.unwrap();
        assert!(answer.starts_with("OK "), "{answer}");
    }
    let stored = values(&client, &small, FIRST).await;
    let expected = ["http 0", "text 0", "http 1", "text 1", "http 2", "text 2"];
    assert_eq!(stored, expected);

    phase("a leader is killed while a producer writes");
    let writing = Writing {
        topic: topic.clone(),
        producer: 1,
        record_count: RECORD_COUNT,
        value_bytes: 100,
        key_count: 50,
    };
    let (acknowledged, mut progress) = watch::channel(0);
    let write = write(&client, &writing, ProducerConfig::default(), |count| {
        acknowledged.send_replace(count);
    });
    let kill = async {
        let half = RECORD_COUNT / 2;
        progress.wait_for(|count| *count >= half).await.unwrap();
        let leader = wait_for_leader(&client, &topic, FIRST).await;
        cluster.node_mut(leader).kill();
        cluster.wait_for_leaders(&client).await;
        cluster.start_all().await;
    };
    let (history, ()) = join!(write, kill);
    let mut history = history.unwrap();
    for reading in read_whole(&client, &topic).await.unwrap() {
        history.note_reading(reading);
    }
    assert_eq!(history.acknowledged_count() as u64, RECORD_COUNT);
    history.assert_promise_kept();
}

/// Goal: whoever does not speak TLS, or believes somebody else, learns what is wrong on every port, and the
/// ports go on serving others.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_speak_tls_is_told_what_to_do() {
    let cluster = start(1, Vec::new(), &[]).await;
    let node = &cluster.nodes()[0];

    phase("HTTP and lines in the clear");
    let answer = ask(&node.http_address(), &HttpRequest::get("/v1/topics")).await;
    assert_problem(&answer.unwrap(), 400, "TLS_REQUIRED");
    let mut lines = TextConnection::open(&node.text_address()).await.unwrap();
    let answer = lines.ask("PING\n").await.unwrap();
    assert!(answer.starts_with("ERR tls-required "), "{answer}");

    phase("the command line says which option is missing");
    let bootstrap = cluster.bootstrap_argument();
    let list = ["topic", "list", &bootstrap, "--timeout=2s"];
    let refused = flotilla(&list, "").await;
    assert_ne!(refused.code, Some(0));
    for words in [
        "this port speaks TLS",
        "hint: --ca-file names the authorities",
    ] {
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    let refused = flotilla(&[&list[..], &["--tls"]].concat(), "").await;
    assert_ne!(refused.code, Some(0));
    let said = refused.stderr;
    assert!(
        said.contains("invalid peer certificate") || said.contains("no certificates"),
        "{said}"
    );
    let authority = format!("--ca-file={}", cluster.certificates().authority().display());
    let listed = flotilla(&[&list[..], &[&authority]].concat(), "").await;
    assert_eq!(listed.code, Some(0), "{}", listed.stderr);

    phase("the peer port does not answer in the clear");
    let mut stream = connect(&node.peer_address(), None).await.unwrap();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).await.unwrap();
    assert!(
        String::from_utf8_lossy(&said).contains("this port speaks TLS"),
        "{said:?}"
    );
}

/// A client that shows the certificate of this name, or none.
async fn connected(cluster: &Cluster, shown: Option<&str>) -> Result<Client, ClientError> {
    Client::connect(ClientConfig {
        tls: Some(cluster.certificates().client(shown)),
        ..ClientConfig::new(cluster.bootstrap())
    })
    .await
}

async fn publish(client: &Client, topic: &str) -> Result<(), ClientError> {
    let record = ProducerRecord::new(name(topic), "over gRPC");
    let mut outcomes = client.publish(vec![Publication::new(record)]).await;
    outcomes.pop().unwrap().map(drop)
}

async fn post(cluster: &Cluster, number: usize, topic: &str, tls: &ClientTls) -> HttpAnswer {
    let request = HttpRequest::post(format!("/publish/{topic}"), "over HTTP");
    let address = cluster.nodes()[number].http_address();
    ask_with(&address, Some(tls), &request).await.unwrap()
}

/// Goal: a certificate is as good as a token: its bearer may do what rules allow it, through every door and every
/// node, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_says_who_a_client_is() {
    let settings = vec![
        ("auth.enabled", "true".to_owned()),
        ("auth.administrators", "\"certificate:ops\"".to_owned()),
    ];
    let cluster = start(3, settings, &["ops", "billing"]).await;
    let operator = connected(&cluster, Some("ops")).await.unwrap();
    let admin = operator.admin();
    for topic in ["billing.data", "other.data"] {
        let topic = NewTopic::new(name(topic)).partitions(1);
        admin
            .create_topic(topic.replication_factor(3))
            .await
            .unwrap();
    }
    let rule = "certificate:* publish,describe topic:{name}.data";
    let rules = ["publish", "describe"].map(|action| rule.replace("publish,describe", action));
    admin
        .change_access_rules(rules.to_vec(), Vec::new())
        .await
        .unwrap();

    phase("its own topic, through every node and every door");
    let billing = connected(&cluster, Some("billing")).await.unwrap();
    until("the rule is known", PATIENCE, async || {
        publish(&billing, "billing.data").await.ok()
    })
    .await;
    let shown = cluster.certificates().client(Some("billing"));
    for (number, node) in cluster.nodes().iter().enumerate() {
        until("the rule is known there", PATIENCE, async || {
            let answer = post(&cluster, number, "billing.data", &shown).await;
            (answer.status == 200).then_some(())
        })
        .await;
        let lines = TextConnection::open_with(&node.text_address(), Some(&shown)).await;
        let mut lines = lines.unwrap();
        let answer = lines.ask(publication("billing.data", b"x")).await.unwrap();
        assert!(answer.starts_with("OK "), "{answer}");

        let refused = post(&cluster, number, "other.data", &shown).await;
        assert_problem(&refused, 403, "PERMISSION_DENIED");
        let answer = lines.ask(publication("other.data", b"x")).await.unwrap();
        assert!(answer.starts_with("ERR PERMISSION_DENIED "), "{answer}");
        let answer = lines
            .ask("AUTH nobodys-token\nFETCH billing.data 0\n")
            .await
            .unwrap();
        assert!(answer.starts_with("ERR UNAUTHENTICATED "), "{answer}");
        let answer = lines.reader.line().await.unwrap();
        assert!(
            answer.starts_with("ERR UNAUTHENTICATED "),
            "a wrong token is worse than none: {answer}"
        );
    }
    let refused = publish(&billing, "other.data").await;
    assert_eq!(code(refused), Some(ErrorCode::PermissionDenied));

    phase("without one, nobody gets in");
    assert_eq!(
        code(connected(&cluster, None).await),
        Some(ErrorCode::Unauthenticated)
    );
    let nobody = post(&cluster, 0, "billing.data", cluster.tls().unwrap()).await;
    assert_problem(&nobody, 401, "UNAUTHENTICATED");
}

/// Goal: nobody but a node gets through the peer port, and a node is only itself.
#[tokio::test(flavor = "multi_thread")]
async fn only_nodes_get_through_the_peer_port() {
    let mut cluster = start(1, Vec::new(), &["node-7.flotilla.internal"]).await;
    let address = cluster.nodes()[0].peer_address();

    phase("a client's certificate is none of a node, whatever its name");
    let pretender = cluster
        .certificates()
        .client(Some("node-7.flotilla.internal"));
    for first in [&b"FLT"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut stream = connect(&address, Some(&pretender)).await.unwrap();
        stream.write_all(first).await.unwrap();
        // It is cut off, with or without a word of TLS.
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said).await;
        assert!(said.is_empty(), "{said:?}");
    }
    let log = cluster.nodes()[0].log();
    assert!(log.contains("shows no node's certificate"), "{log}");

    phase("without a certificate there is no connection");
    let stream = connect(&address, cluster.tls()).await;
    let refused = match stream {
        Err(_) => true,
        Ok(mut stream) => {
            let _ = stream.write_all(b"PRI").await;
            stream.read_to_end(&mut Vec::new()).await.is_err()
        }
    };
    assert!(refused);

    phase("a node that shows the certificate of another one does not start");
    let files: Vec<_> = ["node-1.pem", "node-1-key.pem", "ca.pem"]
        .iter()
        .map(|name| cluster.certificates().file(name).display().to_string())
        .collect();
    let data = tempfile::tempdir().unwrap();
    let line = format!(
        "server --check-config --node-id 2 --data-dir {} --set tls.certificate_file={} --set tls.key_file={} \
         --set tls.ca_file={}",
        data.path().display(),
        files[0],
        files[1],
        files[2],
    );
    let refused = flotilla(&line.split(' ').collect::<Vec<_>>(), "").await;
    assert_ne!(refused.code, Some(0));
    let said = refused.stderr;
    assert!(
        said.contains("is not for this node alone") && said.contains("node-2.flotilla.internal"),
        "{said}"
    );

    phase("a node with a certificate of its own joins");
    cluster.certificates().run(&["--nodes", "2"]).await;
    let joined = cluster.start_joining(&[]).await;
    let client = cluster.client().await;
    until("the cluster knows it", PATIENCE, async || {
        let described = client.admin().describe_cluster().await.ok()?;
        let mut nodes = described.nodes.iter();
        nodes
            .any(|node| node.id == joined && node.alive)
            .then_some(())
    })
    .await;
}

/// When the node's certificate ends, as it says itself.
async fn expiry(cluster: &Cluster, certificates: &Certificates) -> String {
    let address = cluster.nodes()[0].http_address();
    let tls = certificates.client(None);
    let answer = ask_with(&address, Some(&tls), &HttpRequest::get("/metrics")).await;
    let text = answer.unwrap().text();
    let mut lines = text.lines();
    let line =
        lines.find(|line| line.starts_with("flotilla_tls_certificate_expires_timestamp_seconds{"));
    line.unwrap().to_owned()
}

/// Goal: certificates are renewed under a running cluster; nothing is restarted and nothing is refused.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_renewed_without_a_restart() {
    let mut cluster = start(3, vec![("tls.reload_ms", "20".to_owned())], &[]).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 1, 3).await;
    let before = expiry(&cluster, cluster.certificates()).await;
    cluster
        .certificates()
        .run(&["--renew", "--days", "7"])
        .await;
    until("new certificates are shown", PATIENCE, async || {
        (expiry(&cluster, cluster.certificates()).await != before).then_some(())
    })
    .await;
    // Over the old connection, and over a new one.
    publish(&client, "orders").await.unwrap();
    publish(&cluster.client().await, "orders").await.unwrap();

    phase("nodes go by the new ones among themselves too");
    let last = cluster.nodes()[2].id();
    cluster.node_mut(last).kill();
    cluster.start_all().await;
    wait_until_caught_up(&client, &topic, last).await;
    assert_eq!(values(&client, &topic, FIRST).await.len(), 2);
}
