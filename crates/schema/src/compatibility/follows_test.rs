//! What follows the writer's schema is accepted by every reader that is said to read it.
//!
//! Schemas and documents are made from the same tree, so that a document has only properties that its
//! schema declares, and the judgement is checked against the validation itself.

use flotilla_types::SchemaCompatibility;
use proptest::prelude::*;
use proptest::strategy::Union;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::{Map, Value, json};

use super::check_compatible;
use crate::Schema;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn scalar() -> BoxedStrategy<Value> {
    prop_oneof![
        Just(json!(true)),
        Just(json!({})),
        Just(json!(false)),
        Just(json!({"type": "string"})),
        Just(json!({"type": "boolean"})),
        Just(json!({"type": ["integer", "null"]})),
        (0..4_u64, 3..6_u64)
            .prop_map(|(min, max)| json!({"type": "string", "minLength": min, "maxLength": max})),
        (-3..3_i64, 0..4_i64).prop_map(
            |(min, span)| json!({"type": "integer", "minimum": min, "maximum": min + span})
        ),
        (-3..3_i64).prop_map(|min| json!({"type": "number", "exclusiveMinimum": min})),
        (1..4_i64).prop_map(|of| json!({"type": "integer", "multipleOf": of})),
        Just(json!({"type": "number", "multipleOf": 0.5})),
        prop::sample::subsequence(
            vec![json!(1), json!(2), json!("x"), json!("y"), json!(null)],
            1..4
        )
        .prop_map(|values| json!({ "enum": values })),
        prop::sample::select(vec![json!("x"), json!("y"), json!(1)])
            .prop_map(|value| json!({ "const": value })),
    ]
    .boxed()
}

fn object(inner: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let properties =
        prop::collection::btree_map(prop::sample::select(&NAMES[..]), inner.clone(), 0..4);
    let additional = prop_oneof![
        4 => Just(None),
        3 => Just(Some(json!(false))),
        1 => inner.prop_map(Some),
    ];
    (properties, any::<u8>(), additional, any::<bool>())
        .prop_map(|(properties, required, additional, is_typed)| {
            let names = properties.keys().enumerate();
            let required: Vec<_> = names
                .filter(|(index, _)| required >> index & 1 == 1)
                .map(|(_, name)| *name)
                .collect();
            let mut schema = json!({ "properties": properties, "required": required });
            if is_typed {
                schema["type"] = json!("object");
            }
            if let Some(additional) = additional {
                schema["additionalProperties"] = additional;
            }
            schema
        })
        .boxed()
}

fn array(inner: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let prefix = prop::collection::vec(inner.clone(), 0..3);
    (prefix, inner, 0..3_u64, 1..4_u64, any::<bool>())
        .prop_map(|(prefix, items, min, max, is_unique)| {
            let mut schema = json!({
                "type": "array", "items": items, "minItems": min, "maxItems": min + max,
                "uniqueItems": is_unique,
            });
            if !prefix.is_empty() {
                schema["prefixItems"] = json!(prefix);
            }
            schema
        })
        .boxed()
}

/// Schemas with properties of their own beside those of their branches.
fn composed(inner: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let keyword = prop::sample::select(vec!["anyOf", "oneOf", "allOf"]);
    let branches = prop::collection::vec(inner.clone(), 1..4);
    let own = prop::option::of(object(inner.clone()));
    let condition = prop::option::weighted(0.2, (inner.clone(), inner));
    (keyword, branches, own, condition)
        .prop_map(|(keyword, branches, own, condition)| {
            let mut schema = own.unwrap_or_else(|| json!({}));
            schema[keyword] = json!(branches);
            if let Some((test, then)) = condition {
                schema["if"] = test;
                schema["then"] = then;
            }
            schema
        })
        .boxed()
}

fn schema() -> BoxedStrategy<Value> {
    scalar()
        .prop_recursive(4, 24, 4, |inner| {
            let inner = inner.boxed();
            prop_oneof![
                4 => object(inner.clone()),
                1 => array(inner.clone()),
                2 => composed(inner.clone()),
                1 => inner,
            ]
        })
        .boxed()
}

