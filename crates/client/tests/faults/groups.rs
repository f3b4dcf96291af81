//! What a member of a consumer group promises when things go well and when they do not.

use std::collections::BTreeMap;
use std::time::Duration;

use flotilla_client::{
    ConsumerRecord, ErrorCode, GroupConfig, GroupConsumer, GroupId, Offset, OffsetSpec,
    PartitionName, Producer, ProducerConfig, ProducerRecord, Subscription,
};
use tokio::time::timeout;

use crate::fake_cluster::{FakeCluster, TOPIC, partition, topic};
use crate::fake_groups::{Event, FakeGroup, GROUP};

/// Far beyond what anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn group() -> GroupId {
    GroupId::parse(GROUP).unwrap()
}

fn name(index: u32) -> PartitionName {
    PartitionName::new(topic(), partition(index))
}

fn config() -> GroupConfig {
    GroupConfig::new(group(), Subscription::Topics(vec![topic()]))
}

/// Offsets are only committed where a partition is given up, in `close`, and by hand. A heartbeat
/// waits for longer than any test, so that nothing can wait for its end.
fn rarely_committing() -> GroupConfig {
    GroupConfig {
        session_timeout: Duration::from_secs(1_800),
        auto_commit: Some(Duration::from_secs(3_600)),
        ..config()
    }
}

/// A cluster of which each partition has as many records as asked for.
async fn filled(node_count: usize, partitions: u32, records: u32) -> FakeCluster {
    let cluster = FakeCluster::start(node_count, partitions).await;
    let producer = cluster.client().await.producer(ProducerConfig::default());
    let producer = producer.unwrap();
    for index in 0..partitions {
        append(&producer, index, records).await;
    }
    cluster
}

async fn append(producer: &Producer, index: u32, records: u32) {
    for number in 0..records {
        let record = ProducerRecord::new(topic(), number.to_string()).partition(partition(index));
        producer.send(record).await.unwrap().await.unwrap();
    }
}

/// The first one that joins gets these partitions in these generations.
async fn first_member(
    cluster: &FakeCluster,
    config: GroupConfig,
    claims: &[(u32, u64)],
) -> GroupConsumer {
    cluster.change(|state| state.group.for_next = claims.to_vec());
    cluster.client().await.group_consumer(config).unwrap()
}

async fn until(cluster: &FakeCluster, condition: impl Fn(&FakeGroup) -> bool) {
    let mut changes = cluster.shared.changes();
    let waiting = changes.wait_for(|_| condition(&cluster.state().group));
    let met = timeout(PATIENCE, waiting).await;
    if met.is_err() {
        panic!(
            "it does not come to that: {:?}",
            cluster.state().group.events
        );
    }
}

/// Polls until something is there.
async fn poll(consumer: &mut GroupConsumer) -> Vec<(u32, u64)> {
    let records = timeout(PATIENCE, consumer.poll(100)).await;
    offsets(&records.expect("records come in time").unwrap())
}

/// Polls while waiting for the group to get somewhere.
async fn poll_until(
    cluster: &FakeCluster,
    consumer: &mut GroupConsumer,
    condition: impl Fn(&FakeGroup) -> bool,
) {
    tokio::select! {
        biased;
        () = until(cluster, condition) => {}
        polled = consumer.poll(100) => panic!("{polled:?}"),
    }
}

async fn poll_some(consumer: &mut GroupConsumer, count: usize) -> Vec<(u32, u64)> {
    let mut polled = Vec::new();
    while polled.len() < count {
        polled.extend(poll(consumer).await);
    }
    polled.sort_unstable();
    polled
}

fn offsets(records: &[ConsumerRecord]) -> Vec<(u32, u64)> {
    let at = |record: &ConsumerRecord| (record.partition.get(), record.offset.get());
    records.iter().map(at).collect()
}

fn committed(member: &str, index: u32, offset: u64) -> Event {
    Event::Committed(member.to_owned(), index, offset)
}

fn joined(member: &str) -> Event {
    Event::Joined(member.to_owned())
}

fn left(member: &str) -> Event {
    Event::Left(member.to_owned())
}

fn released(member: &str, index: u32) -> Event {
    Event::Released(member.to_owned(), index)
}

