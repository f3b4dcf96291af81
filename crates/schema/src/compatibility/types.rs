//! Sets of JSON types.

use serde_json::{Map, Value};

/// Which types a value may have. Numbers are split in two, so that `integer` is a part of `number`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TypeSet(u8);

impl TypeSet {
    pub(super) const NULL: Self = Self(1);
    pub(super) const BOOLEAN: Self = Self(1 << 1);
    pub(super) const OBJECT: Self = Self(1 << 2);
    pub(super) const ARRAY: Self = Self(1 << 3);
    pub(super) const STRING: Self = Self(1 << 4);
    pub(super) const INTEGER: Self = Self(1 << 5);
    const FRACTION: Self = Self(1 << 6);
    pub(super) const NUMBER: Self = Self(Self::INTEGER.0 | Self::FRACTION.0);
    pub(super) const ANY: Self = Self((1 << 7) - 1);
    const SINGLE: [Self; 7] = [
        Self::NULL,
        Self::BOOLEAN,
        Self::OBJECT,
        Self::ARRAY,
        Self::STRING,
        Self::INTEGER,
        Self::FRACTION,
    ];

    /// What the keyword `type` of a schema allows.
    pub(super) fn of_schema(schema: &Map<String, Value>) -> Self {
        match schema.get("type") {
            None => Self::ANY,
            Some(Value::Array(names)) => {
                let sets = names.iter().map(Self::of_name);
                sets.fold(Self(0), |all, set| Self(all.0 | set.0))
            }
            Some(name) => Self::of_name(name),
        }
    }

    pub(super) fn of_value(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Object(_) => Self::OBJECT,
            Value::Array(_) => Self::ARRAY,
            Value::String(_) => Self::STRING,
            Value::Number(number) => {
                let is_whole = number.as_f64().is_some_and(|double| double.fract() == 0.0);
                if is_whole || number.is_u64() || number.is_i64() {
                    Self::INTEGER
                } else {
                    Self::FRACTION
                }
            }
        }
    }

    fn of_name(name: &Value) -> Self {
        match name.as_str() {
            Some("null") => Self::NULL,
            Some("boolean") => Self::BOOLEAN,
            Some("object") => Self::OBJECT,
            Some("array") => Self::ARRAY,
            Some("string") => Self::STRING,
            Some("integer") => Self::INTEGER,
            Some("number") => Self::NUMBER,
            _ => Self(0),
        }
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) const fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// Each type by itself.
    pub(super) fn singles(self) -> impl Iterator<Item = Self> {
        Self::SINGLE
            .into_iter()
            .filter(move |single| self.meets(*single))
    }

    /// The types by their names in a schema.
    pub(super) fn names(self) -> String {
        let named = [
            (Self::NULL, "null"),
            (Self::BOOLEAN, "boolean"),
            (Self::OBJECT, "object"),
            (Self::ARRAY, "array"),
            (Self::STRING, "string"),
        ];
        let mut names: Vec<_> = named
            .into_iter()
            .filter(|(set, _)| self.meets(*set))
            .map(|(_, name)| name)
            .collect();
        if self.meets(Self::FRACTION) {
            names.push("number");
        } else if self.meets(Self::INTEGER) {
            names.push("integer");
        }
        names.join(", ")
    }
}
