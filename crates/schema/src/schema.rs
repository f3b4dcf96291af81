//! A schema: parsed under limits, compiled once, and asked about payloads.

use std::fmt;

use flotilla_types::limits::{
    SCHEMA_BYTES_MAX, SCHEMA_DEPTH_MAX, SCHEMA_NODES_MAX, VIOLATIONS_MAX,
};
use serde_json::Value;

use crate::bounded_text::bounded;
use crate::draft::Draft;
use crate::pointer::join;
use crate::{SchemaError, Violation, Violations, engine, reduction};

/// Largest payload whose violations are all looked for, in bytes. The library keeps every one that it
/// finds, so of a larger payload only the first is asked for.
const LISTED_PAYLOAD_BYTES_MAX: usize = 64 << 10;

/// A JSON Schema, checked and compiled.
pub struct Schema {
    text: String,
    draft: Draft,
    reduced: Value,
    validator: jsonschema::Validator,
}

impl Schema {
    /// Parses a schema. Cheap limits come before anything that costs more than they allow.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        if text.len() > SCHEMA_BYTES_MAX {
            return Err(SchemaError::TooLarge { bytes: text.len() });
        }
        let value = parse_json(text)?;
        let mut nodes = 0;
        check_size(&value, "", 0, &mut nodes)?;
        if !value.is_object() && !value.is_boolean() {
            return Err(SchemaError::NotASchema {
                pointer: String::new(),
                message: "a schema is an object, or true or false".to_owned(),
            });
        }
        let draft = Draft::of(&value).map_err(|found| SchemaError::UnknownDraft {
            pointer: "/$schema".to_owned(),
            found: bounded(found),
        })?;
        let reduced = reduction::reduce(&value, draft)?;
        check_against_meta_schema(&value, draft)?;
        let validator =
            engine::compile(&reduced, draft).map_err(|message| SchemaError::NotASchema {
                pointer: String::new(),
                message: bounded(message),
            })?;
        Ok(Self {
            text: text.to_owned(),
            draft,
            reduced,
            validator,
        })
    }

    /// Whether a payload is one JSON value that this schema accepts. If not, what is wrong with it: of
    /// a small payload up to `VIOLATIONS_MAX` things, of a large one the first.
    pub fn validate(&self, payload: &[u8]) -> Result<(), Violations> {
        let value: Value = serde_json::from_slice(payload).map_err(|error| {
            Violations(vec![Violation {
                pointer: String::new(),
                keyword: "json".to_owned(),
                message: bounded(error),
            }])
        })?;
        if self.validator.is_valid(&value) {
            return Ok(());
        }
        let violations: Vec<_> = if payload.len() > LISTED_PAYLOAD_BYTES_MAX {
            let first = self.validator.validate(&value).err();
            first.iter().map(violation).collect()
        } else {
            let errors = self.validator.iter_errors(&value);
            errors.take(VIOLATIONS_MAX).map(|e| violation(&e)).collect()
        };
        Err(Violations(violations))
    }

    /// The schema as it was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether both are the same JSON value, however they are spaced and ordered.
    pub fn same_as(&self, other: &Self) -> bool {
        self.text == other.text
            || matches!((parse_json(&self.text), parse_json(&other.text)), (Ok(own), Ok(others)) if own == others)
    }

    pub(crate) const fn draft(&self) -> Draft {
        self.draft
    }

    /// The schema without everything that judges nothing.
    pub(crate) const fn reduced(&self) -> &Value {
        &self.reduced
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Schema").field(&self.text).finish()
    }
}

fn parse_json(text: &str) -> Result<Value, SchemaError> {
    serde_json::from_str(text).map_err(|error| {
        let message = error.to_string();
        // The parser stops at a depth of its own, far beyond ours, before the stack ends.
        if message.starts_with("recursion limit exceeded") {
            return SchemaError::TooDeep {
                pointer: String::new(),
            };
        }
        let place = message.rfind(" at line ").unwrap_or(message.len());
        SchemaError::NotJson {
            message: message[..place].to_owned(),
            line: error.line(),
            column: error.column(),
        }
    })
}

fn check_size(value: &Value, at: &str, depth: usize, nodes: &mut usize) -> Result<(), SchemaError> {
    *nodes += 1;
    if *nodes > SCHEMA_NODES_MAX {
        return Err(SchemaError::TooManyNodes);
    }
    let is_nested = value.is_array() || value.is_object();
    if is_nested && depth == SCHEMA_DEPTH_MAX {
        let pointer = at.to_owned();
        return Err(SchemaError::TooDeep { pointer });
    }
    match value {
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.try_for_each(|(index, item)| check_size(item, &join(at, index), depth + 1, nodes))
        }
        Value::Object(members) => {
            let mut members = members.iter();
            members
                .try_for_each(|(key, member)| check_size(member, &join(at, key), depth + 1, nodes))
        }
        _ => Ok(()),
    }
}

fn check_against_meta_schema(schema: &Value, draft: Draft) -> Result<(), SchemaError> {
    let checked = match draft {
        Draft::Draft7 => jsonschema::draft7::meta::validate(schema),
        Draft::Draft201909 => jsonschema::draft201909::meta::validate(schema),
        Draft::Draft202012 => jsonschema::draft202012::meta::validate(schema),
    };
    checked.map_err(|error| SchemaError::NotASchema {
        pointer: error.instance_path().to_string(),
        message: bounded(&error),
    })
}

fn violation(error: &jsonschema::ValidationError<'_>) -> Violation {
    let keyword = match error.kind() {
        // A property or an item that the schema rules out has no keyword of its own.
        jsonschema::error::ValidationErrorKind::FalseSchema => "false",
        kind => kind.keyword(),
    };
    Violation {
        pointer: error.instance_path().to_string(),
        keyword: keyword.to_owned(),
        message: bounded(error),
    }
}
