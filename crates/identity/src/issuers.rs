//! All issuers that are trusted: the door that tokens come to.

use std::sync::Arc;

use flotilla_types::Timestamp;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::checks::{Checks, finding, is_expired, issuer_of};
use crate::explanation::{Check, Finding};
use crate::fetch::Fetcher;
use crate::issuer::{Issuer, IssuerStatus};
use crate::issuer_config::{IssuerConfig, IssuerConfigError};
use crate::metrics::{self, Accepted};
use crate::refused::TokenRefused;
use crate::shown::{OrMissing, Shown};
use crate::token_cache::{GoodToken, TokenCache, TokenHash};
use crate::unverified_token::{TOKEN_BYTES_MAX, UnverifiedToken};
use crate::verified_token::VerifiedToken;

/// Tells what time it is. It should be the time that issuers have: a clock that is more than the
/// leeway behind accepts what has expired, and one that is ahead refuses what has not.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Why issuers cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum IssuersError {
    #[error(
        "the configuration of the issuer {} is wrong: {}",
        issuer,
        listed(errors)
    )]
    Config {
        issuer: Shown,
        errors: Vec<IssuerConfigError>,
    },
    #[error("the issuer {issuer} is configured twice")]
    Duplicate { issuer: Shown },
    #[error("the way to the issuer {issuer} cannot be set up: {reason}")]
    Client { issuer: Shown, reason: String },
}

/// Verifies tokens of the configured issuers. Clones are cheap and share everything. When the last
/// one is dropped, the tasks that fetch keys end.
#[derive(Clone)]
pub struct Issuers {
    shared: Arc<Shared>,
}

struct Shared {
    issuers: Vec<Arc<Issuer>>,
    clock: Clock,
    good_tokens: Mutex<TokenCache>,
    _tasks: JoinSet<()>,
}

