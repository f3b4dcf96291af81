use flotilla_types::Principal;
use flotilla_types::limits::ACCESS_RULE_BYTES_MAX;

use super::{AccessRule, Resource};

fn rule(text: &str) -> AccessRule {
    AccessRule::parse(text).unwrap()
}

fn refusal(text: &str) -> String {
    AccessRule::parse(text).unwrap_err().to_string()
}

fn token(name: &str, claims: &[(&str, &str)]) -> Principal {
    let claims = claims.iter();
    let claims = claims.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let principal = Principal::parse(&format!("token:{name}")).unwrap();
    principal.with_facts([], claims)
}

/// Whether the rule's resource stands for the topic when the principal asks.
fn matches(pattern: &str, topic: &str, principal: &Principal) -> bool {
    let rule = rule(&format!("* publish topic:{pattern}"));
    rule.resource().matches(Resource::Topic(topic), principal)
}

#[test]
fn rules_are_written_as_they_are_read() {
    for text in [
        "token:weather publish topic:integrations.weather.data",
        "token:* publish topic:integrations.{claim:client_id}.data",
        "scope:kbroker-inbox.event-publish publish topic:orders",
        "key:ci all topic:test-*",
        "anonymous describe cluster",
        "* consume group:billing",
        "certificate:CN=a:b own job:*",
        "* alter access",
        "* all topic:*-{name}*{claim:https://issuer/tenant}.x",
    ] {
        assert_eq!(rule(text).to_string(), text);
        assert_eq!(format!("{:?}", rule(text)), text);
    }
}

#[test]
fn one_rule_has_one_text() {
    let spaced = "  key:ci   all\ttopic:a**b*** ";
    assert_eq!(rule(spaced).to_string(), "key:ci all topic:a*b*");
    assert_eq!(rule(spaced), rule("key:ci all topic:a*b*"));
}

#[test]
fn a_refusal_says_what_to_write_instead() {
    for (text, advice) in [
        ("key:ci all", "three words, PRINCIPAL ACTION RESOURCE"),
        ("key:ci may publish topic:a", "three words"),
        ("weather publish topic:a", "write token:NAME"),
        ("user:weather publish topic:a", "write token:NAME"),
        ("node:1 publish topic:a", "leave this rule out"),
        ("token: publish topic:a", "1 to 256 bytes"),
        ("token:int-* publish topic:a", "no wildcard there"),
        ("scope:* publish topic:a", "no wildcard there"),
        ("scope: publish topic:a", "a scope has 1 to"),
        ("key:ci write topic:a", "write publish, consume"),
        ("key:ci own topic:a", "write publish, consume"),
        ("key:ci publish group:a", "write consume, describe"),
        ("key:ci consume job:a", "write own, describe or all"),
        (
            "key:ci create cluster",
            "create does not go with cluster: write describe, alter or all",
        ),
        ("key:ci all queue:a", "write topic:NAME"),
        ("key:ci all topic", "which topic? Write topic:NAME"),
        ("key:ci all topic:", "which topic?"),
        ("key:ci all cluster:a", "write cluster alone"),
        ("key:ci all topic:a/b", "'/' is in no name"),
        ("key:ci all topic:a}", "'}' is in no name"),
        ("key:ci all topic:{claim}", "write {name}"),
        ("key:ci all topic:{claim:}", "write {name}"),
        ("key:ci all topic:a.{name", "write {name}"),
    ] {
        let refusal = refusal(text);
        assert!(refusal.contains(advice), "{text}: {refusal}");
    }
    let long = format!("key:ci all topic:{}", "a".repeat(ACCESS_RULE_BYTES_MAX));
    assert!(refusal(&long).contains("at most 1024 bytes"));
}

#[test]
fn a_wildcard_stands_for_any_run_of_characters_and_for_none() {
    let somebody = token("x", &[]);
    for (pattern, topic, fits) in [
        ("*", "a", true),
        ("test-*", "test-", true),
        ("test-*", "test", false),
        ("*.data", "a.b.data", true),
        ("*.data", "a.data.b", false),
        ("a*a", "a", false),
        ("a*a", "aa", true),
        ("a*bc*bc", "abc", false),
        ("a*bc*bc", "abcbc", true),
        ("*ab*", "aab", true),
        ("orders", "orders", true),
        ("orders", "orders2", false),
    ] {
        assert_eq!(
            matches(pattern, topic, &somebody),
            fits,
            "{pattern} {topic}"
        );
    }
}

#[test]
fn a_claim_is_taken_literally() {
    let pattern = "in.{claim:client_id}.data";
    assert!(matches(
        pattern,
        "in.abc.data",
        &token("x", &[("client_id", "abc")])
    ));
    assert!(!matches(
        pattern,
        "in.abd.data",
        &token("x", &[("client_id", "abc")])
    ));
    for claim in ["*", "a*", "{name}", "{claim:client_id}", "a/b", "a b", "ä"] {
        let principal = token("x", &[("client_id", claim)]);
        for topic in ["in.x.data", "in.abc.data", &format!("in.{claim}.data")] {
            assert!(!matches(pattern, topic, &principal), "{claim} {topic}");
        }
    }
}

#[test]
fn a_template_that_stands_for_nothing_matches_nothing() {
    let nobody = Principal::anonymous();
    for pattern in [
        "{claim:x}",
        "in.{claim:x}",
        "*{claim:x}*",
        "a{claim:x}",
        "{name}*",
    ] {
        for topic in ["a", "in.", "in.x", "x"] {
            assert!(!matches(pattern, topic, &nobody), "{pattern} {topic}");
        }
    }
    assert!(!matches("a{claim:x}", "a", &token("x", &[("x", "")])));
    assert!(!matches("in.{name}", "in.a:b", &token("a:b", &[])));
}

#[test]
fn templates_and_wildcards_go_together() {
    let principal = token("weather", &[("tenant", "acme")]);
    for (topic, fits) in [
        ("acme.weather", true),
        ("acme.x.weather", false),
        ("acme.weather.raw", true),
        ("other.weather", false),
        ("acme.wind", false),
    ] {
        assert_eq!(matches("{claim:tenant}.{name}*", topic, &principal), fits);
    }
    assert!(matches(
        "*{name}*{claim:tenant}",
        "a.weather.b.acme",
        &principal
    ));
}

#[test]
fn many_wildcards_take_no_time() {
    let pattern = "a*".repeat(400) + "b";
    let topic = "a".repeat(249);
    assert!(!matches(&pattern, &topic, &token("x", &[])));
}
