//! Schemas: what the payloads of a topic's records must look like.

use flotilla_protocol::v1;
use flotilla_protocol::v1::schema_admin_client::SchemaAdminClient;
use flotilla_types::{Timestamp, TopicName, limits};

use super::Admin;
use crate::client::{Repeat, within};
use crate::{ClientError, NodeChannel};

/// Where a schema stands after it was registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisteredSchema {
    /// Of the schema, from 1.
    pub version: u32,
    /// It was not the latest version before. If an answer was lost and the call was repeated, it was by
    /// then.
    pub created: bool,
}

/// One version of a topic's schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaVersion {
    /// From 1, without gaps.
    pub version: u32,
    /// JSON.
    pub schema: String,
    /// By the clock of the node that took it.
    pub created_at: Timestamp,
}

/// Where a schema would stand if it were registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckedSchema {
    /// The version that the schema has or would get.
    pub version: u32,
    /// It is not the latest version.
    pub is_new: bool,
}

impl Admin {
    /// Gives a topic a new version of its schema, unless the latest is the same. With
    /// `latest_version` it fails if that is not the latest one; 0 stands for none.
    pub async fn register_schema(
        &self,
        topic: &TopicName,
        schema: &str,
        latest_version: Option<u32>,
    ) -> Result<RegisteredSchema, ClientError> {
        let request = v1::RegisterSchemaRequest {
            topic: topic.to_string(),
            schema: schema.to_owned(),
            latest_version,
        };
        // A schema that is the latest already is no new version, so once or twice is the same. But who
        // names the version before it would meet their own first attempt, and be told of a conflict.
        let repeat = match latest_version {
            None => Repeat::Always,
            Some(_) => Repeat::IfDefinite,
        };
        let send = |channel, limit| {
            let request = within(limit, request.clone());
            async move { schema_client(channel).register_schema(request).await }
        };
        let answer = self.core.call(repeat, send).await?;
        Ok(RegisteredSchema {
            version: answer.version,
            created: answer.created,
        })
    }

    /// Lists the versions of a topic's schema, the first one first.
    pub async fn list_schemas(&self, topic: &TopicName) -> Result<Vec<SchemaVersion>, ClientError> {
        let request = v1::ListSchemasRequest {
            topic: topic.to_string(),
        };
        let send = |channel, limit| {
            let request = within(limit, request.clone());
            async move { schema_client(channel).list_schemas(request).await }
        };
        let answer = self.core.call(Repeat::Always, send).await?;
        let versions = answer.versions.into_iter().map(|version| SchemaVersion {
            version: version.version,
            schema: version.schema,
            created_at: Timestamp::from_millis(version.created_at_ms),
        });
        Ok(versions.collect())
    }

    /// Says whether a topic would take a schema, and changes nothing. It fails as
    /// [`register_schema`](Self::register_schema) does.
    pub async fn check_schema(
        &self,
        topic: &TopicName,
        schema: &str,
    ) -> Result<CheckedSchema, ClientError> {
        let request = v1::CheckSchemaRequest {
            topic: topic.to_string(),
            schema: schema.to_owned(),
        };
        let send = |channel, limit| {
            let request = within(limit, request.clone());
            async move { schema_client(channel).check_schema(request).await }
        };
        let answer = self.core.call(Repeat::Always, send).await?;
        Ok(CheckedSchema {
            version: answer.version,
            is_new: answer.is_new,
        })
    }
}

fn schema_client(channel: NodeChannel) -> SchemaAdminClient<NodeChannel> {
    SchemaAdminClient::new(channel).max_decoding_message_size(limits::GRPC_MESSAGE_BYTES_MAX)
}
