//! One direction of one connection.

use std::future::pending;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep_until};

use crate::intake::{EndKind, Intake};
use crate::orders::Orders;
use crate::pace::Turn;
use crate::plan::Condition;

/// Reads from one end and writes to the other, as the plan has it.
pub(crate) struct Pipe<'a> {
    pub(crate) from: ReadHalf<'a>,
    pub(crate) to: WriteHalf<'a>,
    pub(crate) intake: Intake,
    pub(crate) orders: watch::Receiver<Orders>,
    /// Whether writing to the sender has shown that it is gone.
    pub(crate) is_sender_gone: &'a AtomicBool,
    pub(crate) is_receiver_gone: &'a AtomicBool,
    pub(crate) turn: Option<Turn>,
}

/// Why nothing goes this way any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PipeEnd {
    /// The sender closed its side, and the receiver knows.
    Closed,
    /// The receiver has to be told that the sender is gone.
    Reset,
    /// The sender ended the connection, and the receiver must not hear of it.
    Untold,
    /// The receiver is gone. That is news for the sender, and travels the other way.
    ReceiverGone,
}

/// What a write came to.
enum Sent {
    Some,
    /// Nothing may leave before this moment, or before something else happens.
    Nothing(Option<Instant>),
    /// The receiver does not take it yet.
    Blocked,
    ReceiverGone,
}

impl Pipe<'_> {
    /// Runs until nothing goes this way any more. Cancel safe.
    pub(crate) async fn run(&mut self) -> PipeEnd {
        self.heed_orders();
        loop {
            consume_budget().await;
            let has_read = self
                .intake
                .read(&self.from, self.is_sender_gone.load(Relaxed));
            if self.orders.has_changed().unwrap_or(false) {
                self.heed_orders();
            }
            let (until, is_blocked) = match self.send() {
                Sent::Some => continue,
                Sent::Nothing(until) => (until, false),
                Sent::Blocked => (None, true),
                Sent::ReceiverGone => {
                    self.is_receiver_gone.store(true, Relaxed);
                    return PipeEnd::ReceiverGone;
                }
            };
            if let Some(end) = self.end() {
                if end == PipeEnd::Closed {
                    // A receiver that is gone shows when it is read from.
                    let _ = self.to.shutdown().await;
                }
                return end;
            }
            if !has_read {
                self.wait(until, is_blocked).await;
            }
        }
    }

    fn heed_orders(&mut self) {
        let plan = self.orders.borrow_and_update().plan;
        let condition = plan.condition(self.intake.lane().direction());
        if condition != self.intake.condition() {
            self.turn = None;
            self.intake.set_condition(condition);
        }
    }

    fn send(&mut self) -> Sent {
        let count = match self.allowance() {
            (0, until) => return Sent::Nothing(until),
            (count, _) => count,
        };
        match self.to.try_write(self.intake.held.first(count)) {
            Ok(written) => {
                self.intake.held.pass(written);
                if let Some(turn) = &mut self.turn {
                    turn.bytes -= written;
                }
                self.turn = self.turn.filter(|turn| turn.bytes > 0);
                Sent::Some
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Sent::Blocked,
            Err(_) => Sent::ReceiverGone,
        }
    }

    /// How many bytes may leave now. If none, when to ask again, unless something happens first.
    fn allowance(&mut self) -> (usize, Option<Instant>) {
        let slow = match self.intake.condition() {
            Condition::Healthy | Condition::HalfOpen => return (self.intake.held.len(), None),
            Condition::Cut | Condition::Reset => return (0, None),
            Condition::Slow(slow) => slow,
        };
        let now = Instant::now();
        let (ready, next) = self.intake.held.ready(now);
        if ready == 0 {
            let end = self.intake.end().filter(|_| self.intake.held.is_empty());
            return (0, next.or_else(|| end?.due));
        }
        let Some(rate) = slow.bytes_per_second else {
            return (ready, None);
        };
        let lane = self.intake.lane();
        let turn = *self
            .turn
            .get_or_insert_with(|| lane.take_turn(ready, rate, now));
        if turn.at > now {
            return (0, Some(turn.at));
        }
        (turn.bytes, None)
    }

    /// The end of this direction, once everything that came before has been passed on.
    fn end(&self) -> Option<PipeEnd> {
        let end = self.intake.end().filter(|_| self.intake.held.is_empty())?;
        let told = match end.kind {
            EndKind::Closed => PipeEnd::Closed,
            EndKind::Reset => PipeEnd::Reset,
        };
        match self.intake.condition() {
            Condition::Cut | Condition::Reset => None,
            Condition::HalfOpen => Some(PipeEnd::Untold),
            Condition::Slow(_) if end.due.is_some_and(|due| due > Instant::now()) => None,
            Condition::Slow(_) | Condition::Healthy => Some(told),
        }
    }

    async fn wait(&mut self, until: Option<Instant>, is_blocked: bool) {
        tokio::select! {
            biased;
            changed = self.orders.changed() => match changed {
                Ok(()) => self.heed_orders(),
                // Nobody is left to give orders, so the last ones stand.
                Err(_) => pending().await,
            },
            _ = self.from.readable(), if self.intake.wants_more() => {}
            _ = self.to.writable(), if is_blocked => {}
            () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {}
        }
    }
}
