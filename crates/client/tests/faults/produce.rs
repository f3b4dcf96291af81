//! What a producer promises when one thing goes wrong.

use std::time::Duration;

use flotilla_client::{Compression, Delivery, ErrorCode, Producer, ProducerConfig, ProducerRecord};
use futures::FutureExt;

use crate::fake_cluster::{FakeCluster, ProduceFault, TOPIC, partition, topic};

async fn producer(cluster: &FakeCluster, config: ProducerConfig) -> Producer {
    cluster.client().await.producer(config).unwrap()
}

/// Every record is a batch of its own.
fn one_by_one() -> ProducerConfig {
    ProducerConfig {
        batch_bytes: 1,
        ..ProducerConfig::default()
    }
}

async fn send(producer: &Producer, value: &str) -> Delivery {
    let record = ProducerRecord::new(topic(), value.to_owned()).partition(partition(0));
    producer.send(record).await.unwrap()
}

/// Sends `0` to `count - 1`, each in a batch of its own, while no answer comes.
async fn send_while_silent(
    cluster: &FakeCluster,
    producer: &Producer,
    count: usize,
) -> Vec<Delivery> {
    cluster.shared.answering.send_replace(false);
    let mut deliveries = Vec::new();
    for number in 0..count {
        deliveries.push(send(producer, &number.to_string()).await);
    }
    deliveries
}

fn faults(cluster: &FakeCluster, faults: &[Option<ProduceFault>]) {
    cluster.state().produce_faults.extend(faults);
}

#[tokio::test]
async fn records_of_one_batch_get_offsets_one_after_the_other() {
    let cluster = FakeCluster::start(1, 1).await;
    for compression in Compression::ALL {
        let config = ProducerConfig {
            compression,
            ..ProducerConfig::default()
        };
        let producer = producer(&cluster, config).await;
        let first = send(&producer, "a").await.await.unwrap();
        let deliveries = [send(&producer, "b").await, send(&producer, "c").await];
        for (delivery, distance) in deliveries.into_iter().zip(1..) {
            let delivered = delivery.await.unwrap();
            assert_eq!(delivered.offset, first.offset.advance(distance));
        }
        producer.close().await.unwrap();
    }
    assert_eq!(cluster.values(0).concat(), "abc".repeat(5));
}

#[tokio::test]
async fn a_batch_whose_answer_is_lost_is_stored_once() {
    let cluster = FakeCluster::start(1, 1).await;
    let producer = producer(&cluster, one_by_one()).await;
    for fault in [
        ProduceFault::LoseAnswer,
        ProduceFault::LoseRequest,
        ProduceFault::ApplyButAnswer(ErrorCode::Timeout),
        ProduceFault::ApplyButAnswer(ErrorCode::ResultUnknown),
        ProduceFault::ApplyButAnswer(ErrorCode::Internal),
    ] {
        faults(&cluster, &[Some(fault)]);
        send(&producer, "x").await.await.unwrap();
    }
    assert_eq!(cluster.values(0), ["x"; 5]);
}

#[tokio::test]
async fn batches_behind_a_refused_one_wait_for_it() {
    let cluster = FakeCluster::start(1, 1).await;
    let producer = producer(&cluster, one_by_one()).await;
    faults(
        &cluster,
        &[None, Some(ProduceFault::Refuse(ErrorCode::Overloaded))],
    );
    let deliveries = send_while_silent(&cluster, &producer, 5).await;
    cluster.shared.answering.send_replace(true);
    for (delivery, offset) in deliveries.into_iter().zip(0..) {
        assert_eq!(delivery.await.unwrap().offset.get(), offset);
    }
    assert_eq!(cluster.values(0), ["0", "1", "2", "3", "4"]);
    assert_eq!(cluster.state().producer_ids, 1, "nobody had to start over");
}

#[tokio::test]
async fn a_batch_follows_the_leader() {
    let cluster = FakeCluster::start(3, 1).await;
    let producer = producer(&cluster, one_by_one()).await;
    for _ in 0..4 {
        faults(&cluster, &[Some(ProduceFault::MoveLeader)]);
        send(&producer, "x").await.await.unwrap();
    }
    assert_eq!(cluster.values(0), ["x"; 4]);
}

