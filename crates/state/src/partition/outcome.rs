//! What applying a command to a partition answers, and what the caller has to carry out.

use flotilla_types::{
    ErrorCode, FencingToken, LogIndex, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp,
};

use super::Checkpoint;

/// The result of one command.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    pub outcome: Outcome,
    /// In the order in which they happened. Empty for most commands.
    pub changes: Vec<Change>,
}

/// What the proposer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The batch has the offsets from `base_offset` up to, not including, `end_offset`.
    Appended {
        base_offset: Offset,
        end_offset: Offset,
    },
    /// The same batch was appended before, at these offsets. Nothing changed.
    Duplicate {
        base_offset: Offset,
        end_offset: Offset,
    },
    /// Records below `log_start` are no longer readable.
    Trimmed { log_start: Offset },
    /// The open interval has ended, or was empty.
    SegmentClosed,
    /// The owner of the job may append, in this epoch. Nothing of earlier owners, or of earlier
    /// instances of its producer, comes at `end_offset` or later.
    Fenced {
        end_offset: Offset,
        epoch: ProducerEpoch,
    },
    /// The command did not fit. Nothing changed.
    Rejected(Rejection),
}

/// Why a command did not fit the state that it met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The leader stamped its batch for another state than the one that it met. The proposer stamps
    /// it anew; a client never sees this.
    #[error("the batch is stamped with another offset than {expected}, which is next")]
    OffsetMismatch { expected: Offset },
    #[error("producer {producer} sent sequence {found} where {expected} is next")]
    OutOfOrderSequence {
        producer: ProducerId,
        expected: Sequence,
        found: Sequence,
    },
    #[error("producer {producer} of epoch {found} is fenced by epoch {current}")]
    ProducerFenced {
        producer: ProducerId,
        current: ProducerEpoch,
        found: ProducerEpoch,
    },
    /// The producer never wrote here, or was silent for so long that it was forgotten. It may start
    /// again at sequence 0, with a new epoch or a new id.
    #[error("producer {producer} is not known here, and sequence {found} does not start it")]
    UnknownProducer {
        producer: ProducerId,
        found: Sequence,
    },
    /// The owner of a job appends without being fenced in, or a later owner was.
    #[error(
        "the owner with fencing token {found} may not append here: a later owner of its job has been \
         fenced in, or it has not"
    )]
    OwnerFenced { found: FencingToken },
    /// A record has a message id that is known here. The proposer asks again which one, and leaves it
    /// out; a client never sees this.
    #[error("a record of the batch has a message id that is known here")]
    MessageIdKnown,
    #[error("the partition remembers as many message ids as it can")]
    MessageIdsFull,
    #[error("the log start cannot move above the high watermark, {next_offset}")]
    TrimBeyondEnd { next_offset: Offset },
}

impl Rejection {
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::OffsetMismatch { .. } => ErrorCode::LeaderNotAvailable,
            Self::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequence,
            Self::ProducerFenced { .. } | Self::OwnerFenced { .. } => ErrorCode::ProducerFenced,
            Self::MessageIdKnown => ErrorCode::LeaderNotAvailable,
            Self::MessageIdsFull => ErrorCode::Overloaded,
            Self::UnknownProducer { .. } => ErrorCode::UnknownProducer,
            Self::TrimBeyondEnd { .. } => ErrorCode::OffsetOutOfRange,
        }
    }
}

/// What the caller writes down or starts, because the state decided it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A row of the sparse index that leads from offsets and timestamps to log entries.
    IndexRow {
        base_offset: Offset,
        /// The entry that holds the batch with this base offset.
        index: LogIndex,
        /// When that batch was appended: it never falls from row to row.
        appended_at: Timestamp,
        /// The largest record timestamp up to and including this batch, so it never falls from row
        /// to row: the first record at or after T lies behind the last row that is below T.
        max_timestamp: Timestamp,
    },
    /// The interval ends with this entry. Encode the state now: that image belongs to the
    /// checkpoint. The purge point may have moved.
    Boundary(Checkpoint),
    /// Records below `offset` are no longer readable. The purge point may have moved.
    LogStart { offset: Offset },
}
