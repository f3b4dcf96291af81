//! Who may do what: access rules and the keys of a cluster's own, as the metadata group holds them.
//!
//! Nothing is allowed unless a rule allows it, and rules only ever allow. So one more rule never takes
//! anything away, and the order of rules does not matter.
//!
//! It does not know how somebody proved who they are: it is given a
//! [`Principal`](flotilla_types::Principal). Of a key it has the hash alone, and no text that is made
//! for people shows even that.

mod action;
mod explanation;
mod keys;
mod name_pattern;
mod principal_pattern;
mod resource;
mod rule;
mod rule_error;
mod rules;

#[cfg(test)]
mod model_test;
#[cfg(test)]
mod rule_test;
#[cfg(test)]
mod rules_test;

pub use action::AccessAction;
pub use explanation::{Explanation, Miss, NearRule};
pub use keys::{AccessKey, AccessKeys, KeyHash, KeyId, KeyIdError};
pub use name_pattern::NamePattern;
pub use principal_pattern::PrincipalPattern;
pub use resource::{Resource, ResourceError, ResourceKind, ResourcePattern};
pub use rule::AccessRule;
pub use rule_error::AccessRuleError;
pub use rules::AccessRules;
