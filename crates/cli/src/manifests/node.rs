//! YAML, of which JSON is a part, as a tree in which everything knows its place.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Number;
use serde_saphyr::{Location, Spanned};

use super::fault::{Faults, Place};

/// Deeper than any schema that is taken, and shallow enough for the stack.
const DEPTH_MAX: usize = 64;

/// One value with its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text {
        text: String,
        /// It came out of an expression as a whole, so it may as well be a number or a truth value.
        is_expanded: bool,
    },
    List(Vec<Node>),
    /// In the order of the file.
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) place: Place,
    pub(super) name: String,
}

impl Node {
    /// Reads one document.
    pub(super) fn parse(text: &str) -> Result<Self, Faults> {
        let options = serde_saphyr::options! {
            // A country is not a truth value.
            strict_booleans: true,
            reject_unsupported_tags: true,
            with_snippet: false,
            budget: serde_saphyr::budget! { max_depth: DEPTH_MAX },
        };
        serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let mut faults = Faults::default();
            let place = error.location().map_or(START, place_of);
            // The message may tell the place as well; it is told once.
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or(&message);
            faults.add(place, message);
            faults
        })
    }

    /// What it is, for a complaint that something else was expected.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text { .. } => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// A single value as text, as the configuration of topics takes it.
    pub(super) fn to_scalar(&self) -> Option<String> {
        match &self.value {
            Value::Bool(truth) => Some(truth.to_string()),
            Value::Number(number) => Some(number.to_string()),
            Value::Text { text, .. } => Some(text.clone()),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text { text, .. } => Some(text),
            _ => None,
        }
    }

    pub(super) fn to_u32(&self) -> Option<u32> {
        match &self.value {
            Value::Number(number) => number.as_u64()?.try_into().ok(),
            Value::Text {
                text,
                is_expanded: true,
            } => text.parse().ok(),
            _ => None,
        }
    }
}

const START: Place = Place { line: 1, column: 1 };

fn place_of(location: Location) -> Place {
    Place {
        line: location.line(),
        column: location.column(),
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self {
            place: place_of(spanned.referenced),
            value: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Value, E> {
        let number = Number::from_f64(number);
        let number = number.ok_or_else(|| E::custom("this is not a number that JSON has"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text {
            text: text.to_owned(),
            is_expanded: false,
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            let key = Key {
                place: place_of(key.referenced),
                name: key.value,
            };
            map.push((key, entries.next_value()?));
        }
        Ok(Value::Map(map))
    }
}

/// As JSON, in the order of the file.
impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.value {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(truth) => serializer.serialize_bool(*truth),
            Value::Number(number) => number.serialize(serializer),
            Value::Text { text, .. } => serializer.serialize_str(text),
            Value::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                items
                    .iter()
                    .try_for_each(|item| list.serialize_element(item))?;
                list.end()
            }
            Value::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(&key.name, value)?;
                }
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        serde_json::to_string(&Node::parse(text).unwrap()).unwrap()
    }

    fn fault(text: &str) -> String {
        let failures = Node::parse(text).unwrap_err().into_failures("f");
        failures[0].message()
    }

    #[test]
    fn yaml_and_json_make_the_same_tree() {
        let yaml = "b: [1, -2, 1.5]\na:\n  x: 'yes'\n  y: no\n  z: true\n  n:\n";
        let tree = r#"{"b":[1,-2,1.5],"a":{"x":"yes","y":"no","z":true,"n":null}}"#;
        assert_eq!(json(yaml), tree);
        assert_eq!(json(tree), tree);
    }

    #[test]
    fn every_value_knows_its_place() {
        let Value::Map(entries) = Node::parse("a: 1\nbb:\n  - x\n").unwrap().value else {
            panic!("it is a mapping");
        };
        let (key, node) = &entries[1];
        assert_eq!(key.place, Place { line: 2, column: 1 });
        let Value::List(items) = &node.value else {
            panic!("it is a list");
        };
        assert_eq!(items[0].place, Place { line: 3, column: 5 });
    }

    #[test]
    fn a_fault_of_the_language_has_a_place() {
        assert!(
            fault("a: 1\nb: [1\n").starts_with("f:"),
            "{}",
            fault("a: [1")
        );
        let twice = fault("a: 1\na: 2\n");
        assert!(twice.starts_with("f:2:1: "), "{twice}");
        assert!(!twice.contains(" at line "), "{twice}");
    }

    #[test]
    fn depth_has_a_bound() {
        assert!(Node::parse(&"- ".repeat(DEPTH_MAX - 1)).is_ok());
        for deep in ["- ".repeat(100_000), "[".repeat(100_000)] {
            assert!(Node::parse(&deep).is_err());
        }
    }

    #[test]
    fn aliases_do_not_multiply_without_end() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let below = format!("*a{}, ", level - 1).repeat(10);
            bomb.push_str(&format!("a{level}: &a{level} [{below}]\n"));
        }
        assert!(Node::parse(&bomb).is_err());
    }
}
