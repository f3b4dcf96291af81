//! What a topic can be told: the keys of `--config`, their ranges and their defaults.

use crate::limits::{RECORD_BYTES_DEFAULT, RECORD_BYTES_MAX};

/// Configuration of one topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicConfig {
    /// `retention_ms`: a record older than this is dropped. `None` (written `-1`) keeps for ever.
    /// Milliseconds, from 1,000; default 604,800,000 (7 days).
    pub retention_ms: Option<u64>,
    /// `retention_bytes`: a partition larger than this loses its oldest segments. `None` (written
    /// `-1`) sets no bound. Bytes, from 1,048,576; default none.
    pub retention_bytes: Option<u64>,
    /// `max_record_bytes`: the largest record that is taken. Bytes, 1 to 8,388,608; default 1,048,576.
    pub max_record_bytes: u32,
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

const RETENTION_MS: &str = "retention_ms";
const RETENTION_BYTES: &str = "retention_bytes";
const MAX_RECORD_BYTES: &str = "max_record_bytes";
const RETENTION_MS_MIN: u64 = 1_000;
const RETENTION_BYTES_MIN: u64 = 1 << 20;

impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            retention_ms: Some(7 * 24 * 60 * 60 * 1_000),
            retention_bytes: None,
            max_record_bytes: RECORD_BYTES_DEFAULT as u32,
        }
    }
}

impl TopicConfig {
    pub const KEYS: [&'static str; 3] = [MAX_RECORD_BYTES, RETENTION_BYTES, RETENTION_MS];

    /// Sets one key from its text.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), TopicConfigError> {
        match key {
            RETENTION_MS => {
                self.retention_ms = parse_bound(
                    RETENTION_MS,
                    value,
                    RETENTION_MS_MIN,
                    "milliseconds from 1000, or -1 to keep for ever",
                )?;
            }
            RETENTION_BYTES => {
                self.retention_bytes = parse_bound(
                    RETENTION_BYTES,
                    value,
                    RETENTION_BYTES_MIN,
                    "bytes from 1048576, or -1 for no bound",
                )?;
            }
            MAX_RECORD_BYTES => {
                let bytes = value
                    .parse()
                    .ok()
                    .filter(|bytes: &u32| (1..=RECORD_BYTES_MAX).contains(&(*bytes as usize)));
                self.max_record_bytes = bytes.ok_or_else(|| TopicConfigError::Value {
                    key: MAX_RECORD_BYTES,
                    value: value.to_owned(),
                    expected: "bytes from 1 to 8388608",
                })?;
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
    pub fn entries(&self) -> [(&'static str, String); 3] {
        let bound = |value: Option<u64>| value.map_or_else(|| "-1".to_owned(), |v| v.to_string());
        [
            (MAX_RECORD_BYTES, self.max_record_bytes.to_string()),
            (RETENTION_BYTES, bound(self.retention_bytes)),
            (RETENTION_MS, bound(self.retention_ms)),
        ]
    }
}

fn parse_bound(
    key: &'static str,
    value: &str,
    min: u64,
    expected: &'static str,
) -> Result<Option<u64>, TopicConfigError> {
    if value == "-1" {
        return Ok(None);
    }
    match value.parse() {
        Ok(bound) if bound >= min && bound <= i64::MAX as u64 => Ok(Some(bound)),
        _ => Err(TopicConfigError::Value {
            key,
            value: value.to_owned(),
            expected,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_reads_what_it_writes() {
        let mut config = TopicConfig::default();
        config.set("retention_bytes", "1073741824").unwrap();
        config.set("retention_ms", "-1").unwrap();
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
        assert_eq!(config, TopicConfig::default());
    }
}
