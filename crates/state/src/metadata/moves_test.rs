use flotilla_types::{ErrorCode, Lineage, NodeAddresses, NodeId, RaftGroupId};

use super::outcome::InvalidMove;
use super::test_commands::{apply, cluster, create, delete, register};
use super::{
    MetadataChange, MetadataCommand, MetadataOutcome, MetadataRejection, MetadataState, NodeDuty,
};

fn node(id: u64) -> NodeId {
    NodeId::new(id)
}

fn nodes(ids: &[u64]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId::new).collect()
}

const GROUP: RaftGroupId = RaftGroupId::new(1);

/// For the placement as it is.
fn change(
    state: &MetadataState,
    duties: &[(u64, NodeDuty)],
    moves: &[(RaftGroupId, &[u64])],
) -> MetadataCommand {
    MetadataCommand::ChangePlacement {
        placement_version: state.placement_version(),
        duties: duties.iter().map(|(id, duty)| (node(*id), *duty)).collect(),
        moves: moves
            .iter()
            .map(|(group, ids)| (*group, nodes(ids)))
            .collect(),
    }
}

fn finish(ids: &[u64]) -> MetadataCommand {
    MetadataCommand::FinishMove {
        raft_group: GROUP,
        replicas: nodes(ids),
    }
}

/// Four nodes, and a partition on the first three.
fn one_partition() -> MetadataState {
    let mut state = cluster(3);
    let _ = apply(&mut state, &create("orders", 1, 3));
    let _ = state.apply(&register(4, Lineage::first(1)));
    state
}

fn hosts(state: &MetadataState) -> Vec<NodeId> {
    state.placement(GROUP).unwrap().hosts().collect()
}

fn rejection(state: &mut MetadataState, command: &MetadataCommand) -> MetadataRejection {
    let before = state.clone();
    let applied = state.apply(command);
    assert_eq!((applied.change, &*state), (None, &before));
    match applied.outcome {
        MetadataOutcome::Rejected(rejection) => rejection,
        other => panic!("not rejected: {other:?}"),
    }
}

#[test]
fn a_partition_is_hosted_by_the_old_and_the_new_nodes_until_its_move_is_finished() {
    let mut state = one_partition();
    let command = change(&state, &[], &[(GROUP, &[4, 3, 2])]);
    let (outcome, changed) = apply(&mut state, &command);
    assert_eq!(outcome, MetadataOutcome::PlacementChanged);
    let raft_groups = vec![GROUP];
    assert_eq!(changed, MetadataChange::Placement { raft_groups });
    assert_eq!(hosts(&state), nodes(&[1, 2, 3, 4]));
    assert_eq!(state.partitions_on(node(4)).count(), 1);
    assert_eq!(state.partitions_on(node(1)).count(), 1);
    let placed = state.placement(GROUP).unwrap();
    assert_eq!(placed.preferred_leader(), node(3), "one that stays");

    // The members are what they were, or something in between.
    for members in [&[1, 2, 3][..], &[1, 2, 3, 4], &[2, 3]] {
        let applied = state.apply(&finish(members));
        assert_eq!(applied.outcome, MetadataOutcome::NotMoving);
        assert_eq!(applied.change, None);
    }
    let version = state.placement_version();
    let (outcome, _) = apply(&mut state, &finish(&[2, 3, 4]));
    assert_eq!(outcome, MetadataOutcome::MoveFinished);
    assert_eq!(hosts(&state), nodes(&[4, 3, 2]));
    assert_eq!(
        state.placement(GROUP).unwrap().preferred_leader(),
        node(4),
        "in the order of the plan"
    );
    assert_eq!(state.partitions_on(node(1)).count(), 0);
    // What was planned meanwhile is still right.
    assert_eq!(state.placement_version(), version);
    let again = state.apply(&finish(&[2, 3, 4]));
    assert_eq!(again.outcome, MetadataOutcome::NotMoving);
}

#[test]
fn another_order_of_the_same_replicas_is_no_move() {
    let mut state = one_partition();
    let command = change(&state, &[], &[(GROUP, &[4, 3, 2])]);
    let _ = apply(&mut state, &command);
    let back = change(&state, &[], &[(GROUP, &[3, 2, 1])]);
    let _ = apply(&mut state, &back);
    let placed = state.placement(GROUP).unwrap();
    assert_eq!(
        (&placed.replicas, &placed.moving_to),
        (&nodes(&[3, 2, 1]), &None)
    );
    let same = change(&state, &[], &[(GROUP, &[3, 2, 1])]);
    assert_eq!(state.apply(&same).change, None);
}

#[test]
fn a_plan_for_another_placement_is_refused() {
    let mut state = one_partition();
    let stale = change(&state, &[], &[(GROUP, &[4, 3, 2])]);
    let _ = apply(&mut state, &create("payments", 1, 1));
    let refused = rejection(&mut state, &stale);
    assert_eq!(refused.code(), ErrorCode::VersionConflict);
    assert!(matches!(
        refused,
        MetadataRejection::PlacementChanged { .. }
    ));
    // A node that comes back changes nothing that is planned from.
    let plan = change(&state, &[], &[(GROUP, &[4, 3, 2])]);
    let _ = state.apply(&register(1, Lineage::first(1).started_again(2)));
    let (outcome, _) = apply(&mut state, &plan);
    assert_eq!(outcome, MetadataOutcome::PlacementChanged);
}

