//! The `Access` service.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flotilla_identity::{ApiKey, Outcome};
use flotilla_protocol::v1::access_server::Access;
use flotilla_protocol::{ApiError, v1};
use flotilla_state::access::{
    AccessAction, AccessKey, AccessRule, Explanation, KeyHash, KeyId, Resource,
};
use flotilla_state::metadata::MetadataCommand;
use flotilla_types::{ErrorCode, KeyName, Principal};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::keeper::principal_of;
use crate::metadata::Accepted;
use crate::node::Node;
use crate::origin::Origin;

/// How long the metadata group may take to decide.
const CHANGE_LIMIT: Duration = Duration::from_secs(15);

pub(crate) struct AccessService {
    node: Arc<Node>,
}

impl AccessService {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    /// Proposes a change and waits until this node goes by it. The others do a moment later.
    async fn change(&self, command: &MetadataCommand) -> Result<Accepted, ApiError> {
        self.node.refuse_when_stopping()?;
        let deadline = Instant::now() + CHANGE_LIMIT;
        let proposed = self.node.propose(command, deadline).await?;
        if let Err(error) = self.node.wait_for_version(proposed.version, deadline).await {
            tracing::warn!(%error, "access has changed, but this node does not see it yet");
        }
        Ok(proposed.accepted)
    }

    fn test(&self, request: v1::TestAccessRequest, origin: &Origin) -> Result<Tested, ApiError> {
        let caller = origin.caller();
        let principal = match &request.principal {
            None => caller.clone(),
            Some(text) => read_principal(text)?.with_facts(request.scopes, request.claims),
        };
        if request.principal.is_some() {
            let node = &self.node;
            node.allow(origin, AccessAction::Describe, Resource::Access)?;
        }
        let action = AccessAction::parse(&request.action);
        let action = action.ok_or_else(|| invalid("the action is not one of a rule's"))?;
        let resource = Resource::parse(&request.resource);
        let resource = resource.map_err(|error| invalid(&error.to_string()))?;
        if action == AccessAction::All || !resource.kind().takes(action) {
            let message = format!("{action} is nothing that is done to {resource}");
            return Err(invalid(&message));
        }
        Ok(self.judge(principal, action, resource))
    }

    fn judge(&self, principal: Principal, action: AccessAction, resource: Resource<'_>) -> Tested {
        let allowed = self.node.may(&principal, action, resource);
        let state = self.node.state();
        let explanation = state.access_rules().explain(&principal, action, resource);
        let (rule, reason) = match (&self.node.keeper, &explanation) {
            (None, _) => (
                None,
                "auth.enabled is off: everything is allowed".to_owned(),
            ),
            _ if self.node.may_everything(&principal) => (
                None,
                "it is an administrator by the nodes' configuration".to_owned(),
            ),
            (_, Explanation::Allowed(rule)) if allowed => {
                (Some(rule.to_string()), "a rule allows it".to_owned())
            }
            (_, Explanation::Denied { nearest }) if !nearest.is_empty() => {
                let near: Vec<_> = nearest.iter().map(|near| near.rule.to_string()).collect();
                let reason = format!("no rule allows it; nearly: {}", near.join(", "));
                (None, reason)
            }
            _ => (None, self.node.why_not(&principal, action)),
        };
        Tested {
            principal,
            allowed,
            rule,
            reason,
        }
    }

    async fn create_key(&self, name: &str) -> Result<ApiKey, ApiError> {
        let name = KeyName::parse(name)?;
        let (key, hash) = ApiKey::generate();
        let id = KeyId::parse(key.id().as_str());
        let id = id.expect("invariant: the id of a key that was made here is one");
        let command = MetadataCommand::AddKey {
            key: AccessKey {
                name: name.clone(),
                id,
                hash: KeyHash::new(*hash.as_bytes()),
                created_at: self.node.now(),
            },
        };
        self.change(&command).await?;
        tracing::info!(%name, "a key was made");
        Ok(key)
    }

    async fn explain(&self, token: &str) -> Result<v1::ExplainTokenResponse, ApiError> {
        let Some(keeper) = &self.node.keeper else {
            return Err(ApiError::new(
                ErrorCode::InvalidArgument,
                "auth.enabled is off: this node looks at no tokens",
            ));
        };
        let findings = keeper.explain(token).await;
        let verified = keeper.verify(token).await;
        let principal = verified.and_then(|verified| principal_of(&verified).ok());
        let findings = findings.into_iter().map(|finding| v1::TokenFinding {
            check: finding.check.to_string(),
            passed: finding.outcome == Outcome::Passed,
            seen: finding.seen,
        });
        Ok(v1::ExplainTokenResponse {
            findings: findings.collect(),
            scopes: scopes(principal.as_ref()),
            claims: claims(principal.as_ref()),
            principal: principal.map(|principal| principal.to_string()),
        })
    }
}

