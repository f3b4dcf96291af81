//! Finds out who calls, from what they show.

use std::sync::Arc;

use flotilla_identity::{
    ApiKey, ApiKeyError, ApiKeyHash, Finding, Issuers, IssuersError, TokenRefused, VerifiedToken,
};
use flotilla_protocol::ApiError;
use flotilla_state::metadata::MetadataState;
use flotilla_types::{ErrorCode, Principal, PrincipalKind};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::config::AuthConfig;
use crate::clock::Clock;

/// What keys begin with; a token never does.
const KEY_PREFIX: &str = "flk_";
/// Claims that are about a token and not about its bearer, who is the same with the next one.
const OF_ONE_TOKEN: &[&str] = &["at_hash", "jti", "nonce", "sid"];
/// The name of the key that nodes know from the start.
const BOOTSTRAP: &str = "bootstrap";

/// Knows the issuers and the keys.
#[derive(Clone)]
pub(crate) struct Keeper {
    pub(super) config: Arc<AuthConfig>,
    issuers: Issuers,
    state: watch::Receiver<Arc<MetadataState>>,
}

impl Keeper {
    pub(crate) fn start(
        config: AuthConfig,
        state: watch::Receiver<Arc<MetadataState>>,
        clock: Arc<dyn Clock>,
        stop: &CancellationToken,
    ) -> Result<Self, IssuersError> {
        let now = Arc::new(move || clock.now());
        let issuers = Issuers::start(config.issuers.clone(), now, stop)?;
        Ok(Self {
            config: Arc::new(config),
            issuers,
            state,
        })
    }

    /// Who shows this.
    pub(crate) async fn identify(&self, shown: Option<&str>) -> Result<Principal, ApiError> {
        match shown {
            None if self.config.anonymous => Ok(Principal::anonymous()),
            None => Err(ApiError::new(
                ErrorCode::Unauthenticated,
                "nothing was shown: send `Authorization: Bearer` with a token or a key",
            )),
            Some(shown) if shown.starts_with(KEY_PREFIX) => self.identify_key(shown),
            Some(shown) => match self.issuers.verify(shown).await {
                Ok(verified) => principal_of(&verified),
                Err(refused) => Err(refusal(&refused)),
            },
        }
    }

    /// What a token says, if every check is passed.
    pub(super) async fn verify(&self, token: &str) -> Option<Arc<VerifiedToken>> {
        self.issuers.verify(token).await.ok()
    }

    /// What each check says of a token.
    pub(super) async fn explain(&self, token: &str) -> Vec<Finding> {
        self.issuers.explain(token).await
    }

    fn identify_key(&self, shown: &str) -> Result<Principal, ApiError> {
        let unknown = |reason: &str| {
            let message = format!("the key is not known: {reason}");
            ApiError::new(ErrorCode::Unauthenticated, message)
        };
        let key = ApiKey::parse(shown).map_err(|error| match error {
            ApiKeyError::Mistyped => unknown("it was copied wrong or in part"),
            ApiKeyError::NotAnApiKey => unknown("it has not the form of one"),
        })?;
        if let Some((id, hash)) = &self.config.bootstrap_key
            && id.as_str() == key.id().as_str()
        {
            return match hash.verify(&key) {
                true => named(PrincipalKind::Key, BOOTSTRAP),
                false => Err(unknown("its secret is another one")),
            };
        }
        let state = self.state.borrow().clone();
        let Some(known) = state.access_keys().with_id(key.id().as_str()) else {
            return Err(unknown("it was deleted, or never made"));
        };
        match ApiKeyHash::from_bytes(*known.hash.as_bytes()).verify(&key) {
            true => Ok(known.principal()),
            false => Err(unknown("its secret is another one")),
        }
    }
}

/// The principal of a token that has passed every check.
pub(super) fn principal_of(verified: &VerifiedToken) -> Result<Principal, ApiError> {
    let principal = named(PrincipalKind::Token, &verified.principal)?;
    let claims = verified.claims.iter();
    let claims = claims.filter(|(name, _)| !OF_ONE_TOKEN.contains(&name.as_str()));
    let claims = claims.map(|(name, value)| (name.clone(), value.clone()));
    Ok(principal.with_facts(verified.scopes.iter().cloned(), claims))
}

fn named(kind: PrincipalKind, name: &str) -> Result<Principal, ApiError> {
    Principal::named(kind, name)
        .map_err(|error| ApiError::new(ErrorCode::Unauthenticated, error.to_string()))
}

fn refusal(refused: &TokenRefused) -> ApiError {
    let code = match refused.is_retryable() {
        true => ErrorCode::IdentityUnavailable,
        false => ErrorCode::Unauthenticated,
    };
    ApiError::new(code, refused.to_string())
}
