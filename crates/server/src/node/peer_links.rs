//! The peer port serves links and calls. The first byte of a connection tells which it is.

use std::io;

use flotilla_raft::PeerServer;
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::connections::Connection;

/// Serves the links among these connections, and passes on the calls. Links end with the returned stream.
pub(super) fn take_out(
    incoming: impl Stream<Item = io::Result<Connection>> + Send + 'static,
    peers: PeerServer,
) -> impl Stream<Item = io::Result<Connection>> + Send + 'static {
    let (calls, mut passed_on) = mpsc::channel(1);
    let mut accepting = JoinSet::new();
    accepting.spawn(accept(incoming, peers, calls));
    futures::stream::poll_fn(move |context| {
        let _owned = &accepting;
        passed_on.poll_recv(context)
    })
}

async fn accept(
    incoming: impl Stream<Item = io::Result<Connection>> + Send,
    peers: PeerServer,
    calls: mpsc::Sender<io::Result<Connection>>,
) {
    let mut incoming = std::pin::pin!(incoming);
    let mut serving = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = serving.join_next() => {}
            accepted = incoming.next() => match accepted {
                Some(Ok(connection)) => {
                    serving.spawn(sort(connection, peers.clone(), calls.clone()));
                }
                Some(Err(error)) => tracing::warn!(%error, "cannot accept a connection of a peer"),
                None => return,
            },
        }
    }
}

async fn sort(
    connection: Connection,
    peers: PeerServer,
    calls: mpsc::Sender<io::Result<Connection>>,
) {
    match connection.first_byte().await {
        Ok(Some(byte)) if PeerServer::begins_link(byte) => peers.serve(connection).await,
        // The server tells others what is wrong with their words.
        Ok(Some(_)) => drop(calls.send(Ok(connection)).await),
        Ok(None) => {}
        Err(error) => tracing::debug!(%error, "a connection to the peer port says nothing"),
    }
}
