//! What becomes of the traffic of a route.

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

/// Which way bytes go on a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From who dials to who listens.
    Forth,
    /// From who listens to who dials.
    Back,
}

/// What is done to the bytes that go one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// They pass at once.
    #[default]
    Healthy,
    /// Nothing passes, not even the news that a connection has ended. Connections stay open.
    Cut,
    /// Every connection is reset, at both of its ends, and new ones are refused. A connection cannot be reset one
    /// way only, so one such direction is enough for both.
    Reset,
    /// They pass late, slowly, or both.
    Slow(Slow),
    /// Who sends in this direction loses the connections that there are, and those that it closes afterwards; who
    /// receives is not told of either. As when a machine loses its power and comes back. Connections that are made
    /// meanwhile pass.
    HalfOpen,
}

/// How late and how slowly bytes pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slow {
    /// Least time that bytes are kept. Default: none.
    pub delay_min: Duration,
    /// Most time that bytes are kept; each piece that is read draws its own. Their order is kept.
    pub delay_max: Duration,
    /// What all connections of the route together may send this way. Default: as much as they can.
    pub bytes_per_second: Option<NonZeroU64>,
}

/// What becomes of both directions of a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub forth: Condition,
    pub back: Condition,
}

/// What a cut does beyond silence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CutOptions {
    pub new_connections: NewConnections,
    pub on_heal: OnHeal,
}

/// What somebody sees who dials over a cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NewConnections {
    /// A connection on which nothing happens. The other end hears of it after the cut, unless it is closed by then.
    #[default]
    Hang,
    /// A refusal at once.
    Refused,
}

/// What becomes of the connections that lived through a fault without hearing of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnHeal {
    /// They go on, and what was held comes through. Those that are half open stay so.
    #[default]
    Keep,
    /// They are reset, as by a machine on the way that has forgotten them.
    Reset,
}

impl Condition {
    /// Keeps everything between `min` and `max`.
    pub fn delay(min: Duration, max: Duration) -> Self {
        Self::Slow(Slow {
            delay_min: min,
            delay_max: max,
            bytes_per_second: None,
        })
    }

    pub fn rate(bytes_per_second: NonZeroU64) -> Self {
        Self::Slow(Slow {
            bytes_per_second: Some(bytes_per_second),
            ..Slow::default()
        })
    }
}

impl Plan {
    pub const HEALTHY: Self = Self::both(Condition::Healthy);

    /// The same in both directions.
    pub const fn both(condition: Condition) -> Self {
        Self {
            forth: condition,
            back: condition,
        }
    }

    /// This condition one way, and health the other.
    pub fn one_way(direction: Direction, condition: Condition) -> Self {
        Self::HEALTHY.with(direction, condition)
    }

    /// The same plan with another condition in one direction.
    #[must_use]
    pub fn with(mut self, direction: Direction, condition: Condition) -> Self {
        match direction {
            Direction::Forth => self.forth = condition,
            Direction::Back => self.back = condition,
        }
        self
    }

    pub fn condition(&self, direction: Direction) -> Condition {
        match direction {
            Direction::Forth => self.forth,
            Direction::Back => self.back,
        }
    }

    /// Whether one direction, or both, are in this condition.
    pub(crate) fn has(&self, condition: Condition) -> bool {
        self.forth == condition || self.back == condition
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Healthy => f.write_str("healthy"),
            Self::Cut => f.write_str("cut"),
            Self::Reset => f.write_str("reset"),
            Self::Slow(slow) => slow.fmt(f),
            Self::HalfOpen => f.write_str("half open"),
        }
    }
}

impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            delay_min,
            delay_max,
            bytes_per_second,
        } = self;
        write!(f, "late by {delay_min:?} to {delay_max:?}")?;
        match bytes_per_second {
            Some(rate) => write!(f, ", {rate} bytes per second"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.forth == self.back {
            return self.forth.fmt(f);
        }
        write!(f, "{} forth, {} back", self.forth, self.back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_says_what_it_does() {
        assert_eq!(Plan::HEALTHY.to_string(), "healthy");
        let one_way = Plan::one_way(Direction::Back, Condition::Cut);
        assert_eq!(one_way.to_string(), "healthy forth, cut back");
        let slow = Slow {
            delay_min: Duration::from_millis(5),
            delay_max: Duration::from_millis(10),
            bytes_per_second: NonZeroU64::new(100),
        };
        assert_eq!(
            Plan::both(Condition::Slow(slow)).to_string(),
            "late by 5ms to 10ms, 100 bytes per second"
        );
    }
}
