use std::collections::BTreeSet;

use flotilla_types::{ErrorCode, Lineage, NodeId};
use proptest::prelude::*;

use super::test_commands::{apply, cluster, create, delete, register};
use super::{
    Goal, MetadataCommand, MetadataOutcome, MetadataState, NodeDuty, Partition, Plan, PlanError,
    PlannedMove,
};

fn node(id: u64) -> NodeId {
    NodeId::new(id)
}

fn all(state: &MetadataState) -> BTreeSet<NodeId> {
    state.nodes().map(|node| node.id).collect()
}

fn without(state: &MetadataState, id: u64) -> BTreeSet<NodeId> {
    let mut live = all(state);
    live.remove(&node(id));
    live
}

fn join(state: &mut MetadataState, id: u64) {
    let mut command = register(id, Lineage::first(1));
    if let MetadataCommand::RegisterNode { duty_if_new, .. } = &mut command {
        *duty_if_new = NodeDuty::Spare;
    }
    let _ = state.apply(&command);
}

fn replace(dead: u64, with: Option<u64>) -> Goal {
    Goal::Replace {
        dead: node(dead),
        with: with.map(NodeId::new),
        force: false,
    }
}

fn carry_out(state: &mut MetadataState, plan: &Plan) {
    let applied = state.apply(&plan.command());
    assert_eq!(applied.outcome, MetadataOutcome::PlacementChanged);
    assert_eq!(applied.change.is_none(), plan.is_empty());
}

fn finish_all(state: &mut MetadataState) {
    let moving = state
        .placements()
        .filter(|placed| placed.moving_to.is_some());
    let finish = moving.map(|placed| MetadataCommand::FinishMove {
        raft_group: placed.raft_group,
        replicas: placed.wanted().to_vec(),
    });
    for command in finish.collect::<Vec<_>>() {
        let _ = apply(state, &command);
    }
}

/// Plans, changes and finishes.
fn reach(state: &mut MetadataState, goal: Goal, live: &BTreeSet<NodeId>) -> Plan {
    let plan = state.plan(goal, live).unwrap();
    carry_out(state, &plan);
    finish_all(state);
    plan
}

fn reach_while_all_live(state: &mut MetadataState, goal: Goal) -> Plan {
    let live = all(state);
    reach(state, goal, &live)
}

/// Replicas and preferred leaders of each active node, as they shall be.
fn shares(state: &MetadataState) -> Vec<(usize, usize)> {
    let share = |node| {
        let holds = |placed: &&Partition| placed.wanted().contains(&node);
        let leads = |placed: &&Partition| placed.wanted()[0] == node;
        (
            state.placements().filter(holds).count(),
            state.placements().filter(leads).count(),
        )
    };
    state.active_nodes().map(share).collect()
}

fn spread(counts: impl Iterator<Item = usize> + Clone) -> usize {
    let least = counts.clone().min().unwrap_or_default();
    counts.max().unwrap_or_default() - least
}

fn assert_even(state: &MetadataState) {
    let shares = shares(state);
    let replicas = spread(shares.iter().map(|share| share.0));
    let leaders = spread(shares.iter().map(|share| share.1));
    assert!(replicas <= 1 && leaders <= 1, "{shares:?}");
}

fn copies(plan: &Plan) -> usize {
    plan.moves.iter().flat_map(PlannedMove::added).count()
}

fn coordinators(replication_factor: u32) -> MetadataCommand {
    MetadataCommand::CreateCoordinators { replication_factor }
}

#[test]
fn a_node_that_is_added_gets_its_share_and_others_get_nothing() {
    let mut state = cluster(3);
    let _ = apply(&mut state, &create("orders", 12, 3));
    join(&mut state, 4);
    let plan = reach_while_all_live(&mut state, Goal::AddNode(node(4)));
    assert_eq!(plan.duties, [(node(4), NodeDuty::Active)]);
    assert_eq!(copies(&plan), 9);
    let mut added = plan.moves.iter().flat_map(PlannedMove::added);
    assert!(added.all(|added| added == node(4)));
    assert_eq!(shares(&state), [(9, 3); 4]);
    let again = state.plan(Goal::AddNode(node(4)), &all(&state)).unwrap();
    assert!(again.is_empty(), "{again:?}");
}

