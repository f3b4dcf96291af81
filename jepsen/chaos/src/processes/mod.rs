//! The plainest world: nodes are child processes on loopback, in one directory, and all that can be done
//! to them is what signals do.

mod node;
mod ports;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use self::node::Node;
use crate::fault::{Fault, FaultKind};
use crate::http::{HttpCall, call};
use crate::leaders::busiest_leader;
use crate::world::{FaultNote, World};

/// A node that is not ready by then has failed to start.
const READY_LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// Nodes as child processes. They end with this.
pub struct ProcessWorld {
    nodes: Mutex<Vec<Node>>,
    /// Whom faults hit that do not name a node.
    hit: Mutex<BTreeMap<FaultKind, usize>>,
    client_addresses: Vec<String>,
    http_addresses: Vec<String>,
    /// Holds the nodes' directories, and is gone with this.
    _directory: TempDir,
}

impl ProcessWorld {
    /// Starts so many nodes, and waits until they are ready.
    pub async fn start(binary: &Path, node_count: usize) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("flotilla-chaos-")
            .tempdir()?;
        let mut nodes = (1..=node_count)
            .map(|id| Node::new(id, binary, directory.path()))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let members: Vec<_> = nodes.iter().map(Node::as_written).collect();
        for node in &mut nodes {
            node.configure(&members)?;
            node.start()?;
        }
        let world = Self {
            client_addresses: nodes.iter().map(Node::client_address).collect(),
            http_addresses: nodes.iter().map(Node::http_address).collect(),
            nodes: Mutex::new(nodes),
            hit: Mutex::default(),
            _directory: directory,
        };
        world.wait_ready().await?;
        Ok(world)
    }

    /// Hits the node that is meant or, if it is down already, the next one that is not.
    fn begin_at(&self, fault: &Fault, leader: Option<usize>) -> anyhow::Result<FaultNote> {
        let mut nodes = self.nodes.lock();
        let hit = match fault {
            Fault::Kill { node } | Fault::Pause { node } => *node,
            Fault::KillLeader => leader.context("nobody leads")?,
            other => bail!("processes know no {}", other.kind()),
        };
        let count = nodes.len();
        let hit = (0..count)
            .map(|step| (hit + step) % count)
            .find(|hit| nodes[*hit].is_at_work())
            .context("no node is at work")?;
        let node = &mut nodes[hit];
        let what = match fault {
            Fault::Pause { .. } => {
                node.pause()?;
                "paused"
            }
            _ => {
                node.kill()?;
                "killed"
            }
        };
        self.hit.lock().insert(fault.kind(), hit);
        Ok(FaultNote::new(format!("{what} node {}", hit + 1)))
    }
}

impl World for ProcessWorld {
    fn client_addresses(&self) -> Vec<String> {
        self.client_addresses.clone()
    }

    fn http_addresses(&self) -> Vec<String> {
        self.http_addresses.clone()
    }

    fn node_count(&self) -> usize {
        self.client_addresses.len()
    }

    fn fault_kinds(&self) -> Vec<FaultKind> {
        vec![FaultKind::Kill, FaultKind::KillLeader, FaultKind::Pause]
    }

    async fn begin(&self, fault: &Fault, _rng: &mut StdRng) -> anyhow::Result<FaultNote> {
        let leader = match fault {
            Fault::KillLeader => busiest_leader(&self.client_addresses).await?,
            _ => None,
        };
        self.begin_at(fault, leader)
    }

    async fn end(&self, fault: &Fault) -> anyhow::Result<()> {
        let Some(hit) = self.hit.lock().remove(&fault.kind()) else {
            return Ok(());
        };
        let node = &mut self.nodes.lock()[hit];
        match fault {
            Fault::Pause { .. } => node.resume(),
            _ => node.start(),
        }
    }

    async fn heal_all(&self) -> anyhow::Result<()> {
        self.hit.lock().clear();
        for node in self.nodes.lock().iter_mut() {
            node.resume()?;
            node.start()?;
        }
        Ok(())
    }

    async fn wait_ready(&self) -> anyhow::Result<()> {
        let request = HttpCall {
            method: "GET",
            path: "/readyz",
            headers: &[],
            body: b"",
        };
        let deadline = Instant::now() + READY_LIMIT;
        for address in &self.http_addresses {
            loop {
                let reply = call(address, &request, Duration::from_secs(2)).await;
                if reply.is_ok_and(|reply| reply.status == 200) {
                    break;
                }
                if Instant::now() >= deadline {
                    bail!("the node at {address} is not ready in time");
                }
                sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    async fn describe(&self) -> String {
        self.client_addresses.join("\n")
    }

    async fn panics(&self) -> Vec<String> {
        let mut nodes = self.nodes.lock();
        nodes.iter_mut().flat_map(Node::troubles).collect()
    }
}
