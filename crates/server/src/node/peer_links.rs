//! The peer port serves links and calls. The first byte of a connection tells which it is. With certificates, nobody
//! gets further who is no node of this cluster.

use std::io;
use std::sync::Arc;

use flotilla_net::NodeDomain;
use flotilla_raft::PeerServer;
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::connections::GrpcConnection;

/// Tells links and calls apart.
#[derive(Clone)]
pub(super) struct Sorter {
    pub(super) peers: PeerServer,
    /// How nodes are named in certificates, if they have to show them.
    pub(super) domain: Option<Arc<NodeDomain>>,
}

/// Serves the links among these connections, and passes on the calls. Links end with the returned stream.
pub(super) fn take_out(
    incoming: impl Stream<Item = io::Result<GrpcConnection>> + Send + 'static,
    sorter: Sorter,
) -> impl Stream<Item = io::Result<GrpcConnection>> + Send + 'static {
    let (calls, mut passed_on) = mpsc::channel(1);
    let mut accepting = JoinSet::new();
    accepting.spawn(accept(incoming, sorter, calls));
    futures::stream::poll_fn(move |context| {
        let _owned = &accepting;
        passed_on.poll_recv(context)
    })
}

async fn accept(
    incoming: impl Stream<Item = io::Result<GrpcConnection>> + Send,
    sorter: Sorter,
    calls: mpsc::Sender<io::Result<GrpcConnection>>,
) {
    let mut incoming = std::pin::pin!(incoming);
    let mut serving = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = serving.join_next() => {}
            accepted = incoming.next() => match accepted {
                Some(Ok(connection)) => {
                    serving.spawn(sorter.clone().sort(connection, calls.clone()));
                }
                Some(Err(error)) => tracing::warn!(%error, "cannot accept a connection of a peer"),
                None => return,
            },
        }
    }
}

impl Sorter {
    async fn sort(
        self,
        mut connection: GrpcConnection,
        calls: mpsc::Sender<io::Result<GrpcConnection>>,
    ) {
        let first = match connection.first_byte().await {
            Ok(Some(first)) => first,
            Ok(None) => return,
            Err(error) => {
                return tracing::debug!(%error, "a connection to the peer port is refused");
            }
        };
        let proven = self.domain.map(|domain| {
            let names = connection.remote().names();
            names.and_then(|names| domain.node_in(names))
        });
        let proven = match proven {
            Some(None) => {
                let names = connection.remote().names();
                let certificate = names.and_then(|names| names.principal());
                return tracing::warn!(
                    certificate,
                    "a connection to the peer port shows no node's certificate"
                );
            }
            Some(Some(node)) if self.peers.is_removed(node) => {
                return tracing::debug!(%node, "a node that was removed is refused");
            }
            Some(node) => node,
            None => None,
        };
        match PeerServer::begins_link(first) {
            true => self.peers.serve(connection, proven).await,
            // The server tells others what is wrong with their words.
            false => drop(calls.send(Ok(connection)).await),
        }
    }
}
