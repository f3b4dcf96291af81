//! Plans: what they say and do, and that they lead to what the manifest asks for.

use flotilla_protocol::{ApiError, v1};
use flotilla_state::metadata::{
    MetadataChange, MetadataCommand, MetadataOutcome, MetadataState, NodeDuty,
};
use flotilla_types::limits::NODE_REPLICAS_MAX;
use flotilla_types::{ErrorCode, Lineage, NodeAddresses, NodeId, Timestamp, TopicName};
use proptest::prelude::*;

use super::messages::{write_manifest, write_plan};
use super::plan::{Plan, Rules};
use super::wanted::Wanted;

const STRINGS: &str = r#"{"type":"string"}"#;
const STRINGS_OTHERWISE_SPACED: &str = r#"{ "type": "string" }"#;
const STRINGS_OR_NUMBERS: &str = r#"{"type":["string","number"]}"#;
const BOOLEANS: &str = r#"{"type":"boolean"}"#;

const KEEP: Rules = Rules {
    prune: false,
    default_replication_factor: 3,
    now: Timestamp::from_millis(7),
};
const PRUNE: Rules = Rules {
    prune: true,
    ..KEEP
};

fn cluster() -> MetadataState {
    let mut state = MetadataState::new();
    for id in 1..=3 {
        let registered = state.apply(&MetadataCommand::RegisterNode {
            id: NodeId::new(id),
            lineage: Lineage::first(1),
            addresses: NodeAddresses {
                client: format!("node{id}:7400"),
                peer: format!("node{id}:7401"),
            },
            duty_if_new: NodeDuty::Active,
        });
        assert!(registered.change.is_some());
    }
    state
}

fn spec(name: &str) -> v1::TopicSpec {
    v1::TopicSpec {
        name: name.to_owned(),
        ..v1::TopicSpec::default()
    }
}

fn with(name: &str, key: &str, value: &str) -> v1::TopicSpec {
    let mut spec = spec(name);
    spec.config.insert(key.to_owned(), value.to_owned());
    spec
}

fn plan(state: &MetadataState, topics: &[v1::TopicSpec], rules: &Rules) -> Result<Plan, ApiError> {
    let topics = topics.to_vec();
    let wanted = Wanted::read(v1::Manifest { topics })?;
    Plan::make(state, &wanted, rules)
}

/// Plans and carries out, and returns what the caller is told.
fn apply(
    state: &mut MetadataState,
    topics: &[v1::TopicSpec],
    rules: &Rules,
) -> Result<v1::ApplyManifestResponse, ApiError> {
    let plan = plan(state, topics, rules)?;
    let applied = state.apply(&plan.command());
    assert_eq!(applied.outcome, MetadataOutcome::DoneTogether);
    let is_several = matches!(applied.change, Some(MetadataChange::Several(_)));
    assert_eq!(is_several, !plan.commands.is_empty());
    let topics_version = plan.topics_version_after();
    assert_eq!(topics_version, state.topics_version());
    Ok(write_plan(plan, topics_version))
}

/// `name: before -> after` of every field of the only change.
fn fields(response: &v1::ApplyManifestResponse) -> Vec<String> {
    let [change] = response.changes.as_slice() else {
        panic!("not one change: {:?}", response.changes)
    };
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
    let line = |field: &v1::FieldChange| {
        format!(
            "{}: {} -> {}",
            field.name,
            text(&field.before),
            text(&field.after)
        )
    };
    change.fields.iter().map(line).collect()
}

fn refusal(state: &MetadataState, topics: &[v1::TopicSpec]) -> ApiError {
    plan(state, topics, &KEEP).unwrap_err()
}

#[test]
fn a_new_topic_is_told_by_what_the_manifest_says_of_it() {
    let mut state = cluster();
    let mut orders = with("orders", "retention_ms", "60000");
    orders.partitions = Some(4);
    orders.schema = Some(STRINGS.to_owned());
    let response = apply(&mut state, &[orders], &KEEP).unwrap();
    assert_eq!(response.changes[0].kind(), v1::topic_change::Kind::Create);
    let expected = [
        "partitions: nothing -> 4",
        "retention_ms: nothing -> 60000",
        "schema: nothing -> version 1",
    ];
    assert_eq!(fields(&response), expected);
    let topic = state.topic_named(&TopicName::parse("orders").unwrap());
    let topic = topic.unwrap();
    assert_eq!((topic.partition_count(), topic.replication_factor), (4, 3));
    assert_eq!(topic.schema_version(), 1);
    assert_eq!(topic.schemas[0].created_at, KEEP.now);
}

