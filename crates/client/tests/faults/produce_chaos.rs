//! Producers under a storm of faults.

use std::collections::{HashMap, HashSet};

use flotilla_client::{ErrorCode, ProducerConfig, ProducerRecord};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::fake_cluster::{FakeCluster, ProduceFault, partition, topic};

const PARTITIONS: u32 = 3;
const RECORDS: u32 = 600;
const SEEDS: u64 = 8;

/// Whatever happens to requests, answers and leaders, every acknowledged record is stored exactly
/// once, at the offset that was acknowledged, and in the order in which it was sent.
#[tokio::test]
async fn records_are_stored_once_and_in_order_whatever_fails() {
    for seed in 0..SEEDS {
        println!("seed {seed}");
        let cluster = FakeCluster::start(3, PARTITIONS).await;
        let mut random = SmallRng::seed_from_u64(seed);
        let storm = (0..400).map(|_| fault(&mut random));
        cluster.state().produce_faults.extend(storm);

        let config = ProducerConfig {
            batch_bytes: 200,
            ..ProducerConfig::default()
        };
        let producer = cluster.client().await.producer(config).unwrap();
        let mut deliveries = Vec::new();
        for number in 0..RECORDS {
            let record = ProducerRecord::new(topic(), number.to_string());
            let record = record.partition(partition(number % PARTITIONS));
            deliveries.push(producer.send(record).await.unwrap());
        }
        producer.flush().await.unwrap();

        let mut stored = HashMap::new();
        for index in 0..PARTITIONS {
            let sent = (0..RECORDS).filter(|number| number % PARTITIONS == index);
            let sent: Vec<_> = sent.map(|number| number.to_string()).collect();
            let values = cluster.values(index as usize);
            assert_eq!(values, sent, "seed {seed}, partition {index}");
            stored.insert(index, values);
        }
        for (number, delivery) in (0..).zip(deliveries) {
            let delivered = delivery.await.unwrap();
            let values = &stored[&delivered.partition.get()];
            let value = &values[delivered.offset.get() as usize];
            assert_eq!(*value, u32::to_string(&number), "seed {seed}");
        }
    }
}

/// Batches that are refused for good, between all the other faults: they fail, and they alone.
#[tokio::test]
async fn unfit_batches_fail_alone_whatever_else_fails() {
    for seed in 0..SEEDS {
        println!("seed {seed}");
        let cluster = FakeCluster::start(3, 1).await;
        let mut random = SmallRng::seed_from_u64(1_000 + seed);
        let storm = (0..300).map(|_| {
            if random.random_ratio(1, 10) {
                Some(ProduceFault::Refuse(ErrorCode::BatchTooLarge))
            } else {
                fault(&mut random)
            }
        });
        cluster.state().produce_faults.extend(storm);

        let config = ProducerConfig {
            batch_bytes: 1,
            ..ProducerConfig::default()
        };
        let producer = cluster.client().await.producer(config).unwrap();
        let mut deliveries = Vec::new();
        for number in 0..RECORDS / 2 {
            let record = ProducerRecord::new(topic(), number.to_string());
            deliveries.push(producer.send(record).await.unwrap());
        }
        let mut must_be_there = Vec::new();
        let mut must_not_be_there = Vec::new();
        for (number, delivery) in (0..).zip(deliveries) {
            match delivery.await {
                Ok(_) => must_be_there.push(u32::to_string(&number)),
                Err(error) if error.is_definite() => must_not_be_there.push(number.to_string()),
                Err(error) => assert_eq!(error.code(), ErrorCode::BatchTooLarge),
            }
        }
        // What is in doubt may be there, and a copy of it may come late; but never twice.
        let values = cluster.values(0);
        let distinct: HashSet<_> = values.iter().collect();
        assert_eq!(distinct.len(), values.len(), "seed {seed}: {values:?}");
        let acknowledged = values.iter().filter(|value| must_be_there.contains(value));
        let in_order: Vec<_> = acknowledged.cloned().collect();
        assert_eq!(in_order, must_be_there, "seed {seed}: {values:?}");
        let is_there = |number: &String| values.contains(number);
        assert!(!must_not_be_there.iter().any(is_there), "seed {seed}");
        assert!(
            !must_not_be_there.is_empty(),
            "seed {seed}: the storm was too mild"
        );
    }
}

fn fault(random: &mut SmallRng) -> Option<ProduceFault> {
    match random.random_range(0..12) {
        0 => Some(ProduceFault::LoseAnswer),
        1 => Some(ProduceFault::LoseRequest),
        2 => Some(ProduceFault::DelayRequest),
        3 => Some(ProduceFault::MoveLeader),
        4 => Some(ProduceFault::ApplyButAnswer(ErrorCode::ResultUnknown)),
        5 => Some(ProduceFault::ApplyButAnswer(ErrorCode::Timeout)),
        6 => Some(ProduceFault::Refuse(ErrorCode::Overloaded)),
        7 => Some(ProduceFault::Refuse(ErrorCode::LeaderNotAvailable)),
        _ => None,
    }
}
