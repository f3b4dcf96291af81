//! `/livez`, `/readyz` and `/health`.
//!
//! Live means that the process answers. Ready means that it should get traffic. Health is for people
//! and monitors: it lists every check, and only an unhealthy node answers 503.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::status::{Check, CheckOutcome, NodeStatus};

#[derive(Serialize)]
struct ReadyBody {
    status: &'static str,
    reasons: Vec<String>,
}

#[derive(Serialize)]
struct HealthBody {
    status: &'static str,
    ready: bool,
    node: u64,
    cluster: String,
    cluster_id: String,
    version: &'static str,
    uptime_seconds: u64,
    checks: Vec<CheckBody>,
}

#[derive(Serialize)]
struct CheckBody {
    name: &'static str,
    status: &'static str,
    detail: String,
}

pub(crate) async fn livez() -> &'static str {
    "ok\n"
}

pub(crate) async fn readyz(State(status): State<Arc<dyn NodeStatus>>) -> Response {
    let reasons = status.report().not_ready;
    let (code, status) = if reasons.is_empty() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not_ready")
    };
    (code, Json(ReadyBody { status, reasons })).into_response()
}

pub(crate) async fn health(State(status): State<Arc<dyn NodeStatus>>) -> Response {
    let report = status.report();
    let outcome = report.outcome();
    let code = match outcome {
        CheckOutcome::Healthy | CheckOutcome::Degraded => StatusCode::OK,
        CheckOutcome::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
    };
    let body = HealthBody {
        status: outcome.as_str(),
        ready: report.is_ready(),
        node: report.node.get(),
        cluster_id: report.cluster.to_string(),
        cluster: report.cluster_name,
        version: report.version,
        uptime_seconds: report.uptime.as_secs(),
        checks: report.checks.into_iter().map(CheckBody::from).collect(),
    };
    (code, Json(body)).into_response()
}

impl From<Check> for CheckBody {
    fn from(check: Check) -> Self {
        Self {
            name: check.name,
            status: check.outcome.as_str(),
            detail: check.detail,
        }
    }
}
