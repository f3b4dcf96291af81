//! `export`: the topics of a cluster as a topics file that changes nothing when it is applied.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use flotilla_client::{ExportedManifest, TopicSpec};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::json_text;
use crate::output::OutputFormat;

/// The whole text of the file.
pub(super) fn write(exported: &ExportedManifest, format: OutputFormat) -> String {
    match format {
        OutputFormat::Table => write_yaml(exported),
        OutputFormat::Json => format!("{}\n", to_json(exported)),
    }
}

/// Writes a file whole. One that is there stays as it is, unless it may be overwritten.
pub(super) fn save(path: &Path, text: &str, overwrite: bool) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true);
    match overwrite {
        true => options.create(true).truncate(true),
        false => options.create_new(true),
    };
    let saved = options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    saved.map_err(|source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::Exists {
            name: path.display().to_string(),
        },
        _ => Failure::Save {
            name: path.display().to_string(),
            source,
        },
    })
}

fn write_yaml(exported: &ExportedManifest) -> String {
    let mut text = String::new();
    let written = write_file(exported, &mut text);
    written.expect("invariant: a string takes all text");
    text
}

fn write_file(exported: &ExportedManifest, text: &mut String) -> std::fmt::Result {
    let ExportedManifest {
        manifest,
        etag,
        cluster_id,
    } = exported;
    writeln!(text, "# etag: {etag}")?;
    writeln!(
        text,
        "# Without this line, other clusters take this file as well."
    )?;
    writeln!(text, "cluster: {cluster_id:?}")?;
    if manifest.topics.is_empty() {
        return writeln!(text, "topics: []");
    }
    writeln!(text, "topics:")?;
    let mut topics = manifest.topics.iter();
    topics.try_for_each(|topic| write_topic(topic, text))
}

/// Names and values are quoted, since a topic may be called `1.0` or `true`.
fn write_topic(topic: &TopicSpec, text: &mut String) -> std::fmt::Result {
    writeln!(text, "  - name: {:?}", topic.name.as_str())?;
    if let Some(partitions) = topic.partitions {
        writeln!(text, "    partitions: {partitions}")?;
    }
    if let Some(replicas) = topic.replication_factor {
        writeln!(text, "    replication_factor: {replicas}")?;
    }
    for (key, value) in &topic.config {
        writeln!(text, "    {key}: {}", scalar(value))?;
    }
    if let Some(schema) = &topic.schema {
        writeln!(text, "    schema: |")?;
        for line in json_text::lay_out(schema).lines() {
            writeln!(text, "      {line}")?;
        }
    }
    Ok(())
}

/// A number, a truth value or a plain word as it is; anything else in quotes.
fn scalar(value: &str) -> String {
    let is_number = value.parse::<i64>().is_ok();
    let is_word = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_lowercase());
    match is_number || (is_word && value != "null") {
        true => value.to_owned(),
        false => json!(value.replace("${", "$${")).to_string(),
    }
}

fn to_json(exported: &ExportedManifest) -> Value {
    let topics = exported.manifest.topics.iter().map(|topic| {
        let mut entry = Map::new();
        entry.insert("name".to_owned(), topic.name.as_str().into());
        entry.extend(
            topic
                .partitions
                .map(|count| ("partitions".to_owned(), count.into())),
        );
        let replicas = topic.replication_factor;
        entry.extend(replicas.map(|count| ("replication_factor".to_owned(), count.into())));
        let config = topic.config.iter();
        entry.extend(config.map(|(key, value)| (key.clone(), value.replace("${", "$${").into())));
        let schema = topic.schema.as_ref();
        // As text, so that its numbers stay as they are.
        entry.extend(schema.map(|schema| ("schema".to_owned(), schema.as_str().into())));
        Value::Object(entry)
    });
    let topics: Vec<_> = topics.collect();
    json!({ "cluster": exported.cluster_id, "topics": topics })
}

#[cfg(test)]
mod tests {
    use flotilla_client::{Manifest, TopicName};

    use super::*;
    use crate::manifests::topics_file::{Surroundings, TopicsFile};

    const SCHEMA: &str = "{\"type\":\"object\",\"maximum\":1.50,\"title\":\"a: \u{2028}#${X}\"}";

    fn exported() -> ExportedManifest {
        let topic = |name: &str| TopicSpec::new(TopicName::parse(name).unwrap());
        let config = [
            ("retention_ms", "-1"),
            ("visibility", "public"),
            ("protected", "true"),
        ];
        let full = TopicSpec {
            partitions: Some(3),
            replication_factor: Some(1),
            config: config
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            schema: Some(SCHEMA.to_owned()),
            ..topic("integrations.lifecycle")
        };
        ExportedManifest {
            manifest: Manifest {
                topics: vec![full, topic("true"), topic("1.0")],
            },
            etag: "7".to_owned(),
            cluster_id: "0123456789abcdef0123456789abcdef".to_owned(),
        }
    }

    fn read(text: &str) -> TopicsFile {
        let around = Surroundings {
            name: "f",
            directory: Path::new(""),
            variables: &|_| None,
        };
        TopicsFile::parse(text, &around).unwrap()
    }

    #[test]
    fn an_exported_file_reads_as_what_was_exported() {
        for format in [OutputFormat::Table, OutputFormat::Json] {
            let text = write(&exported(), format);
            let file = read(&text);
            assert_eq!(file.cluster.unwrap().to_string(), exported().cluster_id);
            let topics = file.manifest.topics.into_iter().map(|topic| TopicSpec {
                schema: topic.schema.map(|schema| json_text::compact(&schema)),
                ..topic
            });
            let mut expected = exported().manifest.topics;
            expected[0].schema = Some(json_text::compact(SCHEMA));
            assert_eq!(topics.collect::<Vec<_>>(), expected, "{text}");
        }
    }

    #[test]
    fn an_empty_cluster_has_an_empty_list() {
        let mut nothing = exported();
        nothing.manifest.topics.clear();
        let text = write(&nothing, OutputFormat::Table);
        assert_eq!(read(&text).manifest, Manifest::default());
    }

    #[test]
    fn odd_values_are_quoted() {
        assert_eq!(scalar("-1"), "-1");
        assert_eq!(scalar("backward"), "backward");
        assert_eq!(scalar("null"), "\"null\"");
        assert_eq!(scalar("${A}: x"), "\"$${A}: x\"");
    }
}
