//! The links between nodes.
//!
//! ```text
//!   raft group 7 --\                                        /--> raft group 7
//!   raft group 8 ----> control lane: votes, heartbeats ---------> raft group 8
//!   raft group 9 --/   data lane:    log entries            \--> raft group 9
//!                      snapshot call, when needed
//! ```
//!
//! Each node opens two connections to every peer and keeps one stream on each. All groups share
//! them in frames of our own, many frames to a message. Every request carries an id, and either
//! gets its answer within a time limit or fails: a request that neither answers nor fails would hold
//! up the purging of a log for ever.

mod connector;
mod frame;
mod hello;
mod lane;
mod link;
mod message;
mod network;
mod server;

pub use connector::{ConnectError, Connector, TcpConnector};
pub(crate) use frame::FrameKind;
pub(crate) use hello::Credentials;
pub(crate) use lane::LinkState;
pub(crate) use link::{Links, PeerLink};
pub(crate) use network::NetworkFactory;
pub use server::PeerService;
