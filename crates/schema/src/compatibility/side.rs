//! Keywords that lie differently in the drafts, read alike.

use std::rc::Rc;

use serde_json::{Map, Value};

use crate::draft::Draft;
use crate::pointer::join;

pub(super) type Keywords = Map<String, Value>;

/// A schema inside another, and its pointer.
pub(super) type Placed<'a> = (&'a Value, Rc<str>);

/// Keywords that apply more schemas to the same value. What they evaluate is hard to tell.
const IN_PLACE: [&str; 8] = [
    "allOf",
    "anyOf",
    "dependencies",
    "dependentSchemas",
    "if",
    "not",
    "oneOf",
    "contains",
];

pub(super) fn is_anything(schema: &Value) -> bool {
    match schema {
        Value::Bool(accepts) => *accepts,
        Value::Object(keywords) => keywords.is_empty(),
        _ => false,
    }
}

pub(super) fn place(at: &str, path: &[&str]) -> Rc<str> {
    let pointer = path.iter().fold(at.to_owned(), |at, key| join(&at, key));
    Rc::from(pointer)
}

/// The schemas in an object under `keyword`.
pub(super) fn map<'a>(
    schema: &'a Keywords,
    keyword: &str,
) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let entries = schema.get(keyword).and_then(Value::as_object);
    entries.into_iter().flatten()
}

/// The values in an array under `keyword`.
pub(super) fn list<'a>(schema: &'a Keywords, keyword: &str) -> &'a [Value] {
    let items = schema.get(keyword).and_then(Value::as_array);
    items.map_or(&[], Vec::as_slice)
}

pub(super) fn names<'a>(schema: &'a Keywords, keyword: &str) -> impl Iterator<Item = &'a str> {
    list(schema, keyword).iter().filter_map(Value::as_str)
}

pub(super) fn property<'a>(schema: &'a Keywords, name: &str) -> Option<&'a Value> {
    schema.get("properties")?.get(name)
}

pub(super) fn has_patterns(schema: &Keywords) -> bool {
    map(schema, "patternProperties").next().is_some()
}

/// What a property must be that neither `properties` nor `patternProperties` has, and the keyword that
/// says so. Without keywords that evaluate more, `unevaluatedProperties` says the same.
pub(super) fn additional(schema: &Keywords) -> Option<(&Value, &'static str)> {
    if let Some(additional) = schema.get("additionalProperties") {
        return Some((additional, "additionalProperties"));
    }
    let unevaluated = schema.get("unevaluatedProperties")?;
    is_simple(schema).then_some((unevaluated, "unevaluatedProperties"))
}

/// The schemas of the first items, one each, and the keyword that has them.
pub(super) fn prefix(schema: &Keywords, draft: Draft) -> (&[Value], &'static str) {
    if draft == Draft::Draft202012 {
        (list(schema, "prefixItems"), "prefixItems")
    } else {
        (list(schema, "items"), "items")
    }
}

/// The schema of all items after the first ones.
pub(super) fn rest(schema: &Keywords, draft: Draft) -> Option<(&Value, &'static str)> {
    let keyword = match schema.get("items") {
        Some(Value::Array(_)) if draft < Draft::Draft202012 => "additionalItems",
        _ => "items",
    };
    if let Some(rest) = schema.get(keyword) {
        return Some((rest, keyword));
    }
    let unevaluated = schema.get("unevaluatedItems")?;
    is_simple(schema).then_some((unevaluated, "unevaluatedItems"))
}

/// Whether nothing but the keywords of one schema evaluates its properties and items.
fn is_simple(schema: &Keywords) -> bool {
    !IN_PLACE.iter().any(|keyword| schema.contains_key(*keyword))
}

/// What `unevaluatedProperties` or `unevaluatedItems` says that no other keyword does.
pub(super) fn entangled(schema: &Keywords) -> Option<&'static str> {
    let keywords = ["unevaluatedProperties", "unevaluatedItems"];
    keywords.into_iter().find(|keyword| {
        let judges = schema
            .get(*keyword)
            .is_some_and(|value| !is_anything(value));
        judges && !is_simple(schema)
    })
}
