//! The rules one by one: what may change in a schema, and what may not.

use flotilla_types::SchemaCompatibility;
use serde_json::{Value, json};

use super::check_compatible;
use crate::Schema;

use SchemaCompatibility::{Backward, Forward, Full, None as Unchecked};

fn parse(schema: &Value) -> Schema {
    Schema::parse(&schema.to_string()).unwrap()
}

fn found(mode: SchemaCompatibility, older: &Value, newer: &Value) -> Vec<(String, String)> {
    match check_compatible(mode, &parse(older), &parse(newer)) {
        Ok(()) => Vec::new(),
        Err(found) => {
            let found = found.0.into_iter();
            found.map(|one| (one.pointer, one.message)).collect()
        }
    }
}

#[track_caller]
fn assert_modes(older: &Value, newer: &Value, backward: bool, forward: bool) {
    let cases = [
        (Unchecked, true),
        (Backward, backward),
        (Forward, forward),
        (Full, backward && forward),
    ];
    for (mode, expected) in cases {
        let found = found(mode, older, newer);
        assert_eq!(
            found.is_empty(),
            expected,
            "{mode} {older} {newer}: {found:?}"
        );
    }
}

/// What every value of `narrow` has, and not every value of `wide`.
#[track_caller]
fn assert_narrows(wide: &Value, narrow: &Value) {
    assert_modes(narrow, wide, true, false);
    assert_modes(wide, narrow, false, true);
}

#[track_caller]
fn assert_alike(one: &Value, other: &Value) {
    assert_modes(one, other, true, true);
    assert_modes(other, one, true, true);
}

#[track_caller]
fn assert_strangers(one: &Value, other: &Value) {
    assert_modes(one, other, false, false);
}

fn object(properties: &Value) -> Value {
    json!({"type": "object", "properties": properties})
}

