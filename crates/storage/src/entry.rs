//! What a Raft log holds, as storage sees it: the payload is opaque.

use bytes::Bytes;
use flotilla_types::LogId;

use crate::error::StorageError;

/// One entry of a Raft log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    pub id: LogId,
    pub kind: EntryKind,
    pub payload: Bytes,
}

/// What the payload of an entry is. The numbers are on disk and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// Written by a new leader to learn what is committed. It has no payload.
    Blank,
    /// A change of the group's members.
    Membership,
    /// A command for the state machine.
    Command,
}

/// The ends of a Raft log. Both are inclusive, as Raft's pointers are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogBounds {
    /// Everything up to here is gone for good.
    pub last_purged: Option<LogId>,
    /// The last entry; `last_purged` when there is no entry after it.
    pub last: Option<LogId>,
}

/// Called once with the outcome of a durable change: on the writer thread, strictly in the order in
/// which the changes were submitted, after the sync that covers the change. It must not block.
pub type Completion = Box<dyn FnOnce(Result<(), StorageError>) + Send + 'static>;

impl EntryKind {
    pub(crate) const fn to_byte(self) -> u8 {
        match self {
            Self::Blank => 0,
            Self::Membership => 1,
            Self::Command => 2,
        }
    }

    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Blank),
            1 => Some(Self::Membership),
            2 => Some(Self::Command),
            _ => None,
        }
    }
}
