//! Why a text is not an access rule, and what to write instead.

use flotilla_types::PrincipalError;
use flotilla_types::limits::{ACCESS_RULE_BYTES_MAX, PRINCIPAL_CLAIM_BYTES_MAX};

use super::{AccessAction, ResourceKind};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessRuleError {
    #[error("an access rule has at most {ACCESS_RULE_BYTES_MAX} bytes, this one has {bytes}")]
    TooLong { bytes: usize },
    #[error(
        "an access rule is three words, PRINCIPAL ACTION RESOURCE, such as \
         \"token:weather publish topic:orders\""
    )]
    Words,
    #[error(
        "{found:?} is nobody: write token:NAME, key:NAME, certificate:NAME, one of them with * for the \
         name, scope:SCOPE, anonymous, or * for everybody who has proven who they are"
    )]
    UnknownPrincipal { found: String },
    #[error("nodes may do everything: leave this rule out")]
    Node,
    #[error(transparent)]
    PrincipalName(#[from] PrincipalError),
    #[error(
        "{found:?} has a * in it, which is no wildcard there: write a whole name or scope, or only * for \
         everybody of a kind"
    )]
    PrincipalWildcard { found: String },
    #[error(
        "a scope has 1 to {PRINCIPAL_CLAIM_BYTES_MAX} bytes without spaces and control characters"
    )]
    Scope,
    #[error("{found:?} is no action: write {}", words(AccessAction::EVERY))]
    UnknownAction { found: String },
    #[error("{action} does not go with {kind}: write {} or all", words(kind.actions()))]
    WrongAction {
        action: AccessAction,
        kind: ResourceKind,
    },
    #[error(
        "{found:?} is no kind of thing: write topic:NAME, group:NAME, job:NAME, cluster or access"
    )]
    UnknownKind { found: String },
    #[error("which {kind}? Write {kind}:NAME, or {kind}:* for every one")]
    NameMissing { kind: ResourceKind },
    #[error("there is only one {kind}: write {kind} alone, without a name")]
    NameTooMuch { kind: ResourceKind },
    #[error(
        "{found:?} is in no name: use A-Z, a-z, 0-9, '.', '_' and '-', * for any characters, and \
         {{name}} or {{claim:NAME}}"
    )]
    Character { found: char },
    #[error(
        "{found:?} is no template: write {{name}} for the principal's name, or {{claim:NAME}} for a claim \
         of its token"
    )]
    Template { found: String },
}

fn words(actions: &[AccessAction]) -> String {
    let words: Vec<_> = actions.iter().map(|action| action.as_str()).collect();
    words.join(", ")
}
