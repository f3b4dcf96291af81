//! The journal: one append-only log for all Raft groups of a node.
//!
//! ```text
//!  append, vote, truncate, purge        ┌──────── journal/ ─────────────────────────┐
//!     │ index, under the group's lock   │ 0000000007.log   full, indexed            │
//!     ▼                                 │ 0000000008.log   full, indexed            │
//!  queue ──► writer: one write, ───────►│ 0000000009.log   current                  │
//!            one sync, completions      │ spare-3          allocated, waits its turn│
//!                                       └───────────────────────────────────────────┘
//! ```
//!
//! Invariants:
//!
//! - A completion runs after the sync that covers its change, and completions run in the order of
//!   submission.
//! - Entries of a group form one contiguous range. They are readable before they are durable.
//! - Each write is synced before the next one begins, on pages of its own. So a whole write proves that
//!   everything before it was durable, and at a start a defect before it is damage, which stops the
//!   node. A defect after the last whole write is a write that was cut short, which nobody was told about.
//! - A file is released only when all that counts in it is durable elsewhere.
//!
//! It deliberately does not know what payloads mean, when entries may leave it (the sealer says so), or
//! how to go on after a failed write: it reports the failure and acknowledges nothing more.

mod block;
mod cache;
mod chain;
mod check;
#[cfg(test)]
mod crash_test;
mod file;
mod files;
mod format;
mod group;
mod handle;
#[cfg(test)]
mod handle_test;
#[cfg(test)]
mod model;
mod mutation;
#[cfg(test)]
mod past;
mod queue;
mod read;
mod recovery;
mod release;
mod replay;
#[cfg(test)]
mod rig;
mod scan;
mod shared;
mod spares;
mod table;
mod writer;

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use flotilla_types::{LogId, LogIndex, RaftGroupId};

use crate::life::Life;

pub(crate) use check::FileCheck;
pub(crate) use handle::Journal;
pub(crate) use mutation::Released;
pub(crate) use writer::Writer;

/// How the journal lays itself out and what it may use. Plain data.
#[derive(Clone, Debug)]
pub(crate) struct JournalConfig {
    /// Directory of the journal files; created if it is missing.
    pub(crate) directory: PathBuf,
    /// Size of one journal file, in bytes, rounded up to pages.
    pub(crate) file_bytes: u64,
    /// Released files that are kept for reuse.
    pub(crate) spare_files_max: usize,
    /// Bytes of entries that stay in memory after they were written, for the whole node.
    pub(crate) cache_bytes: usize,
    /// A random number, another one at each start. It makes frames that no payload can imitate.
    pub(crate) salt: u64,
}

/// What a start found.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    pub(crate) groups: BTreeMap<RaftGroupId, RecoveredGroup>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RecoveredGroup {
    pub(crate) vote: Option<Bytes>,
    pub(crate) last_purged: Option<LogId>,
    /// Entries up to here were in segments when their journal file was released: the segments must
    /// reach at least this far, else acknowledged entries are missing.
    pub(crate) sealed: Option<LogId>,
    /// First and last entry in the journal, both inclusive.
    pub(crate) range: Option<(LogId, LogId)>,
    pub(crate) removed: bool,
    /// The life that the log is in.
    pub(crate) life: Life,
}

/// One journal file, for the sealer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JournalFile {
    pub(crate) sequence: u32,
    /// Bytes in use.
    pub(crate) bytes: u64,
    /// Nothing is written to it any more.
    pub(crate) full: bool,
    /// Per group the first and the last entry that lies in the file and was not yet sealed, purged,
    /// truncated or removed, both inclusive.
    pub(crate) groups: Vec<(RaftGroupId, LogIndex, LogIndex)>,
}
