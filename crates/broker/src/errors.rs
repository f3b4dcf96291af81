//! What goes wrong below, in the words that clients know, with what to do next.

use flotilla_protocol::{ApiError, OffsetRange};
use flotilla_raft::{AppendError, ProposeError, ReadError};
use flotilla_state::groups::{GroupRejection, JobRejection};
use flotilla_state::metadata::MetadataRejection;
use flotilla_state::partition::Rejection;
use flotilla_types::{
    ErrorCode, FencingToken, GroupId, JobName, MemberId, NodeId, PartitionIndex, TopicId, TopicName,
};

/// Longest message that repeats what others chose, in bytes. It travels in a header.
const MESSAGE_BYTES_MAX: usize = 2_000;

/// The beginning of a message that may be long, because it repeats what others chose.
pub(crate) fn shortened(message: &str) -> String {
    let end = message.floor_char_boundary(MESSAGE_BYTES_MAX);
    match &message[end..] {
        "" => message.to_owned(),
        _ => format!("{}…", &message[..end]),
    }
}

/// The same error, with the topic of several that it is about.
pub(crate) fn about(name: &TopicName, error: ApiError) -> ApiError {
    let message = format!("topic {name}: {}", error.message);
    ApiError::new(error.code, shortened(&message))
}

/// Whether the log surely does not hold a batch after this error, and another node, or the same
/// one a moment later, may take it.
pub(crate) fn may_go_elsewhere(error: &AppendError) -> bool {
    match error {
        AppendError::Propose(ProposeError::NotLeader { .. } | ProposeError::Unsettled { .. })
        | AppendError::Rejected(Rejection::OffsetMismatch { .. } | Rejection::MessageIdKnown) => {
            true
        }
        AppendError::Propose(
            ProposeError::TooLarge { .. }
            | ProposeError::ResultUnknown { .. }
            | ProposeError::Stopped { .. },
        )
        | AppendError::Rejected(
            Rejection::OutOfOrderSequence { .. }
            | Rejection::ProducerFenced { .. }
            | Rejection::UnknownProducer { .. }
            | Rejection::OwnerFenced { .. }
            | Rejection::MessageIdsFull
            | Rejection::TrimBeyondEnd { .. },
        ) => false,
    }
}

pub(crate) fn from_append(error: &AppendError) -> ApiError {
    match error {
        AppendError::Propose(error) => from_propose(error),
        AppendError::Rejected(rejection) => from_rejection(*rejection),
    }
}

pub(crate) fn from_propose(error: &ProposeError) -> ApiError {
    let (code, advice) = match error {
        ProposeError::NotLeader { .. } => (
            ErrorCode::NotLeader,
            "send it to the leader, or try again in a moment",
        ),
        ProposeError::Unsettled { .. } => (ErrorCode::LeaderNotAvailable, "try again in a moment"),
        ProposeError::TooLarge { .. } => (ErrorCode::InvalidArgument, "send it in parts"),
        // A group that stops may have let go of a proposal that is in the log.
        ProposeError::ResultUnknown { .. } | ProposeError::Stopped { .. } => (
            ErrorCode::ResultUnknown,
            "it may have been applied or not: look, or repeat it if that does no harm",
        ),
    };
    ApiError::new(code, format!("{error}: {advice}"))
}

fn from_rejection(rejection: Rejection) -> ApiError {
    let advice = match rejection {
        Rejection::OffsetMismatch { .. } | Rejection::MessageIdKnown => "try again in a moment",
        Rejection::OwnerFenced { .. } => {
            "stop this owner's work; whoever owns the job now fences itself in with FenceProducer"
        }
        Rejection::MessageIdsFull => {
            "send it later, add partitions, or shorten deduplication_window_ms of the topic"
        }
        Rejection::OutOfOrderSequence { .. } => {
            "send the missing batches first, or start again with a new producer id"
        }
        Rejection::ProducerFenced { .. } => {
            "a newer instance has taken over: stop this one, or give it a new producer id"
        }
        Rejection::UnknownProducer { .. } => "start again with a new producer id",
        Rejection::TrimBeyondEnd { .. } => "ask for the ends of the log and choose one of them",
    };
    ApiError::new(rejection.code(), format!("{rejection}: {advice}"))
}

