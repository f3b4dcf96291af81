//! What an operator decides about a node.
//!
//! ```text
//!   defaults < files < environment < flags        later wins
//!        └──────► Written ──► Checked ──► ServerConfig
//!                 as given    each value   decided: addresses, cluster id,
//!                             is valid     what the crates below need
//! ```
//!
//! [`settings`] is the one table of everything that can be set: name, range, default, effect. Files,
//! variables, flags, `--print-config` and the reference are all read from it. A name that is not in
//! the table is an error that says which one is nearest.

mod address;
mod auth;
mod checked;
mod environment;
mod error;
mod foreign_files;
mod kind;
mod print;
mod resolved;
mod setting;
pub(crate) mod settings;
mod tls;
mod toml_file;
mod written;

#[cfg(test)]
mod config_test;

pub(crate) use address::HostPort;
pub(crate) use error::ConfigError;
pub(crate) use print::{to_json, to_toml};
pub(crate) use resolved::{
    ConnectionLimits, ListenConfig, LogConfig, LogFormat, ServerConfig, StopConfig,
};
pub(crate) use written::{Origin, Value, Written};

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use checked::Checked;

/// Where settings come from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    /// The file that was asked for. Without one, the working directory is looked at.
    pub(crate) file: Option<PathBuf>,
    pub(crate) working_directory: PathBuf,
    /// Variables, name and value.
    pub(crate) environment: Vec<(String, String)>,
    /// Key, value and the flag that gave it.
    pub(crate) flags: Vec<(String, String, &'static str)>,
}

/// A node's settings, and what the operator should be told about how they came about.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: ServerConfig,
    /// Files that were read.
    pub(crate) files: Vec<PathBuf>,
    /// What was found and not used.
    pub(crate) warnings: Vec<String>,
}

/// A settings file that is read without being asked for.
const DEFAULT_FILE: &str = "flotilla.toml";

/// Reads all sources and decides.
pub(crate) fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    let mut written = Written::default();
    match &sources.file {
        Some(file) => read_file(file, &mut written)?,
        None => read_working_directory(&sources.working_directory, &mut written)?,
    }
    environment::read(&sources.environment, &mut written)?;
    for (key, value, flag) in &sources.flags {
        written.set(key, Value::Text(value.clone()), Origin::Flag(flag))?;
    }
    let (files, warnings) = written.take_notes();
    let checked = Checked::check(written)?;
    let config = ServerConfig::resolve(&checked)?;
    Ok(Loaded {
        config,
        files,
        warnings,
    })
}

/// Reads a file that was asked for by name: its ending says what it is.
fn read_file(file: &Path, written: &mut Written) -> Result<(), ConfigError> {
    let ending = file.extension().and_then(OsStr::to_str);
    match ending {
        // Their readers pass over a file that is not there.
        Some("json" | "yaml" | "yml") if !file.is_file() => toml_file::read(file, written),
        Some("json") => foreign_files::read_json(file, written),
        Some("yaml" | "yml") => foreign_files::read_yaml(file, written),
        _ => toml_file::read(file, written),
    }
}

fn read_working_directory(directory: &Path, written: &mut Written) -> Result<(), ConfigError> {
    foreign_files::read_json(&directory.join("config.json"), written)?;
    foreign_files::read_yaml(&directory.join("config.yaml"), written)?;
    let own = directory.join(DEFAULT_FILE);
    if own.is_file() {
        toml_file::read(&own, written)?;
    }
    Ok(())
}
