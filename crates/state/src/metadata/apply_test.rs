use std::collections::BTreeSet;

use flotilla_types::limits::{
    CLUSTER_SCHEMA_BYTES_MAX, COORDINATORS, NODE_REPLICAS_MAX, SCHEMA_VERSIONS_MAX,
    TOPIC_PARTITIONS_MAX,
};
use flotilla_types::{
    ErrorCode, GroupId, Lineage, NodeId, PartitionId, PartitionIndex, ProducerId, RaftGroupId,
    Timestamp, TopicConfig, TopicId,
};

use super::test_commands::{apply, cluster, create, delete, name, pairs, register};
use super::{MetadataChange, MetadataCommand, MetadataOutcome, MetadataRejection, MetadataState};

fn group(id: u32) -> RaftGroupId {
    RaftGroupId::new(id)
}

fn alter(topic: &str, set: &[(&str, &str)], unset: &[&str]) -> MetadataCommand {
    MetadataCommand::AlterTopic {
        name: name(topic),
        set: pairs(set),
        unset: unset.iter().map(|key| (*key).to_owned()).collect(),
    }
}

fn add_partitions(topic: &str, total: u32) -> MetadataCommand {
    MetadataCommand::AddPartitions {
        name: name(topic),
        total,
    }
}

/// The rejection of a command, which must have left the state as it was.
fn rejected(state: &mut MetadataState, command: &MetadataCommand) -> MetadataRejection {
    let before = state.clone();
    let applied = state.apply(command);
    assert_eq!(applied.change, None);
    assert_eq!(*state, before);
    match applied.outcome {
        MetadataOutcome::Rejected(rejection) => rejection,
        other => panic!("not rejected: {other:?}"),
    }
}

#[test]
fn a_created_topic_is_placed_and_found() {
    let mut state = cluster(3);
    let (outcome, change) = apply(&mut state, &create("orders", 4, 2));
    let id = TopicId::new(1);
    assert_eq!(outcome, MetadataOutcome::TopicCreated { id });
    assert_eq!(
        change,
        MetadataChange::GroupsAdded {
            topic: id,
            raft_groups: group(1)..group(5)
        }
    );
    let topic = state.topic_named(&name("orders")).unwrap();
    assert_eq!(state.topic(id), Some(topic));
    assert_eq!(topic.partition_count(), 4);
    assert_eq!(topic.config, TopicConfig::default());
    for (partition_id, partition) in state.partitions() {
        assert_eq!(state.partition(partition_id), Some(partition));
        assert_eq!(
            state.partition_of_group(partition.raft_group),
            Some(partition_id)
        );
    }
    let on_nodes = (1..=3).map(|id| state.partitions_on(NodeId::new(id)).count());
    assert_eq!(on_nodes.collect::<Vec<_>>(), [3, 3, 2]);
    let beyond = PartitionId {
        topic: id,
        index: PartitionIndex::new(4),
    };
    assert_eq!(state.partition(beyond), None);
}

