//! All access rules of a cluster, and the question that every request asks them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use flotilla_types::{Principal, PrincipalKind};

use super::principal_pattern::Who;
use super::{AccessAction, AccessRule, Resource, ResourceKind};

/// A set of rules, in an order of their own. Without any, nobody may do anything.
#[derive(Clone, Default)]
pub struct AccessRules {
    rules: BTreeSet<Arc<AccessRule>>,
    /// Derived from `rules`.
    index: Index,
}

/// Rules by whom they are about: a request looks at those that could be about its principal.
#[derive(Clone, Default)]
struct Index {
    anonymous: Granted,
    proven: Granted,
    kinds: BTreeMap<PrincipalKind, Granted>,
    scopes: BTreeMap<String, Granted>,
    names: BTreeMap<PrincipalKind, BTreeMap<String, Granted>>,
}

/// Rules about the same principals, by what they are about.
#[derive(Clone, Default)]
struct Granted {
    /// One thing each. What has no name has the empty one.
    literal: BTreeMap<ResourceKind, BTreeMap<String, Vec<Arc<AccessRule>>>>,
    open: BTreeMap<ResourceKind, Vec<Arc<AccessRule>>>,
}

impl AccessRules {
    /// By principal, then by action, then by resource.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &AccessRule> {
        self.rules.iter().map(|rule| &**rule)
    }

    pub fn len(&self) -> usize {
        self.rules.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    pub fn contains(&self, rule: &AccessRule) -> bool {
        self.rules.contains(rule)
    }

    /// Whether some rule allows it. A node of the cluster may do everything.
    pub fn allows(
        &self,
        principal: &Principal,
        action: AccessAction,
        resource: Resource<'_>,
    ) -> bool {
        if principal.kind() == PrincipalKind::Node {
            return true;
        }
        let allows = |rule: &AccessRule| rule.allows(principal, action, resource);
        self.index
            .about(principal)
            .any(|granted| granted.about(resource).any(allows))
    }

    /// Whether the principal may know that this is there. The name of a kind without names is not
    /// looked at.
    pub fn visible(&self, principal: &Principal, kind: ResourceKind, name: &str) -> bool {
        let resource = Resource::new(kind, name);
        self.allows(principal, AccessAction::Describe, resource)
    }

    /// Says whether it was not there before.
    pub fn grant(&mut self, rule: AccessRule) -> bool {
        let rule = Arc::new(rule);
        let is_new = self.rules.insert(rule.clone());
        if is_new {
            self.index.insert(rule);
        }
        is_new
    }

    /// Says how many of them were there. The index is built anew, so that nothing empty stays in it.
    pub fn revoke<'a>(&mut self, rules: impl IntoIterator<Item = &'a AccessRule>) -> usize {
        let before = self.rules.len();
        for rule in rules {
            self.rules.remove(rule);
        }
        let revoked = before - self.rules.len();
        if revoked > 0 {
            self.index = Index::default();
            for rule in &self.rules {
                self.index.insert(rule.clone());
            }
        }
        revoked
    }
}

impl Index {
    fn insert(&mut self, rule: Arc<AccessRule>) {
        let granted = match &rule.principal().0 {
            Who::Anonymous => &mut self.anonymous,
            Who::Proven => &mut self.proven,
            Who::Kind(kind) => self.kinds.entry(*kind).or_default(),
            Who::Scope(scope) => self.scopes.entry(scope.clone()).or_default(),
            Who::Named(kind, name) => {
                let names = self.names.entry(*kind).or_default();
                names.entry(name.clone()).or_default()
            }
        };
        granted.insert(rule);
    }

    fn about(&self, principal: &Principal) -> impl Iterator<Item = &Granted> {
        let kind = principal.kind();
        let everybody = match kind {
            PrincipalKind::Anonymous => &self.anonymous,
            _ => &self.proven,
        };
        let names = self.names.get(&kind);
        let named = names.and_then(|names| names.get(principal.name()));
        // Most have few scopes, and so have most clusters.
        let scopes = principal.scopes();
        let scoped = scopes.filter_map(|scope| self.scopes.get(scope));
        [Some(everybody), self.kinds.get(&kind), named]
            .into_iter()
            .flatten()
            .chain(scoped)
    }
}

impl Granted {
    fn insert(&mut self, rule: Arc<AccessRule>) {
        let kind = rule.resource().kind();
        let rules = match rule.resource().literal() {
            Some(name) => {
                let names = self.literal.entry(kind).or_default();
                names.entry(name.to_owned()).or_default()
            }
            None => self.open.entry(kind).or_default(),
        };
        rules.push(rule);
    }

    fn about(&self, resource: Resource<'_>) -> impl Iterator<Item = &AccessRule> {
        let literal = self.literal.get(&resource.kind());
        let literal = literal.and_then(|names| names.get(resource.name()));
        let open = self.open.get(&resource.kind());
        let rules = [literal, open].into_iter().flatten().flatten();
        rules.map(|rule| &**rule)
    }
}

impl FromIterator<AccessRule> for AccessRules {
    fn from_iter<I: IntoIterator<Item = AccessRule>>(rules: I) -> Self {
        let mut granted = Self::default();
        for rule in rules {
            granted.grant(rule);
        }
        granted
    }
}

impl PartialEq for AccessRules {
    fn eq(&self, other: &Self) -> bool {
        self.rules == other.rules
    }
}

impl Eq for AccessRules {}

impl fmt::Debug for AccessRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