#[tokio::test]
async fn a_member_reads_what_it_is_given_and_commits_what_it_was_given() {
    let cluster = filled(2, 2, 3).await;
    cluster.state().group.offsets.insert(0, 2);
    let mut consumer = first_member(&cluster, rarely_committing(), &[(0, 1), (1, 1)]).await;
    let polled = poll_some(&mut consumer, 4).await;
    assert_eq!(polled, [(0, 2), (1, 0), (1, 1), (1, 2)]);
    assert_eq!(consumer.assignment(), [name(0), name(1)]);
    assert_eq!(cluster.state().group.events, [joined("m1")]);

    consumer.commit().await.unwrap();
    consumer.commit().await.unwrap();
    let events = cluster.state().group.events.clone();
    assert_eq!(events[1..], [committed("m1", 0, 3), committed("m1", 1, 3)]);
    let told = consumer.committed().await.unwrap();
    let three = Offset::new(3);
    assert_eq!(told, BTreeMap::from([(name(0), three), (name(1), three)]));
}

#[tokio::test]
async fn polling_again_says_that_what_was_returned_is_processed() {
    let cluster = filled(1, 1, 2).await;
    let eager = GroupConfig {
        auto_commit: Some(Duration::from_millis(1)),
        ..config()
    };
    let mut consumer = first_member(&cluster, eager, &[(0, 1)]).await;
    let mut read = 0;
    while read < 2 {
        let records = timeout(PATIENCE, consumer.poll(1)).await.unwrap().unwrap();
        let last = cluster.state().group.offsets.get(&0).copied();
        assert!(last.unwrap_or(0) <= read, "nothing that is being processed");
        read += records.len() as u64;
    }
    poll_until(&cluster, &mut consumer, |group| {
        group.has(&committed("m1", 0, 2))
    })
    .await;
}

#[tokio::test]
async fn a_partition_without_a_committed_offset_begins_where_it_is_told() {
    let cluster = filled(1, 1, 3).await;
    let from_the_end = GroupConfig {
        start: OffsetSpec::Latest,
        auto_commit: Some(Duration::from_millis(1)),
        ..config()
    };
    let mut consumer = first_member(&cluster, from_the_end, &[(0, 1)]).await;
    // The place that was found is committed, so that nothing is skipped if the member changes.
    poll_until(&cluster, &mut consumer, |group| {
        group.has(&committed("m1", 0, 3))
    })
    .await;
    let producer = cluster.client().await.producer(ProducerConfig::default());
    append(&producer.unwrap(), 0, 1).await;
    assert_eq!(poll(&mut consumer).await, [(0, 3)]);
}

#[tokio::test]
async fn a_revoked_partition_is_committed_and_then_released() {
    let cluster = filled(2, 2, 3).await;
    let mut consumer = first_member(&cluster, rarely_committing(), &[(0, 1), (1, 1)]).await;
    poll_some(&mut consumer, 6).await;
    cluster.change(|state| state.group.assign("m1", &[(0, 1)], &[(1, 1)]));
    let is_released = |group: &FakeGroup| group.has(&released("m1", 1));
    poll_until(&cluster, &mut consumer, is_released).await;
    let events = cluster.state().group.events.clone();
    let [commits @ .., release] = &events[1..] else {
        panic!("{events:?}");
    };
    assert!(commits.contains(&committed("m1", 1, 3)), "{events:?}");
    assert_eq!(*release, released("m1", 1), "nothing comes after it");
    assert_eq!(consumer.assignment(), [name(0)]);

    let gone = BTreeMap::from([(name(1), Offset::new(1))]);
    let error = consumer.commit_offsets(&gone).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::StaleGeneration);
    let kept = BTreeMap::from([(name(0), Offset::new(1))]);
    consumer.commit_offsets(&kept).await.unwrap();
    assert_eq!(cluster.state().group.offsets[&0], 1);
}

#[tokio::test]
async fn without_auto_commit_a_revoked_partition_is_only_released() {
    let cluster = filled(1, 1, 3).await;
    let by_hand = GroupConfig {
        auto_commit: None,
        ..config()
    };
    let mut consumer = first_member(&cluster, by_hand, &[(0, 1)]).await;
    poll_some(&mut consumer, 3).await;
    cluster.change(|state| state.group.assign("m1", &[], &[(0, 1)]));
    let is_released = |group: &FakeGroup| group.has(&released("m1", 0));
    poll_until(&cluster, &mut consumer, is_released).await;
    consumer.close().await.unwrap();
    let events = cluster.state().group.events.clone();
    assert_eq!(events, [joined("m1"), released("m1", 0), left("m1")]);
}

