//! What a manifest asks for, read and checked as far as it can be without the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flotilla_protocol::topics::parse_config;
use flotilla_protocol::{ApiError, v1};
use flotilla_types::limits::MANIFEST_TOPICS_MAX;
use flotilla_types::{ErrorCode, TopicConfig, TopicName};

use crate::errors;

/// The topics that the cluster shall have.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) topics: BTreeMap<TopicName, WantedTopic>,
}

/// What a topic shall be.
#[derive(Debug)]
pub(super) struct WantedTopic {
    pub(super) partitions: Option<u32>,
    pub(super) replication_factor: Option<u32>,
    /// Whole: what the manifest does not name has its default.
    pub(super) config: TopicConfig,
    pub(super) named_keys: BTreeSet<String>,
    pub(super) schema: Option<Arc<str>>,
}

impl Wanted {
    pub(super) fn read(manifest: v1::Manifest) -> Result<Self, ApiError> {
        let count = manifest.topics.len();
        if count > MANIFEST_TOPICS_MAX {
            return Err(invalid(&format!(
                "a manifest names at most {MANIFEST_TOPICS_MAX} topics, and this one names {count}: \
                 split it, and apply the parts without prune"
            )));
        }
        let mut topics = BTreeMap::new();
        for spec in manifest.topics {
            let name = TopicName::parse(&spec.name).map_err(ApiError::from)?;
            let topic = WantedTopic::read(spec).map_err(|error| errors::about(&name, error))?;
            if topics.insert(name.clone(), topic).is_some() {
                return Err(invalid(&format!(
                    "the manifest names topic {name} twice: leave one of them out"
                )));
            }
        }
        Ok(Self { topics })
    }
}

impl WantedTopic {
    fn read(spec: v1::TopicSpec) -> Result<Self, ApiError> {
        Ok(Self {
            partitions: spec.partitions,
            replication_factor: spec.replication_factor,
            config: parse_config(&spec.config)?,
            named_keys: spec.config.into_keys().collect(),
            schema: spec.schema.map(Arc::from),
        })
    }
}

pub(super) fn invalid(message: &str) -> ApiError {
    ApiError::new(ErrorCode::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str) -> v1::TopicSpec {
        v1::TopicSpec {
            name: name.to_owned(),
            ..v1::TopicSpec::default()
        }
    }

    fn refusal(topics: Vec<v1::TopicSpec>) -> ApiError {
        Wanted::read(v1::Manifest { topics }).unwrap_err()
    }

    #[test]
    fn a_topic_that_is_named_twice_is_refused_by_its_name() {
        let error = refusal(vec![spec("a"), spec("orders"), spec("orders")]);
        assert_eq!(error.code, ErrorCode::InvalidArgument);
        assert!(error.message.contains("orders"), "{}", error.message);
    }

    #[test]
    fn a_wrong_configuration_is_told_with_the_topic() {
        let mut wrong = spec("orders");
        let value = "x".repeat(100_000);
        wrong.config.insert("retention_ms".to_owned(), value);
        let error = refusal(vec![spec("a"), wrong]);
        assert_eq!(error.code, ErrorCode::ConfigInvalid);
        assert!(error.message.contains("orders"), "{}", error.message);
        assert!(error.message.len() < 3_000);
    }

    #[test]
    fn what_is_no_name_and_what_is_too_much_is_refused() {
        let error = refusal(vec![spec("../x")]);
        assert_eq!(error.code, ErrorCode::InvalidTopicName);
        let many = (0..=MANIFEST_TOPICS_MAX).map(|number| spec(&format!("t{number}")));
        let error = refusal(many.collect());
        assert_eq!(error.code, ErrorCode::InvalidArgument);
    }
}
