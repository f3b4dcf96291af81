//! What the integration tests stand on.
//!
//! ```text
//!   Cluster ── real processes ◄── workload ── History ── the promise kept?
//!   demo ───── the same processes, real input and a verdict for people
//!   tidy ───── the repository as text
//! ```
//!
//! Nothing here knows how a node works inside: the tests see Flotilla as its users do, through the
//! binary, its ports and the public client.

#![expect(
    clippy::print_stderr,
    reason = "a test that fails says on stderr where to look"
)]

pub mod cluster;
pub mod condition;
pub mod demo;
pub mod group_worker;
pub mod history;
pub mod http;
pub mod issuer;
pub mod phase;
pub mod replicas;
pub mod stream;
pub mod text;
pub mod tidy;
pub mod workload;
