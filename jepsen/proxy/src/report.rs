//! What a route does, for people to read.

use std::fmt;
use std::net::SocketAddr;

use crate::counters::{DirectionCounts, RouteCounts};
use crate::plan::Plan;

/// A route as it is at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteReport {
    pub from: String,
    pub to: String,
    pub address: SocketAddr,
    pub upstream: SocketAddr,
    pub plan: Plan,
    pub counts: RouteCounts,
}

impl fmt::Display for RouteReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            from,
            to,
            address,
            upstream,
            plan,
            counts,
        } = self;
        write!(f, "{from} → {to} ({address} → {upstream}): {plan}; ")?;
        write!(
            f,
            "{} connections, {} open, {} reset, {} unreachable; forth {}; back {}",
            counts.connections,
            counts.connections_open,
            counts.resets,
            counts.unreachable,
            counts.forth,
            counts.back
        )
    }
}

impl fmt::Display for DirectionCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bytes, {} held, {} waiting, {} connections hit",
            self.bytes, self.bytes_held, self.bytes_waiting, self.connections_hit
        )
    }
}
