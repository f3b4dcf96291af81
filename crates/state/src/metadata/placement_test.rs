use std::collections::{BTreeMap, BTreeSet};

use flotilla_types::NodeId;
use proptest::prelude::*;

use super::placement::{NodeLoad, place};

fn idle(nodes: u64) -> Vec<NodeLoad> {
    (1..=nodes)
        .map(|id| NodeLoad::idle(NodeId::new(id)))
        .collect()
}

fn spread(counts: impl Iterator<Item = u64>) -> u64 {
    let counts: Vec<_> = counts.collect();
    let largest = counts.iter().max().unwrap();
    largest - counts.iter().min().unwrap()
}

/// The loads after `placed` came on top of `loads`.
fn loaded(loads: &[NodeLoad], placed: &[Vec<NodeId>]) -> Vec<NodeLoad> {
    let mut by_node: BTreeMap<_, _> = loads.iter().map(|load| (load.node, *load)).collect();
    for replicas in placed {
        by_node.get_mut(&replicas[0]).unwrap().preferred_leaders += 1;
        for replica in replicas {
            by_node.get_mut(replica).unwrap().replicas += 1;
        }
    }
    by_node.into_values().collect()
}

#[test]
fn twelve_partitions_on_three_nodes_are_led_by_four_each() {
    let placed = place(idle(3), 12, 3).unwrap();
    for id in 1..=3 {
        let led = placed
            .iter()
            .filter(|replicas| replicas[0] == NodeId::new(id));
        assert_eq!(led.count(), 4);
    }
}

#[test]
fn equal_nodes_get_equal_shares_of_replicas_and_leaders() {
    for nodes in 1..=9 {
        for replication_factor in 1..=nodes.min(7) {
            for partitions in 1..=40 {
                let loads = idle(nodes);
                let placed = place(loads.clone(), partitions, replication_factor as u32).unwrap();
                let after = loaded(&loads, &placed);
                let case = format!("{nodes} nodes, {partitions} x {replication_factor}");
                assert!(
                    spread(after.iter().map(|load| load.replicas)) <= 1,
                    "{case}"
                );
                let leaders = spread(after.iter().map(|load| load.preferred_leaders));
                assert!(leaders <= 1, "leaders differ by {leaders}: {case}");
            }
        }
    }
}

#[test]
fn too_few_nodes_place_nothing() {
    assert_eq!(place(idle(2), 1, 3), None);
    assert_eq!(place(idle(0), 1, 1), None);
    assert_eq!(place(idle(3), 1, 0), None);
}

proptest! {
    #[test]
    fn replicas_are_distinct_and_uneven_nodes_come_closer(
        held in prop::collection::vec((0_u64..20, 0_u64..20), 1..8),
        partitions in 0_u32..60,
        replication_factor in 1_usize..8,
    ) {
        let loads: Vec<_> = held
            .iter()
            .zip(1..)
            .map(|(&(replicas, preferred_leaders), id)| NodeLoad {
                node: NodeId::new(id),
                replicas,
                preferred_leaders,
            })
            .collect();
        let placed = place(loads.clone(), partitions, replication_factor as u32);
        if replication_factor > loads.len() && partitions > 0 {
            prop_assert_eq!(placed, None);
            return Ok(());
        }
        let placed = placed.unwrap();
        prop_assert_eq!(placed.len(), partitions as usize);
        for replicas in &placed {
            let distinct: BTreeSet<_> = replicas.iter().collect();
            prop_assert_eq!(distinct.len(), replication_factor);
            prop_assert_eq!(replicas.len(), replication_factor);
        }
        let before = spread(loads.iter().map(|load| load.replicas));
        let after = spread(loaded(&loads, &placed).iter().map(|load| load.replicas));
        prop_assert!(after <= before.max(1));
        // The order in which the nodes are handed in does not matter.
        let reversed: Vec<_> = loads.into_iter().rev().collect();
        prop_assert_eq!(place(reversed, partitions, replication_factor as u32), Some(placed));
    }
}
