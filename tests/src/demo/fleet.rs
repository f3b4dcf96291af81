//! The nodes that the demo runs on: its own processes, or somebody's cluster.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, ensure};
use flotilla_client::{Client, ClientConfig, NodeId};
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use crate::cluster::Cluster;

const NODE_COUNT: u64 = 3;
/// A node that was started and is not seen by the others by then has failed to start.
const START_LIMIT: Duration = Duration::from_secs(60);
const COMMAND_LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);
/// What the end of a log shows of each node when the demo fails.
const LOG_LINES: usize = 40;

pub(super) enum Fleet {
    Own(Cluster),
    Foreign(ForeignFleet),
}

/// A cluster that runs already, and the shell commands that kill and start one of its nodes. In
/// them, `{node}` stands for the node's id.
#[derive(Clone, Debug)]
pub struct ForeignFleet {
    pub bootstrap: Vec<String>,
    pub kill_command: String,
    pub restart_command: String,
}

impl Fleet {
    pub(super) async fn start_own() -> Self {
        Self::Own(Cluster::start(NODE_COUNT).await)
    }

    pub(super) async fn client(&self) -> anyhow::Result<Client> {
        let bootstrap = match self {
            Self::Own(cluster) => cluster.bootstrap(),
            Self::Foreign(foreign) => foreign.bootstrap.clone(),
        };
        let context = format!("cannot connect to {}", bootstrap.join(","));
        let client = Client::connect(ClientConfig::new(bootstrap)).await;
        client.context(context)
    }

    /// Ends a node at once, without a chance to prepare for it.
    pub(super) async fn kill(&mut self, node: NodeId) -> anyhow::Result<()> {
        match self {
            Self::Own(cluster) => {
                cluster.node_mut(node).kill();
                Ok(())
            }
            Self::Foreign(foreign) => run(&foreign.kill_command, node).await,
        }
    }

    /// Starts a node again, and returns when it is ready.
    pub(super) async fn restart(&mut self, node: NodeId, client: &Client) -> anyhow::Result<()> {
        match self {
            Self::Own(cluster) => {
                cluster.node_mut(node).start();
                cluster.wait_ready().await;
                Ok(())
            }
            Self::Foreign(foreign) => {
                run(&foreign.restart_command, node).await?;
                wait_alive(client, node).await
            }
        }
    }

    /// Tells on stderr what the nodes said last, where the demo can know.
    pub(super) fn show_logs(&self) {
        if let Self::Own(cluster) = self {
            for node in cluster.nodes() {
                eprintln!(
                    "--- the end of the log of node {}\n{}",
                    node.id(),
                    node.log_tail(LOG_LINES)
                );
            }
        }
    }
}

impl fmt::Display for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(cluster) => {
                let nodes: Vec<_> = cluster
                    .nodes()
                    .iter()
                    .map(|node| format!("{} at {}", node.id(), node.client_address()))
                    .collect();
                write!(f, "started nodes, each a process: {}", nodes.join(", "))
            }
            Self::Foreign(foreign) => {
                write!(f, "using the cluster at {}", foreign.bootstrap.join(","))
            }
        }
    }
}

async fn run(command: &str, node: NodeId) -> anyhow::Result<()> {
    let command = command.replace("{node}", &node.to_string());
    let context = || format!("cannot run: {command}");
    let mut shell = Command::new("sh");
    // What the command prints is no part of the account.
    shell
        .args(["-c", &command])
        .stdout(std::process::Stdio::null());
    let status = timeout(COMMAND_LIMIT, shell.kill_on_drop(true).status()).await;
    let status = status.with_context(context)?.with_context(context)?;
    ensure!(status.success(), "{status}: {command}");
    Ok(())
}

async fn wait_alive(client: &Client, node: NodeId) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let cluster = client.admin().describe_cluster().await?;
        let mut nodes = cluster.nodes.iter();
        if nodes.any(|member| member.id == node && member.alive) {
            return Ok(());
        }
        ensure!(
            begun.elapsed() < START_LIMIT,
            "node {node} is not back after {START_LIMIT:?}"
        );
        // Another process cannot wake this one, so it is asked again.
        sleep(PAUSE).await;
    }
}