#[tokio::test]
async fn a_change_wakes_a_poll_that_waits() {
    let cluster = filled(1, 1, 3).await;
    let mut consumer = first_member(&cluster, config(), &[]).await;
    poll_until(&cluster, &mut consumer, |group| group.has(&joined("m1"))).await;
    assert!(consumer.assignment().is_empty());
    cluster.change(|state| state.group.assign("m1", &[(0, 2)], &[]));
    assert_eq!(poll_some(&mut consumer, 3).await.len(), 3);
}

#[tokio::test]
async fn an_expelled_member_drops_everything_and_joins_again() {
    let cluster = filled(2, 1, 3).await;
    let mut consumer = first_member(&cluster, rarely_committing(), &[(0, 1)]).await;
    poll_some(&mut consumer, 3).await;
    cluster.change(|state| {
        state.group.members.clear();
        state.group.for_next = vec![(0, 2)];
    });
    until(&cluster, |group| group.has(&joined("m2"))).await;
    // Whether or not the session knows already: it is not committed under the new membership.
    let error = consumer.commit().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnknownMember);
    assert!(cluster.state().group.offsets.is_empty());

    let again = poll_some(&mut consumer, 3).await;
    assert_eq!(
        again,
        [(0, 0), (0, 1), (0, 2)],
        "nothing had been committed"
    );
    consumer.close().await.unwrap();
    let events = cluster.state().group.events.clone();
    let expected = [
        joined("m1"),
        joined("m2"),
        committed("m2", 0, 3),
        left("m2"),
    ];
    assert_eq!(events, expected);
}

#[tokio::test]
async fn a_commit_in_a_generation_that_is_over_is_refused_and_not_repeated() {
    let cluster = filled(1, 1, 3).await;
    let mut consumer = first_member(&cluster, rarely_committing(), &[(0, 1)]).await;
    poll_some(&mut consumer, 3).await;
    // The member does not know it yet: its version stays the same.
    cluster
        .state()
        .group
        .members
        .get_mut("m1")
        .unwrap()
        .partitions = vec![(0, 2)];
    let error = consumer.commit().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::StaleGeneration);
    assert!(cluster.state().group.offsets.is_empty());
}

#[tokio::test]
async fn a_coordinator_out_of_reach_costs_the_partitions_until_it_is_back() {
    for is_silent in [false, true] {
        let cluster = filled(3, 1, 3).await;
        let short = GroupConfig {
            session_timeout: Duration::from_secs(1),
            ..rarely_committing()
        };
        let mut consumer = first_member(&cluster, short, &[(0, 1)]).await;
        poll_some(&mut consumer, 3).await;
        match is_silent {
            true => drop(cluster.shared.answering.send_replace(false)),
            false => cluster.change(|state| {
                state.group.failing = Some(ErrorCode::LeaderNotAvailable);
            }),
        }
        let error = timeout(PATIENCE, consumer.poll(1)).await.unwrap();
        assert_eq!(error.unwrap_err().code(), ErrorCode::Timeout);
        assert!(consumer.assignment().is_empty());

        // It was never expelled, and goes on as the member that it is.
        cluster.shared.answering.send_replace(true);
        cluster.change(|state| state.group.failing = None);
        let mut again = Vec::new();
        while again.len() < 3 {
            // More of the same may have been on its way.
            match timeout(PATIENCE, consumer.poll(100)).await.unwrap() {
                Ok(records) => again.extend(offsets(&records)),
                Err(error) => assert_eq!(error.code(), ErrorCode::Timeout),
            }
        }
        assert_eq!(
            again,
            [(0, 0), (0, 1), (0, 2)],
            "nothing had been committed"
        );
        assert_eq!(cluster.state().group.events, [joined("m1")]);
    }
}

#[tokio::test]
async fn trouble_that_passes_is_not_noticed() {
    let cluster = filled(3, 1, 3).await;
    let mut consumer = first_member(&cluster, rarely_committing(), &[(0, 1)]).await;
    poll_some(&mut consumer, 3).await;
    cluster.change(|state| state.group.failing = Some(ErrorCode::ShuttingDown));
    poll_until(&cluster, &mut consumer, |group| group.failed >= 3).await;
    cluster.change(|state| state.group.failing = None);
    consumer.close().await.unwrap();
    let events = cluster.state().group.events.clone();
    assert_eq!(events, [joined("m1"), committed("m1", 0, 3), left("m1")]);
}

