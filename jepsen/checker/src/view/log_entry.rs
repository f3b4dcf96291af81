//! Evidence of what is where in a partition.

use crate::history::{Nanos, Offset, RecordHash, RecordValue};

/// A value that is at an offset, and an operation that says so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogEntry {
    pub(crate) offset: Offset,
    /// `None` if it is none that the run sends.
    pub(crate) value: Option<RecordValue>,
    /// The place among the records of the partition, if it was sent.
    pub(crate) record: Option<usize>,
    pub(crate) operation: usize,
}

/// A record that was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sighting {
    pub(crate) offset: Offset,
    pub(crate) value: Option<RecordValue>,
    pub(crate) hash: Option<RecordHash>,
    pub(crate) record: Option<usize>,
    pub(crate) operation: usize,
    pub(crate) completed_at: Nanos,
    pub(crate) source: SightingSource,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SightingSource {
    Fetch,
    FinalRead,
}
