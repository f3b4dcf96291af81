//! Random commands against the invariants of the metadata state, and random bytes against decoding.

use std::collections::BTreeSet;

use flotilla_types::{KeyName, Lineage, NodeAddresses, NodeId, RaftGroupId, Timestamp};
use proptest::prelude::*;

use super::test_commands::{access, add_key, cluster, create, delete, name, register};
use super::{MetadataCommand, MetadataOutcome, MetadataState, NodeDuty, Partition};

fn topic() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "orders", "payments.v2"])
}

fn config() -> impl Strategy<Value = Vec<(String, String)>> {
    let key = prop::sample::select(vec![
        "retention_ms",
        "retention_bytes",
        "max_record_bytes",
        "protected",
        "x",
    ]);
    let value = prop::sample::select(vec!["-1", "1", "5000000", "true", "soon"]);
    prop::collection::vec(
        (key.prop_map(str::to_owned), value.prop_map(str::to_owned)),
        0..3,
    )
}

/// Of few starts with few marks, so that some follow others.
fn lineage() -> impl Strategy<Value = Lineage> {
    prop::collection::vec(0_u32..2, 1..4).prop_map(|marks| {
        let (first, later) = marks.split_first().unwrap();
        let start = |lineage: Lineage, mark: &u32| lineage.started_again(*mark);
        later.iter().fold(Lineage::first(*first), start)
    })
}

fn duty() -> impl Strategy<Value = NodeDuty> {
    prop_oneof![
        6 => Just(NodeDuty::Active),
        1 => Just(NodeDuty::Spare),
        2 => Just(NodeDuty::Draining),
        1 => Just(NodeDuty::Removed),
    ]
}

/// A group, perhaps, and some nodes for it, perhaps.
fn moved() -> impl Strategy<Value = (RaftGroupId, Vec<NodeId>)> {
    let nodes = prop::collection::vec((1_u64..5).prop_map(NodeId::new), 0..4);
    ((1_u32..24).prop_map(RaftGroupId::new), nodes)
}

/// Of few rules, so that some are there already.
fn rules() -> impl Strategy<Value = Vec<&'static str>> {
    let rule = prop::sample::select(vec![
        "* describe cluster",
        "anonymous describe topic:a",
        "key:ci all topic:test-*",
        "scope:events publish topic:orders",
        "token:* publish topic:in.{claim:client_id}.data",
        "token:weather own job:{name}",
    ]);
    prop::collection::vec(rule, 0..4)
}

fn command() -> impl Strategy<Value = MetadataCommand> {
    let together = (0_u64..20, prop::collection::vec(single_command(), 0..4));
    prop_oneof![
        8 => single_command(),
        1 => together.prop_map(|(topics_version, commands)| MetadataCommand::Together {
            topics_version,
            commands,
        }),
    ]
}

fn single_command() -> impl Strategy<Value = MetadataCommand> {
    prop_oneof![
        (1_u64..6, lineage(), "[a-z]{0,8}").prop_map(|(id, lineage, host)| {
            MetadataCommand::RegisterNode {
                id: NodeId::new(id),
                lineage,
                addresses: NodeAddresses {
                    client: format!("{host}:7400"),
                    peer: format!("{host}:7401"),
                },
                duty_if_new: if id < 5 {
                    NodeDuty::Active
                } else {
                    NodeDuty::Spare
                },
            }
        }),
        (topic(), 0_u32..9, 0_u32..5, config()).prop_map(
            |(topic, partitions, replication_factor, config)| MetadataCommand::CreateTopic {
                name: name(topic),
                partitions,
                replication_factor,
                config,
            }
        ),
        (topic(), config(), config()).prop_map(|(topic, set, unset)| {
            MetadataCommand::AlterTopic {
                name: name(topic),
                set,
                unset: unset.into_iter().map(|(key, _)| key).collect(),
            }
        }),
        (topic(), 0_u32..12).prop_map(|(topic, total)| MetadataCommand::AddPartitions {
            name: name(topic),
            total,
        }),
        topic().prop_map(delete),
        (0_u32..100).prop_map(|count| MetadataCommand::AllocateProducerIds { count }),
        (0_u32..4).prop_map(|replication_factor| MetadataCommand::CreateCoordinators {
            replication_factor
        }),
        (topic(), 0_u32..3, 0_i64..9).prop_map(|(topic, latest_version, now)| {
            MetadataCommand::RegisterSchema {
                name: name(topic),
                latest_version,
                schema: format!("{{\"maxLength\":{now}}}").into(),
                now: Timestamp::from_millis(now),
            }
        }),
        (
            0_u64..12,
            prop::collection::vec(((1_u64..7).prop_map(NodeId::new), duty()), 0..2),
            prop::collection::vec(moved(), 0..3),
        )
            .prop_map(|(placement_version, duties, moves)| {
                MetadataCommand::ChangePlacement {
                    placement_version,
                    duties,
                    moves,
                }
            }),
        (rules(), rules()).prop_map(|(grant, revoke)| access(&grant, &revoke)),
        ("[ab]", "[xy]", 0_u8..2).prop_map(|(name, id, hash)| add_key(&name, &id, hash)),
        "[ab]".prop_map(|name| MetadataCommand::RemoveKey {
            name: KeyName::parse(&name).unwrap(),
        }),
        moved().prop_map(|(raft_group, replicas)| MetadataCommand::FinishMove {
            raft_group,
            replicas,
        }),
    ]
}

