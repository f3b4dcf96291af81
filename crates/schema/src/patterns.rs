//! The regular expressions of a schema, which run on every payload and must not eat the node.

use std::collections::BTreeSet;

use flotilla_types::limits::{
    SCHEMA_PATTERN_BYTES_MAX, SCHEMA_PATTERN_PROGRAM_BYTES_MAX, SCHEMA_PATTERNS_MAX,
    SCHEMA_PROGRAMS_BYTES_MAX,
};
use regex::RegexBuilder;

use crate::SchemaError;
use crate::bounded_text::bounded;
use crate::engine;

/// Size of the smallest program that is told apart, in bytes.
const SMALLEST_PROGRAM_BYTES: usize = 4 << 10;

/// What the regular expressions of one schema have taken so far.
#[derive(Default)]
pub(crate) struct Patterns {
    seen: BTreeSet<String>,
    programs_bytes: usize,
}

impl Patterns {
    /// Counts the regular expression at `pointer`, and says why it cannot be used.
    pub(crate) fn admit(&mut self, pattern: &str, pointer: &str) -> Result<(), SchemaError> {
        let pointer = pointer.to_owned();
        if pattern.len() > SCHEMA_PATTERN_BYTES_MAX {
            return Err(SchemaError::PatternTooLong { pointer });
        }
        if self.seen.contains(pattern) {
            return Ok(());
        }
        if self.seen.len() == SCHEMA_PATTERNS_MAX {
            return Err(SchemaError::TooManyPatterns { pointer });
        }
        match program_bytes(pattern) {
            Some(bytes) => self.programs_bytes += bytes,
            None => {
                let message = fault(pattern);
                return Err(SchemaError::PatternRefused { pointer, message });
            }
        }
        if self.programs_bytes > SCHEMA_PROGRAMS_BYTES_MAX {
            return Err(SchemaError::PatternsTooLarge { pointer });
        }
        self.seen.insert(pattern.to_owned());
        Ok(())
    }
}

/// The bound that the program of `pattern` stays within. The engine does not tell the size, so the
/// bounds are tried.
fn program_bytes(pattern: &str) -> Option<usize> {
    let bounds = std::iter::successors(Some(SMALLEST_PROGRAM_BYTES), |bytes| Some(bytes * 4));
    bounds
        .take_while(|bytes| *bytes <= SCHEMA_PATTERN_PROGRAM_BYTES_MAX)
        .find(|bytes| engine::pattern_compiles(pattern, *bytes))
}

/// Why `pattern` does not compile.
fn fault(pattern: &str) -> String {
    let compiled = RegexBuilder::new(pattern)
        .size_limit(SCHEMA_PATTERN_PROGRAM_BYTES_MAX)
        .build();
    match compiled {
        Err(regex::Error::CompiledTooBig(_)) => format!(
            "it compiles to more than {SCHEMA_PATTERN_PROGRAM_BYTES_MAX} bytes: \
             use smaller counts in {{}} and fewer classes"
        ),
        Err(error) => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            let reason = last.strip_prefix("error: ").unwrap_or(last);
            format!(
                "{}; it has to run in linear time, without look-around and back-references",
                bounded(reason)
            )
        }
        Ok(_) => "it is not a regular expression of ECMA 262".to_owned(),
    }
}
