//! One try to send one record.

use crate::history::{
    JobGuard, Nanos, Offset, ProcessNumber, ProducerEpoch, ProducerId, RecordValue, Sequence,
};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) value: RecordValue,
    pub(crate) operation: usize,
    /// The place of the record in its batch.
    pub(crate) nth: usize,
    pub(crate) process: ProcessNumber,
    pub(crate) invoked_at: Nanos,
    pub(crate) fate: Fate,
    pub(crate) stamp: Option<(ProducerId, ProducerEpoch, Sequence)>,
    pub(crate) message_id: Option<&'a str>,
    pub(crate) guard: Option<&'a JobGuard>,
}

/// What the producer was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Acknowledged {
        at: Nanos,
        offset: Offset,
        is_duplicate: bool,
    },
    /// A record with the same message id is there in its stead.
    Replaced {
        at: Nanos,
        offset: Offset,
    },
    Failed,
    Unknown,
}

impl Fate {
    /// Where the answer says that the record, or the one in its stead, is.
    pub(crate) const fn answered(self) -> Option<(Nanos, Offset)> {
        match self {
            Self::Acknowledged { at, offset, .. } | Self::Replaced { at, offset } => {
                Some((at, offset))
            }
            Self::Failed | Self::Unknown => None,
        }
    }
}
