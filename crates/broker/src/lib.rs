//! What a node does for its clients: topics, produce, fetch, consumer groups, jobs, schemas, manifests
//! and the view of the cluster, as gRPC.
//!
//! ```text
//!   gRPC ── records ──┐
//!           topics  ──┼── router ──┬── here: a partition of flotilla-raft
//!           groups  ──┤            └── elsewhere: the same call, passed on to another node
//!           jobs    ──┤
//!           cluster ──┘
//!           schemas, manifests ── the metadata group, led here or elsewhere
//!
//!   reconcile · moves · retention · leader balance · keeper of coordinators: loops that bring the node to where
//!   metadata wants it
//! ```
//!
//! Any node takes any call. What it cannot answer itself it passes on over the links between nodes,
//! at most twice, or it names the leader if the client asked for that.
//!
//! This crate does not know how bytes are stored, how Raft works, or what HTTP/JSON is; it is told
//! whether there is room for writes, and gets time from a [`Clock`].

mod access;
mod broker;
mod clock;
mod cluster;
mod config;
mod coordinators;
mod errors;
mod groups;
mod jobs;
mod joining;
mod leader_balance;
mod leader_call;
mod led;
mod manifests;
mod metadata;
mod meters;
mod moves;
mod node;
mod origin;
mod peers;
mod reconcile;
mod records;
mod retention;
mod router;
mod schemas;
mod serving;
mod topics;
mod unreadable;

pub use access::AuthConfig;
pub use broker::{Broker, BrokerParts, RecordRoom};
pub use clock::{Clock, SystemClock};
pub use config::BrokerConfig;
pub use flotilla_identity::{
    Algorithm as TokenAlgorithm, ApiKey, ApiKeyHash, ApiKeyId, IssuerConfig, IssuersError,
};
pub use serving::{peer_server, public_server};
pub use unreadable::explain_refusal;
