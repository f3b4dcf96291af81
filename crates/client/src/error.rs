//! What a user of the client can get instead of an answer.

use std::time::Duration;

use flotilla_protocol::ApiError;
use flotilla_types::{BatchError, ErrorCode};

/// Why an operation failed.
///
/// Go by [`code`](Self::code), [`is_definite`](Self::is_definite) and
/// [`is_retryable`](Self::is_retryable); the variants and their texts are for people.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// A node refused the request, or the link to it broke.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The time limit passed while the client kept trying.
    #[error("gave up after {} ms", waited.as_millis())]
    GaveUp {
        waited: Duration,
        /// No attempt can have been applied.
        definite: bool,
        /// How the last attempt ended.
        #[source]
        last: ApiError,
    },
    /// A node refused a batch of which an earlier attempt may have been applied.
    #[error("a repetition was refused, the first attempt may have been applied")]
    Doubtful {
        #[source]
        last: ApiError,
    },
    /// A record cannot be packed, or received records cannot be read.
    #[error("a record batch is unusable")]
    Batch(#[from] BatchError),
    /// The producer or consumer was closed before the operation was done. What had been sent may
    /// have been applied.
    #[error("the {what} is closed")]
    Closed { what: &'static str, definite: bool },
    /// A setting, an address or an argument makes no sense.
    #[error("{message}")]
    InvalidArgument { message: String },
}

impl ClientError {
    /// The stable code. The same as on every other door of the broker.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Api(error) | Self::Doubtful { last: error } => error.code,
            Self::GaveUp { .. } => ErrorCode::Timeout,
            Self::Batch(error) => error.code(),
            Self::Closed { .. } => ErrorCode::ShuttingDown,
            Self::InvalidArgument { .. } => ErrorCode::InvalidArgument,
        }
    }

    /// The operation surely changed nothing. Where this is false, it may have been applied.
    pub fn is_definite(&self) -> bool {
        match self {
            Self::Api(error) => error.code.is_definite(),
            Self::GaveUp { definite, .. } | Self::Closed { definite, .. } => *definite,
            Self::Doubtful { .. } => false,
            Self::Batch(_) | Self::InvalidArgument { .. } => true,
        }
    }

    /// The same operation, tried again later, may succeed. The client itself has tried already
    /// where that was safe.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Api(error) | Self::Doubtful { last: error } => error.code.is_retryable(),
            Self::GaveUp { .. } => true,
            Self::Batch(_) | Self::Closed { .. } | Self::InvalidArgument { .. } => false,
        }
    }

    /// What a node said, if one said anything: with the leader or the readable offsets.
    pub fn api_error(&self) -> Option<&ApiError> {
        match self {
            Self::Api(error)
            | Self::GaveUp { last: error, .. }
            | Self::Doubtful { last: error } => Some(error),
            Self::Batch(_) | Self::Closed { .. } | Self::InvalidArgument { .. } => None,
        }
    }

    /// As what a node said, or could have said.
    pub(crate) fn into_api_error(self) -> ApiError {
        match self.api_error() {
            Some(error) => error.clone(),
            None => ApiError::new(self.code(), self.to_string()),
        }
    }

    /// A node answered, but not with what the API promises.
    pub(crate) fn missing(what: &str) -> Self {
        ApiError::new(
            ErrorCode::Internal,
            format!("the node's answer lacks {what}"),
        )
        .into()
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::InvalidArgument {
            message: message.into(),
        }
    }
}
