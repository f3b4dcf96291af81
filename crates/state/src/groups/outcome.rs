//! What applying a command answers.

use flotilla_types::limits::{COORDINATOR_GROUPS_MAX, GROUP_MEMBERS_MAX, GROUP_OFFSETS_MAX};
use flotilla_types::{ErrorCode, Generation, GroupId, MemberId};

use super::jobs::JobOutcome;

/// The result of one command. Only `Rejected`, `Stale` and `Unchanged` say that nothing changed for
/// sure; the others also answer a command that had nothing left to do.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoordinatorOutcome {
    Joined,
    Assigned {
        generation: Generation,
    },
    /// The distribution was the one that is.
    Unchanged,
    /// The command was decided on a membership that is no more: it did nothing.
    Stale,
    /// So many partitions were given up.
    Released {
        count: usize,
    },
    /// The member is not in the group, and perhaps never was.
    Left,
    /// One result for each commit, in the order of the command.
    OffsetsCommitted(Vec<Result<(), CommitFault>>),
    Deleted,
    Forgotten,
    GroupsExpired {
        count: usize,
    },
    /// It was about a job.
    Job(JobOutcome),
    Rejected(GroupRejection),
}

/// Why a command did not fit the state that it met.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupRejection {
    #[error(
        "consumer group {group} would be one too many: its coordinator holds \
         {COORDINATOR_GROUPS_MAX} groups"
    )]
    CoordinatorFull { group: GroupId },
    #[error("consumer group {group} has {GROUP_MEMBERS_MAX} members, and that is the most")]
    GroupFull { group: GroupId },
    #[error("consumer group {group} has {members} members")]
    GroupNotEmpty { group: GroupId, members: usize },
    #[error("there is no consumer group {group}")]
    UnknownGroup { group: GroupId },
    #[error("consumer group {group} has no member {member}")]
    UnknownMember { group: GroupId, member: MemberId },
}

impl GroupRejection {
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::CoordinatorFull { .. } | Self::GroupFull { .. } => ErrorCode::GroupFull,
            Self::GroupNotEmpty { .. } => ErrorCode::GroupNotEmpty,
            Self::UnknownGroup { .. } => ErrorCode::UnknownGroup,
            Self::UnknownMember { .. } => ErrorCode::UnknownMember,
        }
    }
}

/// Why one offset of a commit was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitFault {
    #[error("the consumer group has {GROUP_OFFSETS_MAX} committed offsets, and that is the most")]
    GroupFull,
    #[error("the member does not hold the partition in generation {generation}")]
    StaleGeneration { generation: Generation },
}

impl CommitFault {
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::GroupFull => ErrorCode::GroupFull,
            Self::StaleGeneration { .. } => ErrorCode::StaleGeneration,
        }
    }
}
