//! Serving HTTP connections, and letting them finish.

use std::sync::Arc;

use axum::{Extension, Router};
use flotilla_client::ErrorCode;
use flotilla_net::{Connection, Listener, PortLimits, Refusals, Security};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use metrics::{counter, describe_counter, describe_gauge, gauge};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::Layer;

use super::port::HttpConfig;
use super::problem::{Problem, ProblemCode};
use super::stall::StallGuard;

/// Longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 32 << 10;

const OPEN: &str = "flotilla_http_connections";
const REFUSED: &str = "flotilla_http_connections_refused_total";

pub(crate) async fn serve(
    config: HttpConfig,
    routes: Router,
    (listener, security): (TcpListener, Security),
    stop: CancellationToken,
) {
    describe_gauge!(OPEN, "Connections to the HTTP port that are open");
    describe_counter!(
        REFUSED,
        "Connections to the HTTP port that were one too many"
    );
    let limits = PortLimits {
        connections_max: config.connections_max,
        open: gauge!(OPEN),
        refused: counter!(REFUSED),
        refusals: refusals(config.connections_max),
        handshake_limit: config.header_timeout,
    };
    let mut listener = Listener::new(listener, security, limits);
    let mut connections = Connections::new(config, routes);
    while let Some(connection) = stop.run_until_cancelled(listener.accept()).await {
        connections.start(connection);
    }
    drop(listener);
    connections.drain().await;
}

/// The connections that are open. Dropping it cuts them off.
struct Connections {
    config: HttpConfig,
    http: http1::Builder,
    routes: Router,
    graceful: GracefulShutdown,
    tasks: JoinSet<()>,
}

impl Connections {
    fn new(config: HttpConfig, routes: Router) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(config.header_timeout)
            .max_buf_size(HEAD_BYTES_MAX);
        Self {
            config,
            http,
            routes,
            graceful: GracefulShutdown::new(),
            tasks: JoinSet::new(),
        }
    }

    fn start(&mut self, connection: Connection) {
        while self.tasks.try_join_next().is_some() {}
        // What the certificate says is there by the time a request was read.
        let certificate = Extension(connection.remote().clone());
        let service = TowerToHyperService::new(certificate.layer(self.routes.clone()));
        let stream = StallGuard::new(connection, self.config.write_stall_limit);
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        let connection = self.graceful.watch(connection);
        self.tasks.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an HTTP connection ended early");
            }
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

fn refusals(connections_max: usize) -> Refusals {
    let detail = format!(
        "this node has {connections_max} HTTP connections already: try another one, or again later"
    );
    let too_many = Problem::of_code(ErrorCode::Overloaded, detail).into_json();
    let plaintext = Problem::new(
        ProblemCode::TlsRequired,
        "this port speaks TLS: write https instead of http",
    );
    Refusals {
        too_many: answer("503 Service Unavailable\r\nretry-after: 1", &too_many),
        plaintext: answer("400 Bad Request", &plaintext.into_json()),
    }
}

/// A whole answer, after which the connection is closed.
fn answer(status: &str, body: &str) -> Arc<[u8]> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
    .into_bytes()
    .into()
}