#[test]
fn a_node_that_is_added_gets_a_share_of_each_topic() {
    let mut state = cluster(3);
    for topic in ["orders", "payments", "returns"] {
        let _ = apply(&mut state, &create(topic, 4, 3));
    }
    join(&mut state, 4);
    let _ = reach_while_all_live(&mut state, Goal::AddNode(node(4)));
    for topic in state.topics() {
        let mut partitions = topic.partitions.iter();
        assert!(partitions.any(|placed| placed.is_hosted_by(node(4))));
        let here = topic.partitions.iter();
        let here = here.filter(|placed| placed.is_hosted_by(node(4))).count();
        assert_eq!(here, 3);
    }
}

#[test]
fn what_a_drained_node_held_is_spread_and_nothing_else_moves() {
    let mut state = cluster(4);
    let _ = apply(&mut state, &create("orders", 16, 3));
    let held = state.partitions_on(node(2)).count();
    let plan = reach_while_all_live(&mut state, Goal::Drain(node(2)));
    assert_eq!(plan.duties, [(node(2), NodeDuty::Draining)]);
    assert_eq!(copies(&plan), held);
    assert!(state.is_drained(node(2)));
    assert_even(&state);
    let again = state.plan(Goal::Drain(node(2)), &all(&state)).unwrap();
    assert!(again.is_empty(), "{again:?}");

    let back = Goal::CancelDrain(node(2));
    let _ = reach_while_all_live(&mut state, back);
    assert_eq!(state.duty(node(2)), Some(NodeDuty::Active));
    assert_eq!(shares(&state), [(12, 4); 4]);
}

#[test]
fn cancelling_a_drain_before_anything_has_moved_moves_little() {
    let mut state = cluster(4);
    let _ = apply(&mut state, &create("orders", 16, 3));
    let drain = state.plan(Goal::Drain(node(2)), &all(&state)).unwrap();
    carry_out(&mut state, &drain);
    let cancel = state.plan(Goal::CancelDrain(node(2)), &all(&state));
    carry_out(&mut state, &cancel.unwrap());
    assert_even(&state);
    let kept = state.partitions_on(node(2));
    let kept = kept.filter(|(_, placed)| placed.replicas.contains(&node(2)));
    assert!(kept.count() >= 6, "it holds half of them still, at least");
}

#[test]
fn a_dead_node_is_replaced_by_the_one_that_takes_its_place() {
    let mut state = cluster(3);
    let _ = apply(&mut state, &create("orders", 7, 3));
    let _ = apply(&mut state, &coordinators(3));
    join(&mut state, 4);
    let live = without(&state, 2);
    assert!(matches!(
        state.plan(replace(2, None), &live),
        Err(PlanError::NotEnoughNodes { have: 2, want: 3, spare }) if spare == [node(4)]
    ));
    let before = shares(&state)[1];
    let plan = reach(&mut state, replace(2, Some(4)), &live);
    let duties = [(node(2), NodeDuty::Removed), (node(4), NodeDuty::Active)];
    assert_eq!(plan.duties, duties);
    assert_eq!(shares(&state)[2], before);
    assert!(
        !state
            .placements()
            .any(|placed| placed.is_hosted_by(node(2)))
    );
    let again = state.plan(replace(2, Some(4)), &live).unwrap();
    assert!(again.is_empty(), "{again:?}");
    let again = state.plan(replace(2, None), &live).unwrap();
    assert!(again.is_empty(), "{again:?}");
}

#[test]
fn without_a_substitute_the_others_share_what_a_dead_node_held() {
    let mut state = cluster(5);
    let _ = apply(&mut state, &create("orders", 10, 3));
    let held = state.partitions_on(node(5)).count();
    let live = without(&state, 5);
    let plan = reach(&mut state, replace(5, None), &live);
    assert_eq!(copies(&plan), held);
    let replicas = shares(&state).into_iter().map(|share| share.0);
    assert!(spread(replicas) <= 1);
}

#[test]
fn a_drained_node_is_removed_without_a_move() {
    let mut state = cluster(4);
    let _ = apply(&mut state, &create("orders", 6, 3));
    let _ = reach_while_all_live(&mut state, Goal::Drain(node(4)));
    let live = without(&state, 4);
    let plan = reach(&mut state, replace(4, None), &live);
    assert_eq!(plan.duties, [(node(4), NodeDuty::Removed)]);
    assert_eq!(plan.moves, []);
}

