//! Why something is allowed, or what is missing.

use flotilla_types::limits::NEAREST_ACCESS_RULES_MAX;
use flotilla_types::{Principal, PrincipalKind};

use super::{AccessAction, AccessRule, AccessRules, Resource};

/// The answer to whether something is allowed, with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Explanation<'a> {
    /// A node of the cluster needs no rule.
    Node,
    /// This rule allows it. Others may do so too.
    Allowed(&'a AccessRule),
    /// No rule allows it. These say nearly what was asked for, the nearest first; there may be none.
    Denied { nearest: Vec<NearRule<'a>> },
}

/// A rule that would allow what was asked for if one of its words were another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NearRule<'a> {
    pub rule: &'a AccessRule,
    pub miss: Miss,
}

/// Which word of a rule does not fit, from the nearest to the farthest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Miss {
    Action,
    /// It is of the same kind, but not of this name.
    Resource,
    Principal,
}

impl Explanation<'_> {
    pub fn is_allowed(&self) -> bool {
        match self {
            Self::Node | Self::Allowed(_) => true,
            Self::Denied { .. } => false,
        }
    }
}

impl AccessRules {
    /// The same answer as [`allows`](Self::allows), with its reason. It looks at every rule, so it is
    /// for people who ask.
    pub fn explain(
        &self,
        principal: &Principal,
        action: AccessAction,
        resource: Resource<'_>,
    ) -> Explanation<'_> {
        if principal.kind() == PrincipalKind::Node {
            return Explanation::Node;
        }
        let mut rules = self.iter();
        if let Some(rule) = rules.find(|rule| rule.allows(principal, action, resource)) {
            return Explanation::Allowed(rule);
        }
        let near = |rule| miss_of(rule, principal, action, resource);
        let near = self.iter().filter_map(|rule| {
            let miss = near(rule)?;
            Some(NearRule { rule, miss })
        });
        let mut nearest: Vec<_> = near.collect();
        nearest.sort_by_key(|near| near.miss);
        nearest.truncate(NEAREST_ACCESS_RULES_MAX);
        Explanation::Denied { nearest }
    }
}

/// What keeps a rule from allowing this, if it is one thing.
fn miss_of(
    rule: &AccessRule,
    principal: &Principal,
    action: AccessAction,
    resource: Resource<'_>,
) -> Option<Miss> {
    let kind = resource.kind();
    if rule.resource().kind() != kind || !kind.takes(action) {
        return None;
    }
    let fits = (
        rule.principal().matches(principal),
        rule.action().covers(action),
        rule.resource().matches(resource, principal),
    );
    match fits {
        (true, false, true) => Some(Miss::Action),
        (true, true, false) => Some(Miss::Resource),
        (false, true, true) => Some(Miss::Principal),
        _ => None,
    }
}