/// The schema after a small change somewhere, most of the time.
fn changed(schema: &Value) -> BoxedStrategy<Value> {
    let same = Just(schema.clone());
    let mut ways = vec![(2, same.boxed()), (1, scalar())];
    if let Value::Object(keywords) = schema {
        for (keyword, value) in keywords {
            let (keyword, whole) = (keyword.clone(), keywords.clone());
            let without = keyword.clone();
            let replaced = changed_keyword(&keyword, value).prop_map(move |value| {
                let mut schema = whole.clone();
                schema.insert(keyword.clone(), value);
                Value::Object(schema)
            });
            ways.push((6, replaced.boxed()));
            let mut removed = keywords.clone();
            removed.remove(&without);
            ways.push((1, Just(Value::Object(removed)).boxed()));
        }
    }
    Union::new_weighted(ways).boxed()
}

fn changed_keyword(keyword: &str, value: &Value) -> BoxedStrategy<Value> {
    match (keyword, value) {
        ("properties", Value::Object(properties)) => {
            let properties = properties.clone();
            let name = prop::sample::select(&NAMES[..]);
            name.prop_flat_map(move |name| {
                let properties = properties.clone();
                let property = properties.get(name).map_or_else(scalar, changed);
                property.prop_map(move |property| {
                    let mut properties = properties.clone();
                    properties.insert(name.to_owned(), property);
                    Value::Object(properties)
                })
            })
            .boxed()
        }
        ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(branches)) => {
            let (branches, longer) = (branches.clone(), branches.clone());
            let one = (0..branches.len()).prop_flat_map(move |index| {
                let branches = branches.clone();
                changed(&branches[index]).prop_map(move |branch| {
                    let mut branches = branches.clone();
                    branches[index] = branch;
                    json!(branches)
                })
            });
            let more = scalar().prop_map(move |branch| {
                let mut branches = longer.clone();
                branches.push(branch);
                json!(branches)
            });
            prop_oneof![one, more].boxed()
        }
        ("items" | "additionalProperties" | "if" | "then", value) => changed(value),
        ("required", _) => prop::sample::subsequence(NAMES.to_vec(), 0..3)
            .prop_map(|names| json!(names))
            .boxed(),
        ("minimum" | "maximum" | "exclusiveMinimum", Value::Number(number)) => {
            let number = number.as_i64().unwrap_or(0);
            (-1..2_i64).prop_map(move |by| json!(number + by)).boxed()
        }
        ("minLength" | "maxLength" | "minItems" | "maxItems", Value::Number(number)) => {
            let number = number.as_u64().unwrap_or(0);
            (0..3_u64)
                .prop_map(move |by| json!((number + by).saturating_sub(1)))
                .boxed()
        }
        _ => Just(value.clone()).boxed(),
    }
}

/// Documents that use what the schema declares. Not all are valid: the validation sorts them out.
fn document(schema: &Value) -> BoxedStrategy<Value> {
    let Value::Object(keywords) = schema else {
        return value();
    };
    let mut ways = Vec::new();
    if let Some(values) = keywords.get("enum").and_then(Value::as_array) {
        ways.push(prop::sample::select(values.clone()).boxed());
    }
    if let Some(value) = keywords.get("const") {
        ways.push(Just(value.clone()).boxed());
    }
    if keywords.contains_key("properties") || keywords.keys().any(|key| is_composed(key)) {
        ways.push(members(schema));
        ways.push(members(schema));
    }
    if keywords.get("type") == Some(&json!("array")) {
        ways.push(items(keywords));
        ways.push(items(keywords));
    }
    for keyword in ["anyOf", "oneOf", "allOf"] {
        let branches = keywords.get(keyword).and_then(Value::as_array);
        ways.extend(branches.into_iter().flatten().map(document));
    }
    if ways.is_empty() || !keywords.contains_key("properties") {
        ways.push(value());
    }
    Union::new(ways).boxed()
}

fn is_composed(keyword: &str) -> bool {
    ["anyOf", "oneOf", "allOf"].contains(&keyword)
}

fn value() -> BoxedStrategy<Value> {
    prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        (-5..6_i64).prop_map(|value| json!(value)),
        (-10..11_i64).prop_map(|halves| json!(halves as f64 / 4.0)),
        "[xy]{0,6}".prop_map(|text| json!(text)),
        Just(json!([])),
    ]
    .boxed()
}

