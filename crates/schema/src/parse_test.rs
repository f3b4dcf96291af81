//! What is a schema, and what is refused with which pointer.

use flotilla_types::limits::{
    SCHEMA_BYTES_MAX, SCHEMA_DEPTH_MAX, SCHEMA_NODES_MAX, SCHEMA_PATTERN_BYTES_MAX,
    SCHEMA_PATTERNS_MAX,
};
use serde_json::{Value, json};

use crate::{Schema, SchemaError};

const DRAFT_7: &str = "http://json-schema.org/draft-07/schema#";
const DRAFT_2019: &str = "https://json-schema.org/draft/2019-09/schema";
const DRAFT_2020: &str = "https://json-schema.org/draft/2020-12/schema";

fn error(schema: &Value) -> SchemaError {
    Schema::parse(&schema.to_string()).unwrap_err()
}

fn parse(schema: &Value) -> Schema {
    Schema::parse(&schema.to_string()).unwrap()
}

fn reference(pointer: &str, keyword: &str) -> SchemaError {
    SchemaError::Reference {
        pointer: pointer.to_owned(),
        keyword: keyword.to_owned(),
    }
}

#[test]
fn a_schema_can_be_shared_between_threads() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Schema>();
}

#[test]
fn a_schema_keeps_its_text_and_is_the_same_however_it_is_spaced() {
    let text = "{ \"type\": \"object\",  \"title\": \"a\" }";
    let schema = Schema::parse(text).unwrap();
    assert_eq!(schema.text(), text);
    assert!(schema.same_as(&parse(&json!({"title": "a", "type": "object"}))));
    assert!(!schema.same_as(&parse(&json!({"title": "b", "type": "object"}))));
}

#[test]
fn each_draft_has_its_own_keywords() {
    let tuple_7 = parse(
        &json!({"$schema": DRAFT_7, "items": [{"type": "string"}], "additionalItems": false}),
    );
    let tuple_2019 = parse(
        &json!({"$schema": DRAFT_2019, "items": [{"type": "string"}], "additionalItems": false}),
    );
    let tuple_2020 =
        parse(&json!({"$schema": DRAFT_2020, "prefixItems": [{"type": "string"}], "items": false}));
    let unnamed = parse(&json!({"prefixItems": [{"type": "string"}], "items": false}));
    for schema in [tuple_7, tuple_2019, tuple_2020, unnamed] {
        assert!(schema.validate(b"[\"a\"]").is_ok());
        assert!(schema.validate(b"[1]").is_err());
        assert!(schema.validate(b"[\"a\", 1]").is_err());
    }
    let later = json!({"$schema": DRAFT_7, "dependentRequired": {"a": ["b"]}});
    assert!(parse(&later).validate(b"{\"a\": 1}").is_ok());
    let of_its_draft = json!({"$schema": DRAFT_2019, "dependentRequired": {"a": ["b"]}});
    assert!(parse(&of_its_draft).validate(b"{\"a\": 1}").is_err());
    for draft in [DRAFT_7, DRAFT_2019, DRAFT_2020] {
        let split = parse(&json!({"$schema": draft, "dependencies": {"a": ["b"]}}));
        assert!(split.validate(b"{\"a\": 1}").is_err(), "{draft}");
    }
}

#[test]
fn an_unknown_draft_is_refused_with_those_there_are() {
    for found in [
        "http://json-schema.org/draft-04/schema#",
        "http://json-schema.org/draft-06/schema#",
        "http://json-schema.org/schema#",
        "https://example.org/meta",
        "https://json-schema.org/draft/next/schema",
        "",
    ] {
        let refused = error(&json!({"$schema": found}));
        assert!(matches!(&refused, SchemaError::UnknownDraft { found: f, .. } if f == found));
        assert!(refused.to_string().contains(DRAFT_2020), "{refused}");
    }
    assert!(matches!(
        error(&json!({"$schema": 7})),
        SchemaError::UnknownDraft { .. }
    ));
}

