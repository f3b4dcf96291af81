//! What a caller shows to prove who it is.

use crate::Timestamp;

/// Everything that a caller shows. It cannot be printed.
#[derive(Clone, Copy, Default)]
pub struct Shown<'a> {
    /// A token or a key. It counts more than a certificate, which may be that of a proxy.
    pub token: Option<&'a str>,
    /// The certificate of its connection, which TLS has proven.
    pub certificate: Option<ShownCertificate<'a>>,
}

/// What counts of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShownCertificate<'a> {
    /// Whom it names, if it names anybody.
    pub name: Option<&'a str>,
    /// When it ends. A connection may outlive it.
    pub expires_at: Timestamp,
}

/// The token or key in `Bearer TOKEN` (RFC 6750, section 2.1).
pub fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_shows_one_token() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        for other in ["", "abc", "Bearer", "Bearer ", "Basic abc", "Bearerabc"] {
            assert_eq!(bearer(other), None, "{other:?}");
        }
    }
}
