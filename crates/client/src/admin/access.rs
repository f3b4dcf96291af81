//! Access rules and keys, and why somebody is let in or not.

use std::collections::BTreeMap;

use flotilla_protocol::v1;
use flotilla_protocol::v1::access_client::AccessClient;
use flotilla_types::Timestamp;

use super::Admin;
use crate::client::{Repeat, within};
use crate::{ClientError, NodeChannel};

/// How many access rules a change has added and taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangedRules {
    pub granted: u32,
    pub revoked: u32,
}

/// Something that somebody may want to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessQuestion {
    /// As in a rule, such as `token:weather`. `None` is whoever asks.
    pub principal: Option<String>,
    /// What its token would say.
    pub scopes: Vec<String>,
    pub claims: BTreeMap<String, String>,
    /// As in a rule, such as `publish`.
    pub action: String,
    /// As in a rule, but one: `topic:orders`.
    pub resource: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessAnswer {
    pub principal: String,
    pub allowed: bool,
    /// The rule that allows it.
    pub rule: Option<String>,
    /// Why it is allowed or not, for people.
    pub reason: String,
}

/// What became of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenExplanation {
    /// In the order in which they were made.
    pub findings: Vec<TokenFinding>,
    /// Who it is, if every check is passed.
    pub principal: Option<String>,
    pub scopes: Vec<String>,
    pub claims: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFinding {
    pub check: String,
    pub passed: bool,
    /// What was seen, for people. Never the token.
    pub seen: String,
}

/// A key of the cluster, without what is secret about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySummary {
    pub name: String,
    /// The part of the key that is no secret.
    pub id: String,
    pub created_at: Timestamp,
}

impl Admin {
    /// Lists the access rules, each as `PRINCIPAL ACTION RESOURCE`.
    pub async fn list_access_rules(&self) -> Result<Vec<String>, ClientError> {
        let send = |channel, limit| {
            let request = within(limit, v1::ListRulesRequest {});
            async move { access_client(channel).list_rules(request).await }
        };
        let answer = self.core.call(Repeat::Always, send).await?;
        Ok(answer.rules)
    }

    /// Adds and takes away access rules: all of it or nothing. To add what is there, or take away what is
    /// not, is no error.
    pub async fn change_access_rules(
        &self,
        grant: Vec<String>,
        revoke: Vec<String>,
    ) -> Result<ChangedRules, ClientError> {
        let request = v1::ChangeRulesRequest { grant, revoke };
        let send = |channel, limit| {
            let request = within(limit, request.clone());
            async move { access_client(channel).change_rules(request).await }
        };
        let answer = self.core.call(Repeat::Always, send).await?;
        Ok(ChangedRules {
            granted: answer.granted,
            revoked: answer.revoked,
        })
    }

    /// Whether somebody may do something. It changes nothing.
    pub async fn test_access(&self, question: AccessQuestion) -> Result<AccessAnswer, ClientError> {
        let request = v1::TestAccessRequest {
            principal: question.principal,
            scopes: question.scopes,
            claims: question.claims,
            action: question.action,
            resource: question.resource,
        };
        let send = |channel, limit| {
            let request = within(limit, request.clone());
            async move { access_client(channel).test_access(request).await }
        };
        let answer = self.core.call(Repeat::Always, send).await?;
        Ok(AccessAnswer {
            principal: answer.principal,
            allowed: answer.allowed,
            rule: answer.rule,
            reason: answer.reason,
        })
    }

    /// Which checks a token passes, as the node sees it that is asked.
    pub async fn explain_token(&self, token: &str) -> Result<TokenExplanation, ClientError> {
        let request = v1::ExplainTokenRequest {
            token: token.to_owned(),
        };
        let send = |channel, limit| {
            let request = within(limit, request.clone());
            async move { access_client(channel).explain_token(request).await }
        };
        let answer = self.core.call(Repeat::Always, send).await?;
        let findings = answer.findings.into_iter().map(|finding| TokenFinding {
            check: finding.check,
            passed: finding.passed,
            seen: finding.seen,
        });
        Ok(TokenExplanation {
            findings: findings.collect(),
            principal: answer.principal,
            scopes: answer.scopes,
            claims: answer.claims,
        })
    }

    /// Makes a key, whose principal is `key:NAME`. This is the only time that it is shown.
    pub async fn create_key(&self, name: &str) -> Result<String, ClientError> {
        let request = v1::CreateKeyRequest {
            name: name.to_owned(),
        };
        let send = |channel, limit| {
            let request = within(limit, request.clone());
            async move { access_client(channel).create_key(request).await }
        };
        let answer = self.core.call(Repeat::IfDefinite, send).await?;
        Ok(answer.key)
    }

    /// Lists the keys by name.
    pub async fn list_keys(&self) -> Result<Vec<KeySummary>, ClientError> {
        let send = |channel, limit| {
            let request = within(limit, v1::ListKeysRequest {});
            async move { access_client(channel).list_keys(request).await }
        };
        let answer = self.core.call(Repeat::Always, send).await?;
        let keys = answer.keys.into_iter().map(|key| KeySummary {
            name: key.name,
            id: key.id,
            created_at: Timestamp::from_millis(key.created_at_ms),
        });
        Ok(keys.collect())
    }

    /// Makes a key worthless.
    pub async fn delete_key(&self, name: &str) -> Result<(), ClientError> {
        let request = v1::DeleteKeyRequest {
            name: name.to_owned(),
        };
        let send = |channel, limit| {
            let request = within(limit, request.clone());
            async move { access_client(channel).delete_key(request).await }
        };
        self.core.call(Repeat::IfDefinite, send).await?;
        Ok(())
    }
}

fn access_client(channel: NodeChannel) -> AccessClient<NodeChannel> {
    AccessClient::new(channel)
}
