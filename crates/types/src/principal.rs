//! Who calls, as far as that was proven.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::limits::{
    PRINCIPAL_CLAIM_BYTES_MAX, PRINCIPAL_CLAIMS_MAX, PRINCIPAL_NAME_BYTES_MAX, PRINCIPAL_SCOPES_MAX,
};

/// How a caller proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrincipalKind {
    /// Not at all.
    Anonymous,
    /// With a key of the cluster's own.
    Key,
    /// With a certificate of its own, in TLS.
    Certificate,
    /// With a token of an issuer that the cluster trusts.
    Token,
    /// A node of the cluster, on its own behalf.
    Node,
}

/// Whoever makes a call: how it proved that, its name, and what its token says about it. Cheap to
/// clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Principal(Arc<Facts>);

#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Facts {
    kind: PrincipalKind,
    name: String,
    scopes: BTreeSet<String>,
    claims: BTreeMap<String, String>,
}

/// A principal cannot be named like this, or has too much to say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrincipalError {
    #[error(
        "a name of a principal has 1 to {PRINCIPAL_NAME_BYTES_MAX} bytes without spaces and control characters"
    )]
    Name,
    #[error("a principal is written as token:NAME, key:NAME, certificate:NAME or anonymous")]
    Unreadable,
}

impl PrincipalKind {
    pub const ALL: &'static [Self] = &[
        Self::Anonymous,
        Self::Key,
        Self::Certificate,
        Self::Token,
        Self::Node,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Key => "key",
            Self::Certificate => "certificate",
            Self::Token => "token",
            Self::Node => "node",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text)
    }
}

impl Principal {
    /// Somebody who has proven nothing.
    pub fn anonymous() -> Self {
        Self::of(PrincipalKind::Anonymous, String::new())
    }

    /// The cluster itself: it may do everything.
    pub fn node() -> Self {
        Self::of(PrincipalKind::Node, String::new())
    }

    /// A principal of a kind that has names.
    pub fn named(kind: PrincipalKind, name: &str) -> Result<Self, PrincipalError> {
        let is_printable = |c: char| !c.is_control() && !c.is_whitespace();
        let has_name = (1..=PRINCIPAL_NAME_BYTES_MAX).contains(&name.len());
        if !has_name || !name.chars().all(is_printable) {
            return Err(PrincipalError::Name);
        }
        Ok(Self::of(kind, name.to_owned()))
    }

    fn of(kind: PrincipalKind, name: String) -> Self {
        Self(Arc::new(Facts {
            kind,
            name,
            scopes: BTreeSet::new(),
            claims: BTreeMap::new(),
        }))
    }

    /// Reads what [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Result<Self, PrincipalError> {
        match text.split_once(':') {
            None if text == PrincipalKind::Anonymous.as_str() => Ok(Self::anonymous()),
            Some((kind, name)) => match PrincipalKind::parse(kind) {
                None | Some(PrincipalKind::Anonymous | PrincipalKind::Node) => {
                    Err(PrincipalError::Unreadable)
                }
                Some(kind) => Self::named(kind, name),
            },
            None => Err(PrincipalError::Unreadable),
        }
    }

    /// With what a token says. What is more than a principal can have is left out: scopes and claims
    /// only ever give, so leaving one out gives less.
    #[must_use]
    pub fn with_facts(
        &self,
        scopes: impl IntoIterator<Item = String>,
        claims: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let fits = |text: &str| (1..=PRINCIPAL_CLAIM_BYTES_MAX).contains(&text.len());
        let scopes = scopes.into_iter().filter(|scope| fits(scope));
        let claims = claims.into_iter();
        let claims = claims.filter(|(name, value)| fits(name) && fits(value));
        Self(Arc::new(Facts {
            kind: self.0.kind,
            name: self.0.name.clone(),
            scopes: scopes.take(PRINCIPAL_SCOPES_MAX).collect(),
            claims: claims.take(PRINCIPAL_CLAIMS_MAX).collect(),
        }))
    }

    pub fn kind(&self) -> PrincipalKind {
        self.0.kind
    }

    /// Empty for kinds without names.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub fn has_scope(&self, scope: &str) -> bool {
        self.0.scopes.contains(scope)
    }

    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.0.scopes.iter().map(String::as_str)
    }

    pub fn claim(&self, name: &str) -> Option<&str> {
        self.0.claims.get(name).map(String::as_str)
    }

    pub fn claims(&self) -> impl Iterator<Item = (&str, &str)> {
        let claims = self.0.claims.iter();
        claims.map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.kind.as_str())?;
        match self.0.name.as_str() {
            "" => Ok(()),
            name => write!(f, ":{name}"),
        }
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for text in ["anonymous", "token:weather", "key:ci", "certificate:CN=a:b"] {
            assert_eq!(Principal::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn nobody_calls_itself_a_node() {
        for text in ["node", "node:1", "", "token", "token:", "key:a b", "root:x"] {
            assert!(Principal::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_too_much_is_left_out() {
        let many = (0..100).map(|n| (format!("claim{n:03}"), "x".to_owned()));
        let long = ("x".repeat(PRINCIPAL_CLAIM_BYTES_MAX + 1), "x".to_owned());
        let principal = Principal::parse("token:a").unwrap();
        let principal = principal.with_facts([], std::iter::once(long).chain(many));
        assert_eq!(principal.claims().count(), PRINCIPAL_CLAIMS_MAX);
        assert_eq!(principal.claim("claim000"), Some("x"));
    }
}
