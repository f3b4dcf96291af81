//! What a token says, once that is known to be true.

use std::collections::{BTreeMap, BTreeSet};

use flotilla_types::Timestamp;

use crate::issuer_config::IssuerConfig;
use crate::refused::TokenRefused;
use crate::unverified_token::{UnverifiedToken, missing, wrong_type};

/// Most claims that are kept for access rules.
const CLAIMS_MAX: usize = 32;
/// Longest claim that is kept for access rules, and longest name of a principal, in bytes.
const CLAIM_BYTES_MAX: usize = 256;
/// Where a principal has its name unless the issuer's configuration says so, best first.
const PRINCIPAL_CLAIMS: [&str; 3] = ["client_id", "azp", "sub"];
/// Where issuers put scopes. What stands in several of them adds up.
pub(crate) const SCOPE_CLAIMS: [&str; 3] = ["scope", "scp", "permissions"];

/// Who somebody is, by the word of an issuer that is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedToken {
    pub issuer: String,
    /// The name of whoever calls: 1 to 256 bytes without control characters. Two issuers may give
    /// the same name to different callers, so rules for more than one issuer have to name both.
    pub principal: String,
    pub subject: Option<String>,
    /// From `client_id`, else `azp`.
    pub client_id: Option<String>,
    /// From `scope`, `scp` and `permissions` together; strings are taken apart at spaces.
    pub scopes: BTreeSet<String>,
    /// The claims at the top that are strings, by name: at most 32 of at most 256 bytes, the first
    /// ones by name. Longer ones are left out, for half a value could be another value.
    pub claims: BTreeMap<String, String>,
    /// When the token expires. It is accepted a little longer, by the leeway of the issuer's
    /// configuration.
    pub expires_at: Timestamp,
}

impl VerifiedToken {
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.contains(scope)
    }

    /// Reads what is only true if the signature is right: the caller has to check that.
    pub(crate) fn read(
        config: &IssuerConfig,
        token: &UnverifiedToken<'_>,
    ) -> Result<Self, TokenRefused> {
        let client_id = match token.text("client_id")? {
            Some(client_id) => Some(client_id),
            None => token.text("azp")?,
        };
        Ok(Self {
            issuer: config.issuer.clone(),
            principal: principal(config, token)?.to_owned(),
            subject: token.text("sub")?.map(str::to_owned),
            client_id: client_id.map(str::to_owned),
            scopes: scopes(token)?,
            claims: kept_claims(token),
            expires_at: token.time("exp")?.ok_or_else(|| missing("exp"))?,
        })
    }
}

/// Checks everything that says who calls, whether it decides on the name or not.
pub(crate) fn check_caller(
    config: &IssuerConfig,
    token: &UnverifiedToken<'_>,
) -> Result<(), TokenRefused> {
    for claim in PRINCIPAL_CLAIMS {
        token.text(claim)?;
    }
    principal(config, token).map(drop)
}

pub(crate) fn principal<'a>(
    config: &IssuerConfig,
    token: &'a UnverifiedToken<'_>,
) -> Result<&'a str, TokenRefused> {
    if let Some(claim) = &config.principal_claim {
        let name = token.text(claim)?.ok_or_else(|| missing(claim))?;
        return check_name(claim, name);
    }
    for claim in PRINCIPAL_CLAIMS {
        if let Some(name) = token.text(claim)? {
            return check_name(claim, name);
        }
    }
    Err(missing("sub"))
}

fn check_name<'a>(claim: &str, name: &'a str) -> Result<&'a str, TokenRefused> {
    if (1..=CLAIM_BYTES_MAX).contains(&name.len()) && !name.contains(char::is_control) {
        return Ok(name);
    }
    let expected = "a name of 1 to 256 bytes without control characters";
    Err(wrong_type(claim, expected))
}

pub(crate) fn scopes(token: &UnverifiedToken<'_>) -> Result<BTreeSet<String>, TokenRefused> {
    let mut scopes = BTreeSet::new();
    for claim in SCOPE_CLAIMS {
        let texts = token.texts(claim)?.unwrap_or_default();
        let names = texts.into_iter().flat_map(|text| text.split(' '));
        scopes.extend(names.filter(|name| !name.is_empty()).map(str::to_owned));
    }
    Ok(scopes)
}

fn kept_claims(token: &UnverifiedToken<'_>) -> BTreeMap<String, String> {
    token
        .all_texts()
        .filter(|(name, value)| name.len() <= CLAIM_BYTES_MAX && value.len() <= CLAIM_BYTES_MAX)
        .take(CLAIMS_MAX)
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
