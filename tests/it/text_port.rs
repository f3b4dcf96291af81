//! The text protocol of a running cluster, as somebody with nothing but a connection uses it.

use std::collections::BTreeSet;

use flotilla_tests::cluster::{Cluster, ClusterOptions};
use flotilla_tests::http::{HttpRequest, ask};
use flotilla_tests::phase::phase;
use flotilla_tests::text::{TextConnection, publication, publication_with};

use crate::doors::{place, places, values};
use crate::topics::{FIRST, create, name};

const ORDER: &str = r#"{"order_id":101}"#;

async fn open(cluster: &Cluster, number: usize) -> TextConnection {
    let address = cluster.nodes()[number].text_address();
    TextConnection::open(&address).await.unwrap()
}

/// Goal: the example that everybody has read works, with the size that it had and with the right one,
/// and what was published through one node is fetched from another.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_published_and_fetched_as_in_the_example() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let mut producer = open(&cluster, 0).await;

    phase("16 bytes, to a topic that nobody has created");
    let answer = producer.ask(format!("PUB orders 16\r\n{ORDER}")).await;
    assert_eq!(answer.unwrap(), "OK 0");
    let topic = client
        .admin()
        .describe_topic(&name("orders"))
        .await
        .unwrap();
    assert_eq!(topic.partitions.len(), 1);
    for number in 0..3 {
        let mut consumer = open(&cluster, number).await;
        consumer.writer.write("FETCH orders 0\r\n").await.unwrap();
        let record = consumer.reader.record().await.unwrap();
        assert_eq!(record, (0, ORDER.as_bytes().to_vec()));
        // Nothing follows the payload: the next word is the next answer's.
        assert_eq!(consumer.ask("PING\n").await.unwrap(), "PONG");
    }

    phase("15 bytes, of which there are 16");
    let answers = [
        producer
            .ask(format!("PUB orders 15\r\n{ORDER}"))
            .await
            .unwrap(),
        producer.reader.line().await.unwrap(),
    ];
    assert!(answers.contains(&"OK 1".to_owned()), "{answers:?}");
    let is_told = |answer: &String| answer.starts_with("ERR size-mismatch expected=15 ");
    assert!(answers.iter().any(is_told), "{answers:?}");
    let answer = producer.ask(format!("\r\nPUB orders 16\r\n{ORDER}\r\n"));
    assert_eq!(
        answer.await.unwrap(),
        "OK 2",
        "all is well with the next line"
    );
    let mut consumer = open(&cluster, 1).await;
    consumer.writer.write("FETCH orders 0 10\n").await.unwrap();
    for (offset, payload) in [(0, ORDER), (1, &ORDER[..15]), (2, ORDER)] {
        let record = consumer.reader.record().await.unwrap();
        assert_eq!(record, (offset, payload.as_bytes().to_vec()));
    }
    assert_eq!(consumer.reader.line().await.unwrap(), "END 3");
    let answer = consumer.ask("FETCH orders 3\n").await.unwrap();
    assert!(answer.starts_with("ERR no-such-offset 0 to 2 "), "{answer}");
    let answer = consumer.ask("FETCH missing 0\n").await.unwrap();
    assert!(answer.starts_with("ERR UNKNOWN_TOPIC "), "{answer}");
}

/// Goal: somebody who waits for a record is woken when it comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_waits_for_the_record_that_comes() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    create(&client, &name("orders"), 1, 3).await;
    let (mut consumer, mut producer) = (open(&cluster, 1).await, open(&cluster, 0).await);
    consumer
        .writer
        .write("FETCH orders latest wait=30000\n")
        .await
        .unwrap();
    // Its wait begins while this one lasts.
    let answer = producer.ask("FETCH orders 0 wait=500\n").await.unwrap();
    assert!(answer.starts_with("ERR no-such-offset "), "{answer}");
    let answer = producer.ask(publication("orders", b"at last")).await;
    assert_eq!(answer.unwrap(), "OK 0");
    let record = consumer.reader.record().await.unwrap();
    assert_eq!(record, (0, b"at last".to_vec()));
}

/// Goal: where topics are not to come into being by themselves, they do not.
#[tokio::test(flavor = "multi_thread")]
async fn topics_are_created_only_where_that_is_wanted() {
    let cluster = Cluster::start_with(ClusterOptions {
        node_count: 1,
        settings: vec![("text.create_topics", "\"off\"".to_owned())],
    })
    .await;
    let client = cluster.client().await;
    let mut peer = open(&cluster, 0).await;
    let answer = peer.ask(publication("orders", b"1")).await.unwrap();
    assert!(answer.starts_with("ERR UNKNOWN_TOPIC "), "{answer}");
    assert!(answer.contains("nothing is stored"), "{answer}");
    assert!(client.admin().list_topics().await.unwrap().is_empty());
    create(&client, &name("orders"), 1, 1).await;
    assert_eq!(peer.ask(publication("orders", b"1")).await.unwrap(), "OK 0");
}

