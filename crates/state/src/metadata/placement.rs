//! Which nodes hold a new partition, and which of them should lead it.
//!
//! Each partition takes the nodes that hold the fewest replicas; of those, and of the ones that hold
//! as few, the one that is the preferred leader of the fewest leads. Ties go to the lower node id, so
//! that every node computes the same answer. Replicas that exist are not moved.

use flotilla_types::NodeId;

/// What a node already holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeLoad {
    pub(super) node: NodeId,
    pub(super) replicas: u64,
    pub(super) preferred_leaders: u64,
}

impl NodeLoad {
    pub(super) fn idle(node: NodeId) -> Self {
        Self {
            node,
            replicas: 0,
            preferred_leaders: 0,
        }
    }
}

/// The replicas of each of `partitions` new partitions, preferred leader first, or `None` if there
/// are fewer nodes than replicas or no replicas at all.
pub(super) fn place(
    mut loads: Vec<NodeLoad>,
    partitions: u32,
    replication_factor: u32,
) -> Option<Vec<Vec<NodeId>>> {
    let followers = usize::try_from(replication_factor).ok()?.checked_sub(1)?;
    let placed = (0..partitions).map(|_| place_one(&mut loads, followers));
    placed.collect()
}

fn place_one(loads: &mut Vec<NodeLoad>, followers: usize) -> Option<Vec<NodeId>> {
    loads.sort_unstable_by_key(|load| (load.replicas, load.node));
    // Any node that holds no more than this one may be chosen, and replicas stay as even.
    let fullest = loads.get(followers)?.replicas;
    let (position, _) = loads
        .iter()
        .enumerate()
        .take_while(|(_, load)| load.replicas <= fullest)
        .min_by_key(|(_, load)| (load.preferred_leaders, load.replicas, load.node))?;
    let mut leader = loads.remove(position);
    leader.preferred_leaders += 1;
    leader.replicas += 1;
    let mut replicas = vec![leader.node];
    for follower in loads.iter_mut().take(followers) {
        follower.replicas += 1;
        replicas.push(follower.node);
    }
    loads.push(leader);
    Some(replicas)
}