impl Issuers {
    /// Starts to fetch the keys of all issuers, each in a task of its own, until `stop` is cancelled.
    /// It does not wait for them: an issuer that is down keeps no node from starting. It has to be
    /// called inside a runtime.
    ///
    /// # Errors
    ///
    /// A configuration is not valid.
    pub fn start(
        configs: Vec<IssuerConfig>,
        clock: Clock,
        stop: &CancellationToken,
    ) -> Result<Self, IssuersError> {
        metrics::describe();
        let mut issuers: Vec<Arc<Issuer>> = Vec::new();
        let mut fetchers = Vec::new();
        for config in configs {
            let issuer = Shown::new(&config.issuer);
            if let Err(errors) = config.validate() {
                return Err(IssuersError::Config { issuer, errors });
            }
            let is_same = |other: &Arc<Issuer>| other.config.issuer == config.issuer;
            if issuers.iter().any(is_same) {
                return Err(IssuersError::Duplicate { issuer });
            }
            let fetcher = Fetcher::new(&config);
            fetchers.push(fetcher.map_err(|reason| IssuersError::Client { issuer, reason })?);
            issuers.push(Arc::new(Issuer::new(config, Arc::clone(&clock))));
        }
        let mut tasks = JoinSet::new();
        for (issuer, fetcher) in issuers.iter().zip(fetchers) {
            tasks.spawn(Arc::clone(issuer).run(fetcher, stop.clone()));
        }
        let shared = Shared {
            issuers,
            clock,
            good_tokens: Mutex::default(),
            _tasks: tasks,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Finds out who a token is for. It takes time in two cases: keys are being fetched that it may
    /// need, for which it waits up to 2 seconds; or its signature has to be checked, which takes a
    /// fraction of a millisecond, the first time that the token comes.
    ///
    /// # Errors
    ///
    /// The first check that failed. [`TokenRefused::is_retryable`] says whether it is the issuer's
    /// fault.
    pub async fn verify(&self, token: &str) -> Result<Arc<VerifiedToken>, TokenRefused> {
        let verified = self.remember_or_check(token).await;
        match &verified {
            Ok((_, accepted)) => metrics::count_accepted(*accepted),
            Err(refused) => metrics::count_refused(refused),
        }
        verified.map(|(contents, _)| contents)
    }

    /// Makes all checks of a token, also those after one that failed, as far as they make sense then,
    /// and says what each of them saw.
    pub async fn explain(&self, token: &str) -> Vec<Finding> {
        let token = match UnverifiedToken::parse(token) {
            Ok(token) => token,
            Err(refused) => return vec![finding(Check::Form, Err(refused))],
        };
        let form = "three parts with JSON in the first two".to_owned();
        let mut findings = vec![finding(Check::Form, Ok(form))];
        let (_, issuer) = match self.issuer_of(&token) {
            Ok(found) => found,
            Err(refused) => {
                findings.push(finding(Check::Issuer, Err(refused)));
                return findings;
            }
        };
        let checks = Checks::new(&issuer.config, &token, self.now());
        findings.extend(checks.findings());
        if let Ok(algorithm) = checks.algorithm() {
            let key_id = token.header("kid");
            let key = match &key_id {
                Ok(key_id) => issuer.keys_for(*key_id, algorithm).await,
                Err(refused) => Err(refused.clone()),
            };
            let seen = OrMissing(&key_id.ok().flatten().map(Shown::new)).to_string();
            findings.push(finding(Check::Key, key.clone().map(|_| seen.clone())));
            if let Ok(fetched) = key {
                let key = fetched.keys.find(key_id_of(&token), algorithm);
                let result = key.and_then(|key| key.check_signature(&token));
                findings.push(finding(Check::Signature, result.map(|()| seen)));
            }
        }
        findings
    }

    /// What is known of each issuer, in the order of their configuration.
    pub fn status(&self) -> Vec<IssuerStatus> {
        let issuers = self.shared.issuers.iter();
        issuers.map(|issuer| issuer.status()).collect()
    }

    async fn remember_or_check(
        &self,
        token: &str,
    ) -> Result<(Arc<VerifiedToken>, Accepted), TokenRefused> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenRefused::TooLarge { bytes: token.len() });
        }
        let hash = TokenHash::of(token);
        if let Some(contents) = self.remembered(hash) {
            return Ok((contents, Accepted::Remembered));
        }
        let unverified = UnverifiedToken::parse(token)?;
        let (issuer_index, issuer) = self.issuer_of(&unverified)?;
        let claimed = Checks::new(&issuer.config, &unverified, self.now()).claimed()?;
        let key_id = unverified.header("kid")?;
        let fetched = issuer.keys_for(key_id, claimed.algorithm).await?;
        let contents = Arc::new(claimed.prove(&fetched.keys, &unverified)?);
        let good_token = GoodToken {
            contents: Arc::clone(&contents),
            issuer_index,
            keys_version: fetched.version,
            token_bytes: token.len(),
        };
        self.shared.good_tokens.lock().insert(hash, good_token);
        Ok((contents, Accepted::Checked))
    }

    /// What is known of a token that came before, if it would be accepted again.
    fn remembered(&self, hash: TokenHash) -> Option<Arc<VerifiedToken>> {
        let mut good_tokens = self.shared.good_tokens.lock();
        let found = good_tokens.get(hash)?;
        let issuer = &self.shared.issuers[found.issuer_index];
        let has_same_keys = issuer
            .current()
            .is_ok_and(|fetched| fetched.version == found.keys_version);
        if has_same_keys && !is_expired(found.contents.expires_at, &issuer.config, self.now()) {
            return Some(found.contents);
        }
        good_tokens.remove(hash);
        None
    }

    fn issuer_of(
        &self,
        token: &UnverifiedToken<'_>,
    ) -> Result<(usize, &Arc<Issuer>), TokenRefused> {
        let name = issuer_of(token)?;
        let mut issuers = self.shared.issuers.iter().enumerate();
        let found = issuers.find(|(_, issuer)| issuer.config.issuer == name);
        found.ok_or_else(|| TokenRefused::UnknownIssuer {
            issuer: Shown::new(name),
        })
    }

    fn now(&self) -> Timestamp {
        (self.shared.clock)()
    }
}

fn key_id_of<'a>(token: &'a UnverifiedToken<'_>) -> Option<&'a str> {
    token.header("kid").ok().flatten()
}

fn listed(errors: &[IssuerConfigError]) -> String {
    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
    errors.join("; ")
}
