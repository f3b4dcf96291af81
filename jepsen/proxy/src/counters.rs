//! What went over a route, and what met a fault on it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::plan::Direction;

/// What a route has counted since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteCounts {
    /// Connections that were accepted. Those that were refused are known to the kernel alone.
    pub connections: u64,
    /// Connections that are open now.
    pub connections_open: u64,
    /// Connections that a fault has reset.
    pub resets: u64,
    /// Connections for which nobody listened at the upstream address. They are reset too, and not counted as that.
    pub unreachable: u64,
    pub forth: DirectionCounts,
    pub back: DirectionCounts,
}

/// What went one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirectionCounts {
    /// Bytes that were passed on.
    pub bytes: u64,
    /// Bytes that a fault has kept waiting, whether they were passed on later or not.
    pub bytes_held: u64,
    /// Bytes that are waiting now, for whatever reason.
    pub bytes_waiting: u64,
    /// How often a connection met a fault: its bytes were held, its making or its end was kept from the other side,
    /// or it was reset. The same fault counts once per connection.
    pub connections_hit: u64,
}

#[derive(Debug, Default)]
pub(crate) struct RouteCounters {
    pub(crate) connections: AtomicU64,
    pub(crate) connections_open: AtomicU64,
    pub(crate) resets: AtomicU64,
    pub(crate) unreachable: AtomicU64,
    forth: DirectionCounters,
    back: DirectionCounters,
}

#[derive(Debug, Default)]
pub(crate) struct DirectionCounters {
    pub(crate) bytes: AtomicU64,
    pub(crate) bytes_held: AtomicU64,
    pub(crate) bytes_waiting: AtomicU64,
    pub(crate) connections_hit: AtomicU64,
}

impl RouteCounters {
    pub(crate) fn direction(&self, direction: Direction) -> &DirectionCounters {
        match direction {
            Direction::Forth => &self.forth,
            Direction::Back => &self.back,
        }
    }

    pub(crate) fn read(&self) -> RouteCounts {
        RouteCounts {
            connections: self.connections.load(Relaxed),
            connections_open: self.connections_open.load(Relaxed),
            resets: self.resets.load(Relaxed),
            unreachable: self.unreachable.load(Relaxed),
            forth: self.forth.read(),
            back: self.back.read(),
        }
    }
}

impl DirectionCounters {
    fn read(&self) -> DirectionCounts {
        DirectionCounts {
            bytes: self.bytes.load(Relaxed),
            bytes_held: self.bytes_held.load(Relaxed),
            bytes_waiting: self.bytes_waiting.load(Relaxed),
            connections_hit: self.connections_hit.load(Relaxed),
        }
    }
}

pub(crate) fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Relaxed);
}

pub(crate) fn subtract(counter: &AtomicU64, count: usize) {
    counter.fetch_sub(count as u64, Relaxed);
}
