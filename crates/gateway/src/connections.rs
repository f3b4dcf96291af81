//! Accepting HTTP connections, within limits, and letting them finish.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::gateway::GatewayConfig;

/// Pause after the system could not hand over a connection: it is short of something, and asking
/// again at once would only keep a core busy.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 32 << 10;

pub(crate) async fn serve(
    config: GatewayConfig,
    routes: Router,
    listener: TcpListener,
    stop: CancellationToken,
) {
    let mut connections = Connections::new(config, routes);
    loop {
        let next = tokio::select! {
            () = stop.cancelled() => break,
            next = connections.accept(&listener) => next,
        };
        match next {
            Ok((stream, slot)) => connections.start(stream, slot),
            Err(error) => {
                tracing::warn!(%error, "cannot accept an HTTP connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.drain().await;
}

/// The connections that are open. Dropping it cuts them off.
struct Connections {
    config: GatewayConfig,
    http: http1::Builder,
    routes: Router,
    slots: Arc<Semaphore>,
    graceful: GracefulShutdown,
    tasks: JoinSet<()>,
}

impl Connections {
    fn new(config: GatewayConfig, routes: Router) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(config.header_timeout)
            .max_buf_size(HEAD_BYTES_MAX);
        Self {
            config,
            http,
            routes,
            slots: Arc::new(Semaphore::new(config.connections_max)),
            graceful: GracefulShutdown::new(),
            tasks: JoinSet::new(),
        }
    }

    async fn accept(
        &self,
        listener: &TcpListener,
    ) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let slot = slot.expect("invariant: the slots are never closed");
        let (stream, _) = listener.accept().await?;
        Ok((stream, slot))
    }

    fn start(&mut self, stream: TcpStream, slot: OwnedSemaphorePermit) {
        // A peer that is gone already shows as an error of its first read.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(self.routes.clone());
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        let connection = self.graceful.watch(connection);
        self.tasks.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an HTTP connection ended early");
            }
            drop(slot);
        });
        while self.tasks.try_join_next().is_some() {}
    }

    async fn drain(self) {
        let finished = self.graceful.shutdown();
        if tokio::time::timeout(self.config.drain_limit, finished)
            .await
            .is_err()
        {
            tracing::warn!("HTTP requests took too long to finish and were cut off");
        }
    }
}
