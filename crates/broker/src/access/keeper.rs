//! Finds out who calls, from what they show.

use std::sync::Arc;

use flotilla_identity::{
    ApiKey, ApiKeyError, ApiKeyHash, Finding, Issuers, IssuersError, TokenRefused, VerifiedToken,
};
use flotilla_protocol::ApiError;
use flotilla_state::metadata::MetadataState;
use flotilla_types::{ErrorCode, KeyName, Principal, PrincipalKind, Shown, ShownCertificate};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::config::AuthConfig;
use super::valid_until::ValidUntil;
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
    clock: Arc<dyn Clock>,
}

impl Keeper {
    pub(crate) fn start(
        config: AuthConfig,
        state: watch::Receiver<Arc<MetadataState>>,
        clock: Arc<dyn Clock>,
        stop: &CancellationToken,
    ) -> Result<Self, IssuersError> {
        let now = {
            let clock = clock.clone();
            Arc::new(move || clock.now())
        };
        let issuers = Issuers::start(config.issuers.clone(), now, stop)?;
        Ok(Self {
            config: Arc::new(config),
            issuers,
            state,
            clock,
        })
    }

    /// Who shows this, and until when that counts.
    pub(crate) async fn identify(
        &self,
        shown: Shown<'_>,
    ) -> Result<(Principal, ValidUntil), ApiError> {
        match (shown.token, shown.certificate) {
            (Some(key), _) if key.starts_with(KEY_PREFIX) => {
                Ok((self.identify_key(key)?, ValidUntil::FOREVER))
            }
            (Some(token), _) => match self.issuers.verify(token).await {
                Ok(verified) => Ok((
                    principal_of(&verified)?,
                    ValidUntil::just_after(verified.expires_at),
                )),
                Err(refused) => Err(refusal(&refused)),
            },
            (None, Some(certificate)) => {
                let valid_until = ValidUntil::at(certificate.expires_at);
                valid_until.check(self.clock.now())?;
                Ok((principal_of_certificate(certificate)?, valid_until))
            }
            (None, None) if self.config.anonymous => {
                Ok((Principal::anonymous(), ValidUntil::FOREVER))
            }
            (None, None) => Err(ApiError::new(
                ErrorCode::Unauthenticated,
                "nothing was shown: send `Authorization: Bearer` with a token or a key, or connect with a \
                 certificate",
            )),
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

    /// Whether the caller has come with a key that there is not any more.
    pub(super) fn has_lost_key(&self, caller: &Principal) -> bool {
        if caller.kind() != PrincipalKind::Key || caller.name() == BOOTSTRAP {
            return false;
        }
        let name = KeyName::parse(caller.name());
        !name.is_ok_and(|name| self.state.borrow().access_keys().named(&name).is_some())
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

fn principal_of_certificate(certificate: ShownCertificate<'_>) -> Result<Principal, ApiError> {
    let unfit = |reason: &str| {
        let message = format!("the certificate names nobody who could be let in: {reason}");
        ApiError::new(ErrorCode::Unauthenticated, message)
    };
    let name = certificate
        .name
        .ok_or_else(|| unfit("its subject has no common name, and it has no DNS name"))?;
    let named = Principal::named(PrincipalKind::Certificate, name);
    named.map_err(|error| unfit(&error.to_string()))
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
