//! All nodes together, and the network between them.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use flotilla_proxy::{Network, OpenError, SplitError};
use tokio::time::Instant;

use crate::disk::{Disk, DiskError};
use crate::links::Links;
use crate::node::{Birth, Node, NodeError, NodeId};

/// A cluster on loopback. It has to be used within a runtime. When it is dropped, its processes are killed and its disks
/// unmounted; the files stay.
pub struct Cluster {
    options: ClusterOptions,
    /// How many nodes it was born with.
    founder_count: usize,
    links: Vec<Links>,
    nodes: Vec<Node>,
    network: Network,
}

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// How many it is born with.
    pub nodes: u64,
    /// The broker.
    pub binary: PathBuf,
    /// Where all of its files go: an empty directory, or one that is made.
    pub directory: PathBuf,
    pub disks: DiskKind,
    /// Settings of every node, by key: `storage.disk_reserve_bytes` and its value as TOML.
    pub settings: Vec<(String, String)>,
    /// What the network draws its chances from.
    pub seed: u64,
}

/// What disks the nodes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskKind {
    /// Directories, which nothing can be done to.
    Directory,
    /// File systems of their own, of this size each.
    Image { bytes: u64 },
}

/// Why something could not be done to a cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error("there is no node {0}")]
    NoSuchNode(NodeId),
    #[error("a cluster has 1 to 254 nodes, not {0}")]
    NodeCount(u64),
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error("the disk of node {node}")]
    Disk { node: NodeId, source: DiskError },
    #[error("{}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Split(#[from] SplitError),
}

impl Cluster {
    /// Starts all nodes, and does not wait until they are ready.
    pub async fn start(options: ClusterOptions) -> Result<Self, ClusterError> {
        let ids = (1..=options.nodes).map(NodeId::new).collect();
        let ids: Option<Vec<_>> = ids;
        let ids = ids.filter(|ids| !ids.is_empty());
        let ids = ids.ok_or(ClusterError::NodeCount(options.nodes))?;
        let options = with_whole_paths(options)?;
        let mut cluster = Self {
            network: Network::new(options.seed),
            options,
            founder_count: ids.len(),
            links: Vec::new(),
            nodes: Vec::new(),
        };
        for id in ids {
            cluster.build(id).await?;
        }
        cluster.write_settings()?;
        for node in &mut cluster.nodes {
            node.start()?;
        }
        Ok(cluster)
    }

    /// Starts one more node, which asks the others to let it join. It has an id that no node had before.
    pub async fn add_node(&mut self) -> Result<NodeId, ClusterError> {
        let next = self.nodes.len() as u64 + 1;
        let id = NodeId::new(next).ok_or(ClusterError::NodeCount(next))?;
        self.build(id).await?;
        self.write_settings_of(id)?;
        self.start_node(id)?;
        Ok(id)
    }

    /// Everything between the nodes, and between them and their clients. Its ends are `client`, `node 1`, `node 2` and so
    /// on; `stranger` is whoever dials the port for peers and is no node.
    pub fn network(&self) -> &Network {
        &self.network
    }

    pub fn ids(&self) -> Vec<NodeId> {
        self.nodes.iter().map(Node::id).collect()
    }

    pub fn node(&self, id: NodeId) -> Result<&Node, ClusterError> {
        let mut nodes = self.nodes.iter();
        let node = nodes.find(|node| node.id() == id);
        node.ok_or(ClusterError::NoSuchNode(id))
    }

    pub fn node_mut(&mut self, id: NodeId) -> Result<&mut Node, ClusterError> {
        let mut nodes = self.nodes.iter_mut();
        let node = nodes.find(|node| node.id() == id);
        node.ok_or(ClusterError::NoSuchNode(id))
    }

    /// Where clients dial, one address for each node, through the network.
    pub fn client_addresses(&self) -> Vec<SocketAddr> {
        let advertised = self.links.iter().map(Links::advertised);
        advertised.map(|advertised| advertised.client).collect()
    }

    /// Where HTTP is served, as [`client_addresses`](Self::client_addresses).
    pub fn http_addresses(&self) -> Vec<SocketAddr> {
        self.links.iter().map(Links::http).collect()
    }

    /// Where the text protocol is served, as [`client_addresses`](Self::client_addresses).
    pub fn text_addresses(&self) -> Vec<SocketAddr> {
        self.links.iter().map(Links::text).collect()
    }

    pub fn start_node(&mut self, id: NodeId) -> Result<(), ClusterError> {
        Ok(self.node_mut(id)?.start()?)
    }

    /// Ends the process at once. What it has written is safe: the system still runs. Does nothing if it does not run.
    pub fn kill(&mut self, id: NodeId) -> Result<(), ClusterError> {
        self.node_mut(id)?.kill();
        Ok(())
    }

    /// Stops the process where it is, until it is resumed.
    pub fn pause(&mut self, id: NodeId) -> Result<(), ClusterError> {
        Ok(self.node_mut(id)?.pause()?)
    }

    pub fn resume(&mut self, id: NodeId) -> Result<(), ClusterError> {
        Ok(self.node_mut(id)?.resume()?)
    }

    /// Asks the node to stop, and waits until it has.
    pub async fn stop(&mut self, id: NodeId) -> Result<ExitStatus, ClusterError> {
        Ok(self.node_mut(id)?.stop().await?)
    }

