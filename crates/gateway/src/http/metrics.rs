//! `/metrics`, in the text format of Prometheus.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::port::MetricsText;

const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(crate) async fn metrics(State(render): State<MetricsText>) -> Response {
    ([(header::CONTENT_TYPE, TEXT_FORMAT)], render()).into_response()
}