#[test]
fn coordinators_of_a_small_cluster_get_the_replicas_that_they_lack() {
    let mut state = cluster(1);
    let _ = apply(&mut state, &create("orders", 3, 1));
    let _ = apply(&mut state, &coordinators(1));
    for id in 2..=4 {
        join(&mut state, id);
        let _ = reach_while_all_live(&mut state, Goal::AddNode(node(id)));
        let wanted = id.min(3) as usize;
        let coordinators = state.coordinators().iter();
        assert!(
            coordinators
                .clone()
                .all(|placed| placed.replicas.len() == wanted)
        );
        let partitions = state.partitions();
        assert!(
            partitions
                .into_iter()
                .all(|(_, placed)| placed.replicas.len() == 1)
        );
        assert_even(&state);
    }
}

#[test]
fn what_cannot_be_planned_is_refused_with_its_reason() {
    let mut state = cluster(3);
    let _ = apply(&mut state, &create("orders", 3, 3));
    join(&mut state, 4);
    let up = all(&state);
    let refused = |state: &MetadataState, goal, live: &BTreeSet<NodeId>| {
        let error = state.plan(goal, live).unwrap_err();
        assert!(
            error.to_string().contains(": "),
            "it says what to do: {error}"
        );
        error
    };
    let error = refused(&state, Goal::Drain(node(1)), &up);
    assert_eq!(error.code(), ErrorCode::NotEnoughNodes);
    let error = refused(&state, replace(1, Some(4)), &up);
    assert_eq!(error, PlanError::NodeIsUp { node: node(1) });
    let forced = Goal::Replace {
        dead: node(1),
        with: Some(node(4)),
        force: true,
    };
    assert!(state.plan(forced, &up).is_ok());
    for unknown in [
        Goal::AddNode(node(9)),
        Goal::Drain(node(9)),
        Goal::CancelDrain(node(9)),
        replace(9, None),
    ] {
        let error = refused(&state, unknown, &up);
        assert_eq!(error, PlanError::UnknownNode { node: node(9) });
    }
    let error = refused(&state, Goal::CancelDrain(node(4)), &up);
    assert_eq!(error, PlanError::NotDraining { node: node(4) });
    let error = refused(&state, Goal::AddNode(node(4)), &without(&state, 4));
    assert_eq!(error, PlanError::NodeIsDown { node: node(4) });
    let error = refused(&state, replace(1, Some(1)), &without(&state, 1));
    assert_eq!(error, PlanError::OwnSubstitute);

    let live = without(&state, 1);
    let _ = reach(&mut state, replace(1, Some(4)), &live);
    let error = refused(&state, Goal::AddNode(node(1)), &up);
    assert_eq!(error, PlanError::NodeRemoved { node: node(1) });
    join(&mut state, 5);
    let _ = reach_while_all_live(&mut state, Goal::Drain(node(5)));
    let error = refused(&state, replace(2, Some(5)), &without(&state, 2));
    assert_eq!(error, PlanError::SubstituteDrains { node: node(5) });
}

#[derive(Clone, Debug)]
enum Event {
    Join,
    Add(prop::sample::Index),
    Drain(prop::sample::Index),
    CancelDrain(prop::sample::Index),
    Replace(prop::sample::Index, Option<prop::sample::Index>),
    Rebalance,
    Create(u32, u32),
    Delete(prop::sample::Index),
    Coordinators,
    /// Of the moves under way, one.
    Finish(prop::sample::Index),
    FinishAll,
}

fn event() -> impl Strategy<Value = Event> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        2 => Just(Event::Join),
        2 => index().prop_map(Event::Add),
        2 => index().prop_map(Event::Drain),
        1 => index().prop_map(Event::CancelDrain),
        2 => (index(), prop::option::of(index()))
            .prop_map(|(dead, with)| Event::Replace(dead, with)),
        1 => Just(Event::Rebalance),
        3 => (1_u32..10, 1_u32..5).prop_map(|(partitions, factor)| Event::Create(partitions, factor)),
        1 => index().prop_map(Event::Delete),
        1 => Just(Event::Coordinators),
        5 => index().prop_map(Event::Finish),
        1 => Just(Event::FinishAll),
    ]
}

