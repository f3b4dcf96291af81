//! Where storage touches the world: what a simulation replaces.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use crate::clock::{MonotonicClock, RealClock};
use crate::disk::{Disk, RealDisk};
use crate::tables::OpenTables;
use crate::tables::memory::MemoryTables;
use crate::tables::rocks::RocksTablesFactory;

/// Everything that [`Storage`](crate::Storage) needs from outside.
#[derive(Clone, Debug)]
pub struct Seams {
    pub disk: Arc<dyn Disk>,
    pub tables: TablesFactory,
    pub clock: Arc<dyn MonotonicClock>,
    pub threads: Threads,
    /// A number that no earlier start on the same directory had. It tells this start's journal
    /// frames from those of a file's former life.
    pub journal_salt: u64,
}

/// Who runs the journal's writer, the row writer and the sealer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// A thread for each.
    Spawned,
    /// Whoever calls [`Storage::step`](crate::Storage::step).
    Stepped,
}

/// Makes the tables beside the journal.
#[derive(Clone)]
pub struct TablesFactory(pub(crate) Arc<dyn OpenTables>);

impl Seams {
    /// The machine itself.
    pub fn real() -> Self {
        Self {
            disk: Arc::new(RealDisk),
            tables: TablesFactory::rocksdb(),
            clock: Arc::new(RealClock::new()),
            threads: Threads::Spawned,
            // Each `RandomState` has random keys, so hashing nothing yields a random number.
            journal_salt: RandomState::new().build_hasher().finish(),
        }
    }
}

impl TablesFactory {
    pub fn rocksdb() -> Self {
        Self(Arc::new(RocksTablesFactory))
    }

    /// Tables in memory that survive as long as `tables` does.
    pub fn memory(tables: &MemoryTables) -> Self {
        Self(Arc::new(tables.clone()))
    }
}

impl fmt::Debug for TablesFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TablesFactory").finish_non_exhaustive()
    }
}
