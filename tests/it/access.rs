//! Who may do what: a cluster that asks everybody who they are.

use std::time::Duration;

use flotilla_client::{
    Client, ClientConfig, ClientError, ConsumerConfig, Credentials, ErrorCode, NewTopic,
    OffsetSpec, ProducerRecord, Publication,
};
use flotilla_tests::cluster::{Cluster, ClusterOptions, flotilla};
use flotilla_tests::condition::until;
use flotilla_tests::http::{HttpAnswer, HttpRequest, ask};
use flotilla_tests::phase::phase;
use flotilla_tests::text::{TextConnection, publication};
use tempfile::TempDir;

use crate::doors::{assert_problem, values};
use crate::topics::{FIRST, name};

/// Longer than nodes take to hear of a change.
const PATIENCE: Duration = Duration::from_secs(20);
const OWN: &str = "integrations.weather.data";
const OTHER: &str = "integrations.traffic.data";

/// A cluster that believes one key from the start.
struct Guarded {
    cluster: Cluster,
    administrator: String,
    _directory: TempDir,
}

impl Guarded {
    async fn start(node_count: u64) -> Self {
        let generated = flotilla(&["key", "generate"], "").await;
        let administrator = generated.stdout.trim().to_owned();
        let directory = TempDir::with_prefix("flotilla-key-").unwrap();
        let file = directory.path().join("bootstrap.key");
        std::fs::write(&file, &administrator).unwrap();
        let file = toml_text(&file.display().to_string());
        let settings = vec![
            ("auth.enabled", "true".to_owned()),
            ("auth.bootstrap_key_file", file),
        ];
        let cluster = Cluster::start_with(ClusterOptions {
            node_count,
            settings,
        });
        Self {
            cluster: cluster.await,
            administrator,
            _directory: directory,
        }
    }

    async fn client(&self, key: &str) -> Result<Client, ClientError> {
        Client::connect(ClientConfig {
            credentials: Some(Credentials::bearer(key).unwrap()),
            ..ClientConfig::new(self.cluster.bootstrap())
        })
        .await
    }

    /// Publishes over HTTP, through the node of this number.
    async fn post(&self, number: usize, topic: &str, key: &str) -> HttpAnswer {
        let address = self.cluster.nodes()[number].http_address();
        let request = HttpRequest::post(format!("/publish/{topic}"), "over HTTP");
        let request = request.header("authorization", format!("Bearer {key}"));
        ask(&address, &request).await.unwrap()
    }

    async fn lines(&self, number: usize) -> TextConnection {
        let address = self.cluster.nodes()[number].text_address();
        TextConnection::open(&address).await.unwrap()
    }
}

fn toml_text(text: &str) -> String {
    format!("{text:?}")
}

fn code<T>(result: Result<T, ClientError>) -> Option<ErrorCode> {
    result.err().map(|error| error.code())
}

async fn publish(client: &Client, topic: &str) -> Result<(), ClientError> {
    let record = ProducerRecord::new(name(topic), "over gRPC");
    let mut outcomes = client.publish(vec![Publication::new(record)]).await;
    outcomes.pop().unwrap().map(drop)
}

/// Goal: whoever proves nothing gets nothing, through no door, and is told what to show.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_in_without_showing_something_that_counts() {
    let guarded = Guarded::start(1).await;
    let node = &guarded.cluster.nodes()[0];

    phase("nothing is shown");
    let answer = ask(&node.http_address(), &HttpRequest::get("/v1/topics")).await;
    let answer = answer.unwrap();
    assert_problem(&answer, 401, "UNAUTHENTICATED");
    assert!(
        answer
            .header("www-authenticate")
            .unwrap()
            .starts_with("Bearer")
    );
    let nobody = Client::connect(ClientConfig::new(guarded.cluster.bootstrap())).await;
    assert_eq!(code(nobody), Some(ErrorCode::Unauthenticated));
    let mut lines = guarded.lines(0).await;
    let answer = lines.ask("FETCH orders 0\n").await.unwrap();
    assert!(answer.starts_with("ERR UNAUTHENTICATED "), "{answer}");

    phase("what is shown does not count");
    let mut stolen = guarded.administrator.clone();
    let last = stolen.pop().unwrap();
    stolen.push(if last == 'a' { 'b' } else { 'a' });
    for shown in [stolen.as_str(), "a.b.c", ""] {
        let refused = guarded.post(0, OWN, shown).await;
        assert_problem(&refused, 401, "UNAUTHENTICATED");
        assert!(
            shown.is_empty() || !refused.text().contains(shown),
            "it is told to others"
        );
        let answer = lines.ask(format!("AUTH {shown}x\n")).await.unwrap();
        assert!(answer.starts_with("ERR UNAUTHENTICATED "), "{answer}");
    }

    phase("health and metrics are for everybody");
    for path in ["/health", "/livez", "/readyz", "/metrics", "/openapi.json"] {
        let answer = ask(&node.http_address(), &HttpRequest::get(path)).await;
        assert_eq!(answer.unwrap().status, 200, "{path}");
    }
}

