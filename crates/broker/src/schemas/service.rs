//! The `SchemaAdmin` service.

use std::sync::Arc;
use std::time::Duration;

use flotilla_protocol::v1::schema_admin_server::SchemaAdmin;
use flotilla_protocol::{ApiError, v1};
use flotilla_state::access::{AccessAction, Resource};
use flotilla_state::metadata::{MetadataCommand, MetadataRejection, Topic};
use flotilla_types::{ErrorCode, TopicName};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::{Judgement, judge};
use crate::errors;
use crate::metadata::Proposed;
use crate::node::Node;

/// How long the metadata group may take to decide.
const CHANGE_LIMIT: Duration = Duration::from_secs(15);
/// How often a schema is judged again because another one was registered in between.
const ATTEMPTS_MAX: usize = 5;

pub(crate) struct SchemaService {
    node: Arc<Node>,
    /// Held while a schema is judged: one at a time.
    judging: Semaphore,
}

impl SchemaService {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self {
            node,
            judging: Semaphore::new(1),
        }
    }

    /// Judges again if another schema was registered in between, unless the caller goes by a version.
    async fn register(
        &self,
        request: v1::RegisterSchemaRequest,
    ) -> Result<v1::RegisterSchemaResponse, ApiError> {
        let name = TopicName::parse(&request.topic)?;
        let schema: Arc<str> = request.schema.into();
        let expected = request.latest_version;
        let deadline = Instant::now() + CHANGE_LIMIT;
        let mut attempts_left = ATTEMPTS_MAX;
        loop {
            attempts_left -= 1;
            let topic = self.topic(&name).await?;
            refuse_other_version(&topic, expected)?;
            match self.register_after(topic, &schema, deadline).await {
                Err(error) if error.code == ErrorCode::VersionConflict => {
                    if expected.is_some() || attempts_left == 0 {
                        return Err(error);
                    }
                }
                result => return result,
            }
        }
    }

    /// Registers the schema as the one after the topic's latest, unless it is that one.
    async fn register_after(
        &self,
        topic: Topic,
        schema: &Arc<str>,
        deadline: Instant,
    ) -> Result<v1::RegisterSchemaResponse, ApiError> {
        let command = MetadataCommand::RegisterSchema {
            name: topic.name.clone(),
            latest_version: topic.schema_version(),
            schema: schema.clone(),
            now: self.node.now(),
        };
        let name = topic.name.clone();
        let Judgement { version, is_new } = self.judge(topic, schema.clone()).await?;
        if is_new {
            let proposed = self.node.propose(&command, deadline).await?;
            tracing::info!(topic = %name, version, "a topic has a new schema");
            self.show(&proposed, deadline).await;
        }
        let created = is_new;
        Ok(v1::RegisterSchemaResponse { version, created })
    }

    async fn judge(&self, topic: Topic, schema: Arc<str>) -> Result<Judgement, ApiError> {
        // The semaphore is never closed.
        let _turn = self.judging.acquire().await;
        judge_apart(topic, schema).await
    }

    /// The topic as the cluster knows it now, because a schema is judged by the latest one.
    async fn topic(&self, name: &TopicName) -> Result<Topic, ApiError> {
        self.node.refuse_when_stopping()?;
        self.node.catch_up().await?;
        let state = self.node.state();
        let topic = state.topic_named(name).cloned();
        topic.ok_or_else(|| errors::unknown_topic(name))
    }

    /// It has happened. That this node may show it a moment later is no failure.
    async fn show(&self, proposed: &Proposed, deadline: Instant) {
        if let Err(error) = self.node.wait_for_version(proposed.version, deadline).await {
            tracing::warn!(%error, "a topic has a new schema, but this node does not see it yet");
        }
    }
}

#[tonic::async_trait]
impl SchemaAdmin for SchemaService {
    async fn register_schema(
        &self,
        request: Request<v1::RegisterSchemaRequest>,
    ) -> Result<Response<v1::RegisterSchemaResponse>, Status> {
        let topic = Resource::Topic(&request.get_ref().topic);
        self.node.admit(&request, AccessAction::Alter, topic)?;
        Ok(Response::new(self.register(request.into_inner()).await?))
    }

    async fn list_schemas(
        &self,
        request: Request<v1::ListSchemasRequest>,
    ) -> Result<Response<v1::ListSchemasResponse>, Status> {
        let topic = Resource::Topic(&request.get_ref().topic);
        self.node.admit(&request, AccessAction::Describe, topic)?;
        let name = TopicName::parse(&request.into_inner().topic).map_err(ApiError::from)?;
        let topic = self.topic(&name).await?;
        let versions = (1..).zip(&topic.schemas);
        let versions = versions.map(|(version, schema)| v1::SchemaVersion {
            version,
            schema: schema.text.to_string(),
            created_at_ms: schema.created_at.as_millis(),
        });
        Ok(Response::new(v1::ListSchemasResponse {
            versions: versions.collect(),
        }))
    }

    async fn check_schema(
        &self,
        request: Request<v1::CheckSchemaRequest>,
    ) -> Result<Response<v1::CheckSchemaResponse>, Status> {
        let topic = Resource::Topic(&request.get_ref().topic);
        self.node.admit(&request, AccessAction::Describe, topic)?;
        let request = request.into_inner();
        let name = TopicName::parse(&request.topic).map_err(ApiError::from)?;
        let topic = self.topic(&name).await?;
        let Judgement { version, is_new } = self.judge(topic, request.schema.into()).await?;
        Ok(Response::new(v1::CheckSchemaResponse { version, is_new }))
    }
}

/// Judges on a thread that may block: a schema can be made to cost much.
async fn judge_apart(topic: Topic, schema: Arc<str>) -> Result<Judgement, ApiError> {
    let mode = topic.config.schema_compatibility;
    let judged = tokio::task::spawn_blocking(move || judge(&topic.schemas, mode, &schema));
    judged.await.unwrap_or_else(|error| {
        tracing::error!(%error, "judging a schema failed");
        let message = "the schema could not be judged";
        Err(ApiError::new(ErrorCode::Internal, message))
    })
}

fn refuse_other_version(topic: &Topic, expected: Option<u32>) -> Result<(), ApiError> {
    let current = topic.schema_version();
    match expected {
        Some(expected) if expected != current => {
            let rejection = MetadataRejection::SchemaChanged {
                name: topic.name.clone(),
                expected,
                current,
            };
            Err(errors::from_metadata_rejection(&rejection))
        }
        Some(_) | None => Ok(()),
    }
}
