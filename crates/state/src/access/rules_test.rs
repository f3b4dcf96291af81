use flotilla_types::Principal;
use flotilla_types::limits::NEAREST_ACCESS_RULES_MAX;

use super::{AccessAction, AccessRule, AccessRules, Explanation, Miss, Resource, ResourceKind};

fn rules(texts: &[&str]) -> AccessRules {
    texts
        .iter()
        .map(|text| AccessRule::parse(text).unwrap())
        .collect()
}

fn who(text: &str) -> Principal {
    Principal::parse(text).unwrap()
}

fn with_claim(principal: &str, name: &str, value: &str) -> Principal {
    who(principal).with_facts([], [(name.to_owned(), value.to_owned())])
}

fn with_scope(principal: &str, scope: &str) -> Principal {
    who(principal).with_facts([scope.to_owned()], [])
}

fn action(text: &str) -> AccessAction {
    AccessAction::parse(text).unwrap()
}

/// Asks as people write it: `publish topic:orders`.
fn allows(rules: &AccessRules, principal: &Principal, what: &str) -> bool {
    let (verb, resource) = what.split_once(' ').unwrap();
    let resource = Resource::parse(resource).unwrap();
    let allowed = rules.allows(principal, action(verb), resource);
    let explained = rules.explain(principal, action(verb), resource);
    assert_eq!(explained.is_allowed(), allowed, "{principal} {what}");
    allowed
}

#[test]
fn an_integration_writes_its_own_topic_and_no_other() {
    let rules = rules(&["token:* publish topic:integrations.{claim:client_id}.data"]);
    let weather = with_claim("token:weather", "client_id", "abc");
    assert!(allows(
        &rules,
        &weather,
        "publish topic:integrations.abc.data"
    ));
    assert!(!allows(
        &rules,
        &weather,
        "publish topic:integrations.abd.data"
    ));
    assert!(!allows(
        &rules,
        &weather,
        "publish topic:integrations.abc.raw"
    ));
    assert!(!allows(
        &rules,
        &weather,
        "consume topic:integrations.abc.data"
    ));
    // What proves the same name in another way is somebody else.
    let key = with_claim("key:weather", "client_id", "abc");
    assert!(!allows(&rules, &key, "publish topic:integrations.abc.data"));
    assert!(!allows(
        &rules,
        &who("token:weather"),
        "publish topic:integrations.abc.data"
    ));
}

#[test]
fn without_rules_nobody_may_do_anything_but_nodes() {
    let rules = AccessRules::default();
    for resource in ["topic:a", "group:a", "job:a", "cluster", "access"] {
        let resource = Resource::parse(resource).unwrap();
        for action in AccessAction::EVERY {
            for principal in ["anonymous", "token:a", "key:a", "certificate:a"] {
                assert!(!rules.allows(&who(principal), *action, resource));
            }
            assert!(rules.allows(&Principal::node(), *action, resource));
        }
    }
}

#[test]
fn everybody_is_who_has_proven_who_they_are() {
    let rules = rules(&["* consume group:billing", "anonymous describe cluster"]);
    for principal in ["token:a", "key:a", "certificate:a"] {
        assert!(allows(&rules, &who(principal), "consume group:billing"));
        assert!(!allows(&rules, &who(principal), "describe cluster"));
    }
    assert!(!allows(
        &rules,
        &Principal::anonymous(),
        "consume group:billing"
    ));
    assert!(allows(&rules, &Principal::anonymous(), "describe cluster"));
}

#[test]
fn a_scope_counts_in_a_token_only() {
    let rules = rules(&["scope:events publish topic:orders"]);
    assert!(allows(
        &rules,
        &with_scope("token:a", "events"),
        "publish topic:orders"
    ));
    assert!(!allows(
        &rules,
        &with_scope("token:a", "event"),
        "publish topic:orders"
    ));
    assert!(!allows(
        &rules,
        &with_scope("key:a", "events"),
        "publish topic:orders"
    ));
}

