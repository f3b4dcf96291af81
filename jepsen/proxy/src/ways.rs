//! The routes that begin at one port, told apart by the address that dials.

use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::orders::Orders;
use crate::route::RouteState;

pub(crate) struct Ways {
    changed: Arc<Notify>,
    /// Whoever dials from an address that has no route of its own.
    rest: Arc<RouteState>,
    sources: Mutex<Vec<(IpAddr, Arc<RouteState>)>>,
}

/// A route, and what it was ordered to do at one moment.
pub(crate) struct Way {
    pub(crate) route: Arc<RouteState>,
    pub(crate) orders: Orders,
}

impl Ways {
    /// `changed` hears of the orders of all routes that begin here.
    pub(crate) fn new(rest: Arc<RouteState>, changed: Arc<Notify>) -> Self {
        Self {
            changed,
            rest,
            sources: Mutex::default(),
        }
    }

    pub(crate) fn bell(&self) -> &Arc<Notify> {
        &self.changed
    }

    pub(crate) fn has(&self, source: IpAddr) -> bool {
        self.sources.lock().iter().any(|(own, _)| *own == source)
    }

    pub(crate) fn add(&self, source: IpAddr, route: Arc<RouteState>) {
        self.sources.lock().push((source, route));
        self.changed.notify_one();
    }

    /// Waits until orders have changed since the last time. One task at a time can wait.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(crate) fn now(&self) -> Vec<Way> {
        let sources = self.sources.lock();
        let own = sources.iter().map(|(_, route)| route);
        own.chain([&self.rest]).map(Way::now).collect()
    }

    /// The way of who dials from `source`, with the orders of `before`: what was ordered since then strikes a connection
    /// that was made meanwhile.
    pub(crate) fn choose(&self, source: IpAddr, before: &[Way]) -> Way {
        let sources = self.sources.lock();
        let own = sources.iter().find(|(own, _)| *own == source);
        let route = own.map_or(&self.rest, |(_, route)| route);
        let known = before.iter().find(|way| Arc::ptr_eq(&way.route, route));
        match known {
            Some(way) => Way {
                route: Arc::clone(route),
                orders: way.orders,
            },
            None => Way::now(route),
        }
    }
}

impl Way {
    pub(crate) fn refuses(&self) -> bool {
        self.orders.refuses()
    }

    fn now(route: &Arc<RouteState>) -> Self {
        Self {
            orders: route.orders_now(),
            route: Arc::clone(route),
        }
    }
}
