use std::sync::Arc;

use flotilla_types::limits::{ACCESS_RULES_MAX, KEYS_MAX};
use flotilla_types::{ErrorCode, KeyName, Principal, Timestamp};

use super::test_commands::{access, add_key, apply, cluster, create, key};
use super::{MetadataChange, MetadataCommand, MetadataOutcome, MetadataRejection, MetadataState};
use crate::access::{AccessAction, KeyId, Resource};

const WEATHER: &str = "token:weather publish topic:weather";
const CI: &str = "key:ci all topic:test-*";

fn remove_key(name: &str) -> MetadataCommand {
    MetadataCommand::RemoveKey {
        name: KeyName::parse(name).unwrap(),
    }
}

/// The outcome of a command that must not change anything.
fn unchanged(state: &mut MetadataState, command: &MetadataCommand) -> MetadataOutcome {
    let before = state.clone();
    let applied = state.apply(command);
    assert_eq!(applied.change, None);
    assert_eq!(*state, before);
    applied.outcome
}

fn rejected(state: &mut MetadataState, command: &MetadataCommand) -> MetadataRejection {
    match unchanged(state, command) {
        MetadataOutcome::Rejected(rejection) => rejection,
        other => panic!("not rejected: {other:?}"),
    }
}

fn changed(granted: u32, revoked: u32) -> MetadataOutcome {
    MetadataOutcome::AccessChanged { granted, revoked }
}

fn texts(state: &MetadataState) -> Vec<String> {
    let rules = state.access_rules().iter();
    rules.map(ToString::to_string).collect()
}

#[test]
fn a_granted_rule_allows_until_it_is_revoked() {
    let mut state = cluster(1);
    let weather = Principal::parse("token:weather").unwrap();
    let may_publish = |state: &MetadataState| {
        let topic = Resource::Topic("weather");
        let rules = state.access_rules();
        rules.allows(&weather, AccessAction::Publish, topic)
    };
    assert!(!may_publish(&state));
    let (outcome, change) = apply(&mut state, &access(&[WEATHER], &[]));
    assert_eq!(outcome, changed(1, 0));
    assert_eq!(change, MetadataChange::Access);
    assert!(may_publish(&state));
    let (outcome, _) = apply(&mut state, &access(&[], &[WEATHER]));
    assert_eq!(outcome, changed(0, 1));
    assert!(!may_publish(&state));
}

#[test]
fn granting_twice_and_revoking_what_is_not_there_change_nothing() {
    let mut state = cluster(1);
    let (outcome, _) = apply(&mut state, &access(&[WEATHER, WEATHER], &[CI]));
    assert_eq!(outcome, changed(1, 0));
    let version = state.access_version();
    for (grant, revoke) in [
        (&[WEATHER][..], &[CI][..]),
        (&[WEATHER], &[WEATHER]),
        (&[], &[]),
    ] {
        assert_eq!(unchanged(&mut state, &access(grant, revoke)), changed(0, 0));
    }
    assert_eq!(state.access_version(), version);
    // What is in both is there afterwards, whether it was before or not.
    let (outcome, _) = apply(&mut state, &access(&[CI], &[CI, WEATHER]));
    assert_eq!(outcome, changed(1, 1));
    assert_eq!(texts(&state), [CI]);
}

#[test]
fn rules_have_a_bound_and_are_granted_all_or_not_at_all() {
    let mut state = cluster(1);
    let many: Vec<_> = (0..ACCESS_RULES_MAX)
        .map(|n| format!("key:ci publish topic:t{n}"))
        .collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let _ = apply(&mut state, &access(&many[1..], &[]));
    let rejection = rejected(&mut state, &access(&[WEATHER, CI], &[]));
    let rules = ACCESS_RULES_MAX + 1;
    assert_eq!(rejection, MetadataRejection::TooManyAccessRules { rules });
    assert_eq!(rejection.code(), ErrorCode::InvalidArgument);
    // One that goes makes room for one that comes.
    let _ = apply(&mut state, &access(&[WEATHER, CI], &[many[1]]));
    assert_eq!(state.access_rules().len(), ACCESS_RULES_MAX);
    assert_eq!(MetadataState::decode(&state.encode()).unwrap(), state);
}

