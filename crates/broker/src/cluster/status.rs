//! How the partitions are, put together from what their leaders say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flotilla_protocol::v1;
use flotilla_protocol::v1::cluster_admin_client::ClusterAdminClient;
use flotilla_raft::Partition;
use flotilla_state::metadata::{self, MetadataState};
use flotilla_types::limits::GRPC_MESSAGE_BYTES_MAX;
use flotilla_types::{NodeId, Offset, PartitionId, RaftGroupId, TopicId};
use futures::StreamExt;
use futures::future::join_all;

use super::service::leader_message;
use crate::node::Node;
use crate::origin::Origin;

/// How long another node may take to tell what it knows.
const ASK_LIMIT: Duration = Duration::from_secs(2);
/// Partitions that are looked at at a time.
const CONCURRENT_MAX: usize = 64;

impl Node {
    /// Every partition, by topic name and index, and the state that tells where they are: the other nodes,
    /// which may know an earlier or a later one, are only asked how they are. What only an unreachable
    /// node knows is absent.
    pub(crate) async fn all_statuses(&self) -> (Arc<MetadataState>, Vec<v1::PartitionStatus>) {
        let peers = self.raft.connected_peers();
        let answers = join_all(peers.into_iter().map(|peer| self.ask_for_statuses(peer))).await;
        let own = self.own_statuses().await;
        let state = self.state();
        let mut statuses = placed_statuses(&state);
        let told = answers.into_iter().flatten().chain(own);
        for status in told {
            if let Some(known) = statuses.get_mut(&(status.topic.clone(), status.index)) {
                take_in(known, status);
            }
        }
        (state, statuses.into_values().collect())
    }

    /// The partitions of which this node has a replica, as far as it knows.
    pub(crate) async fn own_statuses(&self) -> Vec<v1::PartitionStatus> {
        let state = self.state();
        let here = state.partitions_on(self.id);
        let here = here.filter_map(|(id, placed)| {
            let partition = self.raft.partition(placed.raft_group)?;
            let status = placed_status(&state, id, placed)?;
            Some(self.described(partition, id.topic, status))
        });
        let described = futures::stream::iter(here.collect::<Vec<_>>());
        described.buffered(CONCURRENT_MAX).collect().await
    }

    /// Who leads the metadata group, unless that is in doubt.
    pub(crate) fn confirmed_metadata_leader(&self) -> Option<v1::PartitionLeader> {
        let leadership = self.raft.confirmed_leadership(RaftGroupId::METADATA);
        leadership.and_then(leader_message)
    }

    async fn described(
        &self,
        partition: Partition,
        topic: TopicId,
        mut status: v1::PartitionStatus,
    ) -> v1::PartitionStatus {
        let leadership = self.raft.confirmed_leadership(partition.raft_group());
        status.leader = leadership.and_then(leader_message);
        if !partition.is_leader() {
            return status;
        }
        let log_start = self.log_start(&partition, topic).await;
        status.log_start = log_start.ok().map(Offset::get);
        status.high_watermark = Some(partition.high_watermark().get());
        status.stored_bytes = Some(partition.retained_bytes());
        let progress = partition.progress();
        for replica in &mut status.replicas {
            let known = progress
                .iter()
                .find(|known| known.node.get() == replica.node_id);
            (replica.lag_entries, replica.is_voter) = match replica.node_id == self.id.get() {
                true => (Some(0), Some(true)),
                false => (
                    known.and_then(|known| known.entries_behind),
                    Some(known.is_some_and(|known| known.is_voter)),
                ),
            };
        }
        status
    }

    async fn ask_for_statuses(&self, peer: NodeId) -> Vec<v1::PartitionStatus> {
        let Ok(channel) = self.peers.channel(peer).await else {
            return Vec::new();
        };
        let request = v1::DescribeClusterRequest {};
        let request = Origin::ask_only(request, self.peers.cluster(), ASK_LIMIT);
        let mut client =
            ClusterAdminClient::new(channel).max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX);
        match client.describe_cluster(request).await {
            Ok(response) => response.into_inner().partitions,
            Err(status) => {
                let error = self.peers.failed_to_read(peer, &status);
                tracing::debug!(%peer, %error, "a node does not tell how its partitions are");
                Vec::new()
            }
        }
    }
}

