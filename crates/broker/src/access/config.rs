//! Whom a node believes.

use flotilla_identity::{ApiKeyHash, ApiKeyId, IssuerConfig};
use flotilla_types::Principal;

/// Whom a node believes, and who may do everything.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    /// Those whose tokens count.
    pub issuers: Vec<IssuerConfig>,
    /// What a token must have to publish anything; rules may ask for more.
    pub publish_scope: Option<String>,
    /// Whoever shows nothing is `anonymous`, who may do what rules allow it. Otherwise it is refused.
    pub anonymous: bool,
    /// They may do everything, whatever the rules say: somebody has to make the first one.
    pub administrators: Vec<Principal>,
    /// A key that every node knows from the start. Its principal is `key:bootstrap`.
    pub bootstrap_key: Option<(ApiKeyId, ApiKeyHash)>,
}