#[test]
fn a_key_is_found_by_its_id_until_it_is_removed() {
    let mut state = cluster(1);
    let (outcome, change) = apply(&mut state, &add_key("ci", "id1", 7));
    assert_eq!(outcome, MetadataOutcome::KeyAdded);
    assert_eq!(change, MetadataChange::Access);
    let found = state.access_keys().with_id("id1").unwrap();
    assert_eq!(found, &key("ci", "id1", 7));
    assert_eq!(found.principal(), Principal::parse("key:ci").unwrap());
    assert!(found.hash.matches(&[7; 32]));
    assert!(!found.hash.matches(&[8; 32]));
    assert_eq!(state.access_keys().with_id("id2"), None);
    let (outcome, _) = apply(&mut state, &remove_key("ci"));
    assert_eq!(outcome, MetadataOutcome::KeyRemoved);
    assert_eq!(state.access_keys().with_id("id1"), None);
    assert!(state.access_keys().is_empty());
    let unknown = rejected(&mut state, &remove_key("ci"));
    assert_eq!(unknown.code(), ErrorCode::UnknownKey);
}

#[test]
fn no_two_keys_have_one_name_or_one_id() {
    let mut state = cluster(1);
    let _ = apply(&mut state, &add_key("ci", "id1", 7));
    for other in [add_key("ci", "id2", 7), add_key("ci", "id1", 8)] {
        let rejection = rejected(&mut state, &other);
        assert!(matches!(rejection, MetadataRejection::KeyExists { .. }));
        assert_eq!(rejection.code(), ErrorCode::KeyExists);
    }
    let taken = rejected(&mut state, &add_key("other", "id1", 7));
    let id = KeyId::parse("id1").unwrap();
    assert_eq!(taken, MetadataRejection::KeyIdTaken { id });
    // The answer to the first attempt was lost.
    let MetadataCommand::AddKey { mut key } = add_key("ci", "id1", 7) else {
        unreachable!()
    };
    key.created_at = Timestamp::from_millis(99);
    let again = MetadataCommand::AddKey { key };
    assert_eq!(unchanged(&mut state, &again), MetadataOutcome::KeyAdded);
}

#[test]
fn keys_have_a_bound() {
    let mut state = cluster(1);
    for n in 0..KEYS_MAX {
        let _ = apply(&mut state, &add_key(&format!("k{n}"), &format!("id{n}"), 1));
    }
    let one_more = rejected(&mut state, &add_key("more", "more", 1));
    assert_eq!(one_more, MetadataRejection::TooManyKeys);
    let _ = apply(&mut state, &remove_key("k0"));
    let _ = apply(&mut state, &add_key("more", "more", 1));
}

#[test]
fn every_change_of_access_has_a_version_and_nothing_else_has() {
    let mut state = cluster(1);
    assert_eq!(state.access_version(), 0);
    let commands = [
        access(&[WEATHER], &[]),
        add_key("ci", "id1", 7),
        remove_key("ci"),
        access(&[CI], &[WEATHER]),
    ];
    for (version, command) in (1..).zip(&commands) {
        let before = (state.topics_version(), state.placement_version());
        let _ = apply(&mut state, command);
        assert_eq!(state.access_version(), version);
        let after = (state.topics_version(), state.placement_version());
        assert_eq!(after, before);
    }
    let rules = state.access_rules().clone();
    let _ = apply(&mut state, &create("orders", 1, 1));
    assert_eq!(state.access_version(), 4);
    assert!(Arc::ptr_eq(&rules, state.access_rules()));
}

#[test]
fn access_that_changes_together_with_topics_is_one_change() {
    let mut state = cluster(1);
    let together = MetadataCommand::Together {
        topics_version: state.topics_version(),
        commands: vec![
            create("weather", 1, 1),
            access(&[WEATHER], &[]),
            access(&[CI], &[]),
        ],
    };
    let _ = apply(&mut state, &together);
    assert_eq!(state.access_version(), 1);
    assert_eq!(texts(&state).len(), 2);
}

