//! openraft's own conformance suite, on the real journal and RocksDB.

use std::sync::Arc;

use flotilla_storage::{Seams, Storage, StorageConfig};
use flotilla_types::RaftGroupId;
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

use crate::cluster_test::show_logs;
use crate::log_store::LogStore;
use crate::machine::{Machine, MetadataCell, StateMachine};
use crate::type_config::TypeConfig;

struct Builder;

/// Keeps the storage and its directory alive while a test of the suite runs.
struct Guard {
    storage: Storage,
    _directory: TempDir,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.storage.close();
    }
}

impl StoreBuilder<TypeConfig, LogStore, StateMachine, Guard> for Builder {
    async fn build(&self) -> Result<(Guard, LogStore, StateMachine), StorageError<TypeConfig>> {
        let directory = TempDir::new().unwrap();
        let mut config = StorageConfig::new(directory.path());
        config.journal_file_bytes = 1 << 20;
        let storage = Storage::open(config, Seams::real()).unwrap();
        let log = storage.group(RaftGroupId::METADATA).unwrap();
        let cell = Arc::new(MetadataCell::open(log.clone()).unwrap());
        let guard = Guard {
            storage,
            _directory: directory,
        };
        let machine = StateMachine::with_gaps(Machine::Metadata(cell));
        Ok((guard, LogStore::with_gaps(log), machine))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_keeps_the_contract_of_openraft() {
    show_logs();
    Suite::test_all(Builder).await.unwrap();
}
