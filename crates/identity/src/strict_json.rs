//! JSON objects in which every member has one value.
//!
//! Two readers of an object with a duplicate member may each see another value, so what one of them
//! checked is not what the other uses. RFC 7515 (section 4) and RFC 7519 (section 4) leave it to the
//! reader to refuse such objects; here all of them are refused, at any depth.

use std::cell::RefCell;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::shown::Shown;

/// Members of an object, by name.
pub(crate) type Members = Map<String, Value>;

/// Why a text is not such an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JsonFault {
    NotAnObject,
    Duplicate(Shown),
}

/// Nesting is bounded by the parser, at 128.
pub(crate) fn parse_object(text: &[u8]) -> Result<Members, JsonFault> {
    let duplicate = RefCell::new(None);
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let strict = Strict {
        duplicate: &duplicate,
    };
    let parsed = strict
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    match (parsed, duplicate.into_inner()) {
        (Ok(Value::Object(members)), _) => Ok(members),
        (Err(_), Some(name)) => Err(JsonFault::Duplicate(name)),
        (Ok(_) | Err(_), _) => Err(JsonFault::NotAnObject),
    }
}

/// Reads a value. An error of the parser is only a text, so the name of a duplicate is put aside.
#[derive(Clone, Copy)]
struct Strict<'a> {
    duplicate: &'a RefCell<Option<Shown>>,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate members")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Members::new();
        while let Some(Name(name)) = members.next_key()? {
            if object.contains_key(&name) {
                *self.duplicate.borrow_mut() = Some(Shown::new(&name));
                return Err(de::Error::custom("a duplicate member"));
            }
            object.insert(name, members.next_value_seed(self)?);
        }
        Ok(Value::Object(object))
    }
}

#[derive(Deserialize)]
struct Name(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_read_as_it_is() {
        let text = r#"{"a":[1,-2,1.5,true,null,"x"],"b":{"c":{}}}"#;
        let members = parse_object(text.as_bytes()).unwrap();
        assert_eq!(Value::Object(members).to_string(), text);
    }

    #[test]
    fn duplicates_are_found_at_any_depth_and_however_they_are_written() {
        for text in [
            r#"{"exp":1,"exp":2}"#,
            r#"{"exp":1,"\u0065xp":2}"#,
            r#"{"a":[{"b":{"exp":1,"exp":1}}]}"#,
        ] {
            let found = parse_object(text.as_bytes());
            assert_eq!(
                found,
                Err(JsonFault::Duplicate(Shown::new("exp"))),
                "{text}"
            );
        }
    }

    #[test]
    fn everything_else_is_not_an_object() {
        let bomb = "[".repeat(100_000);
        for text in [
            "",
            "1",
            "[]",
            "null",
            "{",
            "{}x",
            "{'a':1}",
            "{\"a\":1e400}",
            "\u{feff}{}",
            &bomb,
        ] {
            assert_eq!(parse_object(text.as_bytes()), Err(JsonFault::NotAnObject));
        }
        assert_eq!(
            parse_object(b"{\"a\":\"\xff\"}"),
            Err(JsonFault::NotAnObject)
        );
    }
}
