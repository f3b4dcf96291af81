//! Accepting HTTP connections, within limits, and letting them finish.
//!
//! One connection too many is told so at once, rather than left waiting: whoever made the others may never let
//! them go.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use flotilla_client::ErrorCode;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::port::HttpConfig;
use super::problem::Problem;
use super::stall::StallGuard;

/// Pause after the system could not hand over a connection: it is short of something, and asking
/// again at once would only keep a core busy.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// Connections that are told at a time why they are refused. More are closed without a word.
const REFUSALS_MAX: usize = 64;
/// How long a refused client may take to read why.
const REFUSAL_LIMIT: Duration = Duration::from_secs(1);

const OPEN: &str = "flotilla_http_connections";
const REFUSED: &str = "flotilla_http_connections_refused_total";

pub(crate) async fn serve(
    config: HttpConfig,
    routes: Router,
    listener: TcpListener,
    stop: CancellationToken,
) {
    let mut connections = Connections::new(config, routes);
    loop {
        let next = tokio::select! {
            () = stop.cancelled() => break,
            next = listener.accept() => next.map(|(stream, _)| stream),
        };
        match next {
            Ok(stream) => connections.take_in(stream),
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
    config: HttpConfig,
    http: http1::Builder,
    routes: Router,
    slots: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    open: Gauge,
    refused: Counter,
    graceful: GracefulShutdown,
    tasks: JoinSet<()>,
}

impl Connections {
    fn new(config: HttpConfig, routes: Router) -> Self {
        describe_gauge!(OPEN, "Connections to the HTTP port that are open");
        describe_counter!(
            REFUSED,
            "Connections to the HTTP port that were one too many"
        );
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(config.header_timeout)
            .max_buf_size(HEAD_BYTES_MAX);
        Self {
            config,
            http,
            routes,
            slots: Arc::new(Semaphore::new(config.connections_max)),
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
            open: gauge!(OPEN),
            refused: counter!(REFUSED),
            graceful: GracefulShutdown::new(),
            tasks: JoinSet::new(),
        }
    }

    fn take_in(&mut self, stream: TcpStream) {
        while self.tasks.try_join_next().is_some() {}
        match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(slot) => self.start(stream, slot),
            Err(_) => self.refuse(stream),
        }
    }

    fn refuse(&mut self, stream: TcpStream) {
        self.refused.increment(1);
        let Ok(turn) = Arc::clone(&self.refusals).try_acquire_owned() else {
            return;
        };
        let words = refusal(self.config.connections_max);
        self.tasks.spawn(async move {
            // Whoever does not read it finds the connection closed.
            let _ = tokio::time::timeout(REFUSAL_LIMIT, say_and_close(stream, &words)).await;
            drop(turn);
        });
    }

    fn start(&mut self, stream: TcpStream, slot: OwnedSemaphorePermit) {
        // A peer that is gone already shows as an error of its first read.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(self.routes.clone());
        let stream = StallGuard::new(stream, self.config.write_stall_limit);
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        let connection = self.graceful.watch(connection);
        let open = self.open.clone();
        open.increment(1.0);
        self.tasks.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an HTTP connection ended early");
            }
            open.decrement(1.0);
            drop(slot);
        });
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

async fn say_and_close(mut stream: TcpStream, words: &[u8]) -> io::Result<()> {
    stream.write_all(words).await?;
    stream.shutdown().await?;
    // Closing before the client's words are read would make the system take ours back.
    let mut said = [0; 1_024];
    while stream.read(&mut said).await? > 0 {}
    Ok(())
}

fn refusal(connections_max: usize) -> Vec<u8> {
    let detail = format!(
        "this node has {connections_max} HTTP connections already: try another one, or again later"
    );
    let body = Problem::of_code(ErrorCode::Overloaded, detail).into_json();
    let length = body.len();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n\
         content-length: {length}\r\nretry-after: 1\r\nconnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}
