//! Refusals, as problem details in the shape of RFC 9457 with a code that never changes its meaning.

use std::borrow::Cow;

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flotilla_client::{ClientError, ErrorCode};
use flotilla_types::ErrorChain;
use serde::Serialize;
use utoipa::ToSchema;

use crate::door::Refusal;

const MEDIA_TYPE: &str = "application/problem+json";
/// When to come back, in seconds.
const RETRY_AFTER: &str = "1";

/// Why the gateway itself turned a request down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProblemCode {
    BodyTimeout,
    BodyTooLarge,
    MethodNotAllowed,
    NodeStarting,
    RouteNotFound,
    TlsRequired,
    UnsupportedMediaType,
}

/// A refused request.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    body: Box<ProblemBody>,
}

/// Why a request failed: problem details as in RFC 9457.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProblemBody {
    /// A URI of the kind of problem; `code` says more.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    kind: &'static str,
    /// The kind of problem in words.
    title: Cow<'static, str>,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// The kind of problem in a word that never changes its meaning.
    #[schema(example = "UNKNOWN_TOPIC")]
    code: &'static str,
    /// What happened, for people.
    detail: String,
    /// The request surely changed nothing. Where this is false, it may have been applied.
    definite: bool,
    /// The same request, sent again later, may succeed. Without a message id, send a publish again only if
    /// the problem is also definite.
    retryable: bool,
}

impl ProblemCode {
    const fn as_str(self) -> &'static str {
        match self {
            Self::BodyTimeout => "BODY_TIMEOUT",
            Self::BodyTooLarge => "BODY_TOO_LARGE",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::NodeStarting => "NODE_STARTING",
            Self::RouteNotFound => "ROUTE_NOT_FOUND",
            Self::TlsRequired => "TLS_REQUIRED",
            Self::UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NodeStarting => StatusCode::SERVICE_UNAVAILABLE,
            Self::RouteNotFound => StatusCode::NOT_FOUND,
            Self::TlsRequired => StatusCode::BAD_REQUEST,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::BodyTimeout => "the request body did not arrive in time",
            Self::BodyTooLarge => "the request body is too large",
            Self::MethodNotAllowed => "the path does not take this method",
            Self::NodeStarting => "the node does not serve yet",
            Self::RouteNotFound => "there is nothing at this path",
            Self::TlsRequired => "the port takes encrypted connections only",
            Self::UnsupportedMediaType => "the path does not take this media type",
        }
    }

    const fn is_retryable(self) -> bool {
        matches!(self, Self::BodyTimeout | Self::NodeStarting)
    }
}

impl Problem {
    pub(crate) fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        let status = code.status();
        Self {
            status,
            body: Box::new(ProblemBody {
                kind: "about:blank",
                title: code.title().into(),
                status: status.as_u16(),
                code: code.as_str(),
                detail: detail.into(),
                definite: true,
                retryable: code.is_retryable(),
            }),
        }
    }

    /// A parameter, a header or a body makes no sense.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::of_code(ErrorCode::InvalidArgument, detail.into())
    }

    pub(crate) fn of_code(code: ErrorCode, detail: String) -> Self {
        let status = status_of(code);
        Self {
            status,
            body: Box::new(ProblemBody {
                kind: "about:blank",
                title: title_of(code),
                status: status.as_u16(),
                code: code.as_str(),
                detail,
                definite: code.is_definite(),
                retryable: code.is_retryable(),
            }),
        }
    }

    pub(crate) fn into_json(self) -> String {
        serde_json::to_string(&self.body).expect("invariant: a problem is JSON")
    }

    pub(crate) fn into_body(self) -> ProblemBody {
        *self.body
    }
}

impl From<&ClientError> for Problem {
    fn from(error: &ClientError) -> Self {
        let mut problem = Self::of_code(error.code(), ErrorChain(error).to_string());
        problem.body.definite = error.is_definite();
        problem.body.retryable = error.is_retryable();
        problem
    }
}

impl From<ClientError> for Problem {
    fn from(error: ClientError) -> Self {
        Self::from(&error)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Starting => Self::new(
                ProblemCode::NodeStarting,
                "it opens its data and joins its cluster; /health says how far it is",
            ),
            Refusal::Refused(error) => error.into(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, code) = (self.status, self.body.code);
        let mut response = (status, Json(self.body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if matches!(
            status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        ) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        }
        if status == StatusCode::UNAUTHORIZED {
            // RFC 6750, section 3: the reason is in the body.
            let challenge = HeaderValue::from_static("Bearer realm=\"flotilla\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if code == ProblemCode::BodyTimeout.as_str() || code == ProblemCode::BodyTooLarge.as_str() {
            // What is left of the body is not read any more.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// The status of a request that failed with this code.
const fn status_of(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::BatchMalformed
        | ErrorCode::ChecksumMismatch
        | ErrorCode::ConfigInvalid
        | ErrorCode::InvalidArgument
        | ErrorCode::InvalidGroupId
        | ErrorCode::InvalidJobName
        | ErrorCode::InvalidTopicName
        | ErrorCode::SchemaInvalid
        | ErrorCode::UnknownCodec => StatusCode::BAD_REQUEST,
        ErrorCode::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorCode::PermissionDenied => StatusCode::FORBIDDEN,
        ErrorCode::UnknownGroup
        | ErrorCode::UnknownKey
        | ErrorCode::UnknownMember
        | ErrorCode::UnknownNode
        | ErrorCode::UnknownPartition
        | ErrorCode::UnknownSchema
        | ErrorCode::UnknownTopic => StatusCode::NOT_FOUND,
        ErrorCode::ClusterMismatch
        | ErrorCode::CoordinatorFull
        | ErrorCode::GroupFull
        | ErrorCode::GroupNotEmpty
        | ErrorCode::JobHeld
        | ErrorCode::KeyExists
        | ErrorCode::NotEnoughNodes
        | ErrorCode::OutOfOrderSequence
        | ErrorCode::ProducerFenced
        | ErrorCode::SchemaIncompatible
        | ErrorCode::SchemaRequired
        | ErrorCode::StaleGeneration
        | ErrorCode::StaleToken
        | ErrorCode::TopicExists
        | ErrorCode::TopicProtected
        | ErrorCode::UnknownProducer
        | ErrorCode::VersionConflict => StatusCode::CONFLICT,
        ErrorCode::BatchTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::OffsetOutOfRange => StatusCode::RANGE_NOT_SATISFIABLE,
        ErrorCode::RecordInvalid => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::CorruptData | ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorCode::DiskFull
        | ErrorCode::IdentityUnavailable
        | ErrorCode::LeaderNotAvailable
        | ErrorCode::NotLeader
        | ErrorCode::Overloaded
        | ErrorCode::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::ResultUnknown | ErrorCode::Timeout => StatusCode::GATEWAY_TIMEOUT,
    }
}

/// The code in words: `UNKNOWN_TOPIC` is "unknown topic".
fn title_of(code: ErrorCode) -> Cow<'static, str> {
    code.as_str().replace('_', " ").to_ascii_lowercase().into()
}

/// Answers requests for a path that nobody serves.
pub(crate) async fn route_not_found(request: Request) -> Problem {
    let detail = format!(
        "{} {}: /openapi.json says what there is",
        request.method(),
        request.uri().path()
    );
    Problem::new(ProblemCode::RouteNotFound, detail)
}

/// Answers requests for a path that is served, but not like this. The router adds `Allow`.
pub(crate) async fn method_not_allowed(request: Request) -> Problem {
    let detail = format!("{} {}", request.method(), request.uri().path());
    Problem::new(ProblemCode::MethodNotAllowed, detail)
}