/// Goal: many who publish to a topic that does not exist have all their records in the same one.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_publish_to_a_new_topic_nobody_is_turned_away() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let peers = (0..12).map(async |number| {
        let mut peer = open(&cluster, number % 3).await;
        let bytes = publication("orders", number.to_string().as_bytes());
        peer.ask(bytes).await.unwrap()
    });
    let answers = futures::future::join_all(peers).await;
    let places_told: BTreeSet<_> = answers.into_iter().collect();
    let expected: BTreeSet<_> = (0..12).map(|offset| format!("OK {offset}")).collect();
    assert_eq!(places_told, expected);
    assert_eq!(places(&client, &name("orders"), 1).await.len(), 12);
}

/// Goal: keys and names of partitions work as everywhere, and a message id counts at every door.
#[tokio::test(flavor = "multi_thread")]
async fn keys_partitions_and_ids_mean_the_same_at_every_door() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    create(&client, &name("orders"), 4, 3).await;
    let (mut one, mut two) = (open(&cluster, 0).await, open(&cluster, 1).await);
    let http = cluster.nodes()[2].http_address();
    let place_told = |answer: &str| -> (u32, u64) {
        let words: Vec<_> = answer.split(' ').collect();
        let ["OK", offset, partition] = words[..] else {
            panic!("{answer}")
        };
        (partition.parse().unwrap(), offset.parse().unwrap())
    };

    phase("keys");
    for number in 0..10 {
        let key = format!("customer-{number}");
        let words = format!(" key={key}");
        let value = format!("of {key} over text");
        let bytes = publication_with("orders", value.as_bytes(), &words);
        let (partition, _) = place_told(&one.ask(bytes).await.unwrap());
        let request = HttpRequest::post("/publish/orders", format!("of {key} over HTTP"));
        let request = request.header("Flotilla-Key", key);
        let answer = ask(&http, &request).await.unwrap();
        assert_eq!(place(&answer).0, partition);
    }

    phase("partitions");
    for partition in 0..4 {
        let target = format!("orders/{partition}");
        let bytes = publication(&target, target.as_bytes());
        let answer = two.ask(bytes).await.unwrap();
        let offset: u64 = answer.split(' ').nth(1).unwrap().parse().unwrap();
        one.writer
            .write(format!("FETCH {target} {offset}\n"))
            .await
            .unwrap();
        let record = one.reader.record().await.unwrap();
        assert_eq!(record, (offset, target.into_bytes()));
    }
    let answer = one.ask("FETCH orders 0\n").await.unwrap();
    assert!(answer.starts_with("ERR partition-required "), "{answer}");
    let answer = one.ask(publication("orders/4", b"nowhere")).await.unwrap();
    assert!(answer.starts_with("ERR UNKNOWN_PARTITION "), "{answer}");

    phase("message ids, over text at two nodes and over HTTP at the third");
    for number in 0..10 {
        let (id, value) = (format!("order-{number}"), format!("order {number}"));
        let bytes = publication_with("orders", value.as_bytes(), &format!(" id={id}"));
        let first = place_told(&one.ask(&bytes).await.unwrap());
        let request = HttpRequest::post("/publish/orders", value.clone());
        let request = request.header("X-KB-MessageID", id);
        let answer = ask(&http, &request).await.unwrap();
        assert_eq!(place(&answer), first, "{}", answer.text());
        assert_eq!(answer.json()["duplicate"], true);
        assert_eq!(place_told(&two.ask(&bytes).await.unwrap()), first);
    }
    assert_eq!(places(&client, &name("orders"), 4).await.len(), 34);
}

/// Goal: whoever does not wait for answers has everything stored in the order in which it was sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_pipelined_records_are_answered_and_stored_in_order() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    create(&client, &name("orders"), 1, 3).await;
    for (life, words) in [" key=k", ""].into_iter().enumerate() {
        let TextConnection {
            mut reader,
            mut writer,
        } = open(&cluster, life).await;
        let mut bytes = Vec::new();
        for number in 0..1_000 {
            let payload = format!("{life}-{number:04}");
            bytes.extend(publication_with("orders", payload.as_bytes(), words));
        }
        let last = (life + 1) * 1_000 - 1;
        bytes.extend(format!("FETCH orders {last}\r\nQUIT\r\n").into_bytes());
        let reading = async {
            for number in 0..1_000 {
                let line = reader.line().await.unwrap();
                assert_eq!(line, format!("OK {}", life * 1_000 + number));
            }
            let record = reader.record().await.unwrap();
            assert_eq!(record, (last as u64, format!("{life}-0999").into_bytes()));
            assert_eq!(reader.rest().await.unwrap(), "BYE\r\n");
        };
        let (written, ()) = tokio::join!(writer.write(bytes), reading);
        written.unwrap();
    }
    let values = values(&client, &name("orders"), FIRST).await;
    assert_eq!(values.len(), 2_000);
    assert!(values.is_sorted());
}
