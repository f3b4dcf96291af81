//! Durable bytes: what a node must not lose.
//!
//! ```text
//!   append, vote, truncate, purge            rows
//!            │                                │
//!        journal ── sync ── completions ── row writer ──┐
//!            │  one file sequence for all groups        │
//!          sealer: committed, applied, durable runs     │
//!            ├─────────────► segments  (one sorted file per run)      RocksDB
//!            └─────────────► leftovers (small runs, shared files) ────┘
//! ```
//!
//! Everything durable of every Raft group goes through one journal and is acknowledged after its
//! sync. The sealer moves what will never change again into tables, and reads find each entry
//! wherever it lies. State rows reach their table only after the log entries that caused them.
//!
//! Payloads are opaque here. This crate knows neither Raft's rules nor records, and it spawns no
//! thread that [`Storage::close`] does not end.

mod chores;
mod clock;
mod config;
#[cfg(test)]
mod conformance_test;
#[cfg(test)]
mod crash_test;
mod damage;
mod directory_lock;
#[cfg(test)]
mod directory_test;
mod disk;
mod engine;
mod entry;
mod error;
mod failure;
#[cfg(test)]
mod fault_test;
mod group;
mod identity;
mod journal;
mod life;
#[cfg(test)]
mod model;
#[cfg(test)]
mod observed;
mod open;
mod read;
#[cfg(test)]
mod reset_test;
#[cfg(test)]
mod rig;
mod rows;
mod scrub;
#[cfg(test)]
mod scrub_test;
mod sealed;
mod sealer;
mod seams;
mod space;
mod storage;
mod stored;
mod tables;
#[cfg(test)]
mod threads_test;
mod trouble;
mod usage;
mod workers;
mod write_pressure;

pub use clock::{MonotonicClock, RealClock};
pub use config::{InvalidConfig, StorageConfig};
pub use damage::DamageListener;
pub use directory_lock::lock_directory;
pub use disk::{CrashStyle, Disk, DiskFile, Fault, RealDisk, SimDisk};
pub use entry::{Completion, EntryKind, LogBounds, LogEntry};
pub use error::{Corruption, IoFailure, OpenError, StorageError, TablesFailure};
pub use group::{GroupLog, Row};
pub use identity::Identity;
pub use seams::{Seams, TablesFactory, Threads};
pub use storage::Storage;
pub use tables::KeyValue;
pub use tables::memory::MemoryTables;
pub use trouble::SealingTrouble;
pub use usage::Usage;
pub use write_pressure::{PressureListener, WritePressure};
