//! One way through the proxy: an address that somebody dials, and the one that it leads to.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::counters::{RouteCounters, RouteCounts};
use crate::lane::Lane;
use crate::orders::Orders;
use crate::plan::{CutOptions, Direction, Plan};
use crate::report::RouteReport;

/// What a route is opened with.
#[derive(Clone, Debug)]
pub struct RouteOptions {
    /// Who dials, such as `client` or `node 1`.
    pub from: String,
    /// Who listens.
    pub to: String,
    /// Where it listens.
    pub upstream: SocketAddr,
    /// The port that is dialled. Default: any that is free.
    pub port: Option<u16>,
    pub cut: CutOptions,
}

/// Why a route cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for the route from {from} to {to}")]
pub struct OpenError {
    pub from: String,
    pub to: String,
    pub source: io::Error,
}

/// A handle on a route. The route itself lives as long as its network.
#[derive(Clone)]
pub struct Route {
    state: Arc<RouteState>,
}

pub(crate) struct RouteState {
    from: String,
    to: String,
    address: SocketAddr,
    upstream: Mutex<SocketAddr>,
    orders: watch::Sender<Orders>,
    /// Wakes whoever accepts connections for this route.
    changed: Arc<Notify>,
    counters: Arc<RouteCounters>,
    forth: Arc<Lane>,
    back: Arc<Lane>,
    seed: u64,
    connections: AtomicU64,
}

impl RouteOptions {
    pub fn new(from: &str, to: &str, upstream: SocketAddr) -> Self {
        Self {
            from: from.to_owned(),
            to: to.to_owned(),
            upstream,
            port: None,
            cut: CutOptions::default(),
        }
    }
}

impl Route {
    /// `changed` is told of new orders.
    pub(crate) fn new(
        options: RouteOptions,
        address: SocketAddr,
        seed: u64,
        changed: Arc<Notify>,
    ) -> Self {
        let counters = Arc::new(RouteCounters::default());
        let lane = |direction| Arc::new(Lane::new(direction, Arc::clone(&counters)));
        let state = RouteState {
            from: options.from,
            to: options.to,
            address,
            upstream: Mutex::new(options.upstream),
            orders: watch::Sender::new(Orders::new(options.cut)),
            changed,
            forth: lane(Direction::Forth),
            back: lane(Direction::Back),
            counters,
            seed,
            connections: AtomicU64::new(0),
        };
        Self {
            state: Arc::new(state),
        }
    }

    pub fn from(&self) -> &str {
        &self.state.from
    }

    pub fn to(&self) -> &str {
        &self.state.to
    }

    /// Where to dial.
    pub fn address(&self) -> SocketAddr {
        self.state.address
    }

    pub fn upstream(&self) -> SocketAddr {
        self.state.upstream()
    }

    /// Where new connections lead. Those that there are stay where they are.
    pub fn set_upstream(&self, upstream: SocketAddr) {
        *self.state.upstream.lock() = upstream;
    }

    pub fn plan(&self) -> Plan {
        self.state.orders.borrow().plan
    }

    /// From now on, this is done to the traffic. Bytes that are being passed on at this moment still go.
    pub fn set_plan(&self, plan: Plan) {
        self.update_plan(|_| plan);
    }

    /// What the next cuts do, and what happens when the present one heals.
    pub fn set_cut_options(&self, cut: CutOptions) {
        self.state.orders.send_modify(|orders| orders.cut = cut);
        self.state.changed.notify_one();
    }

    pub fn counts(&self) -> RouteCounts {
        self.state.counters.read()
    }

    pub fn report(&self) -> RouteReport {
        RouteReport {
            from: self.from().to_owned(),
            to: self.to().to_owned(),
            address: self.address(),
            upstream: self.upstream(),
            plan: self.plan(),
            counts: self.counts(),
        }
    }

    /// What a route to the same end is opened with, for others who dial the same port.
    pub(crate) fn options_for(&self, from: &str) -> RouteOptions {
        RouteOptions {
            from: from.to_owned(),
            to: self.to().to_owned(),
            upstream: self.upstream(),
            port: Some(self.address().port()),
            cut: self.state.orders_now().cut,
        }
    }

    pub(crate) fn state(&self) -> &Arc<RouteState> {
        &self.state
    }

    pub(crate) fn update_plan(&self, update: impl FnOnce(Plan) -> Plan) {
        self.state.orders.send_if_modified(|orders| {
            let plan = update(orders.plan);
            // The same plan again is not another fault.
            let is_new = plan != orders.plan;
            if is_new {
                orders.set_plan(plan);
                self.state.forth.begin_plan();
                self.state.back.begin_plan();
            }
            is_new
        });
        self.state.changed.notify_one();
    }
}

impl RouteState {
    pub(crate) fn to(&self) -> &str {
        &self.to
    }

    pub(crate) fn upstream(&self) -> SocketAddr {
        *self.upstream.lock()
    }

    pub(crate) fn orders(&self) -> watch::Receiver<Orders> {
        self.orders.subscribe()
    }

    pub(crate) fn orders_now(&self) -> Orders {
        *self.orders.borrow()
    }

    /// Waits for orders that fit, and returns their plan.
    pub(crate) async fn wait_for_plan(&self, fits: impl FnMut(&Orders) -> bool) -> Plan {
        let mut orders = self.orders.subscribe();
        let fitting = orders.wait_for(fits).await;
        fitting.expect("who gives the orders is borrowed").plan
    }

    pub(crate) fn counters(&self) -> &RouteCounters {
        &self.counters
    }

    pub(crate) fn lane(&self, direction: Direction) -> &Arc<Lane> {
        match direction {
            Direction::Forth => &self.forth,
            Direction::Back => &self.back,
        }
    }

    pub(crate) fn number_connection(&self) -> u64 {
        self.connections.fetch_add(1, Relaxed)
    }

    /// What the delays of a connection are drawn from: the same in every run with the same seed.
    pub(crate) fn connection_seed(&self, number: u64, direction: Direction) -> u64 {
        let way = match direction {
            Direction::Forth => 0,
            Direction::Back => 1,
        };
        self.seed.wrapping_add(number * 2 + way)
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.report().fmt(f)
    }
}
