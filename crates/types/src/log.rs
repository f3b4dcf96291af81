//! Positions in a log.
//!
//! ```text
//!  offset     0        3    5            what users see: every record has one, without gaps
//!             |-batch--|-b--|-batch--|
//!  log index  1   2    3    4    5       what Raft sees: entries; blank and membership
//!            blank           member      entries have an index but no offset
//! ```
//!
//! Offsets bound half-open ranges: the log end offset is the next one to be given. Raft's pointers
//! are inclusive: `last`, `applied` and `purged` name an entry that exists. Only the `raft` crate
//! turns one kind into the other.

use std::fmt;

use crate::ids::{Term, id};

id! {
    /// Position of a record in a partition, from 0.
    Offset(u64)
}
id! {
    /// Number of an entry in a Raft log.
    LogIndex(u64)
}

impl Offset {
    pub const ZERO: Self = Self::new(0);

    /// The offset that follows `count` records from here.
    #[must_use]
    pub const fn advance(self, count: u64) -> Self {
        Self::new(self.get() + count)
    }

    /// How many records lie from `start` (inclusive) to here (exclusive), none if `start` is above.
    pub const fn distance_from(self, start: Self) -> u64 {
        self.get().saturating_sub(start.get())
    }
}

impl LogIndex {
    #[must_use]
    pub const fn next(self) -> Self {
        Self::new(self.get() + 1)
    }

    /// The entry before this one, if there can be one.
    pub const fn previous(self) -> Option<Self> {
        match self.get().checked_sub(1) {
            Some(index) => Some(Self::new(index)),
            None => None,
        }
    }
}

/// Names one entry of one leader: entries with equal log ids are the same entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    pub term: Term,
    pub index: LogIndex,
}

impl LogId {
    pub const fn new(term: Term, index: LogIndex) -> Self {
        Self { term, index }
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.term, self.index)
    }
}
