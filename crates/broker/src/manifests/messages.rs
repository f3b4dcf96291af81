//! The cluster as a manifest, and plans, as the API tells them.

use flotilla_protocol::v1;
use flotilla_protocol::v1::topic_change::Kind;
use flotilla_state::metadata::{MetadataState, Topic};
use flotilla_types::{TopicConfig, TopicName};

use super::plan::{Change, ChangeKind, Field, Plan};

/// The topics as they are. Applied, it changes nothing.
pub(super) fn write_manifest(state: &MetadataState) -> v1::Manifest {
    let defaults = TopicConfig::default().entries();
    let spec = |topic: &Topic| {
        let entries = topic.config.entries().into_iter().zip(&defaults);
        let different = entries.filter(|(entry, default)| entry != *default);
        v1::TopicSpec {
            name: topic.name.as_str().to_owned(),
            partitions: Some(topic.partition_count()),
            replication_factor: Some(topic.replication_factor),
            config: different
                .map(|((key, value), _)| (key.to_owned(), value))
                .collect(),
            schema: topic.schemas.last().map(|latest| latest.text.to_string()),
        }
    };
    v1::Manifest {
        topics: state.topics().map(spec).collect(),
    }
}

pub(super) fn write_plan(plan: Plan, topics_version: u64) -> v1::ApplyManifestResponse {
    let protected = plan.protected.iter().map(TopicName::to_string);
    v1::ApplyManifestResponse {
        etag: write_etag(topics_version),
        unchanged: plan.unchanged,
        protected: protected.collect(),
        changes: plan.changes.into_iter().map(write_change).collect(),
    }
}

/// Whatever changes about topics changes it.
pub(super) fn write_etag(topics_version: u64) -> String {
    topics_version.to_string()
}

fn write_change(change: Change) -> v1::TopicChange {
    let kind = match change.kind {
        ChangeKind::Create => Kind::Create,
        ChangeKind::Update => Kind::Update,
        ChangeKind::Delete => Kind::Delete,
    };
    v1::TopicChange {
        topic: change.topic.to_string(),
        kind: kind.into(),
        fields: change.fields.into_iter().map(write_field).collect(),
    }
}

fn write_field(field: Field) -> v1::FieldChange {
    v1::FieldChange {
        name: field.name.to_owned(),
        before: field.before,
        after: field.after,
    }
}
