//! `uniqueItems` in the time that sorting takes, whatever the items are.
//!
//! The library hashes items, and its hash of nested arrays depends on their leaves alone. Items like
//! `[]`, `[[]]` and `[[],[]]` all collide, so a payload could be made that takes quadratic time.

use std::cmp::Ordering;

use jsonschema::{Keyword, ValidationError};
use serde_json::{Map, Value};

use crate::numbers;

struct UniqueItems;

/// Makes the check for `uniqueItems: required`.
pub(crate) fn compile<'a>(
    _schema: &'a Map<String, Value>,
    required: &'a Value,
    _location: jsonschema::paths::Location,
) -> Result<Box<dyn for<'instance> Keyword<'instance>>, ValidationError<'a>> {
    if required == &Value::Bool(true) {
        Ok(Box::new(UniqueItems))
    } else {
        Ok(Box::new(AnyItems))
    }
}

struct AnyItems;

impl<'i> Keyword<'i> for AnyItems {
    fn validate(&self, _instance: &'i Value) -> Result<(), ValidationError<'i>> {
        Ok(())
    }

    fn is_valid(&self, _instance: &'i Value) -> bool {
        true
    }
}

impl<'i> Keyword<'i> for UniqueItems {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        if Keyword::is_valid(self, instance) {
            Ok(())
        } else {
            Err(ValidationError::custom("two items are equal"))
        }
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        let Value::Array(items) = instance else {
            return true;
        };
        let mut items: Vec<&Value> = items.iter().collect();
        items.sort_unstable_by(|left, right| order(left, right));
        items
            .windows(2)
            .all(|pair| order(pair[0], pair[1]) != Ordering::Equal)
    }
}

/// A total order of JSON values in which numbers of one value are equal, however they are written.
fn order(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (Value::Number(left), Value::Number(right)) => numbers::order(left, right),
        (Value::String(left), Value::String(right)) => left.cmp(right),
        (Value::Array(left), Value::Array(right)) => {
            let sizes = left.len().cmp(&right.len());
            sizes.then_with(|| first_difference(left.iter().zip(right), |(l, r)| order(l, r)))
        }
        (Value::Object(left), Value::Object(right)) => order_of_objects(left, right),
        _ => kind(left).cmp(&kind(right)),
    }
}

fn order_of_objects(left: &Map<String, Value>, right: &Map<String, Value>) -> Ordering {
    left.len().cmp(&right.len()).then_with(|| {
        // Sorted, because the map keeps the order of the payload where a build asks for that.
        let (left_keys, right_keys) = (sorted_keys(left), sorted_keys(right));
        let keys = left_keys.cmp(&right_keys);
        keys.then_with(|| first_difference(left_keys, |key| order(&left[key], &right[key])))
    })
}

fn sorted_keys(object: &Map<String, Value>) -> Vec<&String> {
    let mut keys: Vec<_> = object.keys().collect();
    keys.sort_unstable();
    keys
}

fn first_difference<T>(
    pairs: impl IntoIterator<Item = T>,
    compare: impl Fn(T) -> Ordering,
) -> Ordering {
    pairs
        .into_iter()
        .map(compare)
        .find(|ordering| *ordering != Ordering::Equal)
        .unwrap_or(Ordering::Equal)
}

const fn kind(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}