fn closed(properties: &Value) -> Value {
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

#[test]
fn an_optional_property_of_an_open_object_comes_and_goes() {
    let one = object(&json!({"a": {"type": "string"}}));
    let two = object(&json!({"a": {"type": "string"}, "b": {"type": "integer"}}));
    assert_alike(&one, &two);
}

#[test]
fn a_property_that_a_closed_object_does_not_have_is_not_read() {
    let one = closed(&json!({"a": {}}));
    let two = closed(&json!({"a": {}, "b": {}}));
    assert_narrows(&two, &one);
    let removed = found(Backward, &two, &one);
    assert_eq!(removed[0].0, "/properties/b");
    let added = found(Forward, &one, &two);
    assert_eq!(added[0].0, "/properties/b");
    assert_eq!(
        added[0].1,
        "the older schema does not accept the property \"b\", which the newer has"
    );
}

#[test]
fn an_open_object_may_close_over_what_it_declares() {
    assert_alike(&object(&json!({"a": {}})), &closed(&json!({"a": {}})));
    assert_modes(
        &object(&json!({"a": {}, "b": {}})),
        &closed(&json!({"a": {}})),
        false,
        true,
    );
}

#[test]
fn an_object_that_declares_nothing_is_free() {
    let free = json!({"type": "object"});
    assert_modes(&free, &closed(&json!({})), false, true);
    assert_modes(
        &free,
        &object(&json!({"a": {"type": "string"}})),
        false,
        true,
    );
    assert_alike(&free, &object(&json!({"a": {}})));
}

#[test]
fn what_the_reader_requires_the_writer_must_require() {
    let optional = object(&json!({"a": {"type": "string"}}));
    let mut required = optional.clone();
    required["required"] = json!(["a"]);
    assert_narrows(&optional, &required);
    assert_eq!(
        found(Backward, &optional, &required),
        [(
            "/required".to_owned(),
            "the newer schema requires \"a\", and the older does not".to_owned()
        )]
    );
    assert_eq!(found(Forward, &required, &optional)[0].0, "/required");
    let mut new_and_required = object(&json!({"a": {"type": "string"}, "b": {}}));
    new_and_required["required"] = json!(["b"]);
    assert_modes(&optional, &new_and_required, false, true);
    let undeclared = json!({"properties": {}, "required": ["b"]});
    let declared = json!({"properties": {"b": {"type": "string"}}, "required": ["b"]});
    assert_modes(&undeclared, &declared, false, true);
}

#[test]
fn types_are_sets_and_integer_is_within_number() {
    assert_narrows(&json!({"type": "number"}), &json!({"type": "integer"}));
    assert_narrows(
        &json!({"type": ["string", "null"]}),
        &json!({"type": "string"}),
    );
    assert_narrows(&json!({}), &json!({"type": "string"}));
    assert_narrows(&json!(true), &json!(false));
    assert_strangers(&json!({"type": "string"}), &json!({"type": "integer"}));
    assert_alike(&json!({}), &json!(true));
    assert_alike(
        &json!({"type": ["integer", "number"]}),
        &json!({"type": "number"}),
    );
    let differences = found(
        Backward,
        &object(&json!({"a": {"type": "number"}})),
        &object(&json!({"a": {"type": "integer"}})),
    );
    assert_eq!(
        differences,
        [(
            "/properties/a/type".to_owned(),
            "the newer schema accepts integer, and the older allows number".to_owned()
        )]
    );
}

#[test]
fn listed_values_are_sets() {
    assert_narrows(&json!({"enum": ["a", "b"]}), &json!({"enum": ["a"]}));
    assert_narrows(&json!({"enum": ["a", 1]}), &json!({"const": 1.0}));
    assert_narrows(&json!({"type": "string"}), &json!({"enum": ["a"]}));
    assert_alike(&json!({"enum": [true, false]}), &json!({"type": "boolean"}));
    assert_alike(
        &json!({"enum": ["a", 1], "type": "string"}),
        &json!({"const": "a"}),
    );
    assert_strangers(&json!({"const": "a"}), &json!({"const": "b"}));
    assert_narrows(
        &json!({"type": "string", "maxLength": 2}),
        &json!({"enum": ["a", "bb"]}),
    );
    assert_strangers(
        &json!({"type": "string", "maxLength": 1}),
        &json!({"enum": ["a", "bb"]}),
    );
    let gone = found(
        Backward,
        &json!({"enum": ["a", "b"]}),
        &json!({"enum": ["a"]}),
    );
    assert_eq!(gone[0].0, "/enum");
    assert_eq!(
        gone[0].1,
        "the newer schema does not accept \"b\", and the older does"
    );
}

#[test]
fn bounds_of_numbers_may_only_widen_for_readers() {
    assert_narrows(&json!({"minimum": 0}), &json!({"minimum": 1}));
    assert_narrows(&json!({"maximum": 1.5}), &json!({"maximum": 1}));
    assert_narrows(&json!({}), &json!({"exclusiveMinimum": 0}));
    assert_narrows(&json!({"minimum": 0}), &json!({"exclusiveMinimum": 0}));
    assert_narrows(&json!({"exclusiveMaximum": 9.5}), &json!({"maximum": 9}));
    assert_narrows(
        &json!({"minimum": 9_007_199_254_740_992_u64}),
        &json!({"minimum": 9_007_199_254_740_993_u64}),
    );
    assert_alike(
        &json!({"minimum": 0, "exclusiveMinimum": 0}),
        &json!({"exclusiveMinimum": 0}),
    );
    assert_alike(
        &json!({"type": "string", "minimum": 0}),
        &json!({"type": "string"}),
    );
}

#[test]
fn a_multiple_of_a_multiple_is_one() {
    assert_narrows(&json!({"multipleOf": 2}), &json!({"multipleOf": 6}));
    assert_narrows(&json!({"multipleOf": 0.01}), &json!({"multipleOf": 0.1}));
    assert_strangers(&json!({"multipleOf": 4}), &json!({"multipleOf": 6}));
    assert_alike(
        &json!({"type": "integer"}),
        &json!({"type": "integer", "multipleOf": 1}),
    );
}

#[test]
fn lengths_and_patterns_of_strings() {
    assert_narrows(&json!({"minLength": 1}), &json!({"minLength": 2}));
    assert_narrows(&json!({"maxLength": 2}), &json!({"maxLength": 1}));
    assert_narrows(&json!({}), &json!({"pattern": "^a"}));
    assert_strangers(&json!({"pattern": "^a"}), &json!({"pattern": "^ab"}));
}

#[test]
fn items_are_compared_place_by_place() {
    assert_narrows(
        &json!({"items": {"type": "number"}}),
        &json!({"items": {"type": "integer"}}),
    );
    assert_narrows(&json!({"maxItems": 3}), &json!({"maxItems": 2}));
    assert_narrows(&json!({}), &json!({"minItems": 1}));
    assert_narrows(&json!({}), &json!({"uniqueItems": true}));
    assert_alike(
        &json!({"maxItems": 1}),
        &json!({"maxItems": 1, "uniqueItems": true}),
    );
    let pair = json!({"prefixItems": [{"type": "string"}, {"type": "integer"}], "items": false});
    let longer =
        json!({"prefixItems": [{"type": "string"}, {"type": "integer"}, {}], "items": false});
    assert_narrows(&longer, &pair);
    assert_narrows(&json!({"items": {"type": ["string", "integer"]}}), &pair);
    assert_narrows(&json!({"maxItems": 2}), &pair);
    assert_eq!(
        found(
            Backward,
            &json!({"items": {"items": {}}}),
            &json!({"items": {"items": {"type": "null"}}})
        )[0]
        .0,
        "/items/items/type"
    );
    assert_strangers(
        &json!({"contains": {"const": 1}}),
        &json!({"contains": {"const": 2}}),
    );
    assert_narrows(&json!({}), &json!({"contains": {"const": 1}}));
}

#[test]
fn tuples_of_different_drafts_are_alike() {
    let draft_7 = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "items": [{"type": "string"}, {"type": "null"}], "additionalItems": false,
    });
    let draft_2020 = json!({"prefixItems": [{"type": "string"}, {"type": "null"}], "items": false});
    assert_alike(&draft_7, &draft_2020);
    let wider = json!({
        "$schema": "https://json-schema.org/draft/2019-09/schema",
        "items": [{"type": "string"}], "additionalItems": {"type": "null"},
    });
    assert_narrows(&wider, &draft_2020);
    assert_eq!(found(Backward, &wider, &draft_2020)[0].0, "/items");
    assert_eq!(found(Backward, &draft_2020, &draft_7), []);
}

