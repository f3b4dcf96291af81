//! Nodes are killed while records come in over HTTP.

use std::collections::BTreeMap;
use std::time::Duration;

use flotilla_client::TopicName;
use flotilla_tests::cluster::{Cluster, Node};
use flotilla_tests::http::{HttpAnswer, HttpConnection, HttpRequest};
use flotilla_tests::phase::phase;
use flotilla_tests::replicas::wait_for_leader;
use futures::future::join_all;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::doors::{assert_problem, place, places};
use crate::topics::{FIRST, create, name};

const CLIENTS: usize = 12;
/// What each of them publishes.
const RECORDS: usize = 80;
const LIMIT: Duration = Duration::from_secs(40);
/// A client that was turned away by every node asks the first one again after this time.
const PAUSE: Duration = Duration::from_millis(20);

/// A client that keeps its connection as long as it works, and goes to the next node when it does not.
struct Client {
    addresses: Vec<String>,
    current: usize,
    connection: Option<HttpConnection>,
}

impl Client {
    /// Begins with the first address.
    fn new(addresses: Vec<String>) -> Self {
        Self {
            addresses,
            current: 0,
            connection: None,
        }
    }

    /// One attempt. `None` means that nobody knows what came of it.
    async fn try_once(&mut self, request: &HttpRequest) -> Option<HttpAnswer> {
        if self.connection.is_none() {
            let address = &self.addresses[self.current];
            self.connection = HttpConnection::open(address).await.ok();
        }
        let answer = match &mut self.connection {
            Some(connection) => connection.ask(request).await.ok(),
            None => None,
        };
        let is_good = answer.as_ref().is_some_and(|answer| answer.status < 500);
        if !is_good {
            self.connection = None;
            self.current = (self.current + 1) % self.addresses.len();
        }
        answer
    }

    /// Sends until it is stored, and returns where, and how many attempts it took.
    async fn publish(&mut self, request: &HttpRequest) -> ((u32, u64), u32) {
        let end = Instant::now() + LIMIT;
        for attempts in 1.. {
            match self.try_once(request).await {
                Some(answer) if answer.status == 200 => return (place(&answer), attempts),
                Some(answer) => assert!(
                    matches!(answer.status, 503 | 504),
                    "{} {}",
                    answer.status,
                    answer.text()
                ),
                None => {}
            }
            assert!(Instant::now() < end, "{request:?} is not stored");
            // No node can tell it when to try again.
            sleep(PAUSE).await;
        }
        unreachable!("there is always another attempt")
    }
}

/// The addresses of all nodes, that of the first one first.
fn beginning_with(cluster: &Cluster, first: &Node) -> Vec<String> {
    let others = cluster
        .nodes()
        .iter()
        .filter(|node| node.id() != first.id());
    let nodes = [first].into_iter().chain(others);
    nodes.map(Node::http_address).collect()
}

/// Goal: clients that send what had no answer again, at another node, have each message stored once,
/// although the node that they spoke to died in the middle.
#[tokio::test(flavor = "multi_thread")]
async fn the_node_that_everybody_talks_to_is_killed_and_no_message_is_lost_or_doubled() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 3, 3).await;
    let victim = cluster.nodes()[0].id();
    let addresses = beginning_with(&cluster, cluster.node(victim));
    let (stored, mut progress) = watch::channel(0);
    let publishing = join_all((0..CLIENTS).map(|number| {
        let (mut client, stored) = (Client::new(addresses.clone()), stored.clone());
        async move {
            let (mut places, mut again) = (Vec::new(), 0);
            for message in 0..RECORDS {
                let id = format!("{number}-{message}");
                let request = HttpRequest::post("/publish/orders", id.clone())
                    .header("Idempotency-Key", id.clone());
                let (place, attempts) = client.publish(&request).await;
                places.push((id, place));
                again += attempts - 1;
                stored.send_modify(|count| *count += 1);
            }
            (places, again)
        }
    }));
    let killing = async {
        progress
            .wait_for(|count| *count >= CLIENTS * RECORDS / 3)
            .await
            .unwrap();
        phase(format_args!("kill node {victim} in the middle"));
        cluster.node_mut(victim).kill();
    };
    let (published, ()) = tokio::join!(publishing, killing);
    let again: u32 = published.iter().map(|(_, again)| again).sum();
    phase(format_args!("{again} attempts had no answer or a bad one"));
    assert!(again > 0, "the kill went unnoticed");
    cluster.start_all().await;
    let answered: BTreeMap<_, _> = published
        .into_iter()
        .flat_map(|(places, _)| places)
        .collect();
    assert_eq!(places(&client, &topic, 3).await, answered);
}

