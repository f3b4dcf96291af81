//! What the process counts about issuers and tokens. Labels are configured names and fixed words:
//! nothing that a caller sent becomes one.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, gauge};

use crate::issuer::FetchFailure;
use crate::key_set::KeySet;
use crate::refused::TokenRefused;

const FETCHES: &str = "flotilla_auth_jwks_fetches_total";
const AGE: &str = "flotilla_auth_jwks_age_seconds";
const KEYS: &str = "flotilla_auth_jwks_keys";
const TOKENS: &str = "flotilla_auth_tokens_total";

pub(crate) fn describe() {
    describe_counter!(FETCHES, "Fetches of an issuer's keys, by how they ended");
    describe_gauge!(AGE, "Time since an issuer's keys were fetched");
    describe_gauge!(KEYS, "Keys of an issuer that can be used");
    describe_counter!(TOKENS, "Tokens, by the check that they failed");
}

/// How a token was accepted.
#[derive(Clone, Copy)]
pub(crate) enum Accepted {
    Checked,
    Remembered,
}

pub(crate) fn count_accepted(accepted: Accepted) {
    let outcome = match accepted {
        Accepted::Checked => "accepted",
        Accepted::Remembered => "accepted_from_cache",
    };
    counter!(TOKENS, "outcome" => outcome).increment(1);
}

pub(crate) fn count_refused(refused: &TokenRefused) {
    let outcome = match refused {
        TokenRefused::KeysUnavailable { .. } => "keys_unavailable",
        refused => refused.check().name(),
    };
    counter!(TOKENS, "outcome" => outcome).increment(1);
}

pub(crate) struct IssuerMetrics {
    issuer: String,
}

impl IssuerMetrics {
    pub(crate) fn new(issuer: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
        }
    }

    pub(crate) fn count_fetch(&self, outcome: &Result<KeySet, FetchFailure>) {
        let outcome = outcome.as_ref().map_or_else(FetchFailure::label, |_| "ok");
        counter!(FETCHES, "issuer" => self.issuer.clone(), "outcome" => outcome).increment(1);
    }

    pub(crate) fn set_age(&self, age: Duration) {
        gauge!(AGE, "issuer" => self.issuer.clone()).set(age.as_secs_f64());
    }

    pub(crate) fn set_keys(&self, count: usize) {
        gauge!(KEYS, "issuer" => self.issuer.clone()).set(count as f64);
    }
}
