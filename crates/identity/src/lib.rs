//! Who is calling: verification of OIDC access tokens, and API keys.
//!
//! A token is checked against the configured issuers alone. What it says about itself chooses among
//! them and among their keys; it never brings a key, an address or an algorithm of its own. Keys are
//! fetched in the background and go on counting for a while when an issuer is down; after that
//! everything is refused. Whoever is refused learns which check failed and what it saw, and nobody
//! ever sees the token or a secret in a message, a log line or a metric.
//!
//! This crate decides who somebody is and not what they may do. It knows no servers, topics, access
//! rules or storage. It is the only one that knows the library `jsonwebtoken` and speaks HTTP to
//! issuers. The one provider of cryptography is `aws-lc-rs`.

mod algorithm;
mod api_key;
mod checks;
mod explanation;
mod fetch;
mod issuer;
mod issuer_config;
mod issuers;
mod key_set;
mod metrics;
mod refused;
mod shown;
mod strict_json;
mod token_cache;
mod unverified_token;
mod verified_token;

pub use algorithm::Algorithm;
pub use api_key::{ApiKey, ApiKeyError, ApiKeyHash, ApiKeyId};
pub use checks::check_token;
pub use explanation::{Check, Finding, Outcome};
pub use issuer::{FetchFailure, IssuerStatus};
pub use issuer_config::{IssuerConfig, IssuerConfigError};
pub use issuers::{Clock, Issuers, IssuersError};
pub use key_set::{KeySet, KeySetError};
pub use refused::{ClaimFault, TokenRefused};
pub use shown::Shown;
pub use verified_token::VerifiedToken;
