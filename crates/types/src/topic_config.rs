//! What a topic can be told: the keys of `--config`, their ranges and their defaults.

use crate::SchemaCompatibility;
use crate::limits::{
    DEDUPLICATION_WINDOW_MS_DEFAULT, DEDUPLICATION_WINDOW_MS_MAX, RECORD_BYTES_DEFAULT,
    RECORD_BYTES_MAX,
};

/// Configuration of one topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicConfig {
    /// `deduplication_window_ms`: how long a record's message id is remembered, so that another record
    /// with the same one is not stored. 0 remembers none. Milliseconds, 0 to 86,400,000; default
    /// 600,000 (10 minutes).
    pub deduplication_window_ms: u32,
    /// `max_record_bytes`: the largest record that is taken. Bytes, 1 to 8,388,608; default 1,048,576.
    pub max_record_bytes: u32,
    /// `protected`: the topic cannot be deleted. `true` or `false`; default `false`.
    pub is_protected: bool,
    /// `retention_bytes`: a partition larger than this loses its oldest segments. `None` (written
    /// `-1`) sets no bound. Bytes, from 1,048,576; default none.
    pub retention_bytes: Option<u64>,
    /// `retention_ms`: a record that was appended longer ago than this is not served any more. `None`
    /// (written `-1`) keeps for ever. Milliseconds, from 1,000; default 604,800,000 (7 days).
    pub retention_ms: Option<u64>,
    /// `schema_compatibility`: what is asked of a new version of the topic's schema. `none`,
    /// `backward`, `forward` or `full`; default `backward`.
    pub schema_compatibility: SchemaCompatibility,
    /// `visibility`: `private` or `public`; default `private`.
    pub visibility: Visibility,
}

/// For whom a topic is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Visibility {
    /// For those who know one another: it may have a schema.
    #[default]
    Private,
    /// For everybody: it takes no records before it has a schema.
    Public,
}

impl Visibility {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Public => "public",
        }
    }
}

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicConfigError {
    #[error("{key:?} is not a topic configuration key: use one of {}", TopicConfig::KEYS.join(", "))]
    UnknownKey { key: String },
    #[error("{value:?} is not a value of {key}: it takes {expected}")]
    Value {
        key: &'static str,
        value: String,
        expected: &'static str,
    },
}

const DEDUPLICATION_WINDOW_MS: &str = "deduplication_window_ms";
const MAX_RECORD_BYTES: &str = "max_record_bytes";
const PROTECTED: &str = "protected";
const RETENTION_BYTES: &str = "retention_bytes";
const RETENTION_MS: &str = "retention_ms";
const SCHEMA_COMPATIBILITY: &str = "schema_compatibility";
const VISIBILITY: &str = "visibility";
const RETENTION_MS_MIN: u64 = 1_000;
const RETENTION_BYTES_MIN: u64 = 1 << 20;

impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            deduplication_window_ms: DEDUPLICATION_WINDOW_MS_DEFAULT,
            max_record_bytes: RECORD_BYTES_DEFAULT as u32,
            is_protected: false,
            retention_bytes: None,
            retention_ms: Some(7 * 24 * 60 * 60 * 1_000),
            schema_compatibility: SchemaCompatibility::default(),
            visibility: Visibility::default(),
        }
    }
}

impl TopicConfig {
    pub const KEYS: [&'static str; 7] = [
        DEDUPLICATION_WINDOW_MS,
        MAX_RECORD_BYTES,
        PROTECTED,
        RETENTION_BYTES,
        RETENTION_MS,
        SCHEMA_COMPATIBILITY,
        VISIBILITY,
    ];

