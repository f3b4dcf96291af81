//! How a token may be signed.

use std::fmt;

use jsonwebtoken as jwt;

/// An algorithm that a signature can be checked with: all of them are asymmetric, because keys come
/// from a public document. Whoever can read that document could sign with `HS256` (RFC 8725,
/// section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    Rs256,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    pub const ALL: [Self; 4] = [Self::Rs256, Self::Es256, Self::Es384, Self::EdDsa];

    /// Finds an algorithm by the name that it has in tokens, which is case-sensitive (RFC 7515,
    /// section 4.1.1).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    pub(crate) const fn of_library(self) -> jwt::Algorithm {
        match self {
            Self::Rs256 => jwt::Algorithm::RS256,
            Self::Es256 => jwt::Algorithm::ES256,
            Self::Es384 => jwt::Algorithm::ES384,
            Self::EdDsa => jwt::Algorithm::EdDSA,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
