//! What each check saw, for people who look for the reason of a refusal.

use std::fmt;

/// A check of a token, in the order in which they are made: the cheap ones come first, and none but
/// the signature makes anything of the token true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    Form,
    Issuer,
    Critical,
    Type,
    Algorithm,
    Audience,
    Expiry,
    NotBefore,
    Principal,
    Scopes,
    Key,
    Signature,
}

impl Check {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Issuer => "issuer",
            Self::Critical => "critical",
            Self::Type => "type",
            Self::Algorithm => "algorithm",
            Self::Audience => "audience",
            Self::Expiry => "expiry",
            Self::NotBefore => "not_before",
            Self::Principal => "principal",
            Self::Scopes => "scopes",
            Self::Key => "key",
            Self::Signature => "signature",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Failed,
}

/// One check of a token, and what it saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub check: Check,
    pub outcome: Outcome,
    /// The value that passed, or in words why it did not. Never the token or its signature.
    pub seen: String,
}