pub(crate) fn from_metadata_rejection(rejection: &MetadataRejection) -> ApiError {
    let advice = match rejection {
        // The key or the value that is wrong is the whole message.
        MetadataRejection::ConfigInvalid(error) => {
            return ApiError::new(rejection.code(), error.to_string());
        }
        MetadataRejection::IdsExhausted => "start a new cluster",
        MetadataRejection::InvalidPartitionCount { .. } => "choose a number in that range",
        MetadataRejection::InvalidProducerIdCount => "ask for at least one",
        MetadataRejection::InvalidMove { .. } => "look at the placement again, and plan anew",
        MetadataRejection::InvalidReplicationFactor { .. } => "choose a number in that range",
        MetadataRejection::KeyExists { .. } => "choose another name, or remove that key first",
        MetadataRejection::KeyIdTaken { .. } => "try again, so that it gets another one",
        MetadataRejection::NodeRemoved { .. } => {
            "start the machine with an empty data directory and an id that no node ever had"
        }
        MetadataRejection::NotEnoughNodes { .. } => {
            "start more nodes, add those that are spare (`cluster add-node`), or choose a smaller \
             replication factor"
        }
        MetadataRejection::NodeFull { .. } => {
            "start more nodes, choose fewer partitions, or delete topics that nobody uses"
        }
        MetadataRejection::OtherPast { .. } => {
            "it was wiped or is an old copy, so give the machine a new node id"
        }
        MetadataRejection::SchemasTooLarge { .. } => "delete topics that nobody uses",
        MetadataRejection::TooManyAccessRules { .. } => {
            "write one rule with * or a scope in the place of many"
        }
        MetadataRejection::TooManyKeys => "remove keys that nobody uses",
        MetadataRejection::TooManySchemas { .. } => {
            "create a topic of another name for records of another kind"
        }
        MetadataRejection::TopicProtected { .. } => "set protected of the topic to false first",
        MetadataRejection::PlacementChanged { .. }
        | MetadataRejection::SchemaChanged { .. }
        | MetadataRejection::TopicsChanged { .. } => "look at it again, and repeat the change",
        MetadataRejection::TopicExists { .. } => "choose another name, or delete that topic first",
        MetadataRejection::UnknownKey { .. } => "look which keys there are",
        MetadataRejection::UnknownNode { .. } => "`cluster status` shows which there are",
        MetadataRejection::UnknownTopic { .. } => "`topic list` shows what there is",
    };
    ApiError::new(rejection.code(), format!("{rejection}: {advice}"))
}

pub(crate) fn from_read(error: ReadError) -> ApiError {
    match error {
        ReadError::OutOfRange {
            log_start,
            high_watermark,
            ..
        } => {
            let message = format!("{error}: start at one of its ends, or in between");
            let range = OffsetRange {
                log_start,
                high_watermark,
            };
            ApiError::new(ErrorCode::OffsetOutOfRange, message).with_offsets(range)
        }
        ReadError::Damaged(_) => replica_damaged(),
        ReadError::Storage(source) => {
            // A human must act: the disk of this node does not give back what it was given.
            tracing::error!(error = %source, "cannot read a partition's log");
            ApiError::new(
                ErrorCode::CorruptData,
                "this node cannot read its copy of the log: ask another replica",
            )
        }
    }
}

/// Another log than the one that was meant, of which nothing is left if it ever was.
pub(crate) fn another_topic(name: &TopicName, meant: TopicId, found: TopicId) -> ApiError {
    ApiError::new(
        ErrorCode::UnknownTopic,
        format!(
            "topic {name} has the id {found}, not {meant}: it may have been deleted and created again"
        ),
    )
}

