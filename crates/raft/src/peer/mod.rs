//! The links between nodes.
//!
//! ```text
//!   raft group 7 --\                                        /--> raft group 7
//!   raft group 8 ----> control lane: votes, heartbeats ---------> raft group 8
//!   raft group 9 --/   data lane:    log entries            \--> raft group 9
//!                      snapshot lane, when needed
//! ```
//!
//! Each node opens two connections to every peer. All groups share them in frames of our own, straight
//! on TCP: HTTP/2 between nodes cost a fifth of the processor time of every batch. Every request
//! carries an id, and either gets its answer within a time limit or fails: a request that neither
//! answers nor fails would hold up the purging of a log for ever.

mod connector;
mod frame;
mod hello;
mod lane;
mod link;
mod message;
mod network;
mod server;
mod wire;

pub use connector::{ConnectError, Connector, Destination, TcpConnector};
pub(crate) use frame::FrameKind;
pub(crate) use hello::Credentials;
pub(crate) use lane::LinkState;
pub(crate) use link::{Links, PeerLink};
pub(crate) use network::NetworkFactory;
pub use server::PeerServer;
pub use wire::PeerStream;