fn placed_statuses(state: &MetadataState) -> BTreeMap<(String, u32), v1::PartitionStatus> {
    let statuses = state.partitions();
    statuses
        .filter_map(|(id, placed)| placed_status(state, id, placed))
        .map(|status| ((status.topic.clone(), status.index), status))
        .collect()
}

/// What metadata alone says of a partition.
fn placed_status(
    state: &MetadataState,
    id: PartitionId,
    placed: &metadata::Partition,
) -> Option<v1::PartitionStatus> {
    let mut nodes: Vec<_> = placed.hosts().map(NodeId::get).collect();
    nodes.sort_unstable();
    let replicas = nodes.into_iter().map(|node_id| v1::ReplicaStatus {
        node_id,
        lag_entries: None,
        is_voter: None,
    });
    let moving_to = placed.moving_to.iter().flatten();
    Some(v1::PartitionStatus {
        topic: state.topic(id.topic)?.name.as_str().to_owned(),
        index: id.index.get(),
        raft_group: placed.raft_group.get(),
        leader: None,
        log_start: None,
        high_watermark: None,
        stored_bytes: None,
        replicas: replicas.collect(),
        moving_to: moving_to.map(|node| node.get()).collect(),
    })
}

/// Of two that know the same partition, the one with the later leader is right; of those with the
/// same one, the leader itself, which alone knows the offsets. Neither is asked where the replicas are.
fn take_in(known: &mut v1::PartitionStatus, mut told: v1::PartitionStatus) {
    let rank = |status: &v1::PartitionStatus| {
        let epoch = status.leader.as_ref().map(|leader| leader.leader_epoch);
        (epoch, status.high_watermark.is_some())
    };
    if told.raft_group == known.raft_group && rank(&told) > rank(known) {
        let mut replicas = std::mem::take(&mut known.replicas);
        for replica in &mut replicas {
            let mut all = told.replicas.iter();
            let same = all.find(|told| told.node_id == replica.node_id);
            replica.lag_entries = same.and_then(|told| told.lag_entries);
            replica.is_voter = same.and_then(|told| told.is_voter);
        }
        told.replicas = replicas;
        told.moving_to = std::mem::take(&mut known.moving_to);
        *known = told;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(leader: Option<(u64, u64)>, high_watermark: Option<u64>) -> v1::PartitionStatus {
        v1::PartitionStatus {
            raft_group: 4,
            leader: leader.map(|(node_id, leader_epoch)| v1::PartitionLeader {
                node_id,
                leader_epoch,
            }),
            high_watermark,
            ..v1::PartitionStatus::default()
        }
    }

    #[test]
    fn the_leader_is_believed_before_its_followers_and_its_predecessor() {
        let leader = status(Some((2, 5)), Some(70));
        let follower = status(Some((2, 5)), None);
        let deposed = status(Some((1, 4)), Some(60));
        let ignorant = status(None, None);
        let orders = [
            [&leader, &follower, &deposed, &ignorant],
            [&ignorant, &deposed, &follower, &leader],
            [&follower, &leader, &ignorant, &deposed],
        ];
        for order in orders {
            let mut known = status(None, None);
            for told in order {
                take_in(&mut known, told.clone());
            }
            assert_eq!(known, leader);
        }
    }

    #[test]
    fn where_the_replicas_are_is_not_taken_from_others() {
        let replicas = |ids: &[u64], lag_entries| {
            let all = ids.iter().map(|node_id| v1::ReplicaStatus {
                node_id: *node_id,
                lag_entries,
                is_voter: lag_entries.map(|_| true),
            });
            all.collect::<Vec<_>>()
        };
        let mut known = v1::PartitionStatus {
            replicas: replicas(&[1, 2], None),
            ..status(None, None)
        };
        let told = v1::PartitionStatus {
            replicas: replicas(&[2, 3], Some(0)),
            moving_to: vec![1, 2],
            ..status(Some((2, 5)), Some(70))
        };
        take_in(&mut known, told);
        let expected = [replicas(&[1], None), replicas(&[2], Some(0))].concat();
        assert_eq!(known.replicas, expected);
        assert!(known.moving_to.is_empty());
        assert_eq!(known.high_watermark, Some(70));
    }

    #[test]
    fn a_partition_of_an_earlier_topic_of_the_name_is_not_believed() {
        let mut known = status(None, None);
        let earlier = v1::PartitionStatus {
            raft_group: 3,
            ..status(Some((2, 5)), Some(70))
        };
        take_in(&mut known, earlier);
        assert_eq!(known, status(None, None));
    }
}
