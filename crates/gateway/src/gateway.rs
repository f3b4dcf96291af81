//! The routes, the limits around them, and how long serving goes on.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::connections;
use crate::health::{health, livez, readyz};
use crate::metrics::metrics;
use crate::problem::{Problem, ProblemCode, method_not_allowed, route_not_found};
use crate::status::NodeStatus;

/// Writes down what the process has counted so far.
pub type MetricsText = Arc<dyn Fn() -> String + Send + Sync>;

/// Limits of the HTTP port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatewayConfig {
    /// Largest request body, in bytes. A larger one is refused with 413.
    pub body_bytes_max: usize,
    /// How long a connection may take to send the head of a request, and how long it may be idle.
    pub header_timeout: Duration,
    /// Connections that are served at a time. More wait to be accepted.
    pub connections_max: usize,
    /// How long requests that are under way may go on after serving was told to stop.
    pub drain_limit: Duration,
}

/// The HTTP port of one node.
pub struct Gateway {
    config: GatewayConfig,
    routes: Router,
}

impl Gateway {
    pub fn new(config: GatewayConfig, status: Arc<dyn NodeStatus>, text: MetricsText) -> Self {
        let about_the_node = Router::new()
            .route("/readyz", get(readyz))
            .route("/health", get(health))
            .with_state(status);
        let routes = Router::new()
            .route("/livez", get(livez))
            .route("/metrics", get(metrics))
            .with_state(text)
            .merge(about_the_node)
            .fallback(route_not_found)
            .method_not_allowed_fallback(method_not_allowed)
            .layer(DefaultBodyLimit::max(config.body_bytes_max))
            .layer(middleware::from_fn_with_state(
                config.body_bytes_max,
                refuse_large_bodies,
            ));
        Self { config, routes }
    }

    /// Serves until `stop` is cancelled. Then it accepts nothing more and returns when the requests
    /// that are under way are answered or [`GatewayConfig::drain_limit`] has passed.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        connections::serve(self.config, self.routes, listener, stop).await;
    }
}

/// Refuses bodies that say beforehand that they are too large. The others are measured as they are
/// read.
async fn refuse_large_bodies(State(max): State<usize>, request: Request, next: Next) -> Response {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match length {
        Some(length) if length > max as u64 => {
            let detail = format!("{length} bytes, {max} are allowed");
            Problem::new(ProblemCode::BodyTooLarge, detail).into_response()
        }
        _ => next.run(request).await,
    }
}
