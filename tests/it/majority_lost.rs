//! Two of three nodes are gone: what the last one says of the cluster and of itself.

use std::time::Duration;

use flotilla_client::{ClusterDescription, NodeId};
use flotilla_tests::cluster::Cluster;
use flotilla_tests::condition::until;
use flotilla_tests::http::get;
use flotilla_tests::phase::phase;

use crate::topics::{create, name};

const LIMIT: Duration = Duration::from_secs(20);

/// Goal: a node that is alone claims neither for itself nor for a dead node that it leads anything,
/// whether it was the leader or followed one, and says where it can be asked that it is not ready;
/// all of that passes when the others return.
async fn the_last_one_of_three_claims_no_leaders(was_leader: bool) {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    create(&client, &name("orders"), 6, 3).await;
    let described = cluster.wait_for_leaders(&client).await;
    let leader = described.metadata_leader.unwrap().node;
    let ids = || (1..=3).map(NodeId::new);
    let last = ids().find(|id| (*id == leader) == was_leader).unwrap();
    let http = cluster.node(last).http_address();

    phase(format_args!(
        "node {leader} led the metadata group; only node {last} is left"
    ));
    for gone in ids().filter(|id| *id != last) {
        cluster.node_mut(gone).kill();
    }
    until("it is not ready", LIMIT, async || {
        let answer = get(&http, "/readyz").await.ok()?;
        (answer.status == 503 && answer.text().contains("no leader")).then_some(())
    })
    .await;
    let health = get(&http, "/health").await.unwrap();
    assert_eq!(health.status, 503, "{}", health.text());
    until("it claims no leaders", LIMIT, async || {
        let described = client.admin().describe_cluster().await.ok()?;
        assert_eq!(described.answered_by, last);
        claims_none(&described).then_some(())
    })
    .await;
    assert_eq!(get(&http, "/livez").await.unwrap().status, 200);

    phase("the others return");
    cluster.start_all().await;
    let described = cluster.wait_for_leaders(&client).await;
    assert!(described.metadata_leader.is_some());
}

fn claims_none(described: &ClusterDescription) -> bool {
    let partitions = &described.partitions;
    assert_eq!(partitions.len(), 6);
    described.metadata_leader.is_none() && partitions.iter().all(|one| one.leader.is_none())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_left_alone_claims_no_leaders() {
    the_last_one_of_three_claims_no_leaders(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_is_left_alone_claims_no_leaders() {
    the_last_one_of_three_claims_no_leaders(false).await;
}