fn goal(event: &Event, state: &MetadataState) -> Option<Goal> {
    let ids: Vec<_> = state.nodes().map(|node| node.id).collect();
    let pick = |index: &prop::sample::Index| ids[index.index(ids.len())];
    Some(match event {
        Event::Add(index) => Goal::AddNode(pick(index)),
        Event::Drain(index) => Goal::Drain(pick(index)),
        Event::CancelDrain(index) => Goal::CancelDrain(pick(index)),
        Event::Replace(dead, with) => Goal::Replace {
            dead: pick(dead),
            with: with.as_ref().map(pick),
            force: true,
        },
        Event::Rebalance => Goal::Rebalance,
        _ => return None,
    })
}

/// Carries out what is not planned.
fn happen(event: &Event, state: &mut MetadataState, number: usize) {
    match event {
        Event::Join => {
            let id = state.nodes().len() as u64 + 1;
            join(state, id);
        }
        Event::Create(partitions, factor) => {
            let _ = state.apply(&create(&format!("t{number}"), *partitions, *factor));
        }
        Event::Delete(index) => {
            let names: Vec<_> = state.topics().map(|topic| topic.name.clone()).collect();
            if !names.is_empty() {
                let _ = state.apply(&delete(names[index.index(names.len())].as_str()));
            }
        }
        Event::Coordinators => {
            let active = state.active_nodes().count().clamp(1, 3);
            let _ = state.apply(&coordinators(active as u32));
        }
        Event::Finish(index) => {
            let placements = state.placements();
            let moving: Vec<_> = placements
                .filter(|placed| placed.moving_to.is_some())
                .map(|placed| (placed.raft_group, placed.wanted().to_vec()))
                .collect();
            if !moving.is_empty() {
                let (raft_group, replicas) = moving[index.index(moving.len())].clone();
                let _ = apply(
                    state,
                    &MetadataCommand::FinishMove {
                        raft_group,
                        replicas,
                    },
                );
            }
        }
        _ => finish_all(state),
    }
}

/// What is true whatever was planned and however far it got.
fn assert_kept(state: &MetadataState) {
    for (id, placed) in state.partitions() {
        let factor = state.topic(id.topic).unwrap().replication_factor as usize;
        assert_eq!(placed.wanted().len(), factor);
        assert!(placed.replicas.len() >= factor);
    }
    for placed in state.placements() {
        let wanted: BTreeSet<_> = placed.wanted().iter().copied().collect();
        assert_eq!(wanted.len(), placed.wanted().len(), "distinct");
        let mut wanted = wanted.into_iter();
        assert!(wanted.all(|node| state.duty(node) == Some(NodeDuty::Active)));
    }
}

proptest! {
    #[test]
    fn plans_keep_replicas_and_end_even_in_any_order(
        nodes in 1_u64..5,
        events in prop::collection::vec(event(), 1..40),
    ) {
        let mut state = cluster(nodes);
        for (number, event) in events.iter().enumerate() {
            let Some(goal) = goal(event, &state) else {
                happen(event, &mut state, number);
                assert_kept(&state);
                continue;
            };
            let live = all(&state);
            let Ok(plan) = state.plan(goal, &live) else {
                continue;
            };
            prop_assert_eq!(state.plan(goal, &live).unwrap(), plan.clone());
            for planned in &plan.moves {
                prop_assert_eq!(&planned.from[..], state.placement(planned.raft_group).unwrap().wanted());
            }
            carry_out(&mut state, &plan);
            assert_kept(&state);
            if !matches!(goal, Goal::Replace { .. }) {
                assert_even(&state);
            }
            let again = state.plan(goal, &live).unwrap();
            prop_assert!(again.is_empty(), "{:?} plans {:?} again", goal, again);
        }
        finish_all(&mut state);
        for drained in state.nodes().filter(|node| node.duty == NodeDuty::Draining) {
            prop_assert!(state.is_drained(drained.id));
        }
    }

    #[test]
    fn evening_out_copies_no_more_than_it_must(
        nodes in 2_u64..7,
        replication_factor in 1_u32..4,
        partitions in 1_u32..30,
    ) {
        let replication_factor = replication_factor.min(nodes as u32);
        let mut state = cluster(nodes);
        let _ = apply(&mut state, &create("orders", partitions, replication_factor));
        join(&mut state, nodes + 1);
        let plan = reach_while_all_live(&mut state, Goal::AddNode(node(nodes + 1)));
        assert_even(&state);
        let share = shares(&state)[nodes as usize].0;
        // A swap of two groups for the sake of who leads them is rare, and one is enough here.
        prop_assert!(copies(&plan) <= share + 2, "{} for {share}", copies(&plan));
    }
}