pub(crate) fn metadata_lags() -> ApiError {
    ApiError::new(
        ErrorCode::LeaderNotAvailable,
        "this node lags behind the cluster's metadata: try again in a moment",
    )
}

pub(crate) fn from_group_rejection(rejection: &GroupRejection) -> ApiError {
    let advice = match rejection {
        GroupRejection::CoordinatorFull { .. } => "delete groups that nobody uses",
        GroupRejection::GroupFull { .. } => "spread the work over several groups",
        GroupRejection::GroupNotEmpty { .. } => "stop its members first",
        GroupRejection::UnknownGroup { .. } => "it begins with a member or an offset commit",
        GroupRejection::UnknownMember { .. } => "join again, and begin with what was committed",
    };
    ApiError::new(rejection.code(), format!("{rejection}: {advice}"))
}

pub(crate) fn from_job_rejection(rejection: &JobRejection) -> ApiError {
    let advice = match rejection {
        JobRejection::CoordinatorFull { .. } => {
            "use fewer jobs: those that nobody owns are forgotten after a week"
        }
        JobRejection::JobHeld { .. } => "wait until it is released, or its owner is silent",
    };
    ApiError::new(rejection.code(), format!("{rejection}: {advice}"))
}

pub(crate) fn stale_token(job: &JobName, token: FencingToken) -> ApiError {
    let message = format!(
        "the ownership of job {job} under the token {token} has ended: stop what was done under it"
    );
    ApiError::new(ErrorCode::StaleToken, message)
}

pub(crate) fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::InvalidArgument, message)
}

pub(crate) fn unknown_group(group: &GroupId) -> ApiError {
    from_group_rejection(&GroupRejection::UnknownGroup {
        group: group.clone(),
    })
}

pub(crate) fn unknown_member(group: &GroupId, member: &MemberId) -> ApiError {
    from_group_rejection(&GroupRejection::UnknownMember {
        group: group.clone(),
        member: member.clone(),
    })
}

pub(crate) fn disk_full(node: NodeId) -> ApiError {
    ApiError::new(
        ErrorCode::DiskFull,
        format!(
            "the disk of node {node} is too full to take records: \
             make room, shorten retention, or try again when old records have gone"
        ),
    )
}

pub(crate) fn journal_full(node: NodeId) -> ApiError {
    ApiError::new(
        ErrorCode::Overloaded,
        format!(
            "node {node} takes records faster than it can store them away: send it later, or \
             spread the partitions over more nodes"
        ),
    )
}

/// The replica of this node is out of use; the others serve.
pub(crate) fn replica_damaged() -> ApiError {
    ApiError::new(
        ErrorCode::LeaderNotAvailable,
        "this node's replica is damaged and is being rebuilt: try again, and another node answers",
    )
}

/// The partition has moved away from this node.
pub(crate) fn replica_moved() -> ApiError {
    ApiError::new(
        ErrorCode::LeaderNotAvailable,
        "this node has no replica of the partition any more: try again, and another node answers",
    )
}

pub(crate) fn only_replica_damaged(name: &TopicName, index: PartitionIndex) -> ApiError {
    let message = format!(
        "this node's replica of partition {index} of topic {name} is damaged, and no other replica \
         can be reached: bring back the nodes that have one"
    );
    ApiError::new(ErrorCode::LeaderNotAvailable, message)
}

pub(crate) fn unknown_topic(name: &TopicName) -> ApiError {
    let message = format!("there is no topic {name}: create it first");
    ApiError::new(ErrorCode::UnknownTopic, message)
}

pub(crate) fn unknown_partition(
    name: &TopicName,
    index: PartitionIndex,
    partition_count: u32,
) -> ApiError {
    let message =
        format!("topic {name} has no partition {index}: it has {partition_count}, numbered from 0");
    ApiError::new(ErrorCode::UnknownPartition, message)
}

pub(crate) fn no_leader(name: &TopicName, index: PartitionIndex) -> ApiError {
    ApiError::new(
        ErrorCode::LeaderNotAvailable,
        format!(
            "partition {index} of topic {name} has no leader that can be reached: \
             try again when a majority of its replicas is up"
        ),
    )
}