/// Lets many clients publish through a node that does not lead the only partition of the topic, kills the
/// leader in the middle, and returns each body with its answer.
async fn publish_while_the_leader_dies(
    cluster: &mut Cluster,
    client: &flotilla_client::Client,
    topic: &TopicName,
    body: impl Fn(usize, usize) -> String,
) -> Vec<(String, HttpAnswer)> {
    let leader = wait_for_leader(client, topic, FIRST).await;
    let other = cluster.nodes().iter().find(|node| node.id() != leader);
    let address = other.unwrap().http_address();
    let (answered, mut progress) = watch::channel(0);
    let publishing = join_all((0..CLIENTS).map(|number| {
        let (address, answered, body) = (address.clone(), answered.clone(), &body);
        async move {
            let mut connection = HttpConnection::open(&address).await.unwrap();
            let mut answers = Vec::new();
            for record in 0..RECORDS {
                let value = body(number, record);
                let request = HttpRequest::post(format!("/publish/{topic}"), value.clone());
                answers.push((value, connection.ask(&request).await.unwrap()));
                answered.send_modify(|count| *count += 1);
            }
            answers
        }
    }));
    let killing = async {
        progress
            .wait_for(|count| *count >= CLIENTS * RECORDS / 3)
            .await
            .unwrap();
        phase(format_args!("kill the leader, node {leader}"));
        cluster.node_mut(leader).kill();
    };
    let (published, ()) = tokio::join!(publishing, killing);
    cluster.start_all().await;
    published.into_iter().flatten().collect()
}

/// Goal: clients of another node do not lose a record when the leader dies, nor have one stored twice,
/// although nothing tells their records apart.
#[tokio::test(flavor = "multi_thread")]
async fn the_leader_behind_the_node_is_killed_and_every_answer_is_kept() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 1, 3).await;
    let body = |number: usize, record: usize| format!("{number}-{record}");
    let published = publish_while_the_leader_dies(&mut cluster, &client, &topic, body).await;
    let mut found = places(&client, &topic, 1).await;
    let mut refused = 0;
    for (value, answer) in published {
        let place_found = found.remove(&value);
        if answer.status == 200 {
            assert_eq!(place_found, Some(place(&answer)), "{value} is lost");
            continue;
        }
        refused += 1;
        phase(format_args!("{} {}", answer.status, answer.text()));
        let is_definite = answer.json()["definite"] == true;
        assert!(!is_definite || place_found.is_none(), "{value} is stored");
    }
    assert!(found.is_empty(), "nobody has sent {found:?}");
    assert_eq!(
        refused, 0,
        "the node tries for longer than a failover takes"
    );
}

/// Goal: a failover is no reason to blame a valid record for an invalid one that travelled with it. Without an id
/// such a record is not sent again, so that nobody may know whether it was stored.
#[tokio::test(flavor = "multi_thread")]
async fn the_leader_of_a_topic_with_a_schema_is_killed_and_only_invalid_records_are_refused() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 1, 3).await;
    let schema = r#"{"type": "string"}"#;
    let registered = client.admin().register_schema(&topic, schema, None).await;
    registered.unwrap();
    let body = |number: usize, record: usize| match (number + record).is_multiple_of(5) {
        true => format!("{{\"of\": \"{number}-{record}\"}}"),
        false => format!("\"{number}-{record}\""),
    };
    let published = publish_while_the_leader_dies(&mut cluster, &client, &topic, body).await;
    let mut found = places(&client, &topic, 1).await;
    for (value, answer) in published {
        let place_found = found.remove(&value);
        let fits = value.starts_with('"');
        assert!(
            fits || place_found.is_none(),
            "{value} does not fit, and is stored"
        );
        match (fits, answer.status) {
            (true, 200) => assert_eq!(place_found, Some(place(&answer)), "{value} is lost"),
            // The leader was killed before it answered.
            (_, 504) => assert_problem(&answer, 504, "RESULT_UNKNOWN"),
            (true, _) => panic!("{value} fits: {}", answer.text()),
            (false, _) => assert_problem(&answer, 422, "RECORD_INVALID"),
        }
    }
    assert!(found.is_empty(), "nobody has sent {found:?}");
}