struct Tested {
    principal: Principal,
    allowed: bool,
    rule: Option<String>,
    reason: String,
}

#[tonic::async_trait]
impl Access for AccessService {
    async fn list_rules(
        &self,
        request: Request<v1::ListRulesRequest>,
    ) -> Result<Response<v1::ListRulesResponse>, Status> {
        let node = &self.node;
        node.admit(&request, AccessAction::Describe, Resource::Access)?;
        let state = node.state();
        let rules = state.access_rules().iter().map(ToString::to_string);
        Ok(Response::new(v1::ListRulesResponse {
            rules: rules.collect(),
        }))
    }

    async fn change_rules(
        &self,
        request: Request<v1::ChangeRulesRequest>,
    ) -> Result<Response<v1::ChangeRulesResponse>, Status> {
        let node = &self.node;
        let origin = node.admit(&request, AccessAction::Alter, Resource::Access)?;
        let request = request.into_inner();
        let command = MetadataCommand::ChangeAccess {
            grant: read_rules(&request.grant)?,
            revoke: read_rules(&request.revoke)?,
        };
        let Accepted::Access { granted, revoked } = self.change(&command).await? else {
            return Err(unexpected().into());
        };
        let by = origin.caller();
        tracing::info!(%by, granted = ?request.grant, revoked = ?request.revoke, "access rules have changed");
        Ok(Response::new(v1::ChangeRulesResponse { granted, revoked }))
    }

    async fn test_access(
        &self,
        request: Request<v1::TestAccessRequest>,
    ) -> Result<Response<v1::TestAccessResponse>, Status> {
        let origin = Origin::of(&request, self.node.peers.cluster())?;
        let tested = self.test(request.into_inner(), &origin)?;
        Ok(Response::new(v1::TestAccessResponse {
            allowed: tested.allowed,
            rule: tested.rule,
            reason: tested.reason,
            principal: tested.principal.to_string(),
        }))
    }

    async fn explain_token(
        &self,
        request: Request<v1::ExplainTokenRequest>,
    ) -> Result<Response<v1::ExplainTokenResponse>, Status> {
        let explained = self.explain(&request.into_inner().token).await?;
        Ok(Response::new(explained))
    }

    async fn create_key(
        &self,
        request: Request<v1::CreateKeyRequest>,
    ) -> Result<Response<v1::CreateKeyResponse>, Status> {
        let node = &self.node;
        node.admit(&request, AccessAction::Alter, Resource::Access)?;
        let key = self.create_key(&request.into_inner().name).await?;
        Ok(Response::new(v1::CreateKeyResponse {
            key: key.reveal().to_owned(),
        }))
    }

    async fn list_keys(
        &self,
        request: Request<v1::ListKeysRequest>,
    ) -> Result<Response<v1::ListKeysResponse>, Status> {
        let node = &self.node;
        node.admit(&request, AccessAction::Describe, Resource::Access)?;
        let state = node.state();
        let keys = state.access_keys().iter().map(|key| v1::AccessKey {
            name: key.name.to_string(),
            id: key.id.to_string(),
            created_at_ms: key.created_at.as_millis(),
        });
        Ok(Response::new(v1::ListKeysResponse {
            keys: keys.collect(),
        }))
    }

    async fn delete_key(
        &self,
        request: Request<v1::DeleteKeyRequest>,
    ) -> Result<Response<v1::DeleteKeyResponse>, Status> {
        let node = &self.node;
        node.admit(&request, AccessAction::Alter, Resource::Access)?;
        let name = KeyName::parse(&request.into_inner().name).map_err(ApiError::from)?;
        self.change(&MetadataCommand::RemoveKey { name }).await?;
        Ok(Response::new(v1::DeleteKeyResponse {}))
    }
}

fn read_rules(texts: &[String]) -> Result<Vec<AccessRule>, ApiError> {
    let read = |text: &String| {
        AccessRule::parse(text).map_err(|error| invalid(&format!("{text:?}: {error}")))
    };
    texts.iter().map(read).collect()
}

fn read_principal(text: &str) -> Result<Principal, ApiError> {
    let principal = Principal::parse(text);
    let principal = principal.map_err(|error| invalid(&error.to_string()))?;
    Ok(principal)
}

fn scopes(principal: Option<&Principal>) -> Vec<String> {
    let scopes = principal.into_iter().flat_map(Principal::scopes);
    scopes.map(str::to_owned).collect()
}

fn claims(principal: Option<&Principal>) -> BTreeMap<String, String> {
    let claims = principal.into_iter().flat_map(Principal::claims);
    claims
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn invalid(message: &str) -> ApiError {
    ApiError::new(ErrorCode::InvalidArgument, message)
}

fn unexpected() -> ApiError {
    ApiError::new(
        ErrorCode::Internal,
        "the metadata group answered something else",
    )
}
