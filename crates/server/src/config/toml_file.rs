//! Settings from a TOML file.

use std::path::Path;

use super::error::ConfigError;
use super::written::{Origin, Value, Written};

pub(crate) fn read(file: &Path, written: &mut Written) -> Result<(), ConfigError> {
    let text = std::fs::read_to_string(file).map_err(|source| ConfigError::Read {
        file: file.to_path_buf(),
        source,
    })?;
    let table: toml::Table =
        text.parse()
            .map_err(|error: toml::de::Error| ConfigError::Syntax {
                file: file.to_path_buf(),
                language: "TOML",
                detail: error.to_string().trim_end().to_owned(),
            })?;
    let origin = Origin::File(file.to_path_buf());
    for (section, content) in table {
        match content {
            toml::Value::Table(settings) => {
                for (name, value) in settings {
                    let key = format!("{section}.{name}");
                    written.set(&key, from_toml(value), origin.clone())?;
                }
            }
            // No setting stands outside a section, so this names the nearest one.
            value => written.set(&section, from_toml(value), origin.clone())?,
        }
    }
    written.note_file(file.to_path_buf());
    Ok(())
}

fn from_toml(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::Text(text),
        toml::Value::Integer(number) => Value::Integer(number),
        toml::Value::Array(items) if items.iter().all(toml::Value::is_table) => {
            Value::Tables(items.into_iter().map(from_table).collect())
        }
        other => Value::Other(other.to_string()),
    }
}

fn from_table(value: toml::Value) -> std::collections::BTreeMap<String, Value> {
    match value {
        toml::Value::Table(table) => table
            .into_iter()
            .map(|(name, value)| (name, from_toml(value)))
            .collect(),
        other => unreachable!("invariant: {other} was seen to be a table"),
    }
}
