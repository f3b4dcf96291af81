//! Consumer groups: what the members of one share, and what a group remembers, while members and
//! nodes come and go.

use std::time::{Duration, Instant};

use flotilla_client::{
    Client, GroupConfig, GroupConsumer, GroupId, OffsetSpec, PartitionIndex, PartitionName,
    ProducerConfig, Subscription, TopicName,
};
use flotilla_tests::cluster::Cluster;
use flotilla_tests::condition::until;
use flotilla_tests::group_worker::{Processed, Watcher, Worker, wait_until_settled};
use flotilla_tests::phase::phase;
use flotilla_tests::workload::{Writing, write};

use crate::topics::{create, name};

const LIMIT: Duration = Duration::from_secs(60);

fn billing() -> GroupId {
    GroupId::parse("billing").unwrap()
}

async fn fill(client: &Client, topic: &TopicName, producer: u32, record_count: u64) {
    let writing = Writing {
        topic: topic.clone(),
        producer,
        record_count,
        value_bytes: 100,
        key_count: 1_000,
    };
    let written = write(client, &writing, ProducerConfig::default(), |_| ()).await;
    assert_eq!(written.unwrap().acknowledged_count() as u64, record_count);
}

async fn wait_for(processed: &Processed, count: usize) {
    until("everything is processed", LIMIT, async || {
        (processed.distinct() >= count).then_some(())
    })
    .await;
}

/// What the group has committed is what there is, and nothing below it was skipped.
async fn assert_committed_to_the_end(client: &Client, topic: &TopicName, processed: &Processed) {
    let admin = client.admin();
    let ends = admin.list_offsets(topic, &[], OffsetSpec::Latest).await;
    let committed = admin.committed_offsets(&billing(), &[]).await.unwrap();
    for end in ends.unwrap() {
        let of_partition = committed
            .iter()
            .find(|committed| committed.name.partition == end.partition);
        let committed = of_partition.map(|committed| committed.offset);
        let end_offset = end.offset.unwrap();
        assert_eq!(committed, Some(end_offset), "partition {}", end.partition);
        assert_eq!(processed.gap_below(end.partition, end_offset), None);
    }
}

/// Goal: while members join, leave, die and hand over, every record is processed, none below a
/// committed offset is skipped, and no partition has two members in one generation. Who leaves in
/// order hands over exactly: nothing is processed twice.
#[tokio::test(flavor = "multi_thread")]
async fn members_that_come_and_go_process_everything() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 12, 3).await;
    let (group, processed) = (billing(), Processed::default());
    let worker = || Worker::start(&client, &group, &topic, &processed);

    phase("one member, then three");
    let first = worker();
    let watcher = {
        wait_until_settled(&client, &group, (1, 12)).await;
        Watcher::start(&client, &group)
    };
    fill(&client, &topic, 1, 5_000).await;
    let (second, third) = (worker(), worker());
    let held = wait_until_settled(&client, &group, (3, 12)).await;
    assert!(held.values().all(|held| held.len() == 4), "{held:?}");
    fill(&client, &topic, 2, 5_000).await;
    wait_for(&processed, 10_000).await;

    phase("the first one leaves while records come");
    let ((), ()) = tokio::join!(fill(&client, &topic, 3, 5_000), first.stop());
    wait_until_settled(&client, &group, (2, 12)).await;
    wait_for(&processed, 15_000).await;
    assert_eq!(processed.repeated(), 0, "all handovers were in order");

    phase("the second one dies; its session has to run out");
    second.kill();
    fill(&client, &topic, 4, 5_000).await;
    wait_until_settled(&client, &group, (1, 12)).await;
    wait_for(&processed, 20_000).await;
    third.stop().await;
    assert_committed_to_the_end(&client, &topic, &processed).await;
    let seen = watcher.assert_nothing_was_shared().await;
    phase(format_args!(
        "{seen} holdings were seen, each of one member"
    ));
}