#[test]
fn other_declared_properties_are_compared_with_additional_ones() {
    let map = |value: &str| json!({"additionalProperties": {"type": value}});
    assert_narrows(&map("number"), &map("integer"));
    assert_narrows(&map("number"), &object(&json!({"a": {"type": "integer"}})));
    assert_strangers(&map("string"), &map("integer"));
    // A map may have any name, so a property that is declared later meets what was sent under it.
    let mut named = map("string");
    named["properties"] = json!({"a": {"type": "integer"}});
    assert_strangers(&map("string"), &named);
}

#[test]
fn patterns_of_properties_are_equal_or_absent() {
    let of = |pattern: &str, value: &str| json!({"properties": {}, "patternProperties": {pattern: {"type": value}}});
    assert_alike(&of("^a", "string"), &of("^a", "string"));
    assert_modes(&object(&json!({})), &of("^a", "string"), false, false);
    assert_narrows(&json!({"properties": {}}), &of("^a", "string"));
    assert_strangers(&of("^a", "string"), &of("^b", "string"));
    let named = json!({"properties": {"ab": {"type": "integer"}}});
    assert_modes(&of("^a", "string"), &named, false, false);
}

#[test]
fn counts_and_names_of_properties() {
    assert_narrows(&json!({"maxProperties": 2}), &json!({"maxProperties": 1}));
    assert_narrows(&json!({}), &json!({"propertyNames": {"maxLength": 3}}));
    let required = json!({"properties": {"a": {}}, "required": ["a"]});
    let mut counted = required.clone();
    counted["minProperties"] = json!(1);
    assert_alike(&required, &counted);
}