#[test]
fn a_topic_becomes_what_the_manifest_says_and_loses_what_it_does_not_say() {
    let mut state = cluster();
    apply(
        &mut state,
        &[with("orders", "retention_ms", "60000")],
        &KEEP,
    )
    .unwrap();
    let mut orders = with("orders", "max_record_bytes", "1000");
    orders.partitions = Some(2);
    orders.schema = Some(STRINGS.to_owned());
    let response = apply(&mut state, &[orders.clone()], &KEEP).unwrap();
    assert_eq!(response.changes[0].kind(), v1::topic_change::Kind::Update);
    let expected = [
        "max_record_bytes: 1048576 -> 1000",
        "partitions: 1 -> 2",
        "retention_ms: 60000 -> 604800000",
        "schema: nothing -> version 1",
    ];
    assert_eq!(fields(&response), expected);
    orders.schema = Some(STRINGS_OTHERWISE_SPACED.to_owned());
    let response = apply(&mut state, &[orders], &KEEP).unwrap();
    assert_eq!((response.changes.len(), response.unchanged), (0, 1));
}

#[test]
fn a_schema_is_judged_by_the_configuration_that_comes_with_it() {
    let mut state = cluster();
    let mut orders = spec("orders");
    orders.schema = Some(STRINGS.to_owned());
    apply(&mut state, &[orders.clone()], &KEEP).unwrap();
    orders.schema = Some(BOOLEANS.to_owned());
    let error = refusal(&state, &[orders]);
    assert_eq!(error.code, ErrorCode::SchemaIncompatible);
    assert!(error.message.contains("orders"), "{}", error.message);
    let mut orders = with("orders", "schema_compatibility", "none");
    orders.schema = Some(BOOLEANS.to_owned());
    let response = apply(&mut state, &[orders], &KEEP).unwrap();
    let expected = [
        "schema: version 1 -> version 2",
        "schema_compatibility: backward -> none",
    ];
    assert_eq!(fields(&response), expected);
    let mut invalid = spec("new");
    invalid.schema = Some("{".to_owned());
    let error = refusal(&state, &[invalid]);
    assert_eq!(error.code, ErrorCode::SchemaInvalid);
}

#[test]
fn what_cannot_be_changed_is_refused_with_the_topic() {
    let mut state = cluster();
    let mut orders = spec("orders");
    orders.partitions = Some(4);
    apply(&mut state, &[orders.clone()], &KEEP).unwrap();
    let refused = |change: fn(&mut v1::TopicSpec)| {
        let mut changed = orders.clone();
        change(&mut changed);
        let error = refusal(&state, &[spec("fine"), changed]);
        assert!(error.message.contains("orders"), "{}", error.message);
        error.code
    };
    let fewer = refused(|topic| topic.partitions = Some(3));
    assert_eq!(fewer, ErrorCode::InvalidArgument);
    let many = refused(|topic| topic.partitions = Some(5_000));
    assert_eq!(many, ErrorCode::InvalidArgument);
    let replicas = refused(|topic| topic.replication_factor = Some(2));
    assert_eq!(replicas, ErrorCode::InvalidArgument);
    let nodes = refused(|topic| {
        topic.name = "more-orders".to_owned();
        topic.replication_factor = Some(4);
    });
    assert_eq!(nodes, ErrorCode::NotEnoughNodes);
}

