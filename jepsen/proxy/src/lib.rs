//! A network that breaks on command. Processes on one machine reach each other through it, and a test decides, for
//! every pair of them and either direction, what becomes of the bytes.
//!
//! ```text
//!   client ──► route ──► node 1          forth: from who dials to who listens
//!   client ──► route ──► node 2          back:  from who listens to who dials
//!   node 1 ──► route ──► node 2
//!   node 2 ──► route ──► node 1          dialled at addresses of its own, so node 1 and node 2
//!                                        can be told apart
//! ```
//!
//! Processes that dial from different addresses can share a port instead: [`Network::split`] gives who dials from one
//! of them a route of its own.
//!
//! A fault is what TCP shows of it. A cut is silence: connections stay open, and what was sent comes through, whole
//! and in order, once the cut heals. Nothing is ever lost inside a connection that lives, nor sent twice, nor out of
//! order: where that is wanted, it has to be done to messages, which are not known here. TLS passes unseen.
//!
//! What must stay true:
//!
//! 1. A connection holds at most [`HELD_BYTES_MAX`] in either direction. Beyond that nobody reads what the sender
//!    writes, and so it has to wait.
//! 2. Nothing outlives its [`Network`]: tasks and sockets end with it.
//! 3. A fault that met no traffic proves nothing, so every route counts what met one.

mod connection;
mod counters;
mod door;
mod held;
mod intake;
mod lane;
mod network;
mod orders;
mod pace;
mod pipe;
mod plan;
mod report;
mod route;
mod sides;
mod ways;

pub use counters::{DirectionCounts, RouteCounts};
pub use held::HELD_BYTES_MAX;
pub use network::{Network, NoSuchEnd, SplitError};
pub use plan::{Condition, CutOptions, Direction, NewConnections, OnHeal, Plan, Slow};
pub use report::RouteReport;
pub use route::{OpenError, Route, RouteOptions};
