use std::collections::{BTreeMap, BTreeSet};

use flotilla_types::{NodeId, PartitionIndex};

use super::LeaderTransfer;
use super::test_commands::{apply, cluster, create};

#[test]
fn leaders_move_to_preferred_nodes_that_live() {
    let mut state = cluster(3);
    let _ = apply(&mut state, &create("orders", 3, 3));
    let (one, two, three) = (NodeId::new(1), NodeId::new(2), NodeId::new(3));
    // Node 1 leads all; partition 2 has no known leader.
    let leaders: BTreeMap<_, _> = state
        .partitions()
        .take(2)
        .map(|(_, partition)| (partition.raft_group, one))
        .collect();
    let all = BTreeSet::from([one, two, three]);
    let (id, second) = state.partitions().nth(1).unwrap();
    assert_eq!(id.index, PartitionIndex::new(1));
    assert_eq!(
        state.leader_transfers(&leaders, &all),
        [LeaderTransfer {
            raft_group: second.raft_group,
            from: one,
            to: two,
        }]
    );
    let without_two = BTreeSet::from([one, three]);
    assert_eq!(state.leader_transfers(&leaders, &without_two), []);
}
