//! A cluster of real processes on loopback, to start, kill, stop and start again.
//!
//! Each node has a directory of its own with its configuration, its data and its log. Everything is
//! gone when the cluster is dropped, the processes too. If the test fails, the ends of the logs are
//! printed and the directory stays.

mod binary;
mod certificates;
mod command;
mod node;
mod ports;

use std::thread;
use std::time::Duration;

use flotilla_client::{
    Client, ClientConfig, ClientTls, ClusterDescription, NodeId, PartitionDescription,
};
use tempfile::TempDir;

pub use binary::flotilla_binary;
pub use certificates::Certificates;
pub use command::{CommandOutcome, flotilla};
pub use node::Node;
pub use ports::next_port;

use crate::condition::until;

/// A node that is not ready by then has failed to start.
const READY_LIMIT: Duration = Duration::from_secs(30);

pub struct Cluster {
    nodes: Vec<Node>,
    /// The nodes that it was born with; the others joined later.
    founders: usize,
    directory: Option<TempDir>,
    /// What clients connect with, if connections are encrypted.
    tls: Option<ClientTls>,
}

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    pub node_count: u64,
    /// Settings of every node, by key: `storage.disk_reserve_bytes` and its value as TOML.
    pub settings: Vec<(&'static str, String)>,
}

impl Cluster {
    /// Nodes 1 to `node_count` with default settings, ready for clients.
    pub async fn start(node_count: u64) -> Self {
        Self::start_with(ClusterOptions {
            node_count,
            settings: Vec::new(),
        })
        .await
    }

    pub async fn start_with(options: ClusterOptions) -> Self {
        Self::start_in(options, &[]).await
    }

    /// As [`start_with`](Self::start_with), with more variables in the environment of every process.
    pub async fn start_in(options: ClusterOptions, environment: &[(&'static str, &str)]) -> Self {
        Self::start_at(new_directory(), None, options, environment).await
    }

    /// As [`start_with`](Self::start_with), with encrypted connections, and a certificate for each of these
    /// clients.
    pub async fn start_encrypted(options: ClusterOptions, clients: &[&str]) -> Self {
        let directory = new_directory();
        let certificates = Certificates::make(directory.path(), options.node_count, clients).await;
        Self::start_at(directory, Some(certificates), options, &[]).await
    }

    async fn start_at(
        directory: TempDir,
        certificates: Option<Certificates>,
        options: ClusterOptions,
        environment: &[(&'static str, &str)],
    ) -> Self {
        let mut nodes: Vec<_> = (1..=options.node_count)
            .map(|id| Node::new(NodeId::new(id), directory.path()).in_environment(environment))
            .map(|node| node.encrypted(certificates.clone()))
            .collect();
        let peers: Vec<_> = nodes.iter().map(Node::as_written).collect();
        for node in &mut nodes {
            node.configure(&peers, &options.settings);
            node.start();
        }
        let cluster = Self {
            founders: nodes.len(),
            nodes,
            directory: Some(directory),
            tls: certificates.map(|certificates| certificates.client(None)),
        };
        cluster.wait_ready().await;
        cluster
    }

    /// Starts one more node, which asks those that run to let it join, and waits until it is ready. It
    /// has an id that no node had before.
    ///
    /// # Panics
    ///
    /// If no node runs.
    pub async fn start_joining(&mut self, settings: &[(&'static str, String)]) -> NodeId {
        let directory = self.directory.as_ref().expect("the cluster is there");
        let id = NodeId::new(self.nodes.len() as u64 + 1);
        let running = self.nodes.iter().filter(|node| node.is_running());
        let peers: Vec<_> = running.map(Node::peer_address).collect();
        assert!(!peers.is_empty(), "there is nobody to ask");
        let certificates = self.nodes.first().and_then(Node::certificates).cloned();
        let mut node = Node::new(id, directory.path()).encrypted(certificates);
        node.configure_joining(&peers, settings);
        node.start();
        node.wait_ready(READY_LIMIT).await;
        self.nodes.push(node);
        id
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// # Panics
    ///
    /// If there is no such node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[self.index_of(id)]
    }

    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        let index = self.index_of(id);
        &mut self.nodes[index]
    }

    /// Ends all processes at the same moment, as a power cut of the whole site would.
    pub fn kill_all(&mut self) {
        for node in &mut self.nodes {
            node.begin_kill();
        }
        for node in &mut self.nodes {
            node.kill();
        }
    }

    /// Starts every node that does not run, and waits until all are ready.
    pub async fn start_all(&mut self) {
        for node in &mut self.nodes {
            if !node.is_running() {
                node.start();
            }
        }
        self.wait_ready().await;
    }

    /// Gives all nodes other settings, for their next start.
    pub fn configure(&mut self, settings: &[(&'static str, String)]) {
        let (founders, joined) = self.nodes.split_at(self.founders);
        let written: Vec<_> = founders.iter().map(Node::as_written).collect();
        for node in founders {
            node.configure(&written, settings);
        }
        let peers: Vec<_> = founders.iter().map(Node::peer_address).collect();
        for node in joined {
            node.configure_joining(&peers, settings);
        }
    }

    /// Waits until every node that runs says that it is ready.
    pub async fn wait_ready(&self) {
        for node in self.nodes.iter().filter(|node| node.is_running()) {
            node.wait_ready(READY_LIMIT).await;
        }
    }

    /// Where clients can begin.
    pub fn bootstrap(&self) -> Vec<String> {
        self.nodes.iter().map(Node::client_address).collect()
    }

    /// As one argument of the command line.
    pub fn bootstrap_argument(&self) -> String {
        format!("--bootstrap={}", self.bootstrap().join(","))
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.client_config())
            .await
            .expect("a client connects")
    }

    /// What a client of this cluster begins with.
    pub fn client_config(&self) -> ClientConfig {
        ClientConfig {
            tls: self.tls.clone(),
            ..ClientConfig::new(self.bootstrap())
        }
    }

    /// What clients connect with that show no certificate, if connections are encrypted.
    pub fn tls(&self) -> Option<&ClientTls> {
        self.tls.as_ref()
    }

    /// The certificates of this cluster.
    ///
    /// # Panics
    ///
    /// If its connections are not encrypted.
    pub fn certificates(&self) -> &Certificates {
        let certificates = self.nodes.first().and_then(Node::certificates);
        certificates.expect("the cluster has certificates")
    }

    /// Waits until every partition has a leader that runs, and returns the cluster as it is then.
    pub async fn wait_for_leaders(&self, client: &Client) -> ClusterDescription {
        let is_led = |partition: &PartitionDescription| {
            partition
                .leader
                .is_some_and(|leader| self.node(leader.node).is_running())
        };
        until("every partition has a leader", READY_LIMIT, async || {
            let cluster = client.admin().describe_cluster().await.ok()?;
            cluster.partitions.iter().all(is_led).then_some(cluster)
        })
        .await
    }

    fn index_of(&self, id: NodeId) -> usize {
        let index = self.nodes.iter().position(|node| node.id() == id);
        index.unwrap_or_else(|| panic!("the cluster has no node {id}"))
    }
}

fn new_directory() -> TempDir {
    TempDir::with_prefix("flotilla-").expect("a directory for the cluster")
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            node.kill();
        }
        if thread::panicking() {
            for node in &self.nodes {
                eprintln!(
                    "--- the end of the log of node {}\n{}",
                    node.id(),
                    node.log_tail(40)
                );
            }
            if let Some(directory) = self.directory.take() {
                eprintln!(
                    "--- the cluster's files are in {}",
                    directory.keep().display()
                );
            }
        }
    }
}
