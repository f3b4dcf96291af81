//! What a topics file may say, and how it is told what is wrong with it.

use std::path::Path;

use super::topics_file::{Surroundings, TopicsFile};
use crate::Exit;

const CLUSTER: &str = "0123456789abcdef0123456789abcdef";

fn variables(name: &str) -> Option<String> {
    match name {
        "REPLICAS" => Some("1".to_owned()),
        "PROTECTED" => Some("true".to_owned()),
        "NAME" => Some("1000".to_owned()),
        "EVIL" => Some("a\n  - name: b".to_owned()),
        _ => None,
    }
}

fn read_in(directory: &Path, text: &str) -> Result<TopicsFile, Vec<String>> {
    let around = Surroundings {
        name: "f",
        directory,
        variables: &variables,
    };
    TopicsFile::parse(text, &around).map_err(|failures| {
        assert!(failures.iter().all(|failure| failure.exit() == Exit::Usage));
        failures.iter().map(|failure| failure.message()).collect()
    })
}

fn read(text: &str) -> Result<TopicsFile, Vec<String>> {
    read_in(Path::new(""), text)
}

/// A file with one topic that says `lines`.
fn topic(lines: &str) -> String {
    format!("topics:\n  - name: a\n    {lines}\n")
}

#[test]
fn a_file_says_everything_about_topics() {
    let text = format!(
        "cluster: {CLUSTER}
defaults:
  profile: kbroker
  partitions: 3
  config: {{retention: 2d}}
topics:
  - name: integrations.lifecycle
    replication_factor: ${{REPLICAS:-3}}
    visibility: public
    protected: ${{PROTECTED}}
    description: \"for people: {{anything}}\"
    schema:
      type: object
      properties:
        kind: {{const: \"${{kept}}\"}}
  - name: ${{NAME}}
    partitions: 1
    profile: kbroker
    retention_ms: -1
"
    );
    let file = read(&text).unwrap();
    assert_eq!(file.cluster.unwrap().to_string(), CLUSTER);
    let [first, second] = &file.manifest.topics[..] else {
        panic!("there are two topics");
    };
    assert_eq!(
        (first.partitions, first.replication_factor),
        (Some(3), Some(1))
    );
    let config = |topic: &flotilla_client::TopicSpec, key| topic.config.get(key).cloned();
    assert_eq!(config(first, "retention_ms").as_deref(), Some("172800000"));
    assert_eq!(config(first, "max_record_bytes").as_deref(), Some("65536"));
    assert_eq!(config(first, "protected").as_deref(), Some("true"));
    assert_eq!(
        first.schema.as_deref(),
        Some(r#"{"type":"object","properties":{"kind":{"const":"${kept}"}}}"#)
    );
    assert_eq!(second.name.as_str(), "1000");
    assert_eq!(
        (second.partitions, second.replication_factor),
        (Some(1), None)
    );
    assert_eq!(config(second, "retention_ms").as_deref(), Some("-1"));
    assert_eq!(second.schema, None);
}

#[test]
fn json_is_read_as_well() {
    let text = r#"{"topics": [{"name": "a", "partitions": 2, "schema": "{\"maximum\": 1.50}"}]}"#;
    let file = read(text).unwrap();
    assert_eq!(file.manifest.topics[0].partitions, Some(2));
    let schema = file.manifest.topics[0].schema.as_deref();
    assert_eq!(
        schema,
        Some("{\"maximum\": 1.50}"),
        "the text of a schema stays as it is"
    );
}

#[test]
fn a_schema_may_lie_beside_the_file() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a.json"), "{\"type\": \"object\"}\n").unwrap();
    std::fs::write(directory.path().join("b.json"), "{\"type\": ").unwrap();
    let file = read_in(directory.path(), &topic("schema_file: a.json")).unwrap();
    let schema = file.manifest.topics[0].schema.as_deref();
    assert_eq!(schema, Some("{\"type\": \"object\"}"));
    for (lines, expected) in [
        ("schema_file: b.json", "not JSON"),
        ("schema_file: c.json", "c.json"),
        ("schema_file: .", "directory"),
        ("schema: {}\n    schema_file: a.json", "use one of them"),
    ] {
        let faults = read_in(directory.path(), &topic(lines)).unwrap_err();
        assert!(faults[0].contains(expected), "{lines}: {faults:?}");
    }
}

#[test]
fn a_variable_cannot_add_topics() {
    let faults = read("topics:\n  - name: ${EVIL}\n").unwrap_err();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(
        faults[0].starts_with("f:2:11: a topic name has no '\\n'"),
        "{faults:?}"
    );
}

#[test]
fn everything_wrong_is_told_at_once_with_its_place() {
    let text = "cluster: here
topic: []
topics:
  - name: a
    partitions: 0
    retentoin: 7d
  - name: a
    replication_factor: ${NONE}
  - partitions: many
  - just a name
";
    let faults = read(text).unwrap_err();
    let expected = [
        "f:1:10: cluster is an id of 32 hexadecimal digits",
        "f:2:1: unknown key topic; did you mean topics?",
        "f:5:17: partitions is a number from 1 to 4096, not 0",
        "f:6:5: unknown key retentoin; did you mean retention?",
        "f:7:11: topic a is in line 4 already",
        "f:8:25: the variable NONE is not set",
        "f:9:5: the topic has no name",
        "f:9:17: partitions is a number from 1 to 4096, not \"many\"",
        "f:10:5: a topic is a mapping, not text",
    ];
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
    for (fault, expected) in faults.iter().zip(expected) {
        assert!(fault.starts_with(expected), "{fault} is not {expected}");
    }
}

#[test]
fn sections_that_are_not_served_yet_are_unknown() {
    for section in ["subscriptions", "connectors", "access"] {
        let faults = read(&format!("topics: []\n{section}: []\n")).unwrap_err();
        assert!(
            faults[0].contains(&format!("unknown key {section}")),
            "{faults:?}"
        );
    }
}

#[test]
fn a_list_of_topics_must_be_there() {
    assert_eq!(read("topics: []").unwrap().manifest.topics, []);
    for text in ["", "{}", "topics:\n", "- name: a\n", "topics: a\n"] {
        assert!(read(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_key_without_a_value_is_a_mistake() {
    let faults = read(&topic("schema:")).unwrap_err();
    assert_eq!(faults, ["f:3:5: schema has no value"]);
}

#[test]
fn a_name_that_looks_like_a_number_wants_quotes() {
    let faults = read("topics:\n  - name: 1e3\n").unwrap_err();
    assert_eq!(
        faults,
        ["f:2:11: name is text, not a number: put it in quotes"]
    );
    assert!(read("topics:\n  - name: '1e3'\n").is_ok());
}

#[test]
fn schemas_are_checked_without_a_cluster() {
    for schema in ["{$ref: other}", "[1]", "{type: 5}", "'{'"] {
        let faults = read(&topic(&format!("schema: {schema}"))).unwrap_err();
        assert!(faults[0].starts_with("f:3:"), "{schema}: {faults:?}");
    }
}

#[test]
fn more_topics_than_a_manifest_holds_are_refused() {
    let lines = |count: usize| {
        let topics = (0..count).map(|index| format!("  - name: t{index}\n"));
        format!("topics:\n{}", topics.collect::<String>())
    };
    assert_eq!(read(&lines(1_000)).unwrap().manifest.topics.len(), 1_000);
    assert!(read(&lines(1_001)).unwrap_err()[0].contains("at most 1000"));
}

#[test]
fn the_topics_file_that_is_shipped_is_valid() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cluster/topics/topics.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let file = read_in(path.parent().unwrap(), &text).unwrap();
    let topics = &file.manifest.topics;
    let names: Vec<_> = topics.iter().map(|topic| topic.name.as_str()).collect();
    assert_eq!(names, ["integrations.lifecycle", "integrations.acme.data"]);
    let schema = flotilla_schema::Schema::parse(topics[0].schema.as_deref().unwrap()).unwrap();
    for (event, is_valid) in [
        (
            r#"{"id":"1","event":"install","integration":"acme","workspace":"w","occurred_at":"2026-01-01T00:00:00Z"}"#,
            true,
        ),
        (
            r#"{"id":"1","event":"explode","integration":"acme","workspace":"w"}"#,
            false,
        ),
    ] {
        assert_eq!(
            schema.validate(event.as_bytes()).is_ok(),
            is_valid,
            "{event}"
        );
    }
}