#[test]
fn a_draft_inside_must_be_the_draft_around_it() {
    let other = json!({"properties": {"a": {"$schema": DRAFT_7}}});
    assert!(matches!(
        error(&other),
        SchemaError::UnknownDraft { pointer, .. } if pointer == "/properties/a/$schema"
    ));
    parse(&json!({"properties": {"a": {"$schema": DRAFT_2020, "$id": "urn:a"}}}));
}

#[test]
fn a_schema_with_a_vocabulary_of_its_own_is_refused() {
    let schema = json!({"$vocabulary": {"https://json-schema.org/draft/2020-12/vocab/core": true}});
    assert!(matches!(
        error(&schema),
        SchemaError::UnknownDraft { pointer, .. } if pointer == "/$vocabulary"
    ));
}

#[test]
fn a_schema_with_a_reference_is_refused_with_its_pointer() {
    for keyword in ["$ref", "$dynamicRef", "$recursiveRef"] {
        let at_root = json!({keyword: "#"});
        assert_eq!(error(&at_root), reference(&format!("/{keyword}"), keyword));
    }
    let to_itself = || json!({"$ref": "#"});
    for (schema, pointer) in [
        (
            json!({"properties": {"a/b": to_itself()}}),
            "/properties/a~1b/$ref",
        ),
        (
            json!({"patternProperties": {"^a": to_itself()}}),
            "/patternProperties/^a/$ref",
        ),
        (
            json!({"additionalProperties": to_itself()}),
            "/additionalProperties/$ref",
        ),
        (json!({"items": to_itself()}), "/items/$ref"),
        (
            json!({"prefixItems": [{}, to_itself()]}),
            "/prefixItems/1/$ref",
        ),
        (json!({"contains": to_itself()}), "/contains/$ref"),
        (json!({"propertyNames": to_itself()}), "/propertyNames/$ref"),
        (json!({"allOf": [to_itself()]}), "/allOf/0/$ref"),
        (json!({"anyOf": [to_itself()]}), "/anyOf/0/$ref"),
        (json!({"oneOf": [to_itself()]}), "/oneOf/0/$ref"),
        (json!({"not": to_itself()}), "/not/$ref"),
        (json!({"if": to_itself()}), "/if/$ref"),
        (json!({"then": to_itself()}), "/then/$ref"),
        (json!({"else": to_itself()}), "/else/$ref"),
        (
            json!({"dependentSchemas": {"a": to_itself()}}),
            "/dependentSchemas/a/$ref",
        ),
        (
            json!({"dependencies": {"a": to_itself()}}),
            "/dependencies/a/$ref",
        ),
        (
            json!({"unevaluatedItems": to_itself()}),
            "/unevaluatedItems/$ref",
        ),
        (
            json!({"unevaluatedProperties": to_itself()}),
            "/unevaluatedProperties/$ref",
        ),
        (json!({"contentSchema": to_itself()}), "/contentSchema/$ref"),
        (json!({"$defs": {"a": to_itself()}}), "/$defs/a/$ref"),
        (
            json!({"definitions": {"a": to_itself()}}),
            "/definitions/a/$ref",
        ),
        (
            json!({"$schema": DRAFT_7, "items": [to_itself()]}),
            "/items/0/$ref",
        ),
        (
            json!({"$schema": DRAFT_7, "additionalItems": to_itself()}),
            "/additionalItems/$ref",
        ),
    ] {
        assert_eq!(error(&schema), reference(pointer, "$ref"));
    }
}

#[test]
fn what_looks_like_a_reference_and_is_data_is_allowed() {
    let data = json!({"$ref": "http://127.0.0.1:1/never-fetched"});
    let schema = parse(&json!({
        "properties": {"$ref": {"type": "string"}, "$id": {"type": "string"}},
        "required": ["$ref"],
        "const": data,
        "enum": [data],
        "default": data,
        "examples": [data],
        "x-anything": data,
    }));
    assert!(schema.validate(data.to_string().as_bytes()).is_ok());
    assert!(schema.validate(b"{\"$ref\": 1}").is_err());
}

