//! Topic names and topic configuration, between the proto and ours.

use std::collections::BTreeMap;

use flotilla_types::{ErrorCode, NameError, TopicConfig, TopicConfigError};

use crate::ApiError;

/// Reads the `config` field of a request: keys that are not there keep their default.
pub fn parse_config(entries: &BTreeMap<String, String>) -> Result<TopicConfig, TopicConfigError> {
    let mut config = TopicConfig::default();
    for (key, value) in entries {
        config.set(key, value)?;
    }
    Ok(config)
}

/// Writes every key with its value.
pub fn write_config(config: &TopicConfig) -> BTreeMap<String, String> {
    let entries = config.entries();
    entries.map(|(key, value)| (key.to_owned(), value)).into()
}

impl From<TopicConfigError> for ApiError {
    fn from(error: TopicConfigError) -> Self {
        Self::new(ErrorCode::ConfigInvalid, error.to_string())
    }
}

impl From<NameError> for ApiError {
    fn from(error: NameError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_crosses_the_wire_whole() {
        let entries = BTreeMap::from([("retention_ms".to_owned(), "60000".to_owned())]);
        let config = parse_config(&entries).unwrap();
        assert_eq!(config.retention_ms, Some(60_000));
        assert_eq!(parse_config(&write_config(&config)), Ok(config));
    }

    #[test]
    fn a_key_that_does_not_exist_is_refused_with_its_code() {
        let entries = BTreeMap::from([("retention".to_owned(), "1".to_owned())]);
        let error = ApiError::from(parse_config(&entries).unwrap_err());
        assert_eq!(error.code, ErrorCode::ConfigInvalid);
    }
}