#[cfg(test)]
mod tests {
    use flotilla_raft::Leadership;
    use flotilla_types::{
        LeaderEpoch, Offset, ProducerEpoch, ProducerId, RaftGroupId, Sequence, TopicConfigError,
    };

    use super::*;

    const GROUP: RaftGroupId = RaftGroupId::new(3);

    fn append_errors() -> Vec<(AppendError, ErrorCode)> {
        let producer = ProducerId::new(7);
        let leadership = Leadership {
            leader: None,
            epoch: LeaderEpoch::new(1),
        };
        let proposals = [
            (
                ProposeError::NotLeader {
                    group: GROUP,
                    leadership,
                },
                ErrorCode::NotLeader,
            ),
            (
                ProposeError::Unsettled { group: GROUP },
                ErrorCode::LeaderNotAvailable,
            ),
            (
                ProposeError::ResultUnknown { group: GROUP },
                ErrorCode::ResultUnknown,
            ),
            (
                ProposeError::Stopped { group: GROUP },
                ErrorCode::ResultUnknown,
            ),
        ];
        let rejections = [
            (
                Rejection::OffsetMismatch {
                    expected: Offset::ZERO,
                },
                ErrorCode::LeaderNotAvailable,
            ),
            (
                Rejection::OutOfOrderSequence {
                    producer,
                    expected: Sequence::new(1),
                    found: Sequence::new(2),
                },
                ErrorCode::OutOfOrderSequence,
            ),
            (
                Rejection::ProducerFenced {
                    producer,
                    current: ProducerEpoch::new(2),
                    found: ProducerEpoch::new(1),
                },
                ErrorCode::ProducerFenced,
            ),
            (
                Rejection::UnknownProducer {
                    producer,
                    found: Sequence::new(2),
                },
                ErrorCode::UnknownProducer,
            ),
            (
                Rejection::TrimBeyondEnd {
                    next_offset: Offset::ZERO,
                },
                ErrorCode::OffsetOutOfRange,
            ),
        ];
        let proposals = proposals.map(|(error, code)| (AppendError::from(error), code));
        let rejections = rejections.map(|(error, code)| (AppendError::from(error), code));
        proposals.into_iter().chain(rejections).collect()
    }

    #[test]
    fn every_append_error_has_its_code_and_says_what_to_do() {
        for (error, code) in append_errors() {
            let api_error = from_append(&error);
            assert_eq!(api_error.code, code, "{error:?}");
            assert!(api_error.message.len() > error.to_string().len() + 2);
        }
    }

    #[test]
    fn only_what_surely_was_not_stored_goes_elsewhere() {
        for (error, _) in append_errors() {
            let code = from_append(&error).code;
            if may_go_elsewhere(&error) {
                assert!(code.is_definite() && code.is_retryable(), "{error:?}");
            } else {
                assert!(!code.is_definite() || !code.is_retryable(), "{error:?}");
            }
        }
    }

    #[test]
    fn a_rejected_configuration_is_told_by_its_key() {
        let error = TopicConfigError::UnknownKey {
            key: "retention".to_owned(),
        };
        let rejection = MetadataRejection::ConfigInvalid(error.clone());
        let api_error = from_metadata_rejection(&rejection);
        assert_eq!(api_error.code, ErrorCode::ConfigInvalid);
        assert_eq!(api_error.message, error.to_string());
    }

    #[test]
    fn an_offset_out_of_range_comes_with_the_range() {
        let error = from_read(ReadError::OutOfRange {
            offset: Offset::new(9),
            log_start: Offset::new(2),
            high_watermark: Offset::new(5),
        });
        assert_eq!(error.code, ErrorCode::OffsetOutOfRange);
        let range = error.offsets().unwrap();
        assert_eq!((range.log_start.get(), range.high_watermark.get()), (2, 5));
    }
}
