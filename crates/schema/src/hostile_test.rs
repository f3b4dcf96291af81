//! Schemas and payloads that are made to cost as much as they can.

use std::time::Instant;

use flotilla_types::SchemaCompatibility;
use flotilla_types::limits::{SCHEMA_UNEVALUATED_DEPTH_MAX, VIOLATIONS_MAX};
use serde_json::{Value, json};

use crate::{Schema, SchemaError, check_compatible};

fn parse(schema: &Value) -> Schema {
    Schema::parse(&schema.to_string()).unwrap()
}

fn repeated(item: &str, bytes: usize) -> String {
    let count = bytes / (item.len() + 1);
    format!("[{}]", vec![item; count].join(","))
}

/// Different trees of empty arrays, `count` of them.
fn trees(count: usize) -> Vec<String> {
    let mut trees = vec!["[]".to_owned()];
    let mut at = 0;
    while trees.len() < count {
        trees.push(format!("[{}]", trees[at]));
        trees.push(format!("[[],{}]", trees[at]));
        at += 1;
    }
    trees.truncate(count);
    trees
}

fn around_one_another(depth: usize) -> Value {
    (0..depth).fold(
        json!({"properties": {"a": {}}}),
        |inner, _| json!({"anyOf": [inner], "unevaluatedProperties": false}),
    )
}

#[test]
fn deep_payloads_are_refused_and_do_not_end_the_stack() {
    let anything = parse(&json!(true));
    for bracket in ["[", "{\"a\":"] {
        let found = anything
            .validate(bracket.repeat(500_000).as_bytes())
            .unwrap_err();
        assert_eq!(found.0[0].keyword, "json");
    }
}

#[test]
fn items_whose_leaves_are_alike_are_told_apart_in_time() {
    let payload = format!("[{}]", trees(20_000).join(","));
    assert!(
        parse(&json!({"uniqueItems": true}))
            .validate(payload.as_bytes())
            .is_ok()
    );
}

#[test]
fn schemas_that_look_at_what_others_left_are_not_nested_deeply() {
    parse(&around_one_another(SCHEMA_UNEVALUATED_DEPTH_MAX));
    let refused = Schema::parse(&around_one_another(SCHEMA_UNEVALUATED_DEPTH_MAX + 1).to_string());
    assert!(matches!(
        refused,
        Err(SchemaError::TooManyUnevaluated { .. })
    ));
}

#[test]
fn choices_of_choices_are_given_up_as_too_complex() {
    let choices = |keyword: &str, offset: usize| {
        let choice = |i: usize| {
            let branches =
                (0..8).map(|j| json!({"minimum": i * 100 + j + offset, "maxLength": i * j}));
            json!({keyword: branches.collect::<Vec<_>>()})
        };
        parse(&json!({ "allOf": (0..40).map(choice).collect::<Vec<_>>() }))
    };
    for keyword in ["anyOf", "oneOf"] {
        let mode = SchemaCompatibility::Full;
        let found = check_compatible(mode, &choices(keyword, 0), &choices(keyword, 1)).unwrap_err();
        assert!(found.0[0].message.contains("too complex"), "{found}");
    }
}

#[test]
fn no_more_incompatibilities_than_the_limit_are_listed() {
    let numbers = |minimum: usize| {
        let properties = (0..100).map(|i| (format!("p{i}"), json!({ "minimum": minimum })));
        parse(&json!({ "properties": properties.collect::<serde_json::Map<_, _>>() }))
    };
    let mode = SchemaCompatibility::Backward;
    let found = check_compatible(mode, &numbers(0), &numbers(1)).unwrap_err();
    assert_eq!(found.0.len(), VIOLATIONS_MAX);
}

fn time(what: &str, run: impl FnOnce() -> bool) {
    let start = Instant::now();
    let outcome = run();
    let ms = start.elapsed().as_secs_f64() * 1e3;
    println!("{what:50} {ms:8.1} ms ({outcome})");
}

fn time_validation(what: &str, schema: &Value, payload: &str) {
    let schema = parse(schema);
    time(what, || schema.validate(payload.as_bytes()).is_ok());
}

const MIB: usize = 1 << 20;