#[test]
fn prune_deletes_what_is_not_named_and_not_protected() {
    let mut state = cluster();
    let topics = [spec("a"), spec("b"), with("c", "protected", "true")];
    apply(&mut state, &topics, &KEEP).unwrap();
    let response = apply(&mut state, &[spec("b"), spec("d")], &PRUNE).unwrap();
    let changes = response.changes.iter();
    let changes: Vec<_> = changes
        .map(|change| (change.topic.as_str(), change.kind()))
        .collect();
    let expected = [
        ("a", v1::topic_change::Kind::Delete),
        ("d", v1::topic_change::Kind::Create),
    ];
    assert_eq!(changes, expected);
    assert_eq!(
        (response.protected.as_slice(), response.unchanged),
        (&["c".to_owned()][..], 1)
    );
    let names: Vec<_> = state.topics().map(|topic| topic.name.to_string()).collect();
    assert_eq!(names, ["b", "c", "d"]);
}

#[test]
fn topics_that_go_make_room_for_those_that_come() {
    let mut state = cluster();
    let mut large = spec("large");
    large.partitions = Some(NODE_REPLICAS_MAX);
    apply(&mut state, &[large.clone()], &KEEP).unwrap();
    large.name = "another".to_owned();
    let error = refusal(&state, &[large.clone()]);
    assert_eq!(error.code, ErrorCode::NotEnoughNodes);
    apply(&mut state, &[large], &PRUNE).unwrap();
}

#[test]
fn a_plan_is_void_once_topics_have_changed() {
    let mut state = cluster();
    let old = plan(&state, &[spec("a")], &KEEP).unwrap();
    apply(&mut state, &[spec("b")], &KEEP).unwrap();
    let before = state.clone();
    let applied = state.apply(&old.command());
    assert!(matches!(applied.outcome, MetadataOutcome::Rejected(_)));
    assert_eq!(state, before);
}

fn any_spec() -> impl Strategy<Value = v1::TopicSpec> {
    let config = prop::sample::subsequence(
        vec![
            ("max_record_bytes", "1000"),
            ("protected", "true"),
            ("retention_ms", "60000"),
            ("schema_compatibility", "none"),
        ],
        0..=4,
    );
    let schemas = vec![
        STRINGS,
        STRINGS_OTHERWISE_SPACED,
        STRINGS_OR_NUMBERS,
        BOOLEANS,
    ];
    (
        prop::sample::select(vec!["a", "b", "c", "d"]),
        prop::option::of(0_u32..5),
        prop::option::of(2_u32..5),
        config,
        prop::option::of(prop::sample::select(schemas)),
    )
        .prop_map(
            |(name, partitions, replication_factor, config, schema)| v1::TopicSpec {
                name: name.to_owned(),
                partitions,
                replication_factor,
                config: config
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .collect(),
                schema: schema.map(str::to_owned),
            },
        )
}

fn any_manifests() -> impl Strategy<Value = Vec<(Vec<v1::TopicSpec>, bool)>> {
    prop::collection::vec(
        (prop::collection::vec(any_spec(), 0..3), any::<bool>()),
        1..10,
    )
}

proptest! {
    #[test]
    fn an_export_changes_nothing_and_an_applied_manifest_leaves_no_difference(
        manifests in any_manifests()
    ) {
        let mut state = cluster();
        for (topics, prune) in manifests {
            let rules = if prune { PRUNE } else { KEEP };
            if apply(&mut state, &topics, &rules).is_ok() {
                let again = plan(&state, &topics, &rules).unwrap();
                prop_assert_eq!(&again.changes, &[]);
                prop_assert_eq!(again.unchanged as usize, topics.len());
            }
            let exported = write_manifest(&state);
            let same = plan(&state, &exported.topics, &PRUNE).unwrap();
            prop_assert_eq!(&same.commands, &[]);
            prop_assert_eq!(same.protected, []);
            prop_assert_eq!(same.unchanged as usize, state.topics().count());
        }
    }

    /// What the rehearsal accepts is accepted, and a copy of a cluster is made from its export.
    #[test]
    fn a_cluster_can_be_made_again_from_its_export(manifests in any_manifests()) {
        let mut state = cluster();
        for (topics, _) in manifests {
            let _ = apply(&mut state, &topics, &KEEP);
        }
        let exported = write_manifest(&state);
        let mut copy = cluster();
        apply(&mut copy, &exported.topics, &KEEP).unwrap();
        prop_assert_eq!(write_manifest(&copy), exported);
    }
}
