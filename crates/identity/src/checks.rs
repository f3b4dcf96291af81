//! The checks of a token, in their order.
//!
//! Everything cheap comes first, so a forged token costs a check of a signature only if all else
//! about it is right. What a token claims can only make it be refused until the signature is known
//! to be the issuer's.

use flotilla_types::Timestamp;

use crate::algorithm::Algorithm;
use crate::explanation::{Check, Finding, Outcome};
use crate::issuer_config::IssuerConfig;
use crate::key_set::KeySet;
use crate::refused::{TokenRefused, seconds_between};
use crate::shown::Shown;
use crate::unverified_token::{UnverifiedToken, missing};
use crate::verified_token::{self, VerifiedToken};

/// The checks that need no key.
const WITHOUT_KEY: [Check; 9] = [
    Check::Issuer,
    Check::Critical,
    Check::Type,
    Check::Algorithm,
    Check::Audience,
    Check::Expiry,
    Check::NotBefore,
    Check::Principal,
    Check::Scopes,
];
/// Most scopes that an explanation shows.
const SCOPES_SHOWN_MAX: usize = 16;

/// Checks a token of one issuer with keys that are at hand. This is what [`crate::Issuers::verify`]
/// does, without the network, time or anything else that could differ between two runs.
///
/// # Errors
///
/// The first check that failed.
pub fn check_token(
    keys: &KeySet,
    config: &IssuerConfig,
    token: &str,
    now: Timestamp,
) -> Result<VerifiedToken, TokenRefused> {
    let token = UnverifiedToken::parse(token)?;
    let claimed = Checks::new(config, &token, now).claimed()?;
    claimed.prove(keys, &token)
}

/// What a token says of its bearer, while anybody may have written it.
#[must_use]
pub(crate) struct Claimed {
    contents: VerifiedToken,
    pub(crate) algorithm: Algorithm,
}

impl Claimed {
    /// Makes it true, if the signature is the one of an issuer's key.
    pub(crate) fn prove(
        self,
        keys: &KeySet,
        token: &UnverifiedToken<'_>,
    ) -> Result<VerifiedToken, TokenRefused> {
        let key = keys.find(token.header("kid")?, self.algorithm)?;
        key.check_signature(token)?;
        Ok(self.contents)
    }
}

/// One token before the configuration of one issuer.
#[derive(Clone, Copy)]
pub(crate) struct Checks<'a> {
    config: &'a IssuerConfig,
    token: &'a UnverifiedToken<'a>,
    now: Timestamp,
}

impl<'a> Checks<'a> {
    pub(crate) fn new(
        config: &'a IssuerConfig,
        token: &'a UnverifiedToken<'a>,
        now: Timestamp,
    ) -> Self {
        Self { config, token, now }
    }

    /// Runs all checks that need no key, and reads what the token says.
    pub(crate) fn claimed(self) -> Result<Claimed, TokenRefused> {
        for check in WITHOUT_KEY {
            self.run(check)?;
        }
        Ok(Claimed {
            contents: VerifiedToken::read(self.config, self.token)?,
            algorithm: self.algorithm()?,
        })
    }

    /// Runs the same checks to the end, whatever fails.
    pub(crate) fn findings(self) -> impl Iterator<Item = Finding> {
        WITHOUT_KEY.into_iter().map(move |check| {
            let result = self.run(check).map(|()| self.seen(check));
            finding(check, result)
        })
    }

    pub(crate) fn algorithm(self) -> Result<Algorithm, TokenRefused> {
        let invalid = TokenRefused::InvalidHeader { name: "alg" };
        let name = self.token.header("alg")?.ok_or(invalid)?;
        Algorithm::from_name(name)
            .filter(|algorithm| self.config.algorithms.contains(algorithm))
            .ok_or_else(|| TokenRefused::AlgorithmNotAllowed {
                seen: Shown::new(name),
                accepted: self.config.algorithm_names(),
            })
    }

    fn run(self, check: Check) -> Result<(), TokenRefused> {
        match check {
            Check::Issuer => self.check_issuer(),
            Check::Critical => self.check_critical(),
            Check::Type => self.check_type(),
            Check::Algorithm => self.algorithm().map(drop),
            Check::Audience => self.check_audience(),
            Check::Expiry => self.check_expiry(),
            Check::NotBefore => self.check_not_before(),
            Check::Principal => verified_token::check_caller(self.config, self.token),
            Check::Scopes => verified_token::scopes(self.token).map(drop),
            // These need more than the token.
            Check::Form | Check::Key | Check::Signature => Ok(()),
        }
    }