/// Goal: an integration publishes to its own topic through every door and every node, and nowhere else;
/// when its key is deleted it does neither.
#[tokio::test(flavor = "multi_thread")]
async fn an_integration_publishes_to_its_own_topic_and_to_no_other() {
    let guarded = Guarded::start(3).await;
    let administrator = guarded.client(&guarded.administrator).await.unwrap();
    let admin = administrator.admin();
    for topic in [OWN, OTHER] {
        let topic = NewTopic::new(name(topic)).partitions(1);
        admin.create_topic(topic).await.unwrap();
    }
    let weather = admin.create_key("weather").await.unwrap();
    let mine = "key:* publish topic:integrations.{name}.data".to_owned();

    phase("nothing is allowed that no rule allows");
    assert_problem(
        &guarded.post(0, OWN, &weather).await,
        403,
        "PERMISSION_DENIED",
    );
    admin
        .change_access_rules(vec![mine], Vec::new())
        .await
        .unwrap();

    phase("its own topic, through every node");
    let client = guarded.client(&weather).await.unwrap();
    for number in 0..3 {
        until_allowed(&guarded, number, &weather).await;
        let mut lines = guarded.lines(number).await;
        assert_eq!(lines.ask(format!("AUTH {weather}\n")).await.unwrap(), "OK");
        let answer = lines.ask(publication(OWN, b"in lines")).await.unwrap();
        assert!(answer.starts_with("OK "), "{answer}");
        publish(&client, OWN).await.unwrap();
    }
    let stored = values(&administrator, &name(OWN), FIRST).await;
    assert_eq!(
        stored.iter().filter(|value| *value == "in lines").count(),
        3
    );
    assert_eq!(
        stored.iter().filter(|value| *value == "over gRPC").count(),
        3
    );

    phase("and nothing else");
    for number in 0..3 {
        assert_problem(
            &guarded.post(number, OTHER, &weather).await,
            403,
            "PERMISSION_DENIED",
        );
        let mut lines = guarded.lines(number).await;
        lines.ask(format!("AUTH {weather}\n")).await.unwrap();
        for command in [
            publication(OTHER, b"x"),
            format!("FETCH {OWN} 0\n").into_bytes(),
        ] {
            let answer = lines.ask(command).await.unwrap();
            assert!(answer.starts_with("ERR PERMISSION_DENIED "), "{answer}");
        }
    }
    let denied = Some(ErrorCode::PermissionDenied);
    assert_eq!(code(publish(&client, OTHER).await), denied);
    let admin_of_weather = client.admin();
    assert_eq!(
        code(admin_of_weather.delete_topic(&name(OWN)).await),
        denied
    );
    assert_eq!(code(admin_of_weather.describe_cluster().await), denied);
    assert_eq!(code(admin_of_weather.list_access_rules().await), denied);
    assert_eq!(code(admin_of_weather.create_key("another").await), denied);
    let seen = admin_of_weather.list_topics().await.unwrap();
    let seen: Vec<_> = seen.iter().map(|topic| topic.name.as_str()).collect();
    assert_eq!(seen, [OWN]);
    assert!(values(&administrator, &name(OTHER), FIRST).await.is_empty());

    phase("its key is deleted");
    admin.delete_key("weather").await.unwrap();
    for number in 0..3 {
        until_refused(&guarded, number, &weather).await;
    }
}

