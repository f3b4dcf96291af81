//! Schemas and their versions, as tables and as JSON.

use chrono::{DateTime, SecondsFormat};
use flotilla_client::{CheckedSchema, RegisteredSchema, SchemaVersion, Timestamp, TopicName};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::Output;
use crate::failure::Failure;
use crate::json_text;
use crate::output::{OutputFormat, Table};

#[derive(Serialize)]
struct VersionsJson<'a> {
    topic: &'a str,
    versions: Vec<VersionJson>,
}

#[derive(Serialize)]
struct VersionJson {
    version: u32,
    created_at: String,
    /// As it was written; text if it is not JSON, which no cluster sends.
    schema: Box<RawValue>,
}

pub(super) fn registered(
    topic: &TopicName,
    registered: RegisteredSchema,
    format: OutputFormat,
    output: &mut Output,
) -> Result<(), Failure> {
    let RegisteredSchema { version, created } = registered;
    match (format, created) {
        (OutputFormat::Table, true) => output.line(format_args!(
            "the schema of topic {topic} has version {version} now"
        )),
        (OutputFormat::Table, false) => output.line(format_args!(
            "version {version} of the schema of topic {topic} is the same already"
        )),
        (OutputFormat::Json, _) => output.json(&json!({
            "topic": topic.as_str(),
            "version": version,
            "created": created,
        })),
    }
}

pub(super) fn checked(
    topic: &TopicName,
    checked: CheckedSchema,
    format: OutputFormat,
    output: &mut Output,
) -> Result<(), Failure> {
    let CheckedSchema { version, is_new } = checked;
    match (format, is_new) {
        (OutputFormat::Table, true) => output.line(format_args!(
            "topic {topic} would take it, as version {version}"
        )),
        (OutputFormat::Table, false) => output.line(format_args!(
            "it is version {version} of topic {topic} already"
        )),
        (OutputFormat::Json, _) => output.json(&json!({
            "topic": topic.as_str(),
            "version": version,
            "is_new": is_new,
        })),
    }
}

pub(super) fn versions(
    topic: &TopicName,
    versions: &[SchemaVersion],
    format: OutputFormat,
    output: &mut Output,
) -> Result<(), Failure> {
    match format {
        OutputFormat::Table => {
            let mut table = Table::new(["VERSION", "CREATED AT", "BYTES"]);
            for version in versions {
                table.row([
                    version.version.to_string(),
                    written_time(version.created_at),
                    version.schema.len().to_string(),
                ]);
            }
            output.line(table)
        }
        OutputFormat::Json => output.json(&VersionsJson {
            topic: topic.as_str(),
            versions: versions.iter().map(version_json).collect(),
        }),
    }
}

/// The schema itself, which other commands take as a file.
pub(super) fn schema(
    topic: &TopicName,
    version: &SchemaVersion,
    format: OutputFormat,
    output: &mut Output,
) -> Result<(), Failure> {
    match format {
        OutputFormat::Table => output.line(json_text::lay_out(&version.schema)),
        OutputFormat::Json => output.json(&VersionsJson {
            topic: topic.as_str(),
            versions: vec![version_json(version)],
        }),
    }
}

fn version_json(version: &SchemaVersion) -> VersionJson {
    let schema = RawValue::from_string(json_text::compact(&version.schema));
    let schema = schema.or_else(|_| serde_json::value::to_raw_value(&version.schema));
    VersionJson {
        version: version.version,
        created_at: written_time(version.created_at),
        schema: schema.expect("invariant: text can be written as JSON"),
    }
}

/// RFC 3339 in UTC, or milliseconds where the calendar ends.
fn written_time(time: Timestamp) -> String {
    match DateTime::from_timestamp_millis(time.as_millis()) {
        Some(time) => time.to_rfc3339_opts(SecondsFormat::Millis, true),
        None => time.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Captured;

    fn orders() -> TopicName {
        TopicName::parse("orders").unwrap()
    }

    fn two() -> Vec<SchemaVersion> {
        let version = |version, schema: &str| SchemaVersion {
            version,
            schema: schema.to_owned(),
            created_at: Timestamp::from_millis(1_000),
        };
        vec![version(1, "true"), version(2, "{\"b\":1.50,\n\"a\":{}}")]
    }

    #[test]
    fn versions_are_listed_with_their_age_and_size() {
        let (mut output, captured) = Captured::new();
        versions(&orders(), &two(), OutputFormat::Table, &mut output).unwrap();
        assert_eq!(
            captured.data(),
            "VERSION  CREATED AT                BYTES\n\
             \x20     1  1970-01-01T00:00:01.000Z      4\n\
             \x20     2  1970-01-01T00:00:01.000Z     18\n"
        );
    }

    #[test]
    fn a_program_gets_the_schemas_as_they_were_written() {
        let (mut output, captured) = Captured::new();
        versions(&orders(), &two(), OutputFormat::Json, &mut output).unwrap();
        let told = captured.data();
        assert_eq!(told.lines().count(), 1);
        assert!(told.contains(r#""schema":{"b":1.50,"a":{}}"#), "{told}");
    }

    #[test]
    fn one_version_is_printed_as_a_file_that_can_be_edited() {
        let (mut output, captured) = Captured::new();
        schema(&orders(), &two()[1], OutputFormat::Table, &mut output).unwrap();
        assert_eq!(captured.data(), "{\n  \"b\": 1.50,\n  \"a\": {}\n}\n");
    }

    #[test]
    fn a_schema_that_changes_nothing_is_told_from_a_new_version() {
        let (mut output, captured) = Captured::new();
        for created in [true, false] {
            let known = RegisteredSchema {
                version: 2,
                created,
            };
            registered(&orders(), known, OutputFormat::Table, &mut output).unwrap();
        }
        let told = captured.data();
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(lines[0], "the schema of topic orders has version 2 now");
        assert!(lines[1].ends_with("is the same already"), "{told}");
    }
}