fn assert_placed(state: &MetadataState, placed: &Partition) {
    let known = |nodes: &[NodeId]| {
        let distinct: BTreeSet<_> = nodes.iter().copied().collect();
        assert_eq!(distinct.len(), nodes.len());
        assert!(!nodes.is_empty());
        assert!(nodes.iter().all(|node| state.node(*node).is_some()));
        distinct
    };
    let replicas = known(&placed.replicas);
    let wanted = known(placed.wanted());
    assert_eq!(placed.moving_to.is_some(), wanted != replicas);
    let hosts: Vec<_> = placed.hosts().collect();
    assert_eq!(known(&hosts), &replicas | &wanted);
    assert!(replicas.contains(&placed.preferred_leader()));
    assert_eq!(state.placement(placed.raft_group), Some(placed));
}

/// What a plan is worked out from.
fn plannable(state: &MetadataState) -> impl PartialEq + use<> {
    let duties: Vec<_> = state.nodes().map(|node| (node.id, node.duty)).collect();
    let wanted = state
        .placements()
        .map(|placed| (placed.raft_group, placed.wanted().to_vec()));
    (duties, wanted.collect::<Vec<_>>())
}

/// What must be true of every state.
fn assert_sound(state: &MetadataState, groups_ever: &mut BTreeSet<RaftGroupId>) {
    let mut groups = BTreeSet::new();
    for topic in state.topics() {
        assert_eq!(state.topic_named(&topic.name), Some(topic));
        assert_eq!(state.topic(topic.id), Some(topic));
    }
    for (id, partition) in state.partitions() {
        assert!(groups.insert(partition.raft_group), "a group serves twice");
        assert_eq!(state.partition_of_group(partition.raft_group), Some(id));
        assert!(!state.is_removed(partition.raft_group));
        assert_placed(state, partition);
    }
    for coordinator in state.coordinators() {
        assert_placed(state, coordinator);
        let group = coordinator.raft_group;
        assert!(groups.insert(group), "a group serves twice");
        assert!(state.is_coordinator(group) && !state.is_removed(group));
    }
    for key in state.access_keys().iter() {
        assert_eq!(state.access_keys().named(&key.name), Some(key));
        assert_eq!(state.access_keys().with_id(key.id.as_str()), Some(key));
    }
    for gone in groups_ever.difference(&groups) {
        assert!(state.is_removed(*gone));
    }
    groups_ever.extend(groups);
}

