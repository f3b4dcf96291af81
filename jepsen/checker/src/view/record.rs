//! What all tries to send a record come to.

use crate::history::{Nanos, Offset, RecordValue};

#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) value: RecordValue,
    /// The tries are `attempts[start..end]` of the partition.
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// When the record was first sent: it is not in the log before.
    pub(crate) invoked_at: Nanos,
    /// The operation of the first try.
    pub(crate) operation: usize,
    pub(crate) fate: RecordFate,
    /// The smallest offset at which somebody read it.
    pub(crate) first_seen: Option<Offset>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordFate {
    /// When it was first known to be stored, and the largest offset that was answered.
    Acknowledged {
        at: Nanos,
        last_offset: Offset,
        operation: usize,
    },
    /// Every try failed, so that it is stored nowhere.
    Failed,
    /// It may be stored.
    Unknown,
}
