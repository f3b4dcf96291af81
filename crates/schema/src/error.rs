//! Why a text is not a schema that can be used.

use flotilla_types::limits::{
    SCHEMA_BYTES_MAX, SCHEMA_DEPTH_MAX, SCHEMA_NODES_MAX, SCHEMA_PATTERN_BYTES_MAX,
    SCHEMA_PATTERNS_MAX, SCHEMA_UNEVALUATED_DEPTH_MAX,
};

use crate::pointer::Shown;

/// Why a schema is refused: what is wrong, where in the schema, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    #[error("the schema has {bytes} bytes, at most {SCHEMA_BYTES_MAX} are taken: make it smaller")]
    TooLarge { bytes: usize },
    #[error("the schema is not JSON: {message} at line {line} column {column}")]
    NotJson {
        message: String,
        line: usize,
        column: usize,
    },
    #[error(
        "the schema is nested more than {SCHEMA_DEPTH_MAX} deep at {}: make it flatter",
        Shown(pointer)
    )]
    TooDeep { pointer: String },
    #[error("the schema has more than {SCHEMA_NODES_MAX} JSON values in it: make it smaller")]
    TooManyNodes,
    #[error(
        "{found} is not a draft that is understood, at {}: use http://json-schema.org/draft-07/schema#, \
         https://json-schema.org/draft/2019-09/schema or https://json-schema.org/draft/2020-12/schema",
        Shown(pointer)
    )]
    UnknownDraft { pointer: String, found: String },
    #[error(
        "{keyword} at {} refers to another schema, and references are not followed: \
         put what it refers to in its place",
        Shown(pointer)
    )]
    Reference { pointer: String, keyword: String },
    #[error(
        "the regular expression at {} is longer than {SCHEMA_PATTERN_BYTES_MAX} bytes: shorten it",
        Shown(pointer)
    )]
    PatternTooLong { pointer: String },
    #[error("the regular expression at {} is refused: {message}", Shown(pointer))]
    PatternRefused { pointer: String, message: String },
    #[error(
        "the schema has more than {SCHEMA_PATTERNS_MAX} regular expressions at {}: use fewer",
        Shown(pointer)
    )]
    TooManyPatterns { pointer: String },
    #[error(
        "the regular expressions of the schema are too large together at {}: \
         use smaller counts in {{}} and fewer classes",
        Shown(pointer)
    )]
    PatternsTooLarge { pointer: String },
    #[error(
        "more than {SCHEMA_UNEVALUATED_DEPTH_MAX} schemas with unevaluatedProperties or \
         unevaluatedItems are around one another at {}: use additionalProperties or items inside",
        Shown(pointer)
    )]
    TooManyUnevaluated { pointer: String },
    #[error("not a JSON Schema at {}: {message}", Shown(pointer))]
    NotASchema { pointer: String, message: String },
}
