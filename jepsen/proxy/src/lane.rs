//! One direction of a route, as all of its connections share it.

use std::num::NonZeroU64;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::counters::{DirectionCounters, RouteCounters};
use crate::pace::{Pace, Turn};
use crate::plan::Direction;

pub(crate) struct Lane {
    direction: Direction,
    counters: Arc<RouteCounters>,
    pace: Mutex<Pace>,
}

impl Lane {
    pub(crate) fn new(direction: Direction, counters: Arc<RouteCounters>) -> Self {
        Self {
            direction,
            counters,
            pace: Mutex::new(Pace::default()),
        }
    }

    pub(crate) fn direction(&self) -> Direction {
        self.direction
    }

    pub(crate) fn counters(&self) -> &DirectionCounters {
        self.counters.direction(self.direction)
    }

    pub(crate) fn take_turn(&self, bytes: usize, rate: NonZeroU64, now: Instant) -> Turn {
        self.pace.lock().take_turn(bytes, rate, now)
    }

    /// Forgets the turns that were given under another plan.
    pub(crate) fn begin_plan(&self) {
        *self.pace.lock() = Pace::default();
    }
}
