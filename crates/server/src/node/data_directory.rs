//! Opening the data directory and making sure that it is this node's own.

use flotilla_storage::{Identity, Seams, Storage, StorageError};
use tokio::task::spawn_blocking;

use super::error::NodeError;
use crate::config::ServerConfig;

/// Recovers what the directory holds and counts one more start of this node. A directory of another
/// node is refused and left as it is.
pub(super) async fn open(config: &ServerConfig) -> Result<(Storage, Identity), NodeError> {
    let config = config.clone();
    let opening = spawn_blocking(move || open_blocking(&config));
    opening
        .await
        .expect("invariant: opening storage does not panic")
}

fn open_blocking(config: &ServerConfig) -> Result<(Storage, Identity), NodeError> {
    let directory = config.storage.data_dir.clone();
    let storage =
        Storage::open(config.storage.clone(), Seams::real()).map_err(|source| NodeError::Open {
            directory: directory.clone(),
            source,
        })?;
    match storage.adopt_identity(config.cluster.id, config.node) {
        Ok(identity) => Ok((storage, identity)),
        Err(error) => {
            storage.close();
            Err(match error {
                StorageError::ForeignDirectory { found } => NodeError::ForeignDirectory {
                    directory,
                    found,
                    node: config.node,
                    cluster: config.cluster.id,
                    cluster_name: config.cluster.name.clone(),
                },
                source => NodeError::Adopt { directory, source },
            })
        }
    }
}
