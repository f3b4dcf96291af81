//! What the state says, as messages.

use flotilla_protocol::v1;
use flotilla_state::groups::{Group, Member, Subscription};
use flotilla_state::metadata::MetadataState;
use flotilla_types::{Generation, PartitionId, PartitionIndex, TopicId};

/// Whether this node knows all topics that a member holds partitions of, or knows that they were
/// deleted. One that lags behind would leave out what is there.
pub(super) fn knows_topics_of(metadata: &MetadataState, member: &Member) -> bool {
    let mut topics = member.holdings().map(|(partition, _)| partition.topic);
    topics.all(|topic| metadata.topic(topic).is_some() || metadata.was_deleted(topic))
}

/// Partitions of topics that were deleted are left out.
pub(super) fn assignment_message(metadata: &MetadataState, member: &Member) -> v1::Assignment {
    let held = |holdings: &std::collections::BTreeMap<PartitionId, Generation>| {
        let held = holdings.iter().filter_map(|(partition, generation)| {
            Some(v1::HeldPartition {
                topic: metadata.topic(partition.topic)?.name.to_string(),
                topic_id: partition.topic.get(),
                partition: partition.index.get(),
                generation: generation.get(),
            })
        });
        let mut held: Vec<_> = held.collect();
        held.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        held
    };
    v1::Assignment {
        version: member.assignment_version,
        partitions: held(&member.held),
        revoked: held(&member.revoked),
    }
}

pub(super) fn read_held(held: &v1::HeldPartition) -> (PartitionId, Generation) {
    let partition = PartitionId {
        topic: TopicId::new(held.topic_id),
        index: PartitionIndex::new(held.partition),
    };
    (partition, Generation::new(held.generation))
}

/// By topic and number.
pub(super) fn offset_messages(metadata: &MetadataState, group: &Group) -> Vec<v1::CommittedOffset> {
    let offsets = group.offsets().iter().filter_map(|(partition, committed)| {
        Some(v1::CommittedOffset {
            topic: metadata.topic(partition.topic)?.name.to_string(),
            topic_id: partition.topic.get(),
            partition: partition.index.get(),
            offset: committed.offset.get(),
            metadata: committed.metadata.clone(),
            committed_at_ms: committed.committed_at.as_millis(),
        })
    });
    let mut offsets: Vec<_> = offsets.collect();
    offsets.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    offsets
}

pub(super) fn member_messages(metadata: &MetadataState, group: &Group) -> Vec<v1::GroupMember> {
    let members = group.members().iter().map(|(id, member)| v1::GroupMember {
        member_id: id.to_string(),
        client_name: member.client_name.clone(),
        subscription: Some(subscription_message(&member.subscription)),
        session_timeout_ms: member.session_timeout_ms,
        assignment: Some(assignment_message(metadata, member)),
    });
    members.collect()
}

fn subscription_message(subscription: &Subscription) -> v1::Subscription {
    match subscription {
        Subscription::Topics(topics) => v1::Subscription {
            topics: topics.iter().map(ToString::to_string).collect(),
            pattern: String::new(),
        },
        Subscription::Pattern(pattern) => v1::Subscription {
            topics: Vec::new(),
            pattern: pattern.clone(),
        },
    }
}
