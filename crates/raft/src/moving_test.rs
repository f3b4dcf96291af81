//! A group whose replicas move to other nodes, under writes and whatever happens on the way.

use std::cell::Cell;

use flotilla_types::{NodeId, Offset};
use tokio::time::timeout;

use crate::cluster_test::{BIRTH_PATIENCE, Cluster, GROUP, LIMIT, batch, now, spec};
use crate::{GroupSpec, MoveStep, Partition};

/// More than a replica may lack when it becomes a voter.
const RECORDS: u64 = 100;

fn nodes(ids: [u64; 3]) -> Vec<NodeId> {
    ids.into_iter().map(NodeId::new).collect()
}

fn at(node: NodeId) -> usize {
    node.get() as usize - 1
}

impl Cluster {
    /// Whoever leads now, if anybody does.
    fn leading(&self) -> Option<(usize, Partition)> {
        let running = self.nodes.iter().enumerate();
        let partitions = running.filter_map(|(at, running)| {
            let partition = running.as_ref()?.node.partition(GROUP)?;
            partition.is_leader().then_some((at, partition))
        });
        partitions.max_by_key(|(_, partition)| partition.leadership().epoch)
    }

    /// Opens the replicas that are new.
    async fn open(&self, from: &[NodeId], to: &[NodeId]) {
        for node in to.iter().filter(|node| !from.contains(node)) {
            let Some(running) = &self.nodes[at(*node)] else {
                continue;
            };
            if !running.node.has_opened(GROUP) {
                let spec = GroupSpec {
                    replicas: from.to_vec(),
                    is_new_member: true,
                    ..spec()
                };
                running.node.open_group(spec).await.unwrap();
            }
        }
    }

    async fn step(&self, to: &[NodeId]) -> MoveStep {
        match self.leading() {
            Some((_, partition)) => partition.move_replicas(to).await,
            None => MoveStep::NotLeader,
        }
    }

    async fn move_on(&self, to: &[NodeId]) {
        let moving = async {
            while self.step(to).await != MoveStep::Done {
                tokio::task::yield_now().await;
            }
        };
        timeout(LIMIT, moving).await.unwrap();
    }

    async fn drop_others(&self, to: &[NodeId]) {
        for running in self.nodes.iter().flatten() {
            if to.contains(&running.node.id()) {
                continue;
            }
            let dropping = async {
                while !running.node.drop_replica(GROUP, to).await {
                    tokio::task::yield_now().await;
                }
            };
            timeout(LIMIT, dropping).await.unwrap();
            assert!(!running.node.has_opened(GROUP));
        }
    }

    async fn append_on_leader(&self, number: u64) {
        let appending = async {
            loop {
                let Some((_, partition)) = self.leading() else {
                    tokio::task::yield_now().await;
                    continue;
                };
                let outcome = match partition.submit(&batch(number), now()).await {
                    Ok(ticket) => ticket.wait().await,
                    Err(error) => Err(error),
                };
                match outcome {
                    Ok(appended) => return assert_eq!(appended.base_offset, Offset::new(number)),
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        };
        timeout(LIMIT, appending).await.unwrap();
    }

    /// Appends until `doing` is done, and returns how many records there are then.
    async fn append_during(&self, first: u64, doing: impl Future<Output = ()>) -> u64 {
        let is_done = Cell::new(false);
        let doing = async {
            doing.await;
            is_done.set(true);
        };
        let appending = async {
            let mut next = first;
            while !is_done.get() {
                self.append_on_leader(next).await;
                next += 1;
            }
            next
        };
        tokio::join!(doing, appending).1
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_move_under_writes_and_come_back_to_where_they_were() {
    let cluster = Cluster::start_nodes(6).await;
    for number in 0..RECORDS {
        cluster.append_on_leader(number).await;
    }
    let mut records = RECORDS;
    let mut from = nodes([1, 2, 3]);
    for to in [[4, 2, 3], [4, 5, 6], [1, 2, 3], [3, 5, 1]].map(nodes) {
        let moving = async {
            cluster.open(&from, &to).await;
            cluster.move_on(&to).await;
            cluster.drop_others(&to).await;
        };
        records = cluster.append_during(records, moving).await;
        for node in &to {
            cluster.assert_holds(at(*node), 0, records).await;
            assert!(cluster.partition(at(*node)).has_replicas(&to));
        }
        from = to;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_goes_on_after_its_leader_died_at_any_step() {
    for steps in 1..=5 {
        let mut cluster = Cluster::start_nodes(6).await;
        let (from, to) = (nodes([1, 2, 3]), nodes([4, 5, 6]));
        for number in 0..RECORDS {
            cluster.append_on_leader(number).await;
        }
        cluster.open(&from, &to).await;
        let mut taken = 0;
        let moving = async {
            while taken < steps {
                taken += u32::from(cluster.step(&to).await != MoveStep::NotLeader);
            }
        };
        timeout(LIMIT, moving).await.unwrap();
        let died = cluster.leading().map_or(0, |(at, _)| at);
        cluster.stop(died).await;
        for number in RECORDS..RECORDS + 10 {
            cluster.append_on_leader(number).await;
        }
        cluster.restart(died).await;
        cluster.move_on(&to).await;
        cluster.drop_others(&to).await;
        for node in &to {
            cluster.assert_holds(at(*node), 0, RECORDS + 10).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_can_be_given_another_end() {
    let cluster = Cluster::start_nodes(5).await;
    for number in 0..RECORDS {
        cluster.append_on_leader(number).await;
    }
    let from = nodes([1, 2, 3]);
    let (first, second) = (nodes([4, 2, 3]), nodes([5, 2, 3]));
    cluster.open(&from, &first).await;
    cluster.step(&first).await;
    cluster.open(&from, &second).await;
    cluster.move_on(&second).await;
    cluster.drop_others(&second).await;
    cluster.append_on_leader(RECORDS).await;
    for node in &second {
        cluster.assert_holds(at(*node), 0, RECORDS + 1).await;
    }
}

/// A replica that nobody can confirm to be superfluous goes on serving.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_dropped_without_a_majority() {
    let mut cluster = Cluster::start_nodes(3).await;
    cluster.append_on_leader(0).await;
    cluster.assert_holds(0, 0, 1).await;
    cluster.stop(1).await;
    cluster.stop(2).await;
    let node = cluster.node(0);
    assert!(!node.drop_replica(GROUP, &nodes([4, 2, 3])).await);
    cluster.assert_holds(0, 0, 1).await;
}

/// After a restart a node does not remember what it was about to drop, and a replica without a trace
/// of its group never brings it to life again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_member_never_brings_its_group_to_life() {
    let mut cluster = Cluster::start_nodes(4).await;
    let spec = GroupSpec {
        replicas: nodes([4, 2, 3]),
        is_new_member: true,
        ..spec()
    };
    let newcomer = cluster.node(3);
    newcomer.open_group(spec.clone()).await.unwrap();
    cluster.stop(3).await;
    cluster.restart(3).await;
    let spec = GroupSpec {
        is_new_member: false,
        ..spec
    };
    cluster.node(3).open_group(spec).await.unwrap();
    let partition = cluster.partition(3);
    let born = partition.wait_leadership(|leadership| leadership.leader.is_some());
    assert!(timeout(3 * BIRTH_PATIENCE, born).await.is_err());
}