#[test]
fn hashes_are_not_shown() {
    let mut state = cluster(1);
    let command = add_key("ci", "id1", 0xAB);
    let _ = apply(&mut state, &command);
    let hash = key("ci", "id1", 0xAB).hash;
    for shown in [
        format!("{state:?}"),
        format!("{command:?}"),
        format!("{hash:?}"),
    ] {
        assert!(shown.contains("hidden"), "{shown}");
        for secret in ["171", "ab, ab", "AB, AB", "abab", "ABAB"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

#[test]
fn images_from_before_there_was_access_are_read_and_written_alike() {
    let before = [1, 0x89, 0, 0x80, 0x80, 1, 1, 0, 0x80, 0, 0];
    let state = MetadataState::decode(&before).unwrap();
    assert_eq!(state, MetadataState::new());
    assert_eq!(state.encode(), before);
    assert!(state.access_rules().is_empty() && state.access_keys().is_empty());
}

#[test]
fn images_hold_rules_and_keys_and_their_version() {
    let mut state = MetadataState::new();
    let _ = apply(&mut state, &access(&["key:a own job:b"], &[]));
    let mut expected = vec![1, 0x8A, 1, 0x80, 0x80, 1, 1, 0, 0x80, 0, 0];
    expected.extend([0x83, 1, 0x81, 0x6F]);
    expected.extend(b"key:a own job:b");
    expected.push(0x80);
    assert_eq!(state.encode(), expected);
    let _ = apply(&mut state, &add_key("ci", "id1", 7));
    let _ = apply(&mut state, &access(&[CI, WEATHER], &["key:a own job:b"]));
    let read = MetadataState::decode(&state.encode()).unwrap();
    assert_eq!(read, state);
    assert_eq!(read.access_version(), 3);
    assert_eq!(
        read.access_keys().with_id("id1"),
        Some(&key("ci", "id1", 7))
    );
    // Revoking everything leaves the version, so that nobody takes an old answer for a new one.
    let _ = apply(&mut state, &access(&[], &[CI, WEATHER]));
    let _ = apply(&mut state, &remove_key("ci"));
    let read = MetadataState::decode(&state.encode()).unwrap();
    assert_eq!(read.access_version(), 5);
}

#[test]
fn images_that_contradict_themselves_are_refused() {
    let image = |access: &[u8]| {
        let mut image = vec![1, 0x8A, 1, 0x80, 0x80, 1, 1, 0, 0x80, 0, 0];
        image.extend(access);
        MetadataState::decode(&image).map_err(|error| error.to_string())
    };
    let rule = [&[0x6F], &b"key:a own job:b"[..]].concat();
    let of_rules = |count: u8, rules: &[u8]| [&[0x83, 1, 0x80 + count], rules, &[0x80]].concat();
    assert!(image(&of_rules(1, &rule)).is_ok());
    let twice = image(&of_rules(2, &rule.repeat(2))).unwrap_err();
    assert!(twice.contains("an access rule occurs twice"), "{twice}");
    let no_rule = image(&of_rules(1, b"\x61x")).unwrap_err();
    assert!(no_rule.contains("an access rule is not one"), "{no_rule}");
    let untouched = image(&[0x83, 0, 0x80, 0x80]).unwrap_err();
    assert!(untouched.contains("never changed"), "{untouched}");
    let mut one_key = vec![0x84, 0x61, b'k', 0x61, b'i', 0x58, 32];
    one_key.extend([7; 32]);
    one_key.push(9);
    let of_keys = |count: u8, keys: &[u8]| [&[0x83, 1, 0x80, 0x80 + count], keys].concat();
    assert!(image(&of_keys(1, &one_key)).is_ok());
    let twice = image(&of_keys(2, &one_key.repeat(2))).unwrap_err();
    assert!(twice.contains("a key or its id occurs twice"), "{twice}");
}

#[test]
fn commands_about_access_have_the_bytes_that_were_promised() {
    let grant = access(&["* all job:*"], &[]);
    let mut expected = vec![1, 0x82, 11, 0x82, 0x81, 0x6B];
    expected.extend(b"* all job:*");
    expected.push(0x80);
    assert_eq!(grant.encode(), expected);
    let mut expected = vec![1, 0x82, 12, 0x81, 0x84, 0x61, b'k', 0x61, b'i', 0x58, 32];
    expected.extend([7; 32]);
    expected.push(9);
    assert_eq!(add_key("k", "i", 7).encode(), expected);
    assert_eq!(remove_key("k").encode(), [1, 0x82, 13, 0x81, 0x61, b'k']);
    // A rule that is none is damage: it was read before it was proposed.
    let damaged = [1, 0x82, 11, 0x82, 0x81, 0x61, b'x', 0x80];
    assert!(MetadataCommand::decode(&damaged).is_err());
}