#[test]
#[ignore = "measures, and asserts nothing"]
fn measure_large_payloads() {
    let unique = json!({"uniqueItems": true});
    let collisions = format!("[{}]", trees(MIB / 30).join(","));
    time_validation("uniqueItems, trees", &unique, &collisions);
    let integers: Vec<u64> = (0..50_000).map(|i| u64::MAX - i).collect();
    time_validation(
        "uniqueItems, integers",
        &unique,
        &json!(integers).to_string(),
    );
    let objects: Vec<_> = (0..40_000).map(|i| json!({"a": 1, "b": i})).collect();
    time_validation("uniqueItems, objects", &unique, &json!(objects).to_string());
    let strings = json!({"items": {"type": "string"}});
    time_validation("wrong items of 1 MiB", &strings, &repeated("1", MIB));
    time_validation("wrong items of 64 KiB", &strings, &repeated("1", 65_000));
    time_validation(
        "objects of 8 MiB",
        &json!(true),
        &repeated("{\"\":0}", 8 * MIB),
    );
    let multiples = json!({"items": {"multipleOf": 1e-9}});
    time_validation(
        "multipleOf 1e-9, 1 MiB",
        &multiples,
        &repeated("1e300", MIB),
    );
    let listed = json!({"items": {"enum": (0..9_990).collect::<Vec<_>>()}});
    time_validation(
        "enum of 9,990 x 200,000 items",
        &listed,
        &repeated("9989", MIB),
    );
    let many = json!({"items": {"allOf": vec![json!({"minimum": 0}); 4_990]}});
    time_validation("allOf of 4,990 x 500,000 items", &many, &repeated("1", MIB));
}

#[test]
#[ignore = "measures, and asserts nothing"]
fn measure_patterns() {
    let text = json!("aaab".repeat(MIB / 4)).to_string();
    for pattern in [
        "^\\p{L}{1,10}$",
        "\\p{L}{1,10}\\d",
        "[a-z]{1,990}\\d",
        "(a|b|ab){1,990}\\d",
        "(a|b)*a(a|b){500}c",
        "^(\\w|\\d)*x$",
        "(a?){300}a{300}$",
        "(.*)(.*)(.*)z$",
    ] {
        time_validation(
            &format!("pattern {pattern}"),
            &json!({ "pattern": pattern }),
            &text,
        );
    }
    let heavy = (0..8).map(|i| json!({"pattern": format!("^{i}\\p{{L}}{{1,10}}")}));
    let heavy = json!({ "allOf": heavy.collect::<Vec<_>>() }).to_string();
    time("parse 8 heavy patterns", || Schema::parse(&heavy).is_ok());
    let light = (0..200).map(|i| json!({"pattern": format!("^{i}[a-z]+$")}));
    let light = json!({ "allOf": light.collect::<Vec<_>>() }).to_string();
    time("parse 200 light patterns", || Schema::parse(&light).is_ok());
}

#[test]
#[ignore = "measures, and asserts nothing"]
fn measure_nested_schemas() {
    let members = (0..40_000).map(|i| (format!("k{i}"), 1.into()));
    let wide = json!(members.collect::<serde_json::Map<_, _>>()).to_string();
    for depth in 1..=SCHEMA_UNEVALUATED_DEPTH_MAX {
        let schema = around_one_another(depth);
        time_validation(&format!("unevaluated, {depth} deep"), &schema, &wide);
    }
    let conditions = (0..7).fold(
        json!({"properties": {"a": {"type": "string"}}}),
        |inner, _| json!({"if": inner, "then": inner, "else": inner}),
    );
    let objects = repeated("{\"a\":1}", 10_000);
    time_validation(
        "if of if, 7 deep",
        &json!({ "items": conditions }),
        &objects,
    );
    let choices = (0..14).fold(
        json!({"type": "string"}),
        |inner, _| json!({"oneOf": [inner]}),
    );
    time_validation(
        "oneOf of oneOf, 14 deep",
        &json!({ "items": choices }),
        &repeated("1", 60_000),
    );
}

#[test]
#[ignore = "measures, and asserts nothing"]
fn measure_large_schemas() {
    let object = |i| json!({"type": "object", "properties": {"a": {"minimum": i}}});
    let properties = (0..1_600).map(|i| (format!("p{i}"), object(i)));
    let older = json!({ "properties": properties.collect::<serde_json::Map<_, _>>() }).to_string();
    let newer = older.replace("\"p1599\"", "\"q\"");
    time("parse 10,000 values", || Schema::parse(&older).is_ok());
    let [older, newer] = [older, newer].map(|text| Schema::parse(&text).unwrap());
    let mode = SchemaCompatibility::Full;
    time("compare 10,000 values", || {
        check_compatible(mode, &older, &newer).is_ok()
    });
}