/// Objects that follow the schema, one branch of each `oneOf`, and some branches of each `anyOf`.
fn members(schema: &Value) -> BoxedStrategy<Value> {
    let parts = followed(schema);
    parts
        .prop_flat_map(|parts| {
            let mut declared: Map<String, Value> = Map::new();
            let mut any_name = None;
            for part in parts {
                for (name, property) in part["properties"].as_object().into_iter().flatten() {
                    let both = declared.get(name).map_or_else(
                        || property.clone(),
                        |other| json!({"anyOf": [other, property]}),
                    );
                    declared.insert(name.clone(), both);
                }
                let additional = &part["additionalProperties"];
                if additional
                    .as_object()
                    .is_some_and(|keywords| !keywords.is_empty())
                {
                    any_name = Some(additional.clone());
                }
            }
            if let Some(additional) = any_name {
                for name in ["a", "d", "e"] {
                    declared.entry(name).or_insert_with(|| additional.clone());
                }
            }
            let members = declared.iter().map(|(name, property)| {
                let name = name.clone();
                prop::option::weighted(0.8, document(property))
                    .prop_map(move |value| value.map(|value| (name.clone(), value)))
            });
            members.collect::<Vec<_>>()
        })
        .prop_map(|members| Value::Object(members.into_iter().flatten().collect()))
        .boxed()
}

/// The schemas that an object which follows this one follows at once.
fn followed(schema: &Value) -> BoxedStrategy<Vec<Value>> {
    let mut choices = vec![Just(vec![schema.clone()]).boxed()];
    let branches = |keyword: &str| schema[keyword].as_array().cloned().unwrap_or_default();
    for member in branches("allOf") {
        choices.push(followed(&member));
    }
    for conditional in ["then", "else"] {
        if schema.get(conditional).is_some() {
            choices.push(followed(&schema[conditional]));
        }
    }
    let one_of = branches("oneOf");
    if !one_of.is_empty() {
        let one = prop::sample::select(one_of);
        choices.push(one.prop_flat_map(|branch| followed(&branch)).boxed());
    }
    let any_of = branches("anyOf");
    if !any_of.is_empty() {
        let size = any_of.len();
        let some = prop::sample::subsequence(any_of, 1..=size);
        let all = some.prop_flat_map(|some| some.iter().map(followed).collect::<Vec<_>>());
        choices.push(all.prop_map(|parts| parts.concat()).boxed());
    }
    choices.prop_map(|parts| parts.concat()).boxed()
}

fn items(keywords: &Map<String, Value>) -> BoxedStrategy<Value> {
    let prefix = keywords.get("prefixItems").and_then(Value::as_array);
    let prefix: Vec<_> = prefix.into_iter().flatten().map(document).collect();
    let rest = keywords.get("items").map_or_else(value, document);
    let length = 0..prefix.len() + 4;
    (prefix, prop::collection::vec(rest, 0..4), length)
        .prop_map(|(prefix, rest, length)| {
            let items = prefix.into_iter().chain(rest).take(length);
            items.collect::<Vec<_>>().into()
        })
        .boxed()
}

/// Whether a document follows all the schemas, which apply to it at once. The generator may choose a
/// branch that the document is not valid under, and so declare what no producer sends.
fn follows(schemas: &[Value], document: &Value) -> bool {
    let all = schemas.iter().fold(vec![Vec::new()], |all, schema| {
        both(&all, &selections(schema))
    });
    all.iter().any(|parts| {
        let payload = document.to_string();
        let mut valid = parts.iter();
        valid.all(|part| parse(part).validate(payload.as_bytes()).is_ok())
            && match document {
                Value::Object(members) => {
                    let mut members = members.iter();
                    is_free(parts) || members.all(|(name, value)| declares(parts, name, value))
                }
                Value::Array(items) => items.iter().enumerate().all(|(index, item)| {
                    let places = parts.iter().filter_map(|part| {
                        part["prefixItems"].get(index).or_else(|| part.get("items"))
                    });
                    follows(&places.cloned().collect::<Vec<_>>(), item)
                }),
                _ => true,
            }
    })
}

