//! What comes in from one end of a connection, and what a fault does to it before it may leave.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::net::tcp::ReadHalf;
use tokio::time::Instant;

use crate::counters::add;
use crate::held::Held;
use crate::lane::Lane;
use crate::plan::{Condition, Slow};

/// Longest delay that is kept to.
const DELAY_MAX: Duration = Duration::from_secs(3_600);

pub(crate) struct Intake {
    pub(crate) held: Held,
    lane: Arc<Lane>,
    condition: Condition,
    /// Whether this condition was counted already.
    is_hit: bool,
    end: Option<End>,
    chance: SmallRng,
}

/// How the sender ended the connection, and until when that is kept to ourselves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) kind: EndKind,
    pub(crate) due: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndKind {
    /// It has said all that it had to say.
    Closed,
    /// It knows nothing of the connection any more.
    Reset,
}

impl Intake {
    pub(crate) fn new(lane: Arc<Lane>, seed: u64) -> Self {
        Self {
            held: Held::new(Arc::clone(&lane)),
            lane,
            condition: Condition::Healthy,
            is_hit: false,
            end: None,
            chance: SmallRng::seed_from_u64(seed),
        }
    }

    pub(crate) fn lane(&self) -> &Lane {
        &self.lane
    }

    pub(crate) fn condition(&self) -> Condition {
        self.condition
    }

    pub(crate) fn end(&self) -> Option<End> {
        self.end
    }

    pub(crate) fn wants_more(&self) -> bool {
        self.end.is_none() && self.held.has_room()
    }

    /// From now on, this is done to what comes.
    pub(crate) fn set_condition(&mut self, condition: Condition) {
        if condition == self.condition {
            return;
        }
        self.condition = condition;
        self.is_hit = false;
        if !matches!(condition, Condition::Slow(_)) {
            self.held.forget_delays();
        }
        if !self.held.is_empty() {
            self.count_held(self.held.len());
        }
        if self.end.is_some() && condition == Condition::Cut {
            self.count_hit();
        }
    }

    /// Takes in what is there, and says whether that was anything. `is_sender_gone` tells an end that
    /// was found out by writing to the sender.
    pub(crate) fn read(&mut self, from: &ReadHalf<'_>, is_sender_gone: bool) -> bool {
        if !self.wants_more() {
            return false;
        }
        match self.held.read(from) {
            Ok(0) if is_sender_gone => self.note_end(EndKind::Reset),
            Ok(0) => self.note_end(EndKind::Closed),
            Ok(count) => self.note_bytes(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(_) => self.note_end(EndKind::Reset),
        }
        true
    }

    /// Takes in what comes while nothing may leave, until there is no room or no more.
    pub(crate) async fn fill(&mut self, from: &ReadHalf<'_>) {
        while self.wants_more() {
            if !self.read(from, false) && from.readable().await.is_err() {
                self.note_end(EndKind::Reset);
            }
        }
    }

    /// Counts that this connection met the fault that is on now.
    pub(crate) fn count_hit(&mut self) {
        if !self.is_hit {
            self.is_hit = true;
            add(&self.lane.counters().connections_hit, 1);
        }
    }

    fn note_bytes(&mut self, count: usize) {
        self.count_held(count);
        if let Some(due) = self.draw_due() {
            self.held.delay_last(count, due);
        }
    }

    fn note_end(&mut self, kind: EndKind) {
        if matches!(self.condition, Condition::Cut | Condition::HalfOpen) {
            self.count_hit();
        }
        let due = self.draw_due();
        self.end = Some(End { kind, due });
    }

    fn count_held(&mut self, count: usize) {
        if matches!(self.condition, Condition::Cut | Condition::Slow(_)) {
            self.count_hit();
            add(&self.lane.counters().bytes_held, count);
        }
    }

    /// When what comes now may leave, if that is not at once.
    fn draw_due(&mut self) -> Option<Instant> {
        let Condition::Slow(Slow {
            delay_min,
            delay_max,
            ..
        }) = self.condition
        else {
            return None;
        };
        let longest = delay_max.max(delay_min).min(DELAY_MAX);
        if longest.is_zero() {
            return None;
        }
        let delay = self.chance.random_range(delay_min.min(longest)..=longest);
        let due = Instant::now() + delay;
        Some(self.held.due_last().map_or(due, |last| due.max(last)))
    }
}
