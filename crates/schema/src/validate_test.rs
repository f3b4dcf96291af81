//! What payloads are accepted, and what is said of those that are not.

use flotilla_types::limits::VIOLATIONS_MAX;
use serde_json::{Value, json};

use crate::{Schema, Violation, Violations};

fn schema(schema: &Value) -> Schema {
    Schema::parse(&schema.to_string()).unwrap()
}

fn violations(of: &Value, payload: &str) -> Vec<Violation> {
    schema(of).validate(payload.as_bytes()).unwrap_err().0
}

#[test]
fn violations_name_the_place_the_rule_and_the_value() {
    let order = json!({
        "properties": {"items": {"items": {"properties": {"price": {"minimum": 0}}}}},
        "required": ["id"],
    });
    let refused = schema(&order).validate(b"{\"items\": [{\"price\": -1}]}");
    let mut found = refused.unwrap_err();
    found
        .0
        .sort_by(|left, right| left.pointer.cmp(&right.pointer));
    assert_eq!(
        found.to_string(),
        "(root) required: \"id\" is a required property; \
         /items/0/price minimum: -1 is less than the minimum of 0"
    );
}

#[test]
fn at_most_so_many_violations_are_listed() {
    let strings = json!({"items": {"type": "string"}});
    let payload = json!(vec![1; VIOLATIONS_MAX + 1]).to_string();
    assert_eq!(violations(&strings, &payload).len(), VIOLATIONS_MAX);
}

#[test]
fn of_a_large_payload_one_violation_is_listed() {
    let strings = json!({"items": {"type": "string"}});
    let payload = json!(vec![1; 100_000]).to_string();
    let found = violations(&strings, &payload);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].pointer, "/0");
}

#[test]
fn messages_are_short_and_on_one_line_however_large_the_value() {
    let text = json!("a\n".repeat(10_000)).to_string();
    let found = violations(&json!({"type": "integer"}), &text);
    assert!(found[0].message.len() < 300 && !found[0].message.contains('\n'));
}

#[test]
fn a_payload_is_exactly_one_json_value_in_utf_8() {
    let anything = schema(&json!(true));
    for payload in ["1", " {\"a\": [null]} ", "\"\\u0000\"", "-0", "1e308"] {
        assert!(anything.validate(payload.as_bytes()).is_ok(), "{payload}");
    }
    for payload in [
        &b""[..],
        b" ",
        b"\0",
        b"1\0",
        b"1 2",
        b"{}{}",
        b"\"\xff\"",
        b"\xff",
        b"\xef\xbb\xbf1",
        b"\"\0\"",
        b"NaN",
        b"01",
        b"[1,]",
        b"'a'",
        b"\"\\ud800\"",
        b"{\"a\":1",
        b"1e400",
        b"-1e400",
    ] {
        let Violations(found) = anything.validate(payload).unwrap_err();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].pointer.as_str(), found[0].keyword.as_str()),
            ("", "json")
        );
        assert!(found[0].message.contains("line"), "{}", found[0].message);
    }
}

#[test]
fn numbers_beyond_64_bits_are_doubles() {
    let huge = "9".repeat(300);
    let whole = schema(&json!({"type": "integer", "minimum": 0, "multipleOf": 1}));
    assert!(whole.validate(huge.as_bytes()).is_ok());
    assert!(whole.validate(format!("-{huge}").as_bytes()).is_err());
    let beyond = "9".repeat(400);
    assert!(whole.validate(beyond.as_bytes()).is_err());
    let exact = schema(&json!({"const": 9_007_199_254_740_993_u64}));
    assert!(exact.validate(b"9007199254740993").is_ok());
    assert!(exact.validate(b"9007199254740992").is_err());
}

#[test]
fn a_multiple_of_a_tiny_number_is_judged_at_once() {
    for divisor in [1e-300, 1e-9, 0.01, 5e-324] {
        let multiples = schema(&json!({ "multipleOf": divisor }));
        for payload in ["1e300", "0", "1", "0.1", "18446744073709551615", "-5e-324"] {
            let _judged = multiples.validate(payload.as_bytes());
        }
    }
    assert!(
        schema(&json!({"multipleOf": 0.01}))
            .validate(b"19.99")
            .is_ok()
    );
}

#[test]
fn formats_and_contents_are_not_asserted() {
    for draft in [
        "http://json-schema.org/draft-07/schema#",
        "https://json-schema.org/draft/2019-09/schema",
        "https://json-schema.org/draft/2020-12/schema",
    ] {
        let annotated = json!({
            "$schema": draft, "format": "email", "contentEncoding": "base64",
            "contentMediaType": "application/json",
        });
        assert!(schema(&annotated).validate(b"\"no\"").is_ok());
    }
}

#[test]
fn items_are_unique_by_value() {
    let unique = json!({"uniqueItems": true});
    for payload in [
        "[1, 1.0]",
        "[0, -0.0]",
        "[{\"a\":1,\"b\":2},{\"b\":2.0,\"a\":1}]",
        "[[1],[1.0]]",
        "[null,null]",
    ] {
        let found = violations(&unique, payload);
        assert_eq!(
            found[0].to_string(),
            "(root) uniqueItems: two items are equal"
        );
    }
    for payload in [
        "[]",
        "[1]",
        "[1, true, \"1\", null, [1], {\"1\": 1}]",
        "[[], [[]], [[],[]]]",
        "1",
        "[0, false]",
        "[{\"a\":1},{\"a\":2},{\"b\":1}]",
        "[9007199254740993, 9007199254740992.0]",
    ] {
        assert!(
            schema(&unique).validate(payload.as_bytes()).is_ok(),
            "{payload}"
        );
    }
    let same = schema(&json!({"uniqueItems": false}));
    assert!(same.validate(b"[1, 1]").is_ok());
}