#[test]
fn whoever_may_do_anything_may_also_see_it() {
    for rule in [
        "key:a publish topic:t",
        "key:a consume topic:t",
        "key:a create topic:t",
        "key:a alter topic:t",
        "key:a delete topic:t",
        "key:a all topic:t",
    ] {
        let rules = rules(&[rule]);
        assert!(rules.visible(&who("key:a"), ResourceKind::Topic, "t"));
        assert!(!rules.visible(&who("key:a"), ResourceKind::Topic, "u"));
        assert!(!rules.visible(&who("key:a"), ResourceKind::Group, "t"));
        assert!(!rules.visible(&who("key:b"), ResourceKind::Topic, "t"));
    }
    let own = rules(&["key:a own job:j", "key:a alter access"]);
    assert!(allows(&own, &who("key:a"), "describe job:j"));
    assert!(own.visible(&who("key:a"), ResourceKind::Access, ""));
    assert!(!own.visible(&who("key:a"), ResourceKind::Cluster, ""));
    let seeing = rules(&["key:a describe topic:t"]);
    assert!(!allows(&seeing, &who("key:a"), "publish topic:t"));
}

#[test]
fn all_is_what_can_be_done_to_such_a_thing() {
    let rules = rules(&["key:ci all topic:test-*"]);
    for action in ResourceKind::Topic.actions() {
        assert!(rules.allows(&who("key:ci"), *action, Resource::Topic("test-1")));
    }
    assert!(!rules.allows(&who("key:ci"), AccessAction::Own, Resource::Topic("test-1")));
    assert!(!allows(&rules, &who("key:ci"), "publish topic:orders"));
}

#[test]
fn who_is_refused_is_told_what_is_missing() {
    let rules = rules(&[
        "key:a consume topic:orders",
        "key:a publish topic:payments",
        "key:b publish topic:orders",
        "key:b consume group:orders",
    ]);
    let publish = AccessAction::Publish;
    let orders = Resource::Topic("orders");
    let Explanation::Denied { nearest } = rules.explain(&who("key:a"), publish, orders) else {
        panic!("it is denied");
    };
    let nearest: Vec<_> = nearest
        .iter()
        .map(|near| (near.rule.to_string(), near.miss))
        .collect();
    let expected = [
        ("key:a consume topic:orders".to_owned(), Miss::Action),
        ("key:a publish topic:payments".to_owned(), Miss::Resource),
        ("key:b publish topic:orders".to_owned(), Miss::Principal),
    ];
    assert_eq!(nearest, expected);
    let allowed = rules.explain(&who("key:b"), publish, orders);
    let rule = AccessRule::parse("key:b publish topic:orders").unwrap();
    assert_eq!(allowed, Explanation::Allowed(&rule));
    let node = Principal::node();
    assert_eq!(rules.explain(&node, publish, orders), Explanation::Node);
}

#[test]
fn an_explanation_stays_short() {
    let texts: Vec<_> = (0..100)
        .map(|n| format!("key:a publish topic:t{n}"))
        .collect();
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    let rules = rules(&texts);
    let denied = rules.explain(&who("key:a"), AccessAction::Publish, Resource::Topic("x"));
    let Explanation::Denied { nearest } = denied else {
        panic!("it is denied");
    };
    assert_eq!(nearest.len(), NEAREST_ACCESS_RULES_MAX);
}

#[test]
fn what_is_asked_for_can_be_written_down() {
    for text in [
        "topic:orders",
        "group:billing",
        "job:nightly",
        "cluster",
        "access",
    ] {
        assert_eq!(Resource::parse(text).unwrap().to_string(), text);
    }
    for text in [
        "topic",
        "topic:",
        "topic:a*",
        "cluster:a",
        "queue:a",
        "",
        "topic:..",
    ] {
        assert!(Resource::parse(text).is_err(), "{text}");
    }
}
