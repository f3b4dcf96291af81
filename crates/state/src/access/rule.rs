//! One access rule.

use std::fmt;

use flotilla_types::Principal;
use flotilla_types::limits::ACCESS_RULE_BYTES_MAX;

use super::{AccessAction, AccessRuleError, PrincipalPattern, Resource, ResourcePattern};

/// Whoever fits the principal may do the action to whatever fits the resource. As a text it is these
/// three words, and that is how it is stored: what was once a rule has to stay one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccessRule {
    principal: PrincipalPattern,
    action: AccessAction,
    resource: ResourcePattern,
}

impl AccessRule {
    pub fn new(
        principal: PrincipalPattern,
        action: AccessAction,
        resource: ResourcePattern,
    ) -> Result<Self, AccessRuleError> {
        let kind = resource.kind();
        if !kind.takes(action) {
            return Err(AccessRuleError::WrongAction { action, kind });
        }
        let rule = Self {
            principal,
            action,
            resource,
        };
        refuse_long(&rule.to_string())?;
        Ok(rule)
    }

    /// Reads what [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Result<Self, AccessRuleError> {
        refuse_long(text)?;
        let words: Vec<_> = text.split_whitespace().collect();
        let [principal, action, resource] = words[..] else {
            return Err(AccessRuleError::Words);
        };
        let principal = PrincipalPattern::parse(principal)?;
        let action = AccessAction::parse(action).ok_or_else(|| AccessRuleError::UnknownAction {
            found: action.to_owned(),
        })?;
        Self::new(principal, action, ResourcePattern::parse(resource)?)
    }

    pub fn principal(&self) -> &PrincipalPattern {
        &self.principal
    }

    pub fn action(&self) -> AccessAction {
        self.action
    }

    pub fn resource(&self) -> &ResourcePattern {
        &self.resource
    }

    /// Whether this rule alone allows it.
    pub fn allows(
        &self,
        principal: &Principal,
        action: AccessAction,
        resource: Resource<'_>,
    ) -> bool {
        resource.kind().takes(action)
            && self.action.covers(action)
            && self.principal.matches(principal)
            && self.resource.matches(resource, principal)
    }
}

fn refuse_long(text: &str) -> Result<(), AccessRuleError> {
    if text.len() > ACCESS_RULE_BYTES_MAX {
        return Err(AccessRuleError::TooLong { bytes: text.len() });
    }
    Ok(())
}

impl fmt::Display for AccessRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.principal, self.action, self.resource)
    }
}

impl fmt::Debug for AccessRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
