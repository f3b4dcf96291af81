//! JSON Schemas: parsing under limits, validation of payloads, and whether versions are compatible.
//!
//! A schema stands alone: it refers to no other, nothing is ever fetched, and its regular expressions
//! run in linear time. `format` and the `content` keywords say something about a value and judge
//! nothing. Everything here is pure: no I/O, clocks, topics or connections. This is the only crate
//! that knows the library `jsonschema`.
//!
//! Validating costs up to the values in the schema times the values in the payload. The caller bounds
//! the payload, and keeps the work off threads that others wait for.

mod bounded_text;
mod compatibility;
mod draft;
mod engine;
mod error;
mod keywords;
mod numbers;
mod patterns;
mod pointer;
mod reduction;
mod schema;
mod unique_items;
mod violation;

#[cfg(test)]
mod hostile_test;
#[cfg(test)]
mod parse_test;
#[cfg(test)]
mod validate_test;

pub use compatibility::{Incompatibilities, Incompatibility, check_compatible};
pub use error::SchemaError;
pub use schema::Schema;
pub use violation::{Violation, Violations};
