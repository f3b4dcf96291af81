//! Whether a new version of a schema is compatible with the one before it.
//!
//! *The reader reads the writer* when everything that a producer sends which follows the writer's
//! schema is accepted by the reader's. A producer that follows a schema sends what the schema accepts,
//! and in objects only the properties that it **declares**: by name, by pattern, or by an
//! `additionalProperties` that says more than `true`. It follows one branch of a `oneOf`, and one or
//! more of an `anyOf`. An object of which no property is declared at all is free: anything may be in it.
//!
//! | mode | reads | written by |
//! |---|---|---|
//! | `backward` | the newer schema | producers of the older |
//! | `forward` | the older schema | producers of the newer |
//! | `full` | both | both |
//! | `none` | nothing is compared | |
//!
//! | part of the reader's schema | holds when the writer's |
//! |---|---|
//! | `type`, `enum`, `const` | values are among the reader's |
//! | bounds, lengths, counts | are as narrow, or narrower |
//! | `multipleOf` | is a multiple of the reader's |
//! | `pattern`, `patternProperties`, `contains` | is equal |
//! | `required` | requires the same |
//! | `properties` | property of that name is read, if it can be sent |
//! | `additionalProperties` | other declared properties are read by it |
//! | `items` and their like | items at the same places are read |
//! | `allOf` | is read by each member |
//! | `anyOf` | is read by some branch, for every branch of its own |
//! | `oneOf` | the same, and nothing in it can be valid under a second branch |
//! | `not`, `if`, `dependent…`, `unevaluated…` | is equal, or cannot meet it |
//!
//! These rules differ on purpose from those of registries that take an open schema to mean that
//! producers send arbitrary properties. There, declaring an optional property breaks compatibility
//! unless the schema was closed. Here it is compatible both ways, because nobody sent it before.
//!
//! The judgement is sound and not complete: what it cannot show counts as incompatible. Parts that are
//! equal are always compatible, and annotations are not compared.

mod arrays;
mod choices;
mod conditions;
mod finite;
mod judge;
mod objects;
mod side;
mod types;
mod values;
mod writer;

#[cfg(test)]
mod follows_test;
#[cfg(test)]
mod rules_test;

use std::fmt;

use flotilla_types::SchemaCompatibility;
use flotilla_types::limits::VIOLATIONS_MAX;

use crate::Schema;
use crate::pointer::Shown;
use crate::violation::write_list;
use judge::{Judge, Reads};

/// One reason why two schemas are not compatible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incompatibility {
    /// JSON pointer into the newer schema, or into the older one for what the newer has no more.
    pub pointer: String,
    /// What is accepted by one and not by the other.
    pub message: String,
}

/// Why two schemas are not compatible, at most `VIOLATIONS_MAX` reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incompatibilities(pub Vec<Incompatibility>);

impl fmt::Display for Incompatibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", Shown(&self.pointer), self.message)
    }
}

impl fmt::Display for Incompatibilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_list(f, &self.0)
    }
}

impl std::error::Error for Incompatibilities {}

/// Whether `newer` may follow `older`.
pub fn check_compatible(
    mode: SchemaCompatibility,
    older: &Schema,
    newer: &Schema,
) -> Result<(), Incompatibilities> {
    let (backward, forward) = match mode {
        SchemaCompatibility::None => (false, false),
        SchemaCompatibility::Backward => (true, false),
        SchemaCompatibility::Forward => (false, true),
        SchemaCompatibility::Full => (true, true),
    };
    let mut found = Vec::new();
    if backward {
        found.extend(Judge::compare(newer, older, Reads::Older));
    }
    if forward {
        found.extend(Judge::compare(older, newer, Reads::Newer));
    }
    found.dedup();
    found.truncate(VIOLATIONS_MAX);
    if found.is_empty() {
        Ok(())
    } else {
        Err(Incompatibilities(found))
    }
}
