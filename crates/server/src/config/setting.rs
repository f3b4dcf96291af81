//! One setting: its name, what it takes, what it does.

use super::error::ConfigError;
use super::kind::Kind;
use super::written::{Value, Written};

/// A setting that takes values of kind `K`.
pub(crate) struct Setting<K> {
    /// `section.name`, as in the file.
    pub(crate) key: &'static str,
    pub(crate) kind: K,
    /// As an operator would write it. `None` where the default depends on other things; the
    /// description says on what.
    pub(crate) default: Option<&'static str>,
    /// The effect, in sentences.
    pub(crate) doc: &'static str,
}

/// A setting of any kind, as far as lists of settings need to know it.
pub(crate) trait AnySetting: Sync {
    fn key(&self) -> &'static str;
    fn doc(&self) -> &'static str;
    /// What it takes, in words: unit and range.
    fn takes(&self) -> String;
    fn default_text(&self) -> Option<&'static str>;
    /// The names in its tables, if it takes tables.
    fn columns(&self) -> &'static [&'static str];
    /// Refuses a written value that is of the wrong kind or out of range.
    fn check(&self, written: &Written) -> Result<(), ConfigError>;
}

impl<K: Kind> Setting<K> {
    /// What was written, or else the default.
    pub(crate) fn read(&self, written: &Written) -> Result<Option<K::Value>, ConfigError> {
        let Some((value, origin)) = written.get(self.key) else {
            let default = self.default.map(|text| {
                let value = self.kind.read(&Value::Text(text.to_owned()));
                value.expect("invariant: a default is a valid value")
            });
            return Ok(default);
        };
        match self.kind.read(value) {
            Some(value) => Ok(Some(value)),
            None => Err(ConfigError::Value {
                key: self.key,
                found: value.to_string(),
                origin: origin.clone(),
                expected: format!("it takes {}", self.kind.takes()),
            }),
        }
    }
}

impl<K: Kind + Sync> AnySetting for Setting<K> {
    fn key(&self) -> &'static str {
        self.key
    }

    fn doc(&self) -> &'static str {
        self.doc
    }

    fn takes(&self) -> String {
        self.kind.takes()
    }

    fn default_text(&self) -> Option<&'static str> {
        self.default
    }

    fn columns(&self) -> &'static [&'static str] {
        self.kind.columns()
    }

    fn check(&self, written: &Written) -> Result<(), ConfigError> {
        self.read(written).map(drop)
    }
}

impl dyn AnySetting {
    /// The variable that sets it.
    pub(crate) fn variable(&self) -> String {
        format!(
            "FLOTILLA_{}",
            self.key().replace('.', "_").to_ascii_uppercase()
        )
    }
}
