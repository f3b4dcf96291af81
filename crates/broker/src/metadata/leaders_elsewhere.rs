//! Who leads the partitions that this node has no replica of.
//!
//! Only replicas know that, so they are asked, when somebody wants to know, and what they say is
//! believed for a moment. Where every node has a replica of everything nobody is ever asked.

use std::collections::BTreeMap;
use std::time::Duration;

use flotilla_protocol::v1;
use flotilla_protocol::v1::metadata_client::MetadataClient;
use flotilla_raft::Leadership;
use flotilla_state::metadata::MetadataState;
use flotilla_types::limits::GRPC_MESSAGE_BYTES_MAX;
use flotilla_types::{LeaderEpoch, NodeId, PartitionIndex, RaftGroupId, TopicId};
use futures::future::join_all;
use tokio::time::Instant;

use crate::node::Node;
use crate::origin::Origin;

const BELIEVED_FOR: Duration = Duration::from_millis(500);
const ASK_LIMIT: Duration = Duration::from_secs(1);

/// What the replicas said last. The lock is held while they are asked, so that one question serves
/// all that wait.
#[derive(Default)]
pub(crate) struct LeadersElsewhere {
    said: tokio::sync::Mutex<Option<(Instant, BTreeMap<RaftGroupId, Leadership>)>>,
}

impl Node {
    /// Who leads the groups of other nodes, as far as those can be reached.
    pub(crate) async fn leaders_elsewhere(&self) -> BTreeMap<RaftGroupId, Leadership> {
        let mut said = self.leaders_elsewhere.said.lock().await;
        if let Some((at, leaders)) = &*said
            && at.elapsed() < BELIEVED_FOR
        {
            return leaders.clone();
        }
        let peers = self.raft.connected_peers();
        let answers = join_all(peers.into_iter().map(|peer| self.ask_for_leaders(peer))).await;
        let mut leaders = BTreeMap::new();
        for (group, leadership) in answers.into_iter().flatten() {
            let known = leaders.entry(group).or_insert(leadership);
            if known.epoch < leadership.epoch {
                *known = leadership;
            }
        }
        *said = Some((Instant::now(), leaders.clone()));
        leaders
    }

    async fn ask_for_leaders(&self, peer: NodeId) -> Vec<(RaftGroupId, Leadership)> {
        let Ok(channel) = self.peers.channel(peer).await else {
            return Vec::new();
        };
        let request = v1::GetMetadataRequest::default();
        let request = Origin::ask_only(request, self.peers.cluster(), ASK_LIMIT);
        let mut client =
            MetadataClient::new(channel).max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX);
        match client.get_metadata(request).await {
            Ok(response) => read_leaders(&self.state(), response.into_inner()),
            Err(status) => {
                let error = self.peers.failed_to_read(peer, &status);
                tracing::debug!(%peer, %error, "cannot ask for leaders");
                Vec::new()
            }
        }
    }
}

fn read_leaders(
    state: &MetadataState,
    response: v1::GetMetadataResponse,
) -> Vec<(RaftGroupId, Leadership)> {
    let mut leaders = Vec::new();
    for topic in response.topics {
        let Some(known) = state.topic(TopicId::new(topic.id)) else {
            continue;
        };
        for partition in topic.partitions {
            let index = PartitionIndex::new(partition.index);
            if let (Some(known), Some(leader)) = (known.partition(index), partition.leader) {
                let leadership = Leadership {
                    leader: Some(NodeId::new(leader.node_id)),
                    epoch: LeaderEpoch::new(leader.leader_epoch),
                };
                leaders.push((known.raft_group, leadership));
            }
        }
    }
    leaders
}
