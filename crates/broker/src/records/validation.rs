//! Whether records that come in match the schema of their topic.
//!
//! The leader decides it, once, by the latest version of the schema that it knows: what is in the log
//! has been taken. A record without a value is a tombstone and matches every schema.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use flotilla_protocol::ApiError;
use flotilla_schema::Schema;
use flotilla_state::metadata::Topic;
use flotilla_types::{Compression, ErrorCode, RecordBatch, TopicId, TopicName, Visibility};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::errors;
use crate::node::Node;
use crate::router::Located;

/// What is smaller is validated at once, on a thread that others wait for: bytes of the records times
/// bytes of the schema, because so much work it can be.
const INLINE_MAX: usize = 4 << 20;
/// Requests that are validated on such threads at a time. A schema can make that slow, and others have
/// work for these threads too.
const TURNS: usize = 2;

/// The schemas of topics that records have come in for, compiled.
pub(crate) struct SchemasInForce {
    compiled: Mutex<HashMap<TopicId, Compiled>>,
    turns: Semaphore,
}

#[derive(Clone)]
struct Compiled {
    version: u32,
    schema: Arc<Schema>,
}

impl Default for SchemasInForce {
    fn default() -> Self {
        Self {
            compiled: Mutex::default(),
            turns: Semaphore::new(TURNS),
        }
    }
}

impl Node {
    /// What records of the topic must match, if anything. A public topic takes none without a schema.
    pub(crate) async fn schema_in_force(
        &self,
        located: &Located,
    ) -> Result<Option<Arc<Schema>>, ApiError> {
        let state = self.state();
        let topic = state.topic(located.topic);
        let topic = topic.ok_or_else(|| errors::unknown_topic(&located.name))?;
        if topic.schemas.is_empty() {
            return match topic.config.visibility {
                Visibility::Private => Ok(None),
                Visibility::Public => Err(schema_required(&topic.name)),
            };
        }
        let version = topic.schema_version();
        let known = self.schemas.compiled.lock().get(&topic.id).cloned();
        if let Some(known) = known.filter(|known| known.version == version) {
            return Ok(Some(known.schema));
        }
        let schema = compile(topic).await?;
        let compiled = Compiled {
            version,
            schema: schema.clone(),
        };
        let mut known = self.schemas.compiled.lock();
        known.retain(|id, _| state.topic(*id).is_some());
        known.insert(topic.id, compiled);
        Ok(Some(schema))
    }

    /// Fails with what is wrong with the first value that does not match.
    pub(crate) async fn validate(
        &self,
        schema: &Arc<Schema>,
        unvalidated: Unvalidated,
    ) -> Result<(), ApiError> {
        if unvalidated.cost(schema) <= INLINE_MAX {
            return validate_all(schema, &unvalidated.into_values()?);
        }
        // Nothing is decompressed before its turn. The semaphore is never closed.
        let _turn = self.schemas.turns.acquire().await;
        let schema = schema.clone();
        let validate = move || validate_all(&schema, &unvalidated.into_values()?);
        let validated = tokio::task::spawn_blocking(validate);
        validated.await.map_err(|error| {
            tracing::error!(%error, "validating records failed");
            ApiError::new(ErrorCode::Internal, "the records could not be validated")
        })?
    }
}

/// Records to be validated.
pub(crate) enum Unvalidated {
    Batch(RecordBatch),
    Values(Vec<Option<Bytes>>),
}

impl Unvalidated {
    /// About what validating costs at worst.
    fn cost(&self, schema: &Schema) -> usize {
        let bytes = match self {
            // Nobody knows before it is decompressed.
            Self::Batch(batch) if batch.compression() != Compression::None => return usize::MAX,
            Self::Batch(batch) => batch.len(),
            Self::Values(values) => values.iter().flatten().map(Bytes::len).sum(),
        };
        bytes.saturating_mul(schema.text().len())
    }

    fn into_values(self) -> Result<Vec<Option<Bytes>>, ApiError> {
        match self {
            Self::Batch(batch) => {
                let records = batch.records()?.into_iter();
                Ok(records.map(|record| record.value).collect())
            }
            Self::Values(values) => Ok(values),
        }
    }
}

async fn compile(topic: &Topic) -> Result<Arc<Schema>, ApiError> {
    let unreadable = |error: String| {
        tracing::error!(topic = %topic.name, error, "the schema of a topic cannot be compiled");
        let message = "the schema of the topic cannot be read by this node: register it again";
        ApiError::new(ErrorCode::Internal, message)
    };
    let Some(latest) = topic.schemas.last() else {
        return Err(unreadable("there is none".to_owned()));
    };
    let text = latest.text.clone();
    let compiled = tokio::task::spawn_blocking(move || Schema::parse(&text));
    let compiled = compiled
        .await
        .map_err(|error| unreadable(error.to_string()))?;
    let schema = compiled.map_err(|error| unreadable(error.to_string()))?;
    Ok(Arc::new(schema))
}

fn validate_all(schema: &Schema, values: &[Option<Bytes>]) -> Result<(), ApiError> {
    for (position, value) in values.iter().enumerate() {
        let Some(value) = value else { continue };
        if let Err(violations) = schema.validate(value) {
            let message =
                format!("record {position} does not match the topic's schema: {violations}");
            return Err(ApiError::new(ErrorCode::RecordInvalid, message));
        }
    }
    Ok(())
}

fn schema_required(name: &TopicName) -> ApiError {
    let message = format!(
        "topic {name} is public and has no schema yet: register one, or make the topic private"
    );
    ApiError::new(ErrorCode::SchemaRequired, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_record_that_does_not_match_is_named_with_what_is_wrong() {
        let schema = Schema::parse(r#"{"properties": {"n": {"type": "integer"}}}"#).unwrap();
        let value = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
        let good = [value(r#"{"n": 1}"#), None];
        assert_eq!(validate_all(&schema, &good), Ok(()));
        let bad = [
            value(r#"{"n": 1}"#),
            None,
            value(r#"{"n": "x"}"#),
            value("{"),
        ];
        let error = validate_all(&schema, &bad).unwrap_err();
        assert_eq!(error.code, ErrorCode::RecordInvalid);
        assert!(error.message.starts_with("record 2 "), "{}", error.message);
        assert!(error.message.contains("/n"), "{}", error.message);
        assert!(error.message.contains("type"), "{}", error.message);
        let error = validate_all(&schema, &bad[3..]).unwrap_err();
        assert!(error.message.starts_with("record 0 "), "{}", error.message);
    }
}
