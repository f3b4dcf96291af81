//! Tokens before they are signed: a good one, to be changed in one place.

use serde_json::{Value, json};

use crate::test_key::{TestKey, encoded};

/// The time at which all tests begin, in seconds since 1970.
pub(crate) const NOW: i64 = 1_800_000_000;
pub(crate) const AUDIENCE: &str = "kbroker-inbox";
pub(crate) const SCOPE: &str = "kbroker-inbox.event-publish";

/// A header and claims that anything can be done to.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) header: Value,
    pub(crate) claims: Value,
}

impl Draft {
    /// What an issuer writes for a machine: valid from now on for an hour.
    pub(crate) fn new(issuer: &str, key: &TestKey) -> Self {
        Self {
            header: json!({"alg": key.algorithm(), "typ": "at+jwt", "kid": key.id}),
            claims: json!({
                "iss": issuer,
                "sub": "integration-7",
                "client_id": "integration-7",
                "aud": AUDIENCE,
                "scope": SCOPE,
                "iat": NOW,
                "exp": NOW + 3_600,
                "jti": "Yh2g",
            }),
        }
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header[name] = value.into();
        self
    }

    pub(crate) fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims[name] = value.into();
        self
    }

    pub(crate) fn without_header(mut self, name: &str) -> Self {
        self.header.as_object_mut().unwrap().remove(name);
        self
    }

    pub(crate) fn without_claim(mut self, name: &str) -> Self {
        self.claims.as_object_mut().unwrap().remove(name);
        self
    }

    pub(crate) fn sign(&self, key: &TestKey) -> String {
        sign_texts(&self.header.to_string(), &self.claims.to_string(), key)
    }

    /// The token with a signature that is only a text.
    pub(crate) fn with_signature(&self, signature: &str) -> String {
        let [header, claims] = [&self.header, &self.claims].map(Value::to_string);
        let message = message_of(&header, &claims);
        format!("{message}.{signature}")
    }
}

/// Signs whatever is in the parts, JSON or not.
pub(crate) fn sign_texts(header: &str, claims: &str, key: &TestKey) -> String {
    let message = message_of(header, claims);
    let signature = encoded(&key.sign(message.as_bytes()));
    format!("{message}.{signature}")
}

pub(crate) fn message_of(header: &str, claims: &str) -> String {
    let [header, claims] = [header, claims].map(|part| encoded(part.as_bytes()));
    format!("{header}.{claims}")
}
