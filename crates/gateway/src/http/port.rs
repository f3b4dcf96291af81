//! The routes, the limits around them, and how long serving goes on.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use flotilla_net::Security;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::health::{health, livez, readyz};
use super::metrics::metrics;
use super::problem::{method_not_allowed, route_not_found};
use super::state::HttpState;
use super::status::NodeStatus;
use super::{connections, groups, publish, records, schemas, tail, topics};
use crate::door::Doors;

/// Writes down what the process has counted so far.
pub type MetricsText = Arc<dyn Fn() -> String + Send + Sync>;

/// Limits of the HTTP port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// Largest request body, in bytes. A larger one is refused with 413.
    pub body_bytes_max: usize,
    /// All request bodies that are being read or published, in bytes. More are refused with 503.
    pub bodies_bytes_max: usize,
    /// How long a request body may take to arrive. Then it is refused with 408.
    pub body_limit: Duration,
    /// How long a connection may take to send the head of a request, and how long it may be idle.
    pub header_timeout: Duration,
    /// How long a client may leave an answer unread. Then it is cut off.
    pub write_stall_limit: Duration,
    /// Connections that are served at a time. One more is refused with 503.
    pub connections_max: usize,
    /// Live tails that are open at a time. One more is refused with 503.
    pub tails_max: usize,
    /// How long requests that are under way may go on after serving was told to stop.
    pub drain_limit: Duration,
}

/// The HTTP port of one node.
pub struct HttpServer {
    config: HttpConfig,
    routes: Router,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Flotilla",
        description = "Publish records over HTTP, read them, and manage topics, schemas and consumer groups. \
            Every refusal is a problem as in RFC 9457 with a `code` that never changes its meaning.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "records", description = "Publish and read"),
        (name = "topics", description = "List, describe, create, change and delete topics"),
        (name = "schemas", description = "What the payloads of a topic look like"),
        (name = "groups", description = "Consumer groups, and how far they have come"),
        (name = "node", description = "The node itself; nobody has to be known for these"),
    ),
)]
struct Document;

impl HttpServer {
    pub fn new(
        config: HttpConfig,
        doors: Doors,
        status: Arc<dyn NodeStatus>,
        text: MetricsText,
    ) -> Self {
        let (routes, mut document) = api().split_for_parts();
        document.info.version = env!("CARGO_PKG_VERSION").to_owned();
        let document = document.to_json();
        let document = document.expect("invariant: the document can be written as JSON");
        let document: Arc<str> = document.into();
        let about_the_node = Router::new()
            .route("/readyz", get(readyz))
            .route("/health", get(health))
            .with_state(status);
        let routes = Router::new()
            .route("/livez", get(livez))
            .route("/metrics", get(metrics))
            .with_state(text)
            .merge(about_the_node)
            .route("/openapi.json", get(move || ready(openapi(&document))))
            .merge(routes.with_state(HttpState::new(&config, doors)))
            .fallback(route_not_found)
            .method_not_allowed_fallback(method_not_allowed)
            // Handlers read bodies themselves, each with the limit that it has.
            .layer(DefaultBodyLimit::disable());
        Self { config, routes }
    }

    /// Serves until `stop` is cancelled. Then it accepts nothing more and returns when the requests
    /// that are under way are answered or [`HttpConfig::drain_limit`] has passed.
    pub async fn serve(self, listener: TcpListener, security: Security, stop: CancellationToken) {
        connections::serve(self.config, self.routes, (listener, security), stop).await;
    }
}

/// What callers are let in for, with its documentation.
fn api() -> OpenApiRouter<HttpState> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(publish::publish))
        .routes(routes!(records::fetch, records::publish_many))
        .routes(routes!(tail::tail))
        .routes(routes!(topics::list, topics::create))
        .routes(routes!(topics::describe, topics::change, topics::delete))
        .routes(routes!(schemas::list, schemas::register))
        .routes(routes!(schemas::describe))
        .routes(routes!(groups::list))
        .routes(routes!(groups::describe, groups::delete))
        .routes(routes!(groups::set_offsets))
}

fn openapi(document: &str) -> impl IntoResponse + use<> {
    (
        [(header::CONTENT_TYPE, "application/json")],
        document.to_string(),
    )
}
