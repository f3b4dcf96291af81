//! Why a node did not start, or did not go on.

use std::io;
use std::path::PathBuf;

use flotilla_raft::OpenGroupError;
use flotilla_storage::{Identity, OpenError, StorageError};
use flotilla_types::{ClusterId, NodeId};

#[derive(Debug, thiserror::Error)]
pub(crate) enum NodeError {
    #[error(
        "port {port} is in use: {setting} is {address}. Stop the other process, or choose another \
         port with --{flag} or {setting}"
    )]
    PortInUse {
        port: u16,
        address: String,
        setting: &'static str,
        flag: &'static str,
    },
    #[error("cannot listen on {address}, as {setting} (--{flag}) says")]
    Listen {
        address: String,
        setting: &'static str,
        flag: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("cannot open the data directory {}", directory.display())]
    Open {
        directory: PathBuf,
        #[source]
        source: OpenError,
    },
    #[error("cannot write to the data directory {}", directory.display())]
    Adopt {
        directory: PathBuf,
        #[source]
        source: StorageError,
    },
    #[error(
        "the data directory {} belongs to node {} of cluster {}, but this is node {node} of cluster \
         {cluster} ({cluster_name:?}). Give node.id and cluster.name the values that they had, or \
         give this node a directory of its own with --data-dir",
        directory.display(), found.node, found.cluster
    )]
    ForeignDirectory {
        directory: PathBuf,
        found: Identity,
        node: NodeId,
        cluster: ClusterId,
        cluster_name: String,
    },
    #[error("the settings of tls")]
    Tls(#[from] flotilla_net::TlsError),
    #[error("the settings of auth make no sense")]
    Auth(#[from] flotilla_broker::IssuersError),
    #[error(transparent)]
    OpenGroup(#[from] OpenGroupError),
    /// The node was running.
    #[error("{reason}")]
    Failed { reason: String },
}
