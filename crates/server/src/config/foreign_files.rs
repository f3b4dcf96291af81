//! Settings files of two other systems, so that their users' directories work as they are.
//!
//! `config.json` is `{"server": {"host", "port"}, "storage": {"path"}}`, where the port is the text
//! protocol's. `config.yaml` has `server.grpc_port` and `server.http_port`, and often sections about
//! other programs. Both are read from the working directory or by name, a port may be a number or text,
//! and what they say beyond that is not ours: it is reported and not used.

use std::io;
use std::path::Path;

use serde_json::Value as Tree;

use super::address::HostPort;
use super::error::ConfigError;
use super::settings;
use super::written::{Origin, Value, Written};

pub(crate) fn read_json(file: &Path, written: &mut Written) -> Result<(), ConfigError> {
    let Some(text) = read_if_there(file)? else {
        return Ok(());
    };
    let tree = serde_json::from_str(&text).map_err(|error| syntax(file, "JSON", &error))?;
    let mut foreign = Foreign {
        file,
        written,
        tree,
    };
    // An empty host means every interface there. Here that has to be said with `listen.host`.
    let host = foreign
        .take("server", "host")
        .filter(|host| *host != Value::Text(String::new()));
    let port = foreign.take_port("port");
    let address = match (host, port) {
        (Some(Value::Text(host)), Some(Value::Integer(port))) => Some(join(host, port)),
        (host, port) => port.or(host),
    };
    foreign.set(settings::LISTEN_TEXT.key, address)?;
    let path = foreign.take("storage", "path");
    foreign.set(settings::NODE_DATA_DIR.key, path)?;
    foreign.finish();
    Ok(())
}

pub(crate) fn read_yaml(file: &Path, written: &mut Written) -> Result<(), ConfigError> {
    let Some(text) = read_if_there(file)? else {
        return Ok(());
    };
    let tree = serde_saphyr::from_str(&text).map_err(|error| syntax(file, "YAML", &error))?;
    let mut foreign = Foreign {
        file,
        written,
        tree,
    };
    let grpc = foreign.take_port("grpc_port");
    foreign.set(settings::LISTEN_CLIENT.key, grpc)?;
    let http = foreign.take_port("http_port");
    foreign.set(settings::LISTEN_HTTP.key, http)?;
    foreign.finish();
    Ok(())
}

/// A foreign file from which the known settings are taken one by one.
struct Foreign<'a> {
    file: &'a Path,
    written: &'a mut Written,
    tree: Tree,
}

impl Foreign<'_> {
    fn take(&mut self, section: &str, name: &str) -> Option<Value> {
        match self.tree.get_mut(section)?.as_object_mut()?.remove(name)? {
            Tree::String(text) => Some(Value::Text(text)),
            Tree::Number(number) if number.is_i64() => number.as_i64().map(Value::Integer),
            other => Some(Value::Other(other.to_string())),
        }
    }

    /// A port of the section `server`, which may also be a number in quotes.
    fn take_port(&mut self, name: &str) -> Option<Value> {
        match self.take("server", name)? {
            Value::Text(text) => match text.parse() {
                Ok(number) => Some(Value::Integer(number)),
                Err(_) => Some(Value::Other(format!("{text:?}"))),
            },
            other => Some(other),
        }
    }

    fn set(&mut self, key: &str, value: Option<Value>) -> Result<(), ConfigError> {
        match value {
            Some(value) => self
                .written
                .set(key, value, Origin::File(self.file.to_path_buf())),
            None => Ok(()),
        }
    }

    /// Says what was left in the file.
    fn finish(self) {
        let mut unused = Vec::new();
        match self.tree {
            Tree::Object(sections) => {
                for (section, content) in sections {
                    match content {
                        Tree::Object(content)
                            if matches!(section.as_str(), "server" | "storage") =>
                        {
                            unused.extend(content.keys().map(|name| format!("{section}.{name}")));
                        }
                        _ => unused.push(section),
                    }
                }
            }
            Tree::Null => {}
            _ => unused.push("all of it".to_owned()),
        }
        if !unused.is_empty() {
            let file = self.file.display();
            self.written.warn(format!(
                "{file} also says {}, which is not used",
                unused.join(", ")
            ));
        }
        self.written.note_file(self.file.to_path_buf());
    }
}

/// A host and a port as one address.
fn join(host: String, port: i64) -> Value {
    match u16::try_from(port) {
        Ok(port) => Value::Text(HostPort::new(host, port).to_string()),
        Err(_) => Value::Integer(port),
    }
}

fn read_if_there(file: &Path) -> Result<Option<String>, ConfigError> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ConfigError::Read {
            file: file.to_path_buf(),
            source,
        }),
    }
}

fn syntax(file: &Path, language: &'static str, error: &dyn std::error::Error) -> ConfigError {
    ConfigError::Syntax {
        file: file.to_path_buf(),
        language,
        detail: error.to_string(),
    }
}
