//! The drafts of JSON Schema that are understood.

use serde_json::Value;

/// A draft of JSON Schema, in the order in which they were published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Draft {
    Draft7,
    Draft201909,
    Draft202012,
}

impl Draft {
    /// The draft that `schema` names in `$schema`, or the newest if it names none. What it names
    /// instead comes back as an error.
    pub(crate) fn of(schema: &Value) -> Result<Self, String> {
        match schema.get("$schema") {
            None => Ok(Self::Draft202012),
            Some(Value::String(uri)) => Self::from_uri(uri).ok_or_else(|| uri.clone()),
            Some(other) => Err(other.to_string()),
        }
    }

    fn from_uri(uri: &str) -> Option<Self> {
        match uri.strip_suffix('#').unwrap_or(uri) {
            "http://json-schema.org/draft-07/schema" => Some(Self::Draft7),
            "https://json-schema.org/draft/2019-09/schema" => Some(Self::Draft201909),
            "https://json-schema.org/draft/2020-12/schema" => Some(Self::Draft202012),
            _ => None,
        }
    }

    pub(crate) fn engine(self) -> jsonschema::Draft {
        match self {
            Self::Draft7 => jsonschema::Draft::Draft7,
            Self::Draft201909 => jsonschema::Draft::Draft201909,
            Self::Draft202012 => jsonschema::Draft::Draft202012,
        }
    }
}