#[test]
fn a_dependency_of_a_property_that_nobody_sent_is_compatible() {
    let without = object(&json!({"a": {}}));
    let mut with = object(&json!({"a": {}, "b": {}}));
    with["dependentRequired"] = json!({"b": ["a"]});
    assert_modes(&without, &with, true, true);
    let mut later = with.clone();
    later["dependentRequired"] = json!({"a": ["b"]});
    assert_modes(&with, &later, false, false);
    let mut schemas = with.clone();
    schemas["dependentSchemas"] = json!({"a": {"required": ["b"]}});
    assert_modes(&with, &schemas, false, true);
    assert!(
        found(Backward, &with, &schemas)[0]
            .1
            .contains("use compatibility none")
    );
}

#[test]
fn branches_of_any_of_may_be_added_for_readers() {
    let one = json!({"anyOf": [{"type": "string"}]});
    let two = json!({"anyOf": [{"type": "string"}, {"type": "integer"}]});
    assert_narrows(&two, &one);
    assert_alike(&two, &json!({"type": ["string", "integer"]}));
    assert_narrows(
        &json!({"anyOf": [{"minimum": 0}, {"maximum": 9}]}),
        &json!({"minimum": 1}),
    );
}

#[test]
fn a_producer_may_follow_several_branches_of_any_of() {
    let contact = |branch: fn(&Value) -> Value| {
        let [mail, phone] = ["mail", "phone"].map(|name| {
            let mut schema = branch(&json!({name: {"type": "string"}}));
            schema["required"] = json!([name]);
            schema
        });
        json!({"anyOf": [mail, phone]})
    };
    // `{"mail": "m", "phone": "p"}` follows both open branches, and neither closed one takes it.
    assert_modes(&contact(object), &contact(closed), false, true);
}

#[test]
fn a_tagged_variant_may_be_added_for_readers() {
    let variant = |tag: &str, property: &str| {
        let properties = json!({"kind": {"const": tag}, property: {"type": "integer"}});
        json!({"type": "object", "properties": properties, "required": ["kind"]})
    };
    let [a, b] = [("a", "x"), ("b", "y")].map(|(tag, property)| variant(tag, property));
    for keyword in ["oneOf", "anyOf"] {
        let one = json!({keyword: [a]});
        let two = json!({keyword: [a, b]});
        assert_narrows(&two, &one);
        let mut grown = two.clone();
        grown[keyword][1]["properties"]["z"] = json!({"type": "string"});
        assert_alike(&two, &grown);
    }
    assert_alike(&json!({"oneOf": [a, b]}), &json!({"oneOf": [b, a]}));
}

#[test]
fn a_branch_of_one_of_that_overlaps_is_incompatible() {
    let one = json!({"oneOf": [{"type": "integer"}]});
    let two = json!({"oneOf": [{"type": "integer"}, {"minimum": 5}]});
    // Both accept 5 in the newer schema, so it accepts 5 no more.
    assert_modes(&one, &two, false, false);
    assert_eq!(found(Backward, &one, &two)[0].0, "/oneOf");
    let without = json!({"oneOf": [{"type": "integer"}, {"type": "string"}]});
    assert_narrows(&without, &one);
}

#[test]
fn members_of_all_of_are_all_read() {
    let both = json!({"allOf": [{"minimum": 0}, {"maximum": 9}]});
    assert_alike(&both, &json!({"minimum": 0, "maximum": 9}));
    assert_narrows(&json!({"minimum": 0}), &both);
    let closed_beside =
        json!({"allOf": [closed(&json!({"a": {}})), {"properties": {"b": {"type": "string"}}}]});
    assert_alike(&closed_beside, &closed(&json!({"a": {}})));
    let split = json!({"allOf": [object(&json!({"a": {}})), object(&json!({"b": {}}))]});
    assert_modes(&split, &closed(&json!({"a": {}})), false, true);
    assert_alike(&split, &closed(&json!({"a": {}, "b": {}})));
}

