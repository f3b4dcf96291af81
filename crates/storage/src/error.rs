//! What can go wrong in storage. Both kinds of error tell the file, so that an operator can act.

use std::error::Error;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flotilla_types::{ErrorChain, LogIndex, RaftGroupId};

use crate::config::InvalidConfig;
use crate::identity::Identity;

/// Why the store did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{0}")]
    Io(#[source] IoFailure),
    /// Acknowledged data is damaged. The node must not start on it.
    #[error("{0}")]
    Corrupt(Corruption),
    #[error("{} has format version {found}, this build reads {supported}", file.display())]
    Format {
        file: PathBuf,
        found: u16,
        supported: u16,
    },
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    #[error(
        "{} is in use by another process; stop it, or give this node a data directory of its own",
        directory.display()
    )]
    InUse { directory: PathBuf },
    #[error(
        "{} was written by a newer version ({detail}); start that version, nothing was changed here",
        directory.display()
    )]
    NewerVersion { directory: PathBuf, detail: String },
    #[error(
        "{} was written in format {found}, by a version from before the first release that this one \
         does not read; nothing was changed. Start with an empty directory, or go on with that version",
        directory.display()
    )]
    OlderVersion { directory: PathBuf, found: u32 },
    #[error(
        "the tables in {} could not be opened; nothing was changed. If the damage stays, move the \
         directory away and let this node start again under a new node id",
        directory.display()
    )]
    Tables {
        directory: PathBuf,
        #[source]
        source: TablesFailure,
    },
    /// One half of the data directory is not there. The store does not guess what was in it.
    #[error(
        "{} is missing while the rest of the data directory is there; put it back, or move the \
         directory away and let this node start again under a new node id",
        missing.display()
    )]
    Incomplete { missing: PathBuf },
}

/// Why an operation on the store failed. Cheap to clone: one failure goes to many completions.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StorageError {
    /// Reading or writing a journal file failed. Nothing is acknowledged any more; the node stops.
    #[error("{0}")]
    Journal(#[source] IoFailure),
    /// Acknowledged data is damaged and was not served.
    #[error("{0}")]
    Corrupt(Corruption),
    /// The store was closed before the operation was durable.
    #[error("storage is closed")]
    Closed,
    #[error("raft group {0} was removed")]
    Removed(RaftGroupId),
    /// The entries do not continue the log.
    #[error("raft group {group} continues at {expected}, not at {found}")]
    NotContiguous {
        group: RaftGroupId,
        expected: LogIndex,
        found: LogIndex,
    },
    #[error("{bytes} bytes in one change of raft group {group}, {bytes_max} are allowed")]
    TooLarge {
        group: RaftGroupId,
        bytes: u64,
        bytes_max: u64,
    },
    /// A stored entry is not what was stored. It is not served; the replica has to be rebuilt.
    #[error("entry {index} of raft group {group} is damaged")]
    DamagedEntry {
        group: RaftGroupId,
        index: LogIndex,
        #[source]
        source: TablesFailure,
    },
    /// An entry that was acknowledged is nowhere. The replica has to be rebuilt.
    #[error("entry {index} of raft group {group} is missing")]
    MissingEntry { group: RaftGroupId, index: LogIndex },
    /// Reading or writing beside the journal failed.
    #[error("the tables failed")]
    Tables(#[source] TablesFailure),
    /// A thread of the store has ended in a panic, which is a mistake in this program.
    #[error("the {thread} thread panicked")]
    Panicked { thread: &'static str },
    /// The data directory belongs to another node or another cluster.
    #[error("the data directory belongs to node {} of cluster {}", found.node, found.cluster)]
    ForeignDirectory { found: Identity },
}

impl StorageError {
    /// The innermost reason, which the messages above it leave to their source.
    pub fn root_cause(&self) -> &(dyn Error + 'static) {
        let mut innermost: &(dyn Error + 'static) = self;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        innermost
    }

    /// The message with all reasons behind it, for logs and last words.
    pub fn chain(&self) -> impl Display {
        ErrorChain(self)
    }
}

/// What RocksDB, or whatever stands in for it, had to say.
pub type TablesFailure = Arc<dyn std::error::Error + Send + Sync>;

/// An operation on a file that failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot {operation} {}", file.display())]
pub struct IoFailure {
    pub operation: &'static str,
    pub file: PathBuf,
    #[source]
    pub source: Arc<io::Error>,
}

/// Damage to data that was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is damaged at byte {position}: {reason}", file.display())]
pub struct Corruption {
    pub file: PathBuf,
    pub position: u64,
    pub reason: &'static str,
}

impl IoFailure {
    pub(crate) fn new(operation: &'static str, file: &Path, source: io::Error) -> Self {
        Self {
            operation,
            file: file.to_path_buf(),
            source: Arc::new(source),
        }
    }
}

impl From<IoFailure> for OpenError {
    fn from(failure: IoFailure) -> Self {
        Self::Io(failure)
    }
}

impl From<IoFailure> for StorageError {
    fn from(failure: IoFailure) -> Self {
        Self::Journal(failure)
    }
}

impl From<Corruption> for OpenError {
    fn from(corruption: Corruption) -> Self {
        Self::Corrupt(corruption)
    }
}

impl From<Corruption> for StorageError {
    fn from(corruption: Corruption) -> Self {
        Self::Corrupt(corruption)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::TablesError;

    #[test]
    fn a_chain_names_every_reason_once() {
        let full = io::Error::new(io::ErrorKind::StorageFull, "No space left on device");
        let error = StorageError::from(TablesError::NoSpace(Arc::new(full)));
        assert_eq!(error.to_string(), "the tables failed");
        assert_eq!(
            error.chain().to_string(),
            "the tables failed: the disk is full: No space left on device"
        );
        assert_eq!(error.root_cause().to_string(), "No space left on device");
        let broken = IoFailure::new("sync", Path::new("7.log"), io::Error::other("broken"));
        let error = StorageError::from(broken);
        assert_eq!(error.chain().to_string(), "cannot sync 7.log: broken");
        assert_eq!(
            StorageError::Closed.chain().to_string(),
            "storage is closed"
        );
        assert_eq!(
            StorageError::Closed.root_cause().to_string(),
            "storage is closed"
        );
    }
}
