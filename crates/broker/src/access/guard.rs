//! Whether a caller may do something.

use flotilla_protocol::ApiError;
use flotilla_state::access::{AccessAction, Resource};
use flotilla_types::{ErrorCode, Principal, PrincipalKind};
use tonic::Request;

use crate::node::Node;
use crate::origin::Origin;

impl Node {
    /// Refuses what no rule allows the caller, and a caller whose proof does not count any more.
    pub(crate) fn allow(
        &self,
        origin: &Origin,
        action: AccessAction,
        resource: Resource<'_>,
    ) -> Result<(), ApiError> {
        let caller = origin.caller();
        self.require_proof(origin)?;
        if self.may(caller, action, resource) {
            return Ok(());
        }
        let why = self.why_not(caller, action);
        let message = format!("{caller} may not {action} {resource}: {why}");
        Err(ApiError::new(ErrorCode::PermissionDenied, message))
    }

    /// A call may last longer than the token, the certificate or the key that it began with.
    fn require_proof(&self, origin: &Origin) -> Result<(), ApiError> {
        let Some(keeper) = &self.keeper else {
            return Ok(());
        };
        origin.valid_until().check(self.now())?;
        // The node that let the caller in knows best; another one may not have heard of a new key yet.
        match !origin.is_node() && keeper.has_lost_key(origin.caller()) {
            false => Ok(()),
            true => Err(ApiError::new(
                ErrorCode::Unauthenticated,
                "the key was deleted: show another one",
            )),
        }
    }

    /// Who makes a request, unless the caller may not do this.
    pub(crate) fn admit<T>(
        &self,
        request: &Request<T>,
        action: AccessAction,
        resource: Resource<'_>,
    ) -> Result<Origin, ApiError> {
        let origin = Origin::of(request, self.peers.cluster())?;
        self.allow(&origin, action, resource)?;
        Ok(origin)
    }

    /// Whether the caller may do this. Where nobody is asked who it is, everybody may do everything.
    pub(crate) fn may(
        &self,
        caller: &Principal,
        action: AccessAction,
        resource: Resource<'_>,
    ) -> bool {
        self.may_everything(caller)
            || (self.missing_scope(caller, action).is_none()
                && self.state().access_rules().allows(caller, action, resource))
    }

    /// Whether a list shows this to the caller.
    pub(crate) fn sees(&self, origin: &Origin, resource: Resource<'_>) -> bool {
        self.may(origin.caller(), AccessAction::Describe, resource)
    }

    /// Whether rules mean nothing to the caller.
    pub(super) fn may_everything(&self, caller: &Principal) -> bool {
        let Some(keeper) = &self.keeper else {
            return true;
        };
        let mut administrators = keeper.config.administrators.iter();
        caller.kind() == PrincipalKind::Node
            || administrators.any(|one| one.kind() == caller.kind() && one.name() == caller.name())
    }

    pub(super) fn why_not(&self, caller: &Principal, action: AccessAction) -> String {
        match self.missing_scope(caller, action) {
            Some(scope) => format!("its token lacks the scope {scope}"),
            None => "no access rule allows it".to_owned(),
        }
    }

    /// What a token must have to publish anything, if this one has not.
    fn missing_scope(&self, caller: &Principal, action: AccessAction) -> Option<&str> {
        let scope = self.keeper.as_ref()?.config.publish_scope.as_deref()?;
        let is_asked = caller.kind() == PrincipalKind::Token && action == AccessAction::Publish;
        (is_asked && !caller.has_scope(scope)).then_some(scope)
    }
}