/// The ways to choose branches of a schema: which schemas apply at once.
fn selections(schema: &Value) -> Vec<Vec<Value>> {
    let branches = |keyword: &str| {
        let branches = schema.get(keyword).and_then(Value::as_array);
        branches
            .into_iter()
            .flatten()
            .map(selections)
            .collect::<Vec<_>>()
    };
    let mut all = vec![vec![schema.clone()]];
    for member in branches("allOf") {
        all = both(&all, &member);
    }
    if schema.get("oneOf").is_some() {
        all = both(&all, &branches("oneOf").concat());
    }
    if schema.get("anyOf").is_some() {
        let mut some: Vec<Vec<Value>> = Vec::new();
        for branch in branches("anyOf") {
            some.extend(both(&some, &branch));
            some.extend(branch);
        }
        all = both(&all, &some);
    }
    if let Some(then) = schema.get("then") {
        all.extend(both(&all, &selections(then)));
    }
    all
}

fn both(left: &[Vec<Value>], right: &[Vec<Value>]) -> Vec<Vec<Value>> {
    let pairs = left.iter().flat_map(|l| right.iter().map(move |r| (l, r)));
    pairs
        .map(|(l, r)| [l.clone(), r.clone()].concat())
        .collect()
}

fn is_free(parts: &[Value]) -> bool {
    !parts.iter().any(|part| {
        let additional = part.get("additionalProperties");
        let is_trivial = [None, Some(&json!(true)), Some(&json!({}))].contains(&additional);
        part.get("properties").is_some() || !is_trivial
    })
}

fn declares(parts: &[Value], name: &str, value: &Value) -> bool {
    let declared = parts.iter().filter_map(|part| {
        let additional = part.get("additionalProperties");
        let additional =
            additional.filter(|schema| schema.as_object().is_some_and(|s| !s.is_empty()));
        part["properties"].get(name).or(additional)
    });
    let declared: Vec<_> = declared.cloned().collect();
    !declared.is_empty() && follows(&declared, value)
}

fn parse(schema: &Value) -> Schema {
    Schema::parse(&schema.to_string()).unwrap()
}

fn runner(cases: u32) -> TestRunner {
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(cases);
    TestRunner::new(Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    })
}

#[test]
fn a_reader_accepts_whatever_follows_a_schema_that_it_reads() {
    let pair = schema().prop_flat_map(|older| (Just(older.clone()), changed(&older)));
    let pair = pair.prop_flat_map(|(older, newer)| {
        let documents = prop::collection::vec(document(&older), 24);
        (Just(older), Just(newer), documents)
    });
    let mut runner = runner(2_000);
    let outcome = runner.run(&pair, |(older, newer, documents)| {
        let (writer, reader) = (parse(&older), parse(&newer));
        if check_compatible(SchemaCompatibility::Backward, &writer, &reader).is_err() {
            return Ok(());
        }
        for document in documents {
            let payload = document.to_string();
            if writer.validate(payload.as_bytes()).is_ok()
                && let Err(found) = reader.validate(payload.as_bytes())
                && follows(std::slice::from_ref(&older), &document)
            {
                let what =
                    format!("{older}\nis not read by\n{newer}\nbecause of {payload}: {found}");
                return Err(TestCaseError::fail(what));
            }
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}\n{runner}"));
}

#[test]
fn every_schema_is_compatible_with_itself() {
    let mut runner = runner(500);
    let outcome = runner.run(&schema(), |schema| {
        let (one, other) = (parse(&schema), parse(&schema));
        prop_assert!(check_compatible(SchemaCompatibility::Full, &one, &other).is_ok());
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}\n{runner}"));
}

#[test]
fn an_optional_property_may_join_any_open_object() {
    let opened = object(schema()).prop_map(|mut schema| {
        let keywords = schema.as_object_mut().unwrap();
        keywords.remove("additionalProperties");
        schema
    });
    let mut runner = runner(500);
    let outcome = runner.run(&(opened, schema()), |(older, property)| {
        let mut newer = older.clone();
        newer["properties"]["new"] = property;
        let found = check_compatible(SchemaCompatibility::Full, &parse(&older), &parse(&newer));
        // Forward, the older schema ignores the property; backward, nobody sent it.
        prop_assert!(found.is_ok(), "{:?}", found);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}\n{runner}"));
}
