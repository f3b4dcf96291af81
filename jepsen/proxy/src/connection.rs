//! One connection through the proxy, from being accepted to its end.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;

use crate::counters::{add, subtract};
use crate::intake::Intake;
use crate::orders::{Orders, Strike};
use crate::pipe::{Pipe, PipeEnd};
use crate::plan::{Condition, Direction};
use crate::route::RouteState;

/// What the kernel is asked to take in of a connection before it is read. Left to itself it takes tens of megabytes on
/// a busy one, which then seem to have crossed a cut.
pub(crate) const KERNEL_BYTES: u32 = 256 << 10;

pub(crate) struct Connection {
    route: Arc<RouteState>,
    dialer: TcpStream,
    forth: Intake,
    back: Intake,
    strikes: Strikes,
    _open: Open,
}

/// What strikes the connection as a whole, one after the other.
struct Strikes {
    orders: watch::Receiver<Orders>,
    seen: Orders,
}

/// How a connection ends.
enum Outcome {
    /// Both sides have closed it.
    Closed,
    /// One side is gone, and the other hears of it.
    Reset,
    /// A fault ends it.
    Struck(Strike),
    /// Who sends in this direction has ended it, and the other does not hear of it.
    HalfOpen(Direction),
}

/// Counts a connection for as long as it is there.
struct Open(Arc<RouteState>);

impl Connection {
    /// `orders` are those that were in force when the connection was accepted.
    pub(crate) fn new(route: Arc<RouteState>, dialer: TcpStream, orders: Orders) -> Self {
        let number = route.number_connection();
        let seed = |direction| route.connection_seed(number, direction);
        Self {
            forth: Intake::new(
                Arc::clone(route.lane(Direction::Forth)),
                seed(Direction::Forth),
            ),
            back: Intake::new(
                Arc::clone(route.lane(Direction::Back)),
                seed(Direction::Back),
            ),
            strikes: Strikes {
                orders: route.orders(),
                seen: orders,
            },
            _open: Open::new(Arc::clone(&route)),
            route,
            dialer,
        }
    }

    /// Serves it to its end. When this is cancelled, both sockets are closed.
    pub(crate) async fn run(mut self) {
        // Somebody who is gone already shows as an error of the first read.
        let _ = self.dialer.set_nodelay(true);
        let strike = tokio::select! {
            biased;
            strike = self.strikes.next() => Some(strike),
            is_wanted = wait_for_way(&self.route, &mut self.dialer, &mut self.forth) => {
                if !is_wanted {
                    return;
                }
                None
            }
        };
        match strike {
            // Whatever strikes meanwhile finds the connection complete.
            None => match dial(self.route.upstream()).await {
                Ok(listener) => self.carry(listener).await,
                Err(error) => self.give_up(&error),
            },
            Some(strike) => {
                self.count_strike(strike);
                match strike {
                    Strike::HalfOpen(Direction::Back) => {
                        outlive(self.dialer, self.forth, self.strikes).await;
                    }
                    Strike::HalfOpen(Direction::Forth) | Strike::Reset => reset(self.dialer),
                }
            }
        }
    }

    fn give_up(self, error: &io::Error) {
        tracing::debug!(%error, to = self.route.to(), "nobody listens at the end of a route");
        add(&self.route.counters().unreachable, 1);
        reset(self.dialer);
    }

    async fn carry(mut self, mut listener: TcpStream) {
        let (dialer_gone, listener_gone) = (AtomicBool::new(false), AtomicBool::new(false));
        let (dialer_read, dialer_write) = self.dialer.split();
        let (listener_read, listener_write) = listener.split();
        let mut forth = Pipe {
            from: dialer_read,
            to: listener_write,
            intake: self.forth,
            orders: self.route.orders(),
            is_sender_gone: &dialer_gone,
            is_receiver_gone: &listener_gone,
            turn: None,
        };
        let mut back = Pipe {
            from: listener_read,
            to: dialer_write,
            intake: self.back,
            orders: self.route.orders(),
            is_sender_gone: &listener_gone,
            is_receiver_gone: &dialer_gone,
            turn: None,
        };
        let outcome = tokio::select! {
            biased;
            strike = self.strikes.next() => Outcome::Struck(strike),
            outcome = pass(&self.route, &mut forth, &mut back) => outcome,
        };
        (self.forth, self.back) = (forth.intake, back.intake);
        self.finish(listener, outcome).await;
    }

    async fn finish(mut self, listener: TcpStream, outcome: Outcome) {
        let lost = match outcome {
            Outcome::Closed => return,
            Outcome::Reset => None,
            Outcome::Struck(strike) => {
                self.count_strike(strike);
                match strike {
                    Strike::Reset => None,
                    Strike::HalfOpen(direction) => Some(direction),
                }
            }
            Outcome::HalfOpen(direction) => Some(direction),
        };
        match lost {
            None => {
                reset(self.dialer);
                reset(listener);
            }
            Some(Direction::Forth) => {
                reset(self.dialer);
                outlive(listener, self.back, self.strikes).await;
            }
            Some(Direction::Back) => {
                reset(listener);
                outlive(self.dialer, self.forth, self.strikes).await;
            }
        }
    }