#[test]
fn topics_are_listed_by_name() {
    let mut state = cluster(1);
    for topic in ["b", "c", "a"] {
        let _ = apply(&mut state, &create(topic, 1, 1));
    }
    let names: Vec<_> = state.topics().map(|topic| topic.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
}

#[test]
fn a_topic_that_cannot_be_created_is_refused_with_its_reason() {
    let mut state = cluster(2);
    let _ = apply(&mut state, &create("orders", 1, 1));
    let config = MetadataCommand::CreateTopic {
        name: name("new"),
        partitions: 1,
        replication_factor: 1,
        config: pairs(&[("retention_ms", "soon")]),
    };
    let expected = [
        (create("orders", 1, 1), ErrorCode::TopicExists),
        (create("new", 0, 1), ErrorCode::InvalidArgument),
        (
            create("new", TOPIC_PARTITIONS_MAX + 1, 1),
            ErrorCode::InvalidArgument,
        ),
        (create("new", 1, 0), ErrorCode::InvalidArgument),
        (create("new", 1, 8), ErrorCode::InvalidArgument),
        (create("new", 1, 3), ErrorCode::NotEnoughNodes),
        (config, ErrorCode::ConfigInvalid),
    ];
    for (command, code) in expected {
        assert_eq!(rejected(&mut state, &command).code(), code, "{command:?}");
    }
    assert_eq!(
        rejected(&mut state, &create("new", 1, 3)),
        MetadataRejection::NotEnoughNodes { have: 2, want: 3 }
    );
}

#[test]
fn a_node_takes_so_many_replicas_and_no_more() {
    let mut state = cluster(2);
    let _ = apply(&mut state, &create("full", NODE_REPLICAS_MAX, 2));
    for refused in [
        create("one", 1, 1),
        add_partitions("full", NODE_REPLICAS_MAX + 1),
    ] {
        let rejection = rejected(&mut state, &refused);
        assert_eq!(rejection.code(), ErrorCode::NotEnoughNodes);
        let replicas = u64::from(NODE_REPLICAS_MAX) + 1;
        let MetadataRejection::NodeFull {
            replicas: found, ..
        } = rejection
        else {
            panic!("{rejection}");
        };
        assert_eq!(found, replicas);
    }
    let _ = apply(&mut state, &delete("full"));
    let _ = apply(&mut state, &create("one", 1, 1));
}

#[test]
fn configuration_changes_as_a_whole_or_not_at_all() {
    let mut state = cluster(1);
    let _ = apply(&mut state, &create("orders", 1, 1));
    let _ = apply(
        &mut state,
        &alter(
            "orders",
            &[("retention_ms", "5000"), ("max_record_bytes", "100")],
            &[],
        ),
    );
    let half_wrong = alter(
        "orders",
        &[("retention_ms", "6000"), ("nonsense", "1")],
        &[],
    );
    assert_eq!(
        rejected(&mut state, &half_wrong).code(),
        ErrorCode::ConfigInvalid
    );
    let unset_unknown = alter("orders", &[], &["nonsense"]);
    assert_eq!(
        rejected(&mut state, &unset_unknown).code(),
        ErrorCode::ConfigInvalid
    );
    let _ = apply(&mut state, &alter("orders", &[], &["max_record_bytes"]));
    let expected = TopicConfig {
        retention_ms: Some(5_000),
        ..TopicConfig::default()
    };
    assert_eq!(state.topic_named(&name("orders")).unwrap().config, expected);
}

#[test]
fn a_command_without_effect_leaves_the_version() {
    let mut state = cluster(1);
    let _ = apply(&mut state, &create("orders", 2, 1));
    let version = state.version();
    for command in [
        register(1, Lineage::first(1)),
        alter("orders", &[("retention_bytes", "-1")], &[]),
        add_partitions("orders", 2),
    ] {
        let applied = state.apply(&command);
        assert_eq!(applied.change, None, "{command:?}");
        assert!(!matches!(applied.outcome, MetadataOutcome::Rejected(_)));
    }
    assert_eq!(state.version(), version);
    let _ = apply(&mut state, &add_partitions("orders", 3));
    assert_eq!(state.version(), version + 1);
}

#[test]
fn partitions_are_added_behind_those_that_exist() {
    let mut state = cluster(3);
    let _ = apply(&mut state, &create("orders", 2, 2));
    let before = state.topic_named(&name("orders")).unwrap().clone();
    let (outcome, change) = apply(&mut state, &add_partitions("orders", 5));
    assert_eq!(
        outcome,
        MetadataOutcome::PartitionsAdded {
            id: before.id,
            total: 5
        }
    );
    assert_eq!(
        change,
        MetadataChange::GroupsAdded {
            topic: before.id,
            raft_groups: group(3)..group(6)
        }
    );
    let after = state.topic_named(&name("orders")).unwrap();
    assert_eq!(after.partitions[..2], before.partitions);
    assert!(
        after.partitions[2..]
            .iter()
            .all(|added| added.replicas.len() == 2)
    );
    for total in [4, 0, TOPIC_PARTITIONS_MAX + 1] {
        assert_eq!(
            rejected(&mut state, &add_partitions("orders", total)),
            MetadataRejection::InvalidPartitionCount {
                current: Some(5),
                requested: total
            }
        );
    }
}

#[test]
fn a_deleted_topic_is_gone_and_its_groups_are_never_used_again() {
    let mut state = cluster(1);
    let _ = apply(&mut state, &create("orders", 2, 1));
    assert!(!state.is_removed(group(1)));
    let (_, change) = apply(&mut state, &delete("orders"));
    assert_eq!(
        change,
        MetadataChange::GroupsRemoved {
            topic: TopicId::new(1),
            raft_groups: vec![group(1), group(2)]
        }
    );
    assert!(state.is_removed(group(1)) && state.is_removed(group(2)));
    assert!(!state.is_removed(group(3)), "not given out yet");
    assert!(!state.is_removed(RaftGroupId::METADATA));
    assert_eq!(state.topic_named(&name("orders")), None);
    assert_eq!(state.partition_of_group(group(1)), None);

    let _ = apply(&mut state, &create("orders", 1, 1));
    let again = state.topic_named(&name("orders")).unwrap();
    assert_eq!(again.id, TopicId::new(2));
    assert_eq!(again.partitions[0].raft_group, group(3));
}

#[test]
fn commands_for_unknown_topics_are_refused() {
    let mut state = cluster(1);
    for command in [
        delete("absent"),
        add_partitions("absent", 2),
        alter("absent", &[], &[]),
    ] {
        let rejection = rejected(&mut state, &command);
        assert_eq!(rejection.code(), ErrorCode::UnknownTopic);
    }
}

#[test]
fn another_data_directory_cannot_register_over_the_known_one() {
    let mut state = MetadataState::new();
    let known = Lineage::first(9).started_again(9);
    let _ = apply(&mut state, &register(1, known.clone()));
    let mut wiped = Lineage::first(10);
    for mark in 11..14 {
        assert_eq!(
            rejected(&mut state, &register(1, wiped.clone())),
            MetadataRejection::OtherPast {
                node: NodeId::new(1),
                registered: known.current(),
                shown: wiped.current(),
            }
        );
        wiped = wiped.started_again(mark);
    }
}

#[test]
fn an_old_copy_of_a_data_directory_cannot_register() {
    let mut state = MetadataState::new();
    let first = Lineage::first(1);
    let _ = apply(&mut state, &register(1, first.clone()));
    let copied = first.registered();
    let original = copied.clone().started_again(2);
    let _ = apply(&mut state, &register(1, original.clone()));
    let copy = copied.started_again(3).started_again(4);
    let rejection = rejected(&mut state, &register(1, copy));
    assert!(matches!(rejection, MetadataRejection::OtherPast { .. }));

    // It was registered twice, because the first answer was lost, and started without being
    // registered.
    let again = state.apply(&register(1, original.clone()));
    assert_eq!(again.outcome, MetadataOutcome::NodeRegistered);
    let later = original.started_again(5).started_again(6);
    let _ = apply(&mut state, &register(1, later.clone()));
    let node = state.node(NodeId::new(1)).unwrap();
    assert_eq!(node.incarnation, later.current());
}

#[test]
fn producer_ids_are_given_out_once() {
    let mut state = MetadataState::new();
    let mut seen = BTreeSet::new();
    for count in [1, 1_000, 7] {
        let command = MetadataCommand::AllocateProducerIds { count };
        let (outcome, _) = apply(&mut state, &command);
        let MetadataOutcome::ProducerIdsAllocated { ids } = outcome else {
            panic!("no ids: {outcome:?}");
        };
        assert_eq!(ids.end.get() - ids.start.get(), u64::from(count));
        assert!((ids.start.get()..ids.end.get()).all(|id| seen.insert(id)));
    }
    let none = MetadataCommand::AllocateProducerIds { count: 0 };
    assert_eq!(
        rejected(&mut state, &none),
        MetadataRejection::InvalidProducerIdCount
    );
}

#[test]
fn ids_that_run_out_are_refused() {
    let mut state = cluster(1);
    state.next_raft_group = group(u32::MAX - 1);
    assert_eq!(
        rejected(&mut state, &create("orders", 2, 1)),
        MetadataRejection::IdsExhausted
    );
    state.next_producer = ProducerId::new(ProducerId::OWNED - 1);
    let command = MetadataCommand::AllocateProducerIds { count: 1 };
    assert_eq!(
        rejected(&mut state, &command),
        MetadataRejection::IdsExhausted
    );
}

#[test]
fn coordinators_are_placed_once_and_spread_like_partitions() {
    let mut state = cluster(3);
    let group = GroupId::parse("billing").unwrap();
    assert_eq!(state.coordinator_of(&group), None);
    let create = |replication_factor| MetadataCommand::CreateCoordinators { replication_factor };
    let _ = apply(&mut state, &create(3));
    assert_eq!(state.coordinators().len(), COORDINATORS as usize);
    let leads = |node| {
        let coordinators = state.coordinators().iter();
        let led = coordinators.filter(|one| one.preferred_leader() == NodeId::new(node));
        led.count()
    };
    assert_eq!([leads(1), leads(2), leads(3)], [6, 5, 5]);
    let before = state.coordinator_of(&group).cloned();
    assert!(before.is_some());

    let again = state.apply(&create(1));
    assert_eq!(again.outcome, MetadataOutcome::CoordinatorsCreated);
    assert_eq!(again.change, None);
    assert_eq!(state.coordinator_of(&group).cloned(), before);
}

fn register_schema(topic: &str, latest_version: u32, schema: &str) -> MetadataCommand {
    MetadataCommand::RegisterSchema {
        name: name(topic),
        latest_version,
        schema: schema.into(),
        now: Timestamp::from_millis(5),
    }
}

#[test]
fn a_schema_follows_the_one_that_it_was_checked_against() {
    let mut state = cluster(1);
    let _ = state.apply(&create("orders", 1, 1));
    let id = TopicId::new(1);
    for version in 1..=2 {
        let schema = format!("{{\"minLength\":{version}}}");
        let (outcome, change) = apply(&mut state, &register_schema("orders", version - 1, &schema));
        assert_eq!(outcome, MetadataOutcome::SchemaRegistered { id, version });
        assert_eq!(change, MetadataChange::Schema { topic: id });
    }
    let late = rejected(&mut state, &register_schema("orders", 1, "{}"));
    assert_eq!(late.code(), ErrorCode::VersionConflict);
    let unknown = rejected(&mut state, &register_schema("payments", 0, "{}"));
    assert_eq!(unknown.code(), ErrorCode::UnknownTopic);
    let topic = state.topic(id).unwrap();
    assert_eq!(&*topic.schemas[1].text, "{\"minLength\":2}");
    assert_eq!(MetadataState::decode(&state.encode()).unwrap(), state);
}

#[test]
fn schemas_are_limited_in_number_and_in_size() {
    let mut state = cluster(1);
    let _ = state.apply(&create("orders", 1, 1));
    for version in 0..SCHEMA_VERSIONS_MAX as u32 {
        let _ = apply(&mut state, &register_schema("orders", version, "{}"));
    }
    let one_more = register_schema("orders", SCHEMA_VERSIONS_MAX as u32, "{}");
    let refused = rejected(&mut state, &one_more);
    assert!(matches!(refused, MetadataRejection::TooManySchemas { .. }));
    let _ = state.apply(&create("payments", 1, 1));
    let large = " ".repeat(CLUSTER_SCHEMA_BYTES_MAX);
    let refused = rejected(&mut state, &register_schema("payments", 0, &large));
    assert!(matches!(refused, MetadataRejection::SchemasTooLarge { .. }));
}

#[test]
fn a_protected_topic_is_deleted_only_without_its_protection() {
    let mut state = cluster(1);
    let _ = state.apply(&create("orders", 1, 1));
    let _ = state.apply(&alter("orders", &[("protected", "true")], &[]));
    let refused = rejected(&mut state, &delete("orders"));
    assert_eq!(refused.code(), ErrorCode::TopicProtected);
    let _ = state.apply(&alter("orders", &[], &["protected"]));
    let _ = apply(&mut state, &delete("orders"));
}

fn together(topics_version: u64, commands: &[MetadataCommand]) -> MetadataCommand {
    MetadataCommand::Together {
        topics_version,
        commands: commands.to_vec(),
    }
}

#[test]
fn several_commands_have_their_effect_together_or_not_at_all() {
    let mut state = cluster(1);
    let _ = state.apply(&create("orders", 1, 1));
    let before = (state.version(), state.topics_version());
    let too_many = together(before.1, &[create("a", 1, 1), create("b", 1, 2)]);
    let refused = rejected(&mut state, &too_many);
    assert_eq!(refused.code(), ErrorCode::NotEnoughNodes);

    let commands = [
        create("a", 2, 1),
        register_schema("a", 0, "{}"),
        delete("orders"),
    ];
    let (outcome, change) = apply(&mut state, &together(before.1, &commands));
    assert_eq!(outcome, MetadataOutcome::DoneTogether);
    assert!(matches!(change, MetadataChange::Several(changes) if changes.len() == 3));
    assert_eq!(state.version(), before.0 + 1);
    assert_eq!(state.topics_version(), before.1 + 1);
    let names: Vec<_> = state.topics().map(|topic| topic.name.as_str()).collect();
    assert_eq!(names, ["a"]);
}

#[test]
fn what_was_worked_out_for_other_topics_is_not_carried_out() {
    let mut state = cluster(1);
    let seen = state.topics_version();
    let _ = state.apply(&create("orders", 1, 1));
    let refused = rejected(&mut state, &together(seen, &[delete("orders")]));
    assert_eq!(refused.code(), ErrorCode::VersionConflict);
    let seen = state.topics_version();
    let _ = state.apply(&MetadataCommand::AllocateProducerIds { count: 5 });
    let _ = state.apply(&register(2, Lineage::first(1)));
    assert_eq!(state.topics_version(), seen, "these are no topics");
    let _ = apply(&mut state, &together(seen, &[delete("orders")]));
}

#[test]
fn nothing_to_do_together_is_no_change() {
    let mut state = cluster(1);
    let applied = state.apply(&together(0, &[]));
    assert_eq!(applied.outcome, MetadataOutcome::DoneTogether);
    assert_eq!(applied.change, None);
}