    /// Cuts the power of all these nodes at one instant: what they had not synced is gone. They are down afterwards, and
    /// their disks are back. Also what a disk needs that was shut down under a running node.
    ///
    /// First all processes are stopped where they are, so that none of them does anything after the instant, such as to
    /// see the error of a disk that has gone. Others see connections that end; where they should not even see that, the
    /// network has half-open connections.
    pub async fn power_cut(&mut self, ids: &[NodeId]) -> Result<(), ClusterError> {
        for id in ids {
            let node = self.node(*id)?;
            node.disk().check_power().map_err(on_disk(*id))?;
        }
        for id in ids {
            // Who does not run does nothing.
            let _ = self.node_mut(*id)?.pause();
        }
        for id in ids {
            self.node(*id)?.wait_for_standstill().await;
        }
        let mut outcome = Ok(());
        for id in ids {
            let shut_down = self.node(*id)?.disk().shut_down().await;
            outcome = outcome.and_then(|()| shut_down.map_err(on_disk(*id)));
        }
        for id in ids {
            self.node_mut(*id)?.begin_kill();
        }
        for id in ids {
            let node = self.node_mut(*id)?;
            node.kill();
            let revived = node.disk_mut().revive().await;
            outcome = outcome.and_then(|()| revived.map_err(on_disk(*id)));
        }
        outcome
    }

    /// Kills the node, and puts an empty disk in the place of its own.
    pub async fn replace_disk(&mut self, id: NodeId) -> Result<(), ClusterError> {
        let node = self.node_mut(id)?;
        node.kill();
        node.disk_mut().replace().await.map_err(on_disk(id))
    }

    /// Waits until the node says that it is ready. It is asked without the network between.
    pub async fn wait_ready(&mut self, id: NodeId, limit: Duration) -> Result<(), ClusterError> {
        Ok(self.node_mut(id)?.wait_ready(limit).await?)
    }

    /// Waits until all nodes are ready, for so long in all.
    pub async fn wait_all_ready(&mut self, limit: Duration) -> Result<(), ClusterError> {
        let end = Instant::now() + limit;
        for node in &mut self.nodes {
            let left = end.saturating_duration_since(Instant::now());
            node.wait_ready(left).await?;
        }
        Ok(())
    }

    /// Where and why threads of nodes panicked, since the cluster was started.
    pub fn panics(&self) -> Vec<String> {
        let of_node = |node: &Node| {
            let panics = node.panics().into_iter();
            let told = panics.map(|panic| format!("{}: {panic}", node.id().name()));
            told.collect::<Vec<_>>()
        };
        self.nodes.iter().flat_map(of_node).collect()
    }

    /// Every node and every route, for people to read.
    pub fn describe(&mut self) -> String {
        let mut text = String::new();
        for node in &mut self.nodes {
            let status = node.status();
            let (id, restarts) = (node.id(), node.restart_count());
            let (client, disk) = (node.ports().client, node.disk().path().display());
            writeln!(
                text,
                "{}: {status:?}, started again {restarts} times, at {client}, data in {disk}",
                id.name()
            )
            .expect("text takes more text");
        }
        for report in self.network.describe() {
            writeln!(text, "{report}").expect("text takes more text");
        }
        text
    }

    /// Makes a node and the ways between it and the others, and does not start it.
    async fn build(&mut self, id: NodeId) -> Result<(), ClusterError> {
        let directory = self.options.directory.join(format!("node-{id}"));
        fs::create_dir(&directory).map_err(in_file(&directory))?;
        let at = directory.join("disk");
        let disk = match self.options.disks {
            DiskKind::Directory => Disk::directory(&at),
            DiskKind::Image { bytes } => Disk::image(&at, bytes).await,
        };
        let disk = disk.map_err(on_disk(id))?;
        let node = Node::new(id, directory, self.options.binary.clone(), disk)?;
        let own = Links::open(&self.network, id, node.ports())?;
        for other in &self.links {
            other.admit(&self.network, id)?;
            own.admit(&self.network, other.node())?;
        }
        self.links.push(own);
        self.nodes.push(node);
        Ok(())
    }

    fn write_settings(&self) -> Result<(), ClusterError> {
        for id in self.ids() {
            self.write_settings_of(id)?;
        }
        Ok(())
    }

    fn write_settings_of(&self, id: NodeId) -> Result<(), ClusterError> {
        let (founders, _) = self.links.split_at(self.founder_count);
        let is_founder = founders.iter().any(|links| links.node() == id);
        let birth = if is_founder {
            let founders = founders.iter();
            Birth::Founders(founders.map(|l| (l.node(), l.advertised())).collect())
        } else {
            let others = self.links.iter().filter(|links| links.node() != id);
            Birth::Join(others.map(|links| links.advertised().peer).collect())
        };
        let mut links = self.links.iter();
        let own = links.find(|links| links.node() == id);
        let own = own.ok_or(ClusterError::NoSuchNode(id))?;
        let node = self.node(id)?;
        Ok(node.configure(own.advertised(), birth, &self.options.settings)?)
    }
}

/// Processes work in directories of their own, where a path that begins here would lead elsewhere.
fn with_whole_paths(mut options: ClusterOptions) -> Result<ClusterOptions, ClusterError> {
    fs::create_dir_all(&options.directory).map_err(in_file(&options.directory))?;
    for path in [&mut options.directory, &mut options.binary] {
        let whole = path.canonicalize().map_err(in_file(path))?;
        *path = whole;
    }
    Ok(options)
}

fn in_file(path: &Path) -> impl FnOnce(io::Error) -> ClusterError + use<> {
    let path = path.to_owned();
    |source| ClusterError::File { path, source }
}

fn on_disk(node: NodeId) -> impl FnOnce(DiskError) -> ClusterError {
    move |source| ClusterError::Disk { node, source }
}