    /// Sets one key from its text.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), TopicConfigError> {
        let refuse = |key, expected| TopicConfigError::Value {
            key,
            value: value.to_owned(),
            expected,
        };
        match key {
            DEDUPLICATION_WINDOW_MS => {
                let window = value.parse().ok();
                let window = window.filter(|window| *window <= DEDUPLICATION_WINDOW_MS_MAX);
                self.deduplication_window_ms = window.ok_or_else(|| {
                    refuse(DEDUPLICATION_WINDOW_MS, "milliseconds from 0 to 86400000")
                })?;
            }
            MAX_RECORD_BYTES => {
                let bytes = value.parse().ok();
                let bytes =
                    bytes.filter(|bytes: &u32| (1..=RECORD_BYTES_MAX).contains(&(*bytes as usize)));
                self.max_record_bytes =
                    bytes.ok_or_else(|| refuse(MAX_RECORD_BYTES, "bytes from 1 to 8388608"))?;
            }
            PROTECTED => {
                let protected = value.parse().ok();
                self.is_protected = protected.ok_or_else(|| refuse(PROTECTED, "true or false"))?;
            }
            RETENTION_BYTES => {
                self.retention_bytes =
                    parse_bound(value, RETENTION_BYTES_MIN).ok_or_else(|| {
                        refuse(RETENTION_BYTES, "bytes from 1048576, or -1 for no bound")
                    })?;
            }
            RETENTION_MS => {
                self.retention_ms = parse_bound(value, RETENTION_MS_MIN).ok_or_else(|| {
                    refuse(
                        RETENTION_MS,
                        "milliseconds from 1000, or -1 to keep for ever",
                    )
                })?;
            }
            SCHEMA_COMPATIBILITY => {
                self.schema_compatibility = SchemaCompatibility::parse(value)
                    .map_err(|_| refuse(SCHEMA_COMPATIBILITY, "none, backward, forward or full"))?;
            }
            VISIBILITY => {
                let mut all = [Visibility::Private, Visibility::Public].into_iter();
                self.visibility = all
                    .find(|visibility| visibility.as_str() == value)
                    .ok_or_else(|| refuse(VISIBILITY, "private or public"))?;
            }
            _ => {
                return Err(TopicConfigError::UnknownKey {
                    key: key.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Every key with its value as `set` reads it, in the order of `KEYS`.
    pub fn entries(&self) -> [(&'static str, String); 7] {
        let bound = |value: Option<u64>| value.map_or_else(|| "-1".to_owned(), |v| v.to_string());
        [
            (
                DEDUPLICATION_WINDOW_MS,
                self.deduplication_window_ms.to_string(),
            ),
            (MAX_RECORD_BYTES, self.max_record_bytes.to_string()),
            (PROTECTED, self.is_protected.to_string()),
            (RETENTION_BYTES, bound(self.retention_bytes)),
            (RETENTION_MS, bound(self.retention_ms)),
            (SCHEMA_COMPATIBILITY, self.schema_compatibility.to_string()),
            (VISIBILITY, self.visibility.as_str().to_owned()),
        ]
    }
}

/// A bound, or none for -1. `None` if the text is neither.
fn parse_bound(value: &str, min: u64) -> Option<Option<u64>> {
    if value == "-1" {
        return Some(None);
    }
    let bound: u64 = value.parse().ok()?;
    (min..=i64::MAX as u64)
        .contains(&bound)
        .then_some(Some(bound))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_reads_what_it_writes() {
        let mut config = TopicConfig::default();
        config.set("retention_bytes", "1073741824").unwrap();
        config.set("retention_ms", "-1").unwrap();
        config.set("protected", "true").unwrap();
        config.set("visibility", "public").unwrap();
        config.set("schema_compatibility", "full").unwrap();
        config.set("deduplication_window_ms", "0").unwrap();
        let mut copy = TopicConfig::default();
        for (key, value) in config.entries() {
            copy.set(key, &value).unwrap();
        }
        assert_eq!(copy, config);
    }

    #[test]
    fn unknown_keys_and_values_out_of_range_are_refused() {
        let mut config = TopicConfig::default();
        assert!(config.set("retention", "1").is_err());
        assert!(config.set("retention_ms", "999").is_err());
        assert!(config.set("max_record_bytes", "8388609").is_err());
        assert!(config.set("deduplication_window_ms", "86400001").is_err());
        assert!(config.set("protected", "yes").is_err());
        assert!(config.set("visibility", "Public").is_err());
        assert!(config.set("schema_compatibility", "").is_err());
        assert_eq!(config, TopicConfig::default());
    }
}
