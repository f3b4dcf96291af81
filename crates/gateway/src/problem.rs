//! Refusals, as problem details in the shape of RFC 9457 with a code that never changes its meaning.

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Why the gateway itself turned a request down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProblemCode {
    BodyTooLarge,
    MethodNotAllowed,
    RouteNotFound,
}

impl ProblemCode {
    const fn as_str(self) -> &'static str {
        match self {
            Self::BodyTooLarge => "BODY_TOO_LARGE",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::RouteNotFound => "ROUTE_NOT_FOUND",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RouteNotFound => StatusCode::NOT_FOUND,
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::BodyTooLarge => "the request body is too large",
            Self::MethodNotAllowed => "the path does not take this method",
            Self::RouteNotFound => "there is nothing at this path",
        }
    }
}

/// A refused request.
pub(crate) struct Problem {
    code: ProblemCode,
    detail: String,
}

#[derive(Serialize)]
struct ProblemBody {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: String,
}

impl Problem {
    pub(crate) fn new(code: ProblemCode, detail: String) -> Self {
        Self { code, detail }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let body = ProblemBody {
            kind: "about:blank",
            title: self.code.title(),
            status: status.as_u16(),
            code: self.code.as_str(),
            detail: self.detail,
        };
        let mut response = (status, Json(body)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

/// Answers requests for a path that nobody serves.
pub(crate) async fn route_not_found(request: Request) -> Problem {
    let detail = format!("{} {}", request.method(), request.uri().path());
    Problem::new(ProblemCode::RouteNotFound, detail)
}

/// Answers requests for a path that is served, but not like this. The router adds `Allow`.
pub(crate) async fn method_not_allowed(request: Request) -> Problem {
    let detail = format!("{} {}", request.method(), request.uri().path());
    Problem::new(ProblemCode::MethodNotAllowed, detail)
}