#[test]
fn keywords_of_other_drafts_hold_data() {
    parse(&json!({"additionalItems": {"$ref": "#"}}));
    parse(
        &json!({"$schema": DRAFT_7, "prefixItems": [{"$ref": "#"}], "$defs": {"a": {"$ref": "#"}}}),
    );
}

#[test]
fn identifiers_and_anchors_mean_nothing() {
    let schema = parse(&json!({
        "$id": "http://127.0.0.1:1/a", "$anchor": "a", "$dynamicAnchor": "b", "$comment": "c",
        "properties": {"a": {"$id": "http://127.0.0.1:1/a", "type": "string"}},
    }));
    assert!(schema.validate(b"{\"a\": 1}").is_err());
}

#[test]
fn what_its_meta_schema_refuses_is_refused_with_the_pointer_of_the_first_failure() {
    for (schema, expected) in [
        (json!({"type": "text"}), "/type"),
        (
            json!({"properties": {"a": {"minLength": -1}}}),
            "/properties/a/minLength",
        ),
        (json!({"properties": 5}), "/properties"),
        (json!({"allOf": []}), "/allOf"),
        (json!({"items": [{}]}), "/items"),
        (json!({"pattern": 5}), "/pattern"),
        (json!({"required": ["a", "a"]}), "/required"),
        (json!({"multipleOf": 0}), "/multipleOf"),
        (
            json!({"$schema": DRAFT_7, "properties": {"a": 5}}),
            "/properties/a",
        ),
        (json!({"$schema": DRAFT_2019, "anyOf": {}}), "/anyOf"),
    ] {
        let SchemaError::NotASchema { pointer, .. } = error(&schema) else {
            panic!("{schema}");
        };
        assert_eq!(pointer, expected);
    }
}

#[test]
fn a_schema_is_an_object_or_a_boolean() {
    assert!(parse(&json!(true)).validate(b"1").is_ok());
    assert!(parse(&json!(false)).validate(b"1").is_err());
    for other in [json!(null), json!(1), json!("a"), json!([])] {
        assert!(
            matches!(error(&other), SchemaError::NotASchema { pointer, .. } if pointer.is_empty())
        );
    }
}

#[test]
fn text_that_is_not_json_is_refused_with_its_line_and_column() {
    let refused = Schema::parse("{\n \"type\": }").unwrap_err();
    assert!(matches!(
        refused,
        SchemaError::NotJson {
            line: 2,
            column: 10,
            ..
        }
    ));
    assert!(Schema::parse("").is_err());
    assert!(Schema::parse("{} {}").is_err());
}

#[test]
fn a_schema_that_is_too_large_is_refused_by_its_length() {
    let bytes = 10 << 20;
    let refused = Schema::parse(&"[".repeat(bytes)).unwrap_err();
    assert_eq!(refused, SchemaError::TooLarge { bytes });
    let padded = format!("{{}}{}", " ".repeat(SCHEMA_BYTES_MAX - 2));
    assert!(Schema::parse(&padded).is_ok());
}

#[test]
fn a_schema_that_is_too_deep_is_refused_with_its_pointer() {
    let nested = |depth: usize| {
        format!(
            "{}{}{}",
            "{\"not\":".repeat(depth - 1),
            "{}",
            "}".repeat(depth - 1)
        )
    };
    assert!(Schema::parse(&nested(SCHEMA_DEPTH_MAX)).is_ok());
    let refused = Schema::parse(&nested(SCHEMA_DEPTH_MAX + 1)).unwrap_err();
    let pointer = "/not".repeat(SCHEMA_DEPTH_MAX);
    assert_eq!(refused, SchemaError::TooDeep { pointer });
    let bottomless = Schema::parse(&"[".repeat(SCHEMA_BYTES_MAX)).unwrap_err();
    assert!(matches!(bottomless, SchemaError::TooDeep { .. }));
}

#[test]
fn a_schema_with_too_many_values_is_refused() {
    let values = |count: usize| json!({ "enum": (0..count).collect::<Vec<_>>() });
    assert!(Schema::parse(&values(SCHEMA_NODES_MAX - 2).to_string()).is_ok());
    assert_eq!(
        error(&values(SCHEMA_NODES_MAX - 1)),
        SchemaError::TooManyNodes
    );
}

