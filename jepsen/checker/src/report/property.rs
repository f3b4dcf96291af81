//! The names of the promises. Each is stated in the file of the same name in `check`.

use std::fmt;

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Property {
    AbortedRead,
    CommittedOffset,
    CreatedTopic,
    Cycle,
    DeletedTopic,
    Dense,
    Duplicate,
    DurableReads,
    FencingToken,
    FreshTail,
    GroupCoverage,
    GuardedWrite,
    IdempotentProducer,
    InconsistentOffsets,
    IntNonmonotonicPoll,
    IntNonmonotonicSend,
    IntPollSkip,
    InventedRead,
    LostWrite,
    MessageId,
    NonmonotonicPoll,
    NonmonotonicSend,
    OffsetCommitBack,
    OldGeneration,
    PollSkip,
    RealTimeOrder,
    Recovery,
    ReplicaEquality,
    Unseen,
}

impl Property {
    pub const ALL: [Self; 29] = [
        Self::AbortedRead,
        Self::CommittedOffset,
        Self::CreatedTopic,
        Self::Cycle,
        Self::DeletedTopic,
        Self::Dense,
        Self::Duplicate,
        Self::DurableReads,
        Self::FencingToken,
        Self::FreshTail,
        Self::GroupCoverage,
        Self::GuardedWrite,
        Self::IdempotentProducer,
        Self::InconsistentOffsets,
        Self::IntNonmonotonicPoll,
        Self::IntNonmonotonicSend,
        Self::IntPollSkip,
        Self::InventedRead,
        Self::LostWrite,
        Self::MessageId,
        Self::NonmonotonicPoll,
        Self::NonmonotonicSend,
        Self::OffsetCommitBack,
        Self::OldGeneration,
        Self::PollSkip,
        Self::RealTimeOrder,
        Self::Recovery,
        Self::ReplicaEquality,
        Self::Unseen,
    ];

    /// Those that Jepsen's Kafka workload knows too have its names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AbortedRead => "aborted-read",
            Self::CommittedOffset => "committed-offset",
            Self::CreatedTopic => "created-topic",
            Self::Cycle => "cycle",
            Self::DeletedTopic => "deleted-topic",
            Self::Dense => "dense",
            Self::Duplicate => "duplicate",
            Self::DurableReads => "durable-reads",
            Self::FencingToken => "fencing-token",
            Self::FreshTail => "fresh-tail",
            Self::GroupCoverage => "group-coverage",
            Self::GuardedWrite => "guarded-write",
            Self::IdempotentProducer => "idempotent-producer",
            Self::InconsistentOffsets => "inconsistent-offsets",
            Self::IntNonmonotonicPoll => "int-nonmonotonic-poll",
            Self::IntNonmonotonicSend => "int-nonmonotonic-send",
            Self::IntPollSkip => "int-poll-skip",
            Self::InventedRead => "invented-read",
            Self::LostWrite => "lost-write",
            Self::MessageId => "message-id",
            Self::NonmonotonicPoll => "nonmonotonic-poll",
            Self::NonmonotonicSend => "nonmonotonic-send",
            Self::OffsetCommitBack => "offset-commit-back",
            Self::OldGeneration => "old-generation",
            Self::PollSkip => "poll-skip",
            Self::RealTimeOrder => "real-time-order",
            Self::Recovery => "recovery",
            Self::ReplicaEquality => "replica-equality",
            Self::Unseen => "unseen",
        }
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
