//! What is answered instead of an answer.

use std::fmt;

use flotilla_client::{ClientError, ErrorCode, ErrorFacts};
use flotilla_types::{ErrorChain, NameError};

/// A code that never changes its meaning, and a text for people that says what to do next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code} {text}")]
pub struct TextError {
    pub code: TextCode,
    pub text: String,
}

/// The broker's own codes are written as everywhere else, in capitals. Those that only this protocol
/// has are in small letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextCode {
    Broker(ErrorCode),
    /// A command is known, and what follows it is not what it takes.
    BadArguments,
    /// The peer speaks another protocol.
    ForeignProtocol,
    /// A line or a payload was begun and not finished.
    HalfSent,
    /// The peer was silent for too long.
    Idle,
    LineTooLong,
    /// There is no record at the offset, not now or not any more.
    NoSuchOffset,
    /// The topic has several partitions, and the command names none.
    PartitionRequired,
    /// What follows a payload is no command: its size was wrong.
    SizeMismatch,
    /// The port speaks TLS, and the peer does not.
    TlsRequired,
    /// A payload is larger than this port takes.
    TooLarge,
    TooManyConnections,
    UnknownVerb,
}

impl TextCode {
    /// The code as it is sent, and as it is counted.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Broker(code) => code.as_str(),
            Self::BadArguments => "bad-arguments",
            Self::ForeignProtocol => "foreign-protocol",
            Self::HalfSent => "half-sent",
            Self::Idle => "idle",
            Self::LineTooLong => "line-too-long",
            Self::NoSuchOffset => "no-such-offset",
            Self::PartitionRequired => "partition-required",
            Self::SizeMismatch => "size-mismatch",
            Self::TlsRequired => "tls-required",
            Self::TooLarge => "too-large",
            Self::TooManyConnections => "too-many-connections",
            Self::UnknownVerb => "unknown-verb",
        }
    }
}

impl fmt::Display for TextCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TextError {
    pub fn new(code: TextCode, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { code, text }
    }

    pub(crate) fn bad_arguments(text: impl Into<String>) -> Self {
        Self::new(TextCode::BadArguments, text)
    }

    /// Why a record was not stored, or may not have been.
    pub(crate) fn of_publish(error: &ClientError) -> Self {
        let advice = match (error.is_definite(), error.is_retryable()) {
            (true, true) => "; nothing is stored, send it again",
            (true, false) => "; nothing is stored",
            (false, _) => "; it may be stored: with an id=<id> it can be sent again without harm",
        };
        let mut told = Self::from(error);
        told.text.push_str(advice);
        told
    }

    /// Why nothing was read.
    pub(crate) fn of_fetch(error: &ClientError) -> Self {
        match error.api_error().map(|error| &error.facts) {
            Some(ErrorFacts::Offsets(range)) if error.code() == ErrorCode::OffsetOutOfRange => {
                let (start, end) = (range.log_start.get(), range.high_watermark.get());
                Self::no_such_offset(start, end)
            }
            _ if error.code() == ErrorCode::OffsetOutOfRange => {
                Self::new(TextCode::NoSuchOffset, ErrorChain(error).to_string())
            }
            _ => Self::from(error),
        }
    }

    /// `end` is the offset of the next record.
    pub(crate) fn no_such_offset(start: u64, end: u64) -> Self {
        let text = match end.checked_sub(1).filter(|last| *last >= start) {
            Some(last) => format!(
                "{start} to {last} can be read, the next record gets {end}: add wait=<ms> to wait for it"
            ),
            None => format!(
                "nothing can be read yet, the next record gets {end}: add wait=<ms> to wait for it"
            ),
        };
        Self::new(TextCode::NoSuchOffset, text)
    }
}

impl From<&ClientError> for TextError {
    fn from(error: &ClientError) -> Self {
        Self::new(
            TextCode::Broker(error.code()),
            ErrorChain(error).to_string(),
        )
    }
}

impl From<NameError> for TextError {
    fn from(error: NameError) -> Self {
        Self::new(TextCode::Broker(error.code()), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use flotilla_client::ApiError;

    use super::*;

    #[test]
    fn a_broken_publish_says_whether_it_can_be_sent_again() {
        let text = |error: ApiError| TextError::of_publish(&error.into()).to_string();
        assert_eq!(
            text(ApiError::new(ErrorCode::Overloaded, "too much to do")),
            "OVERLOADED too much to do; nothing is stored, send it again"
        );
        let last = ApiError::new(ErrorCode::Timeout, "no answer");
        let waited = Duration::from_secs(3);
        let gave_up = ClientError::GaveUp {
            waited,
            definite: false,
            last,
        };
        assert_eq!(
            TextError::of_publish(&gave_up).to_string(),
            "TIMEOUT gave up after 3000 ms: no answer; it may be stored: with an id=<id> it can be \
             sent again without harm"
        );
    }

    #[test]
    fn an_offset_that_is_not_there_says_which_are() {
        assert!(
            TextError::no_such_offset(3, 9)
                .text
                .starts_with("3 to 8 can")
        );
        assert!(
            TextError::no_such_offset(3, 3)
                .text
                .starts_with("nothing can")
        );
        assert!(
            TextError::no_such_offset(0, 0)
                .text
                .starts_with("nothing can")
        );
    }
}