#[test]
fn a_pattern_that_needs_backtracking_is_refused_with_its_pointer_and_why() {
    for pattern in [
        "(?=a)b",
        "(?!a)b",
        "(?<=a)b",
        "(?<!a)b",
        "(a)\\1",
        "(?<n>a)\\k<n>",
    ] {
        let refused = error(&json!({"properties": {"a": {"pattern": pattern}}}));
        let SchemaError::PatternRefused { pointer, message } = refused else {
            panic!("{pattern}: {refused}");
        };
        assert_eq!(pointer, "/properties/a/pattern");
        assert!(message.contains("linear time"), "{message}");
    }
    let as_key = error(&json!({"patternProperties": {"a/(?=b)": {}}}));
    assert!(matches!(
        as_key,
        SchemaError::PatternRefused { pointer, .. } if pointer == "/patternProperties/a~1(?=b)"
    ));
}

#[test]
fn a_pattern_that_does_not_parse_is_refused() {
    for pattern in ["(", "a{2,1}", "[z-a]", "*"] {
        let refused = error(&json!({"pattern": pattern}));
        assert!(
            matches!(refused, SchemaError::PatternRefused { .. }),
            "{pattern}: {refused}"
        );
    }
}

#[test]
fn a_pattern_in_data_is_not_compiled() {
    parse(
        &json!({"properties": {"pattern": {"default": {"pattern": "("}}}, "x-a": {"pattern": "("}}),
    );
}

#[test]
fn patterns_are_those_of_ecma() {
    let digits = parse(&json!({"pattern": "^\\d+$"}));
    assert!(digits.validate("\"12\"".as_bytes()).is_ok());
    assert!(digits.validate("\"١٢\"".as_bytes()).is_err());
}

#[test]
fn patterns_that_are_too_long_too_large_or_too_many_are_refused() {
    let long = json!({"pattern": "a".repeat(SCHEMA_PATTERN_BYTES_MAX + 1)});
    assert!(
        matches!(error(&long), SchemaError::PatternTooLong { pointer } if pointer == "/pattern")
    );
    let large = json!({"pattern": "((a{1000}){1000}){1000}"});
    let SchemaError::PatternRefused { message, .. } = error(&large) else {
        panic!("{}", error(&large));
    };
    assert!(message.contains("bytes"), "{message}");
    let many = |count: usize| {
        let schemas = (0..count).map(|i| json!({"pattern": format!("a{i}b*")}));
        json!({ "allOf": schemas.collect::<Vec<_>>() })
    };
    parse(&many(SCHEMA_PATTERNS_MAX));
    assert!(matches!(
        error(&many(SCHEMA_PATTERNS_MAX + 1)),
        SchemaError::TooManyPatterns { pointer } if pointer == format!("/allOf/{SCHEMA_PATTERNS_MAX}/pattern")
    ));
    let heavy = (0..SCHEMA_PATTERNS_MAX).map(|i| json!({"pattern": format!("^{i}\\p{{L}}{{20}}")}));
    let heavy = json!({ "allOf": heavy.collect::<Vec<_>>() });
    assert!(matches!(
        error(&heavy),
        SchemaError::PatternsTooLarge { .. }
    ));
}

#[test]
fn a_pattern_that_is_used_often_counts_once() {
    let schemas = vec![json!({"pattern": "^a*$"}); SCHEMA_PATTERNS_MAX * 2];
    parse(&json!({ "allOf": schemas }));
}

#[test]
fn errors_say_what_where_and_what_to_do() {
    assert_eq!(
        error(&json!({"properties": {"a": {"$ref": "#"}}})).to_string(),
        "$ref at /properties/a/$ref refers to another schema, and references are not followed: \
         put what it refers to in its place"
    );
    let message = error(&json!([])).to_string();
    assert_eq!(
        message,
        "not a JSON Schema at (root): a schema is an object, or true or false"
    );
}
