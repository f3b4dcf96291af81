//! Whom a rule is about.

use std::fmt;

use flotilla_types::limits::PRINCIPAL_CLAIM_BYTES_MAX;
use flotilla_types::{Principal, PrincipalKind};

use super::AccessRuleError;

/// One principal or several, of those that need rules: nodes do not.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrincipalPattern(pub(super) Who);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Who {
    /// Has proven nothing.
    Anonymous,
    /// Has proven who it is, whoever that may be.
    Proven,
    /// Has proven it in this way.
    Kind(PrincipalKind),
    /// Has a token with this scope.
    Scope(String),
    Named(PrincipalKind, String),
}

impl PrincipalPattern {
    /// Reads what [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Result<Self, AccessRuleError> {
        let (kind, name) = match text.split_once(':') {
            Some(parts) => parts,
            None if text == "*" => return Ok(Self(Who::Proven)),
            None if text == PrincipalKind::Anonymous.as_str() => return Ok(Self(Who::Anonymous)),
            None => return Err(unknown_principal(text)),
        };
        if kind == "scope" {
            return parse_scope(name).map(|scope| Self(Who::Scope(scope)));
        }
        let kind = match PrincipalKind::parse(kind) {
            None | Some(PrincipalKind::Anonymous) => return Err(unknown_principal(text)),
            Some(PrincipalKind::Node) => return Err(AccessRuleError::Node),
            Some(kind) => kind,
        };
        if name == "*" {
            return Ok(Self(Who::Kind(kind)));
        }
        refuse_wildcard(name)?;
        Principal::named(kind, name)?;
        Ok(Self(Who::Named(kind, name.to_owned())))
    }

    pub fn matches(&self, principal: &Principal) -> bool {
        let kind = principal.kind();
        match &self.0 {
            Who::Anonymous => kind == PrincipalKind::Anonymous,
            Who::Proven => kind != PrincipalKind::Anonymous,
            Who::Kind(wanted) => kind == *wanted,
            Who::Scope(scope) => kind == PrincipalKind::Token && principal.has_scope(scope),
            Who::Named(wanted, name) => kind == *wanted && principal.name() == name,
        }
    }
}

fn parse_scope(text: &str) -> Result<String, AccessRuleError> {
    refuse_wildcard(text)?;
    let is_printable = |c: char| !c.is_control() && !c.is_whitespace();
    let has_length = (1..=PRINCIPAL_CLAIM_BYTES_MAX).contains(&text.len());
    if !has_length || !text.chars().all(is_printable) {
        return Err(AccessRuleError::Scope);
    }
    Ok(text.to_owned())
}

/// A rule that looks as if it were about several, and is about nobody, would not be noticed.
fn refuse_wildcard(name: &str) -> Result<(), AccessRuleError> {
    if name.contains('*') {
        return Err(AccessRuleError::PrincipalWildcard {
            found: name.to_owned(),
        });
    }
    Ok(())
}

fn unknown_principal(found: &str) -> AccessRuleError {
    AccessRuleError::UnknownPrincipal {
        found: found.to_owned(),
    }
}

impl fmt::Display for PrincipalPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Who::Anonymous => f.write_str(PrincipalKind::Anonymous.as_str()),
            Who::Proven => f.write_str("*"),
            Who::Kind(kind) => write!(f, "{}:*", kind.as_str()),
            Who::Scope(scope) => write!(f, "scope:{scope}"),
            Who::Named(kind, name) => write!(f, "{}:{name}", kind.as_str()),
        }
    }
}

impl fmt::Debug for PrincipalPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