/// Goal: nodes that are killed, the one that coordinates the group included, and then all of them at
/// once, cost the group neither an offset commit nor a record.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_outlives_its_coordinator() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 6, 3).await;
    let (group, processed) = (billing(), Processed::default());
    let worker = || Worker::start(&client, &group, &topic, &processed);
    let workers = [worker(), worker()];
    wait_until_settled(&client, &group, (2, 6)).await;
    let watcher = Watcher::start(&client, &group);

    for round in 1..=3 {
        let described = client.admin().describe_group(&group).await.unwrap();
        let before = client.admin().committed_offsets(&group, &[]).await.unwrap();
        phase(format_args!(
            "kill node {}, the coordinator",
            described.coordinator
        ));
        cluster.node_mut(described.coordinator).kill();
        let after = client.admin().committed_offsets(&group, &[]).await.unwrap();
        for committed in before {
            let now = after.iter().find(|now| now.name == committed.name);
            assert!(now.is_some_and(|now| now.offset >= committed.offset));
        }
        fill(&client, &topic, round, 3_000).await;
        cluster.start_all().await;
    }
    wait_for(&processed, 9_000).await;

    phase("all nodes at once");
    cluster.kill_all();
    cluster.start_all().await;
    let listed = client.admin().list_groups().await.unwrap();
    assert_eq!(
        listed.len(),
        1,
        "as soon as the nodes are ready, the list is whole"
    );
    cluster.wait_for_leaders(&client).await;
    fill(&client, &topic, 4, 3_000).await;
    wait_for(&processed, 12_000).await;
    for worker in workers {
        worker.stop().await;
    }
    assert_committed_to_the_end(&client, &topic, &processed).await;
    watcher.assert_nothing_was_shared().await;
}

fn member(client: &Client, topic: &TopicName) -> GroupConsumer {
    let config = GroupConfig::new(billing(), Subscription::Topics(vec![topic.clone()]));
    client.group_consumer(config).unwrap()
}

/// Goal: a group of 50 members over 100 partitions is settled within seconds of a join or a leave, and
/// who keeps its partitions is not disturbed. The time is printed; the limit is generous.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_members_settle_soon_after_one_joins_or_leaves() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 100, 1).await;
    let mut members: Vec<_> = (0..50)
        .map(|_| tokio::spawn(poll_for_ever(member(&client, &topic))))
        .collect();
    let before = wait_until_settled(&client, &billing(), (50, 100)).await;
    assert!(before.values().all(|held| held.len() == 2), "{before:?}");

    phase("one joins");
    let began = Instant::now();
    members.push(tokio::spawn(poll_for_ever(member(&client, &topic))));
    let joined = wait_until_settled(&client, &billing(), (51, 100)).await;
    phase(format_args!(
        "settled after {} ms",
        began.elapsed().as_millis()
    ));
    let kept = before
        .iter()
        .filter(|(member, held)| joined.get(*member) == Some(*held));
    assert!(kept.count() >= 48, "at most two give something up");

    phase("one is closed");
    let began = Instant::now();
    members.pop().unwrap().abort();
    let mut leaver = member(&client, &topic);
    leaver.poll(0).await.unwrap();
    wait_until_settled(&client, &billing(), (52, 100)).await;
    leaver.close().await.unwrap();
    phase(format_args!(
        "left after {} ms",
        began.elapsed().as_millis()
    ));
    wait_until_settled(&client, &billing(), (50, 100)).await;
    phase(format_args!(
        "the dead one is gone after {} ms",
        began.elapsed().as_millis()
    ));
}

async fn poll_for_ever(mut member: GroupConsumer) {
    loop {
        let polled = member.poll(100).await;
        assert!(polled.is_ok_and(|records| records.is_empty()));
    }
}

/// Goal: topics that appear, grow or go are taken up or forgotten by those who subscribe to a pattern.
#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_follows_the_topics() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let config = GroupConfig::new(billing(), Subscription::Pattern("orders\\..*".to_owned()));
    let mut consumer = client.group_consumer(config).unwrap();
    let member = tokio::spawn(async move { while consumer.poll(100).await.is_ok() {} });
    wait_until_settled(&client, &billing(), (1, 0)).await;
    create(&client, &name("orders.eu"), 2, 1).await;
    create(&client, &name("refunds"), 2, 1).await;
    wait_until_settled(&client, &billing(), (1, 2)).await;
    let admin = client.admin();
    admin.add_partitions(&name("orders.eu"), 5).await.unwrap();
    wait_until_settled(&client, &billing(), (1, 5)).await;
    create(&client, &name("orders.us"), 1, 1).await;
    wait_until_settled(&client, &billing(), (1, 6)).await;
    admin.delete_topic(&name("orders.eu")).await.unwrap();
    let held = wait_until_settled(&client, &billing(), (1, 1)).await;
    let expected = PartitionName::new(name("orders.us"), PartitionIndex::new(0));
    assert!(held.values().all(|held| held.contains(&expected)));
    member.abort();
}