#[tokio::test]
async fn closing_commits_and_leaves_and_leaving_only_leaves() {
    for closes in [true, false] {
        let cluster = filled(1, 1, 3).await;
        let mut consumer = first_member(&cluster, rarely_committing(), &[(0, 1)]).await;
        poll_some(&mut consumer, 3).await;
        if closes {
            consumer.close().await.unwrap();
        } else {
            consumer.leave().await.unwrap();
        }
        let offset = cluster.state().group.offsets.get(&0).copied();
        assert_eq!(offset, closes.then_some(3));
        assert!(cluster.state().group.members.is_empty());
    }
}

#[tokio::test]
async fn a_member_that_is_not_polled_leaves_and_the_next_poll_joins_again() {
    let cluster = filled(1, 1, 3).await;
    let impatient = GroupConfig {
        poll_interval_max: Duration::from_millis(50),
        ..rarely_committing()
    };
    let mut consumer = first_member(&cluster, impatient, &[(0, 1)]).await;
    poll_some(&mut consumer, 3).await;
    until(&cluster, |group| group.has(&left("m1"))).await;
    cluster.change(|state| state.group.for_next = vec![(0, 2)]);
    let error = consumer.commit().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnknownMember);
    assert_eq!(poll_some(&mut consumer, 3).await.len(), 3);
    let events = cluster.state().group.events.clone();
    assert_eq!(events[..3], [joined("m1"), left("m1"), joined("m2")]);
}

#[tokio::test]
async fn a_member_that_the_group_refuses_is_told_why() {
    let cluster = filled(1, 1, 1).await;
    cluster.change(|state| state.group.failing = Some(ErrorCode::InvalidArgument));
    let mut consumer = first_member(&cluster, config(), &[]).await;
    for _ in 0..2 {
        let error = timeout(PATIENCE, consumer.poll(1)).await.unwrap();
        assert_eq!(error.unwrap_err().code(), ErrorCode::InvalidArgument);
    }
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn an_operator_sees_members_offsets_and_lag() {
    let cluster = filled(2, 2, 3).await;
    cluster.state().group.offsets.insert(0, 1);
    let named = GroupConfig {
        client_name: "bills".to_owned(),
        ..rarely_committing()
    };
    let mut consumer = first_member(&cluster, named, &[(1, 1)]).await;
    poll_some(&mut consumer, 3).await;
    let admin = cluster.client().await.admin();
    assert_eq!(admin.list_groups().await.unwrap()[0].members, 1);
    let described = admin.describe_group(&group()).await.unwrap();
    let member = &described.members[0];
    assert_eq!(member.client_name, "bills");
    assert_eq!(member.subscription, Subscription::Topics(vec![topic()]));
    assert_eq!(member.partitions[0].name, name(1));

    let lags = admin.group_lag(&group()).await.unwrap();
    let lag = &lags[0];
    assert_eq!((&lag.name, lag.owner.as_ref()), (&name(0), None));
    assert_eq!(lag.committed, Some(Offset::new(1)));
    assert_eq!(lag.high_watermark, Some(Offset::new(3)));
    assert_eq!(lag.records, Some(2));
    assert!(lag.time.unwrap() < PATIENCE, "the record is young");
    let held = &lags[1];
    assert_eq!(held.owner.as_ref(), Some(&member.member));
    assert_eq!(
        (held.committed, held.records, held.time),
        (None, None, None)
    );
}

#[tokio::test]
async fn offsets_are_reset_and_groups_deleted_only_without_members() {
    let cluster = filled(1, 1, 3).await;
    let mut consumer = first_member(&cluster, rarely_committing(), &[(0, 1)]).await;
    poll_some(&mut consumer, 3).await;
    let admin = cluster.client().await.admin();
    let offsets = BTreeMap::from([(name(0), Offset::new(2))]);
    let error = admin.commit_offsets(&group(), &offsets).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::GroupNotEmpty);
    let error = admin.delete_group(&group()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::GroupNotEmpty);

    consumer.leave().await.unwrap();
    let outcomes = admin.commit_offsets(&group(), &offsets).await.unwrap();
    assert!(outcomes[0].1.is_ok());
    let told = admin.committed_offsets(&group(), &[topic()]).await.unwrap();
    assert_eq!(told[0].offset, Offset::new(2));
    assert_eq!(told[0].name.topic.as_str(), TOPIC);
    admin.delete_group(&group()).await.unwrap();
    assert!(cluster.state().group.offsets.is_empty());
}
