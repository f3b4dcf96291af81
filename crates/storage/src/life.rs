//! The lives of a group's log.
//!
//! A reset ends one life of a log and begins the next: the same group, an empty log, the same vote.
//! What was begun in one life (a segment half written, a purge under way) must not touch another, so it
//! carries its life along and is dropped when that has ended.

/// How often a group's log has begun anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Life(u64);

impl Life {
    pub(crate) const fn new(number: u64) -> Self {
        Self(number)
    }

    pub(crate) const fn get(self) -> u64 {
        self.0
    }

    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
