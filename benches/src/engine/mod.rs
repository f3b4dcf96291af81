//! Two engines that make batches durable, under one load: the journal of `flotilla_storage`, and a
//! plain RocksDB set up as well as one can without a journal of one's own.
//!
//! ```text
//!   submitters ── window ──► Engine::append ──► durable ──► done
//!                                 │
//!                                 └── in the end: drain until everything is in its final place
//! ```

mod journal;
mod load;
mod plain_rocksdb;
mod run;

use anyhow::Result;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

pub use journal::JournalEngine;
pub use load::{Accepted, write};
pub use plain_rocksdb::PlainRocksDb;
pub use run::{Phase, RunOutcome, RunPlan, in_own_process, run};

/// Called once the batch is durable. It must not block.
pub type Done = Box<dyn FnOnce() + Send>;

/// A store of the logs of several groups.
pub trait Engine: Send + Sync {
    /// Appends the batch with this index to the log of a group. Indexes count from 1 without gaps,
    /// and each group has one caller. A store that fails ends the process.
    fn append(&self, group: u32, index: u64, batch: &Bytes, done: Done);

    /// The batch with this index, and everything before it, is durable and was answered.
    fn acknowledged(&self, group: u32, index: u64, bytes: u64);

    /// Waits until everything that was written is where it stays, or what is left to do waits for more.
    fn drain(&self) -> Result<()>;

    /// Bytes that will be written once more, to their final place.
    fn unsealed_bytes(&self) -> u64;

    /// What the engine says that it has written since it was opened.
    fn account(&self) -> Account;

    fn close(&self);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum EngineName {
    Journal,
    Rocksdb,
}

/// What a drained journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum AtRest {
    /// Everything is sealed, and the journal is empty. The only setting that is not the product's.
    Sealed,
    /// As in the product, the newest part stays in the journal until more comes.
    AsUsual,
}

/// Bytes written, as an engine counts them itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// Frames of the journal, with what aligns them.
    pub journal_bytes: u64,
    pub sealed_bytes: u64,
}

/// What the load looks like.
#[derive(Args, Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    /// Bytes of a batch, of which one half is random
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 10)]
    pub batch_bytes: usize,
    /// Raft groups that are written at the same time
    #[arg(long, value_name = "N", default_value_t = 12)]
    pub groups: u32,
    /// Threads that submit, each with groups of its own
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub submitters: u32,
    /// Batches on their way, for each submitter
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub window: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            batch_bytes: 64 << 10,
            groups: 12,
            submitters: 4,
            window: 16,
        }
    }
}

impl Account {
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            journal_bytes: self.journal_bytes - earlier.journal_bytes,
            sealed_bytes: self.sealed_bytes - earlier.sealed_bytes,
        }
    }
}

impl AtRest {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::AsUsual => "as-usual",
        }
    }
}

impl EngineName {
    pub const ALL: [Self; 2] = [Self::Journal, Self::Rocksdb];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Rocksdb => "rocksdb",
        }
    }
}
