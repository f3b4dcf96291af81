//! Why a token is refused.

use flotilla_types::Timestamp;

use crate::explanation::Check;
use crate::shown::{OrMissing, Shown};
use crate::unverified_token::TOKEN_BYTES_MAX;

/// The check that a token failed, with the value that was seen. Never the token or its signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    #[error("the token has {bytes} bytes, at most {TOKEN_BYTES_MAX} are taken")]
    TooLarge { bytes: usize },
    #[error("this is not a signed JWT: {problem}")]
    NotAJwt { problem: &'static str },
    #[error("{name} stands more than once in the {part} of the token")]
    Duplicate { part: &'static str, name: Shown },
    #[error("{name} in the header of the token is missing or not a string")]
    InvalidHeader { name: &'static str },
    #[error(
        "the header of the token has \"crit\", and nothing that it could ask for is understood"
    )]
    CriticalHeader,
    #[error("tokens signed with {seen} are not accepted, only {accepted}")]
    AlgorithmNotAllowed { seen: Shown, accepted: String },
    #[error(
        "tokens of the type {} are not accepted, only {accepted}",
        OrMissing(seen)
    )]
    WrongType {
        seen: Option<Shown>,
        accepted: String,
    },
    #[error("the issuer {issuer} is not one of those configured")]
    UnknownIssuer { issuer: Shown },
    #[error("the token is for the audience {seen}, and this is {expected}")]
    WrongAudience { seen: Shown, expected: String },
    #[error("the token expired {} s ago", seconds_between(*expired_at, *now))]
    Expired {
        expired_at: Timestamp,
        now: Timestamp,
    },
    #[error("the token is valid only in {} s", seconds_between(*now, *valid_from))]
    NotYetValid {
        valid_from: Timestamp,
        now: Timestamp,
    },
    #[error("the claim {claim} {fault}")]
    InvalidClaim { claim: Shown, fault: ClaimFault },
    /// Nothing is wrong with the token: the issuer was not reached for too long, or never. The same
    /// token may be accepted later.
    #[error("the keys of the issuer {issuer} are not available: {problem}")]
    KeysUnavailable { issuer: Shown, problem: String },
    #[error("the issuer has no key {} for {algorithm}", OrMissing(key_id))]
    UnknownKey {
        key_id: Option<Shown>,
        algorithm: &'static str,
    },
    #[error(
        "the signature is not the one of the issuer's key {}",
        OrMissing(key_id)
    )]
    BadSignature { key_id: Option<Shown> },
}

/// What is wrong with a claim.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimFault {
    #[error("is missing")]
    Missing,
    #[error("is not {expected}")]
    WrongType { expected: &'static str },
}

impl TokenRefused {
    /// Whether the same token may be accepted a little later, without anything being done about it.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::KeysUnavailable { .. })
    }

    /// The check that failed.
    pub fn check(&self) -> Check {
        match self {
            Self::TooLarge { .. } | Self::NotAJwt { .. } | Self::Duplicate { .. } => Check::Form,
            Self::InvalidHeader { name } => match *name {
                "alg" => Check::Algorithm,
                "typ" => Check::Type,
                _ => Check::Key,
            },
            Self::CriticalHeader => Check::Critical,
            Self::AlgorithmNotAllowed { .. } => Check::Algorithm,
            Self::WrongType { .. } => Check::Type,
            Self::UnknownIssuer { .. } => Check::Issuer,
            Self::WrongAudience { .. } => Check::Audience,
            Self::Expired { .. } => Check::Expiry,
            Self::NotYetValid { .. } => Check::NotBefore,
            Self::InvalidClaim { claim, .. } => match claim.as_str() {
                "iss" => Check::Issuer,
                "aud" => Check::Audience,
                "exp" => Check::Expiry,
                "nbf" => Check::NotBefore,
                "scope" | "scp" | "permissions" => Check::Scopes,
                _ => Check::Principal,
            },
            Self::KeysUnavailable { .. } | Self::UnknownKey { .. } => Check::Key,
            Self::BadSignature { .. } => Check::Signature,
        }
    }
}

/// Whole seconds from one moment to another, for messages.
pub(crate) fn seconds_between(earlier: Timestamp, later: Timestamp) -> i64 {
    later.as_millis().saturating_sub(earlier.as_millis()) / 1_000
}
