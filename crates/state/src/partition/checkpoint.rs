//! The replicated boundaries inside a partition's log.

use flotilla_types::{LogIndex, Offset, Timestamp};

/// The entry that ends an interval of the log. Segments never span it, retention works in whole
/// intervals, and the state as of this entry is what a snapshot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The last entry of the interval.
    pub index: LogIndex,
    /// The offset that the first record after the interval gets.
    pub end_offset: Offset,
    /// Bytes of record batches in the interval.
    pub bytes: u64,
    /// When the last batch of the interval was appended: retention counts ages from there.
    pub appended_at: Timestamp,
}