#[test]
fn a_plan_with_one_wrong_move_changes_nothing() {
    let mut state = one_partition();
    let _ = apply(&mut state, &create("payments", 1, 2));
    let other = RaftGroupId::new(2);
    let right: (RaftGroupId, &[u64]) = (other, &[3, 4]);
    let eight: &[u64] = &[1, 2, 3, 4, 5, 6, 7, 8];
    let wrong: [(&[u64], InvalidMove); 5] = [
        (&[], InvalidMove::ReplicaCount { replicas: 0 }),
        (eight, InvalidMove::ReplicaCount { replicas: 8 }),
        (&[1, 3, 1], InvalidMove::TwoReplicas { node: node(1) }),
        (&[1, 9], InvalidMove::NotActive { node: node(9) }),
        (&[1, 2], InvalidMove::NotActive { node: node(2) }),
    ];
    for (replicas, reason) in wrong {
        let duties = [(2, NodeDuty::Draining)];
        let command = change(&state, &duties, &[right, (GROUP, replicas)]);
        let raft_group = GROUP;
        let expected = MetadataRejection::InvalidMove { raft_group, reason };
        assert_eq!(rejection(&mut state, &command), expected);
    }
    let twice = change(&state, &[], &[right, right]);
    let reason = InvalidMove::Twice;
    let raft_group = other;
    assert_eq!(
        rejection(&mut state, &twice),
        MetadataRejection::InvalidMove { raft_group, reason }
    );
    let unknown = RaftGroupId::new(99);
    let command = change(&state, &[], &[(unknown, &[1])]);
    let refused = rejection(&mut state, &command);
    assert_eq!(refused.code(), ErrorCode::InvalidArgument);
    let nobody = change(&state, &[(9, NodeDuty::Active)], &[]);
    let refused = rejection(&mut state, &nobody);
    assert_eq!(refused.code(), ErrorCode::UnknownNode);
}

#[test]
fn a_removed_node_is_gone_for_ever() {
    let mut state = one_partition();
    let removal = change(&state, &[(1, NodeDuty::Removed)], &[(GROUP, &[2, 3, 4])]);
    let _ = apply(&mut state, &removal);
    let back = register(1, Lineage::first(1).started_again(2));
    let refused = rejection(&mut state, &back);
    assert_eq!(refused, MetadataRejection::NodeRemoved { node: node(1) });
    let reborn = change(&state, &[(1, NodeDuty::Active)], &[]);
    assert_eq!(rejection(&mut state, &reborn), refused);
    let _ = apply(&mut state, &finish(&[2, 3, 4]));
    assert_eq!(state.partitions_on(node(1)).count(), 0);
    assert_eq!(state.duty(node(1)), Some(NodeDuty::Removed));
}

#[test]
fn new_partitions_go_to_active_nodes_only() {
    let mut state = cluster(3);
    let duties = [(2, NodeDuty::Draining), (3, NodeDuty::Spare)];
    let command = change(&state, &duties, &[]);
    let _ = apply(&mut state, &command);
    assert_eq!(
        rejection(&mut state, &create("orders", 1, 2)),
        MetadataRejection::NotEnoughNodes { have: 1, want: 2 }
    );
    let _ = apply(&mut state, &create("orders", 4, 1));
    assert_eq!(state.partitions_on(node(1)).count(), 4);
    assert!(state.is_drained(node(2)));
    assert!(!state.is_drained(node(3)), "it was not to be drained");
}

#[test]
fn a_draining_node_is_drained_once_nothing_is_left() {
    let mut state = one_partition();
    let drain = change(&state, &[(1, NodeDuty::Draining)], &[(GROUP, &[4, 2, 3])]);
    let _ = apply(&mut state, &drain);
    assert!(!state.is_drained(node(1)));
    let _ = apply(&mut state, &finish(&[4, 2, 3]));
    assert!(state.is_drained(node(1)));
}

#[test]
fn a_partition_that_is_deleted_while_it_moves_is_gone() {
    let mut state = one_partition();
    let command = change(&state, &[], &[(GROUP, &[4, 3, 2])]);
    let _ = apply(&mut state, &command);
    let _ = apply(&mut state, &delete("orders"));
    let applied = state.apply(&finish(&[2, 3, 4]));
    assert_eq!(applied.outcome, MetadataOutcome::NotMoving);
    assert_eq!(applied.change, None);
    assert!(state.is_removed(GROUP));
}

#[test]
fn what_is_placed_while_others_move_makes_the_end_even() {
    let mut state = cluster(1);
    let _ = apply(&mut state, &create("orders", 4, 1));
    let _ = state.apply(&register(2, Lineage::first(1)));
    let (two, three) = (RaftGroupId::new(2), RaftGroupId::new(3));
    let command = change(&state, &[], &[(two, &[2]), (three, &[2])]);
    let _ = apply(&mut state, &command);
    let _ = apply(&mut state, &create("payments", 2, 1));
    let wanted_by = |id| {
        let placed = state.placements();
        placed
            .filter(|placed| placed.wanted().contains(&id))
            .count()
    };
    assert_eq!((wanted_by(node(1)), wanted_by(node(2))), (3, 3));
}

#[test]
fn a_spare_node_stays_one_when_it_registers_again() {
    let mut state = cluster(1);
    let spare = |mark| MetadataCommand::RegisterNode {
        id: node(2),
        lineage: Lineage::first(1).started_again(mark),
        addresses: NodeAddresses {
            client: "node2:7400".to_owned(),
            peer: "node2:7401".to_owned(),
        },
        duty_if_new: NodeDuty::Spare,
    };
    let _ = apply(&mut state, &spare(2));
    assert_eq!(state.duty(node(2)), Some(NodeDuty::Spare));
    let added = change(&state, &[(2, NodeDuty::Active)], &[]);
    let _ = apply(&mut state, &added);
    let again = MetadataCommand::decode(&spare(2).encode()).unwrap();
    let _ = state.apply(&again);
    assert_eq!(state.duty(node(2)), Some(NodeDuty::Active));
    let image = MetadataState::decode(&state.encode()).unwrap();
    assert_eq!(image, state);
}