proptest! {
    #[test]
    fn every_state_is_sound_and_alike_on_every_node(
        commands in prop::collection::vec(command(), 1..60),
        image_after in any::<prop::sample::Index>(),
    ) {
        let mut state = cluster(2);
        let mut other = state.clone();
        let mut groups_ever = BTreeSet::new();
        let mut groups_before: BTreeSet<RaftGroupId> = BTreeSet::new();
        for (position, command) in commands.iter().enumerate() {
            let before = state.clone();
            let applied = state.apply(command);
            prop_assert_eq!(applied.change.is_some(), state != before);
            prop_assert_eq!(state.version() > before.version(), state != before);
            let same_topics = state.topics().eq(before.topics());
            // Where replicas are is no concern of who changes topics.
            let moves = matches!(
                command,
                MetadataCommand::ChangePlacement { .. } | MetadataCommand::FinishMove { .. }
            );
            prop_assert!(
                same_topics || moves || state.topics_version() > before.topics_version()
            );
            prop_assert!(
                plannable(&state) == plannable(&before)
                    || state.placement_version() > before.placement_version()
            );
            let same_access = state.access_rules() == before.access_rules()
                && state.access_keys() == before.access_keys();
            prop_assert!(same_access || state.access_version() > before.access_version());
            for node in before.nodes().filter(|node| node.duty == NodeDuty::Removed) {
                prop_assert_eq!(state.node(node.id), Some(node));
            }
            if matches!(applied.outcome, MetadataOutcome::Rejected(_)) {
                prop_assert_eq!(&state, &before);
            }
            assert_sound(&state, &mut groups_ever);
            let placed = state.partitions().map(|(_, partition)| partition);
            let placed = placed.chain(state.coordinators());
            let groups: BTreeSet<_> = placed.map(|partition| partition.raft_group).collect();
            let born = groups.difference(&groups_before);
            let latest = groups_before.last().copied();
            prop_assert!(born.into_iter().all(|id| latest.is_none_or(|latest| *id > latest)));
            groups_before.extend(groups);

            let decoded = MetadataCommand::decode(&command.encode()).unwrap();
            prop_assert_eq!(&decoded, command);
            prop_assert_eq!(other.apply(&decoded), applied);
            if image_after.index(commands.len()) == position {
                other = MetadataState::decode(&other.encode()).unwrap();
            }
        }
        prop_assert_eq!(other.encode(), state.encode());
        prop_assert_eq!(other, state);
    }

    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let framed = [&[1], &bytes[..]].concat();
        for bytes in [&bytes, &framed] {
            if let Ok(command) = MetadataCommand::decode(bytes) {
                let _ = cluster(3).apply(&command);
            }
            let _ = MetadataState::decode(bytes);
        }
    }

    #[test]
    fn damaged_images_are_read_or_refused(
        position in any::<prop::sample::Index>(),
        flipped in 1_u8..=255,
    ) {
        let mut state = cluster(3);
        let _ = state.apply(&create("orders", 4, 3));
        let _ = state.apply(&create("payments", 2, 1));
        let _ = state.apply(&access(&["key:ci all topic:test-*"], &[]));
        let _ = state.apply(&add_key("ci", "id1", 7));
        let mut image = state.encode();
        *position.get_mut(&mut image) ^= flipped;
        if let Ok(mut damaged) = MetadataState::decode(&image) {
            let _ = damaged.apply(&register(9, Lineage::first(1)));
            let _ = damaged.apply(&create("more", 4, 2));
            let _ = damaged.apply(&delete("orders"));
            let _ = damaged.apply(&access(&["* describe cluster"], &["key:ci all topic:test-*"]));
            let _ = damaged.apply(&add_key("other", "id2", 7));
            let _ = damaged.apply(&MetadataCommand::AllocateProducerIds { count: u32::MAX });
            let _ = damaged.encode();
        }
    }
}

#[test]
fn commands_have_the_bytes_that_were_promised() {
    assert_eq!(delete("ab").encode(), [1, 0x82, 4, 0x81, 0x62, b'a', b'b']);
    assert_eq!(
        create("t", 3, 1).encode(),
        [1, 0x82, 1, 0x84, 0x61, b't', 3, 1, 0x80]
    );
    // As it was before nodes had duties.
    assert_eq!(
        register(7, Lineage::first(1)).encode()[..5],
        [1, 0x82, 0, 0x84, 7]
    );
    let finish = MetadataCommand::FinishMove {
        raft_group: RaftGroupId::new(5),
        replicas: vec![NodeId::new(1), NodeId::new(4)],
    };
    assert_eq!(finish.encode(), [1, 0x82, 10, 0x82, 5, 0x82, 1, 4]);
    let drain = MetadataCommand::ChangePlacement {
        placement_version: 9,
        duties: vec![(NodeId::new(3), NodeDuty::Draining)],
        moves: vec![(RaftGroupId::new(5), vec![NodeId::new(1)])],
    };
    assert_eq!(
        drain.encode(),
        [
            1, 0x82, 9, 0x83, 9, 0x81, 0x82, 3, 2, 0x81, 0x82, 5, 0x81, 1
        ]
    );
    assert!(MetadataCommand::decode(&[1, 0x82, 4, 0x81, 0x61, b'/']).is_err());
    assert!(MetadataCommand::decode(&[2, 0x82, 4, 0x81, 0x61, b'a']).is_err());
    assert!(MetadataCommand::decode(&[1, 0x82, 4, 0x81, 0x61, b'a', 0]).is_err());
    assert!(MetadataCommand::decode(&[]).is_err());
    let together = |commands| MetadataCommand::Together {
        topics_version: 0,
        commands,
    };
    let flat = together(vec![delete("ab")]);
    assert_eq!(MetadataCommand::decode(&flat.encode()).unwrap(), flat);
    assert!(MetadataCommand::decode(&together(vec![flat]).encode()).is_err());
}