#[tokio::test]
async fn an_unfit_batch_fails_alone_and_the_others_keep_their_order() {
    let cluster = FakeCluster::start(1, 1).await;
    let producer = producer(&cluster, one_by_one()).await;
    faults(
        &cluster,
        &[None, Some(ProduceFault::Refuse(ErrorCode::BatchTooLarge))],
    );
    // The nodes refuse the second one for good, at its second attempt.
    let deliveries = send_while_silent(&cluster, &producer, 4).await;
    cluster.shared.answering.send_replace(true);

    let mut outcomes = Vec::new();
    for delivery in deliveries {
        outcomes.push(delivery.await.map(|delivered| delivered.offset.get()));
    }
    let error = outcomes.remove(1).unwrap_err();
    assert_eq!(error.code(), ErrorCode::BatchTooLarge);
    assert!(error.is_definite());
    let offsets: Vec<_> = outcomes.into_iter().map(Result::unwrap).collect();
    assert_eq!(offsets, [0, 1, 2]);
    assert_eq!(cluster.values(0), ["0", "2", "3"]);

    let error = producer.flush().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::BatchTooLarge);
    producer.flush().await.unwrap();
}

#[tokio::test]
async fn without_idempotence_what_may_be_applied_is_not_sent_again() {
    let cluster = FakeCluster::start(1, 1).await;
    let config = ProducerConfig {
        idempotent: false,
        ..one_by_one()
    };
    let producer = producer(&cluster, config).await;
    faults(
        &cluster,
        &[
            Some(ProduceFault::LoseAnswer),
            Some(ProduceFault::Refuse(ErrorCode::Overloaded)),
        ],
    );
    let error = send(&producer, "in doubt").await.await.unwrap_err();
    assert!(!error.is_definite());
    send(&producer, "again").await.await.unwrap();
    assert_eq!(cluster.values(0), ["in doubt", "again"]);
    assert_eq!(cluster.state().producer_ids, 0);
}

#[tokio::test]
async fn a_forgotten_producer_starts_over_under_another_identity() {
    let cluster = FakeCluster::start(1, 1).await;
    let producer = producer(&cluster, one_by_one()).await;
    send(&producer, "a").await.await.unwrap();
    cluster
        .state()
        .partition(TOPIC, 0)
        .unwrap()
        .forget_producers();
    send(&producer, "b").await.await.unwrap();
    send(&producer, "c").await.await.unwrap();
    assert_eq!(cluster.values(0), ["a", "b", "c"]);
    assert_eq!(cluster.state().producer_ids, 2);
}

#[tokio::test]
async fn a_fenced_producer_writes_no_more() {
    let cluster = FakeCluster::start(1, 1).await;
    let producer = producer(&cluster, one_by_one()).await;
    let fenced = ProduceFault::Refuse(ErrorCode::ProducerFenced);
    faults(&cluster, &[Some(fenced)]);
    for delivery in send_while_silent(&cluster, &producer, 8).await {
        cluster.shared.answering.send_replace(true);
        let error = delivery.await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::ProducerFenced);
    }
    let record = ProducerRecord::new(topic(), "late").partition(partition(0));
    let error = producer.send(record).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ProducerFenced);
    assert!(cluster.values(0).is_empty());
}

#[tokio::test]
async fn giving_up_says_whether_the_record_can_be_there() {
    let cluster = FakeCluster::start(1, 1).await;
    let config = ProducerConfig {
        delivery_timeout: Duration::from_millis(100),
        ..one_by_one()
    };
    let producer = producer(&cluster, config).await;
    send(&producer, "a").await.await.unwrap();

    cluster.state().partition(TOPIC, 0).unwrap().leader = None;
    let error = send(&producer, "never sent").await.await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout);
    assert!(error.is_definite());

    cluster.state().partition(TOPIC, 0).unwrap().leader = Some(0);
    send(&producer, "b").await.await.unwrap();
    let unknown = ProduceFault::ApplyButAnswer(ErrorCode::ResultUnknown);
    faults(&cluster, &[Some(unknown); 100]);
    let error = send(&producer, "in doubt").await.await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout);
    assert!(!error.is_definite());

    cluster.state().produce_faults.clear();
    send(&producer, "c").await.await.unwrap();
    assert_eq!(cluster.values(0), ["a", "b", "in doubt", "c"]);
}

