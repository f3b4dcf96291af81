//! What handlers get out of a request. Whatever does not fit is refused as a problem.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use flotilla_client::{ErrorCode, Shown, bearer};
use flotilla_net::RemoteCertificate;
use serde::de::DeserializeOwned;

use super::problem::{Problem, ProblemCode};
use super::state::HttpState;
use crate::door::Door;

/// What curl says of a body unless it is told otherwise.
const UNSAID: &str = "application/x-www-form-urlencoded";

/// Whoever makes the request, let in.
pub(crate) struct Visitor(pub(crate) Arc<Door>);

/// Parts of the path.
pub(crate) struct InPath<T>(pub(crate) T);

/// Parameters behind the path.
pub(crate) struct InQuery<T>(pub(crate) T);

/// A body of JSON.
pub(crate) struct InBody<T>(pub(crate) T);

/// What is shown in `Authorization: Bearer …`.
fn token(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    match value.to_str().ok().and_then(bearer) {
        Some(token) => Ok(Some(token)),
        None => Err(Problem::of_code(
            ErrorCode::Unauthenticated,
            "the Authorization header is not of the form `Bearer TOKEN`".to_owned(),
        )),
    }
}

impl FromRequestParts<HttpState> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let certificate = parts.extensions.get::<RemoteCertificate>();
        let shown = Shown {
            token: token(&parts.headers)?,
            certificate: certificate.and_then(RemoteCertificate::shown),
        };
        let door = state.doors.enter(shown).await?;
        Ok(Self(door))
    }
}

impl<T: DeserializeOwned + Send> FromRequestParts<HttpState> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let path = Path::from_request_parts(parts, state).await;
        let path: Result<Path<T>, PathRejection> = path;
        match path {
            Ok(Path(path)) => Ok(Self(path)),
            Err(rejection) => Err(Problem::invalid(format!("path: {}", rejection.body_text()))),
        }
    }
}

impl<T: DeserializeOwned> FromRequestParts<HttpState> for InQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let query = Query::from_request_parts(parts, state).await;
        let query: Result<Query<T>, QueryRejection> = query;
        match query {
            Ok(Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(Problem::invalid(rejection.body_text())),
        }
    }
}

impl<T: DeserializeOwned> FromRequest<HttpState> for InBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &HttpState) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        if !is_json(&parts.headers) {
            return Err(Problem::new(
                ProblemCode::UnsupportedMediaType,
                "send JSON, as Content-Type: application/json",
            ));
        }
        let max = (
            state.config.body_bytes_max,
            "http.body_bytes_max of the node",
        );
        let body = state.bodies.read(&parts.headers, body, max).await?;
        Ok(Self(read_object("body", &body.bytes)?))
    }
}

/// Reads a JSON object. An array would be taken for the values of its fields, in some order.
pub(crate) fn read_object<T: DeserializeOwned>(what: &str, text: &[u8]) -> Result<T, Problem> {
    if text.trim_ascii_start().first() == Some(&b'[') {
        return Err(Problem::invalid(format!("{what}: send an object")));
    }
    let parsed = serde_json::from_slice(text);
    parsed.map_err(|error| Problem::invalid(format!("{what}: {error}")))
}

/// Whether the body is said to be JSON, or nothing else.
fn is_json(headers: &HeaderMap) -> bool {
    media_type(headers).is_none_or(|kind| {
        kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
    })
}

/// A number in digits alone. Rust would take a plus sign as well.
pub(crate) fn read_number<N: FromStr>(text: &str) -> Option<N> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_digits)
}

/// The media type of the body, without parameters, in lower case, if anybody has chosen one.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?;
    let text = String::from_utf8_lossy(value.as_bytes());
    let kind = text.split(';').next().unwrap_or_default();
    let kind = kind.trim().to_ascii_lowercase();
    (kind != UNSAID).then_some(kind)
}
