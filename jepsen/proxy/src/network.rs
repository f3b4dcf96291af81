//! All routes together, and faults that are named by who is concerned.

use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::door::Door;
use crate::plan::{Condition, CutOptions, Direction, Plan};
use crate::report::RouteReport;
use crate::route::{OpenError, Route, RouteOptions};
use crate::sides::Sides;
use crate::ways::Ways;

/// So far apart are the seeds of two routes: more than either can have connections.
const SEED_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Routes between named ends. It has to be used within a runtime, and everything ends when it is dropped.
///
/// Faults add up until [`heal`](Self::heal): each touches the routes that it is about, and leaves the plans of the
/// others as they are.
pub struct Network {
    seed: u64,
    routes: Mutex<Vec<Route>>,
    ports: Mutex<Vec<(SocketAddr, Arc<Ways>)>>,
    doors: Mutex<JoinSet<()>>,
    stop: CancellationToken,
}

/// A fault names an end that no route has. It would have hit nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no route begins or ends at {0:?}")]
pub struct NoSuchEnd(pub String);

/// Why a route cannot be split.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    #[error("no route of this network is dialled at {0}")]
    NotOurs(SocketAddr),
    #[error("who dials from {0} has a route of its own already")]
    SourceTaken(IpAddr),
}

impl Network {
    /// Whatever is left to chance is drawn from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            routes: Mutex::default(),
            ports: Mutex::default(),
            doors: Mutex::default(),
            stop: CancellationToken::new(),
        }
    }

    /// Opens a route. It can be dialled at once, and is healthy.
    pub fn open(&self, options: RouteOptions) -> Result<Route, OpenError> {
        let door = Door::open(options.port).map_err(|source| OpenError {
            from: options.from.clone(),
            to: options.to.clone(),
            source,
        })?;
        let address = door.address();
        let changed = Arc::new(Notify::new());
        let route = self.add_route(options, address, Arc::clone(&changed));
        let ways = Arc::new(Ways::new(route.state().clone(), changed));
        self.ports.lock().push((address, Arc::clone(&ways)));
        let serving = door.run(ways, self.stop.clone());
        self.doors.lock().spawn(serving);
        Ok(route)
    }

    /// From now on, connections to the port of `route` that come from `source` take a route of their own, from `from` to
    /// the same end, with a plan of its own. `route` stays the way of whoever else dials there. As long as anybody
    /// else is let in, who is refused sees a connection that is reset at once.
    pub fn split(&self, route: &Route, source: IpAddr, from: &str) -> Result<Route, SplitError> {
        let ports = self.ports.lock();
        let address = route.address();
        let port = ports.iter().find(|(port, _)| *port == address);
        let (_, ways) = port.ok_or(SplitError::NotOurs(address))?;
        if ways.has(source) {
            return Err(SplitError::SourceTaken(source));
        }
        let own = self.add_route(route.options_for(from), address, Arc::clone(ways.bell()));
        ways.add(source, Arc::clone(own.state()));
        Ok(own)
    }

    pub fn routes(&self) -> Vec<Route> {
        self.routes.lock().clone()
    }

    /// What every route does, in the order in which they were opened.
    pub fn describe(&self) -> Vec<RouteReport> {
        self.routes.lock().iter().map(Route::report).collect()
    }

    /// Puts this plan on all routes on which `from` dials `to`.
    pub fn set_plan(&self, from: &str, to: &str, plan: Plan) -> Result<(), NoSuchEnd> {
        self.check_ends([from, to])?;
        self.update(
            |route, old| match route.from() == from && route.to() == to {
                true => plan,
                false => old,
            },
        );
        Ok(())
    }

    /// What cuts do on all routes that there are.
    pub fn set_cut_options(&self, cut: CutOptions) {
        for route in self.routes.lock().iter() {
            route.set_cut_options(cut);
        }
    }

    /// Cuts, both ways, whatever is between ends that are on no side together. An end may be on several
    /// sides, and who is on none sees everybody.
    pub fn partition(&self, sides: &[&[&str]]) -> Result<(), NoSuchEnd> {
        let sides = Sides(sides);
        self.check_ends(sides.ends())?;
        self.cut(|route| sides.part(route.from(), route.to()));
        Ok(())
    }

    /// Parts `left` from `right`. `middle` sees both.
    pub fn bridge(&self, left: &[&str], middle: &str, right: &[&str]) -> Result<(), NoSuchEnd> {
        let left: Vec<_> = left.iter().copied().chain([middle]).collect();
        let right: Vec<_> = right.iter().copied().chain([middle]).collect();
        self.partition(&[&left, &right])
    }

    /// Lets nothing through that `from` sends to `to`, whoever of them dialled.
    pub fn cut_one_way(&self, from: &str, to: &str) -> Result<(), NoSuchEnd> {
        self.check_ends([from, to])?;
        self.update(|route, plan| {
            if route.from() == from && route.to() == to {
                plan.with(Direction::Forth, Condition::Cut)
            } else if route.from() == to && route.to() == from {
                plan.with(Direction::Back, Condition::Cut)
            } else {
                plan
            }
        });
        Ok(())
    }

    /// Cuts everything that begins or ends at `end`.
    pub fn isolate(&self, end: &str) -> Result<(), NoSuchEnd> {
        self.check_ends([end])?;
        self.cut(|route| route.from() == end || route.to() == end);
        Ok(())
    }

    /// Cuts `end` off from its clients, who are those that nobody dials.
    pub fn isolate_from_clients(&self, end: &str) -> Result<(), NoSuchEnd> {
        self.check_ends([end])?;
        let dialled: Vec<_> = self.routes().iter().map(|r| r.to().to_owned()).collect();
        let is_client = |name: &str| !dialled.iter().any(|dialled| dialled == name);
        self.cut(|route| route.to() == end && is_client(route.from()));
        Ok(())
    }

    /// Makes every route healthy, both ways.
    pub fn heal(&self) {
        self.update(|_, _| Plan::HEALTHY);
    }

    /// Ends everything, and returns when all sockets are closed.
    pub async fn close(self) {
        self.stop.cancel();
        let mut doors = mem::take(&mut *self.doors.lock());
        while doors.join_next().await.is_some() {}
    }

    fn add_route(&self, options: RouteOptions, address: SocketAddr, changed: Arc<Notify>) -> Route {
        let mut routes = self.routes.lock();
        let step = SEED_STEP.wrapping_mul(routes.len() as u64);
        let seed = self.seed.wrapping_add(step);
        let route = Route::new(options, address, seed, changed);
        routes.push(route.clone());
        route
    }

    fn cut(&self, is_cut: impl Fn(&Route) -> bool) {
        self.update(|route, plan| match is_cut(route) {
            true => Plan::both(Condition::Cut),
            false => plan,
        });
    }

    fn update(&self, plan: impl Fn(&Route, Plan) -> Plan) {
        for route in self.routes.lock().iter() {
            route.update_plan(|old| plan(route, old));
        }
    }

    fn check_ends<'a>(&self, ends: impl IntoIterator<Item = &'a str>) -> Result<(), NoSuchEnd> {
        let routes = self.routes.lock();
        for end in ends {
            let is_known = |route: &Route| route.from() == end || route.to() == end;
            if !routes.iter().any(is_known) {
                return Err(NoSuchEnd(end.to_owned()));
            }
        }
        Ok(())
    }
}
