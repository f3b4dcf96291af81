//! How a client behaves.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flotilla_net::ClientTls;
use flotilla_types::Timestamp;
use tonic::metadata::{Ascii, MetadataValue};

use crate::ClientError;

/// Settings that everything made by one [`Client`](crate::Client) shares.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Nodes to ask first, as `host:port`. One that answers is enough: it names the others.
    pub bootstrap: Vec<String>,
    /// What the nodes are shown with every call. Default: nothing.
    pub credentials: Option<Credentials>,
    /// Encrypts the connections. Default: they are not encrypted.
    pub tls: Option<ClientTls>,
    /// Where requests go. Default: to the leaders.
    pub routing: Routing,
    /// Longest time for one administrative call or look-up, retries included. Default 30 s.
    pub deadline: Duration,
    /// Longest time for one attempt at something that any node can answer. Then the next node is
    /// asked. Default 2 s.
    pub attempt_timeout: Duration,
    /// Longest time to establish a connection. Default 2 s.
    pub connect_timeout: Duration,
    /// First pause between attempts. It doubles up to `backoff_max`, and each one is shortened by a
    /// random part of up to a half. Default 10 ms.
    pub backoff_min: Duration,
    /// Longest pause between attempts. Default 250 ms.
    pub backoff_max: Duration,
    /// Age at which the knowledge about topics and leaders is renewed even if nothing failed, so
    /// that new partitions are noticed. Default 60 s.
    pub metadata_age_max: Duration,
    /// Where records without a timestamp get theirs from. Default: the system's clock.
    pub clock: fn() -> Timestamp,
}

/// What somebody shows to be let in. It is never printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials(MetadataValue<Ascii>);

impl Credentials {
    /// A token of an issuer that the cluster trusts, or a key of the cluster. It goes over the connection as
    /// it is, so the connection should be encrypted.
    pub fn bearer(token: &str) -> Result<Self, ClientError> {
        let mut value = MetadataValue::try_from(format!("Bearer {}", token.trim()))
            .map_err(|_| ClientError::invalid("a token has visible ASCII characters only"))?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    pub(crate) fn header(&self) -> MetadataValue<Ascii> {
        self.0.clone()
    }
}

/// Where a client sends its requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Routing {
    /// Straight to the node that leads the partition, at the address that the node is known by.
    #[default]
    ToLeaders,
    /// Always to the bootstrap nodes, which pass on what others have to do. For those who reach no other
    /// address: behind a load balancer, say.
    ThroughBootstrap,
}

impl ClientConfig {
    /// The defaults, with these nodes to begin with.
    pub fn new<A: Into<String>>(bootstrap: impl IntoIterator<Item = A>) -> Self {
        Self {
            bootstrap: bootstrap.into_iter().map(Into::into).collect(),
            credentials: None,
            tls: None,
            routing: Routing::default(),
            deadline: Duration::from_secs(30),
            attempt_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(2),
            backoff_min: Duration::from_millis(10),
            backoff_max: Duration::from_millis(250),
            metadata_age_max: Duration::from_secs(60),
            clock: system_clock,
        }
    }

    /// Whether a node that does not lead shall say so rather than pass a request on.
    pub(crate) fn no_forward(&self) -> bool {
        match self.routing {
            Routing::ToLeaders => true,
            Routing::ThroughBootstrap => false,
        }
    }

    pub(crate) fn validate(&self) -> Result<(), ClientError> {
        if self.bootstrap.is_empty() {
            return Err(ClientError::invalid("at least one node address is needed"));
        }
        if self.backoff_min.is_zero() || self.backoff_min > self.backoff_max {
            return Err(ClientError::invalid(
                "backoff_min must be above zero and not above backoff_max",
            ));
        }
        Ok(())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "an application's client has no other clock; simulations hand in theirs"
)]
fn system_clock() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since_epoch.map_or(0, |elapsed| elapsed.as_millis());
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}