    fn count_strike(&mut self, strike: Strike) {
        match strike {
            Strike::Reset => {
                add(&self.route.counters().resets, 1);
                self.forth.count_hit();
                self.back.count_hit();
            }
            Strike::HalfOpen(Direction::Forth) => self.forth.count_hit(),
            Strike::HalfOpen(Direction::Back) => self.back.count_hit(),
        }
    }
}

/// Waits until a connection can be made. Says whether it is still wanted then: who has given up meanwhile is
/// never heard of at the other end.
async fn wait_for_way(route: &RouteState, dialer: &mut TcpStream, forth: &mut Intake) -> bool {
    if !route.orders().borrow().plan.has(Condition::Cut) {
        return true;
    }
    forth.set_condition(Condition::Cut);
    forth.count_hit();
    let (read, _) = dialer.split();
    tokio::select! {
        biased;
        _ = route.wait_for_plan(Orders::lets_dial) => return true,
        () = forth.fill(&read) => {}
    }
    if forth.end().is_some() {
        return false;
    }
    route.wait_for_plan(Orders::lets_dial).await;
    true
}

async fn dial(upstream: SocketAddr) -> io::Result<TcpStream> {
    let socket = match upstream {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_recv_buffer_size(KERNEL_BYTES)?;
    let stream = socket.connect(upstream).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Passes bytes both ways until the connection ends of itself.
async fn pass(route: &RouteState, forth: &mut Pipe<'_>, back: &mut Pipe<'_>) -> Outcome {
    let (mut forth_end, mut back_end) = (None, None);
    while forth_end.is_none() || back_end.is_none() {
        // Whichever is asked first may use up what the task may do at a time, so it is not always the same.
        let (direction, end) = tokio::select! {
            end = forth.run(), if forth_end.is_none() => (Direction::Forth, end),
            end = back.run(), if back_end.is_none() => (Direction::Back, end),
        };
        match (end, direction) {
            (PipeEnd::Reset, _) => return Outcome::Reset,
            (PipeEnd::Untold, direction) => return Outcome::HalfOpen(direction),
            (_, Direction::Forth) => forth_end = Some(end),
            (_, Direction::Back) => back_end = Some(end),
        }
    }
    match (forth_end, back_end) {
        (Some(PipeEnd::ReceiverGone), Some(PipeEnd::Closed)) => tell(route, Direction::Back).await,
        (Some(PipeEnd::Closed), Some(PipeEnd::ReceiverGone)) => tell(route, Direction::Forth).await,
        _ => Outcome::Closed,
    }
}

/// Lets the news that the sender of this direction is gone through, when the plan does.
async fn tell(route: &RouteState, direction: Direction) -> Outcome {
    let passes = |orders: &Orders| orders.plan.condition(direction) != Condition::Cut;
    let condition = route.wait_for_plan(passes).await.condition(direction);
    match condition {
        Condition::HalfOpen => Outcome::HalfOpen(direction),
        _ => Outcome::Reset,
    }
}

/// Keeps the end of a connection whose other end is gone, and does not say so. It is not heard either.
async fn outlive(mut stream: TcpStream, mut intake: Intake, mut strikes: Strikes) {
    intake.set_condition(Condition::Cut);
    let ends_by_itself = async {
        let (read, _) = stream.split();
        intake.fill(&read).await;
        if intake.end().is_none() {
            pending::<()>().await;
        }
    };
    let is_reset = tokio::select! {
        biased;
        () = strikes.reset() => true,
        () = ends_by_itself => false,
    };
    if is_reset {
        reset(stream);
    }
}

fn reset(stream: TcpStream) {
    // A socket that cannot be reset is closed, which is the next best.
    let _ = stream.set_zero_linger();
}

impl Strikes {
    /// The next strike. Cancel safe.
    async fn next(&mut self) -> Strike {
        loop {
            let now = *self.orders.borrow_and_update();
            if let Some(strike) = now.strike_since(&self.seen) {
                self.seen = now;
                return strike;
            }
            if self.orders.changed().await.is_err() {
                pending::<()>().await;
            }
        }
    }

    async fn reset(&mut self) {
        while self.next().await != Strike::Reset {}
    }
}

impl Open {
    fn new(route: Arc<RouteState>) -> Self {
        add(&route.counters().connections, 1);
        add(&route.counters().connections_open, 1);
        Self(route)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        subtract(&self.0.counters().connections_open, 1);
    }
}
