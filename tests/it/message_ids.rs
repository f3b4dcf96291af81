//! A record with a message id is stored once, however often and by whomever it is sent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use flotilla_client::{
    Client, ClientConfig, ErrorCode, NewTopic, OffsetSpec, PartitionIndex, ProducerRecord,
    Publication, Published, TopicName,
};
use flotilla_tests::cluster::Cluster;
use flotilla_tests::condition::until;
use flotilla_tests::phase::phase;
use flotilla_tests::replicas::wait_for_leader;
use futures::future::join_all;

use crate::raw_api::RawNode;
use crate::topics::{FIRST, create, name};

const LIMIT: Duration = Duration::from_secs(20);

fn publication(topic: &TopicName, id: &str) -> Publication {
    let value = format!("the value of {id}");
    Publication::new(ProducerRecord::new(topic.clone(), value)).message_id(id)
}

fn publications(topic: &TopicName, ids: &[String]) -> Vec<Publication> {
    ids.iter().map(|id| publication(topic, id)).collect()
}

fn ids(count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("message-{number}"))
        .collect()
}

async fn publish(client: &Client, topic: &TopicName, ids: &[String]) -> Vec<Published> {
    let outcomes = client.publish(publications(topic, ids)).await;
    let places = outcomes.into_iter().collect::<Result<_, _>>();
    places.expect("every record is stored or was")
}

/// How often each value is stored.
async fn stored(cluster: &Cluster, topic: &TopicName, partitions: u32) -> BTreeMap<Bytes, usize> {
    let node = cluster.nodes().iter().find(|node| node.is_running());
    let node = RawNode::of(node.unwrap());
    let mut stored = BTreeMap::new();
    for partition in (0..partitions).map(PartitionIndex::new) {
        let records = node.read(topic, partition, OffsetSpec::Earliest).await;
        for record in records.unwrap() {
            *stored.entry(record.value.unwrap()).or_default() += 1;
        }
    }
    stored
}

/// Goal: what is sent again, after leaders died and after all nodes were killed, is answered with the
/// place that it got first, and stored no second time.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_stored_once_through_failovers_and_restarts() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 3, 3).await;
    let ids = ids(300);

    phase("publish, and publish again");
    let first = publish(&client, &topic, &ids).await;
    assert!(first.iter().all(|published| !published.duplicate));
    let again = publish(&client, &topic, &ids).await;
    let as_duplicates = |published: &[Published]| -> Vec<_> {
        let duplicate = |one: &Published| Published {
            duplicate: true,
            ..*one
        };
        published.iter().map(duplicate).collect()
    };
    assert_eq!(again, as_duplicates(&first));

    phase("kill the leader of a partition, and publish half of it with something new");
    let leader = wait_for_leader(&client, &topic, FIRST).await;
    cluster.node_mut(leader).kill();
    let mixed: Vec<_> = ids
        .iter()
        .step_by(2)
        .cloned()
        .chain(["new".to_owned()])
        .collect();
    let answers = publish(&client, &topic, &mixed).await;
    let (new, known) = answers.split_last().unwrap();
    assert!(!new.duplicate);
    let expected: Vec<_> = as_duplicates(&first).into_iter().step_by(2).collect();
    assert_eq!(known, expected);

    phase("kill all nodes, start them, and publish everything once more");
    cluster.kill_all();
    cluster.start_all().await;
    let again = publish(&client, &topic, &ids).await;
    assert_eq!(again, as_duplicates(&first));
    let stored = stored(&cluster, &topic, 3).await;
    assert_eq!(stored.len(), 301);
    assert!(stored.values().all(|count| *count == 1), "{stored:?}");
}

/// Goal: many who send the same messages at the same time, through different nodes, agree on where each
/// is.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_publish_the_same_one_is_first() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 2, 3).await;
    let ids = ids(60);
    let publishers = (0..9).map(|number| {
        let node = &cluster.nodes()[number % 3];
        let config = ClientConfig::new([node.client_address()]);
        let (topic, ids) = (topic.clone(), ids.clone());
        async move {
            let client = Client::connect(config).await.unwrap();
            let mut places = Vec::new();
            for part in ids.chunks(7) {
                places.extend(publish(&client, &topic, part).await);
            }
            places
        }
    });
    let answers = join_all(publishers).await;
    for number in 0..ids.len() {
        let places: BTreeSet<_> = answers
            .iter()
            .map(|places| (places[number].partition, places[number].offset))
            .collect();
        assert_eq!(places.len(), 1, "{} has one place: {places:?}", ids[number]);
        let firsts = answers.iter().filter(|places| !places[number].duplicate);
        assert!(firsts.count() <= 1);
    }
    let stored = stored(&cluster, &topic, 2).await;
    assert_eq!(stored.len(), ids.len());
    assert!(stored.values().all(|count| *count == 1), "{stored:?}");
}

/// Goal: a message id counts as long as the topic says, and not at all if it says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_id_counts_as_long_as_its_topic_says() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    let (short, never) = (name("short"), name("never"));
    for (topic, window) in [(&short, "1000"), (&never, "0")] {
        let new = NewTopic::new(topic.clone()).config("deduplication_window_ms", window);
        client.admin().create_topic(new).await.unwrap();
    }
    let one = ids(1);
    assert!(!publish(&client, &short, &one).await[0].duplicate);
    assert!(publish(&client, &short, &one).await[0].duplicate);
    until("the id is forgotten", LIMIT, async || {
        let published = publish(&client, &short, &one).await[0];
        (!published.duplicate).then_some(())
    })
    .await;
    for _ in 0..3 {
        assert!(!publish(&client, &never, &one).await[0].duplicate);
    }
    assert_eq!(stored(&cluster, &short, 1).await.values().sum::<usize>(), 2);
    assert_eq!(stored(&cluster, &never, 1).await.values().sum::<usize>(), 3);
}

/// Goal: what is wrong with one record is told of that one, and the others are stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_refused_leaves_the_others_alone() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    let topic = name("orders");
    let new = NewTopic::new(topic.clone()).config("max_record_bytes", "100");
    client.admin().create_topic(new).await.unwrap();
    let sized = |bytes: usize, id: &str| {
        let record = ProducerRecord::new(topic.clone(), vec![b'x'; bytes]).key("k");
        Publication::new(record).message_id(id)
    };
    let outcomes = client
        .publish(vec![
            sized(10, "a"),
            sized(200, "b"),
            sized(11, "c"),
            sized(10, "a"),
            sized(12, &"d".repeat(257)),
            sized(13, ""),
        ])
        .await;
    let brief: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Ok(published) => Ok((published.offset.get(), published.duplicate)),
            Err(error) => Err(error.code()),
        })
        .collect();
    assert_eq!(
        brief,
        [
            Ok((0, false)),
            Err(ErrorCode::BatchTooLarge),
            Ok((1, false)),
            Ok((0, true)),
            Err(ErrorCode::InvalidArgument),
            Err(ErrorCode::InvalidArgument),
        ]
    );
}