/// Goal: a right that is taken away, and a key that is deleted, end what began with them.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_loses_its_right_reads_no_further() {
    let guarded = Guarded::start(3).await;
    let administrator = guarded.client(&guarded.administrator).await.unwrap();
    let admin = administrator.admin();
    let topic = NewTopic::new(name(OWN)).partitions(1).replication_factor(3);
    admin.create_topic(topic).await.unwrap();
    let rule = || vec![format!("key:* consume topic:{OWN}")];
    for loss in ["its rule", "its key"] {
        phase(format_args!("the reader loses {loss}"));
        admin.change_access_rules(rule(), Vec::new()).await.unwrap();
        let key = admin.create_key("reader").await.unwrap();
        let mut consumer = until("the reader reads", PATIENCE, async || {
            let client = guarded.client(&key).await.ok()?;
            let mut consumer = client.consumer(ConsumerConfig::default()).ok()?;
            consumer.assign(&name(OWN), FIRST, OffsetSpec::Earliest);
            publish(&administrator, OWN).await.unwrap();
            consumer.poll(1_000).await.ok().map(|_| consumer)
        })
        .await;
        let expected = match loss {
            "its rule" => {
                admin.change_access_rules(Vec::new(), rule()).await.unwrap();
                ErrorCode::PermissionDenied
            }
            _ => {
                admin.delete_key("reader").await.unwrap();
                ErrorCode::Unauthenticated
            }
        };
        let refused = until("the reader is refused", PATIENCE, async || {
            publish(&administrator, OWN).await.unwrap();
            consumer.poll(1_000).await.err()
        })
        .await;
        assert_eq!(refused.code(), expected, "{refused}");
        // A key of the same name is made again in the next round.
        let _ = admin.delete_key("reader").await;
    }
}

/// Other nodes go by a new rule a moment later than the one that was asked for it.
async fn until_allowed(guarded: &Guarded, number: usize, key: &str) {
    let allowed = async || (guarded.post(number, OWN, key).await.status == 200).then_some(());
    until("the rule counts", PATIENCE, allowed).await;
}

async fn until_refused(guarded: &Guarded, number: usize, key: &str) {
    let refused = async || (guarded.post(number, OWN, key).await.status == 401).then_some(());
    until("the key is worthless", PATIENCE, refused).await;
}

/// Goal: an operator finds out why something is not allowed, and mends it.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_finds_out_who_may_do_what() {
    let guarded = Guarded::start(1).await;
    let bootstrap = guarded.cluster.bootstrap_argument();
    let directory = TempDir::with_prefix("flotilla-key-").unwrap();
    let file = directory.path().join("key");
    std::fs::write(&file, &guarded.administrator).unwrap();
    let file = file.display().to_string();
    let run = async |words: &[&str]| {
        let options = [bootstrap.as_str(), "--token-file", &file];
        flotilla(&[words, &options].concat(), "").await
    };
    let test = [
        "acl",
        "test",
        "--as",
        "token:weather",
        "--scope",
        "kbroker-inbox.event-publish",
    ];
    let test = [
        &test[..],
        &["--claim", "client_id=weather", "--publish", OWN],
    ]
    .concat();

    let tested = run(&test).await;
    assert_eq!(tested.code, Some(7), "{}", tested.stderr);
    assert!(
        tested.stdout.contains("token:weather may not publish"),
        "{}",
        tested.stdout
    );
    let rule = [
        "token:*",
        "publish",
        "topic:integrations.{claim:client_id}.data",
    ];
    let granted = run(&[&["acl", "grant"], &rule[..]].concat()).await;
    assert_eq!(
        granted.stdout.trim(),
        "1 granted, 0 revoked",
        "{}",
        granted.stderr
    );
    let tested = run(&test).await;
    assert_eq!(tested.code, Some(0), "{}", tested.stdout);
    assert!(tested.stdout.contains(&rule.join(" ")), "{}", tested.stdout);
    let listed = run(&["acl", "list", "-o", "json"]).await;
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(listed["rules"][0], rule.join(" "));
    let revoked = run(&[&["acl", "revoke"], &rule[..]].concat()).await;
    assert_eq!(revoked.stdout.trim(), "0 granted, 1 revoked");
    assert_eq!(run(&test).await.code, Some(7));

    phase("without anything to show");
    let refused = flotilla(&["topic", "list", &bootstrap], "").await;
    assert_eq!(refused.code, Some(7), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("UNAUTHENTICATED"),
        "{}",
        refused.stderr
    );
    let explained = ["auth", "explain", &bootstrap];
    let explained = flotilla(&explained, "secret.secret.secret").await;
    assert_eq!(explained.code, Some(7), "{}", explained.stderr);
    assert!(explained.stdout.contains("FAILED"), "{}", explained.stdout);
    assert!(!explained.stdout.contains("secret"), "{}", explained.stdout);
}
