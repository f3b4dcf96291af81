use flotilla_types::{Lineage, NodeId};
use proptest::prelude::*;

use super::test_commands::{apply, cluster, register};
use super::{MetadataCommand, MetadataState, NodeDuty};

fn give(state: &mut MetadataState, duties: &[(u64, NodeDuty)]) {
    let duties = duties.iter().map(|(id, duty)| (NodeId::new(*id), *duty));
    let command = MetadataCommand::ChangePlacement {
        placement_version: state.placement_version(),
        duties: duties.collect(),
        moves: Vec::new(),
    };
    let _ = apply(state, &command);
}

fn wanted(state: &MetadataState, current: &[u64]) -> Vec<u64> {
    let current: Vec<_> = current.iter().copied().map(NodeId::new).collect();
    let wanted = state.wanted_metadata_voters(&current);
    wanted.into_iter().map(NodeId::get).collect()
}

#[test]
fn voters_stay_while_they_can() {
    let mut state = cluster(5);
    assert_eq!(wanted(&state, &[3, 4, 5]), [3, 4, 5]);
    give(&mut state, &[(4, NodeDuty::Spare)]);
    assert_eq!(wanted(&state, &[3, 4, 5]), [3, 4, 5]);
    // Nodes 6 and 7 found the cluster too, and have not registered yet.
    assert_eq!(wanted(&state, &[1, 2, 5, 6, 7]), [1, 2, 5, 6, 7]);
}

#[test]
fn active_nodes_take_the_place_of_voters_that_leave() {
    let mut state = cluster(5);
    give(&mut state, &[(4, NodeDuty::Spare), (2, NodeDuty::Draining)]);
    assert_eq!(wanted(&state, &[1, 2, 3]), [1, 3, 5]);
    give(&mut state, &[(5, NodeDuty::Removed)]);
    assert_eq!(wanted(&state, &[1, 3, 5]), [1, 3]);
    let _ = state.apply(&register(6, Lineage::first(1)));
    assert_eq!(wanted(&state, &[1, 3]), [1, 3, 6]);
}

#[test]
fn a_lone_founder_gets_two_more_voters() {
    assert_eq!(wanted(&cluster(1), &[1]), [1]);
    assert_eq!(wanted(&cluster(2), &[1]), [1, 2]);
    assert_eq!(wanted(&cluster(5), &[1]), [1, 2, 3]);
}

#[test]
fn somebody_always_votes() {
    let mut state = cluster(1);
    give(&mut state, &[(1, NodeDuty::Draining)]);
    assert_eq!(wanted(&state, &[1]), [1]);
}

proptest! {
    #[test]
    fn what_is_wanted_stays_wanted(
        duties in prop::collection::vec(0_usize..4, 1..9),
        current in prop::collection::btree_set(1_u64..9, 1..6),
    ) {
        let kinds = [
            NodeDuty::Active,
            NodeDuty::Spare,
            NodeDuty::Draining,
            NodeDuty::Removed,
        ];
        let mut state = cluster(duties.len() as u64);
        let duties: Vec<_> = (1..).zip(duties.iter().map(|kind| kinds[*kind])).collect();
        if duties.iter().any(|(_, duty)| *duty != NodeDuty::Active) {
            give(&mut state, &duties);
        }
        let current: Vec<_> = current.into_iter().collect();
        let voters = wanted(&state, &current);
        prop_assert!(!voters.is_empty());
        prop_assert_eq!(wanted(&state, &voters), voters);
    }
}