#[tokio::test]
async fn a_full_buffer_holds_the_sender() {
    let cluster = FakeCluster::start(1, 1).await;
    let config = ProducerConfig {
        buffer_bytes: 10_000,
        ..ProducerConfig::default()
    };
    let producer = producer(&cluster, config).await;
    cluster.shared.answering.send_replace(false);

    let record = || ProducerRecord::new(topic(), vec![b'x'; 1_000]).partition(partition(0));
    let _first = producer.send(record()).await.unwrap();
    let mut taken = 1;
    let blocked = loop {
        let mut next = Box::pin(producer.send(record()));
        match next.as_mut().now_or_never() {
            Some(delivery) => drop(delivery.unwrap()),
            None => break next,
        }
        taken += 1;
    };
    assert_eq!(taken, 9, "nine records and their overhead fit");

    cluster.shared.answering.send_replace(true);
    blocked.await.unwrap().await.unwrap();
    producer.flush().await.unwrap();
    assert_eq!(cluster.values(0).len(), 10);
}

#[tokio::test]
async fn a_record_larger_than_the_buffer_travels_alone() {
    let cluster = FakeCluster::start(1, 1).await;
    let config = ProducerConfig {
        buffer_bytes: 100,
        ..ProducerConfig::default()
    };
    let producer = producer(&cluster, config).await;
    let record = ProducerRecord::new(topic(), vec![b'x'; 1_000]);
    producer.send(record).await.unwrap().await.unwrap();
    assert_eq!(cluster.values(0).concat().len(), 1_000);
}

#[tokio::test]
async fn closing_sends_what_is_there_and_takes_nothing_more() {
    let cluster = FakeCluster::start(1, 1).await;
    let config = ProducerConfig {
        linger: Duration::from_secs(3_600),
        ..ProducerConfig::default()
    };
    let producer = producer(&cluster, config).await;
    let mut deliveries = Vec::new();
    for value in ["a", "b", "c"] {
        deliveries.push(send(&producer, value).await);
    }
    producer.close().await.unwrap();
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    assert_eq!(cluster.values(0), ["a", "b", "c"]);

    let record = ProducerRecord::new(topic(), "d");
    let error = producer.send(record).await.unwrap_err();
    assert!(error.is_definite());
    assert_eq!(error.code(), ErrorCode::ShuttingDown);
}

#[tokio::test]
async fn a_key_always_goes_to_the_same_partition() {
    let cluster = FakeCluster::start(2, 12).await;
    let producer = producer(&cluster, ProducerConfig::default()).await;
    // Kafka's hash of "21" is -973932308.
    let index = (-973_932_308_i32).cast_unsigned() & 0x7fff_ffff;
    for _ in 0..2 {
        let record = ProducerRecord::new(topic(), "v").key("21");
        let delivered = producer.send(record).await.unwrap().await.unwrap();
        assert_eq!(delivered.partition.get(), index % 12);
    }
}

#[tokio::test]
async fn unknown_topics_and_partitions_are_refused_when_they_are_sent_to() {
    let cluster = FakeCluster::start(1, 1).await;
    let producer = producer(&cluster, ProducerConfig::default()).await;
    let record = ProducerRecord::new(topic(), "v").partition(partition(1));
    let error = producer.send(record).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnknownPartition);

    let nowhere = flotilla_client::TopicName::parse("nowhere").unwrap();
    let error = producer.send(ProducerRecord::new(nowhere, "v")).await;
    assert_eq!(error.unwrap_err().code(), ErrorCode::UnknownTopic);
}

#[tokio::test]
async fn a_topic_that_is_deleted_fails_what_is_sent_to_it() {
    let cluster = FakeCluster::start(1, 1).await;
    let producer = producer(&cluster, one_by_one()).await;
    send(&producer, "a").await.await.unwrap();
    cluster.state().topics.clear();
    let error = send(&producer, "b").await.await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnknownTopic);
    assert!(error.is_definite());
}
