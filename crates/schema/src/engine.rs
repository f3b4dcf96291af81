//! How schemas are compiled: nothing is fetched, no format is asserted, and regular expressions run
//! in linear time.

use flotilla_types::limits::SCHEMA_PATTERN_PROGRAM_BYTES_MAX;
use jsonschema::{PatternOptions, ValidationOptions, Validator};
use serde_json::Value;

use crate::draft::Draft;
use crate::unique_items;

/// Memory of one regular expression while it runs, in bytes. What does not fit is computed again,
/// which is slower and still linear.
const PATTERN_CACHE_BYTES_MAX: usize = 256 << 10;

/// Compiles a reduced schema, or a part of one.
pub(crate) fn compile(reduced: &Value, draft: Draft) -> Result<Validator, String> {
    let options = options(SCHEMA_PATTERN_PROGRAM_BYTES_MAX).with_draft(draft.engine());
    options
        .with_keyword("uniqueItems", unique_items::compile)
        .build(reduced)
        .map_err(|error| error.to_string())
}

/// Whether `pattern` compiles to a program of at most `program_bytes_max`.
pub(crate) fn pattern_compiles(pattern: &str, program_bytes_max: usize) -> bool {
    let schema = serde_json::json!({ "pattern": pattern });
    options(program_bytes_max).build(&schema).is_ok()
}

fn options(program_bytes_max: usize) -> ValidationOptions<'static> {
    let patterns = PatternOptions::regex()
        .size_limit(program_bytes_max)
        .dfa_size_limit(PATTERN_CACHE_BYTES_MAX);
    jsonschema::options()
        .offline()
        .should_validate_formats(false)
        .with_pattern_options(patterns)
}