#[test]
fn negations_are_equal_or_cannot_meet() {
    assert_narrows(&json!({}), &json!({"not": {"type": "null"}}));
    assert_alike(
        &json!({"type": "string"}),
        &json!({"type": "string", "not": {"type": "null"}}),
    );
    assert_strangers(
        &json!({"not": {"minimum": 1}}),
        &json!({"not": {"minimum": 2}}),
    );
}

#[test]
fn conditions_are_equal_or_absent() {
    let condition = |then: &Value| {
        json!({
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "if": {"required": ["a"]}, "then": then,
        })
    };
    let strict = condition(&json!({"required": ["b"]}));
    let plain = json!({"properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}});
    assert_narrows(&plain, &strict);
    assert_strangers(&strict, &condition(&json!({"required": ["c"]})));
    let harmless = condition(&json!({"properties": {"a": {"type": "number"}}}));
    assert_alike(&plain, &harmless);
}

#[test]
fn properties_of_conditions_are_declared() {
    let conditional = json!({
        "properties": {"a": {}}, "if": {"properties": {"c": {"const": 1}}}, "then": {"properties": {"b": {}}},
    });
    assert_modes(&conditional, &closed(&json!({"a": {}})), false, true);
    let read = json!({"properties": {"a": {}, "b": {}, "c": {}}, "additionalProperties": false});
    assert_modes(&conditional, &read, true, true);
    let one =
        json!({"properties": {"a": {}, "b": {}, "c": {"const": 1}}, "additionalProperties": false});
    assert_modes(&conditional, &one, false, true);
}

#[test]
fn unevaluated_properties_are_additional_ones_where_nothing_else_evaluates() {
    let unevaluated =
        json!({"type": "object", "properties": {"a": {}}, "unevaluatedProperties": false});
    assert_alike(&unevaluated, &closed(&json!({"a": {}})));
    let entangled = |name: &str| json!({"properties": {"a": {}}, "allOf": [{"properties": {name: {}}}], "unevaluatedProperties": false});
    assert_alike(&entangled("b"), &entangled("b"));
    assert_strangers(&entangled("b"), &entangled("c"));
    assert_modes(
        &json!({"properties": {"a": {}, "b": {}, "z": {}}}),
        &entangled("b"),
        false,
        true,
    );
    let tuple = json!({"prefixItems": [{}], "unevaluatedItems": false});
    assert_alike(&tuple, &json!({"prefixItems": [{}], "items": false}));
}

#[test]
fn annotations_are_not_compared() {
    let plain = json!({"properties": {"a": {"pattern": "^a", "contains": {}}}});
    let annotated = json!({
        "$id": "urn:x", "title": "t", "$comment": "c", "$defs": {"x": {}},
        "properties": {"a": {
            "pattern": "^a", "contains": {"description": "d"}, "default": 1, "examples": [2],
            "format": "email", "deprecated": true, "x-owner": "me",
        }},
    });
    assert_alike(&plain, &annotated);
}

#[test]
fn a_schema_that_accepts_nothing_is_read_by_all_and_reads_none() {
    assert_narrows(&json!({"type": "string"}), &json!(false));
    assert_narrows(
        &json!({"type": "string"}),
        &json!({"allOf": [{"type": "string"}, {"type": "null"}]}),
    );
    assert_narrows(&object(&json!({"a": {}})), &object(&json!({"a": false})));
}

#[test]
fn all_differences_are_on_one_line() {
    let older = object(&json!({"a": {"type": "string"}, "b": {"maximum": 1}}));
    let newer = object(&json!({"a": {"type": "null"}, "b": {"maximum": 0}}));
    let differences = check_compatible(Backward, &parse(&older), &parse(&newer)).unwrap_err();
    assert_eq!(
        differences.to_string(),
        "/properties/a/type: the newer schema accepts null, and the older allows string; \
         /properties/b/maximum: the newer schema has maximum 0, and the older allows more"
    );
}
