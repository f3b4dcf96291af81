//! Starting, watching and stopping the nodes.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::child::{Child, Event};
use super::plan::Plan;
use super::say;
use crate::node::StopOrders;

/// Time that all nodes together get to stop before they are killed.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// Pause before a node that died is started again, so that one that cannot start does not spin.
const RESTART_PAUSE: Duration = Duration::from_millis(500);
const EVENTS_MAX: usize = 64;

#[derive(Debug, thiserror::Error)]
pub(super) enum DevError {
    #[error("cannot start a runtime")]
    Runtime(#[source] io::Error),
    #[error("cannot use {}", file.display())]
    File {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "{} is in use by another flotilla dev: stop that one, or give another --data-dir",
        directory.display()
    )]
    InUse { directory: PathBuf },
    #[error("--set takes SECTION.NAME=VALUE")]
    SetSyntax,
    #[error(
        "{} holds a cluster of {found} nodes: give --nodes {found}, or another --data-dir",
        directory.display()
    )]
    OtherSize { directory: PathBuf, found: usize },
    #[error(transparent)]
    Authority(#[from] flotilla_net::DevAuthorityError),
    #[error("cannot start {name}")]
    Start {
        name: String,
        #[source]
        source: io::Error,
    },
    #[error("{name} did not start; its log is {}", log.display())]
    NotReady { name: String, log: PathBuf },
    #[error("no node is left")]
    NoneLeft,
    #[error(
        "not every node stopped in order, so the rest was killed; what was acknowledged is kept"
    )]
    Killed,
}

pub(super) struct Cluster {
    plan: Plan,
    restart: bool,
    nodes: Vec<NodeState>,
    /// The line that says so was printed.
    announced: bool,
    tasks: JoinSet<()>,
    events: mpsc::Sender<Event>,
    happened: mpsc::Receiver<Event>,
}

enum NodeState {
    Starting(Child),
    Ready(Child),
    Down,
}

impl Cluster {
    pub(super) fn new(plan: Plan, restart: bool) -> Self {
        let (events, happened) = mpsc::channel(EVENTS_MAX);
        Self {
            nodes: plan.nodes.iter().map(|_| NodeState::Down).collect(),
            plan,
            restart,
            announced: false,
            tasks: JoinSet::new(),
            events,
            happened,
        }
    }

    /// Runs until it is told to stop or cannot go on. No process is left when it returns.
    pub(super) async fn run(mut self, mut orders: StopOrders) -> Result<(), DevError> {
        let ended = self.watch(&mut orders).await;
        let stopped = self.stop(&mut orders).await;
        ended.and(stopped)
    }

    async fn watch(&mut self, orders: &mut StopOrders) -> Result<(), DevError> {
        for index in 0..self.nodes.len() {
            self.start(index)?;
        }
        loop {
            let event = tokio::select! {
                () = orders.stop() => return Ok(()),
                Some(event) = self.happened.recv() => event,
            };
            match event {
                Event::Ready(index) => self.on_ready(index),
                Event::Ended(index, ended) => {
                    self.on_ended(index, &ended)?;
                    if self.restart {
                        tokio::time::sleep(RESTART_PAUSE).await;
                        self.start(index)?;
                    }
                }
            }
        }
    }

    fn start(&mut self, index: usize) -> Result<(), DevError> {
        let node = &self.plan.nodes[index];
        let child =
            Child::start((index, node), &self.events, &mut self.tasks).map_err(|source| {
                DevError::Start {
                    name: node.name(),
                    source,
                }
            })?;
        self.nodes[index] = NodeState::Starting(child);
        Ok(())
    }

    fn on_ready(&mut self, index: usize) {
        let state = std::mem::replace(&mut self.nodes[index], NodeState::Down);
        if let NodeState::Starting(child) | NodeState::Ready(child) = state {
            self.nodes[index] = NodeState::Ready(child);
        }
        let all = self
            .nodes
            .iter()
            .all(|node| matches!(node, NodeState::Ready(_)));
        if self.announced {
            say(&format!("{} is ready again", self.plan.nodes[index].name()));
        } else if all {
            self.announced = true;
            let (bootstrap, http) = (self.plan.bootstrap(), self.plan.http());
            let mut stdout = io::stdout().lock();
            // If nobody reads it, nobody misses it.
            let _ = writeln!(stdout, "ready: bootstrap {bootstrap} http {http}");
            let _ = stdout.flush();
            if let Some(authority) = self.plan.authority() {
                say(&format!(
                    "connections are encrypted: --ca-file {} lets a client in",
                    authority.display()
                ));
            }
            if !self.plan.asks_who_calls() {
                say(
                    "nobody is asked who they are, and everybody may do everything: that is what auth.enabled is for",
                );
            }
        }
    }

    fn on_ended(
        &mut self,
        index: usize,
        ended: &io::Result<std::process::ExitStatus>,
    ) -> Result<(), DevError> {
        self.nodes[index] = NodeState::Down;
        let node = &self.plan.nodes[index];
        match ended {
            Ok(status) => {
                let (name, settings) = (node.name(), node.settings_file());
                let settings = settings.display();
                say(&format!(
                    "{name} ended: {status}; flotilla server --config {settings} starts it again"
                ));
            }
            Err(error) => say(&format!("{} is lost: {error}", node.name())),
        }
        if !self.announced {
            return Err(DevError::NotReady {
                name: node.name(),
                log: node.log_file(),
            });
        }
        let none_left = self
            .nodes
            .iter()
            .all(|node| matches!(node, NodeState::Down));
        if none_left && !self.restart {
            return Err(DevError::NoneLeft);
        }
        Ok(())
    }

    /// Stops all nodes, and kills those that take too long or when told again.
    async fn stop(mut self, orders: &mut StopOrders) -> Result<(), DevError> {
        let running = self.nodes.drain(..).filter_map(NodeState::into_child);
        let kills: Vec<_> = running.map(Child::stop).collect();
        let all_ended = async {
            while !self.tasks.is_empty() {
                tokio::select! {
                    _ = self.tasks.join_next() => {}
                    Some(event) = self.happened.recv() => {
                        if let Event::Ended(index, Ok(status)) = event && !status.success() {
                            say(&format!("{} ended: {status}", self.plan.nodes[index].name()));
                        }
                    }
                }
            }
        };
        tokio::pin!(all_ended);
        tokio::select! {
            () = &mut all_ended => return Ok(()),
            () = orders.stop() => {}
            () = tokio::time::sleep(STOP_LIMIT) => say("the nodes take too long to stop"),
        }
        for kill in kills {
            kill.cancel();
        }
        all_ended.await;
        Err(DevError::Killed)
    }
}

impl NodeState {
    fn into_child(self) -> Option<Child> {
        match self {
            Self::Starting(child) | Self::Ready(child) => Some(child),
            Self::Down => None,
        }
    }
}
