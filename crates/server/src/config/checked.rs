//! Settings of which each one, by itself, is valid.

use super::error::ConfigError;
use super::kind::Kind;
use super::setting::Setting;
use super::settings;
use super::written::Written;

/// Written settings that have the right kind and lie in their range.
#[derive(Debug)]
pub(crate) struct Checked(Written);

impl Checked {
    pub(crate) fn check(written: Written) -> Result<Self, ConfigError> {
        for setting in settings::ALL {
            setting.check(&written)?;
        }
        Ok(Self(written))
    }

    /// What was written, or else the default, or else nothing.
    pub(crate) fn optional<K: Kind>(&self, setting: &Setting<K>) -> Option<K::Value> {
        setting
            .read(&self.0)
            .expect("invariant: the value was checked")
    }

    /// What was written, or else the default.
    pub(crate) fn get<K: Kind>(&self, setting: &Setting<K>) -> K::Value {
        self.optional(setting)
            .expect("invariant: the setting has a default")
    }
}