    fn check_issuer(self) -> Result<(), TokenRefused> {
        let issuer = issuer_of(self.token)?;
        if issuer == self.config.issuer {
            return Ok(());
        }
        Err(TokenRefused::UnknownIssuer {
            issuer: Shown::new(issuer),
        })
    }

    /// An extension that has to be understood is not (RFC 7515, section 4.1.11).
    fn check_critical(self) -> Result<(), TokenRefused> {
        if self.token.has_header("crit") {
            return Err(TokenRefused::CriticalHeader);
        }
        Ok(())
    }

    fn check_type(self) -> Result<(), TokenRefused> {
        let seen = self.token.header("typ")?;
        if self.config.accepts_type(seen) {
            return Ok(());
        }
        Err(TokenRefused::WrongType {
            seen: seen.map(Shown::new),
            accepted: self.config.token_types.join(", "),
        })
    }

    fn check_audience(self) -> Result<(), TokenRefused> {
        let seen = self.token.texts("aud")?.ok_or_else(|| missing("aud"))?;
        let is_ours = |audience: &&str| self.config.audiences.iter().any(|ours| ours == audience);
        if seen.iter().any(is_ours) {
            return Ok(());
        }
        Err(TokenRefused::WrongAudience {
            seen: Shown::new(&seen.join(" ")),
            expected: self.config.audiences.join(", "),
        })
    }

    fn check_expiry(self) -> Result<(), TokenRefused> {
        let expired_at = self.token.time("exp")?.ok_or_else(|| missing("exp"))?;
        if is_expired(expired_at, self.config, self.now) {
            let now = self.now;
            return Err(TokenRefused::Expired { expired_at, now });
        }
        Ok(())
    }

    fn check_not_before(self) -> Result<(), TokenRefused> {
        let now = self.now;
        match self.token.time("nbf")? {
            Some(valid_from) if valid_from.minus_millis(self.config.leeway_millis()) > now => {
                Err(TokenRefused::NotYetValid { valid_from, now })
            }
            _ => Ok(()),
        }
    }

    /// What a check that passed has seen.
    fn seen(self, check: Check) -> String {
        let text = |value: Result<Option<&str>, TokenRefused>| match value {
            Ok(Some(value)) => Shown::new(value).to_string(),
            _ => "none".to_owned(),
        };
        let time = |claim| match self.token.time(claim) {
            Ok(Some(at)) => match seconds_between(self.now, at) {
                seconds @ 1.. => format!("in {seconds} s"),
                seconds => format!("{} s ago", -seconds),
            },
            _ => "none".to_owned(),
        };
        match check {
            Check::Issuer => text(self.token.text("iss")),
            Check::Type => text(self.token.header("typ")),
            Check::Algorithm => text(self.token.header("alg")),
            Check::Audience => {
                let audiences = self.token.texts("aud").ok().flatten().unwrap_or_default();
                Shown::new(&audiences.join(" ")).to_string()
            }
            Check::Expiry => time("exp"),
            Check::NotBefore => time("nbf"),
            Check::Principal => text(verified_token::principal(self.config, self.token).map(Some)),
            Check::Scopes => {
                let scopes = verified_token::scopes(self.token).unwrap_or_default();
                let first: Vec<_> = scopes.into_iter().take(SCOPES_SHOWN_MAX).collect();
                text(Ok(Some(first.join(" ").as_str()).filter(|s| !s.is_empty())))
            }
            Check::Critical | Check::Form | Check::Key | Check::Signature => "none".to_owned(),
        }
    }
}

pub(crate) fn issuer_of<'a>(token: &'a UnverifiedToken<'_>) -> Result<&'a str, TokenRefused> {
    token.text("iss")?.ok_or_else(|| missing("iss"))
}

pub(crate) fn is_expired(expires_at: Timestamp, config: &IssuerConfig, now: Timestamp) -> bool {
    now.minus_millis(config.leeway_millis()) >= expires_at
}

pub(crate) fn finding(check: Check, result: Result<String, TokenRefused>) -> Finding {
    let (outcome, seen) = match result {
        Ok(seen) => (Outcome::Passed, seen),
        Err(refused) => (Outcome::Failed, refused.to_string()),
    };
    Finding {
        check,
        outcome,
        seen,
    }
}
