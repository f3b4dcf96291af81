//! What travels to the writer: a change of one group, and the promise to say how it went.

use std::sync::Arc;

use bytes::Bytes;
use flotilla_types::{LogId, LogIndex};

use super::file::JournalFileHandle;
use super::group::Group;
use crate::entry::{Completion, LogEntry};
use crate::error::StorageError;
use crate::life::Life;

/// A queued change. It has already taken effect in memory.
#[derive(Debug)]
pub(crate) struct Mutation {
    pub(crate) change: Change,
    pub(crate) done: Done,
}

#[derive(Debug)]
pub(crate) enum Change {
    Append {
        group: Arc<Group>,
        life: Life,
        entries: Vec<LogEntry>,
        /// It replaces the end of the log.
        replaces: bool,
    },
    Vote {
        group: Arc<Group>,
        vote: Bytes,
    },
    Truncate {
        group: Arc<Group>,
        first_removed: LogIndex,
    },
    Purge {
        group: Arc<Group>,
        last_purged: LogId,
    },
    Remove {
        group: Arc<Group>,
    },
    Reset {
        group: Arc<Group>,
        life: Life,
    },
    /// Changes nothing; done when everything before it is durable.
    Barrier,
    /// Changes nothing; it only waits for its turn to fail.
    Refused(StorageError),
    /// Copy what matters out of the oldest full files, as long as it is at most so many bytes a file.
    CopyForward {
        copy_bytes_max: u64,
        released: Released,
    },
    ShutDown,
}

/// A completion that is surely called: dropped without an outcome, it reports that storage closed.
pub(crate) struct Done(Option<Completion>);

/// A change that the writer did not take, because it has ended. Dropped, it runs its completion, so no
/// lock may be held then.
pub(crate) struct Unsent(
    #[expect(dead_code, reason = "it is there to be dropped")] pub(super) Option<Mutation>,
);

/// Where the writer puts the files that hold nothing of value any more.
pub(crate) type Released = Arc<parking_lot::Mutex<Vec<Arc<JournalFileHandle>>>>;

impl Change {
    /// Bytes that the change adds to a write, roughly.
    pub(crate) fn bytes(&self) -> u64 {
        let payload = match self {
            Self::Append { entries, .. } => return entries.iter().map(entry_bytes).sum(),
            Self::Vote { vote, .. } => vote.len(),
            _ => 0,
        };
        (super::format::FRAME_HEADER_BYTES + payload) as u64
    }
}

pub(crate) fn entry_bytes(entry: &LogEntry) -> u64 {
    (super::format::FRAME_HEADER_BYTES + entry.payload.len()) as u64
}

impl Done {
    pub(crate) fn new(completion: Completion) -> Self {
        Self(Some(completion))
    }

    pub(crate) fn complete(mut self, outcome: Result<(), StorageError>) {
        if let Some(completion) = self.0.take() {
            completion(outcome);
        }
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        if let Some(completion) = self.0.take() {
            completion(Err(StorageError::Closed));
        }
    }
}

impl std::fmt::Debug for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Done")
    }
}
