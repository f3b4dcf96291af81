//! Settings as they were written, with where each came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::error::ConfigError;
use super::setting::AnySetting;
use super::settings;

/// Names closer than this are worth suggesting.
const SIMILARITY_MIN: f64 = 0.7;

/// A value in any of the languages that settings are written in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    /// A list of tables, each with text and numbers.
    Tables(Vec<BTreeMap<String, Value>>),
    /// Anything that no setting takes, as it looked.
    Other(String),
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    File(PathBuf),
    Variable(String),
    Flag(&'static str),
}

/// Everything that was written. What comes later replaces what came before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    values: BTreeMap<&'static str, (Value, Origin)>,
    files: Vec<PathBuf>,
    warnings: Vec<String>,
}

impl Written {
    /// Sets one key, if there is such a setting.
    pub(crate) fn set(
        &mut self,
        key: &str,
        value: Value,
        origin: Origin,
    ) -> Result<(), ConfigError> {
        let Some(setting) = settings::ALL.iter().find(|setting| setting.key() == key) else {
            let nearest = nearest(key, settings::ALL.iter().map(|setting| setting.key()));
            let nearest = nearest.map(str::to_owned);
            return Err(ConfigError::UnknownKey {
                key: key.to_owned(),
                origin,
                nearest,
            });
        };
        if let Value::Tables(tables) = &value {
            check_columns(*setting, tables, &origin)?;
        }
        self.values.insert(setting.key(), (value, origin));
        Ok(())
    }

    pub(crate) fn get(&self, key: &'static str) -> Option<&(Value, Origin)> {
        self.values.get(key)
    }

    pub(crate) fn note_file(&mut self, file: PathBuf) {
        self.files.push(file);
    }

    pub(crate) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// The files that were read, and the warnings.
    pub(crate) fn take_notes(&mut self) -> (Vec<PathBuf>, Vec<String>) {
        (
            std::mem::take(&mut self.files),
            std::mem::take(&mut self.warnings),
        )
    }
}

/// Refuses a name in a list of tables that its tables do not have. A setting without tables refuses them all later.
fn check_columns(
    setting: &dyn AnySetting,
    tables: &[BTreeMap<String, Value>],
    origin: &Origin,
) -> Result<(), ConfigError> {
    let (key, columns) = (setting.key(), setting.columns());
    let mut names = tables.iter().flat_map(BTreeMap::keys);
    let unknown = names.find(|name| !columns.contains(&name.as_str()));
    match unknown.filter(|_| !columns.is_empty()) {
        None => Ok(()),
        Some(unknown) => Err(ConfigError::UnknownKey {
            key: format!("{key}.{unknown}"),
            origin: origin.clone(),
            nearest: nearest(unknown, columns.iter().copied()).map(|name| format!("{key}.{name}")),
        }),
    }
}

/// The name that is most like `text`, if any is.
pub(crate) fn nearest<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = names.map(|name| (strsim::jaro_winkler(text, name), name));
    let best = scored.max_by(|(left, _), (right, _)| left.total_cmp(right));
    best.filter(|(score, _)| *score >= SIMILARITY_MIN)
        .map(|(_, name)| name)
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, "in {}", file.display()),
            Self::Variable(name) => write!(f, "in the variable {name}"),
            Self::Flag(flag) => write!(f, "given with --{flag}"),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Integer(number) => number.fmt(f),
            Self::Tables(_) => f.write_str("a list of tables"),
            Self::Other(text) => f.write_str(text),
        }
    }
}
