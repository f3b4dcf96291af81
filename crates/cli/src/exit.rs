//! The exit codes: one table for all commands. A code never changes its meaning.

use std::process::ExitCode;

use flotilla_types::ErrorCode;

/// How a command ended, for scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All of it was done.
    Done,
    /// It was tried and failed.
    Failed,
    /// The arguments make no sense, to this program or to the cluster.
    Usage,
    /// No node answers, or the cluster cannot serve this at the moment.
    Unavailable,
    /// What the command names does not exist.
    NotFound,
    /// What the command would create exists, or something newer has taken its place.
    Conflict,
    /// A part was done and another failed. stderr says which.
    Partial,
    /// The caller is not known, or may not do this.
    Denied,
    /// A comparison that was asked to say so found differences.
    Different,
    /// A signal ended the command before it was done.
    Interrupted,
}

impl Exit {
    /// The table as `--help` shows it.
    pub const HELP: &'static str = "\
Exit codes:
  0    done
  1    failed
  2    arguments make no sense
  3    no node answers, or the cluster cannot serve this now
  4    not found
  5    exists already, or is in conflict with something newer
  6    done in part
  7    the caller is not known, or may not do this
  9    there are differences, after `diff --exit-code`
  130  interrupted";

    pub const ALL: [Self; 10] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::Unavailable,
        Self::NotFound,
        Self::Conflict,
        Self::Partial,
        Self::Denied,
        Self::Different,
        Self::Interrupted,
    ];

    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unavailable => 3,
            Self::NotFound => 4,
            Self::Conflict => 5,
            Self::Partial => 6,
            Self::Denied => 7,
            Self::Different => 9,
            Self::Interrupted => 130,
        }
    }

    pub(crate) const fn of(code: ErrorCode) -> Self {
        match code {
            ErrorCode::BatchMalformed
            | ErrorCode::BatchTooLarge
            | ErrorCode::ChecksumMismatch
            | ErrorCode::ClusterMismatch
            | ErrorCode::CorruptData
            | ErrorCode::Internal
            | ErrorCode::OffsetOutOfRange
            | ErrorCode::OutOfOrderSequence
            | ErrorCode::RecordInvalid
            | ErrorCode::StaleGeneration
            | ErrorCode::StaleToken
            | ErrorCode::UnknownMember
            | ErrorCode::UnknownProducer => Self::Failed,
            ErrorCode::ConfigInvalid
            | ErrorCode::InvalidArgument
            | ErrorCode::InvalidGroupId
            | ErrorCode::InvalidJobName
            | ErrorCode::InvalidTopicName
            | ErrorCode::SchemaInvalid
            | ErrorCode::UnknownCodec => Self::Usage,
            ErrorCode::CoordinatorFull
            | ErrorCode::DiskFull
            | ErrorCode::GroupFull
            | ErrorCode::IdentityUnavailable
            | ErrorCode::LeaderNotAvailable
            | ErrorCode::NotEnoughNodes
            | ErrorCode::NotLeader
            | ErrorCode::Overloaded
            | ErrorCode::ResultUnknown
            | ErrorCode::ShuttingDown
            | ErrorCode::Timeout => Self::Unavailable,
            ErrorCode::UnknownGroup
            | ErrorCode::UnknownKey
            | ErrorCode::UnknownNode
            | ErrorCode::UnknownPartition
            | ErrorCode::UnknownSchema
            | ErrorCode::UnknownTopic => Self::NotFound,
            ErrorCode::GroupNotEmpty
            | ErrorCode::JobHeld
            | ErrorCode::KeyExists
            | ErrorCode::ProducerFenced
            | ErrorCode::SchemaIncompatible
            | ErrorCode::SchemaRequired
            | ErrorCode::TopicExists
            | ErrorCode::TopicProtected
            | ErrorCode::VersionConflict => Self::Conflict,
            ErrorCode::PermissionDenied | ErrorCode::Unauthenticated => Self::Denied,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_lists_every_code_and_no_other() {
        let listed: Vec<u8> = Exit::HELP
            .lines()
            .skip(1)
            .map(|line| line.split_whitespace().next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(listed, Exit::ALL.map(Exit::code));
    }

    #[test]
    fn what_is_missing_taken_or_out_of_reach_can_be_told_apart() {
        assert_eq!(Exit::of(ErrorCode::UnknownTopic).code(), 4);
        assert_eq!(Exit::of(ErrorCode::TopicExists).code(), 5);
        assert_eq!(Exit::of(ErrorCode::Timeout).code(), 3);
        assert_eq!(Exit::of(ErrorCode::ConfigInvalid).code(), 2);
    }
}
