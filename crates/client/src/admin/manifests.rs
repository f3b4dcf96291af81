//! Manifests: the topics that a cluster shall have, in one piece, applied whole or not at all.

use std::collections::BTreeMap;

use flotilla_protocol::v1::manifests_client::ManifestsClient;
use flotilla_protocol::v1::topic_change::Kind;
use flotilla_protocol::{ApiError, v1};
use flotilla_types::{TopicName, limits};

use super::Admin;
use crate::client::{Repeat, within};
use crate::{ClientError, NodeChannel};

/// What a cluster shall have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// At most 1,000, each name once.
    pub topics: Vec<TopicSpec>,
}

/// What a topic shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    pub name: TopicName,
    /// `None`: as many as there are, 1 for a new topic.
    pub partitions: Option<u32>,
    /// `None`: as it is; for a new topic 3, or the number of nodes if there are fewer.
    pub replication_factor: Option<u32>,
    /// Keys of the topic configuration that differ from their defaults. All others get their default.
    pub config: BTreeMap<String, String>,
    /// JSON Schema that the latest version shall equal. `None`: as it is.
    pub schema: Option<String>,
}

impl TopicSpec {
    /// A topic that has the defaults where it is new, and its configuration alone where it is not.
    pub fn new(name: TopicName) -> Self {
        Self {
            name,
            partitions: None,
            replication_factor: None,
            config: BTreeMap::new(),
            schema: None,
        }
    }
}

/// A cluster as it is, as a manifest that changes nothing when it is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedManifest {
    /// Topics by name.
    pub manifest: Manifest,
    /// Stands for what was seen, for [`ApplyOptions::if_etag`].
    pub etag: String,
    /// 32 hexadecimal digits.
    pub cluster_id: String,
}

/// How a manifest is applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplyOptions {
    /// Deletes the topics that the manifest does not name, with their records, except protected ones.
    pub prune: bool,
    /// Only says what would change.
    pub dry_run: bool,
    /// Fails if topics have changed since this was told.
    pub if_etag: Option<String>,
    /// Fails if this is another cluster.
    pub cluster_id: Option<String>,
}

/// What has changed, or would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedManifest {
    /// By topic name. Topics that stay as they are, are absent.
    pub changes: Vec<TopicChange>,
    /// After the change; of a dry run, of what was compared.
    pub etag: String,
    /// Topics that the manifest names and that stay as they are.
    pub unchanged: u32,
    /// Topics that prune would have deleted but for their protection, by name.
    pub protected: Vec<TopicName>,
}

/// What changes about one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicChange {
    pub topic: TopicName,
    pub kind: TopicChangeKind,
    /// By name: `partitions`, `replication_factor`, `schema`, and keys of the configuration.
    pub fields: Vec<FieldChange>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicChangeKind {
    Create,
    Update,
    Delete,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    pub name: String,
    /// `None`: there was none.
    pub before: Option<String>,
    /// `None`: there is none any more.
    pub after: Option<String>,
}

impl Admin {
    /// The cluster's topics as they are, as a manifest.
    pub async fn export_manifest(&self) -> Result<ExportedManifest, ClientError> {
        let send = |channel, limit| {
            let request = within(limit, v1::ExportManifestRequest {});
            async move { manifest_client(channel).export_manifest(request).await }
        };
        let answer = self.core.call(Repeat::Always, send).await?;
        let manifest = answer.manifest;
        Ok(ExportedManifest {
            manifest: read_manifest(manifest.ok_or_else(|| ClientError::missing("the manifest"))?)?,
            etag: answer.etag,
            cluster_id: answer.cluster_id,
        })
    }

    /// Makes the cluster's topics as the manifest says: all of it or nothing.
    pub async fn apply_manifest(
        &self,
        manifest: &Manifest,
        options: &ApplyOptions,
    ) -> Result<AppliedManifest, ClientError> {
        let request = v1::ApplyManifestRequest {
            manifest: Some(write_manifest(manifest)),
            prune: options.prune,
            dry_run: options.dry_run,
            if_etag: options.if_etag.clone().unwrap_or_default(),
            cluster_id: options.cluster_id.clone().unwrap_or_default(),
        };
        // The cluster comes out alike if the same manifest is applied twice, but the answer does not:
        // the second one would find nothing to change, or that the etag is an old one. And in between
        // somebody may have created a topic, which it would prune with its records. A dry run could be
        // repeated, but to judge many schemas takes longer than an attempt that is repeated may.
        let send = |channel, limit| {
            let request = within(limit, request.clone());
            async move { manifest_client(channel).apply_manifest(request).await }
        };
        let answer = self.core.call(Repeat::IfDefinite, send).await?;
        let changes = answer.changes.into_iter().map(read_change);
        let protected = answer.protected.iter().map(|name| read_name(name));
        Ok(AppliedManifest {
            changes: changes.collect::<Result<_, _>>()?,
            etag: answer.etag,
            unchanged: answer.unchanged,
            protected: protected.collect::<Result<_, _>>()?,
        })
    }
}

fn manifest_client(channel: NodeChannel) -> ManifestsClient<NodeChannel> {
    ManifestsClient::new(channel).max_decoding_message_size(limits::GRPC_MESSAGE_BYTES_MAX)
}

fn write_manifest(manifest: &Manifest) -> v1::Manifest {
    let topics = manifest.topics.iter().map(|topic| v1::TopicSpec {
        name: topic.name.to_string(),
        partitions: topic.partitions,
        replication_factor: topic.replication_factor,
        config: topic.config.clone(),
        schema: topic.schema.clone(),
    });
    v1::Manifest {
        topics: topics.collect(),
    }
}

fn read_manifest(manifest: v1::Manifest) -> Result<Manifest, ClientError> {
    let topics = manifest.topics.into_iter().map(|topic| {
        Ok(TopicSpec {
            name: read_name(&topic.name)?,
            partitions: topic.partitions,
            replication_factor: topic.replication_factor,
            config: topic.config,
            schema: topic.schema,
        })
    });
    Ok(Manifest {
        topics: topics.collect::<Result<_, ClientError>>()?,
    })
}

fn read_change(change: v1::TopicChange) -> Result<TopicChange, ClientError> {
    let kind = match change.kind() {
        Kind::Create => TopicChangeKind::Create,
        Kind::Update => TopicChangeKind::Update,
        Kind::Delete => TopicChangeKind::Delete,
        Kind::Unspecified => return Err(ClientError::missing("what happens to a topic")),
    };
    let fields = change.fields.into_iter().map(|field| FieldChange {
        name: field.name,
        before: field.before,
        after: field.after,
    });
    Ok(TopicChange {
        topic: read_name(&change.topic)?,
        kind,
        fields: fields.collect(),
    })
}

fn read_name(name: &str) -> Result<TopicName, ClientError> {
    Ok(TopicName::parse(name).map_err(ApiError::from)?)
}
